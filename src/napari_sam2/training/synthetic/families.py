"""The families of scenes: which objects, how they look, in which microscope."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.training.synthetic import appearance, electron, tomogram, transmitted
from napari_sam2.training.synthetic.moving import draw_tracks
from napari_sam2.training.synthetic.population import (
    draw_adherent,
    draw_packed,
    draw_separate,
    random_behaviour,
    random_grains,
    random_solids,
    random_tracks,
)
from napari_sam2.training.synthetic.scene import Modality, Scene, SceneRequest
from napari_sam2.training.synthetic.solid import (
    draw_ellipsoids,
    volume_count,
)
from napari_sam2.training.synthetic.tubes import draw_tubes

if TYPE_CHECKING:
    from napari_sam2.training.synthetic.arrays import Array
    from napari_sam2.training.synthetic.clip import Kind
    from napari_sam2.training.synthetic.geometry import Geometry

Builder = Callable[[np.random.Generator, SceneRequest], Scene]


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of scene, the dimensions it can have, and how it is seen.

    `sectioned` planes show hardly any light of their neighbours: cut or computed ones.
    """

    kinds: tuple[Kind, ...]
    build: Builder
    sectioned: bool = False


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


def nuclei(rng: np.random.Generator, request: SceneRequest) -> Scene:
    """Return stained nuclei: a volume, or a movie with mitoses."""
    diameter = request.diameter(rng)
    geometry = draw_separate(
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
    geometry = draw_separate(
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
    geometry = draw_separate(
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


def tissue(rng: np.random.Generator, request: SceneRequest) -> Scene:
    """Return packed cells with stained walls: plant organs, epithelia."""
    diameter = request.diameter(rng, least=max(16.0, request.side / 8))
    geometry = draw_packed(rng, request, diameter)
    width = max(diameter * rng.uniform(0.02, 0.07), 1.0)
    light = appearance.membranes(rng, geometry, width)
    return _scene(geometry, light, "fluorescence", diameter, 2.5 * width)


def rods(rng: np.random.Generator, request: SceneRequest) -> Scene:
    """Return rod-shaped cells (bacteria): in a volume, or growing and halving."""
    diameter = request.diameter(rng, least=6.0, most_share=0.12)
    fine, coarse = random_grains(rng, 2 * diameter)
    if request.kind == "z":
        geometry = draw_tubes(
            rng,
            request.shape,
            step=request.step(diameter * 1.5),
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
    behaviour = random_behaviour(
        rng,
        request,
        condensation="split",
        wobble=0.0,
        elongation=rng.uniform(2.5, 4.5),
        slow=0.4,
        growth=rng.uniform(0.0, 0.05),
    )
    tracks = random_tracks(
        rng, request, 1.6 * diameter, behaviour, rng.uniform(0.8, 1.2)
    )
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
    fine, coarse = random_grains(rng, 2 * diameter)
    geometry = draw_tubes(
        rng,
        request.shape,
        step=request.step(2 * diameter),
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
    step = request.step(1.5 * diameter)
    fine, coarse = random_grains(rng, diameter)
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
    geometry = draw_packed(rng, request, diameter, roughness=rng.uniform(1, 2.5))
    step = request.step(diameter)
    grey = electron.cytosol(rng, request.shape, step, 0.4 * diameter)
    width = float(np.clip(diameter * rng.uniform(0.03, 0.08), 1.5, 5))
    grey = electron.stain_neuropil(rng, grey, geometry, width)
    scene = _scene(geometry, grey, "electron", diameter, 1.2 * width)
    return _sections(rng, request, scene)


def tomograms(rng: np.random.Generator, request: SceneRequest) -> Scene:
    """Return a tomogram: organs, grains or pores in a body."""
    diameter = request.diameter(rng, least=14.0)
    solids = random_solids(rng, request, diameter, elongation=2.2, gap=(0.8, 1.1))
    count = volume_count(request.shape, solids, request.count(rng, diameter))
    fine, coarse = random_grains(rng, diameter)
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


def phase(rng: np.random.Generator, request: SceneRequest) -> Scene:
    """Return a phase contrast movie of living cells."""
    diameter = request.diameter(rng, least=14.0)
    geometry = draw_adherent(rng, request, diameter)
    image = transmitted.phase_contrast(rng, geometry)
    return _scene(geometry, image, "transmitted", diameter)


def dic(rng: np.random.Generator, request: SceneRequest) -> Scene:
    """Return an interference contrast movie of living cells."""
    diameter = request.diameter(rng, least=18.0)
    geometry = draw_adherent(rng, request, diameter)
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
        "mitochondria": Family(("z",), mitochondria, sectioned=True),
        "neuropil": Family(("z",), neuropil, sectioned=True),
        "tomogram": Family(("z",), tomograms, sectioned=True),
        "phase": Family(("t",), phase),
        "dic": Family(("t",), dic),
    }
)
