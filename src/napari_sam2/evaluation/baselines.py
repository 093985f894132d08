"""What is to be surpassed: a mask that is only copied, and classical segmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.evaluation.annotator import first_interaction
from napari_sam2.evaluation.records import MethodScores, ObjectScores
from napari_sam2.evaluation.scoring import tally_objects
from napari_sam2.evaluation.segments import SegmentedStack, greys_of
from napari_sam2.inference.packed_mask import PackedMask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_sam2.data.contrast import Contrast
    from napari_sam2.data.label_reader import LabelStack
    from napari_sam2.data.source import FrameSource
    from napari_sam2.evaluation.annotator import Interaction
    from napari_sam2.evaluation.objects import LabelledObject
    from napari_sam2.evaluation.protocol import Protocol
    from napari_sam2.evaluation.records import Method

    Mask = NDArray[np.bool_]


def copied_masks(
    truth: LabelStack, objects: Sequence[LabelledObject], protocol: Protocol
) -> MethodScores:
    """Score the true mask of each object's middle frame, copied to all frames.

    Parameters
    ----------
    truth : LabelStack
        The true labels.
    objects : sequence of LabelledObject
        What is scored.
    protocol : Protocol
        The one that the network is evaluated by.
    """
    masks = {
        one.object_id: PackedMask.pack(truth[one.middle] == one.object_id)
        for one in objects
    }

    def masks_on(frame: int, wanted: Sequence[int]) -> Iterator[Mask]:
        return (masks[object_id].unpack() for object_id in wanted)

    given = _first_interactions(truth, objects, protocol)
    return _scored("copied", truth, objects, protocol, given, masks_on)


def linked_segments(
    frames: FrameSource,
    truth: LabelStack,
    objects: Sequence[LabelledObject],
    protocol: Protocol,
    contrast: Contrast,
) -> MethodScores:
    """Score segments by threshold and watershed, linked from frame to frame.

    An object's chain begins with the segment under its first click, or that which
    fits its box best.

    Parameters
    ----------
    frames : FrameSource
        The stack.
    truth : LabelStack
        The true labels.
    objects : sequence of LabelledObject
        What is scored.
    protocol : Protocol
        The one that the network is evaluated by.
    contrast : Contrast
        Of the stack.
    """
    given = _first_interactions(truth, objects, protocol)
    greys = greys_of(frames, contrast)
    centres = [(each.frame, *np.mean(each.points, axis=0)) for each in given.values()]
    first = max(0, min(one.frames[0] for one in objects) - protocol.beyond)
    last = max(one.frames[-1] for one in objects) + protocol.beyond
    stack = SegmentedStack.of(
        greys, range(first, min(last, len(frames) - 1) + 1), centres
    )
    chains = {object_id: stack.chain(each) for object_id, each in given.items()}

    def masks_on(frame: int, wanted: Sequence[int]) -> Iterator[Mask]:
        segments = stack.segments(frame)
        # No segment has the number -1.
        return (segments == chains[i].get(frame, -1) for i in wanted)

    return _scored("watershed", truth, objects, protocol, given, masks_on)


def _first_interactions(
    truth: LabelStack, objects: Iterable[LabelledObject], protocol: Protocol
) -> dict[int, Interaction]:
    """Return the first prompt of each object, by its id."""
    return {
        one.object_id: first_interaction(
            one.middle, truth[one.middle] == one.object_id, protocol.first
        )
        for one in objects
    }


def _scored(
    method: Method,
    truth: LabelStack,
    objects: Sequence[LabelledObject],
    protocol: Protocol,
    given: dict[int, Interaction],
    masks_on: Callable[[int, Sequence[int]], Iterable[Mask]],
) -> MethodScores:
    """Score a method that knows one interaction."""
    tallies = tally_objects(truth, objects, protocol, masks_on)
    return MethodScores(
        method,
        tuple(
            ObjectScores(
                object_id=one.object_id,
                frames=one.frames,
                mean_area=one.mean_area,
                middle=one.middle,
                rounds=(tallies[one.object_id].result([given[one.object_id]]),),
            )
            for one in objects
        ),
    )
