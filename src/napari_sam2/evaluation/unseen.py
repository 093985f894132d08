"""Synthetic stacks that no training has seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.training.synthetic import ClipGenerator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_sam2.training.synthetic import Clip

# Training draws the seeds of its clips below this number.
_FIRST_SEED = 2**62


@dataclass(frozen=True, slots=True)
class UnseenStacks:
    """Synthetic stacks beyond the reach of training, z-stacks and time-lapses in turn.

    Attributes
    ----------
    count : int
        How many; the first ones are the same whatever the number.
    frames : int
        Of each stack.
    size : int
        Height and width of the frames, in pixels.
    seed : int
        Another one gives other stacks.
    """

    count: int
    frames: int = 20
    size: int = 192
    seed: int = 0

    def __iter__(self) -> Iterator[Clip]:
        generator = ClipGenerator()
        for number in range(self.count):
            yield generator.generate(
                self._seed_of(number),
                frames=self.frames,
                size=self.size,
                kind="t" if number % 2 else "z",
            )

    def _seed_of(self, number: int) -> int:
        rng = np.random.Generator(np.random.PCG64([self.seed, number]))
        return _FIRST_SEED + int(rng.integers(2**61))
