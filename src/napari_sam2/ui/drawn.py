"""Prompts as they are drawn: comparable, and made into what the network takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.inference.prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

_MANY = 2**20

Pair = tuple[float, float]
Where = tuple[int, int]
"""Object id and frame."""


@dataclass(frozen=True, slots=True, eq=False)
class CroppedMask:
    """A mask ``(H, W)``, kept as the part that is not empty.

    Two are equal only if they are the same object: a mask painted anew counts as
    changed.
    """

    shape: tuple[int, int]
    y0: int
    x0: int
    part: NDArray[np.bool_] = field(repr=False)

    @classmethod
    def crop(cls, mask: NDArray[np.bool_]) -> CroppedMask:
        """Keep a copy of a mask."""
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        shape = (mask.shape[0], mask.shape[1])
        if not len(rows):
            return cls(shape, 0, 0, np.zeros((0, 0), bool))
        y0, x0 = int(rows[0]), int(columns[0])
        return cls(shape, y0, x0, mask[y0 : rows[-1] + 1, x0 : columns[-1] + 1].copy())

    @classmethod
    def crop_each(
        cls, labels: NDArray[np.integer], object_ids: Iterable[int]
    ) -> dict[int, CroppedMask]:
        """Keep a copy of the mask of each object in labels ``(H, W)``."""
        from scipy import ndimage

        ids = list(object_ids)
        most = max(ids, default=0)
        if most > _MANY:  # a box for each number up to the largest takes too much room
            return {i: cls.crop(labels == i) for i in ids}
        boxes = ndimage.find_objects(labels, most)
        shape = (labels.shape[0], labels.shape[1])
        masks = {}
        for object_id in ids:
            box = boxes[object_id - 1]
            if box is None:
                masks[object_id] = cls(shape, 0, 0, np.zeros((0, 0), bool))
                continue
            part = labels[box] == object_id
            masks[object_id] = cls(shape, box[0].start, box[1].start, part)
        return masks

    def same_pixels(self, other: CroppedMask) -> bool:
        """Return whether both have the same pixels."""
        return (self.y0, self.x0) == (other.y0, other.x0) and np.array_equal(
            self.part, other.part
        )

    @property
    def empty(self) -> bool:
        """Whether it has no pixel."""
        return not self.part.size

    def whole(self) -> NDArray[np.bool_]:
        """Return the mask ``(H, W)``."""
        mask = np.zeros(self.shape, bool)
        height, width = self.part.shape
        mask[self.y0 : self.y0 + height, self.x0 : self.x0 + width] = self.part
        return mask


@dataclass(frozen=True, slots=True)
class Drawn:
    """All that is drawn for one object on one frame.

    Attributes
    ----------
    points : tuple
        (x, y) of each point, in pixels.
    labels : tuple of int
        1 on the object, 0 beside it.
    box : tuple of float, optional
        x0, y0, x1, y1.
    outlines : tuple
        Closed lines as (y, x) of their corners.
    mask : CroppedMask, optional
        What was painted.
    """

    points: tuple[Pair, ...] = ()
    labels: tuple[int, ...] = ()
    box: tuple[float, float, float, float] | None = None
    outlines: tuple[tuple[Pair, ...], ...] = ()
    mask: CroppedMask | None = None

    def prompt(self, frame_shape: tuple[int, int]) -> Prompt:
        """Return the prompt that is meant, on a frame of ``(H, W)``.

        What is painted and what is outlined add up to one mask.

        Raises
        ------
        PromptError
            If nothing is drawn.
        """
        mask = None if self.mask is None else self.mask.whole()
        for outline in self.outlines:
            filled = outlined(np.array(outline), frame_shape)
            mask = filled if mask is None else mask | filled
        return Prompt(
            points=self.points or None,
            labels=self.labels or None,
            box=self.box,
            mask=mask,
        )


def outlined(
    corners: NDArray[np.floating], frame_shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return the pixels ``(H, W)`` of a frame whose centres an outline goes around.

    Corners are ``(N, 2)``, rows and columns.
    """
    from skimage.draw import polygon

    filled = np.zeros(frame_shape, bool)
    ys, xs = corners.T
    inside = polygon(ys, xs, frame_shape)  # type: ignore[no-untyped-call]
    filled[inside] = True
    return filled
