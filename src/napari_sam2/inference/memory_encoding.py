"""Memories of masks that are known: prompted, approved, or tracked before.

Shapes: ``B`` batch of objects, ``S`` input size.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import torch

from napari_sam2.inference.memory import earlier_frames
from napari_sam2.inference.preprocess import moved_logits, resize_mask
from napari_sam2.model.records import FrameMemory, ObjectMasks
from napari_sam2.model.sam2 import PROMPTED_LOGIT, prompted_logits, resize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torch import Tensor

    from napari_sam2.inference.memory import Selection
    from napari_sam2.inference.object_track import ObjectTrack
    from napari_sam2.inference.options import PredictorOptions
    from napari_sam2.inference.results import FrameResult
    from napari_sam2.model.records import ImageFeatures, View
    from napari_sam2.model.sam2 import Sam2

_T = TypeVar("_T")

# Projected keys and values of memory attention, and mask decoding, for one batch.
_BATCH_BYTES = 2**30


class Seeing(NamedTuple):
    """An object, and the window of the frame in work that it is looked for in."""

    track: ObjectTrack
    view: View


class Attending(NamedTuple):
    """An object in its window, and what it attends to there."""

    track: ObjectTrack
    view: View
    selection: Selection

    @property
    def seeing(self) -> Seeing:
        """The object in its window."""
        return Seeing(self.track, self.view)


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
        Gives the features of a frame's views, as one batch.
    """

    model: Sam2
    options: PredictorOptions
    features: Callable[[int, Sequence[View]], ImageFeatures]

    @torch.no_grad()
    def condition(self, chosen: Sequence[Attending], frame: int) -> None:
        """Bring the conditioning frames that `frame` attends to to hand, few others."""
        waiting: dict[int, list[Seeing]] = defaultdict(list)
        for attending in chosen:
            for prompted in {memory.frame for memory in attending.selection.memories}:
                if not attending.track.bank.knows(prompted):
                    waiting[prompted].append(attending.seeing)
        for prompted in sorted(waiting):
            for batch in self._batches(waiting[prompted]):
                memory = self._prompted(
                    prompted,
                    [one.track.results.get(prompted) for one in batch],
                    [one.track.bank.conditioning[prompted] for one in batch],
                    [one.view for one in batch],
                )
                for row, one in enumerate(batch):
                    memories = one.track.bank.conditioning_memories
                    memories[prompted] = one_of(memory, row)
        for attending in chosen:
            attended = {memory.frame for memory in attending.selection.memories}
            attending.track.bank.keep_conditioning(frame, attended)

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
                    memory = self._prompted(
                        frame,
                        [pending.result],
                        [pending.pointer],
                        [pending.result.view],
                    )
                    track.bank.remember(frame, memory)
            track.pending.clear()

    @torch.no_grad()
    def recall(self, seeing: Iterable[Seeing], frame: int, *, backward: bool) -> None:
        """Encode again what is needed of the frames before and is no longer known.

        Memories of other windows than that of the frame in work are no longer of use;
        object pointers are.
        """
        wanted: dict[int, list[Seeing]] = defaultdict(list)
        for one in seeing:
            track = one.track
            track.bank.forget_other_views(one.view)
            slots = earlier_frames(frame, backward=backward, rules=track.bank.rules)
            for earlier in reversed(slots):
                if earlier in track.bank.conditioning or not track.is_done(earlier):
                    break
                if not track.bank.knows(earlier):
                    wanted[earlier].append(one)
        # The farthest first, as a pass would have met them.
        for earlier in sorted(wanted, reverse=backward):
            for batch in self._batches(wanted[earlier]):
                memory = self._tracked(
                    earlier,
                    [one.track.results.get(earlier) for one in batch],
                    [one.view for one in batch],
                )
                for row, one in enumerate(batch):
                    bank, again = one.track.bank, one_of(memory, row)
                    if earlier in bank.pointers:
                        again = replace(again, pointer=bank.pointers[earlier])
                    bank.remember(earlier, again)

    def _prompted(
        self,
        frame: int,
        results: Sequence[FrameResult],
        pointers: Sequence[Tensor],
        views: Sequence[View],
    ) -> FrameMemory:
        """Encode the memories of prompted objects on a frame."""
        masks = ObjectMasks(
            logits=self._remembered_logits(results, views),
            iou=torch.ones(len(results), device=self.model.device),
            object_score=self._scores(results),
            pointer=torch.cat(list(pointers)),
        )
        with self.model.autocast():
            return self.model.encode_memory(
                self.features(frame, views),
                masks,
                binarize=self.options.binarize_prompted_masks,
            )

    def _tracked(
        self, frame: int, results: Sequence[FrameResult], views: Sequence[View]
    ) -> FrameMemory:
        """Encode the memories of tracked or approved objects from their masks."""
        features = self.features(frame, views)
        size = (self.model.image_size, self.model.image_size)
        logits = resize(self._remembered_logits(results, views), size)
        with self.model.autocast():
            given = self.model.masks_as_output(features, (logits > 0).float())
            masks = ObjectMasks(
                logits=logits,
                iou=given.iou,
                object_score=self._scores(results),
                pointer=given.pointer,
            )
            return self.model.encode_memory(features, masks)

    def _remembered_logits(
        self, results: Sequence[FrameResult], views: Sequence[View]
    ) -> Tensor:
        """Return the logits that are remembered, each in its view.

        ``(B, 1, h, w)`` as they are, or ``(B, 1, S, S)`` if any is exact, or was found
        in another view.
        """
        device, size = self.model.device, self.model.image_size
        rows = [torch.from_numpy(r.logits).to(device)[None, None] for r in results]
        pairs = list(zip(results, views, strict=True))
        if all(r.exact is None and r.view == view for r, view in pairs):
            return torch.cat(rows)
        for row, (result, view) in enumerate(pairs):
            if result.exact is not None:
                binary = resize_mask(result.exact.unpack(), view, size, device)
                rows[row] = prompted_logits(binary)
            elif result.view == view:
                rows[row] = resize(rows[row], (size, size))
            else:
                outside = min(float(rows[row].min()), -PROMPTED_LOGIT)
                rows[row] = moved_logits(rows[row], result.view, view, size, outside)
        return torch.cat(rows)

    def _scores(self, results: Sequence[FrameResult]) -> Tensor:
        scores = [result.object_score for result in results]
        return torch.tensor(scores, dtype=torch.float32, device=self.model.device)

    def _batches(self, seeing: Sequence[Seeing]) -> Iterator[Sequence[Seeing]]:
        return chunks(seeing, batch_size(self.model, 1))


def batch_size(model: Sam2, memories: int) -> int:
    """Return how many objects of so many memories fit in one batch."""
    side = model.image_size // model.backbone_stride
    # Keys, values and their float32 copies; high-resolution maps of the decoder.
    numbers = side * side * model.hidden_dim * (4 * memories + 16)
    return max(1, _BATCH_BYTES // (4 * numbers))


def one_of(memory: FrameMemory, row: int) -> FrameMemory:
    """Return the memory of one object of a batch, not sharing its storage."""
    part = slice(row, row + 1)
    features, pointer = memory.features[part], memory.pointer[part]
    if len(memory.features) > 1:
        features, pointer = features.clone(), pointer.clone()
    return FrameMemory(features, pointer, memory.views[part])


def chunks(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """Cut a sequence into parts of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
