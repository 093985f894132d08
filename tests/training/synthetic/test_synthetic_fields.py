from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_sam2.training.synthetic.fields import (
    area_matrix,
    blur,
    blur_matrix,
    cubic_matrix,
    level_distance,
    linear_matrix,
    log_uniform,
    nearest_matrix,
    separable,
    smooth_field,
    smoothstep,
    spline_matrix,
    wide_blur,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(3))


@pytest.mark.parametrize(
    "matrix",
    [
        spline_matrix(50, 9),
        blur_matrix(40, 2.3),
        blur_matrix(12, 1.5, 2),
        area_matrix(13, 40),
        linear_matrix(64, 17),
        linear_matrix(5, 1),
        nearest_matrix(64, 17),
        cubic_matrix(64, 17),
    ],
)
def test_matrices_keep_constants(matrix: np.ndarray) -> None:
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-5)
    assert not matrix.flags.writeable


def test_blur_is_a_gaussian(rng: np.random.Generator) -> None:
    volume = rng.standard_normal((3, 160, 140)).astype(np.float32)
    expected = gaussian_filter(volume, (0, 2.0, 2.0), truncate=5)
    ours = blur(volume, 2.0)
    inner = (slice(None), slice(12, -12), slice(12, -12))
    np.testing.assert_allclose(ours[inner], expected[inner], atol=2e-3)


def test_wide_blur_is_close_to_a_gaussian(rng: np.random.Generator) -> None:
    volume = smooth_field(rng, (2, 128, 96), (1.5, 5.0, 5.0))
    expected = gaussian_filter(volume, (0, 9.0, 9.0), truncate=5)
    inner = (slice(None), slice(30, -30), slice(30, -30))
    error = np.abs(wide_blur(volume, 9.0)[inner] - expected[inner]).max()
    assert error < 0.15 * np.abs(expected).max()


@pytest.mark.parametrize("size", [40, 128, 200])
def test_products_by_blocks_equal_the_dense_ones(
    rng: np.random.Generator, size: int
) -> None:
    volume = rng.standard_normal((4, size, size)).astype(np.float32)
    z, y = blur_matrix(4, 0.7), linear_matrix(size + 30, size)
    x = area_matrix(size // 3, size) @ blur_matrix(size, 2.0)
    dense = np.einsum("at,bh,cw,thw->abc", z, y, x, volume, optimize=True)
    np.testing.assert_allclose(separable(volume, z, y, x), dense, atol=1e-4)


def test_area_and_interpolation_undo_each_other() -> None:
    ramp = np.linspace(0, 1, 32, dtype=np.float32)
    back = area_matrix(32, 128) @ (linear_matrix(128, 32) @ ramp)
    np.testing.assert_allclose(back[1:-1], ramp[1:-1], atol=1e-3)
    blocks = area_matrix(32, 128) @ (nearest_matrix(128, 32) @ ramp)
    np.testing.assert_allclose(blocks, ramp, atol=1e-6)


@pytest.mark.parametrize("spacing", [2.0, 6.0])
def test_smooth_field_has_unit_variance_and_its_grain(
    rng: np.random.Generator, spacing: float
) -> None:
    field = smooth_field(rng, (24, 160, 160), (spacing,) * 3)
    assert field.dtype == np.float32
    assert abs(field.mean()) < 0.1
    assert 0.8 < field.std() < 1.2
    near = np.corrcoef(field[:, :, :-1].ravel(), field[:, :, 1:].ravel())[0, 1]
    far_step = int(5 * spacing)
    far = np.corrcoef(field[..., :-far_step].ravel(), field[..., far_step:].ravel())
    assert near > 0.6
    assert abs(far[0, 1]) < 0.15


def test_level_distance_is_in_pixels() -> None:
    x = np.arange(60, dtype=np.float32) * 0.3
    field = np.broadcast_to(x, (1, 20, 60)).astype(np.float32)
    distance = level_distance(field, 6.0)
    np.testing.assert_allclose(distance[0, 10], np.abs(np.arange(60) - 20), atol=0.2)


def test_smoothstep_rises_from_0_to_1() -> None:
    values = smoothstep(np.linspace(-1, 3, 9, dtype=np.float32), 0.0, 2.0)
    np.testing.assert_allclose(values[[0, 2, 4, 6, 8]], [0, 0, 0.5, 1, 1])
    assert np.all(np.diff(values) >= 0)


def test_log_uniform_stays_in_its_bounds(rng: np.random.Generator) -> None:
    drawn = np.array([log_uniform(rng, (0.1, 1000.0)) for _ in range(500)])
    assert drawn.min() >= 0.1
    assert drawn.max() <= 1000
    assert 3 < np.median(drawn) < 30
