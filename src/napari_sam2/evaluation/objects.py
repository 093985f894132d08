"""The objects of a label stack, and which of them are evaluated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from napari_sam2.data.label_check import index_labels
from napari_sam2.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam2.data.label_reader import LabelStack
    from napari_sam2.data.source import FrameSource
    from napari_sam2.evaluation.protocol import Protocol

T = TypeVar("T")

_MOST_LISTED = 12


@dataclass(frozen=True, slots=True)
class LabelledObject:
    """One object of a label stack.

    Attributes
    ----------
    object_id : int
        Its label.
    frames : tuple of int
        The frames where it is, rising; gaps are possible.
    mean_area : float
        Its mean area in pixels over these frames.
    """

    object_id: int
    frames: tuple[int, ...] = field(repr=False)
    mean_area: float

    @property
    def middle(self) -> int:
        """The middle one of its frames, the later one of two."""
        return self.frames[len(self.frames) // 2]


def suitable_objects(
    labels: LabelStack,
    images: FrameSource,
    protocol: Protocol,
    object_ids: Sequence[int] = (),
) -> list[LabelledObject]:
    """Choose the objects that are evaluated.

    Parameters
    ----------
    labels : LabelStack
        The true labels, one number for each object.
    images : FrameSource
        The frames that they belong to.
    protocol : Protocol
        Says what is suitable.
    object_ids : sequence of int
        Take these, suitable or not; by default all that are suitable.

    Raises
    ------
    ImageError
        If the labels do not fit the images, do not tell objects apart, hold no
        suitable object, or not those that are asked for.
    """
    table = index_labels(labels, images)
    found = []
    for object_id in np.unique(table.ids):
        rows = table.ids == object_id
        found.append(
            LabelledObject(
                object_id=int(object_id),
                frames=tuple(table.frames[rows].tolist()),
                mean_area=float(table.areas[rows].mean()),
            )
        )
    most = protocol.most_objects
    if object_ids:
        return evenly_spread(_chosen(labels, found, object_ids), most)
    suitable = [
        one
        for one in found
        if len(one.frames) >= protocol.least_frames
        and one.mean_area >= protocol.least_area
    ]
    if not suitable:
        longest = max(len(one.frames) for one in found)
        largest = max(one.mean_area for one in found)
        raise ImageError(
            f"No object in the labels {labels.name} is suitable: one has to be on"
            f" {protocol.least_frames} frames or more with a mean area of"
            f" {protocol.least_area:g} pixels or more, and the {len(found)} that are"
            f" there are on {longest} frames at most, with mean areas up to"
            f" {largest:.0f}. Ask for less, or name objects by their labels."
        )
    return evenly_spread(suitable, most)


def evenly_spread(items: Sequence[T], most: int | None) -> list[T]:
    """Return `most` of the items, evenly spread; all if there are no more, or None."""
    if most is None or len(items) <= most:
        return list(items)
    chosen = np.linspace(0, len(items) - 1, most).round().astype(int)
    return [items[index] for index in np.unique(chosen)]


def _chosen(
    labels: LabelStack, found: Sequence[LabelledObject], object_ids: Sequence[int]
) -> list[LabelledObject]:
    """Take the objects that are asked for."""
    known = {one.object_id: one for one in found}
    lacking = sorted(set(object_ids) - known.keys())
    if lacking:
        there = ", ".join(map(str, list(known)[:_MOST_LISTED]))
        more = ", ..." if len(known) > _MOST_LISTED else ""
        raise ImageError(
            f"The labels {labels.name} hold no object {lacking[0]}: they hold"
            f" {there}{more}. Choose among these."
        )
    return [known[object_id] for object_id in dict.fromkeys(object_ids)]
