"""The Points and Shapes layers in which prompts are drawn."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Points, Shapes

from napari_sam2.errors import ImageError
from napari_sam2.ui.drawn import Drawn, outlined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from napari.components import ViewerModel
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_sam2.ui.drawn import Where
    from napari_sam2.ui.frames import LayerFrames, Place

POINTS_NAME = "SAM 2 points"
SHAPES_NAME = "SAM 2 boxes and outlines"
_POSITIVE = (0.1, 0.85, 0.3)
_NEGATIVE = (0.95, 0.2, 0.15)
_SHAPE = (1.0, 0.85, 0.1)
_FAINT = 0.25
_POINT, _LINE = 0.03, 0.0015  # of the frame's shorter side
_POINT_LIMITS = (0, 14)  # pixels on screen, at most so large whatever the zoom
_SETTLED = ("added", "changed", "removed")
_CONTROL = "Control"
_OUTLINES = ("polygon", "ellipse")


@dataclass(frozen=True, slots=True, eq=False)
class TakenPrompts:
    """What was drawn for an object on a frame, in the coordinates of the layers.

    Attributes
    ----------
    object_id : int
        Whose it is.
    points : tuple of (ndarray, bool)
        Positions, and whether they are on the object.
    shapes : tuple of (ndarray, str)
        Corners, and the kind of shape.
    """

    object_id: int
    points: tuple[tuple[NDArray[np.floating], bool], ...] = ()
    shapes: tuple[tuple[NDArray[np.floating], str], ...] = ()


class PromptLayers:
    """Points and Shapes layers on an image layer.

    Every point and shape carries the id of its object, points also whether they lie
    on it. Layers that the user removes are made anew, with what was in them, when
    the next prompt is given.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layers are.
    frames : LayerFrames
        What they lie on.
    changed : callable
        Called when something was drawn, moved or removed.
    refused : callable
        Gets a sentence when something drawn was taken away at once.
    may_change : callable
        Says whether prompts of an object may change.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        frames: LayerFrames,
        *,
        changed: Callable[[], None],
        refused: Callable[[str], None],
        may_change: Callable[[int], bool],
    ) -> None:
        self._viewer = viewer
        self._frames = frames
        self._changed = changed
        self._refused = refused
        self._may_change = may_change
        self._current = 1
        self._negative = False
        self._quiet = False
        self._hidden: frozenset[int] = frozenset()
        self.points = self._make_points()
        self.shapes = self._make_shapes()

    def attach(self) -> None:
        """Put the layers into the viewer, unless they are there."""
        for layer in (self.shapes, self.points):
            if layer not in self._viewer.layers:
                self._place(layer)
                self._viewer.layers.append(layer)
        self.restyle()

    def close(self) -> None:
        """Listen no more; the layers stay what they are."""
        self._quiet = True
        self.points.events.data.disconnect(self._on_data)
        self.shapes.events.data.disconnect(self._on_data)

    def move(self) -> None:
        """Lie where the image layer lies."""
        for layer in (self.points, self.shapes):
            self._place(layer)

    def set_current(self, object_id: int, *, negative: bool) -> None:
        """Let the next prompts be of an object, on it or beside it."""
        self._current, self._negative = object_id, negative
        self.restyle()

    def set_hidden(self, object_ids: frozenset[int]) -> None:
        """Do not show the prompts of objects."""
        self._hidden = object_ids
        self.restyle()

    def read(self) -> dict[Where, Drawn]:
        """Return all that is drawn, by object and frame.

        Of several boxes of one object on one frame the last counts.
        """
        points: dict[Where, list[tuple[float, float, int]]] = defaultdict(list)
        for _, object_id, place, positive in self._points():
            points[object_id, place.frame].append((place.x, place.y, positive))
        boxes: dict[Where, tuple[float, float, float, float]] = {}
        outlines: dict[Where, list[Any]] = defaultdict(list)
        for _, object_id, frame, yx, kind in self._shapes():
            if kind == "rectangle":
                (y0, x0), (y1, x1) = yx.min(0), yx.max(0)
                boxes[object_id, frame] = (float(x0), float(y0), float(x1), float(y1))
            else:
                outline = tuple((float(y), float(x)) for y, x in yx)
                outlines[object_id, frame].append(outline)
        return {
            where: Drawn(
                points=tuple((x, y) for x, y, _ in points[where]),
                labels=tuple(positive for _, _, positive in points[where]),
                box=boxes.get(where),
                outlines=tuple(outlines[where]),
            )
            for where in {*points, *boxes, *outlines}
        }

    def add_point(self, frame: int, y: float, x: float, *, positive: bool) -> None:
        """Add a point of the current object."""
        self._set_defaults(negative=not positive)
        self.points.add(self._frames.positions(frame, np.array([[y, x]])))
        self._set_defaults(negative=self._negative)

    def take(self, object_id: int, frame: int) -> TakenPrompts:
        """Remove what is drawn for an object on a frame, to be put back perhaps."""
        points = tuple(
            (np.array(self.points.data[at]), bool(positive))
            for at, owner, place, positive in self._points()
            if (owner, place.frame) == (object_id, frame)
        )
        shapes = tuple(
            (np.array(self.shapes.data[at]), kind)
            for at, owner, there, _, kind in self._shapes()
            if (owner, there) == (object_id, frame)
        )
        self.remove([object_id], frame)
        return TakenPrompts(object_id, points, shapes)

    def put_back(self, taken: TakenPrompts) -> None:
        """Draw again what was taken; tells nobody."""
        self._quiet, quiet = True, self._quiet
        self._current, current = taken.object_id, self._current
        try:
            for position, positive in taken.points:
                self._set_defaults(negative=not positive)
                self.points.add(position)
            for corners, kind in taken.shapes:
                self._set_defaults(negative=False)
                self.shapes.add(corners, shape_type=kind)
        finally:
            self._quiet, self._current = quiet, current
            self.restyle()

    def remove(self, object_ids: Iterable[int], frame: int | None = None) -> None:
        """Remove what is drawn for objects, on one frame or on all; tells nobody."""
        wanted = set(object_ids)
        points = [
            at
            for at, object_id, place, _ in self._points()
            if object_id in wanted and frame in (None, place.frame)
        ]
        shapes = [
            at
            for at, object_id, there, _, _ in self._shapes()
            if object_id in wanted and frame in (None, there)
        ]
        self._remove(self.points, points)
        self._remove(self.shapes, shapes)

    def restyle(self) -> None:
        """Show the current object's prompts strongly, others faintly."""
        self._quiet, before = True, self._quiet
        try:
            self._set_defaults(negative=self._negative)
            if len(self.points.data):
                ids = self.points.features["object_id"].to_numpy()
                on = self.points.features["positive"].to_numpy().astype(bool)
                alpha = np.where(ids == self._current, 1.0, _FAINT)
                color = np.where(on[:, None], _POSITIVE, _NEGATIVE)
                self.points.face_color = np.column_stack([color, alpha])
                self.points.border_color = np.column_stack(
                    [np.ones((len(ids), 3)), alpha]
                )
                self.points.shown = ~np.isin(ids, list(self._hidden))
            if len(self.shapes.data):
                ids = self.shapes.features["object_id"].to_numpy()
                strong = (ids == self._current) & ~np.isin(ids, list(self._hidden))
                alpha = np.where(strong, 1.0, _FAINT)
                alpha[np.isin(ids, list(self._hidden))] = 0
                line = np.column_stack([np.tile(_SHAPE, (len(ids), 1)), alpha])
                self.shapes.edge_color = line
        finally:
            self._quiet = before

    def _points(self) -> Iterator[tuple[int, int, Place, int]]:
        """Yield index, object, place, and 1 if on the object, of each point."""
        ids = self.points.features["object_id"].to_numpy()
        on = self.points.features["positive"].to_numpy().astype(int)
        for at, position in enumerate(self.points.data):
            yield at, int(ids[at]), self._frames.place(position), int(on[at])

    def _shapes(self) -> Iterator[tuple[int, int, int, NDArray[np.floating], str]]:
        """Yield index, object, frame, ``(N, 2)`` corners (y, x), and kind."""
        ids = self.shapes.features["object_id"].to_numpy()
        for at, corners in enumerate(self.shapes.data):
            frame = self._frame_of(corners)
            yield at, int(ids[at]), frame, self._outline(at), self.shapes.shape_type[at]

    def _outline(self, at: int) -> NDArray[np.floating]:
        """Return the corners of a shape, of an ellipse as many that go around it."""
        corners: NDArray[np.floating] = np.asarray(self.shapes.data[at])[:, -2:]
        if self.shapes.shape_type[at] != "ellipse":
            return corners
        centre = corners.mean(0)
        one, other = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
        angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)[:, None]
        around: NDArray[np.floating]
        around = centre + np.cos(angle) * one + np.sin(angle) * other
        return around

    def _frame_of(self, corners: NDArray[np.floating]) -> int:
        """Return the frame that a shape lies on; corners outside do not matter."""
        middle = np.asarray(corners).mean(0)
        height, width = self._frames.frame_shape
        middle[-2:] = middle[-2:].clip(0, [height - 1, width - 1])
        return self._frames.place(middle).frame

    def _on_data(self, event: Any) -> None:
        """Refuse what cannot be a prompt, and tell the rest."""
        action = str(getattr(event.action, "value", event.action)).lower()
        if self._quiet or action not in _SETTLED:
            return
        if action == "added":
            # First, while the indices are those of what was added.
            self._refuse_added(event.source, event.data_indices)
        if action != "removed":
            self._refuse()
        if action == "added":
            self.restyle()  # napari gives it the look of what is selected
        self._changed()

    def _refuse_added(self, layer: Points | Shapes, indices: Iterable[int]) -> None:
        """Take away what was just drawn in 3D, or for objects that must not change."""
        ids = layer.features["object_id"].to_numpy()
        places = {int(at) % len(ids) for at in indices} if len(ids) else set()
        if self._viewer.dims.ndisplay == 3:  # where it means no pixel
            self._remove(layer, sorted(places))
            self._viewer.dims.ndisplay = 2
            self._refused("Prompts are given in the 2D view, which is on now.")
            return
        locked = [at for at in sorted(places) if not self._may_change(int(ids[at]))]
        if locked:
            object_id = int(ids[locked[0]])
            self._remove(layer, locked)
            self._refused(f"Object {object_id} is locked: unlock it to change it.")

    def _refuse(self) -> None:
        """Take away what lies elsewhere, or is of a kind that is no prompt."""
        sentence = ""
        points, shapes = [], []
        for at, position in enumerate(self.points.data):
            try:
                self._frames.place(position)
            except ImageError as error:
                sentence = str(error)
                points.append(at)
        for at, corners in enumerate(self.shapes.data):
            try:
                self._frame_of(corners)
                self._check_shape(at, np.asarray(corners))
            except ImageError as error:
                sentence = str(error)
                shapes.append(at)
        self._remove(self.points, points)
        self._remove(self.shapes, shapes)
        if sentence:
            self._refused(sentence)

    def _check_shape(self, at: int, corners: NDArray[np.floating]) -> None:
        """Raise `ImageError` if a shape cannot be a prompt."""
        kind = self.shapes.shape_type[at]
        if kind != "rectangle" and kind not in _OUTLINES:
            raise ImageError(
                f"A {kind} encloses nothing: draw a rectangle for a box, or a polygon, "
                "lasso or ellipse around the object."
            )
        across = np.ptp(corners, axis=0)
        if across[:-2].max(initial=0) >= 1:
            raise ImageError("This shape lies on several frames: draw it on one.")
        if across[-2:].min() <= 0:
            raise ImageError("This shape has no area: drag it open.")
        height, width = self._frames.frame_shape
        inside = np.asarray(corners)[:, -2:].clip(-0.5, [height - 0.5, width - 0.5])
        if np.ptp(inside, axis=0).min() <= 0:
            raise ImageError("This shape lies beside the image: draw it on an object.")
        tiny = kind in _OUTLINES and np.ptp(inside, axis=0).min() < 2  # pixels
        if tiny and not outlined(self._outline(at), (height, width)).any():
            raise ImageError("This outline goes around no pixel: draw it larger.")

    def _remove(self, layer: Points | Shapes, indices: list[int]) -> None:
        """Remove points or shapes without telling."""
        if not indices:
            return
        self._quiet, before = True, self._quiet
        try:
            if isinstance(layer, Points):
                layer.remove(indices)
            else:
                layer.selected_data = set(indices)
                layer.remove_selected()
        finally:
            self._quiet = before

    def _on_press(self, _layer: Points, event: Any) -> None:
        """Let Control turn the next point around."""
        turned = _CONTROL in event.modifiers
        self._set_defaults(negative=self._negative != turned)

    def _set_defaults(self, *, negative: bool) -> None:
        """Say what the next point or shape is."""
        self.points.feature_defaults = {
            "object_id": self._current,
            "positive": not negative,
        }
        self.shapes.feature_defaults = {"object_id": self._current}
        color = (*(_NEGATIVE if negative else _POSITIVE), 1.0)
        if not self.points.selected_data:
            self.points.current_face_color = color

    def _make_points(self) -> Points:
        layer = Points(
            ndim=self._frames.layer.ndim,
            name=POINTS_NAME,
            features={
                "object_id": np.zeros(0, np.int64),
                "positive": np.zeros(0, bool),
            },
            size=max(2.0, _POINT * min(self._frames.frame_shape)),
            border_width=0.12,
            canvas_size_limits=_POINT_LIMITS,
            out_of_slice_display=False,
        )
        self._place(layer)
        layer.events.data.connect(self._on_data)
        layer.mouse_drag_callbacks.insert(0, self._on_press)
        return layer

    def _make_shapes(self) -> Shapes:
        layer = Shapes(
            ndim=self._frames.layer.ndim,
            name=SHAPES_NAME,
            features={"object_id": np.zeros(0, np.int64)},
            face_color="transparent",
            edge_color=np.array([[*_SHAPE, 1.0]]),
            edge_width=max(0.5, _LINE * min(self._frames.frame_shape)),
        )
        self._place(layer)
        layer.events.data.connect(self._on_data)
        return layer

    def _place(self, layer: Layer) -> None:
        """Let a layer lie where the image layer lies."""
        image = self._frames.layer
        layer.scale = image.scale
        layer.translate = image.translate
        layer.rotate = image.rotate
        layer.shear = image.shear
        layer.affine = image.affine
        layer.units = image.units
        layer.axis_labels = image.axis_labels
