"""One label stack on disk: its names, and its way from begun to finished."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.data.label_files import (
    ArrayLabels,
    TiffLabels,
    ZarrLabels,
    export_tiff,
)
from napari_sam2.data.label_reader import read_labels
from napari_sam2.data.label_record import (
    LabelLayout,
    LabelRecord,
    check_same_stack,
)
from napari_sam2.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sam2.data.label_files import LabelFile

_TIFF_SUFFIXES = (".ome.tif", ".ome.tiff", ".tif", ".tiff")
_ZARR_SUFFIXES = (".ome.zarr", ".zarr")


@dataclass(frozen=True, slots=True, eq=False)
class OpenedLabels:
    """Frames of a label stack, and how far it has come."""

    labels: LabelFile
    written: frozenset[int]
    finished: bool


class LabelTarget:
    """The files that belong to one label stack.

    For ``labels.tif`` the stack lies in ``labels.partial.tif`` while it is written and
    in ``labels.partial-export.tif`` while it is compressed; the note of its done frames
    is ``labels.tif.resume.json``.

    Raises
    ------
    ImageError
        If the name does not end in ``.tif``, ``.tiff`` or ``.zarr``, its folder does
        not exist, or something of the other kind has the name.
    """

    def __init__(self, final: Path) -> None:
        name = final.name
        suffixes = (*_TIFF_SUFFIXES, *_ZARR_SUFFIXES)
        suffix = next((s for s in suffixes if name.lower().endswith(s)), None)
        if suffix is None or len(name) == len(suffix):
            raise ImageError(
                f"{final} cannot be a label stack. Its name must end in .tif (OME-TIFF)"
                " or .zarr (OME-Zarr)."
            )
        self.is_zarr = suffix in _ZARR_SUFFIXES
        if not final.parent.is_dir():
            raise ImageError(f"There is no folder {final.parent}. Make it first.")
        if final.exists() and final.is_dir() != self.is_zarr:
            kind = "folder" if final.is_dir() else "file"
            raise ImageError(
                f"{final} is a {kind} already. Choose another name for the labels."
            )
        self.stem = name[: -len(suffix)]
        ending = name[-len(suffix) :]
        self.final = final
        self.partial = final.with_name(f"{self.stem}.partial{ending}")
        self.record = final.with_name(f"{name}.resume.json")
        self._export = final.with_name(f"{self.stem}.partial-export{ending}")

    def open(
        self, layout: LabelLayout, *, resume: bool, overwrite: bool
    ) -> OpenedLabels:
        """Begin the stack, or go on where it was left.

        Raises
        ------
        ImageError
            If it exists and may neither be resumed nor replaced, belongs to another
            image, has a note that cannot be read, or does not fit on the disk.
        OSError
            If its folder cannot be written.
        """
        try:
            record = LabelRecord.load(self.record)
        except ImageError:
            if not overwrite:
                raise
            record = None
        in_place = record is not None and record.file == self.final.name
        if self.partial.exists():
            unfinished: Path | None = self.partial
        else:
            unfinished = self.final if in_place and self.final.exists() else None
        finished = self.final.exists() and unfinished != self.final
        if resume and unfinished is not None and record is not None:
            return self._resume(layout, unfinished, record)
        if resume and unfinished is not None:
            # Ended before its first note, so before its first frame.
            _remove(unfinished)
            unfinished = None
        if resume and finished and not overwrite:
            return self._finished(layout)
        if not overwrite and (finished or unfinished is not None):
            what = "exists already" if finished else "was begun and not finished"
            raise ImageError(
                f"{self.final} {what}. Go on with it by resume, replace it by"
                " overwrite, or choose another name."
            )
        if unfinished is not None:
            _remove(unfinished)
        return self._begin(layout)

    def note(self, layout: LabelLayout, written: frozenset[int]) -> None:
        """Note which frames of the partial file are done."""
        self._note(layout, written, self.partial)

    def finish(self, labels: LabelFile, layout: LabelLayout) -> None:
        """Bring the stack under its final name and remove what resuming needs.

        Raises
        ------
        OSError
            If the disk is full; everything is as before.
        """
        try:
            if self.is_zarr:
                labels.close()
                self._replace_folder()
            else:
                export_tiff(labels, self._export, layout)
                labels.close()
                os.replace(self._export, self.final)
                self.partial.unlink()
            self.record.unlink(missing_ok=True)
        finally:
            _remove(self._export)

    def set_aside(self, layout: LabelLayout, written: frozenset[int]) -> Path:
        """Give an unfinished stack its final name, unless a finished one has it.

        Returns
        -------
        Path
            Where the frames are now.
        """
        if not self.partial.exists():
            return self.final
        if self.final.exists():
            return self.partial
        try:
            # The note first: a partial file counts before the name in the note.
            self._note(layout, written, self.final)
            os.replace(self.partial, self.final)
        except OSError:
            # No room for the note: the partial file and the last note do as well.
            return self.partial
        return self.final

    def discard(self, unfinished: Path) -> None:
        """Remove an unfinished stack from where it lies, and its note."""
        self.record.unlink(missing_ok=True)
        _remove(unfinished)

    def _begin(self, layout: LabelLayout) -> OpenedLabels:
        """Make an empty stack."""
        self.record.unlink(missing_ok=True)
        _remove(self._export)
        self._check_room(layout)
        try:
            labels = self._kind().create(self.partial, layout)
            self._note(layout, frozenset(), self.partial)
        except OSError:
            _remove(self.partial)
            raise
        return OpenedLabels(labels, frozenset(), finished=False)

    def _resume(
        self, layout: LabelLayout, unfinished: Path, record: LabelRecord
    ) -> OpenedLabels:
        """Open an unfinished stack."""
        check_same_stack(record, layout, unfinished)
        _remove(self._export)
        if unfinished == self.final:
            # Not moved before it can be read: others may have saved it anew.
            self._kind()(self.final, layout).close()
            os.replace(self.final, self.partial)
            self._note(layout, record.written, self.partial)
        labels = self._kind()(self.partial, layout)
        return OpenedLabels(labels, record.written, finished=False)

    def _finished(self, layout: LabelLayout) -> OpenedLabels:
        """Open a finished stack: nothing is left to do.

        Others may have saved it with another pixel type, which is told only if ids
        are beyond 16 bits and its are not.
        """
        stack = read_labels(self.final, frame_axis=layout.axes[0])
        small = layout.dtype == np.uint32 and stack.dtype.itemsize < 4
        found = LabelRecord(
            file=self.final.name,
            shape=(len(stack), *stack.frame_shape),
            dtype=(stack if small else layout).dtype.name,
            axes=stack.axes,
            written=frozenset(range(len(stack))),
        )
        check_same_stack(found, layout, self.final)
        return OpenedLabels(ArrayLabels(stack), found.written, finished=True)

    def _kind(self) -> type[TiffLabels] | type[ZarrLabels]:
        return ZarrLabels if self.is_zarr else TiffLabels

    def _note(self, layout: LabelLayout, written: frozenset[int], file: Path) -> None:
        """Note which frames are done, and in which file."""
        LabelRecord(
            file=file.name,
            shape=layout.shape,
            dtype=layout.dtype.name,
            axes=layout.axes,
            written=written,
        ).save(self.record)

    def _replace_folder(self) -> None:
        """Give the partial folder its final name; a folder that has it goes."""
        replaced = self.final.exists()
        if replaced:
            _remove(self._export)
            os.replace(self.final, self._export)
        try:
            os.replace(self.partial, self.final)
        except BaseException:
            if replaced:
                os.replace(self._export, self.final)
            raise

    def _check_room(self, layout: LabelLayout) -> None:
        """Refuse a TIFF that will not fit on the disk; zarr takes far less."""
        free = shutil.disk_usage(self.final.parent).free
        if not self.is_zarr and layout.nbytes > free:
            raise ImageError(
                f"{self.final} needs {layout.nbytes / 1e6:,.0f} MB until it is"
                f" compressed, and {free / 1e6:,.0f} MB are free. Make room, or write"
                " to .zarr."
            )


def _remove(path: Path) -> None:
    """Remove a file or folder if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
