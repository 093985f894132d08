"""Weights and frames behind the golden vectors: the same on every machine."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_sam2.model.sam2 import Sam2

_SCORE_BIAS = "sam_mask_decoder.pred_obj_score_head.layers.2.bias"
_IOU_WEIGHT = "sam_mask_decoder.iou_prediction_head.layers.2.weight"
_SINGLE_MASK = "sam_mask_decoder.output_hypernetworks_mlps.0.layers.2."


def fill(name: str, shape: Sequence[int]) -> NDArray[np.float32]:
    """Weights of one state-dict entry, from its name and shape alone."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    x = rng.standard_normal(tuple(shape))
    if "gaussian" in name:
        pass
    elif len(shape) >= 2:
        x *= 1.2 / np.sqrt(max(1, int(np.prod(shape[1:]))))
    elif name.endswith(("weight", "gamma")):
        x = 1.0 + 0.1 * x
    else:
        x *= 0.1
    if name == _SCORE_BIAS:
        x = x + 3.0
    if name == _IOU_WEIGHT:
        x = x * 0.1
    return x.astype(np.float32)


def fill_hard(name: str, shape: Sequence[int]) -> NDArray[np.float32]:
    """As `fill`, but some objects are absent and some single masks unstable."""
    x = fill(name, shape)
    if name == _SCORE_BIAS:
        x = x - np.float32(3.7)
    if name.startswith(_SINGLE_MASK):
        x = x * np.float32(0.02)
    return x


def seed_weights(
    model: Sam2, formula: Callable[[str, Sequence[int]], NDArray[np.float32]]
) -> Sam2:
    """Give every weight of a network the value of a formula."""
    weights = {
        name: torch.from_numpy(formula(name, value.shape))
        for name, value in model.state_dict().items()
    }
    model.load_state_dict(weights)
    return model


@dataclass(frozen=True)
class Scene:
    """Drifting soft discs over smooth noise: ``frames`` is (T, S, S, 3) uint8."""

    frames: NDArray[np.uint8]
    centres: NDArray[np.float64]
    velocities: NDArray[np.float64]
    radii: NDArray[np.float64]

    @property
    def size(self) -> int:
        return self.frames.shape[1]

    def yx(self, disc: int, frame: int) -> NDArray[np.float64]:
        """Centre of a disc, (row, column)."""
        return self.centres[disc] + self.velocities[disc] * frame

    def xy(self, disc: int, frame: int) -> NDArray[np.float64]:
        """Centre of a disc, (x, y)."""
        return self.yx(disc, frame)[::-1]

    def box(self, disc: int, frame: int) -> NDArray[np.float64]:
        """Box around a disc: x0, y0, x1, y1."""
        centre, radius = self.xy(disc, frame), self.radii[disc]
        return np.concatenate([centre - radius, centre + radius])

    def mask(self, disc: int, frame: int) -> NDArray[np.bool_]:
        """Pixels nearer to the centre of a disc than its radius."""
        rows, columns = np.mgrid[: self.size, : self.size]
        row, column = self.yx(disc, frame)
        return np.hypot(rows - row, columns - column) < self.radii[disc]


def scene(num_frames: int, size: int, seed: int) -> Scene:
    """Five discs in RGB."""
    rng = np.random.Generator(np.random.PCG64(seed))
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float64)
    discs = 5
    centres = rng.uniform(0.2, 0.8, (discs, 2)) * size
    velocities = rng.uniform(-0.02, 0.02, (discs, 2)) * size
    radii = rng.uniform(0.08, 0.16, discs) * size
    colours = rng.uniform(60, 200, (discs, 3))
    phases = rng.uniform(0, 6.28, (4,))
    frames = np.empty((num_frames, size, size, 3), np.uint8)
    for t in range(num_frames):
        channels = [
            30
            + 12 * np.sin(columns / size * 9 + phases[i])
            + 9 * np.cos(rows / size * 7 + phases[3] + i + 0.1 * t)
            for i in range(3)
        ]
        image = np.stack(channels, -1)
        for disc in range(discs):
            row, column = centres[disc] + velocities[disc] * t
            distance = np.hypot(rows - row, columns - column)
            # Far away exp overflows to infinity, which gives the 0 that is meant.
            with np.errstate(over="ignore"):
                soft = 1 / (1 + np.exp((distance - radii[disc]) / 1.5))
            image += soft[..., None] * colours[disc]
        frames[t] = np.clip(np.rint(image), 0, 255)
    return Scene(frames, centres, velocities, radii)
