"""One frame of a pass: what its objects attend to, and what is remembered of them.

Shapes: ``B`` batch of objects, ``C`` image channels, ``D`` memory channels, ``H W``
image embedding, ``S`` input size.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_sam2.inference.expectation import expecting
from napari_sam2.inference.memory_encoding import (
    Attending,
    MemoryEncoding,
    Seeing,
    batch_size,
    chunks,
    one_of,
)
from napari_sam2.inference.merging import write_tracked
from napari_sam2.inference.results import FrameResult
from napari_sam2.inference.views import result_box
from napari_sam2.model.records import ImageFeatures
from napari_sam2.model.sam2 import ABSENT_LOGIT, PROMPTED_LOGIT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from napari_sam2.inference.features import Encode
    from napari_sam2.inference.object_track import ObjectTrack
    from napari_sam2.inference.options import PredictorOptions
    from napari_sam2.inference.session import Session
    from napari_sam2.model.records import ObjectMasks, View
    from napari_sam2.model.sam2 import Sam2


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
        Encodes views of the frame of an index.
    expecting : bool
        Whether the mask of highest expected IoU counts, not of highest predicted IoU.
    """

    model: Sam2
    options: PredictorOptions
    session: Session
    encode: Encode
    expecting: bool

    @property
    def encoding(self) -> MemoryEncoding:
        """What encodes the memories of masks that are known."""
        return MemoryEncoding(self.model, self.options, self.features)

    def features(self, frame: int, views: Sequence[View]) -> ImageFeatures:
        """Return the features of views of a frame, encoded or from the cache.

        One batch of as many; of one, if all views are the same.
        """
        if len(set(views)) == 1:
            views = views[:1]
        found = self.session.features.get(frame, views, self.encode)
        return ImageFeatures.join(found)

    def view(self, track: ObjectTrack, frame: int, *, backward: bool) -> View:
        """Return the window in which an object is looked for on a frame.

        It follows from where it was found on the frame before, or on the prompted or
        approved frame where the span starts.
        """
        rules, results = self.session.views, track.results
        if not rules.by_object:
            return rules.whole
        before = frame + 1 if backward else frame - 1
        if before not in results:
            below, above = track.neighbours(frame)
            start = above if backward else below
            if start is None or start not in results:
                start = below if backward else above
            if start is None or start not in results:
                return rules.whole
            before = start
        if not results.summary(before).present:
            return results.summary(before).view
        found = results.get(before)
        return rules.kept(found.view, result_box(found))

    @torch.no_grad()
    def track(
        self,
        tracks: Sequence[ObjectTrack],
        frame: int,
        *,
        backward: bool,
        merging: bool,
    ) -> None:
        """Find objects on a frame by memory, and remember them.

        Objects that attend to as many memories and pointers as each other run as one
        batch. If `merging`, what a pass from the other side found is merged with it.
        """
        going = []
        for track in tracks:
            track.bank.begin(backward=backward)
            view = self.view(track, frame, backward=backward)
            if self._has_ended(track, frame, backward=backward):
                absent = self._absent(view, backward=backward)
                write_tracked(track, frame, absent, merging=merging)
            else:
                going.append(Seeing(track, view))
        if not going:
            return
        chosen = self._choose(going, frame, backward=backward)
        groups: dict[tuple[int, int], list[Attending]] = defaultdict(list)
        for one in chosen:
            key = (len(one.selection.memories), len(one.selection.pointers))
            groups[key].append(one)
        # All at once: what each group lacks would be encoded in small batches.
        self.session.features.get(frame, [one.view for one in chosen], self.encode)
        for (memories, _), group in groups.items():
            for batch in chunks(group, batch_size(self.model, memories)):
                features = self.features(frame, [one.view for one in batch])
                with self.model.autocast():
                    embedding = self._attend(features, batch)
                    masks = self.model.predict_masks(
                        embedding,
                        features,
                        tracking=True,
                        stability=self.options.stability(),
                    )
                    if self.expecting:
                        masks = expecting(masks)
                    memory = self.model.encode_memory(features, masks)
                found = self._results(batch, masks, backward=backward)
                for row, (one, result) in enumerate(zip(batch, found, strict=True)):
                    write_tracked(one.track, frame, result, merging=merging)
                    one.track.bank.remember(frame, one_of(memory, row))

    @torch.no_grad()
    def embedding(
        self, track: ObjectTrack, view: View, frame: int, *, backward: bool
    ) -> Tensor | None:
        """Condition a view of a frame on what is remembered: ``(1, C, H, W)``.

        None if nothing is.
        """
        chosen = self._choose([Seeing(track, view)], frame, backward=backward)
        if not chosen[0].selection.memories:
            return None
        with self.model.autocast():
            return self._attend(self.features(frame, [view]), chosen)

    def _choose(
        self, seeing: Sequence[Seeing], frame: int, *, backward: bool
    ) -> list[Attending]:
        """Say what each object attends to, and bring to hand what is not."""
        encoding = self.encoding
        if not self.options.published_schedule:
            encoding.recall(seeing, frame, backward=backward)
        num_frames = self.session.num_frames
        chosen = [
            Attending(
                *one,
                one.track.bank.select(frame, backward=backward, num_frames=num_frames),
            )
            for one in seeing
        ]
        encoding.condition(chosen, frame)
        return chosen

    def _attend(self, features: ImageFeatures, batch: Sequence[Attending]) -> Tensor:
        """Run memory attention on objects of as many memories each."""
        device = self.model.device
        memories, pointers = [], []
        for track, _, chosen in batch:
            bank = track.bank
            memories.append(
                torch.cat([bank.memory(m.frame).features for m in chosen.memories])
            )
            pointers.append(
                torch.cat([bank.pointer(p.frame) for p in chosen.pointers])
                if chosen.pointers
                else torch.zeros(0, self.model.hidden_dim, device=device)
            )
        positions = [[m.position for m in chosen.memories] for _, _, chosen in batch]
        distances = [[p.distance for p in chosen.pointers] for _, _, chosen in batch]
        longest = min(self.session.num_frames, self.model.max_obj_ptrs_in_encoder) - 1
        return self.model.attend(
            features,
            torch.stack(memories),
            torch.tensor(positions, device=device),
            torch.stack(pointers),
            torch.tensor(distances, dtype=torch.float32, device=device)
            / max(1, longest),
        )

    def _results(
        self, batch: Sequence[Attending], masks: ObjectMasks, *, backward: bool
    ) -> Iterator[FrameResult]:
        """Yield what was found of each object of a batch."""
        logits = masks.logits[:, 0].cpu().numpy()
        scores, ious = masks.object_score.tolist(), masks.iou.tolist()
        for row, one in enumerate(batch):
            yield FrameResult(
                logits=logits[row],
                view=one.view,
                object_score=scores[row],
                predicted_iou=ious[row],
                remembering=True,
                backward=backward,
            )

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

    def _absent(self, view: View, *, backward: bool) -> FrameResult:
        """Return the result of an object that was given up."""
        size = (self.model.logits_size, self.model.logits_size)
        return FrameResult(
            logits=np.full(size, ABSENT_LOGIT, np.float32),
            view=view,
            object_score=-PROMPTED_LOGIT,
            predicted_iou=0.0,
            remembering=True,
            backward=backward,
        )
