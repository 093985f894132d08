"""What a label stack is, and which of its frames are done, across runs."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2.data.axes import check_axes
from napari_sam2.errors import ImageError
from napari_sam2.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_VERSION = 1
_UINT16_MAX = 65535
_UINT32_MAX = 2**32 - 1


@dataclass(frozen=True, slots=True)
class LabelLayout:
    """Shape, pixel type and physical axes of a label stack.

    Parameters
    ----------
    shape
        (T, H, W): frames, height, width.
    dtype
        Unsigned integers wide enough for the ids.
    axes
        ``"ZYX"`` or ``"TYX"``.
    scale, units
        Physical size of a step along `axes`, and its UDUNITS name or None.
    name
        Name of the stack inside the file.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    axes: str
    scale: tuple[float, float, float]
    units: tuple[str | None, str | None, str | None]
    name: str

    def __post_init__(self) -> None:
        check_axes(self.axes, self.shape)
        if self.axes not in ("ZYX", "TYX"):
            raise ValueError(f"axes of labels are ZYX or TYX, not {self.axes!r}")
        if len(self.scale) != 3 or len(self.units) != 3:
            raise ValueError("scale and units need one entry for each of three axes")
        if not all(math.isfinite(step) and step > 0 for step in self.scale):
            raise ValueError(f"scale must be positive, not {self.scale}")

    @property
    def nbytes(self) -> int:
        """Size of all frames without compression, in bytes."""
        return math.prod(self.shape) * int(self.dtype.itemsize)


def label_dtype(max_id: int) -> np.dtype[Any]:
    """Give uint16, or uint32 where ids go above 65535.

    Raises
    ------
    ImageError
        If ids do not fit into 32 bits.
    """
    if max_id < 0:
        raise ValueError(f"ids are positive, not {max_id}")
    if max_id > _UINT32_MAX:
        raise ImageError(
            f"Object id {max_id} is too large for a label image. Number the objects"
            f" up to {_UINT32_MAX}."
        )
    return np.dtype(np.uint16 if max_id <= _UINT16_MAX else np.uint32)


@dataclass(frozen=True, slots=True)
class LabelRecord:
    """The note beside an unfinished label stack: where it is and what is done.

    Parameters
    ----------
    file
        Name of the file or folder that holds the frames.
    shape, dtype, axes
        As in `LabelLayout`.
    written
        The frames that are done.
    """

    file: str
    shape: tuple[int, ...]
    dtype: str
    axes: str
    written: frozenset[int]

    def save(self, path: Path) -> None:
        """Write the note under a temporary name, then rename it."""
        content = {
            "version": _VERSION,
            "file": self.file,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "axes": self.axes,
            "written": _as_spans(self.written),
        }
        with (
            whole_file(path) as temporary,
            temporary.open("w", encoding="ascii") as file,
        ):
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())

    @classmethod
    def load(cls, path: Path) -> LabelRecord | None:
        """Read a note; None if there is none.

        Raises
        ------
        ImageError
            If it cannot be read.
        """
        try:
            content = json.loads(path.read_text(encoding="ascii"))
            version = content["version"]
            if version != _VERSION:
                raise ValueError(f"it is of version {version}, not {_VERSION}")
            spans = [(int(first), int(last)) for first, last in content["written"]]
            return cls(
                file=str(content["file"]),
                shape=tuple(int(length) for length in content["shape"]),
                dtype=str(content["dtype"]),
                axes=str(content["axes"]),
                written=frozenset(
                    frame for first, last in spans for frame in range(first, last + 1)
                ),
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ImageError(
                f"{path}, which notes how far the labels beside it have come, cannot "
                f"be read ({error}). Mend it to go on with them, replace them by "
                "overwrite, or choose another name."
            ) from error


def check_same_stack(record: LabelRecord, layout: LabelLayout, path: Path) -> None:
    """Refuse to go on with labels of another image.

    Raises
    ------
    ImageError
        If shape, axes or pixel type differ.
    """
    wanted = (layout.shape, layout.axes, layout.dtype.name)
    found = (record.shape, record.axes, record.dtype)
    if found != wanted:
        raise ImageError(
            f"The labels in {path} are {_words(*found)}; this run needs"
            f" {_words(*wanted)}. Start anew with overwrite, or under another name."
        )


def _words(shape: tuple[int, ...], axes: str, dtype: str) -> str:
    """Describe a stack in a few words."""
    return f"{axes} {' x '.join(str(length) for length in shape)} {dtype}"


def _as_spans(frames: Iterable[int]) -> list[list[int]]:
    """Shorten frame numbers to inclusive spans."""
    spans: list[list[int]] = []
    for frame in sorted(frames):
        if spans and spans[-1][1] == frame - 1:
            spans[-1][1] = frame
        else:
            spans.append([frame, frame])
    return spans
