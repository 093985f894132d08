"""Which window of a frame the network sees for an object.

A network sees few pixels of a frame, however large that is. Where a configuration or
an option asks for it, each object is seen in a window of its own, about three times as
wide as it is. The window of a frame follows from the mask of the frame before, and
stays where it is while that mask lies well inside: memories are maps of a window, and
are encoded anew when it moves.

Boxes are (y0, y1, x0, x1) in frame pixels, ends exclusive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.inference.results import bounding_box
from napari_sam2.model.records import View

if TYPE_CHECKING:
    from napari_sam2.inference.prompt import Prompt
    from napari_sam2.inference.results import FrameResult

Box = tuple[float, float, float, float]

CONTEXT = 3.0
"""Side of a new window over the longer side of the object in it."""

LEAST_WINDOW = 0.25
"""Share of the input's side: a narrower window shows no more than it has pixels."""
# A window almost as large as the frame is the frame, which all objects share.
_ALMOST_WHOLE = 0.8
# An object's longer side over that of its window: outside of this, another is better.
_SMALLEST_PROMPTED, _SMALLEST_TRACKED, _LARGEST = 0.2, 0.1, 0.6
# Pixels between object and border over the side of the window.
_MARGIN = 0.08


@dataclass(frozen=True, slots=True)
class ViewRules:
    """The windows that the objects of a stack are seen in.

    Attributes
    ----------
    frame_shape : tuple of int
        ``(H, W)`` of the frames in pixels.
    input_size : int
        Side of the network's input in pixels.
    by_object : bool
        Whether each object has a window of its own; if not, the network sees whole
        frames.
    """

    frame_shape: tuple[int, int]
    input_size: int
    by_object: bool = False

    @property
    def whole(self) -> View:
        """The view of whole frames."""
        return View.whole(self.frame_shape, self.input_size)

    def around(self, box: Box) -> View:
        """Return a new view with an object in its middle, as far as the frame goes."""
        y0, y1, x0, x1 = box
        return self._centred(
            (y0 + y1) / 2, (x0 + x1) / 2, CONTEXT * max(y1 - y0, x1 - x0)
        )

    def kept(self, view: View, box: Box | None, *, prompted: bool = False) -> View:
        """Return the view if an object is well seen in it, else a better one.

        Parameters
        ----------
        view : View
            Where it is seen.
        box : tuple of float, optional
            Where it is; None if it is not in the frame, which leaves the view.
        prompted : bool
            Whether the frame is prompted: no memories are lost then by looking closer.
        """
        if not self.by_object or box is None:
            return view
        y0, y1, x0, x1 = box
        share = max((y1 - y0) / view.height, (x1 - x0) / view.width)
        smallest = _SMALLEST_PROMPTED if prompted else _SMALLEST_TRACKED
        height, width = self.frame_shape
        gap_y, gap_x = _MARGIN * view.height, _MARGIN * view.width
        bottom, right = view.y0 + view.height, view.x0 + view.width
        inside = (
            (view.y0 == 0 or y0 >= view.y0 + gap_y)
            and (view.x0 == 0 or x0 >= view.x0 + gap_x)
            and (bottom == height or y1 <= bottom - gap_y)
            and (right == width or x1 <= right - gap_x)
        )
        large = share > _LARGEST and view != self.whole
        least = math.ceil(LEAST_WINDOW * self.input_size)
        closer = max(view.height, view.width) > least
        small = share < smallest and closer
        if inside and not large and not small:
            return view
        return self.around(box)

    def shows(self, view: View, prompt: Prompt) -> bool:
        """Return whether the clicks, the box and the mask of a prompt lie in a view."""
        box = prompt_box(prompt)
        ys, xs = prompt.points[:, 1].tolist(), prompt.points[:, 0].tolist()
        if box is not None:
            ys, xs = [*ys, *box[:2]], [*xs, *box[2:]]
        return not ys or (
            view.y0 <= min(ys)
            and max(ys) <= view.y0 + view.height
            and view.x0 <= min(xs)
            and max(xs) <= view.x0 + view.width
        )

    def for_prompt(self, prompt: Prompt, known: View | None) -> list[View]:
        """Return where a prompt is looked at first.

        One view, where it is known how large the object is. The first clicks do not say
        so: views of many sizes, the whole frame first.

        Parameters
        ----------
        prompt : Prompt
            A mask or a box says where the object is, and how large; clicks only where.
        known : View, optional
            Where the object is seen on that frame, or near it; None if nowhere.
        """
        if not self.by_object:
            return [self.whole]
        box = prompt_box(prompt)
        if box is not None:
            return [self.around(box) if known is None else self.kept(known, box)]
        if not len(prompt.points):  # an empty mask
            return [self.whole if known is None else known]
        xs, ys = prompt.points[:, 0], prompt.points[:, 1]
        bounds = (float(ys.min()), float(ys.max()), float(xs.min()), float(xs.max()))
        y, x = (bounds[0] + bounds[1]) / 2, (bounds[2] + bounds[3]) / 2
        least = 2 * max(bounds[1] - bounds[0], bounds[3] - bounds[2])
        if known is not None:
            if _covers(known, bounds):
                return [known]
            # Where the clicks are, and as large as it was, or larger.
            return [self._centred(y, x, max(known.height, known.width, least))]
        sizes = [float(max(self.frame_shape))]
        while sizes[-1] / 2 >= max(least, LEAST_WINDOW * self.input_size):
            sizes.append(sizes[-1] / 2)
        return list(dict.fromkeys(self._centred(y, x, size) for size in sizes))

    def _centred(self, y: float, x: float, side: float) -> View:
        """Return a view of about `side` pixels around a point."""
        height, width = self.frame_shape
        whole = math.ceil(max(side, LEAST_WINDOW * self.input_size))
        if whole >= _ALMOST_WHOLE * max(height, width):
            return self.whole
        tall, wide = min(whole, height), min(whole, width)
        return View(
            min(max(round(y - tall / 2), 0), height - tall),
            min(max(round(x - wide / 2), 0), width - wide),
            tall,
            wide,
            self.input_size,
        )


def prompt_box(prompt: Prompt) -> Box | None:
    """Return where a prompt says that an object is; None if by clicks alone."""
    mask = prompt.mask
    if mask is not None and mask.any():
        y0, y1, x0, x1 = bounding_box(mask)
        return float(y0), float(y1), float(x0), float(x1)
    if prompt.box is not None:
        left, top, right, bottom = (float(side) for side in prompt.box)
        return top, bottom, left, right
    return None


def result_box(result: FrameResult) -> Box | None:
    """Return where an object was found; None if it was not."""
    if result.exact is not None:
        mask = result.exact.unpack()
        if not mask.any():
            return None
        y0, y1, x0, x1 = bounding_box(mask)
        return float(y0), float(y1), float(x0), float(x1)
    found = result.logits > 0
    if not result.present or not np.any(found):
        return None
    y0, y1, x0, x1 = bounding_box(found)
    view = result.view
    down, across = view.height / found.shape[0], view.width / found.shape[1]
    return (
        view.y0 + y0 * down,
        view.y0 + y1 * down,
        view.x0 + x0 * across,
        view.x0 + x1 * across,
    )


def _covers(view: View, box: Box) -> bool:
    """Return whether a box lies in a view."""
    y0, y1, x0, x1 = box
    return (
        view.y0 <= y0
        and y1 < view.y0 + view.height
        and view.x0 <= x0
        and x1 < view.x0 + view.width
    )
