"""Sample data of the plugin: scenes made when they are opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam2.training.synthetic import sample_timelapse, sample_zstack

if TYPE_CHECKING:
    from napari.types import LayerDataTuple


def zstack() -> list[LayerDataTuple]:
    """Return a z-stack of nuclei ``(Z, Y, X)`` uint16 as an Image layer."""
    layer = {"name": "Nuclei", "axis_labels": ("z", "y", "x")}
    return [(sample_zstack().images, layer, "image")]


def timelapse() -> list[LayerDataTuple]:
    """Return a time-lapse of dividing cells ``(T, Y, X)`` uint16 as an Image layer."""
    layer = {"name": "Dividing cells", "axis_labels": ("t", "y", "x")}
    return [(sample_timelapse().images, layer, "image")]
