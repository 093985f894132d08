"""Smooth random fields, blurs and resampling as products with small matrices.

A product with a dense (256, 256) matrix costs 5 ns per pixel on one core, whatever
the kernel, and one matrix can blur and resample at once. All arrays are float32.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_sam2.training.synthetic.arrays import Array

# Mean over positions of the sum of squared cubic B-spline weights: the variance
# that white coefficients keep per axis.
_SPLINE_VARIANCE = 0.4794

# Wide blurs are computed on pixels this many times larger.
_COARSE = 4

# Rows of a banded matrix that are multiplied at once.
_BLOCK = 64


@lru_cache(maxsize=512)
def spline_matrix(size: int, coefficients: int) -> Array:
    """Return cubic B-spline weights (size, coefficients); coefficients >= 4."""
    position = (np.arange(size) + 0.5) / size * (coefficients - 3) + 1
    cell = np.minimum(position.astype(int), coefficients - 3)
    u = position - cell
    weights = np.stack(
        [
            (1 - u) ** 3,
            3 * u**3 - 6 * u**2 + 4,
            -3 * u**3 + 3 * u**2 + 3 * u + 1,
            u**3,
        ]
    )
    matrix = np.zeros((size, coefficients), np.float32)
    rows = np.arange(size)
    for offset in range(4):
        matrix[rows, cell - 1 + offset] = weights[offset] / 6
    matrix.flags.writeable = False
    return matrix


@lru_cache(maxsize=512)
def _blur_rows(size: int, sigma: float, pad: int) -> Array:
    """Return (size - 2 pad, size) Gaussian rows, renormalised at the edges."""
    centre = np.arange(pad, size - pad)[:, None]
    distance = np.arange(size)[None, :] - centre
    rows = np.exp(-0.5 * (distance / max(sigma, 1e-3)) ** 2)
    # Zeros keep the matrix banded.
    rows[rows < 1e-5] = 0
    rows /= rows.sum(1, keepdims=True)
    result = rows.astype(np.float32)
    result.flags.writeable = False
    return result


def blur_matrix(size: int, sigma: float, pad: int = 0) -> Array:
    """Return the (size - 2 pad, size) matrix of a Gaussian blur.

    `sigma` is in samples and rounded to 0.05, so that matrices can be kept; `pad`
    samples at either end are used but not computed.
    """
    return _blur_rows(size, round(sigma * 20) / 20, pad)


@lru_cache(maxsize=256)
def area_matrix(size: int, source: int) -> Array:
    """Return the (size, source) matrix that averages over areas; size <= source."""
    edges = np.linspace(0, source, size + 1)
    low, high = edges[:-1, None], edges[1:, None]
    sample = np.arange(source)[None, :]
    overlap = np.clip(np.minimum(high, sample + 1) - np.maximum(low, sample), 0, None)
    matrix: Array = (overlap / overlap.sum(1, keepdims=True)).astype(np.float32)
    matrix.flags.writeable = False
    return matrix


@lru_cache(maxsize=256)
def linear_matrix(size: int, source: int) -> Array:
    """Return the (size, source) matrix of linear interpolation of pixel centres."""
    position = np.clip((np.arange(size) + 0.5) * source / size - 0.5, 0, source - 1)
    low = np.minimum(position.astype(int), max(source - 2, 0))
    fraction = position - low
    matrix = np.zeros((size, source), np.float32)
    rows = np.arange(size)
    matrix[rows, low] = 1 - fraction
    if source > 1:
        matrix[rows, low + 1] += fraction
    matrix.flags.writeable = False
    return matrix


@lru_cache(maxsize=256)
def nearest_matrix(size: int, source: int) -> Array:
    """Return the (size, source) matrix that takes the nearest pixel."""
    index = np.minimum((np.arange(size) + 0.5) * source / size, source - 1).astype(int)
    matrix = np.zeros((size, source), np.float32)
    matrix[np.arange(size), index] = 1
    matrix.flags.writeable = False
    return matrix


@lru_cache(maxsize=256)
def cubic_matrix(size: int, source: int) -> Array:
    """Return the (size, source) matrix of Catmull-Rom interpolation."""
    position = (np.arange(size) + 0.5) * source / size - 0.5
    cell = np.floor(position).astype(int)
    u = position - cell
    weights = np.stack(
        [
            -0.5 * u**3 + u**2 - 0.5 * u,
            1.5 * u**3 - 2.5 * u**2 + 1,
            -1.5 * u**3 + 2 * u**2 + 0.5 * u,
            0.5 * u**3 - 0.5 * u**2,
        ]
    )
    matrix = np.zeros((size, source), np.float32)
    rows = np.arange(size)
    for offset in range(4):
        column = np.clip(cell - 1 + offset, 0, source - 1)
        np.add.at(matrix, (rows, column), weights[offset])
    matrix.flags.writeable = False
    return matrix


def _blocks(matrix: Array) -> Iterator[tuple[slice, slice, Array]]:
    """Yield rows, columns and values of the blocks that a banded matrix consists of."""
    height, width = matrix.shape
    used = matrix != 0
    for first in range(0, height, _BLOCK):
        rows = slice(first, min(first + _BLOCK, height))
        columns = np.flatnonzero(used[rows].any(0))
        if columns.size:
            band = slice(int(columns[0]), int(columns[-1]) + 1)
        else:
            band = slice(0, width)
        yield rows, band, matrix[rows, band]


def _apply_rows(matrix: Array, volume: Array) -> Array:
    """Return the product of a matrix with axis 1 of a (T, H, W) volume."""
    if matrix.shape[0] < 2 * _BLOCK:
        return matrix @ volume
    result = np.empty((volume.shape[0], matrix.shape[0], volume.shape[2]), np.float32)
    for rows, band, block in _blocks(matrix):
        np.matmul(block, volume[:, band], out=result[:, rows])
    return result


def _apply_columns(matrix: Array, volume: Array) -> Array:
    """Return the product of a matrix with axis 2 of a (T, H, W) volume."""
    if matrix.shape[0] < 2 * _BLOCK:
        return volume @ matrix.T
    flat = volume.reshape(-1, volume.shape[2])
    result = np.empty((flat.shape[0], matrix.shape[0]), np.float32)
    for rows, band, block in _blocks(matrix):
        np.matmul(flat[:, band], block.T, out=result[:, rows])
    return result.reshape(*volume.shape[:2], matrix.shape[0])


def separable(
    volume: Array, z: Array | None, y: Array | None, x: Array | None
) -> Array:
    """Apply one matrix per axis to a (T, H, W) volume; None leaves an axis alone."""
    if z is not None:
        volume = (z @ volume.reshape(volume.shape[0], -1)).reshape(
            z.shape[0], *volume.shape[1:]
        )
    if y is not None:
        volume = _apply_rows(y, volume)
    if x is not None:
        volume = _apply_columns(x, volume)
    return volume


def smooth_field(
    rng: np.random.Generator, shape: tuple[int, int, int], spacing: tuple[float, ...]
) -> Array:
    """Return a (T, H, W) random field of mean about 0 and variance about 1.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    shape : tuple of int
        (T, H, W).
    spacing : tuple of float
        Samples between independent values along each axis, at least 1.5; twice that
        is about one wavelength.
    """
    counts = [
        max(math.ceil(n / max(step, 1.5)), 1) + 3
        for n, step in zip(shape, spacing, strict=True)
    ]
    coarse = rng.standard_normal(counts, dtype=np.float32)
    coarse *= _SPLINE_VARIANCE ** (-1.5)
    z, y, x = (spline_matrix(n, c) for n, c in zip(shape, counts, strict=True))
    return separable(coarse, z, y, x)


def blur(volume: Array, sigma: float, sigma_z: float = 0.0) -> Array:
    """Return a (T, H, W) volume blurred by Gaussians, in pixels and planes."""
    frames, height, width = volume.shape
    return separable(
        volume,
        blur_matrix(frames, sigma_z) if sigma_z > 0.2 and frames > 1 else None,
        blur_matrix(height, sigma) if sigma > 0.2 else None,
        blur_matrix(width, sigma) if sigma > 0.2 else None,
    )


def wide_matrix(size: int, source: int, sigma: float) -> Array:
    """Return the (size, source) matrix of a wide blur, computed on coarse pixels.

    `sigma` is in source pixels.
    """
    small = max(source // _COARSE, 1)
    shrunk: Array = blur_matrix(small, sigma / _COARSE) @ area_matrix(small, source)
    grown: Array = linear_matrix(size, small) @ shrunk
    return grown


def wide_blur(volume: Array, sigma: float) -> Array:
    """Return a (T, H, W) volume blurred in the plane by a `sigma` of many pixels."""
    _, height, width = volume.shape
    small_y, small_x = max(height // _COARSE, 1), max(width // _COARSE, 1)
    small = separable(
        volume,
        None,
        blur_matrix(small_y, sigma / _COARSE) @ area_matrix(small_y, height),
        blur_matrix(small_x, sigma / _COARSE) @ area_matrix(small_x, width),
    )
    return separable(
        small, None, linear_matrix(height, small_y), linear_matrix(width, small_x)
    )


def smoothstep(value: Array, low: float, high: float) -> Array:
    """Return a smooth ramp from 0 at `low` to 1 at `high`."""
    ramp = value - np.float32(low)
    ramp *= np.float32(1 / (high - low))
    np.clip(ramp, 0, 1, out=ramp)
    square = ramp * ramp
    ramp *= -2
    ramp += 3
    square *= ramp
    return square


def level_distance(field: Array, level: float) -> Array:
    """Return the approximate distance in pixels to where a field has a level."""
    slope_y, slope_x = np.gradient(field, axis=(1, 2))
    slope = np.sqrt(slope_y * slope_y + slope_x * slope_x) + np.float32(1e-3)
    distance: Array = np.abs(field - np.float32(level)) / slope
    return distance


def log_uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """Return a number drawn uniformly on a logarithmic scale."""
    low, high = bounds
    return float(math.exp(rng.uniform(math.log(low), math.log(high))))
