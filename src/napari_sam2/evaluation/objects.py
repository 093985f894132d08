"""The objects of a label stack, and which of them can be evaluated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam2.data.source import FrameSource
    from napari_sam2.evaluation.protocol import Protocol

# Labels that live on one frame, of all labels: above that they are no identities.
_MOST_FLEETING = 0.9
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
    areas : tuple of int
        Its pixels on each of them.
    """

    object_id: int
    frames: tuple[int, ...] = field(repr=False)
    areas: tuple[int, ...] = field(repr=False)

    @property
    def middle(self) -> int:
        """The middle one of its frames, the later one of two."""
        return self.frames[len(self.frames) // 2]

    @property
    def mean_area(self) -> float:
        """Its mean area in pixels over its frames."""
        return float(np.mean(self.areas))


def list_objects(labels: FrameSource) -> list[LabelledObject]:
    """List all objects of a label stack by their ids, reading a frame at a time."""
    frames: dict[int, list[int]] = {}
    areas: dict[int, list[int]] = {}
    for frame in range(len(labels)):
        ids, counts = np.unique(labels[frame], return_counts=True)
        for object_id, count in zip(ids.tolist(), counts.tolist(), strict=True):
            if object_id:
                frames.setdefault(object_id, []).append(frame)
                areas.setdefault(object_id, []).append(count)
    return [
        LabelledObject(i, tuple(frames[i]), tuple(areas[i])) for i in sorted(frames)
    ]


def suitable_objects(
    labels: FrameSource,
    protocol: Protocol,
    object_ids: Sequence[int] = (),
) -> list[LabelledObject]:
    """Choose the objects that are evaluated.

    Parameters
    ----------
    labels : FrameSource
        The true labels, one number for each object.
    protocol : Protocol
        Says what is suitable.
    object_ids : sequence of int
        Take these, suitable or not; by default all that are suitable.

    Raises
    ------
    ImageError
        If the labels are empty, are numbered anew on every frame, hold no suitable
        object, or not those that are asked for.
    """
    found = list_objects(labels)
    if not found:
        raise ImageError(
            "The labels are empty: all pixels are 0. Give labels with a number for each"
            " object."
        )
    if object_ids:
        return _chosen(found, object_ids)
    suitable = [
        one
        for one in found
        if len(one.frames) >= protocol.least_frames
        and one.mean_area >= protocol.least_area
    ]
    if not suitable:
        _refuse_fleeting(found, len(labels))
        longest = max(len(one.frames) for one in found)
        largest = max(one.mean_area for one in found)
        raise ImageError(
            f"None of the {len(found)} labelled objects is suitable: one has to be on"
            f" {protocol.least_frames} frames or more with a mean area of"
            f" {protocol.least_area:g} pixels or more; here objects are on up to"
            f" {longest} frames, with mean areas up to {largest:.0f} pixels. Lower what"
            " is asked for, or choose objects by their ids."
        )
    most = protocol.most_objects
    if most is None or len(suitable) <= most:
        return suitable
    chosen = np.linspace(0, len(suitable) - 1, most).round().astype(int)
    return [suitable[index] for index in np.unique(chosen)]


def _chosen(
    found: Sequence[LabelledObject], object_ids: Sequence[int]
) -> list[LabelledObject]:
    """Take the objects that are asked for."""
    known = {one.object_id: one for one in found}
    lacking = sorted(set(object_ids) - known.keys())
    if lacking:
        there = ", ".join(map(str, list(known)[:_MOST_LISTED]))
        more = ", ..." if len(known) > _MOST_LISTED else ""
        raise ImageError(
            f"The labels hold no object {lacking[0]}; they hold {there}{more}."
        )
    return [known[object_id] for object_id in dict.fromkeys(object_ids)]


def _refuse_fleeting(found: Sequence[LabelledObject], num_frames: int) -> None:
    """Refuse labels that are numbered anew on every frame."""
    fleeting = sum(len(one.frames) == 1 for one in found)
    if num_frames == 1 or fleeting < _MOST_FLEETING * len(found):
        return
    raise ImageError(
        f"{fleeting} of the {len(found)} labels are on a single frame: the objects seem"
        " to be numbered anew on every frame, but an object needs one number on all of"
        " its frames. Link them first, with a tracking program, or in a z-stack by"
        " labelling connected parts of the whole stack (skimage.measure.label)."
    )
