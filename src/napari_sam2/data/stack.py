"""An image as it lies on disk or in memory: lazy pixels and what its axes mean."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from napari_sam2.data.axes import check_axes, guess_axes
from napari_sam2.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@runtime_checkable
class LazyArray(Protocol):
    """What numpy, dask and zarr arrays have in common."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""

    @property
    def dtype(self) -> Any:
        """The type of the pixels."""

    def __getitem__(self, key: Any, /) -> Any: ...


@dataclass(frozen=True, slots=True, eq=False)
class StackImage:
    """An image of up to five axes (and colour samples), none of it loaded.

    Parameters
    ----------
    data
        Array of boolean, integer or float pixels: numpy, memmap, dask, zarr.
    axes
        One letter of ``TZCYXS`` per axis; guessed from the shape if empty.
    scale
        Physical size of a step along each axis, in `units`; 1.0 where unknown.
    units
        UDUNITS name for each axis, such as ``"micrometer"``; None where unknown.
    channel_names
        Names of the channels in order; empty where unknown.
    name
        What to call the image on screen and in messages.

    Raises
    ------
    ImageError
        If axes and shape do not fit, or the pixels cannot be used.
    """

    data: LazyArray = field(repr=False)
    axes: str = ""
    scale: tuple[float, ...] = ()
    units: tuple[str | None, ...] = ()
    channel_names: tuple[str, ...] = ()
    name: str = "image"

    def __post_init__(self) -> None:
        shape = self.shape
        if any(isinstance(length, float) for length in shape):
            raise ImageError(
                f"The shape of {self.name} is not known before it is computed. Call"
                " compute_chunk_sizes() on the dask array first."
            )
        lengths = " x ".join(str(length) for length in shape)
        if 0 in shape:
            raise ImageError(f"{self.name} is empty: its shape is {lengths}.")
        check_pixels(np.dtype(self.data.dtype), self.name)
        axes = check_axes(self.axes or guess_axes(shape), shape)
        set_field = object.__setattr__
        set_field(self, "axes", axes)
        scale = tuple(_usable_step(step) for step in self.scale or (1.0,) * len(axes))
        units = tuple(self.units) or (None,) * len(axes)
        if len(scale) != len(axes) or len(units) != len(axes):
            raise ValueError(f"scale and units need one entry for each of {axes}")
        set_field(self, "scale", scale)
        set_field(self, "units", units)
        set_field(self, "channel_names", tuple(self.channel_names))

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes, in the order of `axes`."""
        return tuple(self.data.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the pixels, in this machine's byte order."""
        dtype: np.dtype[Any] = np.dtype(self.data.dtype).newbyteorder("=")
        return dtype

    def length(self, letter: str) -> int:
        """Give the length of an axis; 1 if the image does not have it."""
        return self.shape[self.axes.index(letter)] if letter in self.axes else 1

    def step(self, letter: str) -> float:
        """Give the physical size of a step along an axis; 1.0 where unknown."""
        return self.scale[self.axes.index(letter)] if letter in self.axes else 1.0

    def unit(self, letter: str) -> str | None:
        """Give the unit of an axis; None where unknown."""
        return self.units[self.axes.index(letter)] if letter in self.axes else None

    @property
    def sizes(self) -> str:
        """The axes with their lengths in words: ``"T 30, Y 137, X 147"``."""
        return ", ".join(
            f"{letter} {length}"
            for letter, length in zip(self.axes, self.shape, strict=True)
        )


def check_pixels(dtype: np.dtype[Any], name: str) -> None:
    """Refuse pixels that are neither boolean nor real numbers.

    Raises
    ------
    ImageError
        For complex numbers, objects, text, dates and records.
    """
    if dtype.kind == "c":
        raise ImageError(
            f"{name} holds complex numbers ({dtype}). Save its magnitude or its real"
            " part and open that."
        )
    if dtype.kind not in "buif":
        raise ImageError(
            f"{name} holds {dtype} values. Pixels must be boolean, integer or float."
        )


def scale_of(axes: str, steps: dict[str, float]) -> tuple[float, ...]:
    """Put steps known by their letter into the order of the axes."""
    return tuple(steps.get(letter, 1.0) for letter in axes)


def units_of(axes: str, units: dict[str, str | None]) -> tuple[str | None, ...]:
    """Put units known by their letter into the order of the axes."""
    return tuple(units.get(letter) for letter in axes)


def _usable_step(step: float) -> float:
    """Give the size of a step, or 1.0 where a file holds nonsense."""
    size = abs(float(step))
    return size if math.isfinite(size) and size > 0 else 1.0


class PagedArray:
    """A lazy array made of equal pages, each read on its own when asked for.

    Parameters
    ----------
    shape
        The lengths of all axes; the last ones are those of a page.
    dtype
        The type of the pixels.
    page_ndim
        How many of the last axes one page covers.
    read_page
        Reads page i; pages are counted in C order over the axes before.
    """

    def __init__(
        self,
        shape: Sequence[int],
        dtype: np.dtype[Any],
        *,
        page_ndim: int,
        read_page: Callable[[int], np.ndarray[Any, Any]],
    ) -> None:
        self.shape = tuple(int(length) for length in shape)
        self.dtype = np.dtype(dtype)
        self.ndim = len(self.shape)
        leading = self.shape[: self.ndim - page_ndim]
        self._numbers = np.arange(math.prod(leading)).reshape(leading)
        self._read_page = read_page

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray[Any, Any]:
        keys = key if isinstance(key, tuple) else (key,)
        if Ellipsis in keys:
            at = keys.index(Ellipsis)
            fill = (slice(None),) * (self.ndim - len(keys) + 1)
            keys = (*keys[:at], *fill, *keys[at + 1 :])
        keys = (*keys, *(slice(None),) * (self.ndim - len(keys)))
        split = self._numbers.ndim
        # The pages' own numbers, indexed as the leading axes are: what remains are
        # the pages to read, in the shape of the result.
        wanted = np.asarray(self._numbers[keys[:split]])
        pages = [
            np.asarray(self._read_page(int(number)))[keys[split:]]
            for number in wanted.ravel()
        ]
        if wanted.ndim == 0:
            return pages[0]
        if not pages:
            empty = np.empty(self.shape[split:], self.dtype)[keys[split:]]
            return np.empty((*wanted.shape, *empty.shape), self.dtype)
        return np.stack(pages).reshape(*wanted.shape, *pages[0].shape)

    def __array__(
        self, dtype: Any = None, copy: bool | None = None
    ) -> np.ndarray[Any, Any]:
        return np.asarray(self[...], dtype=dtype)
