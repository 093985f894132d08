"""Electron micrographs: membranes, mitochondria with cristae, vesicles, neuropil.

Grey levels are about 0 (dense stain) to 1 (resin). Widths scale with the size of the
objects, so that a scene keeps its look at every magnification.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.training.synthetic.fields import (
    level_distance,
    smooth_field,
    smoothstep,
)
from napari_sam2.training.synthetic.geometry import (
    Canvas,
    Geometry,
    bent_space,
    ellipsoid_depth,
    random_axes,
)

if TYPE_CHECKING:
    from napari_sam2.training.synthetic.arrays import Array, Labels


def _line(distance: Array, width: float) -> Array:
    """Return 1 on a line of `width` pixels to 0 beside it."""
    line: Array = np.exp(-np.square(distance * np.float32(2 / width)))
    return line


def cytosol(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    step: float,
    scale: float,
) -> Array:
    """Return the ground of a micrograph: ribosomes, reticulum, vesicles, shading.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    shape : tuple of int
        (T, H, W).
    step : float
        Pixels between planes.
    scale : float
        Pixels across a small organelle; membranes are about a tenth of it wide.
    """

    def field(grain: float) -> Array:
        return smooth_field(rng, shape, (grain / step, grain, grain))

    thin = float(np.clip(scale * 0.09, 1.2, 4.0))
    grey = np.full(shape, rng.uniform(0.55, 0.8), np.float32)
    grey += field(2.5 * scale) * np.float32(rng.uniform(0.01, 0.06))
    grain = field(max(thin, 1.6))
    grey += grain * np.float32(rng.uniform(0.01, 0.05))
    grey -= smoothstep(grain, 1.1, 2.2) * np.float32(rng.uniform(0.0, 0.35))
    where = field(3 * scale)
    reticulum = _line(level_distance(field(0.9 * scale), 0.0), thin)
    reticulum *= smoothstep(where, rng.uniform(-0.5, 1.0), 1.5)
    grey -= reticulum * np.float32(rng.uniform(0.1, 0.4))
    if rng.random() < 0.7:
        border = level_distance(field(rng.uniform(3, 8) * scale), rng.uniform(-1, 1))
        grey -= _line(border, 1.3 * thin) * np.float32(rng.uniform(0.2, 0.5))
        if rng.random() < 0.5:
            # A gap of resin between two cells.
            gap = _line(border, 0.8 * thin) * np.float32(rng.uniform(0.2, 0.5))
            grey += gap
    _add_vesicles(rng, grey, step, scale, thin)
    return grey


def _add_vesicles(
    rng: np.random.Generator, grey: Array, step: float, scale: float, thin: float
) -> None:
    """Put dark granules, pale vacuoles and ringed vesicles into a micrograph."""
    canvas = Canvas((grey.shape[0], grey.shape[1], grey.shape[2]))
    space = bent_space(rng, canvas.shape, step=step, amplitude=0.0, wavelength=1.0)
    count = int(rng.integers(0, 25))
    high = np.array([grey.shape[0] * step, grey.shape[1], grey.shape[2]])
    looks = rng.uniform(-0.45, 0.3, count + 1).astype(np.float32)
    looks[0] = 0
    rings = (rng.random(count + 1) < 0.6).astype(np.float32)
    rings[0] = 0
    axes = random_axes(rng, count + 1)
    for number in range(1, count + 1):
        radius = scale * rng.uniform(0.12, 0.45)
        semi = radius * rng.uniform(0.8, 1.25, 3)
        centre = rng.uniform(0, 1, 3) * high
        drawn = ellipsoid_depth(space, centre, axes[number], semi, margin=1.0)
        if drawn is not None:
            canvas.add(drawn[0], drawn[1], number)
    labels, depth, _ = canvas.finish()
    grey += np.take(looks, labels) * np.clip(depth, 0, 1)
    grey -= np.take(rings, labels) * _line(depth - thin / 2, thin) * np.float32(0.3)


def stain_mitochondria(
    rng: np.random.Generator, grey: Array, geometry: Geometry, step: float
) -> Array:
    """Return a micrograph with the objects as mitochondria: envelope and cristae."""
    usual = float(np.median(geometry.radius[1:])) if geometry.radius.size > 1 else 10.0
    thin = float(np.clip(usual * 0.16, 1.2, 4.0))
    shape = (grey.shape[0], grey.shape[1], grey.shape[2])
    matrix = rng.uniform(0.3, 0.62)
    content = np.full(shape, matrix, np.float32)
    content += geometry.fine * np.float32(rng.uniform(0.01, 0.06))
    content += geometry.by_voxel(geometry.brightness - 1) * np.float32(0.15)
    if rng.random() < 0.85:
        period = max(usual * rng.uniform(0.3, 0.7), 3.0)
        heading = random_axes(rng, 1)[0, 0] * (2 * np.pi / period)
        z = np.arange(shape[0], dtype=np.float32)[:, None, None] * (heading[0] * step)
        y = np.arange(shape[1], dtype=np.float32)[None, :, None] * heading[1]
        x = np.arange(shape[2], dtype=np.float32)[None, None, :] * heading[2]
        wander = np.float32(rng.uniform(1.5, 5)) * geometry.coarse
        wave = np.cos(wander + (z + y + x))
        lamellae = smoothstep(wave, 0.45, 0.95)
        lamellae *= np.clip(0.6 + 0.5 * geometry.fine, 0, 1.3)
        strength = np.float32(rng.choice([0.35, 0.25, 0.15, -0.25]))
        content -= lamellae * strength
    cover = np.clip(geometry.depth + 0.5, 0, 1) * (geometry.labels > 0)
    mixed: Array = grey + cover * (content - grey)
    envelope = _line(geometry.depth - thin * 0.6, thin)
    mixed -= envelope * np.float32(rng.uniform(0.1, 0.4))
    if rng.random() < 0.5:
        pale = _line(geometry.depth - thin * 1.7, thin) * cover
        mixed += pale * np.float32(rng.uniform(0.02, 0.15))
    return mixed


def stain_neuropil(
    rng: np.random.Generator, grey: Array, geometry: Geometry, width: float
) -> Array:
    """Return a micrograph of packed cells: dark walls, contents of their own grey."""
    mixed: Array = grey + geometry.by_voxel(geometry.brightness - 1) * np.float32(0.25)
    if rng.random() < 0.6:
        blobs = smoothstep(geometry.coarse, 1.1, 1.5)
        blobs *= smoothstep(geometry.wall, width, 2.5 * width)
        mixed -= blobs * np.float32(rng.uniform(0.1, 0.35))
    mixed -= _line(geometry.wall, width) * np.float32(rng.uniform(0.3, 0.6))
    return mixed


def shift_sections(
    rng: np.random.Generator, grey: Array, labels: Labels
) -> tuple[Array, Labels]:
    """Return sections moved and stained unequally, as a series is before alignment.

    Both arrays are (T, H, W); what leaves the field is replaced by its edge.
    """
    planes, height, width = grey.shape
    steps = np.rint(rng.normal(0, rng.uniform(0.4, 1.6), (planes, 2))).astype(int)
    rows = np.clip(np.arange(height) + steps[:, :1], 0, height - 1)
    columns = np.clip(np.arange(width) + steps[:, 1:], 0, width - 1)
    plane = np.arange(planes)[:, None, None]
    where = (plane, rows[:, :, None], columns[:, None, :])
    gain = rng.normal(1, 0.12, (planes, 1, 1)).clip(0.6, 1.5).astype(np.float32)
    offset = rng.normal(0, 0.04, (planes, 1, 1)).astype(np.float32)
    moved = grey[where]
    middle = np.float32(moved.mean())
    return (moved - middle) * gain + middle + offset, labels[where]
