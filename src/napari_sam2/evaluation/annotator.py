"""The simulated annotator: where to click, given what is true and what was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_sam2.evaluation.metrics import window_around
from napari_sam2.inference.prompt import Prompt

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam2.evaluation.protocol import FirstPrompt

    Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Interaction:
    """One click or box of the annotator.

    Attributes
    ----------
    frame : int
        Where it is.
    points : tuple
        The click as one (x, y), or the first and the last corner of the box, in image
        pixels.
    positive : bool
        Whether a click is on the object, and not beside it.
    """

    frame: int
    points: tuple[tuple[float, float], ...]
    positive: bool = True

    @property
    def is_box(self) -> bool:
        """Whether it is a box."""
        return len(self.points) == 2

    def added_to(self, earlier: Prompt | None) -> Prompt:
        """Return the prompt that the frame has with it."""
        if self.is_box:
            return Prompt(box=np.ravel(self.points))
        points = np.array(self.points, np.float32)
        labels = np.array([int(self.positive)])
        if earlier is None:
            return Prompt(points, labels)
        return Prompt(
            np.concatenate([earlier.points, points]),
            np.concatenate([earlier.labels, labels]),
            box=earlier.box,
        )


def first_interaction(frame: int, mask: Mask, kind: FirstPrompt) -> Interaction:
    """Click on an object, or draw its box.

    Parameters
    ----------
    frame : int
        Where it is seen.
    mask : ndarray
        ``(H, W)`` bool, its true mask, not empty.
    kind : {"point", "box"}
        A click where the outline is farthest, or a box along the outer edges of the
        outermost pixels.
    """
    if kind == "point":
        return Interaction(frame, (deepest_pixel(mask),))
    rows, columns = window_around(mask)
    first = (columns.start - 0.5, rows.start - 0.5)
    last = (columns.stop - 0.5, rows.stop - 0.5)
    return Interaction(frame, (first, last))


def correction(frame: int, found: Mask, true: Mask) -> Interaction | None:
    """Click into the larger error: what was missed, or what was found falsely.

    Parameters
    ----------
    frame : int
        Where they lie.
    found, true : ndarray
        ``(H, W)`` bool.

    Returns
    -------
    Interaction or None
        A click where the error's outline is farthest; None if there is no error.
    """
    missed, false = true & ~found, found & ~true
    positive = np.count_nonzero(missed) >= np.count_nonzero(false)
    region = missed if positive else false
    if not region.any():
        return None
    return Interaction(frame, (deepest_pixel(region),), positive=bool(positive))


def deepest_pixel(mask: Mask) -> tuple[float, float]:
    """Return the pixel (x, y) of a mask that is farthest from its outside.

    The mask is ``(H, W)`` and not empty; beyond the frame is outside. Of equal pixels
    it is the first by rows.
    """
    window = window_around(mask)
    depths = ndimage.distance_transform_edt(np.pad(mask[window], 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(depths.argmax()), depths.shape)
    return float(x + window[1].start), float(y + window[0].start)
