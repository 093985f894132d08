"""How well a mask agrees with the true one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_sam2.inference.results import bounding_box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

_CROSS = ndimage.generate_binary_structure(2, 1)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well a mask agrees with the true one.

    Attributes
    ----------
    iou : float
        Common pixels over all pixels of both, 0 to 1; 1 if both are empty.
    boundary_f : float
        Harmonic mean of the shares of each outline that lie close to the other, 0 to
        1. 1 if neither mask has an outline, being empty or the whole frame; 0 if only
        one has, or only one is empty.
    """

    iou: float
    boundary_f: float


def compare(found: Mask, true: Mask, *, tolerance: float) -> Agreement:
    """Compare two masks of one frame.

    Parameters
    ----------
    found, true : ndarray
        ``(H, W)`` bool.
    tolerance : float
        Distance in pixels up to which outlines agree.
    """
    window = window_around(found | true, margin=1)
    found, true = found[window], true[window]
    common = int(np.count_nonzero(found & true))
    either = int(np.count_nonzero(found | true))
    if found.any() != true.any():
        return Agreement(0.0, 0.0)
    return Agreement(
        iou=common / either if either else 1.0,
        boundary_f=_boundary_f(outline(found), outline(true), tolerance),
    )


def outline(mask: Mask) -> Mask:
    """Return the pixels of a mask ``(H, W)`` that touch its outside.

    The border of the frame is not outside.
    """
    inner: Mask = ndimage.binary_erosion(mask, _CROSS, border_value=1)
    return mask & ~inner


def window_around(mask: Mask, *, margin: int = 0) -> tuple[slice, slice]:
    """Return the smallest window of a mask ``(H, W)``, widened, within the frame.

    It is empty if the mask is.
    """
    y0, y1, x0, x1 = bounding_box(mask, margin=margin)
    return slice(y0, y1), slice(x0, x1)


def _boundary_f(found: Mask, true: Mask, tolerance: float) -> float:
    """Compare two outlines ``(h, w)``."""
    if not found.any() and not true.any():
        return 1.0
    if not found.any() or not true.any():
        return 0.0
    precision = _share_near(found, true, tolerance)
    recall = _share_near(true, found, tolerance)
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0


def _share_near(pixels: Mask, others: Mask, tolerance: float) -> float:
    """Return the share of an outline that lies within the tolerance of another."""
    distances = ndimage.distance_transform_edt(~others)
    return float(np.mean(distances[pixels] <= tolerance))
