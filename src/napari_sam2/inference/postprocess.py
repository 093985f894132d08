"""From low-resolution logits to clean masks at frame size."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy import ndimage

from napari_sam2.inference.results import bounding_box
from napari_sam2.model.sam2 import resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam2.model.records import View


class Patch(NamedTuple):
    """Logits of a part of a frame.

    Attributes
    ----------
    y0, x0 : int
        Its first row and column in the frame.
    logits : ndarray
        ``(h, w)`` float32; beside the patch no logit is positive.
    """

    y0: int
    x0: int
    logits: NDArray[np.float32]

    @property
    def where(self) -> tuple[slice, slice]:
        """Rows and columns of the frame."""
        height, width = self.logits.shape
        return slice(self.y0, self.y0 + height), slice(self.x0, self.x0 + width)


def frame_logits(
    logits: NDArray[np.float32], view: View, frame_shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Resize low-resolution logits ``(h, w)`` to a frame ``(H, W)``, bilinearly.

    Outside the view the lowest of the logits is given.
    """
    low = torch.from_numpy(np.ascontiguousarray(logits))[None, None]
    window = resize(low, (view.height, view.width))[0, 0].numpy()
    if window.shape == frame_shape:
        return window
    frame = np.full(frame_shape, min(logits.min(), -1.0), np.float32)
    frame[view.y0 : view.y0 + view.height, view.x0 : view.x0 + view.width] = window
    return frame


def positive_patch(logits: NDArray[np.float32], view: View) -> Patch:
    """Resize only the part of the logits that can be positive at frame size."""
    # A bilinear value is positive only next to a positive sample.
    y0, y1, x0, x1 = bounding_box(logits > 0, margin=1)
    rows, top = _axis_weights(logits.shape[0], view.height, y0, y1)
    columns, left = _axis_weights(logits.shape[1], view.width, x0, x1)
    patch = rows @ logits[y0:y1, x0:x1] @ columns.T
    return Patch(view.y0 + top, view.x0 + left, patch.astype(np.float32, copy=False))


def _axis_weights(
    size: int, target: int, start: int, stop: int
) -> tuple[NDArray[np.float32], int]:
    """Return bilinear weights from samples start..stop of an axis to its target part.

    Returns the matrix ``(pixels, stop - start)`` and the first target pixel. Pixel
    centres are aligned, edges clamped, as in ``torch.nn.functional.interpolate``.
    """
    scale = size / target
    position = np.clip((np.arange(target) + 0.5) * scale - 0.5, 0, size - 1)
    below = np.minimum(position.astype(np.int64), size - 1)
    above = np.minimum(below + 1, size - 1)
    inside = np.flatnonzero((above >= start) & (below < stop))
    if not len(inside) or stop <= start:
        return np.zeros((0, max(0, stop - start)), np.float32), 0
    first, last = int(inside[0]), int(inside[-1]) + 1
    fraction = (position - below)[first:last].astype(np.float32)
    weights = np.zeros((last - first, stop - start), np.float32)
    pixel = np.arange(last - first)
    for sample, weight in ((below, 1 - fraction), (above, fraction)):
        index = sample[first:last] - start
        known = (index >= 0) & (index < stop - start)
        np.add.at(weights, (pixel[known], index[known]), weight[known])
    return weights, first


def clean_mask(
    mask: NDArray[np.bool_], *, fill_holes: int, drop_specks: int
) -> NDArray[np.bool_]:
    """Fill small holes and drop small separate parts.

    Parameters
    ----------
    mask : ndarray
        ``(H, W)`` bool.
    fill_holes : int
        Background enclosed by the mask (4-connected) of at most that many pixels
        becomes mask; what touches the border is no hole.
    drop_specks : int
        Parts (8-connected) of fewer pixels are dropped, the largest part excepted.
    """
    if fill_holes and mask.any():
        holes, _ = ndimage.label(~np.pad(mask, 1))
        areas = np.bincount(holes.ravel())
        small = areas <= fill_holes
        small[[0, holes[0, 0]]] = False
        mask = mask | small[holes[1:-1, 1:-1]]
    if drop_specks and mask.any():
        parts, _ = ndimage.label(mask, structure=np.ones((3, 3)))
        areas = np.bincount(parts.ravel())
        areas[0] = 0
        kept = areas >= drop_specks
        kept[areas.argmax()] = True
        kept[0] = False
        mask = kept[parts]
    return mask
