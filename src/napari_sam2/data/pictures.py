"""PNG and JPEG pictures, and folders with one file for each frame."""

from __future__ import annotations

import re
import warnings
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError

from napari_sam2.data.stack import PagedArray, StackImage
from napari_sam2.data.tiff import DAMAGED, open_tiff
from napari_sam2.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".lsm")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")


def open_picture(
    path: Path, *, axes: str | None = None, palette: bool = True
) -> StackImage:
    """Open one PNG or JPEG picture, grey or colour.

    Parameters
    ----------
    path
        The file.
    axes
        Letters that take the place of those found.
    palette
        Whether the numbers of a picture with a palette stand for its colours, or are
        what is wanted, as in label pictures.

    Raises
    ------
    ImageError
        If the file is damaged or is not such a picture.
    """
    return StackImage(
        _read_picture(path, palette=palette), axes=axes or "", name=path.name
    )


def open_folder(
    path: Path, *, axes: str | None = None, palette: bool = True
) -> StackImage:
    """Open a folder with one TIFF, PNG or JPEG file for each frame.

    Files are taken in natural order (2 before 10); other kinds of files and hidden ones
    are passed over. The headers of all are read, the pixels of none but the first.

    Parameters
    ----------
    path
        The folder.
    axes
        Letters of the stack; the first is the axis along which the files lie. By
        default T if the number that counts the files follows a T, as in
        ``cell_t001.tif``, else Z; then the axes of a file.
    palette
        As in `open_picture`.

    Raises
    ------
    ImageError
        If there are no such files, or one has another shape or pixel type than the
        first.
    """
    files = _frame_files(path)
    first = _open_frame(files[0], palette=palette)
    alone = len(files) == 1 and (axes is None or len(axes.strip()) == len(first.shape))
    if alone or _is_part_of_set(files[0]):
        return StackImage(
            first.data,
            axes=axes or first.axes,
            scale=first.scale,
            units=first.units,
            channel_names=first.channel_names,
            name=path.name,
        )
    signature = _signature(files[0])
    for file in files[1:]:
        other = _signature(file)
        if other != signature:
            raise ImageError(
                f"The files in {path} are not of one kind: {file.name} is {other},"
                f" {files[0].name} is {signature}. Keep only the frames of one stack"
                " in the folder."
            )

    def read_frame(number: int) -> np.ndarray[Any, Any]:
        pixels = np.asarray(_open_frame(files[number], palette=palette).data)
        if pixels.shape != first.shape:
            raise ImageError(
                f"{files[number]} has the shape {pixels.shape}, {files[0].name}"
                f" {first.shape}. All frames must have one."
            )
        return pixels

    stack = PagedArray(
        (len(files), *first.shape),
        first.dtype,
        page_ndim=len(first.shape),
        read_page=read_frame,
    )
    frame_axis = _file_axis(files, first.axes)
    if frame_axis == "?" and axes is None:
        raise ImageError(
            f"The files in {path} already have the axes {first.axes}, which leaves none"
            " for the row of files. Open one of them."
        )
    return StackImage(
        stack,
        axes=axes or frame_axis + first.axes,
        scale=(1.0, *first.scale),
        units=(None, *first.units),
        channel_names=first.channel_names,
        name=path.name,
    )


def natural_order(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which ``t2.tif`` comes before ``t10.tif``."""
    parts = re.split(r"([0-9]+)", name.lower())
    return tuple(
        (0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts
    )


def _file_axis(files: Sequence[Path], axes: str) -> str:
    """Name the axis along which files lie; "?" if Z and T are both taken."""
    pairs = zip(files[0].name.lower(), files[-1].name.lower(), strict=False)
    common = "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    counted = common.rstrip("0123456789")
    named = re.search(r"(?<![a-z])(t|time|frame|time_?point)[-_= ]*$", counted)
    order = "TZ?" if named else "ZT?"
    return next(letter for letter in order if letter not in axes)


def _frame_files(path: Path) -> list[Path]:
    """List the frames of a folder in natural order."""
    files = [
        file
        for file in path.iterdir()
        if file.is_file()
        and not file.name.startswith(".")
        and file.suffix.lower() in TIFF_SUFFIXES + PICTURE_SUFFIXES
    ]
    if not files:
        folders = sorted(folder.name for folder in path.iterdir() if folder.is_dir())
        inside = f", only folders ({', '.join(folders[:4])})" if folders else ""
        raise ImageError(
            f"The folder {path} holds no TIFF, PNG or JPEG files and is no zarr"
            f" array{inside}. Give a folder with one file for each frame, or a file."
        )
    kinds = sorted({_kind(file) for file in files})
    if len(kinds) > 1:
        raise ImageError(
            f"The folder {path} mixes {' and '.join(kinds)} files. Keep only the"
            " frames of one stack in it."
        )
    return sorted(files, key=lambda file: natural_order(file.name))


def _kind(file: Path) -> str:
    """Name the format that a file's suffix stands for."""
    suffix = file.suffix.lower()
    if suffix in TIFF_SUFFIXES:
        return "TIFF"
    return "PNG" if suffix == ".png" else "JPEG"


def _open_frame(file: Path, *, palette: bool) -> StackImage:
    """Open one frame of a folder."""
    if not file.is_file() or file.stat().st_size == 0:
        raise ImageError(f"{file} is missing or empty. Copy or export it again.")
    if _kind(file) == "TIFF":
        return open_tiff(file)
    return open_picture(file, palette=palette)


def _is_part_of_set(file: Path) -> bool:
    """Return whether a file is one of an OME-TIFF of several, read as a whole."""
    if _kind(file) != "TIFF":
        return False
    try:
        with tifffile.TiffFile(file) as tiff:
            return bool(tiff.series[0].is_multifile)
    except DAMAGED:
        return False


def _signature(file: Path) -> str:
    """Describe a frame's shape and pixel type from its header alone."""
    if file.stat().st_size == 0:
        return "empty (0 bytes)"
    if _kind(file) != "TIFF":
        with _picture_header(file) as picture:
            return f"{picture.height} x {picture.width} {picture.mode}"
    try:
        with tifffile.TiffFile(file) as tiff:
            series = tiff.series[0]
            lengths = " x ".join(str(length) for length in series.shape)
            return f"{lengths} {series.dtype}"
    except DAMAGED:
        return "damaged"


def _picture_header(file: Path) -> Image.Image:
    """Open a picture as far as its header."""
    try:
        with warnings.catch_warnings():
            # Large pictures were chosen by the user, not sent by strangers.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(file)
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{file} has more pixels than pictures are read with. Save it as TIFF."
        ) from error
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise ImageError(
            f"{file} is not a PNG or JPEG picture, or is damaged. Copy or export it"
            " again."
        ) from error


def _read_picture(file: Path, *, palette: bool) -> np.ndarray[Any, Any]:
    """Decode a picture to (H, W) or (H, W, 3), alpha dropped."""
    with _picture_header(file) as picture:
        try:
            if picture.format not in ("PNG", "JPEG"):
                raise ImageError(
                    f"{file} is a {picture.format} picture under another name. Save it"
                    " as TIFF, PNG or JPEG."
                )
            if picture.mode == "P" and not palette:
                return np.asarray(picture)
            if picture.mode in ("P", "PA", "CMYK"):
                return np.asarray(picture.convert("RGB"))
            if picture.format == "JPEG":
                pixels = np.asarray(picture)
            else:  # Pillow cuts 16 bit colours down to 8
                pixels = np.asarray(imagecodecs.png_decode(file.read_bytes()))
        except (OSError, RuntimeError, SyntaxError, ValueError) as error:
            raise ImageError(
                f"{file} cannot be decoded ({error}). It is damaged or cut short: copy"
                " or export it again."
            ) from error
    if pixels.ndim == 3 and pixels.shape[2] in (1, 2):
        return pixels[..., 0]
    return pixels[..., :3] if pixels.ndim == 3 else pixels
