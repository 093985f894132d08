"""The Labels layer of the result: painted in place, edited by brush."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_sam2.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_sam2.ui.frames import LayerFrames

    # Where in the data, what was there, and what came.
    _Edit = tuple[tuple[NDArray[np.intp], ...], NDArray[Any], int]
    _Painting = tuple[NDArray[np.unsignedinteger], tuple[int, ...]]

LABELS_NAME = "SAM 2 labels"
_REFRESH_SECONDS = 0.1  # at least between two refreshes: drawing takes the processor
_IN_MEMORY = 2**31  # bytes; more lies in a temporary file
_HIDDEN = np.zeros(4, np.float32)
_PAINTING = ("paint", "erase", "fill", "polygon")


@dataclass(frozen=True, slots=True, eq=False)
class BrushEdit:
    """A frame that the user painted on, or took that back.

    Attributes
    ----------
    frame : int
        Which one.
    labels : ndarray
        ``(H, W)`` as it is now, a copy.
    object_ids : tuple of int
        Objects that have gained pixels, or lost them to the background.
    undone : bool
        Whether it came by undo or redo.
    before : ndarray
        ``(H, W)`` as it was, a copy.
    """

    frame: int
    labels: NDArray[np.unsignedinteger] = field(repr=False)
    object_ids: tuple[int, ...]
    undone: bool
    before: NDArray[np.unsignedinteger] = field(repr=False)


class ResultLayer:
    """Labels of all objects on all frames, and the layer that shows them.

    The pixels outlive the layer: if the user removes it, it comes back with all
    labels when the next frame is painted.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layer is.
    frames : LayerFrames
        What it lies on.
    edited : callable
        Gets a `BrushEdit` for each frame that a stroke changed.
    selected : callable
        Gets the label that the user selects in the layer.
    recolored : callable
        Called when the user gives the layer other colours.
    refused : callable
        Gets a sentence when a stroke was taken back.

    Attributes
    ----------
    locked : frozenset of int
        Objects whose pixels neither results nor brush change.

    Raises
    ------
    ImageError
        If there is no room for the labels.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        frames: LayerFrames,
        *,
        edited: Callable[[BrushEdit], None],
        selected: Callable[[int], None],
        recolored: Callable[[], None],
        refused: Callable[[str], None],
    ) -> None:
        self._viewer = viewer
        self._frames = frames
        self._edited = edited
        self._selected = selected
        self._recolored = recolored
        self._refused = refused
        self._geometry = frames.labels_geometry()
        self._hidden: frozenset[int] = frozenset()
        self.locked: frozenset[int] = frozenset()
        self._brushed: dict[int, NDArray[np.unsignedinteger]] = {}
        self._deferred: dict[int, _Painting] = {}
        self._edits: list[_Edit] = []
        self._history = (0, 0)
        self._stroke = False
        self._quiet = False
        self._dirty = False
        self._refreshed = 0.0
        self.layer = self._make_layer(empty_labels(self._geometry.shape, np.uint16))
        self._cyclic = self.layer.colormap

    @property
    def stack(self) -> NDArray[np.unsignedinteger]:
        """The labels ``(T, H, W)``, a view."""
        stack: NDArray[np.unsignedinteger]
        stack = self.layer.data[self._frames.stack_index()]
        return stack

    def attach(self) -> None:
        """Put the layer into the viewer, unless it is there."""
        if self.layer not in self._viewer.layers:
            self.move()
            layers, image = self._viewer.layers, self._frames.layer
            at = layers.index(image) + 1 if image in layers else len(layers)
            layers.insert(at, self.layer)

    def close(self) -> None:
        """Listen no more; the layer stays what it is."""
        self._quiet = True
        events = self.layer.events
        events.paint.disconnect(self._on_paint)
        events.labels_update.disconnect(self._on_update)
        events.set_data.disconnect(self._on_set_data)
        events.selected_label.disconnect(self._on_selected)
        events.colormap.disconnect(self._on_colormap)
        if self._on_drag in self.layer.mouse_drag_callbacks:
            self.layer.mouse_drag_callbacks.remove(self._on_drag)

    def move(self) -> None:
        """Lie where the image layer lies."""
        geometry, image = self._frames.labels_geometry(), self._frames.layer
        for name, value in geometry.transform.items():
            setattr(self.layer, name, value)
        self.layer.units = image.units
        self.layer.axis_labels = image.axis_labels

    def paint(
        self,
        frame: int,
        labels: NDArray[np.unsignedinteger],
        *,
        keep: Collection[int] = (),
    ) -> bool:
        """Write the labels ``(H, W)`` of a frame.

        Locked objects keep their pixels, objects to `keep` those that nothing takes.
        Returns whether locked ones look otherwise than in `labels` for that.
        """
        if self._stroke and self._on_screen(frame):
            self._deferred[frame] = (labels, tuple(keep))
            return False
        self._deferred.pop(frame, None)
        self._make_room(int(labels.max(initial=0)))
        here = self.stack[frame]
        withheld = False
        if self.locked:
            locked = list(self.locked)
            kept, new = np.isin(here, locked), np.isin(labels, locked)
            withheld = bool((labels != here)[kept | new].any())
            labels = np.where(kept, here, np.where(new, 0, labels))
        if keep:
            kept = (labels == 0) & np.isin(here, list(keep))
            labels = np.where(kept, here, labels)
        here[...] = labels
        if frame in self._brushed:
            self._brushed[frame] = here.copy()
        self._dirty = self._dirty or self._on_screen(frame)
        self.refresh()
        return withheld

    def erase(self, frame: int, object_ids: Collection[int]) -> None:
        """Take the pixels of objects away from a frame."""
        here = self.stack[frame]
        here[np.isin(here, list(object_ids))] = 0
        self._dirty = self._dirty or self._on_screen(frame)

    def refresh(self, *, now: bool = False) -> None:
        """Show what was painted, if it is on screen and not shown a moment ago."""
        if self._deferred and not self._stroke:
            deferred, self._deferred = self._deferred, {}
            for frame, (labels, keep) in deferred.items():
                self.paint(frame, labels, keep=keep)
        if not self._dirty or not self.layer.visible:
            return
        seconds = time.monotonic() - self._refreshed
        patience = _REFRESH_SECONDS * (5 if self._viewer.dims.ndisplay == 3 else 1)
        if now or seconds >= patience:
            self._dirty = False
            self.layer.refresh(thumbnail=now, highlight=False, extent=False)
            self._refreshed = time.monotonic()

    def select(self, object_id: int) -> None:
        """Let the layer's brush paint an object."""
        self._make_room(object_id)
        if self.layer.selected_label != object_id:
            self.layer.selected_label = object_id

    def set_locked(self, object_ids: frozenset[int]) -> None:
        """Let neither results nor brush change the pixels of objects."""
        self.locked = object_ids

    def set_hidden(
        self, object_ids: frozenset[int], all_ids: tuple[int, ...] = ()
    ) -> None:
        """Do not show objects; their labels stay what they are."""
        self._hidden = object_ids
        self._quiet, before = True, self._quiet
        try:
            if not object_ids:
                if isinstance(self.layer.colormap, DirectLabelColormap):
                    self.layer.colormap = self._cyclic
                return
            if not isinstance(self.layer.colormap, DirectLabelColormap):
                self._cyclic = self.layer.colormap
            colors: defaultdict[int | None, Any] = defaultdict(lambda: _HIDDEN)
            for object_id in all_ids:
                hidden = object_id in object_ids
                colors[object_id] = _HIDDEN if hidden else self._map(object_id)
            colors[None] = np.array([0.5, 0.5, 0.5, 1], np.float32)
            colors[0] = _HIDDEN
            self.layer.colormap = DirectLabelColormap(color_dict=colors)
        finally:
            self._quiet = before

    def color(self, object_id: int) -> tuple[float, float, float, float]:
        """Return the colour of an object, RGBA 0..1, also if it is hidden."""
        if not isinstance(self.layer.colormap, DirectLabelColormap):
            self._cyclic = self.layer.colormap
        r, g, b, a = (float(value) for value in self._map(object_id))
        return r, g, b, a

    def _map(self, object_id: int) -> NDArray[np.float32]:
        color: NDArray[np.float32] = np.asarray(self._cyclic.map(object_id)).ravel()
        return color

    def _on_screen(self, frame: int) -> bool:
        return self._frames.on_screen(self._viewer, frame)

    def _make_room(self, object_id: int) -> None:
        """Widen the type of the labels for large ids; this empties napari's history."""
        if object_id <= np.iinfo(self.layer.data.dtype).max:
            return
        wide = empty_labels(self._geometry.shape, np.uint32)
        wide[...] = self.layer.data
        self._quiet, before = True, self._quiet
        try:
            self.layer.data = wide
        finally:
            self._quiet = before

    def _on_selected(self, _event: Any) -> None:
        if not self._quiet and self.layer.selected_label > 0:
            self._selected(int(self.layer.selected_label))

    def _on_colormap(self, _event: Any) -> None:
        if not self._quiet:
            self._recolored()

    def _on_drag(self, layer: Labels, _event: Any) -> Iterator[None]:
        """Put off painting the frame on screen while a stroke is drawn on it."""
        if str(layer.mode) not in _PAINTING:
            return
        self._stroke = True
        yield
        while _event.type == "mouse_move":
            yield
        self._stroke = False

    def _on_paint(self, event: Any) -> None:
        """Take a stroke in, or wait until it is written.

        napari tells of brush strokes when they are in the data, of filled areas and
        polygons just before.
        """
        self._stroke = False
        if self._quiet:
            return
        self._edits += [_edit_of(atom) for atom in event.value]
        where, _, new = self._edits[-1]
        if (self.layer.data[where] == new).all():
            self._take_edits()

    def _on_update(self, _event: Any) -> None:
        if not self._quiet:
            self._take_edits()

    def _take_edits(self) -> None:
        """Tell what strokes changed, frame by frame."""
        edits, self._edits = self._edits, []
        stack = self.stack
        touched: defaultdict[int, set[int]] = defaultdict(set)
        refused = False
        for where, before, new in edits:
            refused |= self._restore_locked(where, before, new)
            for frame, ids in self._ids_by_frame(where, before, new).items():
                touched[frame] |= ids
        if refused:
            self._dirty = True
            self.refresh(now=True)
            self._refused("A locked object keeps its pixels: unlock it to change it.")
        for frame, ids in touched.items():
            before = self._before(frame, edits)
            self._brushed[frame] = stack[frame].copy()
            changed = tuple(sorted(ids - self.locked - {0}))
            if changed:
                # What was put off is out of date: the session answers to the stroke.
                self._deferred.pop(frame, None)
                now = stack[frame].copy()
                self._edited(BrushEdit(frame, now, changed, False, before))
        if self._deferred:
            self.refresh()

    def _before(self, frame: int, edits: list[_Edit]) -> NDArray[np.unsignedinteger]:
        """Return a frame ``(H, W)`` as it was before some edits."""
        axis = self._frames.frame_axis
        labels: NDArray[np.unsignedinteger] = self.stack[frame].copy()
        for where, before, _ in reversed(edits):
            here = slice(None) if axis is None else where[axis] == frame
            labels[where[-2][here], where[-1][here]] = before[here]
        return labels

    def _restore_locked(
        self, where: tuple[NDArray[np.intp], ...], before: NDArray[Any], new: int
    ) -> bool:
        """Give locked objects back what a stroke took, and take what it gave them."""
        if not self.locked:
            return False
        wrong = np.isin(before, list(self.locked))
        if new in self.locked:
            wrong = np.ones_like(wrong)
        self.layer.data[tuple(axis[wrong] for axis in where)] = before[wrong]
        return bool(wrong.any())

    def _ids_by_frame(
        self, where: tuple[NDArray[np.intp], ...], before: NDArray[Any], new: int
    ) -> dict[int, set[int]]:
        """Return which objects gained pixels, or lost them to the background."""
        axis = self._frames.frame_axis
        frames = np.zeros(len(before), int) if axis is None else where[axis]
        found = {}
        for frame in np.unique(frames):
            ids = {new} if new else set(np.unique(before[frames == frame]).tolist())
            found[int(frame)] = ids
        return found

    def _on_set_data(self, _event: Any) -> None:
        """Notice what undo and redo have changed, on whichever frames."""
        if self._quiet or self._stroke:
            return
        self._take_edits()
        frames = [self._frames.current_frame(self._viewer)]
        if self._was_undone():
            frames = list(self._brushed)
        for frame in frames:
            self._take_undone(frame)

    def _was_undone(self) -> bool:
        """Return whether something was undone or done again since the last call."""
        layer = self.layer
        undo = getattr(layer, "_undo_history", ())  # napari has no event for it
        redo = getattr(layer, "_redo_history", ())
        before, self._history = self._history, (len(undo), len(redo))
        return before != self._history and sum(before) == sum(self._history)

    def _take_undone(self, frame: int) -> None:
        """Tell what is no longer as the last stroke, or result, left it."""
        before = self._brushed.get(frame)
        if before is None:
            return
        now = self.stack[frame]
        changed = before != now
        if not changed.any():
            return
        ids = set(np.unique(before[changed]).tolist()) | set(
            np.unique(now[changed]).tolist()
        )
        self._brushed[frame] = now.copy()
        touched = tuple(sorted(ids - self.locked - {0}))
        if touched:
            self._edited(BrushEdit(frame, now.copy(), touched, True, before))

    def _make_layer(self, data: NDArray[np.unsignedinteger]) -> Labels:
        image = self._frames.layer
        layer = Labels(
            data,
            name=LABELS_NAME,
            units=image.units,
            axis_labels=image.axis_labels,
            **self._geometry.transform,
        )
        layer.events.paint.connect(self._on_paint)
        layer.events.labels_update.connect(self._on_update)
        layer.events.set_data.connect(self._on_set_data)
        layer.events.selected_label.connect(self._on_selected)
        layer.events.colormap.connect(self._on_colormap)
        layer.mouse_drag_callbacks.append(self._on_drag)
        return layer


def _edit_of(atom: Any) -> _Edit:
    """Return where an edit of napari's history is, what was there, and what came.

    napari keeps edits as index arrays, or as a box with a mask.
    """
    key = getattr(atom, "slice_key", None)
    if key is None:
        indices, before, new = atom
        where = tuple(np.atleast_1d(np.asarray(axis)).ravel() for axis in indices)
        return where, np.atleast_1d(before).ravel(), int(np.max(new))
    starts = [part.start or 0 for part in key]
    lengths = [part.stop - (part.start or 0) for part in key]
    if atom.mask is None:
        inside = np.indices(lengths).reshape(len(lengths), -1)
    else:
        inside = np.stack(np.nonzero(atom.mask))
    where = tuple(axis + start for axis, start in zip(inside, starts, strict=True))
    return where, np.asarray(atom.old_values).ravel(), int(atom.new_value)


def empty_labels(shape: tuple[int, ...], dtype: Any) -> NDArray[np.unsignedinteger]:
    """Make empty labels, that take room only where they are painted."""
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    try:
        if size <= _IN_MEMORY:
            return np.zeros(shape, dtype)
        with tempfile.TemporaryFile() as file:
            file.truncate(size)
            return np.memmap(file, dtype, mode="r+", shape=shape)
    except (MemoryError, OSError) as error:
        raise ImageError(
            f"There is no room for the labels of this image ({size / 1e9:,.1f} GB in "
            f"{tempfile.gettempdir()}). Make room, or crop the image."
        ) from error
