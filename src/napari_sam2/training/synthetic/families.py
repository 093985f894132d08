"""The families of scenes: which objects, how they look, in which microscope."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.training.synthetic import appearance, electron, tomogram, transmitted
from napari_sam2.training.synthetic.fields import log_uniform
from napari_sam2.training.synthetic.motion import Behaviour, Tracks, simulate
from napari_sam2.training.synthetic.moving import draw_tracks
from napari_sam2.training.synthetic.scene import Modality, Scene, SceneRequest
from napari_sam2.training.synthetic.solid import (
    Solids,
    draw_ellipsoids,
    draw_tissue,
    draw_tubes,
    volume_count,
)

if TYPE_CHECKING:
    from napari_sam2.training.synthetic.arrays import Array
    from napari_sam2.training.synthetic.clip import Kind
    from napari_sam2.training.synthetic.geometry import Geometry

Builder = Callable[[np.random.Generator, SceneRequest], Scene]


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of scene and the dimensions it can have."""

    kinds: tuple[Kind, ...]
    build: Builder


def _scene(
    geometry: Geometry,
    signal: Array,
    modality: Modality,
    diameter: float,
    detail: float | None = None,
) -> Scene:
    """Return the scene of a geometry, its labels without the padding planes."""
    pad = geometry.pad
    labels = geometry.labels[pad : geometry.labels.shape[0] - pad]
    if detail is None:
        detail = diameter / 2
    return Scene(signal, labels, pad, modality, diameter, detail)


def _solids(
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
        step=request.step(rng, diameter),
        elongation=rng.uniform(1.0, elongation),
        size_spread=rng.uniform(0.03, 0.3),
        roughness=rng.uniform(*objects.roughness),
        gap=rng.uniform(*gap),
        touching=rng.uniform(*objects.touching),
        tilt=rng.uniform(0.0, 1.0),
    )


def _grains(rng: np.random.Generator, diameter: float) -> tuple[float, float]:
    """Draw the pixels between independent values of fine and coarse texture."""
    return (
        float(np.clip(diameter * rng.uniform(0.04, 0.12), 1.5, 6)),
        float(np.clip(diameter * rng.uniform(0.14, 0.3), 2.5, 24)),
    )


def _behaviour(
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


def _tracks(
    rng: np.random.Generator,
    request: SceneRequest,
    diameter: float,
    behaviour: Behaviour,
    gap: float,
) -> Tracks:
    """Simulate the tracks of one time-lapse."""
    return simulate(
        rng,
        frames=request.frames,
        size=(request.height, request.width),
        radius=diameter / 2,
        count=request.count(rng, diameter),
        gap=gap,
        touching=rng.uniform(*request.parameters.objects.touching),
        behaviour=behaviour,
    )


def _blobs(
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
    fine, coarse = _grains(rng, diameter)
    spread = rng.uniform(*request.parameters.objects.brightness_spread)
    if request.kind == "z":
        solids = _solids(rng, request, diameter, elongation=elongation, gap=gap)
        count = volume_count(request.shape, solids, request.count(rng, diameter))
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
    behaviour = _behaviour(
        rng,
        request,
        condensation=condensation,
        wobble=rng.uniform(*wobble),
        elongation=rng.uniform(1.05, elongation),
    )
    tracks = _tracks(rng, request, diameter, behaviour, rng.uniform(*gap))
    return draw_tracks(
        rng,
        tracks,
        (request.height, request.width),
        covering=rng.random() < 0.25,
        fine=fine,
        coarse=coarse,
        nucleus=nucleus,
    )


def nuclei(rng: np.random.Generator, request: SceneRequest) -> Scene:
    """Return stained nuclei: a volume, or a movie with mitoses."""
    diameter = request.diameter(rng)
    geometry = _blobs(
        rng,
        request,
        diameter,
        wobble=(0.01, 0.08),
        elongation=1.9,
        condensation="plate",
        nucleus=0.0,
        gap=(0.85, 1.15),
    )
    light = appearance.chromatin(rng, geometry)
    return _scene(geometry, light, "fluorescence", diameter)


def shells(rng: np.random.Generator, request: SceneRequest) -> Scene:
    """Return hollow objects: envelopes, vesicles, stained cortices."""
    diameter = request.diameter(rng, least=12.0)
    geometry = _blobs(
        rng,
        request,
        diameter,
        wobble=(0.01, 0.1),
        elongation=1.6,
        condensation="round",
        nucleus=0.0,
        gap=(0.95, 1.15),
    )
    light = appearance.rim(rng, geometry)
    return _scene(geometry, light, "fluorescence", diameter)


def cells(rng: np.random.Generator, request: SceneRequest) -> Scene:
    """Return whole cells with a nucleus, spread or round, often touching."""
    diameter = request.diameter(rng, least=14.0)
    geometry = _blobs(
        rng,
        request,
        diameter,
        wobble=(0.03, 0.25),
        elongation=2.2,
        condensation="round",
        nucleus=rng.uniform(0.35, 0.6),
        gap=(0.75, 1.1),
    )
    light = appearance.cytoplasm(rng, geometry)
    return _scene(geometry, light, "fluorescence", diameter)


def _packed(
    rng: np.random.Generator, request: SceneRequest, diameter: float
) -> Geometry:
    """Return cells that fill the space, in a volume or as a moving sheet."""
    fine, coarse = _grains(rng, diameter)
    nucleus = rng.uniform(0.35, 0.6)
    if request.kind == "z":
        solids = _solids(rng, request, diameter, elongation=1.8, gap=(1.0, 1.0))
        return draw_tissue(
            rng,
            request.shape,
            solids,
            pad=request.pad,
            fine=fine,
            coarse=coarse,
            nucleus=nucleus,
            brightness_spread=rng.uniform(0.1, 0.7),
        )
    behaviour = _behaviour(
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


def tissue(rng: np.random.Generator, request: SceneRequest) -> Scene:
    """Return packed cells with stained walls: plant organs, epithelia."""
    diameter = request.diameter(rng, least=max(16.0, request.side / 8))
    geometry = _packed(rng, request, diameter)
    width = max(diameter * rng.uniform(0.02, 0.07), 1.0)
    light = appearance.membranes(rng, geometry, width)
    return _scene(geometry, light, "fluorescence", diameter, 2.5 * width)


def rods(rng: np.random.Generator, request: SceneRequest) -> Scene:
    """Return rod-shaped cells (bacteria): in a volume, or growing and halving."""
    diameter = request.diameter(rng, least=6.0, most_share=0.12)
    fine, coarse = _grains(rng, 2 * diameter)
    if request.kind == "z":
        geometry = draw_tubes(
            rng,
            request.shape,
            step=request.step(rng, diameter * 1.5),
            diameter=diameter,
            length=(1.0, 3.5),
            stiffness=0.95,
            tilt=rng.uniform(0.1, 1.0),
            branching=0.0,
            radius_change=0.03,
            count=request.count(rng, 2 * diameter) * 2,
            pad=request.pad,
            fine=fine,
            coarse=coarse,
        )
        light = appearance.chromatin(rng, geometry)
        return _scene(geometry, light, "fluorescence", diameter)
    behaviour = _behaviour(
        rng,
        request,
        condensation="split",
        wobble=0.0,
        elongation=rng.uniform(2.5, 4.5),
        slow=0.4,
        growth=rng.uniform(0.0, 0.05),
    )
    tracks = _tracks(rng, request, 1.6 * diameter, behaviour, rng.uniform(0.8, 1.2))
    geometry = draw_tracks(
        rng,
        tracks,
        (request.height, request.width),
        outline="capsule",
        fine=fine,
        coarse=coarse,
    )
    if rng.random() < 0.5:
        image = transmitted.phase_contrast(rng, geometry)
        return _scene(geometry, image, "transmitted", diameter)
    light = appearance.chromatin(rng, geometry)
    return _scene(geometry, light, "fluorescence", diameter)


def filaments(rng: np.random.Generator, request: SceneRequest) -> Scene:
    """Return long bent tubes: vessels, hyphae, neurites, fibres."""
    diameter = request.diameter(rng, least=6.0, most_share=0.15)
    fine, coarse = _grains(rng, 2 * diameter)
    geometry = draw_tubes(
        rng,
        request.shape,
        step=request.step(rng, 2 * diameter),
        diameter=diameter,
        length=(5.0, 22.0),
        stiffness=rng.uniform(0.6, 0.9),
        tilt=rng.uniform(0.03, 0.35),
        branching=rng.uniform(0, 0.5),
        radius_change=rng.uniform(0.02, 0.25),
        count=min(request.count(rng, 3 * diameter), 25) + 1,
        pad=request.pad,
        fine=fine,
        coarse=coarse,
    )
    if rng.random() < 0.3:
        light = appearance.rim(rng, geometry)
    else:
        light = appearance.chromatin(rng, geometry)
    return _scene(geometry, light, "fluorescence", diameter)


def _sections(rng: np.random.Generator, request: SceneRequest, scene: Scene) -> Scene:
    """Return the scene as a series of sections, perhaps badly aligned."""
    if rng.random() > request.parameters.optics.misaligned_share:
        return scene
    pad = scene.pad
    inside = scene.signal[pad : scene.signal.shape[0] - pad]
    signal, labels = electron.shift_sections(rng, inside, scene.labels)
    return replace(scene, signal=signal, labels=labels, pad=0)


def mitochondria(rng: np.random.Generator, request: SceneRequest) -> Scene:
    """Return an electron micrograph whose mitochondria are the objects."""
    diameter = request.diameter(rng, least=12.0, most_share=0.3)
    step = request.step(rng, 1.5 * diameter)
    fine, coarse = _grains(rng, diameter)
    geometry = draw_tubes(
        rng,
        request.shape,
        step=step,
        diameter=diameter,
        length=(0.3, rng.uniform(1.5, 8.0)),
        stiffness=rng.uniform(0.5, 0.85),
        tilt=rng.uniform(0.3, 1.0),
        branching=rng.uniform(0, 0.4),
        radius_change=rng.uniform(0.02, 0.2),
        count=min(request.count(rng, 2 * diameter) * 2, 40) + 1,
        pad=request.pad,
        roughness=rng.uniform(0.05, 0.2),
        fine=fine,
        coarse=coarse,
    )
    grey = electron.cytosol(rng, request.shape, step, diameter)
    grey = electron.stain_mitochondria(rng, grey, geometry, step)
    return _sections(rng, request, _scene(geometry, grey, "electron", diameter))


def neuropil(rng: np.random.Generator, request: SceneRequest) -> Scene:
    """Return an electron micrograph of packed processes, each an object."""
    diameter = request.diameter(rng, least=max(20.0, request.side / 8))
    geometry = _packed(rng, request, diameter)
    step = request.step(rng, diameter)
    grey = electron.cytosol(rng, request.shape, step, 0.4 * diameter)
    width = float(np.clip(diameter * rng.uniform(0.03, 0.08), 1.5, 5))
    grey = electron.stain_neuropil(rng, grey, geometry, width)
    scene = _scene(geometry, grey, "electron", diameter, 1.2 * width)
    return _sections(rng, request, scene)


def tomograms(rng: np.random.Generator, request: SceneRequest) -> Scene:
    """Return a tomogram: organs, grains or pores in a body."""
    diameter = request.diameter(rng, least=14.0)
    solids = _solids(rng, request, diameter, elongation=2.2, gap=(0.8, 1.1))
    count = volume_count(request.shape, solids, request.count(rng, diameter))
    fine, coarse = _grains(rng, diameter)
    geometry = draw_ellipsoids(
        rng,
        request.shape,
        solids,
        count=count,
        pad=request.pad,
        fine=fine,
        coarse=coarse,
    )
    grey = tomogram.densities(rng, geometry, solids.step)
    return _scene(geometry, grey, "tomography", diameter)


def _transmitted_cells(
    rng: np.random.Generator, request: SceneRequest, diameter: float
) -> Geometry:
    """Return living cells on glass, sparse to confluent."""
    behaviour = _behaviour(
        rng,
        request,
        condensation="round",
        wobble=rng.uniform(0.03, 0.22),
        elongation=rng.uniform(1.1, 2.3),
    )
    tracks = _tracks(rng, request, diameter, behaviour, rng.uniform(0.65, 1.1))
    fine, coarse = _grains(rng, diameter)
    return draw_tracks(
        rng,
        tracks,
        (request.height, request.width),
        covering=rng.random() < 0.3,
        fine=fine,
        coarse=coarse,
        nucleus=rng.uniform(0.3, 0.55) if rng.random() < 0.75 else 0.0,
    )


def phase(rng: np.random.Generator, request: SceneRequest) -> Scene:
    """Return a phase contrast movie of living cells."""
    diameter = request.diameter(rng, least=14.0)
    geometry = _transmitted_cells(rng, request, diameter)
    image = transmitted.phase_contrast(rng, geometry)
    return _scene(geometry, image, "transmitted", diameter)


def dic(rng: np.random.Generator, request: SceneRequest) -> Scene:
    """Return an interference contrast movie of living cells."""
    diameter = request.diameter(rng, least=18.0)
    geometry = _transmitted_cells(rng, request, diameter)
    image = transmitted.interference_contrast(rng, geometry)
    return _scene(geometry, image, "transmitted", diameter)


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "nuclei": Family(("z", "t"), nuclei),
        "shells": Family(("z", "t"), shells),
        "cells": Family(("z", "t"), cells),
        "tissue": Family(("z", "t"), tissue),
        "rods": Family(("z", "t"), rods),
        "filaments": Family(("z",), filaments),
        "mitochondria": Family(("z",), mitochondria),
        "neuropil": Family(("z",), neuropil),
        "tomogram": Family(("z",), tomograms),
        "phase": Family(("t",), phase),
        "dic": Family(("t",), dic),
    }
)
