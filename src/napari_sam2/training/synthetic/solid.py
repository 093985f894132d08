"""Three-dimensional objects cut into the planes of a z-stack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.training.synthetic.fields import smooth_field
from napari_sam2.training.synthetic.geometry import (
    FAR,
    Canvas,
    Geometry,
    bent_space,
    ellipsoid_depth,
    random_axes,
)
from napari_sam2.training.synthetic.packing import Points, pack

if TYPE_CHECKING:
    from napari_sam2.training.synthetic.arrays import Array, Labels


@dataclass(frozen=True, slots=True)
class Solids:
    """How the bodies of one volume look.

    Attributes
    ----------
    diameter : float
        Usual diameter in pixels.
    step : float
        Pixels between two planes.
    elongation : float
        Largest ratio of the longest to the shortest axis.
    size_spread : float
        Logarithmic deviation of the diameter.
    roughness : float
        Deviation of the surface from an ellipsoid, in radii.
    gap, touching : float
        See `pack`.
    tilt : float
        0: longest axis in the plane; 1: any direction.
    """

    diameter: float
    step: float
    elongation: float
    size_spread: float
    roughness: float
    gap: float
    touching: float
    tilt: float


def volume_bounds(
    shape: tuple[int, int, int], step: float, margin: float
) -> tuple[Points, Points]:
    """Return the corners (3,) in pixels of the volume with a margin around it."""
    extent = np.array([(shape[0] - 1) * step, shape[1] - 1.0, shape[2] - 1.0])
    return np.full(3, -margin), extent + margin


def volume_count(shape: tuple[int, int, int], solids: Solids, per_plane: float) -> int:
    """Return how many bodies to place so that a plane cuts about `per_plane`."""
    radius = solids.diameter / 2
    low, high = volume_bounds(shape, solids.step, 0.8 * radius)
    depth, height, width = (float(side) for side in high - low)
    inside = shape[1] * shape[2] / (height * width)
    return max(round(per_plane / inside * depth / (1.5 * radius)), 1)


def textures(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    step: float,
    fine: float,
    coarse: float,
) -> tuple[Array, Array]:
    """Return two textures with isotropic grains of the given size in pixels."""
    return (
        smooth_field(rng, shape, (fine / step, fine, fine)),
        smooth_field(rng, shape, (coarse / step, coarse, coarse)),
    )


def draw_ellipsoids(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    solids: Solids,
    *,
    count: int,
    pad: int,
    margin: float = 2.0,
    fine: float = 2.5,
    coarse: float = 8.0,
    nucleus: float = 0.0,
    brightness_spread: float = 0.25,
    dividing: float = 0.0,
) -> Geometry:
    """Return ellipsoids deformed by smooth noise, scattered or touching."""
    radius = solids.diameter / 2
    wanted = radius * np.exp(rng.normal(0, solids.size_spread, min(count, 500)))
    low, high = volume_bounds(shape, solids.step, 0.8 * radius)
    centres, radii = pack(
        rng, wanted, low, high, gap=solids.gap, touching=solids.touching
    )
    space = bent_space(
        rng,
        shape,
        step=solids.step,
        amplitude=solids.roughness * radius,
        wavelength=solids.diameter * rng.uniform(0.8, 1.6),
    )
    canvas = Canvas(shape)
    inner = np.full(shape, FAR, np.float32)
    count = radii.size
    axes = random_axes(rng, count, solids.tilt)
    ratio = np.sort(rng.uniform(1, solids.elongation, (count, 2)), 1)
    semi = np.stack([ratio[:, 1], ratio[:, 0], np.ones(count)], 1)
    semi *= (radii / np.cbrt(semi.prod(1)))[:, None]
    bends = rng.normal(0, 0.15, count) * (solids.elongation > 1.3)
    condensed = rng.uniform(0.6, 1, count) * (rng.random(count) < dividing)
    # A metaphase plate is a disc of condensed chromatin.
    semi[:, 2] *= 1 - 0.55 * condensed
    nucleus_place = centres + rng.normal(0, 0.12, centres.shape) * radii[:, None]
    nucleus_size = nucleus * rng.uniform(0.85, 1.15, count)
    for index in range(count):
        number = index + 1
        drawn = ellipsoid_depth(
            space,
            centres[index],
            axes[index],
            semi[index],
            margin=margin,
            bend=float(bends[index]),
        )
        if drawn is None:
            continue
        box, depth = drawn
        wins = canvas.add(box, depth, number)
        if nucleus:
            np.copyto(inner[box], FAR, where=wins)
            core = ellipsoid_depth(
                space,
                nucleus_place[index],
                axes[index],
                semi[index] * nucleus_size[index],
                margin=2.0,
            )
            if core is not None:
                core_box, core_depth = core
                mine = canvas.labels[core_box] == number
                np.copyto(inner[core_box], core_depth, where=mine)
    labels, depth_all, wall = canvas.finish()
    grains = textures(rng, shape, solids.step, fine, coarse)
    light = np.exp(rng.normal(0, brightness_spread, count)).clip(0.5) * (1 + condensed)
    return solid_geometry(
        labels, depth_all, wall, inner, grains, radii, light, pad, condensed
    )


def solid_geometry(
    labels: Labels,
    depth: Array,
    wall: Array,
    inner: Array,
    grains: tuple[Array, Array],
    radii: Points,
    light: Points,
    pad: int,
    condensed: Points | None = None,
) -> Geometry:
    """Return the geometry of bodies whose brightness does not change."""
    plates = np.zeros_like(light) if condensed is None else condensed
    return Geometry(
        labels=labels,
        depth=depth,
        wall=wall,
        inner=inner,
        fine=grains[0],
        coarse=grains[1],
        radius=np.concatenate([[1.0], radii]).astype(np.float32),
        brightness=np.concatenate([[0.0], light]).astype(np.float32),
        condensed=np.concatenate([[0.0], plates]).astype(np.float32),
        pad=pad,
    )
