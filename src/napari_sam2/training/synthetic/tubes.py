"""Bent and branching tubes in a volume: rods, filaments, mitochondria."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.training.synthetic.geometry import (
    FAR,
    Canvas,
    Geometry,
    bent_space,
    capsule_depth,
)
from napari_sam2.training.synthetic.solid import (
    solid_geometry,
    textures,
    volume_bounds,
)

if TYPE_CHECKING:
    from napari_sam2.training.synthetic.packing import Points


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
    low, high = volume_bounds(shape, step, radius)
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
    grains = textures(rng, shape, step, fine, coarse)
    inner = np.full(shape, FAR, np.float32)
    wall = np.broadcast_to(-FAR, shape)
    light = np.exp(rng.normal(0, 0.2, count))
    return solid_geometry(labels, depth_all, wall, inner, grains, radii, light, pad)


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
