"""One frame of a pass: what its objects attend to, and what is remembered of them.

Shapes: ``B`` batch of objects, ``C`` image channels, ``D`` memory channels, ``H W``
image embedding, ``S`` input size.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch

from napari_sam2.inference.memory import earlier_frames
from napari_sam2.inference.preprocess import resize_mask
from napari_sam2.inference.results import FrameResult
from napari_sam2.model.records import FrameMemory, ImageFeatures, ObjectMasks
from napari_sam2.model.sam2 import ABSENT_LOGIT, PROMPTED_LOGIT, resize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torch import Tensor

    from napari_sam2.inference.memory import Selection
    from napari_sam2.inference.object_track import ObjectTrack, Pending
    from napari_sam2.inference.options import PredictorOptions
    from napari_sam2.inference.session import Session
    from napari_sam2.model.sam2 import Sam2

_T = TypeVar("_T")

# Projected keys and values of memory attention, and mask decoding, for one batch.
_BATCH_BYTES = 2**30


@dataclass(frozen=True, slots=True, eq=False)
class FrameTracker:
    """Tracks the objects of a session on one frame at a time.

    Attributes
    ----------
    model : Sam2
        The network.
    options : PredictorOptions
        How memories and masks are treated.
    session : Session
        What was seen, and where results go.
    encode : callable
        Encodes the frame of an index.
    """

    model: Sam2
    options: PredictorOptions
    session: Session
    encode: Callable[[int], ImageFeatures]

    def features(self, frame: int) -> ImageFeatures:
        """Return the features of a frame, encoded or from the cache."""
        return self.session.features.get(frame, self.encode)

    @torch.no_grad()
    def track(
        self, tracks: Sequence[ObjectTrack], frame: int, *, backward: bool
    ) -> None:
        """Find objects on a frame by memory, and remember them.

        Objects that attend to as many memories and pointers as each other run as one
        batch.
        """
        self.settle(tracks)
        going = []
        for track in tracks:
            track.bank.begin(backward=backward)
            if self._has_ended(track, frame, backward=backward):
                track.write(frame, self._absent(backward=backward))
            else:
                going.append(track)
        if not going:
            return
        self._recall(going, frame, backward=backward)
        features = self.features(frame)
        num_frames = self.session.num_frames
        groups: dict[tuple[int, int], list[tuple[ObjectTrack, Selection]]]
        groups = defaultdict(list)
        for track in going:
            chosen = track.bank.select(frame, backward=backward, num_frames=num_frames)
            key = (len(chosen.memories), len(chosen.pointers))
            groups[key].append((track, chosen))
        for (memories, _), group in groups.items():
            for batch in _chunks(group, self._batch_size(features, memories)):
                with self.model.autocast():
                    embedding = self._attend(features, batch)
                    masks = self.model.predict_masks(
                        embedding,
                        features,
                        tracking=True,
                        stability=self.options.stability(),
                    )
                    memory = self.model.encode_memory(features, masks)
                self._keep([t for t, _ in batch], frame, masks, memory, backward)

    @torch.no_grad()
    def embedding(
        self, track: ObjectTrack, frame: int, *, backward: bool
    ) -> Tensor | None:
        """Condition a frame on what is at hand of one object: ``(1, C, H, W)``.

        None if nothing is.
        """
        chosen = track.bank.select(
            frame, backward=backward, num_frames=self.session.num_frames
        )
        if not chosen.memories:
            return None
        with self.model.autocast():
            return self._attend(self.features(frame), [(track, chosen)])

    @torch.no_grad()
    def settle(self, tracks: Iterable[ObjectTrack]) -> None:
        """Encode the memories of frames prompted since the last time."""
        waiting: dict[int, list[tuple[ObjectTrack, Pending]]] = defaultdict(list)
        for track in tracks:
            for frame, pending in track.pending.items():
                waiting[frame].append((track, pending))
        for frame in sorted(waiting):
            features = self.features(frame)
            for batch in _chunks(waiting[frame], self._batch_size(features, 1)):
                results = [pending.result for _, pending in batch]
                masks = ObjectMasks(
                    logits=self._remembered_logits(results),
                    iou=torch.ones(len(batch), device=self.model.device),
                    object_score=self._scores(results),
                    pointer=torch.cat([pending.pointer for _, pending in batch]),
                )
                with self.model.autocast():
                    memory = self.model.encode_memory(
                        features, masks, binarize=self.options.binarize_prompted_masks
                    )
                for row, (track, pending) in enumerate(batch):
                    _settle_one(track, frame, pending, _row(memory, row))

    def _recall(
        self, tracks: Sequence[ObjectTrack], frame: int, *, backward: bool
    ) -> None:
        """Encode again what is needed of the frames before and is no longer known."""
        wanted: dict[int, list[ObjectTrack]] = defaultdict(list)
        for track in tracks:
            slots = earlier_frames(frame, backward=backward, rules=track.bank.rules)
            for earlier in reversed(slots):
                if earlier in track.bank.conditioning or not track.is_done(earlier):
                    break
                if not track.bank.knows(earlier):
                    wanted[earlier].append(track)
        # The farthest first, as a pass would have met them.
        for earlier in sorted(wanted, reverse=backward):
            features = self.features(earlier)
            for batch in _chunks(wanted[earlier], self._batch_size(features, 1)):
                self._recall_frame(batch, earlier, features)

    def _recall_frame(
        self, tracks: Sequence[ObjectTrack], frame: int, features: ImageFeatures
    ) -> None:
        """Encode the memories of objects on a frame from their masks."""
        results = [track.results.get(frame) for track in tracks]
        logits = self._remembered_logits(results)
        size = (self.model.image_size, self.model.image_size)
        full = resize(logits, size)
        with self.model.autocast():
            given = self.model.masks_as_output(features, (full > 0).float())
            masks = ObjectMasks(
                logits=full,
                iou=given.iou,
                object_score=self._scores(results),
                pointer=given.pointer,
            )
            memory = self.model.encode_memory(features, masks)
        for row, track in enumerate(tracks):
            track.bank.remember(frame, _row(memory, row))

    def _attend(
        self, features: ImageFeatures, batch: Sequence[tuple[ObjectTrack, Selection]]
    ) -> Tensor:
        """Run memory attention on objects of as many memories each."""
        device = self.model.device
        memories, pointers = [], []
        for track, chosen in batch:
            bank = track.bank
            memories.append(
                torch.cat([bank.memory(m.frame).features for m in chosen.memories])
            )
            pointers.append(
                torch.cat([bank.pointer(p.frame) for p in chosen.pointers])
                if chosen.pointers
                else torch.zeros(0, self.model.hidden_dim, device=device)
            )
        positions = [[m.position for m in chosen.memories] for _, chosen in batch]
        distances = [[p.distance for p in chosen.pointers] for _, chosen in batch]
        longest = min(self.session.num_frames, self.model.max_obj_ptrs_in_encoder) - 1
        return self.model.attend(
            features,
            torch.stack(memories),
            torch.tensor(positions, device=device),
            torch.stack(pointers),
            torch.tensor(distances, dtype=torch.float32, device=device)
            / max(1, longest),
        )

    def _keep(
        self,
        tracks: Sequence[ObjectTrack],
        frame: int,
        masks: ObjectMasks,
        memory: FrameMemory,
        backward: bool,
    ) -> None:
        """Write the results of a batch and remember them."""
        logits = masks.logits[:, 0].cpu().numpy()
        scores, ious = masks.object_score.tolist(), masks.iou.tolist()
        for row, track in enumerate(tracks):
            result = FrameResult(
                logits=logits[row],
                view=self.session.view,
                object_score=scores[row],
                predicted_iou=ious[row],
                remembering=True,
                backward=backward,
            )
            track.write(frame, result)
            track.bank.remember(frame, _row(memory, row))

    def _has_ended(self, track: ObjectTrack, frame: int, *, backward: bool) -> bool:
        """Return whether an object was absent for long enough to be given up."""
        limit = self.options.stop_after_absent
        if limit is None:
            return False
        step = 1 if backward else -1
        before = [frame + step * back for back in range(1, limit + 1)]
        return all(
            track.is_done(f) and not track.results.summary(f).present for f in before
        )

    def _absent(self, *, backward: bool) -> FrameResult:
        """Return the result of an object that was given up."""
        size = (self.model.logits_size, self.model.logits_size)
        return FrameResult(
            logits=np.full(size, ABSENT_LOGIT, np.float32),
            view=self.session.view,
            object_score=-PROMPTED_LOGIT,
            predicted_iou=0.0,
            remembering=True,
            backward=backward,
        )

    def _remembered_logits(self, results: Sequence[FrameResult]) -> Tensor:
        """Return the logits that are remembered, ``(B, 1, S, S)`` if any is exact."""
        device = self.model.device
        rows = [torch.from_numpy(r.logits).to(device)[None, None] for r in results]
        if all(result.exact is None for result in results):
            return torch.cat(rows)
        size = self.model.image_size
        for row, result in enumerate(results):
            if result.exact is None:
                rows[row] = resize(rows[row], (size, size))
            else:
                mask = result.exact.unpack()
                binary = resize_mask(mask, result.view, size, device)
                rows[row] = binary * (2 * PROMPTED_LOGIT) - PROMPTED_LOGIT
        return torch.cat(rows)

    def _scores(self, results: Sequence[FrameResult]) -> Tensor:
        scores = [result.object_score for result in results]
        return torch.tensor(scores, dtype=torch.float32, device=self.model.device)

    def _batch_size(self, features: ImageFeatures, memories: int) -> int:
        """Return how many objects fit in one batch."""
        tokens = features.embedding.shape[-2] * features.embedding.shape[-1]
        # Keys, values and their float32 copies; high-resolution maps of the decoder.
        numbers = tokens * self.model.hidden_dim * (4 * memories + 16)
        return max(1, _BATCH_BYTES // (4 * numbers))


def _settle_one(
    track: ObjectTrack, frame: int, pending: Pending, memory: FrameMemory
) -> None:
    """Move a prompted frame's result and memory to where they are read."""
    del track.pending[frame]
    if pending.conditions:
        track.results.put(frame, pending.result)
        track.bank.conditioning[frame] = memory
        track.bank.forget([frame])
    elif frame not in track.bank.conditioning:
        track.results.put(frame, pending.result)
        track.bank.remember(frame, memory)


def _row(memory: FrameMemory, row: int) -> FrameMemory:
    """Return the memory of one object of a batch, not sharing its storage."""
    part = slice(row, row + 1)
    features, pointer = memory.features[part], memory.pointer[part]
    if len(memory.features) > 1:
        features, pointer = features.clone(), pointer.clone()
    return FrameMemory(features, pointer, memory.view)


def _chunks(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
