"""The knobs of synthetic microscopy, and how a mapping (a YAML) becomes them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from napari_sam2.errors import ConfigError
from napari_sam2.training.bounds import check_bounds
from napari_sam2.training.records import record_from_mapping

if TYPE_CHECKING:
    from collections.abc import Mapping

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class FamilyWeights:
    """How often each family is drawn, relative to the others; 0 leaves it out."""

    nuclei: float = 3.0
    shells: float = 1.0
    cells: float = 1.5
    tissue: float = 1.5
    rods: float = 0.7
    filaments: float = 0.5
    mitochondria: float = 1.5
    neuropil: float = 0.7
    tomogram: float = 1.0
    phase: float = 1.2
    dic: float = 1.2

    def __post_init__(self) -> None:
        check_bounds(self, 0.0, math.inf, *(one.name for one in fields(self)))
        if not any(getattr(self, one.name) for one in fields(self)):
            raise ConfigError(
                "All family weights are 0; give at least one family a weight above 0."
            )


@dataclass(frozen=True, slots=True)
class ObjectParameters:
    """Size, number and shape of the objects.

    Attributes
    ----------
    diameter : tuple of float
        Pixels, drawn uniformly in the logarithm.
    largest_share : float
        Largest diameter over the shorter side of the frame, 0 to 1.
    count : tuple of int
        Objects that one frame shows, drawn uniformly in the logarithm.
    planes : tuple of float
        Planes that an object spans in a z-stack, drawn uniformly in the logarithm.
    touching : tuple of float
        Share of the objects that are placed against another, 0 to 1.
    roughness : tuple of float
        Deviation of the outline from an ellipse, in radii.
    brightness_spread : tuple of float
        Logarithmic deviation of the brightness between the objects of a scene.
    least_cut : tuple of float
        In z-stacks, a cut smaller than this share of the object's largest is not
        labelled.
    generosity : tuple of float
        How far beyond the surface of stained objects their annotator draws, in
        deviations of the blur, that of the plane and that along z: at 0.7 a quarter of
        the light is left there.
    """

    diameter: Range = (7.0, 128.0)
    largest_share: float = 0.5
    count: tuple[int, int] = (2, 60)
    planes: Range = (4.0, 40.0)
    touching: Range = (0.0, 0.7)
    roughness: Range = (0.02, 0.16)
    brightness_spread: Range = (0.1, 0.6)
    least_cut: Range = (0.005, 0.12)
    generosity: Range = (0.0, 1.0)

    def __post_init__(self) -> None:
        check_bounds(self, 3.0, math.inf, "diameter")
        check_bounds(self, 0.05, 1.0, "largest_share")
        check_bounds(self, 1, 500, "count")
        check_bounds(self, 2.0, math.inf, "planes")
        check_bounds(self, 0.0, 1.0, "touching")
        check_bounds(self, 0.0, 0.4, "roughness")
        check_bounds(self, 0.0, 2.0, "brightness_spread")
        check_bounds(self, 0.0, 0.9, "least_cut")
        check_bounds(self, 0.0, 3.0, "generosity")


@dataclass(frozen=True, slots=True)
class MotionParameters:
    """How cells live in a time-lapse.

    Attributes
    ----------
    speed : tuple of float
        Deviation of a cell's step, radii per frame, uniform in the logarithm.
    drift : float
        Largest drift of the stage, pixels per frame.
    dividing : tuple of float
        Share of the cells that divide within a clip.
    division_frames : tuple of float
        Frames from rounding up to metaphase, and again after it.
    appearing, ending : float
        Largest share of the cells that appear, or die, within a clip.
    wobble_change : tuple of float
        Share of the outline that is new in every frame.
    """

    speed: Range = (0.02, 0.4)
    drift: float = 1.5
    dividing: Range = (0.0, 0.35)
    division_frames: Range = (1.5, 5.0)
    appearing: float = 0.08
    ending: float = 0.08
    wobble_change: Range = (0.05, 0.45)

    def __post_init__(self) -> None:
        check_bounds(self, 1e-3, 3.0, "speed")
        check_bounds(self, 0.0, math.inf, "drift")
        check_bounds(self, 0.0, 1.0, "dividing")
        check_bounds(self, 1.0, math.inf, "division_frames")
        check_bounds(self, 0.0, 0.5, "appearing")
        check_bounds(self, 0.0, 0.5, "ending")
        check_bounds(self, 0.0, 1.0, "wobble_change")


@dataclass(frozen=True, slots=True)
class OpticsParameters:
    """What the microscope does to the light.

    Attributes
    ----------
    blur : tuple of float
        Deviation of the lateral point spread, native pixels, uniform in the logarithm.
    axial_blur : tuple of float
        Deviation of the axial point spread as a share of the planes that an object
        spans.
    haze : tuple of float
        Share of the light that is far out of focus (wide-field), 0 to 1.
    haze_share : float
        Share of the fluorescent scenes that have haze.
    upscaled_share : float
        Share of the scenes that are recorded small and interpolated to size.
    upscale : tuple of float
        How many times, uniform in the logarithm.
    focus_change_share : float
        Share of the time-lapses whose focus changes.
    uneven_light : tuple of float
        Relative depth of uneven illumination, 0 to 1.
    bleaching : tuple of float
        Share of the light lost from the first to the last frame.
    debris_share : float
        Share of the scenes with debris or out-of-focus spots that are not labelled.
    clutter_share : float
        Share of the fluorescent scenes whose background has structure.
    misaligned_share : float
        Share of the electron micrographs whose sections are shifted, and differ in
        contrast.
    """

    blur: Range = (0.4, 2.2)
    axial_blur: Range = (0.02, 0.28)
    haze: Range = (0.1, 0.7)
    haze_share: float = 0.5
    upscaled_share: float = 0.45
    upscale: Range = (1.5, 8.0)
    focus_change_share: float = 0.15
    uneven_light: Range = (0.0, 0.5)
    bleaching: Range = (0.0, 0.5)
    debris_share: float = 0.35
    clutter_share: float = 0.5
    misaligned_share: float = 0.3

    def __post_init__(self) -> None:
        check_bounds(self, 0.05, 20.0, "blur")
        check_bounds(self, 0.0, 1.0, "axial_blur")
        check_bounds(self, 0.0, 1.0, "haze")
        check_bounds(self, 1.0, 32.0, "upscale")
        check_bounds(self, 0.0, 1.0, "uneven_light")
        check_bounds(self, 0.0, 0.95, "bleaching")
        check_bounds(
            self,
            0.0,
            1.0,
            "haze_share",
            "upscaled_share",
            "focus_change_share",
            "debris_share",
            "clutter_share",
            "misaligned_share",
        )


@dataclass(frozen=True, slots=True)
class CameraParameters:
    """What the detector makes of the light.

    Attributes
    ----------
    contrast_to_noise : tuple of float
        Object minus background over the noise of one native pixel, uniform in the
        logarithm; raised for small objects until an annotator could see them.
    background : tuple of float
        Light of the background over that of an object, uniform in the logarithm.
    read_noise : tuple of float
        Share of the noise variance that does not depend on the light, 0 to 1.
    structure_noise : tuple of float
        Noise over the deviation of the grey levels where no photons are counted
        (electron micrographs, tomograms, transmitted light), uniform in the logarithm.
    hot_pixel_share, stripe_share, salt_share : float
        Share of the scenes that have each defect.
    sixteen_bit_share : float
        Share of the clips that are uint16.
    low_count_share : float
        Share of the fluorescent clips whose grey levels are the counted photons.
    inverted_share : float
        Share of the clips with inverted contrast.
    gamma_share : float
        Share of the clips with a gamma other than 1.
    compressed_share : float
        Share of the clips with the blocks of lossy compression.
    """

    contrast_to_noise: Range = (0.7, 30.0)
    background: Range = (0.01, 1.5)
    read_noise: Range = (0.0, 0.8)
    structure_noise: Range = (0.04, 0.9)
    hot_pixel_share: float = 0.12
    stripe_share: float = 0.08
    salt_share: float = 0.06
    sixteen_bit_share: float = 0.5
    low_count_share: float = 0.15
    inverted_share: float = 0.08
    gamma_share: float = 0.2
    compressed_share: float = 0.08

    def __post_init__(self) -> None:
        check_bounds(self, 0.1, math.inf, "contrast_to_noise")
        check_bounds(self, 1e-4, 50.0, "background")
        check_bounds(self, 0.0, 0.99, "read_noise")
        check_bounds(self, 1e-4, 10.0, "structure_noise")
        names = (one.name for one in fields(self))
        check_bounds(self, 0.0, 1.0, *(n for n in names if n.endswith("_share")))


@dataclass(frozen=True, slots=True)
class SyntheticParameters:
    """Everything that can be set about the synthetic scenes.

    Attributes
    ----------
    timelapse_share : float
        Share of time-lapses where a family has both kinds and none is asked for.
    families, objects, motion, optics, camera
        The groups of knobs.
    """

    timelapse_share: float = 0.4
    families: FamilyWeights = field(default_factory=FamilyWeights)
    objects: ObjectParameters = field(default_factory=ObjectParameters)
    motion: MotionParameters = field(default_factory=MotionParameters)
    optics: OpticsParameters = field(default_factory=OpticsParameters)
    camera: CameraParameters = field(default_factory=CameraParameters)

    def __post_init__(self) -> None:
        check_bounds(self, 0.0, 1.0, "timelapse_share")

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> SyntheticParameters:
        """Return the parameters that a nested mapping describes.

        Keys that are left out keep their defaults.

        Raises
        ------
        ConfigError
            A key is unknown, or a value has the wrong type or range.
        """
        return record_from_mapping(cls, mapping, "synthetic")
