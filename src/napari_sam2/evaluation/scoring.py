"""Scores of one object, gathered over its frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam2.evaluation.metrics import compare
from napari_sam2.evaluation.records import Beyond, RoundScores, WorstFrame
from napari_sam2.inference.packed_mask import PackedMask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_sam2.data.label_reader import LabelStack
    from napari_sam2.evaluation.annotator import Interaction
    from napari_sam2.evaluation.objects import LabelledObject
    from napari_sam2.evaluation.protocol import Protocol

    Mask = NDArray[np.bool_]


def tally_objects(
    truth: LabelStack,
    objects: Iterable[LabelledObject],
    protocol: Protocol,
    masks_on: Callable[[int, Sequence[int]], Iterable[Mask]],
) -> dict[int, ObjectTally]:
    """Score objects on their frames and just beyond, reading a frame at a time.

    Parameters
    ----------
    truth : LabelStack
        The true labels.
    objects : iterable of LabelledObject
        What is scored.
    protocol : Protocol
        Says how far beyond the ends, and which tolerance.
    masks_on : callable
        Gives the masks ``(H, W)`` found on a frame, for a sequence of object ids.

    Returns
    -------
    dict
        A complete tally by object id.
    """
    tolerance = protocol.tolerance_in(truth.frame_shape)
    tallies = {
        one.object_id: ObjectTally(one, protocol.beyond, tolerance) for one in objects
    }
    for frame in range(len(truth)):
        here = [i for i, tally in tallies.items() if tally.wants(frame)]
        if not here:
            continue
        labels = truth[frame]
        for object_id, mask in zip(here, masks_on(frame, here), strict=True):
            tallies[object_id].add(frame, mask, labels == object_id)
    return tallies


class ObjectTally:
    """Gathers the scores of one object, frames in rising order.

    Parameters
    ----------
    one : LabelledObject
        The object.
    beyond : int
        Frames beyond each of its ends on which false presence is looked for.
    tolerance : float
        Distance in pixels up to which outlines agree.
    """

    def __init__(self, one: LabelledObject, beyond: int, tolerance: float) -> None:
        self._first, self._last = one.frames[0], one.frames[-1]
        self._frames = frozenset(one.frames)
        self._beyond = beyond
        self._tolerance = tolerance
        self._iou: list[float] = []
        self._boundary_f: list[float] = []
        self._before: list[bool] = []
        self._after: list[bool] = []
        self._worst: WorstFrame | None = None

    def wants(self, frame: int) -> bool:
        """Return whether the object is scored on a frame."""
        if self._first <= frame <= self._last:
            return frame in self._frames
        return self._first - self._beyond <= frame <= self._last + self._beyond

    def add(self, frame: int, found: Mask, true: Mask) -> None:
        """Score the mask ``(H, W)`` that was found on a frame."""
        if frame < self._first:
            self._before.append(bool(found.any()))
        elif frame > self._last:
            self._after.append(bool(found.any()))
        else:
            agreement = compare(found, true, tolerance=self._tolerance)
            self._iou.append(agreement.iou)
            self._boundary_f.append(agreement.boundary_f)
            if self._worst is None or agreement.iou < self._worst.iou:
                self._worst = WorstFrame(frame, agreement.iou, PackedMask.pack(found))

    def result(self, given: Sequence[Interaction]) -> RoundScores:
        """Return the scores after the interactions that were given.

        Raises
        ------
        ValueError
            If a frame of the object was left out.
        """
        if self._worst is None or len(self._iou) != len(self._frames):
            raise ValueError(
                f"{len(self._iou)} of {len(self._frames)} frames have been scored"
            )
        return RoundScores(
            interactions=len(given),
            given=tuple(given),
            iou=tuple(self._iou),
            boundary_f=tuple(self._boundary_f),
            before=Beyond(len(self._before), sum(self._before)),
            after=Beyond(len(self._after), sum(self._after)),
            worst=self._worst,
        )
