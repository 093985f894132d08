"""How objects are started and prompted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Labels
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QMenu,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_sam2.ui.question import ask_first
from napari_sam2.ui.records import Tool

if TYPE_CHECKING:
    import napari

    from napari_sam2.ui.connections import Connections
    from napari_sam2.ui.controller import Controller
    from napari_sam2.ui.shortcuts import KeyBindings

_TOOLS = {
    Tool.POINTS: (
        "Poi&nts",
        "Click on the object. With Ctrl held, or with 'Not this' "
        "pressed, a click says what is not part of it.",
    ),
    Tool.BOX: ("&Box", "Drag a box around the object."),
    Tool.LASSO: ("L&asso", "Draw around the object with the button held."),
    Tool.PAINT: (
        "Paint",
        "Paint the object with the brush of the Labels layer; what "
        "you paint is its mask on this frame.",
    ),
}


class PromptBox(QWidget):
    """Buttons for a new object, for the way of prompting, and for existing labels.

    Parameters
    ----------
    controller : Controller
        Of the viewer.
    viewer : napari.Viewer
        Whose Labels layers can be used.
    """

    def __init__(self, controller: Controller, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._controller, self._viewer = controller, viewer
        self.new_object = QPushButton("New &object")
        self.negative = QPushButton("Not this")
        self.negative.setCheckable(True)
        self.clear = QPushButton("Clear pro&mpts")
        self.from_labels = QPushButton("F&rom labels")
        self.labels_menu = QMenu(self.from_labels)
        self.labels_menu.aboutToShow.connect(self._list_labels)
        self.from_labels.setMenu(self.labels_menu)
        self.from_labels.setToolTip(
            "Use labels that exist already, from Cellpose or last week, as prompts: "
            "each label becomes an object."
        )
        self.tools = {tool: QPushButton(title) for tool, (title, _) in _TOOLS.items()}
        make_big(self.new_object)
        self._group = QButtonGroup(self)
        first, second = QHBoxLayout(), QHBoxLayout()
        first.addWidget(self.new_object, 2)
        for tool, button in self.tools.items():
            button.setCheckable(True)
            button.setToolTip(_TOOLS[tool][1])
            button.clicked.connect(lambda _=False, tool=tool: controller.set_tool(tool))
            self._group.addButton(button)
            first.addWidget(button, 1)
        for button in (self.from_labels, self.negative, self.clear):
            second.addWidget(button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        for row in (first, second):
            row.setSpacing(2)
            layout.addLayout(row)
        self.new_object.clicked.connect(lambda: controller.new_object())
        self.negative.toggled.connect(controller.set_negative)
        self.clear.clicked.connect(self.clear_prompts)

    def connect_controller(self, connections: Connections) -> None:
        """Follow the controller until the connections are released."""
        controller = self._controller
        connections.connect(controller.tool_changed, self.show_tool)
        connections.connect(controller.armed_changed, self.show_tool)
        connections.connect(controller.negative_changed, self.show_negative)
        connections.connect(controller.image_changed, self.show_image)
        self.show_image()
        self.show_tool()
        self.show_negative(controller.negative)

    def clear_prompts(self) -> None:
        """Take back the prompts on this frame; ask first if much work would be lost."""
        lost = self._controller.lost_by_clearing()
        if lost < 1:
            self._controller.clear_prompts()
            return
        ask_first(
            self,
            "Clear prompts",
            "These are the object's only prompts: its masks on"
            f" {lost} other frame{'s' * (lost > 1)} go with them. Clear them?",
            self._controller.clear_prompts,
        )

    def show_keys(self, keys: KeyBindings) -> None:
        """Put keys into tooltips."""
        for button, text, name in (
            (self.new_object, "Start the next object, then click on it", "new_object"),
            (
                self.negative,
                "Clicks say what is not part of the object; so does Ctrl and a click",
                "toggle_negative",
            ),
            (
                self.clear,
                "Take back the current object's prompts on this frame",
                "clear_prompts",
            ),
        ):
            button.setToolTip(keys.with_key(text, name))

    def show_tool(self, _: object = None) -> None:
        """Show how the next prompt is given, or by no button that clicks are none."""
        chosen = self.tools[self._controller.tool]
        self._group.setExclusive(False)  # or none could be let go
        for button in self.tools.values():
            button.setChecked(button is chosen and self._controller.armed)
        self._group.setExclusive(True)

    def show_negative(self, negative: bool) -> None:
        """Show whether the next click says "not this"."""
        with QSignalBlocker(self.negative):
            self.negative.setChecked(negative)

    def show_image(self) -> None:
        """Offer prompts only if there is an image."""
        self.setEnabled(self._controller.image is not None)

    def _list_labels(self) -> None:
        """Offer the Labels layers of the viewer."""
        menu, result = self.labels_menu, self._controller.labels_layer
        menu.clear()
        layers = [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, Labels) and layer is not result
        ]
        for layer in layers:
            here = menu.addAction(f"{layer.name}: this frame")
            here.triggered.connect(lambda _=False, layer=layer: self._use(layer, False))
            everywhere = menu.addAction(f"{layer.name}: all frames")
            everywhere.triggered.connect(
                lambda _=False, layer=layer: self._use(layer, True)
            )
        if not layers:
            menu.addAction("Open or make a Labels layer first").setEnabled(False)

    def _use(self, layer: Labels, all_frames: bool) -> None:
        """Take the labels of a layer as prompts."""
        self._controller.use_labels(layer, all_frames=all_frames)


def make_big(button: QPushButton) -> None:
    """Make a button one of the main actions."""
    font = button.font()
    font.setBold(True)
    button.setFont(font)
    button.setMinimumHeight(round(2.2 * button.fontMetrics().height()))
    button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
