"""Zarr arrays and OME-Zarr images, versions 2 and 3 of zarr, lazily."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import zarr
import zarr.errors

from napari_sam2.data.axes import AXES, complete_axes, unit_name
from napari_sam2.data.stack import StackImage
from napari_sam2.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_MARKERS = ("zarr.json", ".zarray", ".zgroup", ".zattrs")


def looks_like_zarr(path: Path) -> bool:
    """Whether a folder holds a zarr array or group."""
    return any((path / marker).exists() for marker in _MARKERS)


def open_zarr(path: Path, *, axes: str | None = None) -> StackImage:
    """Open a zarr array, or the full resolution of an OME-Zarr image.

    Parameters
    ----------
    path
        Folder of the array or group.
    axes
        Letters that take the place of those in the metadata.

    Raises
    ------
    ImageError
        If the folder is damaged, or holds several arrays and no description of them.
    """
    try:
        node = zarr.open(path, mode="r")
        return describe_zarr(node, name=path.name, axes=axes)
    except (
        zarr.errors.BaseZarrError,
        json.JSONDecodeError,
        AttributeError,
        LookupError,
        OSError,
        TypeError,
        ValueError,
    ) as error:
        malformed = isinstance(error, AttributeError | LookupError | TypeError)
        reason = "its metadata are not those of an image" if malformed else error
        raise ImageError(
            f"{path} cannot be read as zarr ({reason}). Give the folder that holds"
            " zarr.json, .zarray or .zgroup."
        ) from error


def describe_zarr(
    node: zarr.Array[Any] | zarr.Group, *, name: str, axes: str | None = None
) -> StackImage:
    """Describe an open zarr array or group."""
    if isinstance(node, zarr.Array):
        return StackImage(node, axes=axes or _named_axes(node), name=name)
    attributes: dict[str, Any] = dict(node.attrs)
    # OME-Zarr 0.5 keeps its metadata under "ome", 0.4 and older at the top.
    ome: dict[str, Any] = attributes.get("ome", attributes)
    if ome.get("multiscales"):
        return _full_resolution(node, ome, name, axes)
    if "plate" in ome or "well" in ome:
        raise ImageError(
            f"{name} is a plate of many images. Give the folder of one field, such as"
            f" {name}/A/1/0."
        )
    if "bioformats2raw.layout" in ome and "0" in node:
        return describe_zarr(_member(node, "0"), name=name, axes=axes)
    arrays = sorted(key for key, _ in node.arrays())
    if len(arrays) == 1:
        return describe_zarr(_member(node, arrays[0]), name=name, axes=axes)
    inside = ", ".join(sorted(node.keys())[:8])
    raise ImageError(
        f"{name} is a zarr group without a description of its image; it holds"
        f" {inside or 'nothing'}. Give the path of the array in it."
    )


def _member(group: zarr.Group, path: str) -> zarr.Array[Any] | zarr.Group:
    """Open what lies at a path inside a group."""
    member = group[path]
    if not isinstance(member, zarr.Array | zarr.Group):
        raise TypeError(f"{path} is neither an array nor a group")
    return member


def _named_axes(array: zarr.Array[Any]) -> str:
    """Read the axes from the names of dimensions; empty if they say nothing."""
    names = getattr(array.metadata, "dimension_names", None)
    names = names or array.attrs.get("_ARRAY_DIMENSIONS")
    if not isinstance(names, list | tuple) or len(names) != array.ndim:
        return ""
    letters = "".join(_letter(name) for name in names)
    if "Y" not in letters or "X" not in letters or len(set(letters)) < len(letters):
        return ""
    return complete_axes(letters, array.shape)


def _letter(name: object) -> str:
    """Give the letter for the name of an axis; "?" if it has none."""
    first = str(name or "?")[0].upper()
    return first if first in AXES and first != "S" else "?"


def _full_resolution(
    group: zarr.Group, ome: Mapping[str, Any], name: str, axes: str | None
) -> StackImage:
    """Describe the first and largest level of a multiscale image."""
    multiscale = ome["multiscales"][0]
    dataset = multiscale["datasets"][0]
    array = _member(group, str(dataset["path"]))
    if not isinstance(array, zarr.Array):
        raise TypeError(f"{dataset['path']} is not an array")
    described = multiscale.get("axes")
    if described is None:  # before OME-Zarr 0.3 the order was fixed
        entries: list[dict[str, Any]] = [{"name": axis} for axis in "tczyx"]
    else:
        entries = [
            axis if isinstance(axis, dict) else {"name": axis} for axis in described
        ]
    if len(entries) != array.ndim:
        raise ImageError(
            f"{name} describes {len(entries)} axes, but its array has {array.ndim}."
            " Name them (such as axes='ZYX')."
        )
    letters = "".join(_letter(entry.get("name")) for entry in entries)
    scale = _scale(dataset, array.ndim)
    for number, factor in enumerate(_scale(multiscale, array.ndim)):
        scale[number] *= factor
    return StackImage(
        array,
        axes=axes or complete_axes(letters, array.shape),
        scale=tuple(scale),
        units=tuple(unit_name(entry.get("unit")) for entry in entries),
        channel_names=_channel_names(ome),
        name=name,
    )


def _scale(owner: Mapping[str, Any], ndim: int) -> list[float]:
    """Read a scale transformation; ones if there is none."""
    for transformation in owner.get("coordinateTransformations", ()):
        steps: Sequence[float] | None = transformation.get("scale")
        if steps is not None and len(steps) == ndim:
            return [float(step) for step in steps]
    return [1.0] * ndim


def _channel_names(ome: Mapping[str, Any]) -> tuple[str, ...]:
    """Read the channels' labels from the rendering settings."""
    channels = (ome.get("omero") or {}).get("channels") or ()
    names = [str(channel.get("label", "")) for channel in channels]
    return tuple(names) if any(names) else ()
