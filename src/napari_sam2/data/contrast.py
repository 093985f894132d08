"""One contrast for a whole stack: from raw pixel values to 0..1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam2.data.source import FrameSource

Limits = tuple[float, float]

_COLOURS = 3
_SAMPLED_FRAMES = 32
_SAMPLED_PIXELS = 4 * 2**20  # per stack: 32 MB as float64
_READ_PIXELS = 2**28  # frames above 2900 x 2900 are sampled from fewer than 32
_BLOCK_PIXELS = 2**18  # float64 temporaries of 2 MB stay in the processor's cache


@dataclass(frozen=True, slots=True)
class Contrast:
    """The raw values that become black and white, the same for every frame.

    Parameters
    ----------
    limits
        One (low, high) for all colours, or one for each of up to three channels.
        Where low equals high everything is black.

    Raises
    ------
    ImageError
        If limits are not finite, or low is above high.
    """

    limits: tuple[Limits, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "limits", _as_pairs(self.limits))
        for low, high in self.limits:
            if not (math.isfinite(low) and math.isfinite(high) and low <= high):
                raise ImageError(_bad_limits((low, high)))

    def apply(self, frame: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Scale a frame to 0..1.

        Parameters
        ----------
        frame
            (H, W), or (H, W, C) with one to three colours, of any real type.

        Returns
        -------
        ndarray
            (H, W, 3) float32 in 0..1. Grey fills all three colours, a missing third
            channel is 0; NaN and -inf are 0, +inf is 1.

        Raises
        ------
        ImageError
            If the frame has another number of axes, or more than three colours.
        """
        planes = frame[..., np.newaxis] if frame.ndim == 2 else frame
        if planes.ndim != 3 or not 1 <= planes.shape[2] <= _COLOURS:
            raise ImageError(
                f"A frame is (H, W) or (H, W, 3), not {frame.shape}. Choose up to"
                " three channels."
            )
        colours = planes.shape[2]
        scaled = np.zeros((*planes.shape[:2], _COLOURS), np.float32)
        for colour, limits in enumerate(self._limits_of(colours)):
            _rescale(planes[..., colour], limits, scaled[..., colour])
        if colours == 1:
            scaled[..., 1:] = scaled[..., :1]
        return scaled

    def apply_grey(self, frame: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Scale a frame to 0..1, without its colours.

        Parameters
        ----------
        frame
            As for `apply`.

        Returns
        -------
        ndarray
            (H, W) float32 in 0..1, the mean of the colours: those that have limits,
            where each has its own.

        Raises
        ------
        ImageError
            As by `apply`.
        """
        if frame.ndim == 2:
            grey = np.empty(frame.shape, np.float32)
            _rescale(frame, self.limits[0], grey)
            return grey
        # Of a composite's three colours, the last may be filling.
        real = len(self._limits_of(frame.shape[-1]))
        mean: np.ndarray[Any, Any] = self.apply(frame)[..., :real].mean(axis=-1)
        return mean

    def _limits_of(self, colours: int) -> tuple[Limits, ...]:
        """Return the limits of each colour of a frame that has any."""
        limits = self.limits * colours if len(self.limits) == 1 else self.limits
        return limits[:colours]


def estimate_contrast(
    source: FrameSource,
    *,
    limits: Limits | Sequence[Limits] | None = None,
    percentiles: tuple[float, float] = (0.5, 99.9),
) -> Contrast:
    """Find one contrast for all frames of a stack.

    Given limits win. Colour pictures of 8 bits are left as they are (0 to 255).
    Anything else is stretched between two percentiles of the whole stack: one pair
    for grey images and for the three colours of a picture, one pair per channel for
    composites. At most 32 evenly spread frames are looked at, fewer of large ones,
    and about four million pixels in all, so time and memory do not grow with the
    stack. The answer is the same every time.

    Parameters
    ----------
    source
        The frames.
    limits
        (low, high) for all colours, or one pair per channel, in raw pixel values.
    percentiles
        Which values become black and white, in 0..100. Where both are one value, the
        smallest and largest take their place.

    Raises
    ------
    ImageError
        If limits are given that are not finite, not low < high, or not as many as
        there are channels.
    """
    if limits is not None:
        return _given_contrast(source, limits)
    low, high = percentiles
    if not 0 <= low < high <= 100:
        raise ValueError(f"percentiles must rise within 0..100, not {percentiles}")
    height, width = source.frame_shape
    affordable = max(2, _READ_PIXELS // (height * width))
    count = min(len(source), _SAMPLED_FRAMES, affordable)
    numbers = np.unique(np.linspace(0, len(source) - 1, count).round().astype(int))
    per_frame = _SAMPLED_PIXELS // len(numbers)
    step = max(1, math.ceil(math.sqrt(height * width / per_frame)))
    composite = is_composite(source)
    samples = []
    for number in numbers:
        frame = source[int(number)]
        if frame.ndim == 3 and frame.dtype == np.uint8 and not composite:
            return Contrast(((0.0, 255.0),))
        samples.append(np.array(frame[::step, ::step]))
        del frame  # not two at a time
    values = np.stack(samples)
    if not composite:
        return Contrast((_percentile_limits(values, percentiles),))
    channels = _channel_count(source) or values.shape[-1]
    return Contrast(
        tuple(_percentile_limits(values[..., c], percentiles) for c in range(channels))
    )


def is_composite(source: FrameSource) -> bool:
    """Whether the colours of the frames are channels, and not a colour picture."""
    return bool(getattr(source, "composite", False))


def _channel_count(source: FrameSource) -> int:
    """Count the channels behind a composite's colours; 0 if it does not say."""
    return len(getattr(source, "channels", ()))


def _given_contrast(source: FrameSource, limits: Limits | Sequence[Limits]) -> Contrast:
    """Check the limits that a user gave."""
    pairs = _as_pairs(limits)
    for low, high in pairs:
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ImageError(_bad_limits((low, high)))
    channels = _channel_count(source) if is_composite(source) else 1
    if len(pairs) not in (1, channels) and (len(pairs) != _COLOURS or channels > 1):
        raise ImageError(
            f"{len(pairs)} pairs of contrast limits are given for {max(channels, 1)}"
            " channel(s). Give one pair for all, or one for each."
        )
    return Contrast(per_channel(source, pairs))


def per_channel(source: FrameSource, limits: tuple[Limits, ...]) -> tuple[Limits, ...]:
    """Repeat one pair of limits for each channel of a composite.

    So that a colour that only fills a composite up has none.
    """
    channels = _channel_count(source) if is_composite(source) else 0
    return limits * channels if len(limits) == 1 and channels > 1 else limits


def _bad_limits(pair: Limits) -> str:
    """Say what contrast limits must be."""
    return (
        f"Contrast limits must be two finite numbers, low before high, not"
        f" {pair[0]:g} and {pair[1]:g}."
    )


def _as_pairs(limits: Any) -> tuple[Limits, ...]:
    """Bring one pair or several into one form."""
    numbers = np.asarray(limits, dtype=float)
    if numbers.ndim == 1:
        numbers = numbers[np.newaxis]
    if numbers.ndim != 2 or numbers.shape[1] != 2 or not 1 <= len(numbers) <= _COLOURS:
        raise ImageError(
            f"Contrast limits must be (low, high), or one such pair for each of up to"
            f" three channels, not {limits!r}."
        )
    return tuple((float(low), float(high)) for low, high in numbers)


def _percentile_limits(
    values: np.ndarray[Any, Any], percentiles: tuple[float, float]
) -> Limits:
    """Find the limits of sampled values; NaN and infinities do not count."""
    numbers = values.ravel()
    if numbers.dtype.kind == "f":
        numbers = numbers[np.isfinite(numbers)]
    if numbers.size == 0:
        return 0.0, 0.0
    numbers = numbers.astype(np.float64)
    low, high = np.percentile(numbers, percentiles)
    if low == high:  # objects that fill less than a thousandth of the stack
        low, high = numbers.min(), numbers.max()
    return float(low), float(high)


def _rescale(
    plane: np.ndarray[Any, Any], limits: Limits, out: np.ndarray[Any, Any]
) -> None:
    """Write a plane (H, W), scaled from limits to 0..1, into out (H, W) float32."""
    if plane.dtype.itemsize <= 2 and plane.dtype.kind in "biu":
        table = _lookup_table(limits, plane.dtype.newbyteorder("=").str)
        native = plane.astype(plane.dtype.newbyteorder("="), copy=False)
        # Seen as unsigned, negative values index the upper half of the table.
        out[...] = table[native.view(f"u{plane.dtype.itemsize}")]
        return
    rows = max(1, _BLOCK_PIXELS // max(1, plane.shape[1]))
    for first in range(0, plane.shape[0], rows):
        block = plane[first : first + rows].astype(np.float64)
        out[first : first + rows] = _scaled(block, limits)


def _scaled(values: np.ndarray[Any, Any], limits: Limits) -> np.ndarray[Any, Any]:
    """Scale float64 values from limits to 0..1; NaN becomes 0."""
    low, high = limits
    # Halves, because the difference of two float64 may overflow.
    span = 0.5 * high - 0.5 * low
    if span == 0:
        return np.zeros_like(values)
    scaled: np.ndarray[Any, Any] = np.clip(values, low, high)
    scaled *= 0.5
    scaled -= 0.5 * low
    scaled /= span
    np.nan_to_num(scaled, copy=False, nan=0.0)
    return scaled


@lru_cache(maxsize=16)
def _lookup_table(limits: Limits, dtype: str) -> np.ndarray[Any, Any]:
    """Tabulate the scaled value of every value of an 8 or 16 bit type."""
    integers = np.dtype(dtype)
    codes = np.arange(256**integers.itemsize, dtype=f"u{integers.itemsize}")
    values = codes.astype(bool) if integers.kind == "b" else codes.view(integers)
    table = _scaled(values.astype(np.float64), limits).astype(np.float32)
    table.flags.writeable = False
    return table
