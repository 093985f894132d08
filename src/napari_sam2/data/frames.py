"""From an image of many axes to the row of frames that the network walks along."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from napari_sam2.data.axes import AXIS_NAMES
from napari_sam2.data.blocks import BlockReader
from napari_sam2.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from napari_sam2.data.stack import StackImage

_COLOURS = 3


class StackFrames:
    """The frames of an image along one axis, each read when it is asked for.

    Made by `select_frames`. ``frames[i]`` is ``(H, W)``, or ``(H, W, 3)`` for colour
    pictures and composites of two or three channels (the third is 0 if there are two),
    in the image's own values and type.

    Attributes
    ----------
    image
        The image that the frames come from.
    axes
        ``"TYX"`` or ``"ZYX"``; the first is the frame axis.
    scale, units
        Physical size of a step along `axes`, and its unit or None.
    position
        Where the axes that are neither frame, row, column nor channel are fixed.
    channels
        The channels that are shown, in the order red, green, blue; a single one is
        grey; empty if the image has no channel axis.
    composite
        Whether the three colours of a frame are channels, each with its own contrast,
        and not a colour picture.
    """

    def __init__(
        self,
        image: StackImage,
        *,
        frame_axis: str,
        position: Mapping[str, int],
        channels: tuple[int, ...],
    ) -> None:
        self.image = image
        self.axes = f"{frame_axis}YX"
        self.scale = tuple(image.step(letter) for letter in self.axes)
        self.units = tuple(image.unit(letter) for letter in self.axes)
        self.position = dict(position)
        self.channels = channels
        self.composite = len(channels) > 1
        has_frame_axis = frame_axis in image.axes
        self._frame_axis = image.axes.index(frame_axis) if has_frame_axis else None
        self._length = image.length(frame_axis)
        self._reader = BlockReader(image.data, self._frame_axis)
        fixed: dict[str, int | slice] = {**position}
        if len(channels) == 1:
            fixed["C"] = channels[0]
        elif channels:
            fixed["C"] = slice(min(channels), max(channels) + 1)
        if "S" in image.axes:
            # Alpha, the fourth, says nothing about the object.
            fixed["S"] = slice(0, min(image.length("S"), _COLOURS))
        self._index = [fixed.get(letter, slice(None)) for letter in image.axes]
        kept = [
            letter
            for letter, part in zip(image.axes, self._index, strict=True)
            if isinstance(part, slice) and letter != frame_axis
        ]
        self._order = [kept.index(letter) for letter in "YXCS" if letter in kept]

    def __len__(self) -> int:
        return self._length

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Height and width of a frame, in pixels."""
        return self.image.length("Y"), self.image.length("X")

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the pixels."""
        return self.image.dtype

    def __getitem__(self, frame: int) -> np.ndarray[Any, Any]:
        number = operator.index(frame)
        if not 0 <= number < self._length:
            raise IndexError(f"frame {number} of {self._length} frames")
        index = list(self._index)
        if self._frame_axis is not None:
            index[self._frame_axis] = number
        try:
            pixels = self._reader.read(tuple(index)).transpose(self._order)
        except (OSError, RuntimeError, ValueError) as error:
            if not isinstance(self.image.data, zarr.Array):
                raise
            raise ImageError(
                f"Frame {number} of {self.image.name} cannot be read from its zarr"
                f" chunks ({error or type(error).__name__}). Copy or export it again."
            ) from error
        pixels = pixels.astype(self.dtype, copy=False)
        if self.composite:
            pixels = pixels[..., [c - min(self.channels) for c in self.channels]]
            if len(self.channels) < _COLOURS:
                pixels = np.pad(pixels, ((0, 0), (0, 0), (0, 1)))
        elif pixels.ndim == 3 and pixels.shape[2] < _COLOURS:
            pixels = pixels[..., 0]
        return pixels

    def __iter__(self) -> Iterator[np.ndarray[Any, Any]]:
        return (self[frame] for frame in range(self._length))

    def __repr__(self) -> str:
        height, width = self.frame_shape
        return f"StackFrames({self._length} of {height} x {width}, {self.axes})"


def select_frames(
    image: StackImage,
    *,
    frame_axis: str | None = None,
    position: Mapping[str, int] | None = None,
    channels: Sequence[int | str] | int | str | None = None,
) -> StackFrames:
    """Choose the frame axis, the place on the other axes, and the channels.

    Parameters
    ----------
    image
        The image to walk through.
    frame_axis
        ``"Z"`` or ``"T"``. By default the one that is longer than 1; Z if both are,
        at the first time point. An image with neither is one frame.
    position
        Index on the other axis of Z and T. By default T 0, and the middle of Z.
    channels
        One channel (grey), or two or three for red, green and blue in that order, by
        number from 0 or by name. By default all of them if there are no more than
        three.

    Raises
    ------
    ImageError
        If the image lacks the axis or channel, an index is out of its range, or there
        are more than three channels and none is chosen.
    """
    axis = _frame_axis(image, frame_axis)
    chosen = _channels(image, channels)
    fixed = {
        letter: image.length(letter) // 2 if letter == "Z" else 0
        for letter in image.axes
        if letter in "TZ" and letter != axis
    }
    for name, index in (position or {}).items():
        letter = str(name).upper()
        if letter not in fixed:
            raise ImageError(_misplaced(image, letter, axis))
        fixed[letter] = _within(image, letter, index)
    return StackFrames(image, frame_axis=axis, position=fixed, channels=chosen)


def _frame_axis(image: StackImage, wanted: str | None) -> str:
    """Check the frame axis that is asked for, or find the default."""
    if wanted is None:
        long = [letter for letter in "ZT" if image.length(letter) > 1]
        present = [letter for letter in "ZT" if letter in image.axes]
        return (long or present or ["Z"])[0]
    letter = wanted.strip().upper()
    if letter not in ("Z", "T"):
        raise ImageError(f"The frame axis must be Z or T, not {wanted!r}.")
    if letter not in image.axes and any(image.length(other) > 1 for other in "ZT"):
        raise ImageError(
            f"{image.name} has no axis {letter} ({AXIS_NAMES[letter]}): it has"
            f" {image.sizes}. Choose another frame axis, or name the axes."
        )
    return letter


def _misplaced(image: StackImage, letter: str, frame_axis: str) -> str:
    """Say why an axis cannot be given a fixed position."""
    if letter == frame_axis:
        return f"{letter} is the frame axis, so it has no fixed position. Leave it out."
    if letter == "C":
        return "Choose channels by number, not as a position on the axis C."
    if letter in image.axes:
        return f"A position can be fixed on Z or T, not on {letter}."
    return f"{image.name} has no axis {letter} to fix: it has {image.sizes}."


def _within(image: StackImage, letter: str, index: int) -> int:
    """Check an index on an axis."""
    number = operator.index(index)
    length = image.length(letter)
    if not 0 <= number < length:
        what = "channel" if letter == "C" else f"position on {letter}"
        raise ImageError(
            f"There is no {what} {number} in {image.name}: it goes from 0 to"
            f" {length - 1}."
        )
    return number


def _channels(
    image: StackImage, wanted: Sequence[int | str] | int | str | None
) -> tuple[int, ...]:
    """Check the channels that are asked for, or find the default."""
    count = image.length("C")
    limit = 1 if "S" in image.axes else _COLOURS
    if wanted is None:
        if count > limit:
            listed = ", ".join(
                f"{number} {name}".strip()
                for number, name in enumerate(
                    image.channel_names or ("",) * min(count, 12)
                )
            )
            raise ImageError(
                f"{image.name} has {count} channels ({listed}). Choose"
                f" {'one' if limit == 1 else 'one, or up to three'} of them."
            )
        return tuple(range(count)) if "C" in image.axes else ()
    given = (wanted,) if isinstance(wanted, int | str | np.integer) else tuple(wanted)
    if not 1 <= len(given) <= limit:
        raise ImageError(
            f"{len(given)} channels are chosen; the network sees"
            f" {'one of a colour picture' if limit == 1 else 'one, two or three'}."
        )
    numbers = [
        _channel_number(image, one) if isinstance(one, str) else one for one in given
    ]
    checked = tuple(_within(image, "C", number) for number in numbers)
    return checked if "C" in image.axes else ()


def _channel_number(image: StackImage, name: str) -> int:
    """Return the number of a channel given by number or by name."""
    names = [known.casefold() for known in image.channel_names]
    if name.strip().isdecimal() and (
        int(name) < image.length("C") or name.casefold() not in names
    ):
        return int(name)
    if names.count(name.casefold()) != 1:
        there = ", ".join(image.channel_names) or "no names"
        raise ImageError(
            f"{image.name} has no one channel called {name!r}: it has {there}. Give"
            " its number, counted from 0."
        )
    return names.index(name.casefold())
