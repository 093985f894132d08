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
    Space,
    bent_space,
    capsule_depth,
    ellipsoid_depth,
    random_axes,
)
from napari_sam2.training.synthetic.packing import Points, fill, pack

if TYPE_CHECKING:
    from napari_sam2.training.synthetic.arrays import Array


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


def _bounds(
    shape: tuple[int, int, int], step: float, margin: float
) -> tuple[Points, Points]:
    """Return the corners (3,) in pixels of the volume with a margin around it."""
    extent = np.array([(shape[0] - 1) * step, shape[1] - 1.0, shape[2] - 1.0])
    return np.full(3, -margin), extent + margin


def volume_count(shape: tuple[int, int, int], solids: Solids, per_plane: float) -> int:
    """Return how many bodies to place so that a plane cuts about `per_plane`."""
    radius = solids.diameter / 2
    low, high = _bounds(shape, solids.step, 0.8 * radius)
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
    low, high = _bounds(shape, solids.step, 0.8 * radius)
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
    return _draw(
        rng,
        space,
        centres,
        radii,
        solids,
        pad=pad,
        margin=margin,
        floor=0.0,
        grains=(fine, coarse),
        nucleus=nucleus,
        brightness_spread=brightness_spread,
        dividing=dividing,
    )


def draw_tissue(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    solids: Solids,
    *,
    pad: int,
    fine: float = 2.5,
    coarse: float = 8.0,
    nucleus: float = 0.0,
    brightness_spread: float = 0.25,
) -> Geometry:
    """Return cells that fill the volume, with curved walls between them."""
    low, high = _bounds(shape, solids.step, 0.5 * solids.diameter)
    centres = fill(rng, solids.diameter * 0.95, low, high)
    radii = (
        solids.diameter
        / 2
        * np.exp(rng.normal(0, solids.size_spread, centres.shape[0]))
    )
    space = bent_space(
        rng,
        shape,
        step=solids.step,
        amplitude=solids.roughness * solids.diameter / 2,
        wavelength=solids.diameter * rng.uniform(0.8, 1.6),
    )
    return _draw(
        rng,
        space,
        centres,
        radii,
        solids,
        pad=pad,
        margin=0.45 * solids.diameter,
        floor=-0.45 * solids.diameter,
        grains=(fine, coarse),
        nucleus=nucleus,
        brightness_spread=brightness_spread,
    )


def _draw(
    rng: np.random.Generator,
    space: Space,
    centres: Points,
    radii: Points,
    solids: Solids,
    *,
    pad: int,
    margin: float,
    floor: float,
    grains: tuple[float, float],
    nucleus: float,
    brightness_spread: float,
    dividing: float = 0.0,
) -> Geometry:
    """Let one ellipsoid per centre compete for the voxels of a space."""
    canvas = Canvas(space.shape, walls=floor < 0)
    inner = np.full(space.shape, FAR, np.float32)
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
        canvas.add(*drawn, number)
        if nucleus:
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
                mine &= core_depth > inner[core_box]
                np.copyto(inner[core_box], core_depth, where=mine)
    labels, depth_all, wall = canvas.finish(floor=floor)
    if nucleus:
        inner[labels == 0] = FAR
    fine, coarse = textures(rng, space.shape, solids.step, *grains)
    light = np.exp(rng.normal(0, brightness_spread, count)).clip(0.4) * (1 + condensed)
    return solid_geometry(
        labels, depth_all, wall, inner, fine, coarse, radii, light, pad, condensed
    )


def draw_tubes(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    *,
    step: float,
    diameter: float,
    length: tuple[float, float],
    stiffness: float,
    tilt: float,
    branching: float,
    radius_change: float,
    count: int,
    pad: int,
    roughness: float = 0.1,
    fine: float = 2.5,
    coarse: float = 8.0,
) -> Geometry:
    """Return bent, perhaps branching tubes: rods, filaments, mitochondria.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    shape : tuple of int
        (T, H, W) with padding planes.
    step, diameter : float
        Pixels between planes, and across a tube.
    length : tuple of float
        Shortest and longest tube, in diameters.
    stiffness : float
        Share of the direction that is kept after one diameter, 0 to 1.
    tilt : float
        0: tubes lie in the plane; 1: any direction.
    branching : float
        Chance that a tube branches once.
    radius_change : float
        Logarithmic deviation of the radius along a tube.
    count : int
        Tubes to start; all are kept, crossing ones touch.
    pad, roughness, fine, coarse
        As in `draw_ellipsoids`.
    """
    radius = diameter / 2
    low, high = _bounds(shape, step, radius)
    space = bent_space(
        rng,
        shape,
        step=step,
        amplitude=roughness * radius,
        wavelength=1.5 * diameter,
    )
    canvas = Canvas(shape)
    radii = radius * np.exp(rng.normal(0, 0.15, count))
    flat = np.array([tilt, 1.0, 1.0])
    for number, own in enumerate(radii, 1):
        place = rng.uniform(low, high)
        heading = rng.standard_normal(3) * flat
        total = rng.uniform(*length)
        links = max(round(total / 0.9), 1)
        nodes, widths = _walk(
            rng, place, heading, links, own, stiffness, flat, radius_change
        )
        paths = [(nodes, widths)]
        if links > 3 and rng.random() < branching:
            root = int(rng.integers(1, links))
            side = rng.standard_normal(3) * flat
            paths.append(
                _walk(
                    rng,
                    nodes[root],
                    side,
                    max(links // 2, 2),
                    own * 0.9,
                    stiffness,
                    flat,
                    radius_change,
                )
            )
        for path, width in paths:
            for start, end, a, b in zip(
                path[:-1], path[1:], width[:-1], width[1:], strict=True
            ):
                drawn = capsule_depth(space, start, end, (a, b), margin=2.0)
                if drawn is not None:
                    canvas.add(drawn[0], drawn[1], number)
    labels, depth_all, _ = canvas.finish()
    fine_field, coarse_field = textures(rng, shape, step, fine, coarse)
    inner = np.full(shape, FAR, np.float32)
    wall = np.broadcast_to(-FAR, shape)
    light = np.exp(rng.normal(0, 0.2, count))
    return solid_geometry(
        labels, depth_all, wall, inner, fine_field, coarse_field, radii, light, pad
    )


def _walk(
    rng: np.random.Generator,
    start: Points,
    heading: Points,
    links: int,
    radius: float,
    stiffness: float,
    flat: Points,
    radius_change: float,
) -> tuple[Points, Points]:
    """Return (links + 1, 3) nodes of a bent line and the radii at them."""
    nodes = np.empty((links + 1, 3))
    nodes[0] = start
    direction = heading / (np.linalg.norm(heading) + 1e-9)
    for link in range(links):
        turn = rng.standard_normal(3) * flat * (1 - stiffness)
        direction = direction + turn
        direction /= np.linalg.norm(direction) + 1e-9
        nodes[link + 1] = nodes[link] + direction * 1.8 * radius
    width = radius * np.exp(rng.normal(0, radius_change, links + 1))
    return nodes, width


def solid_geometry(
    labels: np.ndarray[tuple[int, ...], np.dtype[np.uint16]],
    depth: Array,
    wall: Array,
    inner: Array,
    fine: Array,
    coarse: Array,
    radii: Points,
    light: Points,
    pad: int,
    condensed: Points | None = None,
) -> Geometry:
    """Return the geometry of bodies whose brightness does not change."""
    frames = labels.shape[0]
    brightness = np.concatenate([[0.0], light])[:, None] * np.ones((1, frames))
    plates = np.zeros_like(brightness)
    if condensed is not None:
        plates[1:] = condensed[:, None]
    return Geometry(
        labels=labels,
        depth=depth,
        wall=wall,
        inner=inner,
        fine=fine,
        coarse=coarse,
        radius=np.concatenate([[1.0], radii]).astype(np.float32),
        brightness=brightness.astype(np.float32),
        condensed=plates.astype(np.float32),
        pad=pad,
    )
