"""Masks in few bytes: a session keeps one for each object painted on a frame."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class PackedMask:
    """A bool mask ``(H, W)`` in few bytes."""

    shape: tuple[int, int]
    bits: bytes = field(repr=False)

    @classmethod
    def pack(cls, mask: NDArray[np.bool_]) -> PackedMask:
        """Compress a mask ``(H, W)``."""
        packed = zlib.compress(np.packbits(mask).tobytes(), level=1)
        return cls((mask.shape[0], mask.shape[1]), packed)

    def unpack(self) -> NDArray[np.bool_]:
        """Return the mask ``(H, W)``."""
        bits = np.frombuffer(zlib.decompress(self.bits), np.uint8)
        count = self.shape[0] * self.shape[1]
        return np.unpackbits(bits, count=count).view(bool).reshape(self.shape)
