"""A bounded cache around the image encoder."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam2.model.records import ImageFeatures

# Clicks and short spans come back to few frames; without this, the cache of a small
# network would still be filling after a thousand.
_MOST_FRAMES = 32


@dataclass(slots=True)
class FeatureCache:
    """Image features of the frames used last.

    Attributes
    ----------
    max_bytes : int
        Bytes kept, at most; the frame in work is kept in any case.
    """

    max_bytes: int
    _kept: OrderedDict[int, ImageFeatures] = field(default_factory=OrderedDict)

    def get(self, frame: int, encode: Callable[[int], ImageFeatures]) -> ImageFeatures:
        """Return the features of a frame, encoding it if need be."""
        if frame in self._kept:
            self._kept.move_to_end(frame)
            return self._kept[frame]
        features = encode(frame)
        self._kept[frame] = features
        while len(self._kept) > 1 and (
            len(self._kept) > _MOST_FRAMES or self.nbytes > self.max_bytes
        ):
            self._kept.popitem(last=False)
        return features

    def __contains__(self, frame: int) -> bool:
        return frame in self._kept

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(features.nbytes for features in self._kept.values())
