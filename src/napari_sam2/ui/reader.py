"""Opening labels as labels, with their scale and units.

napari's own reader would show the numbers of a TIFF as an image of unknown scale.
napari asks which reader is meant wherever two claim a name, so that this one claims
names that end in "labels" only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tifffile

from napari_sam2.data.label_files import WRITTEN_BY
from napari_sam2.data.tiff import DAMAGED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.types import LayerDataTuple

    Reader = Callable[[str | Sequence[str]], list[LayerDataTuple]]


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """Return a reader if all paths are labels by their names, or by who wrote them."""
    paths = _listed(path)
    known = ((one.exists() and is_called_labels(one)) or _is_ours(one) for one in paths)
    return read if paths and all(known) else None


def read(path: str | Sequence[str]) -> list[LayerDataTuple]:
    """Read label stacks as Labels layers."""
    return [_layer(one) for one in _listed(path)]


def _listed(path: str | Sequence[str]) -> list[Path]:
    return [Path(path)] if isinstance(path, str) else [Path(one) for one in path]


def is_called_labels(path: Path) -> bool:
    """Return whether a file or folder is opened as labels for its name alone."""
    return path.name.lower().split(".")[0].endswith("labels")


def _is_ours(path: Path) -> bool:
    """Return whether a file or folder says that it holds labels of the plugin."""
    if path.is_dir():
        return _zarr_is_ours(path)
    try:
        with tifffile.TiffFile(path) as tiff:
            return WRITTEN_BY in (tiff.ome_metadata or "")
    except DAMAGED:
        return False


def _zarr_is_ours(folder: Path) -> bool:
    try:
        content = json.loads((folder / "zarr.json").read_text("utf-8"))
        return bool(content["attributes"]["ome"]["_creator"]["name"] == WRITTEN_BY)
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _layer(path: Path) -> LayerDataTuple:
    from napari_sam2.data.labels import read_labels
    from napari_sam2.ui.labels_layer import empty_labels

    stack = read_labels(path)
    data = empty_labels((len(stack), *stack.frame_shape), stack.dtype)
    for frame in range(len(stack)):
        data[frame] = stack[frame]
    options: dict[str, Any] = {
        "name": stack.name,
        "scale": stack.scale,
        "units": tuple(unit or "pixel" for unit in stack.units),
        "axis_labels": tuple(stack.axes.lower()),
    }
    return data, options, "labels"
