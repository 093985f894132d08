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
    removed : Signal(str, bool)
        It no longer is, because its layer of that name was removed; whether labels
        stay.
    listed : Signal()
        The image layers, or their names, changed.
    frame_changed : Signal(int)
        Another frame is on screen.
    drawn_aside : Signal(str)
        A prompt was given to an image, of that name, that is put aside.
    refused : Signal(str)
        Why the new pixels of an image cannot be seen as frames.
    """

    opened = Signal(object)
    left = Signal(object)
    removed = Signal(str, bool)
    listed = Signal()
    frame_changed = Signal(int)
    drawn_aside = Signal(str)
    refused = Signal(str)

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
            self._watch(layer)

    def close(self) -> None:
        """Listen no more; the layers stay in the viewer."""
        for work in self._aside.values():
            work.set_visible(True)
            work.close()
        self._aside = {}
        left = self._let_go()
        if left is not None:
            left.close()
            self.left.emit(left)
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._viewer.dims.events.point.disconnect(self._on_slider)

    def layers(self) -> tuple[Layer, ...]:
        """Return the image layers, the topmost last."""
        return tuple(layer for layer in self._viewer.layers if isinstance(layer, Image))

    def open(self, layer: Layer, axes: AxesChoice | None) -> None:
        """Work on an image layer; what was put aside of it comes back.

        Without a choice of axes it is seen as what was put aside last.

        Raises
        ------
        ImageError
            If it cannot be seen as frames; then all is as before.
        """
        frames = self._left_last(layer) if axes is None else None
        if frames is None:
            frames = layer_frames(layer, axes)
            if axes is None and frames.choice.position:
                frames = layer_frames(layer, frames.choice_at(self._viewer))
        work = self._workspace(frames)
        if work is not self.work:
            self._uncover(layer)
            self.leave()
            self.work = work
            self._listen(work)
        work.attach()
        work.move()
        frames.show(self._viewer, frames.current_frame(self._viewer))
        self.frame = frames.current_frame(self._viewer)
        self.opened.emit(work)

    def leave(self) -> None:
        """Put the image in work aside; layers in which nothing was done go."""
        work = self._let_go()
        if work is None:
            return
        if len(work.table):
            self._aside[work.frames.key] = work
            work.set_visible(False)
            work.drawn_aside.connect(self._on_drawn_aside)
        else:
            self._end(work)
        self.left.emit(work)

    def _uncover(self, layer: Layer) -> None:
        """Show an image layer, and hide those that were in work and lie over it."""
        layer.visible = True
        above = self._viewer.layers[self._viewer.layers.index(layer) + 1 :]
        works = [*self._aside.values(), *([] if self.work is None else [self.work])]
        for left in {work.frames.layer for work in works}.intersection(above):
            if left.blending in ("opaque", "translucent", "translucent_no_depth"):
                left.visible = False

    def _left_last(self, layer: Layer) -> LayerFrames | None:
        """Return the frames of an image layer that were put aside last, if any.

        Not while others of that layer are in work.
        """
        if self.work is not None and self.work.frames.layer is layer:
            return None
        for work in reversed(self._aside.values()):
            if work.frames.layer is layer:
                return layer_frames(layer, work.frames.choice)
        return None

    def _workspace(self, frames: LayerFrames) -> Workspace:
        """Return what belongs to these frames: in work, put aside, or new."""
        if self.work is not None and self.work.frames.key == frames.key:
            self.work.frames = frames
            return self.work
        found = self._aside.pop(frames.key, None)
        if found is None:
            return Workspace(self._viewer, frames, self._lane)
        found.drawn_aside.disconnect(self._on_drawn_aside)
        found.set_visible(True)
        found.frames = frames
        return found

    def _let_go(self) -> Workspace | None:
        """Have no image in work."""
        work, self.work, self.frame = self.work, None, 0
        if work is not None:
            events = work.frames.layer.events
            for name in _PLACE:
                getattr(events, name).disconnect(self._on_moved)
            work.stop()
        return work

    def _listen(self, work: Workspace) -> None:
        events = work.frames.layer.events
        for name in _PLACE:
            getattr(events, name).connect(self._on_moved)

    def _watch(self, layer: Layer) -> None:
        """Hear of a new name, and of new pixels."""
        layer.events.name.connect(self._on_name)
        if isinstance(layer, Image):
            layer.events.data.connect(self._on_data)

    def _on_slider(self, _event: object = None) -> None:
        if self.work is None or self.work.frames.layer not in self._viewer.layers:
            return
        frame = self.work.frames.current_frame(self._viewer)
        if frame != self.frame:
            self.frame = frame
            self.frame_changed.emit(frame)

    def _on_inserted(self, event: Event) -> None:
        self._watch(event.value)
        self.listed.emit()

    def _on_removed(self, event: Event) -> None:
        """End work on an image layer that is gone; labels stay."""
        layer = event.value
        layer.events.name.disconnect(self._on_name)
        if isinstance(layer, Image):
            layer.events.data.disconnect(self._on_data)
        self._forget(layer)
        if self.work is not None and self.work.frames.layer is layer:
            work = self._let_go()
            assert work is not None
            self.removed.emit(layer.name, self._end(work))
            self.left.emit(work)
        self.listed.emit()

    def _on_name(self, _event: Event) -> None:
        self.listed.emit()

    def _on_drawn_aside(self, name: str) -> None:
        self.drawn_aside.emit(name)

    def _on_moved(self, _event: Event) -> None:
        if self.work is not None:
            self.work.move()

    def _forget(self, layer: Layer) -> None:
        """Forget what was put aside of an image layer."""
        for key in [k for k, w in self._aside.items() if w.frames.layer is layer]:
            work = self._aside.pop(key)
            work.set_visible(True)
            work.close()

    def _on_data(self, event: Event) -> None:
        """Begin anew when an image layer was given another image."""
        self._forget(event.source)
        if self.work is None or self.work.frames.layer is not event.source:
            return
        work = self._let_go()
        assert work is not None
        self._end(work)
        self.left.emit(work)
        layer, choice = work.frames.layer, work.frames.choice
        choices = (choice, None) if layer.ndim == len(choice.axes) else (None,)
        for axes in choices:
            try:
                self.open(layer, axes)
                return
            except ImageError as error:  # such as beyond the position that was chosen
                reason = str(error)
        self.refused.emit(reason)

    @staticmethod
    def _end(work: Workspace) -> bool:
        """Close what belongs to an image; return whether its layers stay, with work."""
        work.close()
        kept = len(work.table) > 0
        if not kept:
            work.detach()
        return kept
