"""Reading single frames of arrays whose chunks span many frames."""

from __future__ import annotations

import math
import threading
from bisect import bisect_right
from collections import OrderedDict
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari_sam2.data.stack import LazyArray

BLOCK_BYTES = 256 * 2**20
_BLOCKS_KEPT = 2


class BlockReader:
    """Reads one frame at a time and decodes every chunk once.

    A zarr array chunked ``(16, 256, 256)`` would be decoded sixteen times over if it
    were read frame by frame. Here the frames that share a chunk are read together and
    the last two such blocks are kept; a block above `block_bytes` is not kept, its
    frames are read one by one. Arrays without chunks are read as they are. May be used
    from several threads.

    Parameters
    ----------
    data
        The array to read.
    axis
        The axis along which frames are counted; None if there is none.
    block_bytes
        The most that one block may hold.
    """

    def __init__(
        self, data: LazyArray, axis: int | None, *, block_bytes: int = BLOCK_BYTES
    ) -> None:
        self._data = data
        self._axis = axis
        self._edges = _chunk_edges(data, axis)
        self._block_bytes = block_bytes
        self._blocks: OrderedDict[tuple[object, ...], np.ndarray[Any, Any]]
        self._blocks = OrderedDict()
        self._lock = threading.Lock()

    def read(self, index: tuple[int | slice, ...]) -> np.ndarray[Any, Any]:
        """Read the part of the array that the index names.

        Parameters
        ----------
        index
            One entry per axis; on the frame axis an integer.
        """
        axis = self._axis
        if axis is None or not self._edges:
            return np.asarray(self._data[index])
        frame = index[axis]
        assert isinstance(frame, int)
        chunk = bisect_right(self._edges, frame)
        first = self._edges[chunk - 1] if chunk else 0
        last = self._edges[chunk]
        if (last - first) * self._frame_bytes(index) > self._block_bytes:
            return np.asarray(self._data[index])
        # Slices cannot be hashed before Python 3.12.
        key = (chunk, *(str(part) for at, part in enumerate(index) if at != axis))
        with self._lock:
            block = self._blocks.get(key)
            if block is None:
                if len(self._blocks) >= _BLOCKS_KEPT:
                    self._blocks.popitem(last=False)
                span = (*index[:axis], slice(first, last), *index[axis + 1 :])
                block = np.asarray(self._data[span])
                self._blocks[key] = block
            self._blocks.move_to_end(key)
        # Integers before the frame axis drop their axis from the block.
        at = sum(isinstance(part, slice) for part in index[:axis])
        pixels: np.ndarray[Any, Any] = np.take(block, frame - first, axis=at)
        return pixels

    def _frame_bytes(self, index: tuple[int | slice, ...]) -> int:
        """Size of what the index names."""
        lengths = [
            len(range(*part.indices(length)))
            for part, length in zip(index, self._data.shape, strict=True)
            if isinstance(part, slice)
        ]
        return math.prod(lengths) * int(np.dtype(self._data.dtype).itemsize)


def _chunk_edges(data: LazyArray, axis: int | None) -> list[int]:
    """List where the chunks along an axis end; empty if none spans two frames."""
    chunks = getattr(data, "chunks", None)
    if chunks is None or axis is None:
        return []
    along = chunks[axis]
    length = data.shape[axis]
    if isinstance(along, tuple):  # dask names every chunk, zarr and HDF5 one length
        edges = list(accumulate(int(part) for part in along))
    else:
        step = max(int(along), 1)
        edges = [*range(step, length, step), length]
    return edges if len(edges) < length else []
