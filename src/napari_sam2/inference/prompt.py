"""Prompts: what a user says about one object on one frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2.errors import PromptError
from napari_sam2.inference.packed_mask import PackedMask

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True, eq=False, init=False)
class Prompt:
    """Points, a box, a mask, or several of them, for one object on one frame.

    A box and points combine. A mask alone is the result; a mask with points or a box
    is a prior that they refine.

    Parameters
    ----------
    points : array-like, optional
        ``(N, 2)`` as (x, y) in image pixels; (0, 0) is the centre of the first pixel.
    labels : array-like, optional
        ``(N,)``, 1 for a point on the object, 0 for one beside it; all 1 if absent.
    box : array-like, optional
        ``(4,)`` as x0, y0, x1, y1 in image pixels, x0 < x1 and y0 < y1.
    mask : array-like, optional
        ``(H, W)`` bool (or 0 and 1) of the frame's shape. A mask without a pixel says
        that the object is not on the frame.

    Raises
    ------
    PromptError
        If nothing is given, or a part has the wrong shape or values.
    """

    points: NDArray[np.float32]
    labels: NDArray[np.int64]
    box: NDArray[np.float32] | None
    packed_mask: PackedMask | None

    def __init__(
        self,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask: ArrayLike | None = None,
    ) -> None:
        xy = _points(points)
        object.__setattr__(self, "points", xy)
        object.__setattr__(self, "labels", _labels(labels, len(xy)))
        object.__setattr__(self, "box", None if box is None else _box(box))
        packed = None if mask is None else PackedMask.pack(_mask(mask))
        object.__setattr__(self, "packed_mask", packed)
        for array in (self.points, self.labels, self.box):
            if array is not None:
                array.setflags(write=False)
        if not len(xy) and self.box is None and packed is None:
            raise PromptError(
                "The prompt is empty: give points, a box, or a mask; to take a prompt "
                "back, remove it."
            )

    @property
    def mask(self) -> NDArray[np.bool_] | None:
        """The mask ``(H, W)`` bool, a read-only copy, or None."""
        if self.packed_mask is None:
            return None
        mask = self.packed_mask.unpack()
        mask.setflags(write=False)
        return mask

    @property
    def is_mask(self) -> bool:
        """Whether the mask alone is given, and is the result."""
        given = self.packed_mask is not None
        return given and not len(self.points) and self.box is None

    @property
    def shows_object(self) -> bool:
        """Whether it says that the object is in the frame: by a click or a box."""
        return self.box is not None or bool((self.labels == 1).any())

    def extends(self, earlier: Prompt) -> bool:
        """Return whether this is `earlier` with points added."""
        count = len(earlier.points)
        same_box = (
            self.box is None
            if earlier.box is None
            else self.box is not None and np.array_equal(self.box, earlier.box)
        )
        return (
            same_box
            and self.packed_mask is None
            and earlier.packed_mask is None
            and len(self.points) >= count
            and np.array_equal(self.points[:count], earlier.points)
            and np.array_equal(self.labels[:count], earlier.labels)
        )

    def check(self, frame_shape: tuple[int, int]) -> None:
        """Raise `PromptError` if the prompt does not fit a frame of ``(H, W)``."""
        height, width = frame_shape
        size = f"the frame is {width} x {height} pixels (x, y)"
        for x, y in self.points:
            if not (-0.5 <= x <= width and -0.5 <= y <= height):
                raise PromptError(
                    f"The point ({x:g}, {y:g}) lies outside: {size}. Points are given "
                    "as (x, y) in image pixels."
                )
        if self.box is not None:
            x0, y0, x1, y1 = self.box
            if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
                raise PromptError(
                    f"The box {_listed(self.box)} lies outside: {size}. Boxes are "
                    "given as x0, y0, x1, y1 in image pixels."
                )
        packed = self.packed_mask
        if packed is not None and packed.shape != (height, width):
            raise PromptError(
                f"The mask has shape {packed.shape}, the frame "
                f"{(height, width)} (rows, columns): give a mask of the frame's shape."
            )


def _points(points: ArrayLike | None) -> NDArray[np.float32]:
    if points is None:
        return np.zeros((0, 2), np.float32)
    xy = _numbers(points, "points")
    if xy.size == 0:
        return np.zeros((0, 2), np.float32)
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise PromptError(
            f"Points have shape {xy.shape}; give (N, 2), one (x, y) pair for each "
            "point, as in [[30, 42]]."
        )
    return xy


def _labels(labels: ArrayLike | None, count: int) -> NDArray[np.int64]:
    if labels is None:
        return np.ones(count, np.int64)
    values = _numbers(labels, "labels").ravel()
    if len(values) != count:
        raise PromptError(
            f"{len(values)} labels were given for {count} points: give one label (1 "
            "on the object, 0 beside it) for each point."
        )
    if not np.isin(values, (0, 1)).all():
        raise PromptError(
            f"Point labels must be 1 (on the object) or 0 (beside it), got "
            f"{_listed(values)}."
        )
    return values.astype(np.int64)


def _box(box: ArrayLike) -> NDArray[np.float32]:
    corners = _numbers(box, "box").ravel()
    if corners.shape != (4,):
        raise PromptError(
            f"A box is four numbers x0, y0, x1, y1, got {len(corners)} numbers."
        )
    if not (corners[0] < corners[2] and corners[1] < corners[3]):
        raise PromptError(
            f"The box {_listed(corners)} has no area: give x0, y0, x1, y1 with x0 < x1 "
            "and y0 < y1."
        )
    return corners


def _mask(mask: ArrayLike) -> NDArray[np.bool_]:
    array = np.asarray(mask)
    if array.ndim != 2:
        raise PromptError(
            f"A mask has two axes (rows, columns), got shape {array.shape}."
        )
    if array.dtype != np.bool_:
        if array.dtype.kind not in "iuf" or not np.isin(array, (0, 1)).all():
            raise PromptError(
                f"A mask holds True and False (or 1 and 0), got {array.dtype} with "
                "other values: for a label image, compare it with one label."
            )
        array = array.astype(bool)
    return array


def _numbers(values: ArrayLike, name: str) -> NDArray[np.float32]:
    try:
        array = np.array(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise PromptError(f"The prompt's {name} are not numbers: {error}.") from error
    if not np.isfinite(array).all():
        raise PromptError(f"The prompt's {name} hold NaN or infinity: give numbers.")
    return array


def _listed(values: NDArray[Any]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"
