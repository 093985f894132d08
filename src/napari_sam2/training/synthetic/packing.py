"""Positions that objects could have: scattered, touching, or filling the space."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def pack(
    rng: np.random.Generator,
    radii: Points,
    low: Points,
    high: Points,
    *,
    gap: float,
    touching: float,
    candidates: int = 8,
) -> tuple[Points, Points]:
    """Place spheres one by one where they hit no other.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    radii : ndarray
        (N,) radii, in the unit of the bounds.
    low, high : ndarray
        (D,) corners of the box for the centres.
    gap : float
        Least distance of two centres over the sum of their radii: below 1 they
        overlap, above 1 there is space between.
    touching : float
        Share of spheres that are placed against one that is there.
    candidates : int
        Places tried at once; a sphere that finds none is left out.

    Returns
    -------
    tuple of ndarray
        (M, D) centres and their (M,) radii, M <= N.
    """
    dimensions = low.size
    centres = np.empty((radii.size, dimensions))
    kept = np.empty(radii.size)
    count = 0
    near = rng.random(radii.size) < touching
    for index, radius in enumerate(radii):
        if near[index] and count:
            host = int(rng.integers(count))
            direction = rng.standard_normal((candidates, dimensions))
            direction /= np.linalg.norm(direction, axis=1, keepdims=True)
            distance = (radius + kept[host]) * gap * rng.uniform(1, 1.15)
            tried = centres[host] + direction * distance
            tried = np.clip(tried, low, high)
        else:
            tried = rng.uniform(low, high, (candidates, dimensions))
        if count:
            offset = tried[:, None, :] - centres[None, :count, :]
            distance = np.sqrt((offset * offset).sum(-1))
            room = (distance / (radius + kept[:count])).min(1)
            if near[index]:
                fits = np.flatnonzero(room >= gap * 0.999)
                best = int(fits[0]) if fits.size else int(room.argmax())
            else:
                # Any free place, not the loneliest one: that would make a lattice.
                fits = np.flatnonzero(room >= gap)
                best = int(fits[0]) if fits.size else int(room.argmax())
            if room[best] < gap * 0.999:
                continue
        else:
            best = 0
        centres[count] = tried[best]
        kept[count] = radius
        count += 1
    return centres[:count], kept[:count]


def fill(rng: np.random.Generator, spacing: float, low: Points, high: Points) -> Points:
    """Return (N, D) seeds about `spacing` apart that leave no large hole.

    A jittered lattice with every second row shifted by half: neighbours in numbers
    and angles as varied as in a tissue, and no gap much wider than the spacing.
    """
    axes = [
        np.arange(a - rng.uniform(0, spacing), b + spacing, spacing)
        for a, b in zip(low, high, strict=True)
    ]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    rows = np.indices(grid.shape[:-1])[:-1].sum(0)
    grid[..., -1] += (rows % 2) * spacing / 2
    seeds = grid.reshape(-1, low.size)
    jitter: Points = seeds + rng.uniform(-0.36, 0.36, seeds.shape) * spacing
    return jitter
