"""Frames that were read last, for networks that see each with its neighbours."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from napari_sam2.data.source import FrameSource

_MOST_BYTES = 256 * 2**20
_MOST_FRAMES = 24
# A frame with its neighbours, and one more: they are read in rising order, so in a pass
# that goes backward the one used longest ago is the one needed next.
_LEAST_FRAMES = 4


class RecentFrames:
    """The frames of a stack, the last ones kept.

    A frame is asked for up to three times in a pass, with its neighbours, and again for
    every window that memories are encoded in anew.

    Parameters
    ----------
    frames : FrameSource
        Where they are read.
    """

    def __init__(self, frames: FrameSource) -> None:
        self._frames = frames
        self._kept: OrderedDict[int, np.ndarray[Any, Any]] = OrderedDict()

    def __getitem__(self, frame: int) -> np.ndarray[Any, Any]:
        """Return a frame, read or kept."""
        if frame in self._kept:
            self._kept.move_to_end(frame)
            return self._kept[frame]
        pixels = self._frames[frame]
        self._kept[frame] = pixels
        most = max(_LEAST_FRAMES, _MOST_BYTES // max(pixels.nbytes, 1))
        while len(self._kept) > min(most, _MOST_FRAMES):
            self._kept.popitem(last=False)
        return pixels
