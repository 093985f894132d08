"""Clips cut from annotated stacks.

Shapes: ``T`` frames, ``K`` colours (1 or 3), ``S`` input size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2.inference.views import CONTEXT, LEAST_WINDOW
from napari_sam2.training.sources import DrawnClip, resized, resized_labels
from napari_sam2.training.synthetic.fields import log_uniform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_sam2.data.frames import StackFrames
    from napari_sam2.data.label_reader import LabelStack
    from napari_sam2.training.annotated import AnnotatedStack
    from napari_sam2.training.settings import AugmentParameters, StageParameters

_LEAST_WINDOW = 16  # pixels


@dataclass(frozen=True, slots=True)
class CropParameters:
    """How clips are cut from stacks, and how their contrast is changed.

    Attributes
    ----------
    crop_share : float
        Share of the clips that show a part of the frames, 0 to 1; the others show
        them whole, as a predictor does. Objects too small to be seen so are always
        cut out.
    crop : tuple of float
        Side of the part over that of the frame, uniform in the logarithm.
    around_share : float
        Share of the clips that show the window around an object, about as the network
        sees it where each object has a window of its own, 0 to 1.
    around : tuple of float
        Side of such a window over a predictor's, uniform in the logarithm.
    contrast_share : float
        Share of the clips whose contrast is not the predictor's, 0 to 1.
    gain, offset : tuple of float
        What grey values, 0 to 1, are multiplied with about their middle, and what is
        added.
    """

    crop_share: float = 0.5
    crop: tuple[float, float] = (0.35, 1.0)
    around_share: float = 0.0
    around: tuple[float, float] = (0.6, 1.5)
    contrast_share: float = 0.5
    gain: tuple[float, float] = (0.8, 1.2)
    offset: tuple[float, float] = (-0.1, 0.1)


class StackClips:
    """Clips of consecutive frames from annotated stacks, each as often as the others.

    In either direction; where a stack is shorter than a clip, it turns back at the
    ends. Files are opened in the process that draws.

    Parameters
    ----------
    stacks : sequence of AnnotatedStack
        One or more.
    knobs : CropParameters, optional
        The defaults if None.
    grey : bool
        Show frames in colours as their mean, as a network that sees neighbours does.
    """

    def __init__(
        self,
        stacks: Sequence[AnnotatedStack],
        knobs: CropParameters | None = None,
        *,
        grey: bool = False,
    ) -> None:
        self.stacks = tuple(stacks)
        self.knobs = knobs or CropParameters()
        self.grey = grey
        self._opened: dict[int, tuple[StackFrames, LabelStack]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave opened files behind on the way to another process."""
        return partial(StackClips, grey=self.grey), (self.stacks, self.knobs)

    def __repr__(self) -> str:
        """Return what decides which clips are drawn."""
        ids = [stack.ids for stack in self.stacks]
        return f"StackClips({self.stacks}, {ids}, {self.knobs}, grey={self.grey})"

    def draw(
        self,
        rng: np.random.Generator,
        start: int,
        stage: StageParameters,
        augment: AugmentParameters,
    ) -> DrawnClip:
        """Draw a clip around an object that is on its frame `start`."""
        number = int(rng.integers(len(self.stacks)))
        stack = self.stacks[number]
        table = stack.objects
        steps = np.arange(stage.frames) - start
        if rng.random() < 0.5:
            steps = -steps
        inside = (table.frames + steps.min() >= 0) & (
            table.frames + steps.max() < stack.num_frames
        )
        rows = np.flatnonzero(inside if inside.any() else inside | True)
        chosen = rng.choice(np.unique(table.ids[rows]))
        row = int(rng.choice(rows[table.ids[rows] == chosen]))
        frames = turned_back(table.frames[row] + steps, stack.num_frames)
        window = self._window(rng, stack, row, stage.image_size, augment.least_area)
        images, labels = self._read(number, frames, window)
        if rng.random() < self.knobs.contrast_share:
            images = self._changed(rng, images, augment)
        size = stage.image_size
        return DrawnClip(
            resized(images, size),
            resized_labels(labels, size),
            np.unique(table.ids),
        )

    def _read(
        self, number: int, frames: NDArray[np.int64], window: tuple[slice, slice]
    ) -> tuple[NDArray[np.float32], NDArray[np.integer[Any]]]:
        """Return a window of some frames ``(T, K, h, w)``, and labels ``(T, h, w)``."""
        if number not in self._opened:
            self._opened[number] = self.stacks[number].open()
        source, truth = self._opened[number]
        contrast = self.stacks[number].contrast
        images = []
        for frame in frames:
            pixels = source[int(frame)][window]
            if self.grey or pixels.ndim == 2:
                images.append(contrast.apply_grey(pixels)[None])
            else:
                images.append(contrast.apply(pixels).transpose(2, 0, 1))
        labels = [truth[int(frame)][window] for frame in frames]
        return np.stack(images), np.stack(labels)

    def _window(
        self,
        rng: np.random.Generator,
        stack: AnnotatedStack,
        row: int,
        size: int,
        least_area: int,
    ) -> tuple[slice, slice]:
        """Draw a part of the frames that shows an object, large enough."""
        knobs = self.knobs
        height, width = stack.frame_shape
        y0, x0, y1, x1 = (int(corner) for corner in stack.objects.boxes[row])
        if knobs.around_share and rng.random() < knobs.around_share:
            extent = CONTEXT * max(y1 - y0, x1 - x0) * log_uniform(rng, knobs.around)
            extent = max(extent, LEAST_WINDOW * size)
            return (
                _part(rng, height, extent / height, y0, y1),
                _part(rng, width, extent / width, x0, x1),
            )
        side = log_uniform(rng, knobs.crop) if rng.random() < knobs.crop_share else 1.0
        share = stack.objects.areas[row] / (height * width)
        # Twice the least area, since what is cut is resized to the nearest pixel.
        side = min(side, math.sqrt(share * size * size / (2 * least_area)))
        return _part(rng, height, side, y0, y1), _part(rng, width, side, x0, x1)

    def _changed(
        self,
        rng: np.random.Generator,
        images: NDArray[np.float32],
        augment: AugmentParameters,
    ) -> NDArray[np.float32]:
        """Return grey values 0..1 of another contrast."""
        gain, offset = rng.uniform(*self.knobs.gain), rng.uniform(*self.knobs.offset)
        gamma = np.float32(log_uniform(rng, augment.gamma))
        moved = (images - np.float32(0.5)) * np.float32(gain) + np.float32(0.5 + offset)
        out: NDArray[np.float32] = moved.clip(0, 1) ** gamma
        return out


def turned_back(frames: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return frame numbers that turn back where a stack of `count` frames ends."""
    if count == 1:
        return np.zeros_like(frames)
    folded = np.abs(frames) % (2 * count - 2)
    out: NDArray[np.int64] = np.minimum(folded, 2 * count - 2 - folded)
    return out


def _part(
    rng: np.random.Generator, length: int, side: float, first: int, last: int
) -> slice:
    """Draw a part of an axis with `first` to `last`, or what fits of them."""
    extent = min(max(round(side * length), _LEAST_WINDOW), length)
    lowest, highest = sorted((last - extent, first))
    begin = int(rng.integers(lowest, highest + 1))
    begin = min(max(begin, 0), length - extent)
    return slice(begin, begin + extent)
