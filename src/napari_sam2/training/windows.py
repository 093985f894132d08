"""The objects of a clip, each in a window of its own, as predictors may see them.

Shapes: ``T`` frames, ``K`` channels, ``S`` input size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.inference.results import bounding_box
from napari_sam2.inference.views import ViewRules
from napari_sam2.training.bounds import check_bounds
from napari_sam2.training.sources import resized
from napari_sam2.training.synthetic.fields import log_uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam2.training.sources import DrawnClip


@dataclass(frozen=True, slots=True)
class WindowParameters:
    """How objects are shown in windows of their own.

    Attributes
    ----------
    share : float
        Share of the steps that show objects so, 0 to 1; the others show whole frames,
        with many objects in each.
    frame : tuple of float
        Side of the frames that windows are cut from, over that of the input, uniform
        in the logarithm.
    side : tuple of float
        Side of a window over that of a predictor's new one (`CONTEXT` times the
        object's), uniform in the logarithm. Predictors keep a window in which a
        prompted object is 0.2 to 0.6 as long.
    shift : float
        Largest distance, along either axis, from the middle of the object to that of
        the window, over the longer side of the object.
    """

    share: float = 0.0
    frame: tuple[float, float] = (1.0, 2.0)
    side: tuple[float, float] = (0.57, 1.67)
    shift: float = 0.15

    def __post_init__(self) -> None:
        check_bounds(self, 0.0, 1.0, "share", "shift")
        check_bounds(self, 1.0, 4.0, "frame")
        check_bounds(self, 0.34, 10.0, "side")


def window_around(
    rng: np.random.Generator,
    clip: DrawnClip,
    number: int,
    start: int,
    size: int,
    knobs: WindowParameters,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Cut out the window around an object, where it is on the frame `start`.

    Parameters
    ----------
    rng : Generator
        Chance of size and place.
    clip : DrawnClip
        Frames and labels of any size.
    number : int
        The object.
    start : int
        A frame that shows the object.
    size : int
        Side S of the input.
    knobs : WindowParameters
        How large windows are, and where.

    Returns
    -------
    frames, masks : ndarray
        ``(T, K, S, S)`` and ``(T, 2, S, S)``: of the object, and of another one that
        the window shows; of the same one where it shows no other.
    """
    y0, y1, x0, x1 = bounding_box(clip.labels[start] == number)
    extent = max(y1 - y0, x1 - x0)
    y, x = rng.uniform(-knobs.shift, knobs.shift, 2) * extent
    y, x = y + (y0 + y1) / 2, x + (x0 + x1) / 2
    half = extent * log_uniform(rng, knobs.side) / 2
    height, width = clip.labels.shape[1:]
    rules = ViewRules((height, width), size, by_object=True)
    view = rules.around((y - half, y + half, x - half, x + half))
    rows = slice(view.y0, view.y0 + view.height)
    columns = slice(view.x0, view.x0 + view.width)
    labels = clip.labels[:, None, rows, columns]
    others = np.setdiff1d(labels, [0, number])
    other = rng.choice(others) if len(others) else number
    covered = labels == np.array([number, other])[:, None, None]
    masks = resized(covered.astype(np.float32), size)
    # An object too small for the input's pixels keeps those that it covers most.
    most = masks.max(axis=(2, 3), keepdims=True)
    return (
        resized(clip.frames[..., rows, columns], size),
        masks >= np.clip(most, 1e-6, 0.5),
    )
