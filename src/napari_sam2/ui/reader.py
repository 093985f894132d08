"""Opening labels as labels, with their scale and units.

napari's own reader would show the numbers of a TIFF as an image of unknown scale.
napari asks which reader is meant wherever two claim a name, so that this one claims
names that end in "labels" only.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tifffile

from napari_sam2.data.label_files import WRITTEN_BY
from napari_sam2.data.tiff import DAMAGED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.types import LayerDataTuple

    Reader = Callable[[str | Sequence[str]], list[LayerDataTuple]]

# As in the manifest, by which napari decides whom to ask.
PATTERNS = (
    "*labels.tif",
    "*labels.tiff",
    "*labels.ome.tif",
    "*labels.ome.tiff",
    "*labels.zarr",
)


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
    return any(fnmatchcase(path.name.lower(), pattern) for pattern in PATTERNS)


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
    from napari_sam2.data.image import open_image
    from napari_sam2.data.label_reader import label_stack
    from napari_sam2.ui.labels_layer import empty_labels

    image = open_image(path, palette=False)
    moving = image.length("T") > 1 and image.length("Z") > 1
    stacks = (
        [label_stack(image, "Z", {"T": time}) for time in range(image.length("T"))]
        if moving
        else [label_stack(image)]
    )
    first = stacks[0]
    data = empty_labels((len(stacks), len(first), *first.frame_shape), first.dtype)
    for time, stack in enumerate(stacks):
        for frame in range(len(stack)):
            data[time, frame] = stack[frame]
    axes, scale, units = first.axes, first.scale, first.units
    if moving:
        time = image.axes.index("T")
        axes, scale = f"T{axes}", (image.scale[time], *scale)
        units = (image.units[time], *units)
    options: dict[str, Any] = {
        "name": first.name,
        "scale": scale,
        "units": tuple(unit or "pixel" for unit in units),
        "axis_labels": tuple(axes.lower()),
    }
    return data if moving else data[0], options, "labels"
