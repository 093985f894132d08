"""One short clip of synthetic microscopy: what every family makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from napari_sam2.training.synthetic.arrays import Frames, Labels

Kind = Literal["z", "t"]
KINDS: tuple[Kind, ...] = ("z", "t")


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Frames of one scene and the instances an annotator would draw on them.

    Attributes
    ----------
    images : ndarray
        (T, H, W) uint8 or uint16 grey values.
    labels : ndarray
        (T, H, W) uint16; 0 is background, every other number one object, the same
        over the whole clip and never used for a second object.
    kind : str
        ``"z"``: planes of one volume; ``"t"``: moments of one field of view.
    family : str
        The kind of scene, a key of `FAMILIES`.
    seed : int
        The seed that makes this clip again.
    """

    images: Frames
    labels: Labels
    kind: Kind
    family: str
    seed: int

    def __post_init__(self) -> None:
        if self.images.ndim != 3 or self.images.shape != self.labels.shape:
            raise ValueError(
                "images and labels must be (T, H, W) of one shape, not "
                f"{self.images.shape} and {self.labels.shape}"
            )
        if self.images.dtype not in (np.uint8, np.uint16):
            raise TypeError(f"images must be uint8 or uint16, not {self.images.dtype}")
        if self.labels.dtype != np.uint16:
            raise TypeError(f"labels must be uint16, not {self.labels.dtype}")
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {KINDS}, not {self.kind!r}")
