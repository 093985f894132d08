"""The places that label frames are written to: TIFF, OME-Zarr, arrays."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import tifffile
import zarr

from napari_sam2.data.axes import MICROMETERS
from napari_sam2.data.tiff import DAMAGED
from napari_sam2.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_sam2.data.label_record import LabelLayout

WRITTEN_BY = "napari-sam2"
"""What files say of themselves, so that they are known to be labels."""

_CHUNK = 2048  # rows and columns of a zarr chunk, one frame deep
# Above this size the offsets of a classic TIFF no longer fit into 32 bits; some room
# is left for what is not pixels.
_CLASSIC_TIFF_BYTES = 2**32 - 2**26
_OME_UNITS = {
    "angstrom": "\u00c5",
    "picometer": "pm",
    "nanometer": "nm",
    "micrometer": "\u00b5m",
    "millimeter": "mm",
    "centimeter": "cm",
    "meter": "m",
    "inch": "in",
    "nanosecond": "ns",
    "microsecond": "\u00b5s",
    "millisecond": "ms",
    "second": "s",
    "minute": "min",
    "hour": "h",
    "day": "d",
}


class LabelFile(Protocol):
    """Frames of labels that can be read and written in any order."""

    def read(self, frame: int) -> np.ndarray[Any, Any]:
        """Read a frame (H, W); zeros where nothing was written."""

    def write(self, frame: int, labels: np.ndarray[Any, Any]) -> None:
        """Write a frame (H, W) of the stack's own type."""

    def close(self) -> None:
        """Bring everything to disk and let the file go."""


class ArrayLabels:
    """Labels in an array that the caller owns."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def read(self, frame: int) -> np.ndarray[Any, Any]:
        """Read a frame."""
        return np.array(self._array[frame])

    def write(self, frame: int, labels: np.ndarray[Any, Any]) -> None:
        """Write a frame in place."""
        self._array[frame] = labels

    def close(self) -> None:
        """Leave the array to its owner."""


class TiffLabels:
    """Labels in an uncompressed OME-TIFF, every frame at a known place.

    Frames are written with plain file writes: on a memory map a full disk would end
    the program instead of raising an error.
    """

    def __init__(self, path: Path, layout: LabelLayout) -> None:
        try:
            with tifffile.TiffFile(path) as tiff:
                series = tiff.series[0]
                offset = series.dataoffset
                order = tiff.byteorder
                shape = tuple(series.shape)
        except DAMAGED as error:
            raise ImageError(_not_resumable(path)) from error
        frames, height, width = layout.shape
        lengths = sorted(length for length in shape if length != 1)
        expected = sorted(length for length in layout.shape if length != 1)
        if (
            offset is None
            or lengths != expected
            or path.stat().st_size < offset + layout.nbytes
        ):
            raise ImageError(_not_resumable(path))
        self._offset = offset
        self._frame_bytes = layout.nbytes // frames
        self._shape = (height, width)
        self._dtype = layout.dtype.newbyteorder(order)
        self._file = path.open("r+b", buffering=0)

    @classmethod
    def create(cls, path: Path, layout: LabelLayout) -> TiffLabels:
        """Make the file, all zeros; no blocks of the disk are taken yet."""
        tifffile.imwrite(
            path,
            shape=layout.shape,
            dtype=layout.dtype,
            bigtiff=layout.nbytes > _CLASSIC_TIFF_BYTES,
            **tiff_options(layout),
        )
        return cls(path, layout)

    def read(self, frame: int) -> np.ndarray[Any, Any]:
        """Read a frame."""
        self._file.seek(self._offset + frame * self._frame_bytes)
        content = bytearray()
        while len(content) < self._frame_bytes:
            part = self._file.read(self._frame_bytes - len(content))
            if not part:
                raise OSError("the file has become shorter")
            content += part
        pixels = np.frombuffer(content, self._dtype).reshape(self._shape)
        return pixels.astype(self._dtype.newbyteorder("="), copy=False)

    def write(self, frame: int, labels: np.ndarray[Any, Any]) -> None:
        """Write a frame."""
        content = memoryview(labels.astype(self._dtype).tobytes())
        self._file.seek(self._offset + frame * self._frame_bytes)
        done = 0
        while done < len(content):  # a raw write may take less than it is given
            done += self._file.write(content[done:])

    def close(self) -> None:
        """Bring everything to disk and close the file."""
        if not self._file.closed:
            try:
                os.fsync(self._file.fileno())
            finally:
                self._file.close()


class ZarrLabels:
    """Labels in an OME-Zarr 0.5 image of one level, chunks one frame deep."""

    def __init__(self, path: Path, layout: LabelLayout) -> None:
        try:
            array = zarr.open_array(path / "0", mode="r+")
        except (OSError, ValueError, TypeError, LookupError) as error:
            raise ImageError(_not_resumable(path)) from error
        if array.shape != layout.shape or array.dtype != layout.dtype:
            raise ImageError(_not_resumable(path))
        self._array = array
        self._metadata = path / "zarr.json"

    @classmethod
    def create(cls, path: Path, layout: LabelLayout) -> ZarrLabels:
        """Make the folder with its metadata and no chunks yet."""
        group = zarr.open_group(
            path, mode="w", zarr_format=3, attributes={"ome": ome_zarr_metadata(layout)}
        )
        _, height, width = layout.shape
        group.create_array(
            "0",
            shape=layout.shape,
            chunks=(1, min(height, _CHUNK), min(width, _CHUNK)),
            dtype=layout.dtype,
            fill_value=0,
            dimension_names=tuple(layout.axes.lower()),
        )
        return cls(path, layout)

    def read(self, frame: int) -> np.ndarray[Any, Any]:
        """Read a frame."""
        return np.asarray(self._array[frame])

    def write(self, frame: int, labels: np.ndarray[Any, Any]) -> None:
        """Write a frame."""
        self._metadata.stat()  # zarr would make a folder anew, the other frames lost
        self._array[frame] = labels

    def close(self) -> None:
        """Do nothing: every chunk is on disk as soon as it is written."""


def export_tiff(labels: LabelFile, path: Path, layout: LabelLayout) -> None:
    """Copy labels into a deflate-compressed OME-TIFF, frame by frame.

    Deflate is what ImageJ, Bio-Formats and every TIFF library read.
    """

    def frames() -> Iterator[np.ndarray[Any, Any]]:
        for frame in range(layout.shape[0]):
            yield labels.read(frame)

    tifffile.imwrite(
        path,
        frames(),
        shape=layout.shape,
        dtype=layout.dtype,
        bigtiff=layout.nbytes > _CLASSIC_TIFF_BYTES,
        compression="zlib",
        **tiff_options(layout),
    )


def tiff_options(layout: LabelLayout) -> dict[str, Any]:
    """Collect what tifffile is told about axes and physical size."""
    metadata: dict[str, Any] = {
        "axes": layout.axes,
        "Name": layout.name,
        "Description": f"Labels by {WRITTEN_BY}",
    }
    for letter, step, unit in zip(layout.axes, layout.scale, layout.units, strict=True):
        # OME knows no time without a unit, and a step of 1 without one says nothing.
        if unit is None and (step == 1.0 or letter == "T"):
            continue
        key = "TimeIncrement" if letter == "T" else f"PhysicalSize{letter}"
        metadata[key] = step
        metadata[f"{key}Unit"] = _OME_UNITS.get(unit or "", "pixel")
    options: dict[str, Any] = {
        "ome": True,
        "photometric": "minisblack",
        "metadata": metadata,
    }
    pixel = layout.scale[1:]
    if all(unit in MICROMETERS for unit in layout.units[1:]):
        # For readers that know plain TIFF only, such as ImageJ without Bio-Formats.
        centimeters = [
            step * MICROMETERS[str(unit)] / MICROMETERS["centimeter"]
            for step, unit in zip(pixel, layout.units[1:], strict=True)
        ]
        options["resolution"] = (1 / centimeters[1], 1 / centimeters[0])
        options["resolutionunit"] = "CENTIMETER"
    return options


def ome_zarr_metadata(layout: LabelLayout) -> dict[str, Any]:
    """Describe a label stack as OME-Zarr 0.5 asks for it."""
    axes = []
    for letter, unit in zip(layout.axes, layout.units, strict=True):
        axis = {"name": letter.lower(), "type": "time" if letter == "T" else "space"}
        axes.append({**axis, "unit": unit} if unit is not None else axis)
    scale = {"type": "scale", "scale": list(layout.scale)}
    dataset = {"path": "0", "coordinateTransformations": [scale]}
    return {
        "version": "0.5",
        "_creator": {"name": WRITTEN_BY},
        "multiscales": [{"name": layout.name, "axes": axes, "datasets": [dataset]}],
        "image-label": {},
    }


def _not_resumable(path: Path) -> str:
    """Say that unfinished labels cannot be gone on with."""
    return (
        f"The unfinished labels in {path} are damaged or not as they were left. Start"
        " anew with overwrite, or under another name."
    )
