"""Memories of masks that are known: prompted, approved, or tracked before.

Shapes: ``B`` batch of objects, ``S`` input size.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch

from napari_sam2.inference.memory import earlier_frames
from napari_sam2.inference.preprocess import resize_mask
from napari_sam2.model.records import FrameMemory, ImageFeatures, ObjectMasks
from napari_sam2.model.sam2 import prompted_logits, resize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torch import Tensor

    from napari_sam2.inference.memory import Selection
    from napari_sam2.inference.object_track import ObjectTrack
    from napari_sam2.inference.options import PredictorOptions
    from napari_sam2.inference.results import FrameResult
    from napari_sam2.model.sam2 import Sam2

_T = TypeVar("_T")

# Projected keys and values of memory attention, and mask decoding, for one batch.
_BATCH_BYTES = 2**30


@dataclass(frozen=True, slots=True, eq=False)
class MemoryEncoding:
    """Encodes what is to be remembered of known masks.

    Attributes
    ----------
    model : Sam2
        The network.
    options : PredictorOptions
        How memories are treated.
    features : callable
        Gives the features of the frame of an index.
    """

    model: Sam2
    options: PredictorOptions
    features: Callable[[int], ImageFeatures]

    @torch.no_grad()
    def condition(
        self, chosen: Sequence[tuple[ObjectTrack, Selection]], frame: int
    ) -> None:
        """Bring the conditioning frames that `frame` attends to to hand, few others."""
        waiting: dict[int, list[ObjectTrack]] = defaultdict(list)
        for track, selection in chosen:
            for prompted in {memory.frame for memory in selection.memories}:
                if not track.bank.knows(prompted):
                    waiting[prompted].append(track)
        for prompted in sorted(waiting):
            for tracks in self._batches(waiting[prompted], prompted):
                memory = self._prompted(
                    prompted,
                    [track.results.get(prompted) for track in tracks],
                    [track.bank.conditioning[prompted] for track in tracks],
                )
                for row, track in enumerate(tracks):
                    memories = track.bank.conditioning_memories
                    memories[prompted] = one_of(memory, row)
        for track, selection in chosen:
            track.bank.keep_conditioning(frame, {m.frame for m in selection.memories})

    @torch.no_grad()
    def settle(self, tracks: Iterable[ObjectTrack]) -> None:
        """Take prompts into account that a published session puts off until a pass.

        A frame that was tracked does not become a conditioning one; the prompt of a
        conditioning frame that a pass went over is dropped.
        """
        for track in tracks:
            for frame, pending in track.pending.items():
                if pending.conditions:
                    track.results.put(frame, pending.result)
                    track.bank.set_conditioning(frame, pending.pointer)
                elif frame not in track.bank.conditioning:
                    track.results.put(frame, pending.result)
                    memory = self._prompted(frame, [pending.result], [pending.pointer])
                    track.bank.remember(frame, memory)
            track.pending.clear()

    @torch.no_grad()
    def recall(
        self, tracks: Iterable[ObjectTrack], frame: int, *, backward: bool
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
            for batch in self._batches(wanted[earlier], earlier):
                memory = self._tracked(
                    earlier, [track.results.get(earlier) for track in batch]
                )
                for row, track in enumerate(batch):
                    track.bank.remember(earlier, one_of(memory, row))

    def _prompted(
        self, frame: int, results: Sequence[FrameResult], pointers: Sequence[Tensor]
    ) -> FrameMemory:
        """Encode the memories of prompted objects on a frame."""
        masks = ObjectMasks(
            logits=self._remembered_logits(results),
            iou=torch.ones(len(results), device=self.model.device),
            object_score=self._scores(results),
            pointer=torch.cat(list(pointers)),
        )
        with self.model.autocast():
            return self.model.encode_memory(
                self.features(frame),
                masks,
                binarize=self.options.binarize_prompted_masks,
            )

    def _tracked(self, frame: int, results: Sequence[FrameResult]) -> FrameMemory:
        """Encode the memories of tracked or approved objects from their masks."""
        features = self.features(frame)
        size = (self.model.image_size, self.model.image_size)
        logits = resize(self._remembered_logits(results), size)
        with self.model.autocast():
            given = self.model.masks_as_output(features, (logits > 0).float())
            masks = ObjectMasks(
                logits=logits,
                iou=given.iou,
                object_score=self._scores(results),
                pointer=given.pointer,
            )
            return self.model.encode_memory(features, masks)

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
                rows[row] = prompted_logits(binary)
        return torch.cat(rows)

    def _scores(self, results: Sequence[FrameResult]) -> Tensor:
        scores = [result.object_score for result in results]
        return torch.tensor(scores, dtype=torch.float32, device=self.model.device)

    def _batches(
        self, tracks: Sequence[ObjectTrack], frame: int
    ) -> Iterator[Sequence[ObjectTrack]]:
        return chunks(tracks, batch_size(self.features(frame), 1))


def batch_size(features: ImageFeatures, memories: int) -> int:
    """Return how many objects of so many memories fit in one batch."""
    channels, height, width = features.embedding.shape[1:]
    # Keys, values and their float32 copies; high-resolution maps of the decoder.
    numbers = height * width * channels * (4 * memories + 16)
    return max(1, _BATCH_BYTES // (4 * numbers))


def one_of(memory: FrameMemory, row: int) -> FrameMemory:
    """Return the memory of one object of a batch, not sharing its storage."""
    part = slice(row, row + 1)
    features, pointer = memory.features[part], memory.pointer[part]
    if len(memory.features) > 1:
        features, pointer = features.clone(), pointer.clone()
    return FrameMemory(features, pointer, memory.view)


def chunks(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """Cut a sequence into parts of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
