"""Which image layer is in work, and what becomes of it when layers change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image
from psygnal import Signal

from napari_sam2.errors import ImageError
from napari_sam2.ui.frames import layer_frames
from napari_sam2.ui.workspace import Workspace

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer
    from napari.utils.events import Event

    from napari_sam2.ui.frames import LayerFrames
    from napari_sam2.ui.jobs import Lane
    from napari_sam2.ui.records import AxesChoice

_PLACE = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


class Images:
    """The image in work, and those put aside with all that belongs to them.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layers are.
    lane : Lane
        Where the jobs of workspaces run.

    Attributes
    ----------
    work : Workspace or None
        What belongs to the image in work.
    frame : int
        The frame on screen, 0 without an image.
    opened : Signal(Workspace)
        An image is in work now, or is seen otherwise.
    left : Signal(Workspace)
        It no longer is.
    removed : Signal(str)
        It no longer is, because its layer of that name was removed.
    listed : Signal()
        The image layers, or their names, changed.
    frame_changed : Signal(int)
        Another frame is on screen.
    """

    opened = Signal(object)
    left = Signal(object)
    removed = Signal(str)
    listed = Signal()
    frame_changed = Signal(int)

    def __init__(self, viewer: ViewerModel, lane: Lane) -> None:
        self._viewer = viewer
        self._lane = lane
        self._aside: dict[object, Workspace] = {}
        self.work: Workspace | None = None
        self.frame = 0
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.dims.events.point.connect(self._on_slider)
        for layer in viewer.layers:
            layer.events.name.connect(self._on_name)

    def close(self) -> None:
        """Listen no more; the layers stay in the viewer."""
        self.leave()
        for work in self._aside.values():
            work.close()
        self._aside = {}
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._viewer.dims.events.point.disconnect(self._on_slider)

    def layers(self) -> tuple[Layer, ...]:
        """Return the image layers, the topmost last."""
        return tuple(layer for layer in self._viewer.layers if isinstance(layer, Image))

    def open(self, layer: Layer, axes: AxesChoice | None) -> None:
        """Work on an image layer; what was put aside of it comes back.

        Raises
        ------
        ImageError
            If it cannot be seen as frames; then all is as before.
        """
        frames = layer_frames(layer, axes)
        if axes is None and frames.choice.position:
            frames = layer_frames(layer, frames.choice_at(self._viewer))
        work = self._workspace(frames)
        if work is not self.work:
            self.leave()
            self.work = work
            self._listen(work)
        work.attach()
        work.move()
        self.frame = frames.current_frame(self._viewer)
        self.opened.emit(work)

    def leave(self) -> None:
        """Put the image in work aside; layers in which nothing was done go."""
        work = self._let_go()
        if work is None:
            return
        if len(work.table):
            self._aside[work.frames.key] = work
        else:
            work.close()
            work.detach()
        self.left.emit(work)

    def _workspace(self, frames: LayerFrames) -> Workspace:
        """Return what belongs to these frames: in work, put aside, or new."""
        if self.work is not None and self.work.frames.key == frames.key:
            self.work.frames = frames
            return self.work
        found = self._aside.pop(frames.key, None)
        if found is None:
            return Workspace(self._viewer, frames, self._lane)
        found.frames = frames
        return found

    def _let_go(self) -> Workspace | None:
        """Have no image in work."""
        work, self.work, self.frame = self.work, None, 0
        if work is not None:
            events = work.frames.layer.events
            for name in _PLACE:
                getattr(events, name).disconnect(self._on_moved)
            events.data.disconnect(self._on_data)
            work.stop()
        return work

    def _listen(self, work: Workspace) -> None:
        events = work.frames.layer.events
        for name in _PLACE:
            getattr(events, name).connect(self._on_moved)
        events.data.connect(self._on_data)

    def _on_slider(self, _event: object = None) -> None:
        if self.work is None or self.work.frames.layer not in self._viewer.layers:
            return
        frame = self.work.frames.current_frame(self._viewer)
        if frame != self.frame:
            self.frame = frame
            self.frame_changed.emit(frame)

    def _on_inserted(self, event: Event) -> None:
        event.value.events.name.connect(self._on_name)
        self.listed.emit()

    def _on_removed(self, event: Event) -> None:
        """End work on an image layer that is gone; labels stay."""
        layer = event.value
        layer.events.name.disconnect(self._on_name)
        for key in [k for k, w in self._aside.items() if w.frames.layer is layer]:
            self._aside.pop(key).close()
        if self.work is not None and self.work.frames.layer is layer:
            work = self._let_go()
            assert work is not None
            work.close()
            self.removed.emit(layer.name)
            self.left.emit(work)
        self.listed.emit()

    def _on_name(self, _event: Event) -> None:
        self.listed.emit()

    def _on_moved(self, _event: Event) -> None:
        if self.work is not None:
            self.work.move()

    def _on_data(self, _event: Event) -> None:
        """Begin anew when the image layer was given another image."""
        work = self._let_go()
        if work is None:
            return
        work.close()
        self.left.emit(work)
        layer, choice = work.frames.layer, work.frames.choice
        try:
            self.open(layer, choice if layer.ndim == len(choice.axes) else None)
        except ImageError:  # the new image ends before the position that was chosen
            self.open(layer, None)
