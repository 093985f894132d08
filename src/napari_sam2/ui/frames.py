"""An image layer as frames: axes, coordinates, and the shape of its labels."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_sam2.data.axes import check_axes, complete_axes, unit_name
from napari_sam2.data.contrast import Contrast, per_channel
from napari_sam2.errors import ImageError
from napari_sam2.ui.records import AxesChoice, ImageFacts

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_sam2.data.frames import StackFrames

_NAMES = {
    "t": "T",
    "time": "T",
    "frame": "T",
    "frames": "T",
    "z": "Z",
    "depth": "Z",
    "plane": "Z",
    "slice": "Z",
    "c": "C",
    "ch": "C",
    "channel": "C",
    "channels": "C",
    "y": "Y",
    "row": "Y",
    "rows": "Y",
    "height": "Y",
    "x": "X",
    "column": "X",
    "columns": "X",
    "width": "X",
}
_PLURAL = {"Z": "slices", "T": "time points"}
_ONE = {"Z": "slice", "T": "time point"}


@dataclass(frozen=True, slots=True)
class Place:
    """A position on a frame, in pixels; (0, 0) is the centre of the first pixel."""

    frame: int
    y: float
    x: float


@dataclass(frozen=True, slots=True, eq=False)
class LabelsGeometry:
    """Shape and place of the Labels layer that lies on an image layer.

    Attributes
    ----------
    shape : tuple of int
        As the image layer's, with one voxel along the axes that are no frame axis.
    transform : dict
        What the Labels layer is made with, or what is set on it: scale, translate,
        rotate, shear, affine.
    """

    shape: tuple[int, ...]
    transform: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class LayerFrames:
    """The frames of an image layer, and where they lie in it.

    Attributes
    ----------
    layer : Image
        The layer.
    choice : AxesChoice
        How it is seen.
    source : StackFrames
        Its frames, read one at a time.
    """

    layer: Image
    choice: AxesChoice
    source: StackFrames = field(repr=False)

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.source)

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Rows and columns of a frame."""
        return self.source.frame_shape

    @property
    def frame_axis(self) -> int | None:
        """Index of the frame axis among the layer's; None for a single frame."""
        found = self.choice.axes.find(self.choice.frame_axis)
        return None if found < 0 else found

    @property
    def contrast(self) -> Contrast | None:
        """The contrast that was chosen."""
        limits = self.choice.contrast
        return None if limits is None else Contrast(per_channel(self.source, limits))

    @property
    def key(self) -> tuple[int, str, str, tuple[tuple[str, int], ...]]:
        """What decides whether labels and prompts of two choices fit each other."""
        choice = self.choice
        return (id(self.layer), choice.axes, choice.frame_axis, choice.position)

    def facts(self) -> ImageFacts:
        """Say what is known of the image."""
        shape = _shape(self.layer)
        lengths = tuple(
            (letter, shape[axis])
            for axis, letter in enumerate(self.choice.axes)
            if letter not in "YX"
        )
        height, width = self.frame_shape
        count, letter = self.num_frames, self.choice.frame_axis
        size = f"{height} x {width} pixels"
        if count > 1:
            text = f"{letter}, {count} {_PLURAL[letter]} of {size}"
        else:
            text = f"one frame of {size}"
        for axis, index in self.choice.position:
            text += f", at {_ONE[axis]} {index}"
        return ImageFacts(
            self.layer.name, lengths, count, (height, width), self.layer.rgb, text
        )

    def place(self, position: NDArray[np.floating]) -> Place:
        """Find the place of a position in data coordinates ``(ndim,)`` of the layer.

        Raises
        ------
        ImageError
            If it lies outside the image, or on none of the frames in work.
        """
        for letter, index in self.choice.position:
            there = round(float(position[self.choice.axes.index(letter)]))
            if there != index:
                raise ImageError(
                    f"Go to {_ONE[letter]} {index}, or set '{letter} stays at' to "
                    f"{there}: this is {_ONE[letter]} {there}."
                )
        axis = self.frame_axis
        frame = 0 if axis is None else round(float(position[axis]))
        y, x = float(position[-2]), float(position[-1])
        height, width = self.frame_shape
        inside = -0.5 <= y <= height - 0.5 and -0.5 <= x <= width - 0.5
        if not inside or not 0 <= frame < self.num_frames:
            raise ImageError("This lies outside the image: prompts belong inside.")
        return Place(frame, y, x)

    def positions(self, frame: int, yx: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return data coordinates ``(N, ndim)`` of places ``(N, 2)`` on a frame."""
        out = np.zeros((len(yx), self.layer.ndim))
        for letter, index in self.choice.position:
            out[:, self.choice.axes.index(letter)] = index
        if "C" in self.choice.axes and self.choice.channels:
            out[:, self.choice.axes.index("C")] = self.choice.channels[0]
        if self.frame_axis is not None:
            out[:, self.frame_axis] = frame
        out[:, -2:] = yx
        return out

    def current_frame(self, viewer: ViewerModel) -> int:
        """Return the frame that the viewer's sliders stand at."""
        if self.frame_axis is None:
            return 0
        position = self.layer.world_to_data(np.asarray(viewer.dims.point))
        return int(np.clip(round(position[self.frame_axis]), 0, self.num_frames - 1))

    def choice_at(self, viewer: ViewerModel) -> AxesChoice:
        """Return the choice of these frames, but at the place that is on screen."""
        place = self.layer.world_to_data(np.asarray(viewer.dims.point))
        shape = _shape(self.layer)
        position = []
        for letter, _ in self.choice.position:
            axis = self.choice.axes.index(letter)
            index = int(np.clip(round(place[axis]), 0, shape[axis] - 1))
            position.append((letter, index))
        return replace(self.choice, position=tuple(position))

    def on_screen(self, viewer: ViewerModel, frame: int) -> bool:
        """Return whether a change of a frame would be seen."""
        axis = self.frame_axis
        displayed = [a - (viewer.dims.ndim - self.layer.ndim) for a in _shown(viewer)]
        if axis is None or axis in displayed:
            return True
        return self.current_frame(viewer) == frame

    def show(self, viewer: ViewerModel, frame: int) -> None:
        """Move the viewer's sliders to a frame; channels stay as they are."""
        now = np.asarray(self.layer.world_to_data(np.asarray(viewer.dims.point)))
        wanted = now.copy()
        for letter, index in self.choice.position:
            wanted[self.choice.axes.index(letter)] = index
        if self.frame_axis is not None:
            wanted[self.frame_axis] = frame
        moved = np.flatnonzero(wanted != now)
        before = viewer.dims.ndim - self.layer.ndim
        world = self.layer.data_to_world(wanted)
        axes = [int(a) for a in moved if before + a not in _shown(viewer)]
        if axes:
            viewer.dims.set_point(
                [before + axis for axis in axes], [world[axis] for axis in axes]
            )

    def labels_geometry(self) -> LabelsGeometry:
        """Return how the Labels layer lies on the image.

        Its axes are the image's, so that it can be seen and painted on beside it.
        Along the axes that are fixed it is one voxel at that position, along the
        channels one voxel as thick as all of them.
        """
        layer, choice = self.layer, self.choice
        shape = list(_shape(layer))
        factor, start = np.ones(layer.ndim), np.zeros(layer.ndim)
        for letter, index in choice.position:
            axis = choice.axes.index(letter)
            shape[axis], start[axis] = 1, index
        if "C" in choice.axes:
            axis = choice.axes.index("C")
            factor[axis], start[axis] = shape[axis], (shape[axis] - 1) / 2
            shape[axis] = 1
        world = np.asarray(layer.data_to_world(start))
        return LabelsGeometry(
            tuple(shape),
            {
                "scale": np.asarray(layer.scale) * factor,
                "translate": np.asarray(layer.affine.inverse(world)),
                "rotate": layer.rotate,
                "shear": layer.shear,
                "affine": layer.affine,
            },
        )

    def stack_index(self) -> tuple[int | slice | None, ...]:
        """Return the index that makes ``(T, H, W)`` of the Labels layer's data."""
        index: list[int | slice | None] = [
            slice(None) if letter in "YX" or letter == self.choice.frame_axis else 0
            for letter in self.choice.axes
        ]
        if self.frame_axis is None:
            index.insert(len(index) - 2, None)
        return tuple(index)


def layer_frames(layer: Layer, choice: AxesChoice | None = None) -> LayerFrames:
    """See an image layer as frames.

    Parameters
    ----------
    layer : Layer
        Multiscale, dask, RGB: any Image layer.
    choice : AxesChoice, optional
        Recognised from the layer's axis labels and shape if absent.

    Raises
    ------
    ImageError
        If it is no Image layer, or cannot be seen so.
    """
    # These load zarr, which takes as long as the window may take to open.
    from napari_sam2.data.frames import select_frames
    from napari_sam2.data.stack import StackImage

    if not isinstance(layer, Image):
        kind = type(layer).__name__
        hint = (
            " To use it as prompts, choose its image first, then take its labels."
            if kind == "Labels"
            else ""
        )
        raise ImageError(
            f"{layer.name!r} is a {kind} layer; an Image layer is needed.{hint}"
        )
    if choice is not None and choice.contrast is not None:
        Contrast(choice.contrast)  # checks the limits
    given = recognise_axes(layer) if choice is None else choice.axes
    shape = _shape(layer)
    axes = check_axes(given, shape)
    if not axes.endswith("YX"):
        raise ImageError(
            f"The axes of {layer.name!r} are {axes}: rows and columns (Y, X) must be "
            "its last two. Transpose it, or name the axes otherwise."
        )
    image = StackImage(
        layer.data[0] if layer.multiscale else layer.data,
        axes=axes + ("S" if layer.rgb else ""),
        scale=(*map(float, layer.scale), *([1.0] if layer.rgb else [])),
        units=(*map(_unit, layer.units), *([None] if layer.rgb else [])),
        name=layer.name,
    )
    few = image.length("C") <= (1 if layer.rgb else 3)
    channels = () if choice is None else choice.channels
    source = select_frames(
        image,
        frame_axis=None if choice is None else choice.frame_axis,
        position=None if choice is None else dict(choice.position),
        channels=channels or (None if few else 0),
    )
    return LayerFrames(
        layer,
        AxesChoice(
            axes=axes,
            frame_axis=source.axes[0],
            position=tuple(sorted(source.position.items())),
            channels=source.channels,
            contrast=None if choice is None else choice.contrast,
        ),
        source,
    )


def recognise_axes(layer: Image) -> str:
    """Name the axes of an image layer by its axis labels, or else by their lengths."""
    shape = _shape(layer)
    letters = [_NAMES.get(str(label).lower(), "?") for label in layer.axis_labels]
    if len(letters) != len(shape) or len(set(letters) - {"?"}) < len(
        [letter for letter in letters if letter != "?"]
    ):
        letters = ["?"] * len(shape)
    if len(shape) >= 2 and letters[-2:] != ["Y", "X"]:
        letters[:-2] = ["?" if x in "YX" else x for x in letters[:-2]]
        letters[-2:] = ["Y", "X"]
    return complete_axes("".join(letters), shape)


def _shape(layer: Image) -> tuple[int, ...]:
    """Return the lengths of a layer's axes, without colour samples."""
    data = layer.data[0] if layer.multiscale else layer.data
    return tuple(int(length) for length in data.shape[: layer.ndim])


def _unit(unit: object) -> str | None:
    return unit_name(str(unit))


def _shown(viewer: ViewerModel) -> tuple[int, ...]:
    return tuple(viewer.dims.displayed)
