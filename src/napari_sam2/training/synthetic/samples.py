"""The two sample scenes of the package: a z-stack and a time-lapse of nuclei."""

from __future__ import annotations

import numpy as np

from napari_sam2.training.synthetic import appearance
from napari_sam2.training.synthetic.annotation import annotate
from napari_sam2.training.synthetic.camera import count_photons
from napari_sam2.training.synthetic.clip import Clip
from napari_sam2.training.synthetic.fields import blur, smooth_field
from napari_sam2.training.synthetic.motion import Behaviour, simulate
from napari_sam2.training.synthetic.moving import draw_tracks
from napari_sam2.training.synthetic.solid import Solids, draw_ellipsoids

_SIZE = 256
_PLANES = 40
_PAD = 3
_SEED = 20


def sample_zstack() -> Clip:
    """Return a confocal z-stack of nuclei, some touching, some dividing.

    Returns
    -------
    Clip
        (40, 256, 256) uint16 with a few dozen nuclei of about 34 pixels and 16
        planes; always the same.
    """
    rng = np.random.Generator(np.random.PCG64(_SEED))
    shape = (_PLANES + 2 * _PAD, _SIZE, _SIZE)
    geometry = draw_ellipsoids(
        rng,
        shape,
        Solids(
            diameter=34.0,
            step=2.4,
            elongation=1.45,
            size_spread=0.12,
            roughness=0.05,
            gap=0.94,
            touching=0.5,
            tilt=0.6,
        ),
        count=62,
        pad=_PAD,
        fine=2.6,
        coarse=7.0,
        brightness_spread=0.22,
        dividing=0.06,
    )
    light = appearance.chromatin(
        rng, geometry, appearance.Chromatin(grain=0.22, patches=0.16, nucleoli=1.25)
    )
    haze = blur(light, 9.0, 3.0)[_PAD:-_PAD]
    sharp = blur(light, 0.9, 0.8)[_PAD:-_PAD]
    depth = np.linspace(1.0, 0.62, _PLANES, dtype=np.float32)[:, None, None]
    photons = (0.82 * sharp + 0.3 * haze + 0.03) * depth * 55 + 1.5
    images = count_photons(rng, photons.astype(np.float32)) * 38
    images += rng.standard_normal(images.shape, dtype=np.float32) * 22 + 420
    labels = annotate(geometry.labels[_PAD:-_PAD], least_cut=0.06, least_area=25)
    return Clip(images.clip(0, 65535).astype(np.uint16), labels, "z", "nuclei", _SEED)


def sample_timelapse() -> Clip:
    """Return a fluorescence movie of nuclei that wander, divide, come and go.

    Returns
    -------
    Clip
        (40, 256, 256) uint16 with about 30 nuclei of 24 pixels; a mother ends where
        her two daughters begin; always the same.
    """
    rng = np.random.Generator(np.random.PCG64(_SEED + 1))
    tracks = simulate(
        rng,
        frames=_PLANES,
        size=(_SIZE, _SIZE),
        radius=12.0,
        count=26,
        gap=1.15,
        touching=0.3,
        behaviour=Behaviour(
            speed=0.11,
            persistence=0.75,
            drift=(0.12, -0.2),
            turning=0.035,
            wobble=0.035,
            wobble_change=0.12,
            elongation=1.6,
            dividing=0.4,
            division_frames=3.0,
            condensation="plate",
            appearing=0.0,
            ending=0.03,
            growth=0.0,
            size_spread=0.12,
        ),
    )
    geometry = draw_tracks(rng, tracks, (_SIZE, _SIZE), fine=2.2, coarse=5.5)
    light = appearance.chromatin(
        rng, geometry, appearance.Chromatin(grain=0.16, patches=0.14, nucleoli=1.2)
    )
    sharp, haze = blur(light, 1.0), blur(light, 7.0)
    cytoplasm = smooth_field(rng, (1, _SIZE, _SIZE), (1.0, 40.0, 40.0))
    bleaching = np.exp(-np.arange(_PLANES, dtype=np.float32) / 110)[:, None, None]
    photons = (0.85 * sharp + 0.16 * haze + 0.05 + 0.012 * cytoplasm) * bleaching * 90
    images = count_photons(rng, photons.clip(0)) * 45
    images += rng.standard_normal(images.shape, dtype=np.float32) * 30 + 300
    labels = annotate(geometry.labels, least_cut=0.0, least_area=12)
    return Clip(
        images.clip(0, 65535).astype(np.uint16), labels, "t", "nuclei", _SEED + 1
    )
