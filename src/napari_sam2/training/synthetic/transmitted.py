"""Transmitted light: phase contrast and differential interference contrast.

Both show optical thickness: phase contrast subtracts a blurred copy (hence halos and
shade-off), interference contrast takes a slope (hence relief).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.training.synthetic.fields import (
    blur,
    smooth_field,
    smoothstep,
    wide_blur,
)

if TYPE_CHECKING:
    from napari_sam2.training.synthetic.arrays import Array
    from napari_sam2.training.synthetic.geometry import Geometry


def thickness(rng: np.random.Generator, geometry: Geometry, flatness: float) -> Array:
    """Return the optical thickness (T, H, W), about 1 in the middle of a cell.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    geometry : Geometry
        Cells, perhaps with nuclei.
    flatness : float
        Share of the radius over which the cell rises to its height.
    """
    radius = geometry.by_voxel(geometry.radius)
    depth = np.clip(geometry.depth, 0, None)
    rise: Array = 1 - np.exp(-depth / (radius * np.float32(flatness)))
    height = geometry.by_voxel(geometry.brightness)
    condensed = geometry.by_voxel(geometry.condensed)
    body = rise * height * (1 + 1.2 * condensed)
    grain = geometry.fine * np.float32(rng.uniform(0.05, 0.3))
    grain += geometry.coarse * np.float32(rng.uniform(0.02, 0.2))
    nucleus = smoothstep(geometry.inner, -1.0, 1.5)
    body += grain * rise * (1 - 0.7 * nucleus) * (1 - 0.6 * condensed)
    body += nucleus * np.float32(rng.uniform(-0.2, 0.35))
    nucleoli = smoothstep(geometry.coarse, 0.9, 1.5) * smoothstep(geometry.inner, 1, 3)
    body += nucleoli * np.float32(rng.uniform(0.2, 0.7))
    if rng.random() < 0.6:
        granules = smoothstep(geometry.fine, 1.7, 2.4) * rise
        body += granules * np.float32(rng.uniform(0.3, 1.2))
    body *= geometry.labels > 0
    return body


def phase_contrast(rng: np.random.Generator, geometry: Geometry) -> Array:
    """Return a phase contrast image about 0: dark cells in bright halos."""
    usual = float(np.median(geometry.radius[1:])) if geometry.radius.size > 1 else 10.0
    body = blur(thickness(rng, geometry, rng.uniform(0.15, 0.6)), rng.uniform(0.4, 1.2))
    reach = usual * rng.uniform(0.25, 0.9) + 1.5
    halo = wide_blur(body, reach) if reach > 6 else blur(body, reach)
    image = np.float32(rng.uniform(0.7, 1.0)) * halo - body * np.float32(
        rng.uniform(0.5, 1.1)
    )
    # Light that a thick, round cell focuses: why dividing cells shine.
    round_cells = geometry.by_voxel(geometry.condensed) * smoothstep(
        geometry.depth / geometry.by_voxel(geometry.radius), 0.1, 0.6
    )
    image += round_cells * np.float32(rng.uniform(0.5, 2.5))
    if rng.random() < 0.15:
        image = -image
    return image


def interference_contrast(rng: np.random.Generator, geometry: Geometry) -> Array:
    """Return a DIC image about 0: a relief lit from one side."""
    flatness, softness = rng.uniform(0.1, 0.5), rng.uniform(0.5, 1.3)
    body: Array = blur(thickness(rng, geometry, flatness), softness)
    _, height, width = body.shape
    if rng.random() < 0.7:
        # Cells lie on a coating that has a faint relief of its own.
        coating = smooth_field(rng, (1, height, width), (1, 6, 6))
        body = body + np.float32(rng.uniform(0, 0.12)) * coating
    turn = rng.uniform(0, 2 * np.pi)
    slope_y: Array = np.gradient(body, axis=1)
    slope_x: Array = np.gradient(body, axis=2)
    usual = float(np.median(geometry.radius[1:])) if geometry.radius.size > 1 else 10.0
    gain = np.float32(min(max(usual / 4, 1.0), 5.0))
    image = slope_y * (gain * np.float32(np.sin(turn)))
    image += slope_x * (gain * np.float32(np.cos(turn)))
    image -= body * np.float32(rng.uniform(0, 0.25))
    return image
