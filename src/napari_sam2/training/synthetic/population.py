"""Populations: how many objects of what size, where, and how they live."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.training.synthetic.fields import log_uniform
from napari_sam2.training.synthetic.motion import Behaviour, Tracks, simulate
from napari_sam2.training.synthetic.moving import draw_tracks
from napari_sam2.training.synthetic.solid import (
    Solids,
    draw_ellipsoids,
    volume_count,
)
from napari_sam2.training.synthetic.tissue import draw_tissue

if TYPE_CHECKING:
    from napari_sam2.training.synthetic.geometry import Geometry
    from napari_sam2.training.synthetic.scene import SceneRequest


def random_solids(
    rng: np.random.Generator,
    request: SceneRequest,
    diameter: float,
    *,
    elongation: float,
    gap: tuple[float, float],
) -> Solids:
    """Draw the looks of the bodies of one volume."""
    objects = request.parameters.objects
    return Solids(
        diameter=diameter,
        step=request.step(diameter),
        elongation=rng.uniform(1.0, elongation),
        size_spread=rng.uniform(0.03, 0.3),
        roughness=rng.uniform(*objects.roughness),
        gap=rng.uniform(*gap),
        touching=rng.uniform(*objects.touching),
        tilt=rng.uniform(0.0, 1.0),
    )


def random_grains(rng: np.random.Generator, diameter: float) -> tuple[float, float]:
    """Draw the pixels between independent values of fine and coarse texture."""
    return (
        float(np.clip(diameter * rng.uniform(0.04, 0.12), 1.5, 6)),
        float(np.clip(diameter * rng.uniform(0.14, 0.3), 2.5, 24)),
    )


def random_behaviour(
    rng: np.random.Generator,
    request: SceneRequest,
    *,
    condensation: str,
    wobble: float,
    elongation: float,
    slow: float = 1.0,
    growth: float = 0.0,
) -> Behaviour:
    """Draw how the cells of one time-lapse live."""
    motion = request.parameters.motion
    drift = rng.normal(0, 1, 2) * motion.drift * rng.random() * 0.5
    drift = np.clip(drift, -motion.drift, motion.drift)
    if rng.random() < 0.4:
        drift *= 0
    return Behaviour(
        speed=log_uniform(rng, motion.speed) * slow,
        persistence=rng.uniform(0.2, 0.9),
        drift=(float(drift[0]), float(drift[1])),
        turning=rng.uniform(0.0, 0.15),
        wobble=wobble,
        wobble_change=rng.uniform(*motion.wobble_change) * slow,
        elongation=elongation,
        dividing=rng.uniform(*motion.dividing),
        division_frames=rng.uniform(*motion.division_frames),
        condensation=condensation,
        appearing=rng.uniform(0, motion.appearing),
        ending=rng.uniform(0, motion.ending),
        growth=growth,
        size_spread=rng.uniform(0.05, 0.25),
    )


def random_count(
    rng: np.random.Generator, request: SceneRequest, diameter: float, crowded: float
) -> int:
    """Draw how many objects a frame shows; in a share of the scenes, a crowd.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    request : SceneRequest
        Size of the frame and bounds of the number.
    diameter : float
        Usual diameter in pixels.
    crowded : float
        Share of the scenes, 0 to 1, whose objects cover 30 to 100 % of the frame, as
        far as the largest number allows.
    """
    count = request.count(rng, diameter)
    if rng.random() < crowded:
        cover = rng.uniform(0.3, 1.0) * request.height * request.width
        crowd = round(cover / (0.785 * diameter**2))
        count = max(count, min(crowd, request.parameters.objects.count[1]))
    return count


def random_tracks(
    rng: np.random.Generator,
    request: SceneRequest,
    diameter: float,
    behaviour: Behaviour,
    gap: float,
    crowded: float = 0.0,
) -> Tracks:
    """Simulate the tracks of one time-lapse; `crowded` as in `random_count`."""
    return simulate(
        rng,
        frames=request.frames,
        size=(request.height, request.width),
        radius=diameter / 2,
        count=random_count(rng, request, diameter, crowded),
        gap=gap,
        touching=rng.uniform(*request.parameters.objects.touching),
        behaviour=behaviour,
    )


def draw_separate(
    rng: np.random.Generator,
    request: SceneRequest,
    diameter: float,
    *,
    wobble: tuple[float, float],
    elongation: float,
    condensation: str,
    nucleus: float,
    gap: tuple[float, float],
) -> Geometry:
    """Return separate or touching objects, in a volume or moving."""
    fine, coarse = random_grains(rng, diameter)
    spread = rng.uniform(*request.parameters.objects.brightness_spread)
    if request.kind == "z":
        solids = random_solids(rng, request, diameter, elongation=elongation, gap=gap)
        count = volume_count(
            request.shape, solids, random_count(rng, request, diameter, 0.3)
        )
        return draw_ellipsoids(
            rng,
            request.shape,
            solids,
            count=count,
            pad=request.pad,
            fine=fine,
            coarse=coarse,
            nucleus=nucleus,
            brightness_spread=spread,
            dividing=rng.uniform(0, 0.15) if condensation == "plate" else 0.0,
        )
    behaviour = random_behaviour(
        rng,
        request,
        condensation=condensation,
        wobble=rng.uniform(*wobble),
        elongation=rng.uniform(1.05, elongation),
    )
    tracks = random_tracks(rng, request, diameter, behaviour, rng.uniform(*gap), 0.25)
    return draw_tracks(
        rng,
        tracks,
        (request.height, request.width),
        covering=rng.random() < 0.25,
        fine=fine,
        coarse=coarse,
        nucleus=nucleus,
    )


def draw_packed(
    rng: np.random.Generator,
    request: SceneRequest,
    diameter: float,
    *,
    roughness: float = 1.0,
) -> Geometry:
    """Return cells that fill the space, in a volume or as a moving sheet.

    `roughness` multiplies the drawn deviation of the walls from planes.
    """
    fine, coarse = random_grains(rng, diameter)
    nucleus = rng.uniform(0.35, 0.6)
    if request.kind == "z":
        solids = random_solids(rng, request, diameter, elongation=1.8, gap=(1.0, 1.0))
        solids = replace(solids, roughness=solids.roughness * roughness)
        return draw_tissue(
            rng,
            request.shape,
            solids,
            pad=request.pad,
            surface=rng.random() < 0.3,
            fine=fine,
            coarse=coarse,
            nucleus=nucleus,
            brightness_spread=rng.uniform(0.1, 0.7),
        )
    behaviour = random_behaviour(
        rng,
        request,
        condensation="round",
        wobble=rng.uniform(0.02, 0.1),
        elongation=rng.uniform(1.1, 1.5),
        slow=0.3,
    )
    radius = diameter / 2
    tracks = simulate(
        rng,
        frames=request.frames,
        size=(request.height, request.width),
        radius=radius,
        count=max(int(1.3 * request.height * request.width / diameter**2), 2),
        gap=0.8,
        touching=0.8,
        behaviour=behaviour,
    )
    return draw_tracks(
        rng,
        tracks,
        (request.height, request.width),
        margin=0.7 * radius,
        floor=-0.7 * radius,
        fine=fine,
        coarse=coarse,
        nucleus=nucleus,
    )


def draw_adherent(
    rng: np.random.Generator, request: SceneRequest, diameter: float
) -> Geometry:
    """Return living cells on glass, sparse to confluent."""
    behaviour = random_behaviour(
        rng,
        request,
        condensation="round",
        wobble=rng.uniform(0.03, 0.22),
        elongation=rng.uniform(1.1, 2.3),
    )
    tracks = random_tracks(
        rng, request, diameter, behaviour, rng.uniform(0.65, 1.05), 0.5
    )
    fine, coarse = random_grains(rng, diameter)
    return draw_tracks(
        rng,
        tracks,
        (request.height, request.width),
        covering=rng.random() < 0.3,
        fine=fine,
        coarse=coarse,
        nucleus=rng.uniform(0.3, 0.55) if rng.random() < 0.75 else 0.0,
    )
