"""Asks where to write the labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_sam2.errors import ImageError

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_sam2.ui.controller import Controller

_FILTERS = {"TIFF for Fiji, OME (*.tif)": ".tif", "OME-Zarr (*.zarr)": ".zarr"}
_WRITTEN = (".tif", ".tiff", ".zarr")


def ask_and_export(controller: Controller, parent: QWidget) -> None:
    """Ask for a file and write the labels there, in the background."""
    image = controller.image
    # Without a suffix: not every dialog changes it when another kind is chosen.
    proposal = "labels" if image is None else f"{image.name} labels"
    chosen, kind = QFileDialog.getSaveFileName(
        parent, "Save labels", proposal, ";;".join(_FILTERS)
    )
    if not chosen:
        return
    path = with_suffix(Path(chosen), _FILTERS.get(kind, ".tif"))
    # The dialog asked about a file of the name that was typed, but not about a
    # folder, nor about a name that got its suffix here.
    asked = path == Path(chosen) and path.is_file()
    there = path if path.exists() else unfinished(path)
    if there is not None and not asked and not _confirmed(there, parent):
        return
    controller.export(path, overwrite=there is not None)


def unfinished(path: Path) -> Path | None:
    """Return what an export of that name that never ended has left, if anything."""
    # zarr takes long to import, and most windows are opened to export nothing.
    from napari_sam2.data.label_target import LabelTarget

    try:
        left = LabelTarget(path).partial
    except ImageError:
        return None  # which the export will say
    return left if left.exists() else None


def with_suffix(path: Path, suffix: str) -> Path:
    """Return the path with a suffix that can be written, if it has none."""
    if path.suffix.lower() in _WRITTEN:
        return path
    return path.with_name(path.name + suffix)


def _confirmed(path: Path, parent: QWidget) -> bool:
    """Ask whether what is there may be replaced."""
    answer = QMessageBox.question(
        parent, "Save labels", f"{path.name} exists already. Replace it?"
    )
    return bool(answer == QMessageBox.StandardButton.Yes)
