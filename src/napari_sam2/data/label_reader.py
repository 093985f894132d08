"""Label stacks as integer frames, and the ids in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2.data.frames import StackFrames, select_frames
from napari_sam2.data.image import open_image
from napari_sam2.data.source import as_frame_source
from napari_sam2.errors import ImageError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from napari_sam2.data.source import FrameSource
    from napari_sam2.data.stack import LazyArray, StackImage

_UINT32_MAX, _UINT32_BYTES = 2**32 - 1, 4


class LabelStack:
    """The frames of a label stack, read one at a time and checked as they are read.

    A frame source: ``labels[i]`` is ``(H, W)`` of unsigned integers, 0 background.

    Attributes
    ----------
    image, axes, scale, units
        As in `StackFrames`.
    """

    def __init__(self, frames: StackFrames) -> None:
        self._frames = frames
        self.image = frames.image
        self.name = frames.image.name
        self.axes = frames.axes
        self.scale = frames.scale
        self.units = frames.units
        dtype = frames.dtype
        if dtype.kind == "b":
            self.dtype = np.dtype(np.uint8)
        elif dtype.kind == "u":
            self.dtype = dtype
        else:
            self.dtype = np.dtype(f"u{4 if dtype.kind == 'f' else dtype.itemsize}")

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Height and width of a frame, in pixels."""
        return self._frames.frame_shape

    def __getitem__(self, frame: int) -> np.ndarray[Any, Any]:
        """Read a frame of ids.

        Raises
        ------
        ImageError
            If it holds fractions, NaN, negative numbers, or ids above 32 bits.
        """
        pixels = self._frames[frame]
        where = f"Frame {frame} of {self.name}"
        whole = pixels.dtype.kind != "f" or (
            np.isfinite(pixels).all() and (pixels == np.floor(pixels)).all()
        )
        if not whole:
            raise ImageError(
                f"{where} holds fractions or NaN, so it is no label image. Labels"
                " are whole numbers, 0 for background."
            )
        wide = pixels.dtype.kind == "f" or pixels.dtype.itemsize > _UINT32_BYTES
        if wide and float(pixels.max()) > _UINT32_MAX:
            raise ImageError(
                f"{where} holds ids above {_UINT32_MAX}, which no label image can"
                " keep. Number the objects anew."
            )
        if pixels.dtype.kind in "if" and pixels.min() < 0:
            raise ImageError(
                f"{where} holds negative numbers, so it is no label image. Labels are"
                " whole numbers, 0 for background."
            )
        return pixels.astype(self.dtype, copy=False)


def read_labels(
    path: str | os.PathLike[str] | LazyArray,
    *,
    axes: str | None = None,
    frame_axis: str | None = None,
    position: Mapping[str, int] | None = None,
) -> LabelStack:
    """Open a label stack without loading it.

    Parameters
    ----------
    path
        Anything that `open_image` opens, with one channel.
    axes
        Letters that take the place of those in the file.
    frame_axis, position
        As in `select_frames`.

    Raises
    ------
    ImageError
        If it cannot be opened, has colours or several channels, or its first frame
        holds anything but whole numbers from 0.
    """
    return label_stack(open_image(path, axes=axes, palette=False), frame_axis, position)


def label_stack(
    image: StackImage,
    frame_axis: str | None = None,
    position: Mapping[str, int] | None = None,
) -> LabelStack:
    """See an open image as a label stack; its palette, if any, was not applied.

    Parameters
    ----------
    image
        With one channel.
    frame_axis, position
        As in `select_frames`.

    Raises
    ------
    ImageError
        As in `read_labels`.
    """
    if "S" in image.axes or image.length("C") > 1:
        raise ImageError(
            f"{image.name} has colours or channels ({image.sizes}), so it is no label"
            " image. Labels have one number for each pixel."
        )
    stack = LabelStack(select_frames(image, frame_axis=frame_axis, position=position))
    if image.dtype.kind in "if":
        _ = stack[0]
    return stack


def read_labels_of(frames: StackFrames, path: str | os.PathLike[str]) -> LabelStack:
    """Open the labels of an image, along its frames and where it is on other axes.

    Labels often do not name their axes. Where their lengths are those of the image,
    they are taken for the image's.

    Parameters
    ----------
    frames
        The frames that the labels belong to.
    path
        As in `read_labels`.

    Raises
    ------
    ImageError
        As in `read_labels`.
    """
    image, axis = frames.image, frames.axes[0]
    letters = "".join(letter for letter in image.axes if letter not in "CS")
    labels = open_image(path, palette=False)
    alike = labels.shape == tuple(image.length(letter) for letter in letters)
    if alike and labels.axes != letters:
        labels = open_image(path, axes=letters, palette=False)
    along = labels.length(axis) > 1
    position = {
        letter: index
        for letter, index in frames.position.items()
        if along and labels.length(letter) > 1
    }
    return label_stack(labels, axis if along else None, position)


def object_ids(labels: FrameSource | LazyArray) -> list[int]:
    """List the ids in a label stack in rising order, reading one frame at a time.

    Parameters
    ----------
    labels
        Integer frames, or an array of them: (T, Y, X) or (Y, X).
    """
    ids: set[int] = set()
    source = as_frame_source(labels)
    for frame in range(len(source)):
        pixels = np.asarray(source[frame])
        if pixels.dtype.kind == "u" and pixels.dtype.itemsize <= 2:
            found = np.flatnonzero(np.bincount(pixels.ravel()))
        else:
            found = np.unique(pixels)
        ids.update(int(label) for label in found if label != 0)
    return sorted(ids)
