"""Tomograms (X-ray, magnetic resonance): bodies of a few plain densities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.training.synthetic.fields import (
    blur,
    log_uniform,
    smooth_field,
    smoothstep,
)
from napari_sam2.training.synthetic.geometry import (
    Geometry,
    bent_space,
    ellipsoid_depth,
    random_axes,
)

if TYPE_CHECKING:
    from napari_sam2.training.synthetic.arrays import Array


def _ground(rng: np.random.Generator, geometry: Geometry, step: float) -> Array:
    """Return what surrounds the objects: air, a body with a skin, or a matrix."""
    frames, height, width = geometry.labels.shape
    ground = np.full((frames, height, width), rng.uniform(0, 0.15), np.float32)
    tissue = np.float32(rng.uniform(0.25, 0.5))
    if rng.random() < 0.6:
        space = bent_space(
            rng,
            (frames, height, width),
            step=step,
            amplitude=0.04 * min(height, width),
            wavelength=0.8 * min(height, width),
        )
        centre = np.array([frames * step / 2, height / 2, width / 2])
        centre[1:] += rng.normal(0, 0.08, 2) * (height, width)
        side = np.array([height, width]).min()
        semi = np.array([rng.uniform(0.4, 0.75), rng.uniform(0.35, 0.6)]) * side
        drawn = ellipsoid_depth(
            space,
            centre,
            random_axes(rng, 1, 0.05)[0],
            np.array([semi[0], semi[1], max(2.5 * side, 2 * frames * step)]),
            margin=1.0,
        )
        if drawn is not None:
            box, depth = drawn
            body = np.clip(depth + 0.5, 0, 1)
            ground[box] += body * (tissue - ground[box])
            if rng.random() < 0.6:
                thick = np.float32(rng.uniform(1.5, 8))
                shell = np.exp(-np.square((depth - 1.5 * thick) / thick))
                ground[box] += shell * np.float32(rng.uniform(-0.2, 0.5))
    else:
        ground += tissue
    return ground


def densities(rng: np.random.Generator, geometry: Geometry, step: float) -> Array:
    """Return a tomogram (T, H, W), about 0 to 1, of a geometry's objects."""
    grey = _ground(rng, geometry, step)
    shape = (grey.shape[0], grey.shape[1], grey.shape[2])
    levels = rng.uniform(0.05, 1.0, int(rng.integers(1, 6)))
    level = rng.choice(levels, geometry.radius.size).astype(np.float32)
    level += rng.normal(0, 0.02, level.size).astype(np.float32)
    # An object must differ from its ground, if only a little.
    contrast = level - np.float32(grey.mean())
    close = np.abs(contrast) < 0.12
    level[close] += np.where(contrast[close] >= 0, 0.15, -0.15).astype(np.float32)
    content = geometry.by_voxel(level)
    content = content * (1 + geometry.fine * np.float32(rng.uniform(0, 0.1)))
    content += geometry.coarse * np.float32(rng.uniform(0, 0.06))
    if rng.random() < 0.35:
        radius = geometry.by_voxel(geometry.radius)
        wide = np.maximum(radius * np.float32(rng.uniform(0.06, 0.15)), 1.2)
        shell = np.exp(-np.square((geometry.depth - wide) / wide))
        content += shell * np.float32(rng.uniform(-0.25, 0.5))
    if rng.random() < 0.3:
        content -= smoothstep(geometry.coarse, 1.0, 1.3) * np.float32(
            rng.uniform(0.1, 0.4)
        )
    cover = np.clip(geometry.depth + 0.5, 0, 1) * (geometry.labels > 0)
    grey += cover * (content - grey)
    grey += smooth_field(rng, shape, (4.0, 40.0, 40.0)) * np.float32(
        rng.uniform(0, 0.04)
    )
    if rng.random() < 0.6:
        grey += _reconstruction_noise(rng, shape)
    return grey


def _reconstruction_noise(
    rng: np.random.Generator, shape: tuple[int, int, int]
) -> Array:
    """Return the grainy noise and the rings of a reconstruction."""
    noise = blur(
        rng.standard_normal(shape, dtype=np.float32), rng.uniform(0.6, 1.4), 0.5
    )
    noise *= np.float32(log_uniform(rng, (0.02, 0.15)))
    if rng.random() < 0.25:
        _, height, width = shape
        y = np.arange(height, dtype=np.float32)[:, None] - height / 2
        x = np.arange(width, dtype=np.float32)[None, :] - width / 2
        ring = rng.standard_normal(height + width).astype(np.float32)
        radius = np.sqrt(y * y + x * x).astype(np.int32)
        noise += np.take(ring, radius) * np.float32(rng.uniform(0.005, 0.03))
    return noise
