"""The protocol of the simulated annotator, fixed so that numbers compare."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

FirstPrompt = Literal["point", "box"]

REPORTED = (1, 2, 3, 5)
"""Numbers of interactions after which scores are reported."""

TARGETS = (0.80, 0.85, 0.90)
"""Mean IoU of an object for which interactions are counted."""

_SHARE_OF_DIAGONAL = 0.008


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How the simulated annotator goes about a stack.

    Attributes
    ----------
    interactions : int
        Prompts given to each object, at most, the first included; 1 or more.
    first : {"point", "box"}
        The first prompt, on the object's middle frame.
    least_frames : int
        An object on fewer frames is not suitable; 1 or more.
    least_area : float
        Nor is one of a smaller mean area, in pixels, over the frames where it is.
    most_objects : int, optional
        So many of the suitable objects are taken, evenly spread; all if None.
    beyond : int
        Frames beyond each end of an object on which false presence is looked for.
    to_the_ends : bool
        Track through the whole stack, as TRA asks for, and not just to `beyond`.
    tolerance : float, optional
        Distance in pixels up to which two outlines agree; 0.008 of the frame's
        diagonal, and at least 1, if None.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    interactions: int = 5
    first: FirstPrompt = "point"
    least_frames: int = 5
    least_area: float = 20.0
    most_objects: int | None = None
    beyond: int = 5
    to_the_ends: bool = False
    tolerance: float | None = None

    def __post_init__(self) -> None:
        if self.first not in get_args(FirstPrompt):
            raise ValueError(f"first must be point or box, got {self.first!r}")
        for name in ("interactions", "least_frames", "most_objects"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}")
        for name in ("least_area", "beyond", "tolerance"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} must not be negative, got {value}")

    def tolerance_in(self, frame_shape: tuple[int, int]) -> float:
        """Return the tolerance in pixels for frames of ``(H, W)``."""
        if self.tolerance is not None:
            return self.tolerance
        return max(1.0, math.ceil(_SHARE_OF_DIAGONAL * math.hypot(*frame_shape)))


def reported(most: int) -> list[int]:
    """Return the numbers of interactions, up to `most`, that are reported on."""
    return sorted({count for count in REPORTED if count <= most} | {most})
