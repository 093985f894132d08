"""TIFF stacks, lazily: ImageJ hyperstacks, OME, BigTIFF, tiles, compression."""

from __future__ import annotations

import math
import struct
import threading
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import tifffile

from napari_sam2.data.axes import AXES, complete_axes, unit_name
from napari_sam2.data.stack import PagedArray, StackImage, scale_of, units_of
from napari_sam2.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# What tifffile and imagecodecs raise over damaged files.
DAMAGED = (
    tifffile.TiffFileError,
    AssertionError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
_COLOUR_PHOTOMETRICS = ("RGB", "YCBCR", "CIELAB", "ICCLAB", "ITULAB")


def open_tiff(path: Path, *, axes: str | None = None) -> StackImage:
    """Open the first image of a TIFF file without reading its pixels.

    Uncompressed stacks are mapped into memory, others are decoded page by page.

    Parameters
    ----------
    path
        The file.
    axes
        Letters that take the place of those in the file.

    Raises
    ------
    ImageError
        If the file is not a TIFF file, is cut short, or its axes are not understood.
    """
    try:
        # A file that is still open could not be replaced on Windows, and one per
        # image would add up: pages reopen it when they are read.
        with tifffile.TiffFile(path) as tiff:
            if not tiff.series:
                raise ImageError(f"{path} contains no image.")
            return _first_series(tiff, path, axes)
    except DAMAGED as error:
        raise ImageError(
            f"{path} cannot be read as TIFF ({error or type(error).__name__}). It is"
            " damaged, cut short, or another kind of file: copy or export it again."
        ) from error


def _first_series(
    tiff: tifffile.TiffFile, path: Path, wanted: str | None
) -> StackImage:
    """Describe the first series of an open file."""
    series = tiff.series[0]
    if 0 in series.shape or series.dtype is None:
        raise ImageError(f"{path} contains no pixels.")
    _check_complete(tiff, series, path)
    letters = _letters(series)
    shape = tuple(series.shape)
    metadata = _metadata(tiff)
    if wanted:
        letters = wanted
    else:
        odd = [letter for letter in letters if letter not in AXES + "?"]
        if odd:
            raise ImageError(
                f"{path} has an axis {odd[0]!r} ({_lengths(shape)}), which is not one"
                " of T, Z, C, Y and X. Name its axes (such as axes='TZYX') or export"
                " it again."
            )
        letters = complete_axes(letters, shape)
    return StackImage(
        _pixels(tiff, series, shape, path),
        axes=letters,
        scale=scale_of(letters.upper(), metadata.steps),
        units=units_of(letters.upper(), metadata.units),
        channel_names=metadata.channel_names,
        name=path.name,
    )


def _lengths(shape: tuple[int, ...]) -> str:
    return " x ".join(str(length) for length in shape)


def _letters(series: tifffile.TiffPageSeries) -> str:
    """Translate tifffile's axis codes: "?" for unnamed axes, samples of no colour."""
    letters = series.axes.replace("Q", "?").replace("I", "?")
    photometric = getattr(series.keyframe.photometric, "name", "")
    samples = dict(zip(letters, series.shape, strict=True)).get("S")
    if photometric not in _COLOUR_PHOTOMETRICS or samples not in (3, 4):
        letters = letters.replace("S", "?" if "C" in letters else "C")
    return letters


def _pixels(
    tiff: tifffile.TiffFile,
    series: tifffile.TiffPageSeries,
    shape: tuple[int, ...],
    path: Path,
) -> np.ndarray[Any, Any] | PagedArray:
    """Map the pixels into memory where they lie in one run, else decode pages."""
    if series.dataoffset is not None and not series.is_multifile:
        dtype = np.dtype(series.dtype).newbyteorder(tiff.byteorder)
        return np.memmap(path, dtype, "r", offset=series.dataoffset, shape=shape)
    pages = list(series)
    page_shape = tuple(series.keyframe.shape)
    page_ndim = _page_ndim(shape, math.prod(page_shape), len(pages))
    return PagedArray(
        shape,
        np.dtype(series.dtype),
        page_ndim=page_ndim,
        read_page=_page_reader(pages, shape[len(shape) - page_ndim :], series, path),
    )


def _page_ndim(shape: tuple[int, ...], page_size: int, pages: int) -> int:
    """Count the last axes that one page covers."""
    for count in range(len(shape), 1, -1):
        leading = math.prod(shape[: len(shape) - count])
        if math.prod(shape[-count:]) == page_size and leading == pages:
            return count
    raise ValueError(f"{pages} pages of {page_size} pixels do not fill {shape}")


def _page_reader(
    pages: list[Any],
    page_shape: tuple[int, ...],
    series: tifffile.TiffPageSeries,
    path: Path,
) -> Callable[[int], np.ndarray[Any, Any]]:
    """Make the function that decodes one page, opening the file for it."""
    lock = threading.Lock()
    dtype = np.dtype(series.dtype)

    def read_page(number: int) -> np.ndarray[Any, Any]:
        page = pages[number]
        if page is None:  # a plane that an OME file set does not contain
            return np.zeros(page_shape, dtype)
        with lock:
            file = page.parent.filehandle
            try:
                file.open()
                return np.asarray(page.asarray()).reshape(page_shape)
            except DAMAGED as error:
                raise ImageError(
                    f"Page {number} of {path} cannot be decoded"
                    f" ({error or type(error).__name__}). Copy or export the file"
                    " again."
                ) from error
            finally:
                file.close()

    return read_page


def _check_complete(
    tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries, path: Path
) -> None:
    """Refuse a file whose pages or pixels run past its end.

    Raises
    ------
    ImageError
        If anything is missing; the message tells how much there is.
    """
    size = path.stat().st_size
    planes = math.prod(series.shape) // math.prod(series.keyframe.shape)
    expected = _declared_planes(tiff)
    short = expected > planes
    if series.dataoffset is not None:
        short |= series.dataoffset + series.nbytes > size
    else:
        short |= any(
            offset + count > size
            for page in series
            if page is not None and page.parent is tiff
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
        )
    if short or _chain_is_cut(path, size):
        raise ImageError(
            f"{path} is cut short: it ends before all of its"
            f" {max(expected, planes)} planes. Copy or export it again."
        )


def _declared_planes(tiff: tifffile.TiffFile) -> int:
    """Count the planes that ImageJ's description promises; 0 without one."""
    imagej = tiff.imagej_metadata if tiff.is_imagej else None
    if not imagej or tiff.pages.first.samplesperpixel > 1:
        return 0
    return math.prod(int(imagej.get(key, 1)) for key in _IMAGEJ_AXES)


_IMAGEJ_AXES = ("frames", "slices", "channels")


def _chain_is_cut(path: Path, size: int) -> bool:
    """Follow the chain of TIFF directories and tell whether it leaves the file."""
    with path.open("rb") as file:
        head = file.read(16)
        order = "<" if head[:2] == b"II" else ">"
        version = struct.unpack(order + "H", head[2:4])[0]
        if version == 42:
            count_format, entry, offset_format, first = "H", 12, "I", 4
        elif version == 43:
            count_format, entry, offset_format, first = "Q", 20, "Q", 8
        else:
            return False
        at = first
        width = struct.calcsize(offset_format)
        count_width = struct.calcsize(count_format)
        seen = set()
        while True:
            file.seek(at)
            raw = file.read(width)
            if len(raw) < width:
                return True
            directory = struct.unpack(order + offset_format, raw)[0]
            if directory == 0 or directory in seen:
                return False
            seen.add(directory)
            file.seek(directory)
            raw = file.read(count_width)
            if len(raw) < count_width:
                return True
            at = (
                directory
                + count_width
                + entry * struct.unpack(order + count_format, raw)[0]
            )
            if at + width > size:
                return True


class _Metadata:
    """Steps, units and channel names by axis letter."""

    def __init__(self) -> None:
        self.steps: dict[str, float] = {}
        self.units: dict[str, str | None] = {}
        self.channel_names: tuple[str, ...] = ()

    def add(self, letter: str, step: float, unit: str | None) -> None:
        """Note a step that has a unit; without one its number means nothing."""
        name = unit_name(unit)
        known = name is not None or unit in ("pixel", "reference frame")
        if known and math.isfinite(step) and step > 0:
            self.steps[letter] = step
            self.units[letter] = name


def _metadata(tiff: tifffile.TiffFile) -> _Metadata:
    """Read the physical sizes that ImageJ or OME wrote."""
    if tiff.is_ome and tiff.ome_metadata:
        return _ome_metadata(tiff.ome_metadata)
    metadata = _Metadata()
    if tiff.is_imagej and tiff.imagej_metadata:
        imagej = tiff.imagej_metadata
        unit = str(imagej.get("unit", ""))
        for letter, tag in (("X", "XResolution"), ("Y", "YResolution")):
            metadata.add(letter, _pixel_size(tiff, tag), unit)
            own = str(imagej.get(f"{letter.lower()}unit", ""))
            metadata.units[letter] = unit_name(own) or metadata.units.get(letter)
        spacing = float(imagej.get("spacing", 1.0)) or 1.0
        metadata.add("Z", abs(spacing), str(imagej.get("zunit", unit)))
        interval = float(imagej.get("finterval", 0.0))
        metadata.add("T", interval, str(imagej.get("tunit", "sec")))
    return metadata


def _pixel_size(tiff: tifffile.TiffFile, tag: str) -> float:
    """Invert a resolution tag: ImageJ writes pixels per unit."""
    value = tiff.pages.first.tags.valueof(tag, default=(1, 1))
    pixels, per = value if isinstance(value, tuple) else (value, 1)
    return per / pixels if pixels else 1.0


def _ome_metadata(xml: str) -> _Metadata:
    """Read the sizes and channel names of the first image of an OME description."""
    metadata = _Metadata()
    try:
        root = ElementTree.fromstring(xml.encode())
    except ElementTree.ParseError:
        return metadata
    pixels = root.find(".//{*}Pixels")
    if pixels is None:
        return metadata
    for letter in "XYZ":
        size = pixels.get(f"PhysicalSize{letter}")
        unit = pixels.get(f"PhysicalSize{letter}Unit", "um")
        metadata.add(letter, _number(size), unit)
    metadata.add(
        "T",
        _number(pixels.get("TimeIncrement")),
        pixels.get("TimeIncrementUnit", "s"),
    )
    names = [channel.get("Name", "") for channel in pixels.findall("{*}Channel")]
    metadata.channel_names = tuple(names) if any(names) else ()
    return metadata


def _number(text: str | None) -> float:
    """Read a number; NaN where there is none."""
    try:
        return float(text) if text is not None else math.nan
    except ValueError:
        return math.nan
