"""Results of objects on frames, kept small whatever the length of the stack."""

from __future__ import annotations

import zlib
from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.model.sam2 import ABSENT_LOGIT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam2.inference.packed_mask import PackedMask
    from napari_sam2.inference.spool import Extent, Spool
    from napari_sam2.model.records import View

FAR_BELOW = -10.0
"""Logit of what certainly is no part of a mask."""

_CUT = -6.0  # logits below are not kept


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """What is known of one object on one frame.

    Attributes
    ----------
    logits : ndarray
        Low-resolution mask logits ``(h, w)`` float32.
    view : View
        The part of the frame that the logits lie on.
    object_score : float
        Logit that the object is in the frame.
    predicted_iou : float
        IoU that the network expects of its mask; 1 for painted masks.
    remembering : bool
        Whether memories of other frames took part.
    backward : bool
        Direction of the pass that tracked the frame; False if none did.
    one_sided : bool
        Tracked from one of the prompted or approved frames on both sides, while a pass
        from the other is to come.
    painted, approved : PackedMask, optional
        The mask at frame size that the user painted, or approved.
    """

    logits: NDArray[np.float32] = field(repr=False)
    view: View
    object_score: float
    predicted_iou: float
    remembering: bool = False
    backward: bool = False
    one_sided: bool = False
    painted: PackedMask | None = None
    approved: PackedMask | None = None

    @property
    def exact(self) -> PackedMask | None:
        """The mask that stands whatever the logits say, if there is one."""
        return self.painted if self.approved is None else self.approved

    @property
    def present(self) -> bool:
        """Whether the object is in the frame."""
        return self.object_score > 0


@dataclass(frozen=True, slots=True, eq=False)
class _Stored:
    """A result whose logits lie cropped and compressed in a spool."""

    data: Extent
    box: tuple[int, int, int, int]
    shape: tuple[int, int]
    rest: FrameResult


KeptResult = FrameResult | _Stored
_NO_LOGITS = np.zeros((0, 0), np.float32)


class ResultStore:
    """The results of one object, by frame.

    Parameters
    ----------
    spool : Spool, optional
        Where the logits of all but the last result go, cropped to the object and
        compressed, so that memory hardly grows with the number of frames. Masks stay
        as they are to the pixel: what is cropped lies away from them. None: whole
        logits stay in memory.
    """

    def __init__(self, spool: Spool | None) -> None:
        self._spool = spool
        self._kept: dict[int, KeptResult] = {}
        self._frames: list[int] = []  # keys of the above, sorted
        self._last: int | None = None

    def __contains__(self, frame: int) -> bool:
        return frame in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def frames(self) -> list[int]:
        """Return the frames that have a result, sorted."""
        return self._frames.copy()

    def between(self, below: int | None, above: int | None) -> list[int]:
        """Return the frames that have a result above `below` and below `above`."""
        start = 0 if below is None else bisect_right(self._frames, below)
        stop = len(self._frames) if above is None else bisect_left(self._frames, above)
        return self._frames[start:stop]

    def put(self, frame: int, result: FrameResult) -> None:
        """Keep the result of a frame in place of any other."""
        if self._spool is not None and self._last is not None and self._last != frame:
            last = self._kept.get(self._last)
            if isinstance(last, FrameResult):
                self._kept[self._last] = _compress(last, self._spool)
        self._last = frame
        self.take_back(frame, result)

    def get(self, frame: int) -> FrameResult:
        """Return the result of a frame."""
        kept = self._kept[frame]
        if isinstance(kept, FrameResult):
            return kept
        return _expand(kept)

    def summary(self, frame: int) -> FrameResult:
        """Return the result of a frame, perhaps without its logits."""
        kept = self._kept[frame]
        return kept if isinstance(kept, FrameResult) else kept.rest

    def set_aside(self, frame: int) -> KeptResult:
        """Return the result of a frame as small as it can be kept, for `take_back`."""
        kept = self._kept[frame]
        if isinstance(kept, FrameResult) and self._spool is not None:
            return _compress(kept, self._spool)
        return kept

    def take_back(self, frame: int, kept: KeptResult) -> None:
        """Keep what was set aside in place of the result of its frame."""
        if frame not in self._kept:
            insort(self._frames, frame)
        self._kept[frame] = kept

    def drop(self, frame: int) -> None:
        """Forget the result of a frame, if there is one."""
        if self._kept.pop(frame, None) is not None:
            self._frames.remove(frame)


def _compress(result: FrameResult, spool: Spool) -> _Stored:
    logits = result.logits
    box = bounding_box(logits > _CUT, margin=2)
    y0, y1, x0, x1 = box
    crop = np.ascontiguousarray(logits[y0:y1, x0:x1])
    data = zlib.compress(crop.tobytes(), level=1)
    shape = (logits.shape[0], logits.shape[1])
    return _Stored(spool.put(data), box, shape, replace(result, logits=_NO_LOGITS))


def _expand(stored: _Stored) -> FrameResult:
    data = zlib.decompress(stored.data.read())
    y0, y1, x0, x1 = stored.box
    far = FAR_BELOW if stored.rest.present else ABSENT_LOGIT
    logits = np.full(stored.shape, far, np.float32)
    crop = np.frombuffer(data, np.float32)
    logits[y0:y1, x0:x1] = crop.reshape(y1 - y0, x1 - x0)
    return replace(stored.rest, logits=logits)


def bounding_box(
    mask: NDArray[np.bool_], *, margin: int = 0
) -> tuple[int, int, int, int]:
    """Return y0, y1, x0, x1 (ends exclusive) around the True pixels; all 0 if none."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return 0, 0, 0, 0
    height, width = mask.shape
    return (
        max(0, int(rows[0]) - margin),
        min(height, int(rows[-1]) + 1 + margin),
        max(0, int(columns[0]) - margin),
        min(width, int(columns[-1]) + 1 + margin),
    )
