"""One mask of two: of passes from either side."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_sam2.inference.preprocess import moved_logits
from napari_sam2.inference.results import FAR_BELOW

if TYPE_CHECKING:
    from napari_sam2.inference.object_track import ObjectTrack
    from napari_sam2.inference.results import FrameResult
    from napari_sam2.model.records import View

_LEAST_IOU = 0.01  # predicted, so that masks of no worth are still averaged


def write_tracked(
    track: ObjectTrack, frame: int, result: FrameResult, *, merging: bool
) -> None:
    """Keep what a pass found of an object on a frame.

    Between two prompted or approved frames a pass from either is due. The second is
    merged with what is there of the first, if `merging`; otherwise it takes its place.
    """
    below, above = track.neighbours(frame)
    if below is not None and above is not None:
        if merging and track.lacks_side(frame, backward=result.backward):
            distances = frame - below, above - frame
            own, other = reversed(distances) if result.backward else distances
            result = merged(result, own, track.results.get(frame), other)
        else:
            result = replace(result, one_sided=True)
    track.write(frame, result)


def merged(
    result: FrameResult, distance: int, other: FrameResult, other_distance: int
) -> FrameResult:
    """Merge what two passes from opposite sides found of an object on one frame.

    Each counts by the square of its predicted IoU over the number of frames it has
    come: a correction on a blurred end says less about the middle than the middle
    does. If they disagree on whether the object is there, the one that counts more is
    right; otherwise the logits are averaged.

    Parameters
    ----------
    result, other : FrameResult
        What was found; the merged result is in the view of the first.
    distance, other_distance : int
        Frames from where each pass began, at least 1.
    """
    weight = _trust(result) / distance
    other_weight = _trust(other) / other_distance
    if result.present != other.present:
        right = result if weight >= other_weight else other
        return replace(right, one_sided=False)
    share = weight / (weight + other_weight)
    seen = seen_in(result.view, other)

    def mean(a: float, b: float) -> float:
        return share * a + (1 - share) * b

    # Bounded, so that neither outweighs all that the other says.
    own, its = (one.logits.clip(FAR_BELOW, -FAR_BELOW) for one in (result, seen))
    return replace(
        result,
        logits=np.asarray(share * own + (1 - share) * its, np.float32),
        object_score=mean(result.object_score, other.object_score),
        predicted_iou=mean(result.predicted_iou, other.predicted_iou),
        one_sided=False,
    )


def _trust(result: FrameResult) -> float:
    """Return how much a mask counts."""
    return max(_LEAST_IOU, result.predicted_iou) ** 2


def seen_in(view: View, result: FrameResult) -> FrameResult:
    """Return a result in another view."""
    if result.view == view:
        return result
    size = result.logits.shape[-1]
    logits = torch.from_numpy(result.logits)[None, None]
    moved = moved_logits(logits, result.view, view, size, FAR_BELOW)
    return replace(result, view=view, logits=moved[0, 0].numpy())
