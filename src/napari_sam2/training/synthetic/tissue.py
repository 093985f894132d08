"""Cells that fill a volume, each up to the curved walls of its neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.training.synthetic.geometry import (
    FAR,
    Box,
    Canvas,
    Geometry,
    Space,
    bent_space,
    random_axes,
)
from napari_sam2.training.synthetic.packing import fill
from napari_sam2.training.synthetic.solid import Solids, solid_geometry, textures

if TYPE_CHECKING:
    from napari_sam2.training.synthetic.arrays import Array, Vector

# How far a cell reaches at most, in spacings of the lattice it comes from.
_REACH = 0.98


def _sphere_depth(points: Array, box: Box, centre: Vector, radius: float) -> Array:
    """Return the depth in a sphere for the voxels of a box."""
    z, y, x = points[(slice(None), *box)]
    depth: Array = z - np.float32(centre[0])
    depth *= depth
    for along, middle in ((y, centre[1]), (x, centre[2])):
        offset = along - np.float32(middle)
        offset *= offset
        depth += offset
    np.sqrt(depth, out=depth)
    return np.subtract(np.float32(radius), depth, out=depth)


def draw_tissue(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    solids: Solids,
    *,
    pad: int,
    surface: bool,
    fine: float = 2.5,
    coarse: float = 8.0,
    nucleus: float = 0.0,
    brightness_spread: float = 0.25,
) -> Geometry:
    """Return the geometry of a tissue.

    All cells are stretched along the same axes, as in a growing organ.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    shape : tuple of int
        (T, H, W) with padding planes.
    solids : Solids
        Size and shape of the cells.
    pad : int
        Padding planes at either end.
    surface : bool
        Whether the tissue ends within the volume.
    fine, coarse, nucleus, brightness_spread
        As in `draw_ellipsoids`.
    """
    spacing = solids.diameter
    space = bent_space(
        rng,
        shape,
        step=solids.step,
        amplitude=solids.roughness * spacing / 2,
        wavelength=spacing * rng.uniform(0.8, 1.6),
    )
    stretch = np.array([rng.uniform(1, solids.elongation), 1.0, 1.0])
    stretch /= np.cbrt(stretch.prod())
    axes = random_axes(rng, 1, solids.tilt)[0]
    to_unit = axes / stretch[:, None]
    from_unit = axes.T * stretch
    points = (to_unit.astype(np.float32) @ space.points.reshape(3, -1)).reshape(
        3, *shape
    )
    extent = np.array([(shape[0] - 1) * solids.step, shape[1] - 1.0, shape[2] - 1.0])
    corners = np.stack(np.meshgrid(*([0, side] for side in extent)), -1).reshape(-1, 3)
    corners = corners @ to_unit.T
    seeds = fill(rng, spacing, corners.min(0) - spacing, corners.max(0) + spacing)
    if surface:
        inward = rng.standard_normal(3) * (0.4, 1.0, 1.0)
        inward /= np.linalg.norm(inward)
        middle = to_unit @ (extent * rng.uniform(0.15, 0.85, 3))
        kept = (seeds - middle) @ inward > -0.3 * spacing
        seeds = seeds[kept]
    centres = seeds @ from_unit.T
    # A voxel of the box is at most this far in z, y, x from the centre.
    reach = np.sqrt((from_unit**2).sum(1)) * spacing * _REACH
    near = ((centres > -reach) & (centres < extent + reach)).all(1)
    seeds, centres = seeds[near], centres[near]
    count = seeds.shape[0]
    radii = spacing / 2 * np.exp(rng.normal(0, solids.size_spread, count))
    floor = -0.42 * spacing
    canvas = Canvas(shape, walls=True)
    inner = np.full(shape, FAR, np.float32)
    nuclei = seeds + rng.normal(0, 0.12, seeds.shape) * radii[:, None]
    sizes = nucleus * radii * rng.uniform(0.85, 1.15, count)
    rigid = Space(space.points, space.step, 0.3 * space.reach)
    for index in range(count):
        box = rigid.box(centres[index], reach)
        if box is None:
            continue
        depth = _sphere_depth(points, box, seeds[index], float(radii[index]))
        wins = canvas.add(box, depth, index + 1)
        if nucleus:
            core = _sphere_depth(points, box, nuclei[index], float(sizes[index]))
            np.copyto(inner[box], core, where=wins)
    labels, depth_all, wall = canvas.finish(floor=floor)
    light = np.exp(rng.normal(0, brightness_spread, count)).clip(0.5)
    grains = textures(rng, shape, solids.step, fine, coarse)
    return solid_geometry(labels, depth_all, wall, inner, grains, radii, light, pad)
