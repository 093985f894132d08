"""Sample data of the plugin: scenes made when opened, and real ones to download."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_sam2.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from napari.types import LayerDataTuple
    from numpy.typing import NDArray

_ZYX = ("z", "y", "x")
_TYX = ("t", "y", "x")
_MICROMETERS = ("micrometer",) * 3


def zstack() -> list[LayerDataTuple]:
    """Return a z-stack of nuclei ``(Z, Y, X)`` uint16 as an Image layer."""
    from napari_sam2.training.synthetic import sample_zstack

    layer = {"name": "Nuclei", "axis_labels": _ZYX}
    return [(sample_zstack().images, layer, "image")]


def timelapse() -> list[LayerDataTuple]:
    """Return a time-lapse of dividing cells ``(T, Y, X)`` uint16 as an Image layer."""
    from napari_sam2.training.synthetic import sample_timelapse

    layer = {"name": "Dividing cells", "axis_labels": _TYX}
    return [(sample_timelapse().images, layer, "image")]


def cells() -> list[LayerDataTuple]:
    """Open a confocal z-stack of cells: nuclei and membranes, 60 x 256 x 256.

    Of the Allen Institute for Cell Science; downloaded by scikit-image.
    """
    return _in_background(_cells)


def nucleus() -> list[LayerDataTuple]:
    """Open a time-lapse of a nucleus and its envelope, 15 x 180 x 183.

    Downloaded by scikit-image.
    """
    return _in_background(_nucleus)


def _cells() -> list[LayerDataTuple]:
    volume = _fetched("cells3d")  # (Z, C, Y, X)
    common: dict[str, Any] = {
        "axis_labels": _ZYX,
        "scale": (0.29, 0.26, 0.26),
        "units": _MICROMETERS,
        "blending": "additive",
    }
    membranes = {"name": "Membranes", "colormap": "magenta", **common}
    nuclei = {"name": "Nuclei", "colormap": "green", **common}
    return [(volume[:, 0], membranes, "image"), (volume[:, 1], nuclei, "image")]


def _nucleus() -> list[LayerDataTuple]:
    movie = _fetched("protein_transport")  # (T, C, Y, X)
    common: dict[str, Any] = {"axis_labels": _TYX, "blending": "additive"}
    protein = {"name": "Protein", "colormap": "magenta", **common}
    envelope = {"name": "Nuclear envelope", "colormap": "green", **common}
    return [(movie[:, 0], protein, "image"), (movie[:, 1], envelope, "image")]


def _fetched(name: str) -> NDArray[np.integer]:
    """Return a data set of scikit-image, which checks its hash.

    Raises
    ------
    ImageError
        If it cannot be downloaded.
    """
    from skimage import data

    try:
        image: NDArray[np.integer] = getattr(data, name)()
    except (OSError, ValueError) as error:
        raise ImageError(
            f"The sample {name!r} cannot be downloaded ({type(error).__name__}). Check "
            "the connection and try again; the synthetic samples need none."
        ) from error
    return image


def _in_background(load: Callable[[], list[LayerDataTuple]]) -> list[LayerDataTuple]:
    """Load layers while the window goes on, if there is one; they are added later."""
    import napari
    from napari.layers import Layer

    viewer = napari.current_viewer()
    if viewer is None:
        return load()
    from napari.qt.threading import create_worker

    def add(layers: list[LayerDataTuple]) -> None:
        for layer in layers:
            viewer.add_layer(Layer.create(*layer))

    create_worker(
        load,
        _connect={"returned": add},
        _progress={"total": 0, "desc": "Downloading a sample"},
    )
    return []
