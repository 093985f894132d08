"""One mask of several: of passes from either side, of windows of one frame."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_sam2.inference.preprocess import moved_logits
from napari_sam2.inference.results import FAR_BELOW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam2.inference.object_track import ObjectTrack
    from napari_sam2.inference.results import FrameResult
    from napari_sam2.model.records import View

_LEAST_IOU = 0.01  # predicted, so that masks of no worth are still averaged
_ALIKE = 0.6  # IoU of two masks of the same object


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
    seen = _seen_in(result.view, other)
    mean = _averaged([(result, weight), (seen, other_weight)])
    return replace(mean, one_sided=False)


def agreed(result: FrameResult, others: Sequence[FrameResult]) -> FrameResult:
    """Average what was found in one window with what others show alike.

    Each counts by the square of its predicted IoU, and wider windows by as much less
    as they are wider. Masks of something else, to judge by their IoU, do not count.

    Parameters
    ----------
    result : FrameResult
        What stands, with an object in it.
    others : sequence of FrameResult
        What other windows of the same frame gave; without any, `result` is returned.
    """
    mask = result.logits > 0
    found = [(result, _trust(result))]
    for other in others:
        if not other.present:
            continue
        seen = _seen_in(result.view, other)
        its = seen.logits > 0
        if np.count_nonzero(mask & its) >= _ALIKE * np.count_nonzero(mask | its):
            wider = max(1.0, other.view.height / result.view.height)
            found.append((seen, _trust(other) / wider))
    return _averaged(found) if len(found) > 1 else result


def _trust(result: FrameResult) -> float:
    """Return how much a mask counts."""
    return max(_LEAST_IOU, result.predicted_iou) ** 2


def _averaged(found: Sequence[tuple[FrameResult, float]]) -> FrameResult:
    """Return the weighted mean of results in one view; the rest is of the first."""
    first = found[0][0]
    total = sum(weight for _, weight in found)
    shares = [(one, weight / total) for one, weight in found]
    # Bounded, so that none outweighs all that the others say.
    logits = sum(
        share * np.clip(one.logits, FAR_BELOW, -FAR_BELOW) for one, share in shares
    )
    return replace(
        first,
        logits=np.asarray(logits, np.float32),
        object_score=sum(share * one.object_score for one, share in shares),
        predicted_iou=sum(share * one.predicted_iou for one, share in shares),
    )


def _seen_in(view: View, result: FrameResult) -> FrameResult:
    """Return a result in another view."""
    if result.view == view:
        return result
    size = result.logits.shape[-1]
    logits = torch.from_numpy(result.logits)[None, None]
    moved = moved_logits(logits, result.view, view, size, FAR_BELOW)
    return replace(result, view=view, logits=moved[0, 0].numpy())
