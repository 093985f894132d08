"""The dock widget: everything one needs to segment a stack, in one column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import napari  # noqa: TC002 (napari reads the annotation to hand its viewer over)
from napari.layers import Labels
from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_sam2.ui.connections import Connections
from napari_sam2.ui.controller import Controller
from napari_sam2.ui.image_box import ImageBox
from napari_sam2.ui.model_box import ModelBox
from napari_sam2.ui.next_step import next_step
from napari_sam2.ui.object_box import ObjectBox
from napari_sam2.ui.prompt_box import PromptBox
from napari_sam2.ui.propagate_box import PropagateBox
from napari_sam2.ui.records import ModelStage, Severity
from napari_sam2.ui.review_box import ReviewBox
from napari_sam2.ui.save_dialog import ask_and_export
from napari_sam2.ui.shortcut_list import ShortcutList
from napari_sam2.ui.shortcuts import KeyBindings
from napari_sam2.ui.theme import ThemeColours, focus_style

if TYPE_CHECKING:
    from napari_sam2.ui.fold import FoldButton
    from napari_sam2.ui.records import Message, ModelStatus

TITLE = "Segment stacks with SAM 2"
PLUGIN = "napari-sam2"
_SHOW = {
    Severity.INFO: show_info,
    Severity.WARNING: show_warning,
    Severity.ERROR: show_error,
}


class Sam2Widget(QScrollArea):
    """Segments objects through stacks: click, propagate, review, correct, save.

    It scrolls only if the window is lower than its content can become.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where layers are and results go.
    controller : Controller, optional
        The viewer's own if absent.
    """

    def __init__(
        self,
        napari_viewer: napari.viewer.Viewer,
        controller: Controller | None = None,
    ) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.controller = controller or Controller.of(napari_viewer)
        self._connections = Connections()
        self._keys: KeyBindings | None = None
        self._labels_waiting: Labels | None = None
        colours = ThemeColours.of(napari_viewer.theme)
        rivals: list[FoldButton] = []
        layers = napari_viewer.layers
        self.image_box = ImageBox(
            self.controller, rivals, lambda: layers.selection.active
        )
        self.model_box = ModelBox(self.controller, rivals)
        self.prompt_box = PromptBox(self.controller, napari_viewer)
        self.object_box = ObjectBox(self.controller)
        self.review_box = ReviewBox(self.controller, colours)
        self.propagate_box = PropagateBox(
            self.controller, self.object_box.table.selected_ids
        )
        self.hint = QLabel()
        self.hint.setWordWrap(True)
        self.hint.setTextFormat(Qt.TextFormat.PlainText)
        self.save = QPushButton("Save labels...")
        self.save.setToolTip("Write the labels as TIFF (Fiji) or OME-Zarr")
        self.shortcuts = QPushButton("Shortcuts")
        self._begin = QTimer(self)
        self._begin.setSingleShot(True)
        self._begin.setInterval(20)  # ms, in which the window is painted
        self._begin.timeout.connect(self._prepare)
        self._carried: Labels | None = None
        self._carry_due = QTimer(self)
        self._carry_due.setSingleShot(True)
        self._carry_due.setInterval(0)
        self._carry_due.timeout.connect(self._carry)
        self._lay_out()
        self.save.clicked.connect(lambda: ask_and_export(self.controller, self))
        self.shortcuts.clicked.connect(self.show_shortcuts)
        self._attach()
        # The controller's signals and the viewer's keys outlive the widget.
        self.destroyed.connect(self._connections.release)

    def _lay_out(self) -> None:
        """Put all boxes into one column."""
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(4, 2, 4, 2)
        column.setSpacing(4)
        footer = QHBoxLayout()
        footer.addWidget(self.hint, 1)
        footer.addWidget(self.shortcuts)
        footer.addWidget(self.save)
        column.addWidget(self.image_box)
        column.addWidget(self.model_box)
        column.addWidget(_line())
        column.addWidget(self.prompt_box)
        column.addWidget(self.object_box, 3)
        column.addWidget(self.review_box, 2)
        column.addWidget(self.propagate_box)
        column.addWidget(_line())
        column.addLayout(footer)
        self.setWidget(content)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.setMinimumWidth(content.minimumSizeHint().width())

    def _attach(self) -> None:
        """Follow the controller and the viewer, and take the keys."""
        connections, controller = self._connections, self.controller
        for box in (
            self.image_box,
            self.model_box,
            self.prompt_box,
            self.object_box,
            self.review_box,
            self.propagate_box,
        ):
            box.connect_controller(connections)
        connections.connect(controller.message, self.show_message)
        connections.connect(controller.model_changed, self._follow_model)
        connections.connect(self._viewer.events.theme, self._show_theme)
        self._show_theme()
        for signal in (
            controller.image_changed,
            controller.objects_changed,
            controller.model_changed,
            controller.activity_changed,
            controller.selection_changed,
            controller.armed_changed,
        ):
            connections.connect(signal, self._show_next_step)
        self._keys = keys = KeyBindings(self._viewer, self._actions())
        connections.at_release(keys.release)
        for keyed in (self.prompt_box, self.review_box, self.propagate_box):
            keyed.show_keys(keys)
        self._show_next_step()

    def _actions(self) -> dict[str, Any]:
        """Return what the shortcuts do."""
        controller, propagate = self.controller, self.propagate_box
        return {
            "new_object": controller.new_object,
            "toggle_negative": self.prompt_box.negative.toggle,
            "previous_object": controller.previous_object,
            "next_object": controller.next_object,
            "propagate_both": lambda: propagate.start("both"),
            "propagate_backward": lambda: propagate.start("backward"),
            "propagate_forward": lambda: propagate.start("forward"),
            "pause_or_resume": propagate.pause_or_resume,
            "cancel": controller.cancel,
            "next_doubtful": controller.next_doubtful,
            "worst_frame": lambda: controller.next_doubtful(worst=True),
            "approve_frame": self.review_box.approve_or_take_back,
            "approve_span": controller.approve_span,
            "clear_prompts": self.prompt_box.clear_prompts,
        }

    def event(self, event: QEvent) -> bool:
        """Let go of viewer and controller when the dock is closed."""
        if event.type() == QEvent.Type.ParentChange and hasattr(self, "_keys"):
            if self.parent() is None:
                self._begin.stop()
                self._connections.release()
                self._keys = None
            elif self._keys is None:
                self._attach()
        return bool(super().event(event))

    def showEvent(self, event: Any) -> None:
        """Choose an image and load the model once the window is up."""
        super().showEvent(event)
        self._begin.start()

    def hideEvent(self, event: Any) -> None:
        """Begin nothing while nobody sees it."""
        super().hideEvent(event)
        self._begin.stop()
        self._carry_due.stop()

    def _prepare(self) -> None:
        """Import what opening needs without holding the window up."""
        if self._keys is not None:
            self.controller.prepare(self._open)

    def _open(self) -> None:
        """Work on an image and load the model, unless closed meanwhile."""
        if self._keys is not None:
            self.image_box.choose_image()
            self.model_box.load_if_ready()

    def propagate_labels(self, layer: Labels) -> None:
        """Carry all labels of a layer through the stack, once the model is there."""
        controller = self.controller
        self.image_box.choose_image()
        if controller.image is None:
            show_warning("Open the image that the labels belong to first.")
            return
        self._labels_waiting = layer
        self.model_box.load_if_ready()
        self._follow_model(controller.model)

    def _follow_model(self, status: ModelStatus) -> None:
        """Propagate the labels that waited for the model."""
        layer = self._labels_waiting
        if status.stage in (ModelStage.READY, ModelStage.FAILED):
            self._labels_waiting = None
        if layer is not None and status.stage == ModelStage.READY:
            # The session hears of the model after this signal.
            self._carried = layer
            self._carry_due.start()

    def _carry(self) -> None:
        """Prompt with labels, then propagate."""
        layer, self._carried = self._carried, None
        if layer is not None:
            # The plugin's own labels have prompts already, which masks would replace.
            if layer is not self.controller.labels_layer:
                self.controller.use_labels(layer, all_frames=True)
            self.controller.propagate("both")

    def show_message(self, message: Message) -> None:
        """Tell the user a sentence."""
        _SHOW[message.severity](message.text)

    def show_shortcuts(self) -> None:
        """Open the list of shortcuts."""
        if self._keys is not None:
            ShortcutList(self._keys, self).show()

    def _show_theme(self, _: object = None) -> None:
        """Paint in the colours of the viewer's theme."""
        colours = ThemeColours.of(self._viewer.theme)
        self.review_box.timeline.set_colours(colours)
        self.setStyleSheet(focus_style(colours))

    def _show_next_step(self, _: object = None) -> None:
        """Say what to do next, and offer to save what there is."""
        self.hint.setText(next_step(self.controller))
        self.save.setEnabled(any(row.frames_done for row in self.controller.objects))


def propagate_labels(viewer: napari.viewer.Viewer) -> None:
    """Carry the labels of the selected Labels layer through the stack.

    Each label is a prompt on every frame on which it is; the widget opens and the
    propagation starts.
    """
    layer = viewer.layers.selection.active
    if not isinstance(layer, Labels):
        show_warning("Select a Labels layer first: its labels become the objects.")
        return
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, TITLE)
    widget.propagate_labels(layer)


def _line() -> QFrame:
    """Return a thin line between sections."""
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    line.setFixedHeight(1)
    line.setStyleSheet("background-color: rgba(128, 128, 128, 90);")
    return line
