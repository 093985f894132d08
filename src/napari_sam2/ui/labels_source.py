"""Labels of another layer, seen on the frames of an image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2.errors import ImageError, PromptError

if TYPE_CHECKING:
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_sam2.ui.frames import LayerFrames


@dataclass(frozen=True, slots=True, eq=False)
class LabelsSource:
    """Labels that may lie otherwise than the frames they are read on.

    Attributes
    ----------
    name : str
        Of their layer.
    data : array
        Integers, as lazy as they are.
    matrix, offset : ndarray
        ``(ndim, 3)`` and ``(ndim,)`` float64: an index into the data is
        ``matrix @ (frame, y, x) + offset``, rounded.
    frame_shape : tuple of int
        ``(H, W)`` of the frames.
    """

    name: str
    data: Any = field(repr=False)
    matrix: NDArray[np.float64] = field(repr=False)
    offset: NDArray[np.float64] = field(repr=False)
    frame_shape: tuple[int, int]

    @property
    def along_frames(self) -> bool:
        """Whether the labels differ from frame to frame."""
        return bool(np.abs(self.matrix[:, 0]).max(initial=0) > 1e-6)

    def read(self, frame: int) -> NDArray[np.integer]:
        """Read the labels ``(H, W)`` on a frame; 0 beside the layer.

        Raises
        ------
        PromptError
            If they cannot be read.
        """
        try:
            return self._read(frame)
        except (OSError, ValueError) as error:
            raise PromptError(
                f"The labels of {self.name!r} cannot be read on frame {frame}: {error}."
            ) from error

    def _read(self, frame: int) -> NDArray[np.integer]:
        height, width = self.frame_shape
        rows, columns = self.matrix[:, 1], self.matrix[:, 2]
        start = self.matrix[:, 0] * frame + self.offset
        steps = np.flatnonzero((np.abs(rows) > 1e-6) | (np.abs(columns) > 1e-6))
        fixed = _nearest(start).astype(int)
        shape = np.array(self.data.shape)
        others = [axis for axis in range(len(shape)) if axis not in steps]
        if any(not 0 <= fixed[axis] < shape[axis] for axis in others):
            return np.zeros(self.frame_shape, np.uint16)
        index: list[Any] = [
            slice(None) if axis in steps else int(fixed[axis])
            for axis in range(len(shape))
        ]
        plane = np.asarray(self.data[tuple(index)])
        y, x = np.ogrid[:height, :width]
        at = [_nearest(start[a] + rows[a] * y + columns[a] * x) for a in steps]
        inside = np.ones(self.frame_shape, bool)
        for axis, places in zip(steps, at, strict=True):
            inside &= (places >= 0) & (places < shape[axis])
        clipped = [
            np.broadcast_to(places.clip(0, shape[axis] - 1).astype(int), inside.shape)
            for axis, places in zip(steps, at, strict=True)
        ]
        return np.where(inside, plane[tuple(clipped)], 0).astype(plane.dtype)


def labels_source(layer: Labels, frames: LayerFrames) -> LabelsSource:
    """See a Labels layer on the frames of an image.

    Raises
    ------
    ImageError
        If the layer holds no labels.
    """
    if type(layer).__name__ != "Labels":
        raise ImageError(
            f"{layer.name!r} is a {type(layer).__name__} layer: choose a Labels layer "
            "whose labels shall become prompts."
        )
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    image = frames.layer

    def to_labels(positions: NDArray[np.floating]) -> NDArray[np.float64]:
        world = [image.data_to_world(position) for position in positions]
        return np.array([layer.world_to_data(one) for one in world], float)

    origin, down, right = to_labels(frames.positions(0, corners))
    (later,) = to_labels(frames.positions(1, corners[:1]))
    still = np.zeros(layer.ndim)
    forward = still if frames.frame_axis is None else later - origin
    return LabelsSource(
        layer.name,
        layer.data[0] if layer.multiscale else layer.data,
        np.column_stack([forward, down - origin, right - origin]),
        origin,
        frames.frame_shape,
    )


def _nearest(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round, halves up, also those that a transform has made a trifle smaller."""
    rounded: NDArray[np.float64] = np.floor(places + (0.5 + 1e-6))
    return rounded
