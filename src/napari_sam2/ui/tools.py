"""Which layer, in which mode, takes the next prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal

from napari_sam2.ui.records import Message, Tool

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_sam2.ui.workspace import Workspace

_MODES = {
    Tool.POINTS: "add",
    Tool.BOX: "add_rectangle",
    Tool.LASSO: "add_polygon_lasso",
    Tool.PAINT: "paint",
}
_NO_PROMPT = ("pan_zoom", "transform", "select", "direct", "pick")


class Tools:
    """The ways to give a prompt, each a layer in a mode.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layers are.

    Attributes
    ----------
    changed : Signal(Tool)
        Another one was chosen, here or in napari's own controls.
    armed : bool
        Whether a click on the canvas is a prompt now.
    armed_changed : Signal(bool)
        It became so, or is so no more.
    message : Signal(Message)
        A sentence for the user.
    """

    changed = Signal(Tool)
    armed_changed = Signal(bool)
    message = Signal(Message)

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._work: Workspace | None = None
        self.tool = Tool.POINTS
        self.armed = False
        self._active: Layer | None = None
        viewer.layers.selection.events.active.connect(self._on_active)

    @property
    def work(self) -> Workspace | None:
        """Whose layers they are."""
        return self._work

    @work.setter
    def work(self, work: Workspace | None) -> None:
        self._work = work
        self._on_active()

    def close(self) -> None:
        """Listen no more."""
        self._viewer.layers.selection.events.active.disconnect(self._on_active)
        self._watch(None)

    def choose(self, tool: Tool) -> None:
        """Select the layer of a tool and its mode, in the 2D view."""
        if self.work is not None:
            self.flatten()
            self.work.attach()
            layer = self._layers(self.work)[tool]
            self._viewer.layers.selection.active = layer
            layer.mode = _MODES[tool]
        self._become(tool)
        self._on_active()

    def flatten(self) -> None:
        """Leave the 3D view, in which a click means no pixel."""
        if self._viewer.dims.ndisplay == 3:
            self._viewer.dims.ndisplay = 2
            self.message.emit(Message("Prompts are given in the 2D view."))

    def _on_active(self, _event: object = None) -> None:
        """Take up another layer as another tool, and listen to its mode."""
        active = self._viewer.layers.selection.active
        layers = {} if self.work is None else self._layers(self.work)
        found = [tool for tool, layer in layers.items() if layer is active]
        if found and self.tool not in found:
            self._become(found[0])
        self._watch(active if found else None)

    def _watch(self, layer: Layer | None) -> None:
        """Listen to the mode of a layer of prompts that is selected, if one is."""
        if layer is not self._active:
            if self._active is not None:
                self._active.events.mode.disconnect(self._on_mode)
            if layer is not None:
                layer.events.mode.connect(self._on_mode)
            self._active = layer
        self._on_mode()

    def _on_mode(self, _event: object = None) -> None:
        layer = self._active
        armed = layer is not None and str(layer.mode) not in _NO_PROMPT
        if armed != self.armed:
            self.armed = armed
            self.armed_changed.emit(armed)

    def _become(self, tool: Tool) -> None:
        if tool != self.tool:
            self.tool = tool
            self.changed.emit(tool)

    @staticmethod
    def _layers(work: Workspace) -> dict[Tool, Layer]:
        return {
            Tool.POINTS: work.prompts.points,
            Tool.BOX: work.prompts.shapes,
            Tool.LASSO: work.prompts.shapes,
            Tool.PAINT: work.result.layer,
        }
