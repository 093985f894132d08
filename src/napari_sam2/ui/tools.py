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


class Tools:
    """The ways to give a prompt, each a layer in a mode.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layers are.

    Attributes
    ----------
    work : Workspace or None
        Whose layers they are.
    changed : Signal(Tool)
        Another one was chosen, here or in napari's own controls.
    message : Signal(Message)
        A sentence for the user.
    """

    changed = Signal(Tool)
    message = Signal(Message)

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.work: Workspace | None = None
        self.tool = Tool.POINTS
        viewer.layers.selection.events.active.connect(self._on_active)

    def close(self) -> None:
        """Listen no more."""
        self._viewer.layers.selection.events.active.disconnect(self._on_active)

    def choose(self, tool: Tool) -> None:
        """Select the layer of a tool and its mode, in the 2D view."""
        if self.work is not None:
            self.flatten()
            self.work.attach()
            layer = self._layers(self.work)[tool]
            self._viewer.layers.selection.active = layer
            layer.mode = _MODES[tool]
        self._become(tool)

    def flatten(self) -> None:
        """Leave the 3D view, in which a click means no pixel."""
        if self._viewer.dims.ndisplay == 3:
            self._viewer.dims.ndisplay = 2
            self.message.emit(Message("Prompts are given in the 2D view."))

    def _on_active(self, _event: object) -> None:
        if self.work is None:
            return
        active = self._viewer.layers.selection.active
        layers = self._layers(self.work)
        if active is None or active is layers[self.tool]:
            return
        found = next((t for t, layer in layers.items() if layer is active), None)
        if found is not None:
            self._become(found)

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
