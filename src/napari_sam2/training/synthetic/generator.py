"""Clips by seed: the whole way from a number to frames and labels."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.training.synthetic import camera as detector
from napari_sam2.training.synthetic import optics
from napari_sam2.training.synthetic.annotation import annotate, enlarged
from napari_sam2.training.synthetic.clip import KINDS, Clip, Kind
from napari_sam2.training.synthetic.families import FAMILIES
from napari_sam2.training.synthetic.fields import log_uniform
from napari_sam2.training.synthetic.parameters import SyntheticParameters
from napari_sam2.training.synthetic.scene import Scene, SceneRequest

if TYPE_CHECKING:
    from napari_sam2.training.synthetic.arrays import Array, Frames

# Deviations of the axial blur from which light comes, and planes at the most.
_REACH = 2.0
_MOST_PAD = 12
# Deviation of the axial blur of sectioned planes, planes: their thickness.
_SECTION = (0.0, 0.4)
# How far annotators draw beyond an outline in the plane at most, in diameters.
_MOST_GENEROUS = 0.12
_ATTEMPTS = 20
_LEAST_AREA = 6


class ClipGenerator:
    """Synthetic clips, one per seed, the same in every process and order.

    Parameters
    ----------
    parameters : SyntheticParameters, optional
        The knobs; the defaults if None.
    """

    def __init__(self, parameters: SyntheticParameters | None = None) -> None:
        self.parameters = parameters or SyntheticParameters()

    def generate(
        self,
        seed: int,
        *,
        frames: int,
        size: int | tuple[int, int],
        family: str | None = None,
        kind: Kind | None = None,
    ) -> Clip:
        """Return the clip of a seed; it holds at least one object.

        Parameters
        ----------
        seed : int
            0 or more.
        frames : int
            T, 1 or more.
        size : int or tuple of int
            (H, W) in pixels, 32 or more; one number for square frames.
        family, kind : str, optional
            A key of `FAMILIES`, and ``"z"`` or ``"t"``; drawn where None.

        Raises
        ------
        ValueError
            The family, the kind, their combination, or the size cannot be had.
        """
        height, width = (size, size) if isinstance(size, int) else size
        if min(height, width) < 32 or frames < 1:
            raise ValueError(
                f"{frames} frames of {height} x {width} were asked for; at least one "
                "of 32 x 32 is needed"
            )
        for attempt in range(_ATTEMPTS):
            rng = np.random.Generator(np.random.PCG64([seed, attempt]))
            name, what = self._choose(rng, family, kind)
            clip = self._attempt(rng, seed, frames, (height, width), name, what)
            if clip.labels.any():
                return clip
        raise ValueError(
            f"no object was seen in {_ATTEMPTS} scenes of family {name}; "
            "the parameters leave no room for any"
        )

    def _choose(
        self, rng: np.random.Generator, family: str | None, kind: Kind | None
    ) -> tuple[str, Kind]:
        """Draw what was not asked for, and refuse what does not exist."""
        if kind is not None and kind not in KINDS:
            raise ValueError(f"kind must be one of {KINDS} or None, not {kind!r}")
        if family is not None and family not in FAMILIES:
            raise ValueError(
                f"family must be one of {tuple(FAMILIES)} or None, not {family!r}"
            )
        if family is None:
            weights = np.array(
                [
                    getattr(self.parameters.families, one.name)
                    * (kind is None or kind in FAMILIES[one.name].kinds)
                    for one in fields(self.parameters.families)
                ]
            )
            if not weights.any():
                raise ValueError(f"no family with a weight above 0 has kind {kind!r}")
            names = [one.name for one in fields(self.parameters.families)]
            family = names[int(rng.choice(len(names), p=weights / weights.sum()))]
        kinds = FAMILIES[family].kinds
        if kind is None:
            moving = rng.random() < self.parameters.timelapse_share
            kind = kinds[0] if len(kinds) == 1 else ("t" if moving else "z")
        if kind not in kinds:
            raise ValueError(f"family {family!r} has kinds {kinds}, not {kind!r}")
        return family, kind

    def _attempt(
        self,
        rng: np.random.Generator,
        seed: int,
        frames: int,
        size: tuple[int, int],
        family: str,
        kind: Kind,
    ) -> Clip:
        """Return one clip, perhaps without an object."""
        knobs = self.parameters
        planes = log_uniform(rng, knobs.objects.planes)
        if FAMILIES[family].sectioned:
            axial_blur = rng.uniform(*_SECTION)
        else:
            axial_blur = planes * rng.uniform(*knobs.optics.axial_blur)
        pad = min(math.ceil(_REACH * axial_blur), _MOST_PAD) if kind == "z" else 0
        request = SceneRequest(kind, frames, size[0], size[1], pad, planes, knobs)
        scene = FAMILIES[family].build(rng, request)
        scale = 1.0
        if rng.random() < knobs.optics.upscaled_share:
            # At least 5 native pixels across, or nobody could draw the object.
            most = min(knobs.optics.upscale[1], scene.diameter / 5, scene.detail / 1.3)
            most = max(most, 1.0)
            least = min(knobs.optics.upscale[0], most)
            scale = log_uniform(rng, (least, most))
        native = (
            max(round(size[0] / scale), 8),
            max(round(size[1] / scale), 8),
        )
        spread = optics.point_spread(
            rng, scene, size[0] / native[0], axial_blur, knobs.optics
        )
        images = record(rng, scene, native, size, kind, spread, knobs)
        labels = scene.labels
        if scene.modality == "fluorescence":
            beyond = rng.uniform(*knobs.objects.generosity)
            labels = enlarged(
                labels,
                pixels=min(beyond * spread.lateral, _MOST_GENEROUS * scene.diameter),
                planes=beyond * spread.axial if kind == "z" else 0.0,
            )
        labels = annotate(
            labels,
            # Only planes fade; a cell that comes in is drawn as far as it shows.
            least_cut=rng.uniform(*knobs.objects.least_cut) if kind == "z" else 0.0,
            least_area=max(int(_LEAST_AREA * scale * scale * 0.5), _LEAST_AREA),
        )
        return Clip(images, labels, kind, family, seed)


def record(
    rng: np.random.Generator,
    scene: Scene,
    native: tuple[int, int],
    size: tuple[int, int],
    kind: Kind,
    spread: optics.PointSpread,
    knobs: SyntheticParameters,
) -> Frames:
    """Return the frames (T, H, W) that a microscope takes of a scene.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    scene : Scene
        What is there.
    native, size : tuple of int
        (h, w) of the detector and (H, W) that its frames are interpolated to.
    kind : str
        ``"z"`` or ``"t"``.
    spread : PointSpread
        The blur.
    knobs : SyntheticParameters
        Optics and camera.
    """
    image = optics.project(rng, scene, native, kind, spread, knobs.optics)
    fluorescent = scene.modality == "fluorescence"
    if fluorescent:
        background = log_uniform(rng, knobs.camera.background)
        across = scene.diameter * native[0] / size[0]
        image += optics.background_light(
            rng, image, across, background, kind, knobs.optics
        )
        image = optics.illuminate(rng, image, kind, knobs.optics, bleaches=True)
        image = detector.detect(
            rng,
            image,
            background=background,
            area=1.57 * scene.diameter * scene.detail * (native[0] / size[0]) ** 2,
            camera=knobs.camera,
        )
    else:
        image = _expose(rng, image, scene, kind, knobs)
    detector.add_defects(rng, image, knobs.camera)
    image = detector.enlarge(rng, image, size)
    return detector.digitise(rng, image, counted=fluorescent, camera=knobs.camera)


def _expose(
    rng: np.random.Generator,
    image: Array,
    scene: Scene,
    kind: Kind,
    knobs: SyntheticParameters,
) -> Array:
    """Return grey levels with the noise of detectors that count no photons."""
    if scene.modality == "transmitted":
        image = image * np.float32(rng.uniform(0.06, 0.16) / (image.std() + 1e-6))
        image += np.float32(0.5)
    image = optics.illuminate(rng, image, kind, knobs.optics, bleaches=False)
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    deviation = float(image.std()) * log_uniform(rng, knobs.camera.structure_noise)
    image += noise * np.float32(deviation)
    return image
