"""Implicit shapes competing for the voxels of one scene.

Every shape gives a depth: the approximate distance to its own boundary in pixels,
positive inside. A voxel belongs to the shape that is deepest there, so two cells that
touch share a border halfway between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.training.synthetic.fields import smooth_field

if TYPE_CHECKING:
    from napari_sam2.training.synthetic.arrays import Array, Labels, Mask, Vector

Box = tuple[slice, slice, slice]
FAR = np.float32(-1e3)


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """Where the objects of a scene are, before anything is imaged.

    Attributes
    ----------
    labels : ndarray
        (T, H, W) uint16, 0 where no object is.
    depth : ndarray
        (T, H, W) float32, pixels to the object's boundary, positive inside.
    wall : ndarray
        (T, H, W) float32, pixels to the neighbour's territory; large if none.
    inner : ndarray
        (T, H, W) float32, depth in the object's nucleus; far below 0 if none.
    fine, coarse : ndarray
        (T, H, W) float32 textures of unit variance that move with the objects.
    radius : ndarray
        (N + 1,) float32, pixels, by label.
    brightness : ndarray
        (N + 1,) or (N + 1, T) float32, 1 is usual, by label, and frame if it changes.
    condensed : ndarray
        (N + 1,) or (N + 1, T) float32 from 0 (interphase) to 1 (metaphase).
    pad : int
        Planes at either end that light comes from but that are not imaged.
    """

    labels: Labels
    depth: Array
    wall: Array
    inner: Array
    fine: Array
    coarse: Array
    radius: Array
    brightness: Array
    condensed: Array
    pad: int

    def by_voxel(self, table: Array) -> Array:
        """Return a (N + 1,) or (N + 1, T) table looked up at every voxel."""
        if table.ndim == 1:
            return np.take(table, self.labels)
        return np.stack(
            [np.take(table[:, t], frame) for t, frame in enumerate(self.labels)]
        )


class Canvas:
    """Labels and depths of the shapes added so far.

    Parameters
    ----------
    shape : tuple of int
        (T, H, W).
    walls : bool
        Whether the second deepest shape is kept too, for the distance to the wall.
    """

    def __init__(self, shape: tuple[int, int, int], *, walls: bool = False) -> None:
        self.shape = shape
        self.labels = np.zeros(shape, np.uint16)
        self.depth = np.full(shape, FAR, np.float32)
        self._second = np.full(shape, FAR, np.float32) if walls else None

    def add(self, box: Box, depth: Array, number: int) -> Mask:
        """Let a shape compete for the voxels of its box; return where it wins."""
        best = self.depth[box]
        if self._second is not None:
            second = self._second[box]
            np.maximum(second, np.minimum(depth, best), out=second)
        wins = depth > best
        np.copyto(best, depth, where=wins)
        np.copyto(self.labels[box], np.uint16(number), where=wins)
        return wins

    def cover(self, box: Box, depth: Array, number: int) -> Mask:
        """Lay a shape over those that are there; return where it shows."""
        shows = (depth > 0) | (depth > self.depth[box])
        np.copyto(self.depth[box], depth, where=shows)
        np.copyto(self.labels[box], np.uint16(number), where=shows)
        return shows

    def finish(self, *, floor: float = 0.0) -> tuple[Labels, Array, Array]:
        """Return labels (0 where the depth is under `floor`), depth, and wall."""
        labels = self.labels * (self.depth > floor)
        if self._second is None:
            return labels, self.depth, np.broadcast_to(-FAR, self.shape)
        wall = self.depth - np.maximum(self._second, np.float32(floor))
        wall *= np.float32(0.5)
        return labels, self.depth, wall


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """Isotropic coordinates of every voxel, in pixels, bent by a smooth field.

    Attributes
    ----------
    points : ndarray
        (3, T, H, W) float32 z, y, x in pixels.
    step : float
        Pixels between neighbouring planes.
    reach : float
        Pixels that the bending moves a point at most.
    """

    points: Array
    step: float
    reach: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (T, H, W)."""
        _, frames, height, width = self.points.shape
        return frames, height, width

    def box(self, centre: Vector, extent: Vector) -> Box | None:
        """Return the voxels within `extent` pixels of `centre`, None if none are."""
        slices = []
        for axis, (size, scale) in enumerate(
            zip(self.shape, (self.step, 1.0, 1.0), strict=True)
        ):
            reach = extent[axis] + self.reach
            low = max(int(np.ceil((centre[axis] - reach) / scale)), 0)
            high = min(int((centre[axis] + reach) // scale) + 1, size)
            if low >= high:
                return None
            slices.append(slice(low, high))
        return slices[0], slices[1], slices[2]


def bent_space(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    *,
    step: float,
    amplitude: float,
    wavelength: float,
) -> Space:
    """Return coordinates bent by `amplitude` pixels (deviation) at `wavelength`."""
    frames, height, width = shape
    points = np.empty((3, *shape), np.float32)
    points[0] = (np.arange(frames, dtype=np.float32) * step)[:, None, None]
    points[1] = np.arange(height, dtype=np.float32)[None, :, None]
    points[2] = np.arange(width, dtype=np.float32)[None, None, :]
    if amplitude > 0:
        spacing = (max(wavelength / 2 / step, 1.5), wavelength / 2, wavelength / 2)
        for axis in range(3):
            bend = smooth_field(rng, shape, spacing)
            np.clip(bend, -2.5, 2.5, out=bend)
            bend *= np.float32(amplitude)
            points[axis] += bend
    return Space(points, step, 2.5 * amplitude)


def ellipsoid_depth(
    space: Space,
    centre: Vector,
    axes: Vector,
    semi: Vector,
    *,
    margin: float,
    bend: float = 0.0,
) -> tuple[Box, Array] | None:
    """Return the box and depth of one ellipsoid, None if outside the scene.

    Parameters
    ----------
    space : Space
        Coordinates of the voxels.
    centre : ndarray
        (3,) z, y, x in pixels.
    axes : ndarray
        (3, 3), one unit vector (z, y, x) per row.
    semi : ndarray
        (3,) semi-axes in pixels.
    margin : float
        Pixels outside the surface where the depth is wanted too.
    bend : float
        Curvature: how far, in second semi-axes, the tips bend aside.
    """
    extent = np.sqrt(((axes * semi[:, None]) ** 2).sum(0)) + margin
    if bend:
        extent = extent + abs(bend) * semi[1]
    box = space.box(centre, extent)
    if box is None:
        return None
    local = space.points[(slice(None), *box)]
    shape = local.shape[1:]
    to_unit = (axes / semi[:, None]).astype(np.float32)
    unit = to_unit @ local.reshape(3, -1)
    unit -= (to_unit @ centre)[:, None].astype(np.float32)
    if bend:
        unit[1] += np.float32(bend) * unit[0] * unit[0]
    np.square(unit, out=unit)
    radius = np.sqrt(unit.sum(0)).reshape(shape)
    scale = np.float32((semi[0] * semi[1] * semi[2]) ** (1 / 3))
    depth: Array = (1 - radius) * scale
    return box, depth


def capsule_depth(
    space: Space,
    start: Vector,
    end: Vector,
    radii: tuple[float, float],
    *,
    margin: float,
) -> tuple[Box, Array] | None:
    """Return the box and depth of a capsule whose radius changes along it."""
    centre = (start + end) / 2
    extent = np.abs(end - start) / 2 + max(radii) + margin
    box = space.box(centre, extent)
    if box is None:
        return None
    local = space.points[(slice(None), *box)]
    shape = local.shape[1:]
    offset = local.reshape(3, -1) - start[:, None].astype(np.float32)
    direction = (end - start).astype(np.float32)
    length2 = np.float32(max(float(direction @ direction), 1e-6))
    along = np.clip((direction @ offset) / length2, 0, 1)
    offset -= direction[:, None] * along
    np.square(offset, out=offset)
    depth = -np.sqrt(offset.sum(0))
    depth += np.float32(radii[0]) + np.float32(radii[1] - radii[0]) * along
    return box, depth.reshape(shape)


def random_axes(rng: np.random.Generator, count: int, tilt: float = 1.0) -> Array:
    """Return (count, 3, 3): orthonormal rows (z, y, x), one set per body.

    The first row is the direction of the first semi-axis. With `tilt` 0 the last row
    points along z, with 1 the rotation is about uniform.
    """
    turn = rng.uniform(0, 2 * np.pi, count)
    flat = np.zeros((count, 3, 3))
    flat[:, 0, 1], flat[:, 0, 2] = np.sin(turn), np.cos(turn)
    flat[:, 1, 1], flat[:, 1, 2] = np.cos(turn), -np.sin(turn)
    flat[:, 2, 0] = 1.0
    noisy = flat + rng.standard_normal((count, 3, 3)) * tilt
    q, r = np.linalg.qr(noisy.transpose(0, 2, 1))
    q *= np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :]
    return q.transpose(0, 2, 1).astype(np.float32)
