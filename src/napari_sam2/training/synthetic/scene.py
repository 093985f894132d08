"""What a family is asked for, and what it hands to the microscope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from napari_sam2.training.synthetic.fields import log_uniform

if TYPE_CHECKING:
    import numpy as np

    from napari_sam2.training.synthetic.arrays import Array, Labels
    from napari_sam2.training.synthetic.clip import Kind
    from napari_sam2.training.synthetic.parameters import SyntheticParameters

Modality = Literal["fluorescence", "transmitted", "electron", "tomography"]


@dataclass(frozen=True, slots=True)
class SceneRequest:
    """One scene to be made.

    Attributes
    ----------
    kind : str
        ``"z"`` or ``"t"``.
    frames, height, width : int
        Size of the clip, without the planes of `pad`.
    pad : int
        Planes wanted at either end beyond the clip, 0 for time-lapses.
    planes : float
        Planes that an object of usual size spans in a z-stack.
    parameters : SyntheticParameters
        The knobs.
    """

    kind: Kind
    frames: int
    height: int
    width: int
    pad: int
    planes: float
    parameters: SyntheticParameters

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (T, H, W) with the padding planes."""
        return self.frames + 2 * self.pad, self.height, self.width

    @property
    def side(self) -> int:
        """Return the shorter side of the frame in pixels."""
        return min(self.height, self.width)

    def diameter(
        self,
        rng: np.random.Generator,
        least: float = 0.0,
        most_share: float | None = None,
    ) -> float:
        """Draw the usual diameter of the objects, in pixels."""
        objects = self.parameters.objects
        share = objects.largest_share if most_share is None else most_share
        low = max(objects.diameter[0], least)
        high = min(objects.diameter[1], share * self.side)
        return log_uniform(rng, (low, max(high, low * 1.01)))

    def count(self, rng: np.random.Generator, diameter: float) -> int:
        """Draw how many objects one frame shows, fewer if they are large."""
        objects = self.parameters.objects
        room = 0.8 * self.height * self.width / (0.785 * diameter**2)
        high = max(min(float(objects.count[1]), room), objects.count[0] + 0.01)
        return max(int(log_uniform(rng, (objects.count[0], high))), 1)

    def step(self, diameter: float) -> float:
        """Return the pixels between two planes if an object has this diameter."""
        return diameter / self.planes


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """An ideal image with the true objects in it.

    Attributes
    ----------
    signal : ndarray
        (T + 2 pad, H, W) float32. Fluorescence: light of the objects, 1 is usual,
        without background. Else: grey level, about 0 to 1.
    labels : ndarray
        (T, H, W) uint16, the cut of every object, not blurred.
    pad : int
        Planes of `signal` at either end that are not imaged.
    modality : str
        Which microscope takes the picture.
    diameter : float
        Usual diameter of the objects in pixels.
    detail : float
        Pixels across the narrowest thing without which nobody could tell where an
        object ends: half a separate object, or the wall between two cells.
    """

    signal: Array
    labels: Labels
    pad: int
    modality: Modality
    diameter: float
    detail: float
