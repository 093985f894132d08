"""The frames that a session works on: a protocol, and arrays seen through it."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

from napari_sam2.data.frames import StackFrames, select_frames
from napari_sam2.data.stack import LazyArray, StackImage, check_pixels
from napari_sam2.errors import ImageError

_PLANES = {2: "YX", 3: "ZYX", 4: "ZYXS"}


@runtime_checkable
class FrameSource(Protocol):
    """Frames of one size that are read one at a time.

    ``source[i]`` gives frame i as ``(H, W)`` or ``(H, W, 3)`` in the image's own
    values and type, for i from 0 to ``len(source) - 1``, and loads no other frame
    (at most the chunks in which it is stored). All frames have one shape and type.
    """

    def __len__(self) -> int:
        """Return the number of frames, at least one."""

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Height and width of every frame, in pixels."""

    def __getitem__(self, frame: int, /) -> np.ndarray[Any, Any]:
        """Read one frame."""


def as_frame_source(frames: FrameSource | LazyArray) -> FrameSource:
    """See an array as frames; a frame source is returned as it is.

    Parameters
    ----------
    frames
        A numpy, dask, zarr or memory-mapped array of shape (T, Y, X), (T, Y, X, 3) or
        (T, Y, X, 4) with the fourth sample dropped; a single frame of shape (Y, X),
        (Y, X, 3) or (Y, X, 4); or any `FrameSource`.

    Raises
    ------
    ImageError
        If the array has other axes, is empty, or holds no real numbers.
    TypeError
        If `frames` is neither an array nor a frame source.
    """
    if isinstance(frames, FrameSource):
        _check_source(frames)
        return frames
    if isinstance(frames, LazyArray):
        return _array_frames(frames)
    raise TypeError(
        f"frames must be an array or a frame source with len(), frame_shape and"
        f" frames[i], not {type(frames).__name__}"
    )


def _array_frames(array: LazyArray) -> StackFrames:
    """See an array as frames along its first axis."""
    shape = tuple(array.shape)
    check_pixels(np.dtype(array.dtype), "The array")
    samples = len(shape) in (3, 4) and shape[-1] in (3, 4)
    if len(shape) == 3 and samples:
        axes = "YXS"
    elif len(shape) == 4 and not samples:
        axes = None
    else:
        axes = _PLANES.get(len(shape))
    if axes is None:
        lengths = " x ".join(str(length) for length in shape) or "no axes"
        raise ImageError(
            f"Frames must come as (T, Y, X), (T, Y, X, 3) or (Y, X), not {lengths}."
            " Choose a frame axis and channels with"
            " select_frames(open_image(array, axes=...))."
        )
    return select_frames(StackImage(array, axes=axes, name="The array"))


def _check_source(source: FrameSource) -> None:
    """Refuse a frame source that cannot be walked along."""
    if len(source) < 1:
        raise ImageError("The frame source has no frames. Give it at least one.")
    shape = tuple(source.frame_shape)
    if len(shape) != 2 or not all(
        isinstance(length, int | np.integer) and length > 0 for length in shape
    ):
        raise ImageError(
            f"frame_shape must be the height and width of a frame, not {shape}."
        )
