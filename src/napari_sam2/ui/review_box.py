"""The timeline and the row of buttons to review and approve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_sam2.ui.records import Mark
from napari_sam2.ui.timeline import TimelineView

if TYPE_CHECKING:
    from napari_sam2.ui.connections import Connections
    from napari_sam2.ui.controller import Controller
    from napari_sam2.ui.records import TimelineColumn
    from napari_sam2.ui.shortcuts import KeyBindings
    from napari_sam2.ui.theme import ThemeColours


class ReviewBox(QWidget):
    """Shows where the network was unsure, goes there, and approves.

    Parameters
    ----------
    controller : Controller
        Of the viewer.
    colours : ThemeColours
        Of the viewer's theme.
    """

    def __init__(self, controller: Controller, colours: ThemeColours) -> None:
        super().__init__()
        self._controller = controller
        self._approve_help = self._take_back_help = ""
        self.timeline = TimelineView(colours)
        self.doubtful = QPushButton("Ne&xt doubtful")
        self.approve = QPushButton("Approve fram&e")
        self.approve_span = QPushButton("Approve span")
        row = QHBoxLayout()
        row.setSpacing(3)
        for button in (self.doubtful, self.approve, self.approve_span):
            row.addWidget(button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.timeline, 1)
        layout.addLayout(row)
        self.timeline.cell_chosen.connect(
            lambda object_id, frame: controller.go_to(frame, object_id)
        )
        self.timeline.frame_chosen.connect(lambda frame: controller.go_to(frame))
        self.doubtful.clicked.connect(lambda: controller.next_doubtful())
        self.approve.clicked.connect(lambda: self.approve_or_take_back())
        self.approve_span.clicked.connect(lambda: controller.approve_span())

    def connect_controller(self, connections: Connections) -> None:
        """Follow the controller until the connections are released."""
        controller = self._controller
        connections.connect(controller.timeline_changed, self.show_timeline)
        connections.connect(controller.image_changed, self.show_timeline)
        connections.connect(controller.frame_changed, self.show_frame)
        connections.connect(controller.selection_changed, self.show_object)
        self.show_timeline()
        self.show_frame(controller.frame)
        self.show_object(controller.selected)

    def show_keys(self, keys: KeyBindings) -> None:
        """Put keys into tooltips."""
        self._approve_help = keys.with_key(
            "This mask is right: propagation leaves it as it is", "approve_frame"
        )
        self._take_back_help = keys.with_key(
            "Let propagation change this frame again", "approve_frame"
        )
        self.doubtful.setToolTip(
            keys.with_key(
                "Go to the next frame where the network is unsure", "next_doubtful"
            )
        )
        self.approve_span.setToolTip(
            keys.with_key(
                "Approve all frames around this one, up to the next prompts",
                "approve_span",
            )
        )
        self._show_approval()

    def show_timeline(self, column: TimelineColumn | None = None) -> None:
        """Show what is new: one frame, or everything."""
        if column is None or not self.timeline.fits(column):
            self._show_everything()
        else:
            self.timeline.set_column(column)
        self._show_approval()

    def _show_everything(self) -> None:
        """Show all objects and frames anew."""
        controller = self._controller
        timeline, facts = controller.timeline, controller.facts
        rows = {row.object_id: row.color for row in controller.objects}
        grey = (0.5, 0.5, 0.5, 1.0)
        rgba = [rows.get(object_id, grey) for object_id in timeline.object_ids]
        colours = (np.array(rgba).reshape(-1, 4)[:, :3] * 255).round()
        axes = controller.axes
        if axes is not None:
            slices = axes.frame_axis == "Z"
            self.timeline.set_frame_name("slice" if slices else "time point")
        self.timeline.set_timeline(timeline, colours.astype(np.uint8))
        self.timeline.setEnabled(facts is not None)

    def show_frame(self, frame: int) -> None:
        """Move the line of the current frame."""
        self.timeline.set_frame(frame)
        self._show_approval()

    def show_object(self, object_id: int) -> None:
        """Make the current object's row prominent."""
        self.timeline.set_object(object_id)
        self._show_approval()

    def approve_or_take_back(self) -> None:
        """Approve the current object's frame, or take the approval back."""
        if self._approved():
            self._controller.unapprove()
        else:
            self._controller.approve()

    def _approved(self) -> bool:
        """Return whether the current object is approved on the current frame."""
        controller = self._controller
        marks = self.timeline.marks_at(controller.selected, controller.frame)
        return Mark.APPROVED in marks

    def _show_approval(self) -> None:
        """Say on the button what it will do; offer only what can be done."""
        controller = self._controller
        approved = self._approved()
        here = self.timeline.has_result(controller.selected, controller.frame)
        self.approve.setText("Tak&e back approval" if approved else "Approve fram&e")
        self.approve.setToolTip(
            self._take_back_help if approved else self._approve_help
        )
        self.approve_span.setText("Take back span" if approved else "Approve span")
        self.approve.setEnabled(approved or here)
        self.approve_span.setEnabled(here)
        self.doubtful.setEnabled(bool(self.timeline.has_results))
