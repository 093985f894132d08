"""Fluorescent looks: how much light comes from where in an object.

Each function takes a geometry and returns (T, H, W) float32 light, about 1 in an
object of usual brightness and 0 outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.training.synthetic.fields import smoothstep

if TYPE_CHECKING:
    from napari_sam2.training.synthetic.arrays import Array
    from napari_sam2.training.synthetic.geometry import Geometry


def inside(geometry: Geometry, softness: float = 1.0) -> Array:
    """Return how much of each voxel an object covers, 0 to 1."""
    covered: Array = np.clip(geometry.depth / np.float32(softness) + 0.5, 0, 1)
    covered *= geometry.labels > 0
    return covered


def dome(geometry: Geometry, power: float) -> Array:
    """Return 0 at the border to 1 in the middle, raised to a power."""
    radius = geometry.by_voxel(geometry.radius)
    height: Array = np.clip(geometry.depth / radius, 0, 1) ** np.float32(power)
    return height


def chromatin(rng: np.random.Generator, geometry: Geometry) -> Array:
    """Return nuclei: grainy chromatin, dark nucleoli, bright when condensed."""
    light = inside(geometry)
    condensed = geometry.by_voxel(geometry.condensed)
    loose = 1 - condensed
    texture = geometry.fine * np.float32(rng.uniform(0, 0.35))
    texture += geometry.coarse * np.float32(rng.uniform(0, 0.3))
    light *= np.clip(1 + texture * loose, 0.15, 3)
    if rng.random() < 0.6:
        threshold = rng.uniform(0.7, 1.8)
        holes = smoothstep(geometry.coarse, threshold, threshold + 0.6)
        radius = geometry.by_voxel(geometry.radius)
        holes *= smoothstep(geometry.depth / radius, 0.1, 0.3)
        light *= 1 - np.float32(rng.uniform(0.3, 0.9)) * holes * loose
    if rng.random() < 0.4:
        light *= 0.4 + 0.6 * dome(geometry, rng.uniform(0.3, 1.0))
    if rng.random() < 0.25:
        spots = smoothstep(geometry.fine, 1.6, 2.4)
        light *= 1 + np.float32(rng.uniform(0.5, 2)) * spots
    light *= geometry.by_voxel(geometry.brightness)
    return light


def rim(rng: np.random.Generator, geometry: Geometry) -> Array:
    """Return hollow objects: a bright shell, little or nothing inside."""
    radius = geometry.by_voxel(geometry.radius)
    share = rng.uniform(0.08, 0.22)
    width = np.maximum(radius * np.float32(share), 1.0)
    light: Array = np.exp(-np.square((geometry.depth - width) / width))
    light *= np.clip(1 + geometry.fine * np.float32(rng.uniform(0, 0.3)), 0.1, 3)
    light += np.float32(rng.uniform(0, 0.45)) * inside(geometry)
    light *= geometry.labels > 0
    light *= geometry.by_voxel(geometry.brightness)
    return light


def cytoplasm(rng: np.random.Generator, geometry: Geometry) -> Array:
    """Return whole cells: granular, thin at the edge, nucleus dark or bright."""
    light = inside(geometry)
    texture = geometry.fine * np.float32(rng.uniform(0.05, 0.35))
    texture += geometry.coarse * np.float32(rng.uniform(0, 0.35))
    light *= np.clip(1 + texture, 0.1, 3)
    light *= np.float32(0.25) + np.float32(0.75) * dome(geometry, rng.uniform(0.2, 0.9))
    nucleus = smoothstep(geometry.inner, -1.0, 1.0)
    light *= 1 - np.float32(rng.choice([0.9, 0.6, 0.3, -0.8])) * nucleus
    if rng.random() < 0.35:
        width = np.float32(rng.uniform(1.0, 2.5))
        cortex = np.exp(-np.square((geometry.depth - width) / width))
        light += np.float32(rng.uniform(0.3, 1.0)) * cortex * (geometry.labels > 0)
    light *= geometry.by_voxel(geometry.brightness)
    return light


def membranes(rng: np.random.Generator, geometry: Geometry, width: float) -> Array:
    """Return stained walls between touching cells, some nuclei or cytoplasm."""
    light: Array = np.exp(-np.square(geometry.wall / np.float32(width)))
    uneven = 1 + geometry.coarse * np.float32(rng.uniform(0, 0.35))
    light *= np.clip(uneven, 0.2, 2.5)
    body = geometry.by_voxel(geometry.brightness)
    body = body * np.float32(rng.uniform(0, 0.35))
    body *= np.clip(1 + geometry.fine * np.float32(rng.uniform(0, 0.4)), 0.1, 3)
    light += body
    if rng.random() < 0.3:
        nucleus = smoothstep(geometry.inner, -1.0, 1.0)
        light += np.float32(rng.uniform(-0.2, 0.8)) * nucleus
    light *= geometry.labels > 0
    np.clip(light, 0, None, out=light)
    return light
