"""From light to grey levels: noise, defects, interpolation, bit depth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.fft import dctn, idctn

from napari_sam2.training.synthetic.fields import (
    cubic_matrix,
    linear_matrix,
    log_uniform,
    nearest_matrix,
    separable,
)

if TYPE_CHECKING:
    from napari_sam2.training.synthetic.arrays import Array, Frames
    from napari_sam2.training.synthetic.parameters import CameraParameters

# An annotator sees an object whose contrast over noise, times the root of its area in
# pixels, is about this.
_VISIBLE = 16.0


def count_photons(rng: np.random.Generator, light: Array) -> Array:
    """Return Poisson counts of a non-negative expectation.

    Drawn as the square of a normal number (variance stabilised): four times as fast
    as the exact law, its mean right within 0.05 and its variance within 0.25 photons.
    """
    root = np.sqrt(np.clip(light, 0, None))
    root += np.float32(0.5) * rng.standard_normal(light.shape, dtype=np.float32)
    np.clip(root, 0, None, out=root)
    counts: Array = np.rint(root * root - np.float32(0.3))
    np.clip(counts, 0, None, out=counts)
    return counts


def detect(
    rng: np.random.Generator,
    light: Array,
    *,
    background: float,
    area: float,
    camera: CameraParameters,
) -> Array:
    """Return detected light in photons, with shot and read noise.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    light : ndarray
        (T, h, w), an object of usual brightness being 1 above the background.
    background : float
        Usual background in the same unit.
    area : float
        Native pixels that tell an annotator that an object is there.
    camera : CameraParameters
        The knobs.
    """
    least = _VISIBLE / math.sqrt(max(area, 1.0))
    low = max(camera.contrast_to_noise[0], least)
    high = max(camera.contrast_to_noise[1], 1.5 * low)
    contrast = log_uniform(rng, (low, high))
    read = rng.uniform(*camera.read_noise)
    # contrast = N / sqrt(variance), variance = N (1 + background) / (1 - read)
    photons = contrast**2 * (1 + background) / (1 - read)
    read_deviation = math.sqrt(read * photons * (1 + background) / (1 - read))
    counts = count_photons(rng, light * np.float32(photons))
    if read_deviation > 0.3:
        noise = rng.standard_normal(light.shape, dtype=np.float32)
        counts += noise * np.float32(read_deviation)
    return counts


def add_defects(
    rng: np.random.Generator, image: Array, camera: CameraParameters
) -> None:
    """Add hot pixels, salt and stripes in place."""
    frames, height, width = image.shape
    spread = float(image.std()) + 1e-6
    if rng.random() < camera.hot_pixel_share:
        count = int(rng.integers(1, max(height * width // 800, 2)))
        y, x = rng.integers(0, height, count), rng.integers(0, width, count)
        image[:, y, x] += (spread * rng.uniform(1, 6, count)).astype(np.float32)
    if rng.random() < camera.salt_share:
        count = int(image.size * rng.uniform(0.0005, 0.01))
        where = rng.integers(0, image.size, count)
        image.reshape(-1)[where] += np.float32(spread * rng.uniform(2, 5)) * rng.choice(
            np.array([-1, 1], np.float32), count
        )
    if rng.random() < camera.stripe_share:
        rows = rng.standard_normal((frames, height, 1)).astype(np.float32)
        if rng.random() < 0.5:
            rows = np.broadcast_to(rows[:1], rows.shape)
        image += rows * np.float32(spread * rng.uniform(0.05, 0.35))


def enlarge(rng: np.random.Generator, image: Array, size: tuple[int, int]) -> Array:
    """Return frames interpolated to (H, W), mostly linearly, as viewers do."""
    _, height, width = image.shape
    if (height, width) == size:
        return image
    matrix = (linear_matrix, cubic_matrix, nearest_matrix)[
        int(rng.choice(3, p=[0.7, 0.22, 0.08]))
    ]
    return separable(image, None, matrix(size[0], height), matrix(size[1], width))


def compress(rng: np.random.Generator, image: Array) -> Array:
    """Return frames (0 to 1) with the losses of 8 x 8 cosine blocks."""
    frames, height, width = image.shape
    tall, wide = -height % 8, -width % 8
    padded = np.pad(image, ((0, 0), (0, tall), (0, wide)), mode="edge")
    blocks = padded.reshape(frames, (height + tall) // 8, 8, (width + wide) // 8, 8)
    spectrum = dctn(blocks, axes=(2, 4), norm="ortho")
    frequency = np.add.outer(np.arange(8), np.arange(8))
    quantum = (1 + frequency) * rng.uniform(0.01, 0.05)
    quantum = quantum[:, None, :].astype(np.float32)
    spectrum = np.rint(spectrum / quantum) * quantum
    restored = idctn(spectrum, axes=(2, 4), norm="ortho").reshape(padded.shape)
    result: Array = restored[:, :height, :width].astype(np.float32)
    return result


def digitise(
    rng: np.random.Generator, image: Array, *, counted: bool, camera: CameraParameters
) -> Frames:
    """Return grey levels as an 8 or 16 bit detector or file would hold them.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    image : ndarray
        (T, H, W) in any unit.
    counted : bool
        Whether the unit is photons, which may be stored as they are.
    camera : CameraParameters
        The knobs.
    """
    sixteen = rng.random() < camera.sixteen_bit_share
    inverted = rng.random() < camera.inverted_share
    as_counts = counted and rng.random() < camera.low_count_share
    low, high = float(image.min()), float(image.max())
    if as_counts and high < (65000 if sixteen else 255):
        offset = float(rng.integers(0, 100)) if sixteen else 0.0
        image = np.clip(np.rint(image), 0, None) + np.float32(offset)
        return _stored(image, sixteen=sixteen)
    if rng.random() < 0.35:
        # Saturated: someone stretched the contrast.
        step = max(image.size // 20000, 1)
        low, high = np.quantile(
            image.reshape(-1)[::step], [rng.uniform(0, 0.02), rng.uniform(0.985, 1)]
        )
    unit = np.clip((image - np.float32(low)) / np.float32(high - low + 1e-6), 0, 1)
    if rng.random() < camera.gamma_share:
        unit **= np.float32(log_uniform(rng, (0.5, 1.8)))
    if inverted:
        unit = 1 - unit
    if rng.random() < camera.compressed_share:
        unit = np.clip(compress(rng, unit), 0, 1)
    if sixteen:
        top = log_uniform(rng, (400.0, 65000.0))
        offset = rng.uniform(0, min(300.0, 65535.0 - top))
        return _stored(unit * np.float32(top) + np.float32(offset), sixteen=True)
    top = 255.0 if rng.random() < 0.6 else rng.uniform(60, 255)
    return _stored(unit * np.float32(top), sixteen=False)


def _stored(levels: Array, *, sixteen: bool) -> Frames:
    """Return grey levels rounded to 8 or 16 bits."""
    rounded = np.rint(levels)
    if sixteen:
        wide: Frames = rounded.astype(np.uint16)
        return wide
    narrow: Frames = rounded.astype(np.uint8)
    return narrow
