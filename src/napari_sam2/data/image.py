"""Opening images: files, folders and arrays, none of them loaded."""

from __future__ import annotations

import os
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import zarr

from napari_sam2.data.frames import StackFrames, select_frames
from napari_sam2.data.pictures import (
    PICTURE_SUFFIXES,
    TIFF_SUFFIXES,
    open_folder,
    open_picture,
)
from napari_sam2.data.stack import LazyArray, StackImage
from napari_sam2.data.tiff import open_tiff
from napari_sam2.data.zarr_image import describe_zarr, looks_like_zarr, open_zarr
from napari_sam2.errors import ImageError

__all__ = ["StackFrames", "StackImage", "open_image", "select_frames"]

_FORMATS = "TIFF, OME-Zarr or zarr, .npy, PNG, JPEG, or a folder of single frames"
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def open_image(
    source: str | os.PathLike[str] | LazyArray | zarr.Group,
    *,
    axes: str | None = None,
    palette: bool = True,
) -> StackImage:
    """Open an image without loading its pixels.

    Parameters
    ----------
    source
        Path of a TIFF (ImageJ, OME, BigTIFF, tiled, compressed), an OME-Zarr or zarr
        folder, a ``.npy``, PNG or JPEG file, or a folder with one TIFF, PNG or JPEG
        file for each frame; or a numpy, dask or zarr array.
    axes
        One letter of ``TZCYXS`` per axis, where the image does not name its axes or
        names them wrongly.
    palette
        Whether the numbers of a PNG with a palette stand for its colours; if not, they
        are taken as they are, as label pictures need it.

    Returns
    -------
    StackImage
        Pixels that are read when indexed, axes, physical scale, channel names.

    Raises
    ------
    ImageError
        If there is no such file, it is empty, damaged or of another kind, or its axes
        or pixels cannot be used.
    """
    if isinstance(source, str | os.PathLike):
        return _open_path(Path(source), axes, palette)
    if isinstance(source, zarr.Group | zarr.Array):
        return describe_zarr(source, name=source.basename or "image", axes=axes)
    if isinstance(source, LazyArray):
        return StackImage(source, axes=axes or "")
    raise TypeError(
        f"an image is a path or an array, not {type(source).__name__}: give a path, or"
        " a numpy, dask or zarr array"
    )


def _open_path(path: Path, axes: str | None, palette: bool) -> StackImage:
    """Open a file or folder by what it is."""
    if not path.exists():
        raise ImageError(f"There is no file or folder {path}. Check the path.")
    try:
        if path.is_dir():
            if looks_like_zarr(path):
                return open_zarr(path, axes=axes)
            return open_folder(path, axes=axes, palette=palette)
        if path.stat().st_size == 0:
            raise ImageError(f"{path} is empty (0 bytes). Copy or export it again.")
        with path.open("rb") as file:
            start = file.read(8)
    except PermissionError as error:
        raise ImageError(f"{path} may not be read. Change its permissions.") from error
    return _open_file(path, start, axes, palette)


def _open_file(path: Path, start: bytes, axes: str | None, palette: bool) -> StackImage:
    """Open a file by its first bytes, or else by its suffix."""
    suffix = path.suffix.lower()
    if suffix == ".npz":
        raise ImageError(
            f"{path} holds several arrays. Save the one that is meant by numpy.save,"
            " as .npy."
        )
    if start.startswith(b"PK"):
        raise ImageError(
            f"{path} is a zip archive. Unpack it and give the folder that comes out."
        )
    if start.startswith(_TIFF_STARTS) or suffix in TIFF_SUFFIXES:
        return open_tiff(path, axes=axes)
    if start.startswith(b"\x93NUMPY") or suffix == ".npy":
        return _open_npy(path, axes)
    if start.startswith((b"\x89PNG", b"\xff\xd8\xff")) or suffix in PICTURE_SUFFIXES:
        return open_picture(path, axes=axes, palette=palette)
    if path.name in ("zarr.json", ".zarray", ".zgroup", ".zattrs"):
        raise ImageError(f"Give the folder {path.parent}, not the file in it.")
    raise ImageError(f"{path} is not an image that can be opened: {_FORMATS}.")


def _open_npy(path: Path, axes: str | None) -> StackImage:
    """Map a numpy file into memory."""
    try:
        data: np.ndarray[Any, Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, TokenError) as error:
        raise ImageError(
            f"{path} cannot be read as .npy ({error}). It is damaged, cut short, or"
            " holds objects: save it again with numpy.save."
        ) from error
    return StackImage(data, axes=axes or "", name=path.name)
