"""From the ideal scene to the light on the detector, at the recorded resolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.training.synthetic.fields import (
    area_matrix,
    blur,
    blur_matrix,
    level_distance,
    log_uniform,
    separable,
    smooth_field,
    wide_matrix,
)

if TYPE_CHECKING:
    from napari_sam2.training.synthetic.arrays import Array
    from napari_sam2.training.synthetic.parameters import OpticsParameters
    from napari_sam2.training.synthetic.scene import Scene


@dataclass(frozen=True, slots=True)
class PointSpread:
    """How far the light of a point spreads, as deviations.

    Attributes
    ----------
    lateral : float
        In pixels of the scene.
    axial : float
        In planes, for objects that are as detailed as they are large.
    """

    lateral: float
    axial: float


def point_spread(
    rng: np.random.Generator,
    scene: Scene,
    scale: float,
    axial: float,
    optics: OpticsParameters,
) -> PointSpread:
    """Draw the lateral blur of a scene, recorded at `scale` scene pixels each.

    The blur may soften an object, not dissolve it.
    """
    lateral = min(log_uniform(rng, optics.blur) * scale, 0.45 * scene.detail)
    if scene.modality != "fluorescence":
        lateral = min(lateral, 0.8 * scale)
    fineness = min(2 * scene.detail / scene.diameter, 1.0)
    return PointSpread(lateral, axial * fineness)


def project(
    rng: np.random.Generator,
    scene: Scene,
    native: tuple[int, int],
    kind: str,
    spread: PointSpread,
    optics: OpticsParameters,
) -> Array:
    """Return (T, h, w) light or grey levels at the native size of the detector.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    scene : Scene
        Signal (T + 2 pad, H, W).
    native : tuple of int
        (h, w) of the detector, at most (H, W).
    kind : str
        ``"z"`` or ``"t"``.
    spread : PointSpread
        The blur.
    optics : OpticsParameters
        The knobs.
    """
    planes, height, width = scene.signal.shape
    pad = scene.pad
    scale = height / native[0]
    across = scene.diameter / scale
    image = separable(
        scene.signal,
        blur_matrix(planes, spread.axial, pad) if kind == "z" else None,
        area_matrix(native[0], height) @ blur_matrix(height, spread.lateral),
        area_matrix(native[1], width) @ blur_matrix(width, spread.lateral),
    )
    if scene.modality == "fluorescence" and rng.random() < optics.haze_share:
        share = np.float32(rng.uniform(*optics.haze))
        image *= 1 - share
        image += share * _haze(rng, scene, native, kind)
    if kind == "t" and rng.random() < optics.focus_change_share:
        image = _change_focus(rng, image, 0.08 * across + 0.8)
    if rng.random() < optics.debris_share:
        _add_debris(rng, image, across, scene.modality == "fluorescence")
    return image


def _haze(
    rng: np.random.Generator, scene: Scene, native: tuple[int, int], kind: str
) -> Array:
    """Return light from far out of focus, from neighbouring planes too."""
    planes, height, width = scene.signal.shape
    wide = scene.diameter * rng.uniform(0.15, 0.6) + 2.0
    axial = None
    if kind == "z":
        axial = blur_matrix(planes, rng.uniform(1.5, 5.0), scene.pad)
    return separable(
        scene.signal,
        axial,
        wide_matrix(native[0], height, wide),
        wide_matrix(native[1], width, wide),
    )


def _change_focus(rng: np.random.Generator, image: Array, sigma: float) -> Array:
    """Return frames that go out of focus and come back."""
    frames = image.shape[0]
    wave = np.sin(
        rng.uniform(0, 2 * np.pi)
        + np.arange(frames) * rng.uniform(0.3, 2.0) / max(frames / 8, 1)
    )
    away = np.clip(wave * rng.uniform(0.4, 1.0), 0, 1).astype(np.float32)[:, None, None]
    blurred = blur(image, sigma)
    result: Array = image + away * (blurred - image)
    return result


def _add_debris(
    rng: np.random.Generator, image: Array, across: float, fluorescent: bool
) -> None:
    """Add specks and soft spots that no annotator labels, in place."""
    frames, height, width = image.shape
    spread = float(image.std()) + 1e-6
    for _ in range(int(rng.integers(1, 9))):
        if fluorescent:
            sigma = across * rng.choice([0.12, 0.5, 0.9]) * rng.uniform(0.6, 1.4)
            strength = rng.uniform(0.1, 0.8) if sigma > 0.3 * across else 1.0
            strength *= rng.uniform(0.3, 1.2)
        else:
            sigma = across * rng.uniform(0.03, 0.25)
            strength = spread * rng.uniform(-3, 3)
        sigma = float(np.clip(sigma, 0.5, 0.3 * min(height, width)))
        cy, cx = rng.uniform(0, height), rng.uniform(0, width)
        middle, depth = rng.uniform(0, frames), rng.uniform(1.0, 12.0)
        reach = int(3 * sigma) + 1
        y0, y1 = max(int(cy) - reach, 0), min(int(cy) + reach + 1, height)
        x0, x1 = max(int(cx) - reach, 0), min(int(cx) + reach + 1, width)
        along = np.exp(-0.5 * ((np.arange(frames) - middle) / depth) ** 2)
        down = np.exp(-0.5 * ((np.arange(y0, y1) - cy) / sigma) ** 2)
        aside = np.exp(-0.5 * ((np.arange(x0, x1) - cx) / sigma) ** 2)
        spot = along[:, None, None] * down[:, None] * aside * strength
        image[:, y0:y1, x0:x1] += spot.astype(np.float32)


def background_light(
    rng: np.random.Generator,
    image: Array,
    across: float,
    background: float,
    kind: str,
    optics: OpticsParameters,
) -> Array:
    """Return the (T, h, w) light between the objects, or (1, 1, 1) if even.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    image : ndarray
        (T, h, w) light of the objects, for its shape.
    across : float
        Usual diameter of an object in native pixels.
    background : float
        Its usual level, that of an object being 1 above it.
    kind : str
        ``"z"``: structure changes with depth; ``"t"``: it stays.
    optics : OpticsParameters
        The knobs.
    """
    if rng.random() > optics.clutter_share:
        return np.full((1, 1, 1), background, np.float32)
    frames, height, width = image.shape
    grain = max(across * rng.uniform(0.3, 2.0), 1.5)
    shape = (frames if kind == "z" else 1, height, width)
    field = smooth_field(rng, shape, (rng.uniform(2, 6), grain, grain))
    # Structure may compete with the objects, not bury them.
    depth = min(rng.uniform(0.1, 0.6) * background, rng.uniform(0.02, 0.22))
    light: Array = background + field * np.float32(depth)
    np.clip(light, 0.05 * background, None, out=light)
    if rng.random() < 0.15:
        # A bright sheet seen from the side: a cell wall, a fold, a cuticle.
        thick = np.float32(max(across * rng.uniform(0.03, 0.12), 0.7))
        edge = smooth_field(rng, shape, (4.0, 4 * across + 4, 4 * across + 4))
        distance = level_distance(edge, rng.uniform(-1.2, 1.2))
        light += np.exp(-np.square(distance / thick)) * np.float32(rng.uniform(0.3, 3))
    return light


def illuminate(
    rng: np.random.Generator,
    image: Array,
    kind: str,
    optics: OpticsParameters,
    *,
    bleaches: bool,
) -> Array:
    """Return the light under uneven illumination that bleaches and flickers.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    image : ndarray
        (T, h, w) light, background included.
    kind : str
        ``"z"``: light is lost with depth; ``"t"``: with time.
    optics : OpticsParameters
        The knobs.
    bleaches : bool
        Whether light is lost; else it only flickers.
    """
    frames, height, width = image.shape
    field = smooth_field(rng, (1, height, width), (1, 0.6 * height, 0.6 * width))
    field -= field.min()
    field /= field.max() + np.float32(1e-6)
    factor = 1 - np.float32(rng.uniform(*optics.uneven_light)) * field
    lost = rng.uniform(*optics.bleaching) if bleaches else 0.0
    fade = (1 - lost) ** (np.arange(frames) / max(frames - 1, 1))
    if kind == "z" and rng.random() < 0.5:
        fade = fade[::-1]
    if rng.random() < 0.3:
        fade = fade * np.exp(rng.normal(0, 0.06, frames))
    result: Array = image * factor * fade.astype(np.float32)[:, None, None]
    return result
