"""Fluorescent looks: how much light comes from where in an object.

Each function takes a geometry and returns (T, H, W) float32 light, about 1 in an
object of usual brightness and 0 outside.
"""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Chromatin:
    """How the inside of a nucleus looks.

    Attributes
    ----------
    grain, patches : float
        Relative deviation of the fine and of the coarse texture.
    nucleoli : float
        Level of the coarse texture above which a nucleolus is, in deviations; large
        for none.
    darkness : float
        Light that a nucleolus lacks, 0 to 1.
    thinning : float
        Power by which light falls from the middle to the border; 0 for none.
    foci : float
        Additional light of bright spots; 0 for none.
    """

    grain: float
    patches: float
    nucleoli: float
    darkness: float = 0.7
    thinning: float = 0.0
    foci: float = 0.0


def random_chromatin(rng: np.random.Generator) -> Chromatin:
    """Draw the looks of the nuclei of one scene."""
    return Chromatin(
        grain=rng.uniform(0, 0.35),
        patches=rng.uniform(0, 0.3),
        nucleoli=rng.uniform(0.7, 1.8) if rng.random() < 0.6 else 9.0,
        darkness=rng.uniform(0.3, 0.9),
        thinning=rng.uniform(0.3, 1.0) if rng.random() < 0.4 else 0.0,
        foci=rng.uniform(0.5, 2.0) if rng.random() < 0.25 else 0.0,
    )


def chromatin(
    rng: np.random.Generator, geometry: Geometry, looks: Chromatin | None = None
) -> Array:
    """Return nuclei: grainy chromatin, dark nucleoli, bright when condensed."""
    looks = looks or random_chromatin(rng)
    light = inside(geometry)
    loose: Array | float = 1.0
    if geometry.condensed.any():
        loose = 1 - geometry.by_voxel(geometry.condensed)
    texture = geometry.fine * np.float32(looks.grain)
    texture += geometry.coarse * np.float32(looks.patches)
    texture *= loose
    texture += 1
    light *= np.clip(texture, 0.15, 3, out=texture)
    if looks.nucleoli < 4:
        holes = smoothstep(geometry.coarse, looks.nucleoli, looks.nucleoli + 0.6)
        radius = geometry.by_voxel(geometry.radius)
        holes *= smoothstep(geometry.depth / radius, 0.1, 0.3)
        light *= 1 - holes * loose * np.float32(looks.darkness)
    if looks.thinning:
        light *= 0.4 + dome(geometry, looks.thinning) * np.float32(0.6)
    if looks.foci:
        light *= 1 + smoothstep(geometry.fine, 1.6, 2.4) * np.float32(looks.foci)
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
    height = dome(geometry, rng.uniform(0.15, 0.6))
    light *= 0.25 + height * np.float32(0.75)
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
