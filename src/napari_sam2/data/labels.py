"""Label stacks: written frame by frame in any order, stopped, resumed, read."""

from __future__ import annotations

import operator
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_sam2.data.label_files import ArrayLabels
from napari_sam2.data.label_reader import (
    LabelStack,
    object_ids,
    read_labels,
    read_labels_of,
)
from napari_sam2.data.label_record import LabelLayout, label_dtype
from napari_sam2.data.label_target import LabelTarget
from napari_sam2.errors import ImageError

if TYPE_CHECKING:
    from types import TracebackType

    import zarr

    from napari_sam2.data.label_files import LabelFile

__all__ = [
    "LabelStack",
    "LabelWriter",
    "object_ids",
    "read_labels",
    "read_labels_of",
]


class LabelWriter:
    """A label stack that is filled frame by frame, in any order.

    Made by `LabelWriter.open`; a context manager. While it is open, a file target
    ``labels.tif`` lies uncompressed in ``labels.partial.tif``, with the list of its
    done frames in ``labels.tif.resume.json``. On success it is compressed and renamed
    to ``labels.tif``, and the list is removed. When the ``with`` block ends by an error
    or Ctrl-C it is renamed as it is, readable, and the list stays, so that
    ``open(..., resume=True)`` goes on from there; so it does after a crash, which
    leaves the partial file. One frame is held at a time. ``write`` and ``read`` may be
    called from several threads.

    Attributes
    ----------
    path
        Where the frames are at the moment; None for an array.
    shape
        (T, H, W).
    dtype
        The type of the labels.
    """

    def __init__(
        self,
        labels: LabelFile,
        layout: LabelLayout,
        *,
        written: frozenset[int] = frozenset(),
        target: LabelTarget | None = None,
        finished: bool = False,
    ) -> None:
        self.shape = layout.shape
        self.dtype = layout.dtype
        self.path = None if target is None else target.partial
        self._labels = labels
        self._layout = layout
        self._written = set(written)
        self._target = target
        self._finished = finished
        self._closed = False
        self._lock = threading.RLock()
        if finished and target is not None:
            self.path = target.final

    @classmethod
    def open(
        cls,
        target: str | os.PathLike[str] | np.ndarray[Any, Any] | zarr.Array[Any],
        *,
        shape: tuple[int, int, int],
        max_id: int,
        axes: str = "ZYX",
        scale: tuple[float, float, float] = (1.0, 1.0, 1.0),
        units: tuple[str | None, str | None, str | None] = (None, None, None),
        name: str | None = None,
        resume: bool = False,
        overwrite: bool = False,
    ) -> LabelWriter:
        """Open a label stack for writing.

        Parameters
        ----------
        target
            A path that ends in ``.tif``, ``.tiff`` (OME-TIFF, BigTIFF if need be) or
            ``.zarr`` (OME-Zarr 0.5), or a numpy or zarr array to write into.
        shape
            (T, H, W): frames, height, width.
        max_id
            The largest id; uint16 is written up to 65535, else uint32.
        axes
            ``"ZYX"`` or ``"TYX"``.
        scale, units
            Physical size of a step along `axes`, and its UDUNITS name or None.
        name
            Name of the stack inside the file; by default the file's own.
        resume
            Go on with an unfinished stack where there is one; a finished one is opened
            as it is, with all its frames in `written`.
        overwrite
            Replace a stack that exists. A finished one stays until the new one is
            finished.

        Raises
        ------
        ImageError
            If the target exists and neither `resume` nor `overwrite` is given, belongs
            to another image, cannot be written, or cannot hold the ids.
        """
        dtype = label_dtype(max_id)
        if not isinstance(target, str | os.PathLike):
            labels = _array_labels(target, shape, max_id=max_id, resume=resume)
            layout = LabelLayout(
                shape, np.dtype(target.dtype), axes, scale, units, name or "labels"
            )
            return cls(labels, layout)
        files = LabelTarget(Path(target))
        layout = LabelLayout(shape, dtype, axes, scale, units, name or files.stem)
        try:
            opened = files.open(layout, resume=resume, overwrite=overwrite)
        except OSError as error:
            raise ImageError(
                f"{files.final} cannot be written ({error.strerror or error}). Choose"
                " another folder, or make room."
            ) from error
        return cls(
            opened.labels,
            layout,
            written=opened.written,
            target=files,
            finished=opened.finished,
        )

    @property
    def written(self) -> frozenset[int]:
        """The frames that are done."""
        with self._lock:
            return frozenset(self._written)

    def write(self, frame: int, labels: np.ndarray[Any, Any]) -> None:
        """Write a frame; one that was written before is replaced.

        Parameters
        ----------
        frame
            From 0 to T - 1.
        labels
            (H, W) of integers from 0 to the largest that `dtype` holds.

        Raises
        ------
        ImageError
            If the disk is full, the stack was finished before, or its files are gone.
        """
        number = self._checked(frame)
        pixels = self._fitting(labels)
        with self._lock:
            if self._closed:
                raise ValueError("the label writer is closed")
            if self._finished:
                raise ImageError(
                    f"{self.path} is finished. Choose another name, or overwrite it."
                )
            try:
                if number in self._written and self._target is not None:
                    # A crash in the midst of a rewrite must not leave a torn frame
                    # that counts as done.
                    self._written.remove(number)
                    self._target.note(self._layout, self.written)
                self._labels.write(number, pixels)
                self._written.add(number)
                if self._target is not None:
                    self._target.note(self._layout, self.written)
            except OSError as error:
                safe = self._safe(f"{len(self._written)} frames are safe")
                raise ImageError(
                    f"Frame {number} could not be written to {self.path}"
                    f" ({error.strerror or error}). {safe}"
                ) from error

    def read(self, frame: int) -> np.ndarray[Any, Any]:
        """Read a frame (H, W) back; zeros where nothing was written."""
        number = self._checked(frame)
        with self._lock:
            if self._closed:
                raise ValueError("the label writer is closed")
            return self._labels.read(number)

    def close(self, complete: bool = True) -> None:
        """Finish the stack, or leave it to be resumed.

        Parameters
        ----------
        complete
            Compress and rename it: it is done, and frames that were not written are
            empty. Otherwise it stays readable and can be resumed.

        Raises
        ------
        ImageError
            If it cannot be finished, such as on a full disk; it can be resumed then.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            target = self._target
            if target is None or self._finished:
                self._labels.close()
            elif complete:
                self._finish(target)
            else:
                self._labels.close()
                self.path = target.set_aside(self._layout, self.written)

    def discard(self) -> None:
        """Give the stack up: nothing is left of what was written of it."""
        with self._lock:
            if not self._closed:
                self._labels.close()
            self._closed = True
            if self._target is not None and not self._finished:
                assert self.path is not None
                self._target.discard(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(complete=kind is None)

    def _finish(self, target: LabelTarget) -> None:
        """Finish the stack; if that fails or is stopped, it can be resumed."""
        try:
            target.finish(self._labels, self._layout)
            self.path = target.final
        except BaseException as error:
            self._labels.close()
            self.path = target.set_aside(self._layout, self.written)
            if isinstance(error, OSError):
                safe = self._safe(
                    f"All {len(self._written)} frames are safe in {self.path}"
                )
                raise ImageError(
                    f"{target.final} could not be finished ({error.strerror or error})."
                    f" {safe}"
                ) from error
            raise

    def _safe(self, kept: str) -> str:
        """Return what is `kept` and what to do, or that the files are gone."""
        if self.path is None or self.path.exists():
            return f"{kept}: make room and go on with resume."
        return "It is no longer there: begin anew in a folder that stays."

    def _checked(self, frame: int) -> int:
        """Check a frame number."""
        number = operator.index(frame)
        if not 0 <= number < self.shape[0]:
            raise IndexError(f"frame {number} of {self.shape[0]} frames")
        return number

    def _fitting(self, labels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Check a frame of labels and bring it to the stack's type."""
        pixels = np.asarray(labels)
        if pixels.dtype.kind not in "bui":
            raise TypeError(f"labels must be integers, not {pixels.dtype}")
        if pixels.shape != self.shape[1:]:
            raise ValueError(f"labels must be {self.shape[1:]}, not {pixels.shape}")
        if not np.can_cast(pixels.dtype, self.dtype):
            low, high = int(pixels.min()), int(pixels.max())
            if low < 0 or high > np.iinfo(self.dtype).max:
                raise ValueError(
                    f"ids go from {low} to {high}, but the stack holds {self.dtype}"
                )
        return pixels.astype(self.dtype, copy=False)


def _array_labels(
    array: np.ndarray[Any, Any] | zarr.Array[Any],
    shape: tuple[int, int, int],
    *,
    max_id: int,
    resume: bool,
) -> ArrayLabels:
    """Check an array that labels are to be written into."""
    if resume:
        raise ValueError("an array keeps no list of done frames to resume from")
    if tuple(array.shape) != tuple(shape):
        raise ImageError(
            f"The array for the labels is {tuple(array.shape)}; it must be {shape}."
        )
    dtype = np.dtype(array.dtype)
    if dtype.kind not in "ui" or np.iinfo(dtype).max < max_id:
        raise ImageError(
            f"The array for the labels holds {dtype}, which has no room for ids up to"
            f" {max_id}. Make it {label_dtype(max_id)}."
        )
    return ArrayLabels(array)
