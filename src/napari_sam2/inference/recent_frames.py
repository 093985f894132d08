"""Frames that were read last, for networks that see each with its neighbours."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from napari_sam2.data.source import FrameSource

_MOST_BYTES = 256 * 2**20
_MOST_FRAMES = 24


class RecentFrames:
    """The frames of a stack, the last ones kept.

    In a pass a frame is asked for with each of its neighbours, and again for every
    window that memories are encoded in anew.

    Parameters
    ----------
    frames : FrameSource
        Where they are read.
    neighbours : int
        How many before and after a frame are asked for with it.
    """

    def __init__(self, frames: FrameSource, neighbours: int) -> None:
        self._frames = frames
        # One more than are asked for at once: they are read in rising order, so in a
        # pass that goes backward the one used longest ago is the one needed next.
        self._least = 2 * neighbours + 2
        self._kept: OrderedDict[int, np.ndarray[Any, Any]] = OrderedDict()

    def __getitem__(self, frame: int) -> np.ndarray[Any, Any]:
        """Return a frame, read or kept."""
        if frame in self._kept:
            self._kept.move_to_end(frame)
            return self._kept[frame]
        pixels = self._frames[frame]
        self._kept[frame] = pixels
        most = min(_MOST_BYTES // max(pixels.nbytes, 1), _MOST_FRAMES)
        while len(self._kept) > max(most, self._least):
            self._kept.popitem(last=False)
        return pixels
