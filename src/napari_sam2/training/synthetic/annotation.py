"""What an annotator would label of the objects that are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from napari_sam2.training.synthetic.arrays import Labels

_BARELY = 0.35


def annotate(
    labels: Labels,
    *,
    least_cut: float,
    least_area: int,
) -> Labels:
    """Return labels without cuts too small to see, numbered anew from 1.

    Parameters
    ----------
    labels : ndarray
        (T, H, W) uint16, the true cuts.
    least_cut : float
        Share of the object's largest cut, 0 to 1, below which a cut is left out: the
        poles of a body, faded before they end.
    least_area : int
        Pixels below which a cut is left out.
    """
    frames = labels.shape[0]
    highest = int(labels.max())
    if not highest:
        return labels
    flat = labels.reshape(frames, -1)
    areas = np.stack([np.bincount(frame, minlength=highest + 1) for frame in flat])
    keep = areas >= np.maximum(areas.max(0) * least_cut, least_area)
    keep[:, 0] = False
    seen = keep.any(0)
    number = np.zeros(highest + 1, np.uint16)
    number[seen] = np.arange(1, int(seen.sum()) + 1)
    return np.stack(
        [
            np.take(number * kept, frame)
            for kept, frame in zip(keep, labels, strict=True)
        ]
    )


def enlarged(labels: Labels, *, pixels: float, planes: float) -> Labels:
    """Return labels drawn beyond their surfaces, as far as no other is met.

    Parameters
    ----------
    labels : ndarray
        (T, H, W) uint16.
    pixels, planes : float
        How far, in the plane and across planes. Less than a third of a pixel is not
        drawn at all.
    """
    if pixels < _BARELY or not labels.any():
        return labels
    across = pixels / planes if planes > 0 else 1e6
    empty = labels == 0
    distance, nearest = ndimage.distance_transform_edt(
        empty, sampling=(across, 1.0, 1.0), return_indices=True
    )
    drawn: Labels = np.where(distance <= pixels, labels[tuple(nearest)], labels)
    return drawn
