"""Bytes put aside in a temporary file, whose room is used again."""

from __future__ import annotations

import tempfile
import weakref
from collections import defaultdict

_SPOOL_BYTES = 2 * 2**20  # in memory, before they go to a file
_LEAST_UNIT = 256  # bytes


class Extent:
    """Where bytes lie in a spool; their room is free again when nobody holds this."""

    __slots__ = ("_spool", "length", "start")

    def __init__(self, spool: Spool, start: int, length: int) -> None:
        self._spool = spool
        self.start = start
        self.length = length

    def read(self) -> bytes:
        """Return the bytes."""
        return self._spool.read(self)

    def __del__(self) -> None:
        self._spool.release(self)


class Spool:
    """Bytes put aside: beyond a few megabytes in a temporary file.

    The file is about as large as all was at once, and deleted with this object, also
    if the process is killed.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(  # noqa: SIM115
            max_size=_SPOOL_BYTES
        )
        self._end = 0
        self._free: defaultdict[int, list[int]] = defaultdict(list)  # starts, by room
        weakref.finalize(self, self._file.close)

    @property
    def size(self) -> int:
        """Bytes of memory or of the file, those included that are free again."""
        return self._end

    def put(self, data: bytes) -> Extent:
        """Put bytes aside, for as long as what is returned is held."""
        room = _room(len(data))
        free = self._free[room]
        if free:
            start = free.pop()
        else:
            start = self._end
            self._end += room
        self._file.seek(start)
        self._file.write(data)
        return Extent(self, start, len(data))

    def read(self, extent: Extent) -> bytes:
        """Return bytes put aside."""
        self._file.seek(extent.start)
        return self._file.read(extent.length)

    def release(self, extent: Extent) -> None:
        """Give the room of bytes to others."""
        self._free[_room(extent.length)].append(extent.start)


def _room(length: int) -> int:
    """Return the bytes kept for some; of eight sizes an octave, so that others fit."""
    unit = max(_LEAST_UNIT, 1 << max(length.bit_length() - 4, 0))
    return -(-length // unit) * unit
