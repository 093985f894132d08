"""Two passes that meet: one mask of what was tracked from either side."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_sam2.inference.preprocess import moved_logits
from napari_sam2.inference.results import FAR_BELOW

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam2.inference.object_track import ObjectTrack
    from napari_sam2.inference.results import FrameResult
    from napari_sam2.model.records import View

_LEAST_TRUST = 0.01  # in a mask, so that two of no worth are still told apart


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
    weight = max(_LEAST_TRUST, result.predicted_iou) ** 2 / distance
    other_weight = max(_LEAST_TRUST, other.predicted_iou) ** 2 / other_distance
    share = weight / (weight + other_weight)
    if result.present != other.present:
        return replace(result if share >= 0.5 else other, one_sided=False)

    def mean(value: float, other_value: float) -> float:
        return share * value + (1 - share) * other_value

    logits = share * _bounded(result.logits)
    logits += (1 - share) * _bounded(_seen_in(result.view, other))
    return replace(
        result,
        logits=logits,
        object_score=mean(result.object_score, other.object_score),
        predicted_iou=mean(result.predicted_iou, other.predicted_iou),
        one_sided=False,
    )


def _bounded(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return logits of which none outweighs all that the other pass says."""
    return np.clip(logits, FAR_BELOW, -FAR_BELOW)


def _seen_in(view: View, result: FrameResult) -> NDArray[np.float32]:
    """Return the logits of a result in another view."""
    if result.view == view:
        return result.logits
    size = result.logits.shape[-1]
    logits = torch.from_numpy(result.logits)[None, None]
    moved: NDArray[np.float32] = moved_logits(
        logits, result.view, view, size, FAR_BELOW
    )[0, 0].numpy()
    return moved
