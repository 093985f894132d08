"""A bounded cache around the image encoder."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from napari_sam2.model.records import ImageFeatures, View

    Encode = Callable[[int, Sequence[View]], Iterable[ImageFeatures]]
    """Encodes views of the frame of an index, one by one."""

# Clicks and short spans come back to few frames; without this, the cache of a small
# network would still be filling after a thousand.
_MOST_FRAMES = 32


@dataclass(slots=True)
class FeatureCache:
    """Image features of the frames used last.

    Attributes
    ----------
    max_bytes : int
        Bytes kept, at most; what was asked for last is kept in any case.
    """

    max_bytes: int
    _kept: OrderedDict[int, dict[View, ImageFeatures]] = field(
        default_factory=OrderedDict
    )

    def get(
        self, frame: int, views: Sequence[View], encode: Encode
    ) -> list[ImageFeatures]:
        """Return the features of views of a frame, encoding those not at hand."""
        known = self._known(frame)
        lacking = [view for view in dict.fromkeys(views) if view not in known]
        if lacking:
            encoded = encode(frame, lacking)
            known = known | dict(zip(lacking, encoded, strict=True))
            self._keep(frame, known, views)
        return [known[view] for view in views]

    def _known(self, frame: int) -> dict[View, ImageFeatures]:
        """Return what is at hand of a frame, which becomes the one used last."""
        if frame not in self._kept:
            return {}
        self._kept.move_to_end(frame)
        return self._kept[frame]

    def _keep(
        self, frame: int, features: dict[View, ImageFeatures], asked: Sequence[View]
    ) -> None:
        """Keep the features of the frame in work, and fewer of others."""
        self._kept[frame] = features
        while len(self._kept) > 1 and (
            len(self._kept) > _MOST_FRAMES or self.nbytes > self.max_bytes
        ):
            self._kept.popitem(last=False)
        if self.nbytes > self.max_bytes:
            self._kept[frame] = {view: features[view] for view in asked}

    def __contains__(self, frame: int) -> bool:
        return frame in self._kept

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(one.nbytes for seen in self._kept.values() for one in seen.values())
