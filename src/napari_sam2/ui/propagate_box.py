"""Propagation: where to, which objects, how far it has come."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_sam2.ui.fold import make_narrow
from napari_sam2.ui.prompt_box import make_big
from napari_sam2.ui.records import Activity

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam2.ui.connections import Connections
    from napari_sam2.ui.controller import Controller
    from napari_sam2.ui.records import Progress
    from napari_sam2.ui.shortcuts import KeyBindings

_LEFT, _RIGHT = "\N{BLACK LEFT-POINTING TRIANGLE}", "\N{BLACK RIGHT-POINTING TRIANGLE}"
_BUSY = (Activity.PROPAGATING, Activity.PAUSED)


class PropagateBox(QWidget):
    """Starts, shows, pauses and cancels propagation.

    Parameters
    ----------
    controller : Controller
        Of the viewer.
    selected_ids : callable
        Returns the ids of the rows selected in the table.
    """

    def __init__(
        self, controller: Controller, selected_ids: Callable[[], tuple[int, ...]]
    ) -> None:
        super().__init__()
        self._controller, self._selected_ids = controller, selected_ids
        self.backward = QPushButton(f"{_LEFT} Bac&kward")
        self.both = QPushButton(f"{_LEFT} Propa&gate {_RIGHT}")
        self.forward = QPushButton(f"Forward {_RIGHT}")
        self.start_buttons = QWidget()
        row = QHBoxLayout(self.start_buttons)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(3)
        for button, share in ((self.backward, 3), (self.both, 4), (self.forward, 3)):
            make_big(button)
            row.addWidget(button, share)
        self.running = self._make_running()
        self.pages = QStackedWidget()
        self.pages.addWidget(self.start_buttons)
        self.pages.addWidget(self.running)

        self.scope = QComboBox()
        self.scope.addItems(["All objects", "Selected objects"])
        self.scope.setToolTip("Locked objects are never changed.")
        self.ranged = QCheckBox("Frames")
        self.ranged.setToolTip(
            "Compute all frames of a range anew. Otherwise only what is missing or "
            "out of date is computed."
        )
        self.first, self.last = QSpinBox(), QSpinBox()
        for box, name in ((self.first, "First frame"), (self.last, "Last frame")):
            box.setAccessibleName(name)
            box.setToolTip(f"{name} of the range")
            box.setEnabled(False)
            make_narrow(box)
        self.follow = QCheckBox("Follow")
        self.follow.setToolTip("The viewer goes along with the frames as they come.")
        self.scope.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        limits = QHBoxLayout()
        limits.setSpacing(3)
        limits.addWidget(self.scope, 1)
        for widget in (self.ranged, self.first, self.last):
            limits.addWidget(widget)
        limits.addWidget(self.follow)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.pages)
        layout.addLayout(limits)

        self.backward.clicked.connect(lambda: self.start("backward"))
        self.both.clicked.connect(lambda: self.start("both"))
        self.forward.clicked.connect(lambda: self.start("forward"))
        self.pause.clicked.connect(self.pause_or_resume)
        self.cancel.clicked.connect(lambda: controller.cancel())
        self.follow.toggled.connect(controller.set_follow)
        for box in (self.first, self.last):
            self.ranged.toggled.connect(box.setEnabled)

    def _make_running(self) -> QWidget:
        """Make what is shown while it runs."""
        running = QWidget()
        self.bar, self.text = QProgressBar(), QLabel()
        self.bar.setTextVisible(False)
        self.pause, self.cancel = QPushButton("Pause"), QPushButton("Cancel")
        layout = QGridLayout(running)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.text, 0, 0)
        layout.addWidget(self.bar, 1, 0)
        layout.addWidget(self.pause, 0, 1, 2, 1)
        layout.addWidget(self.cancel, 0, 2, 2, 1)
        layout.setColumnStretch(0, 1)
        return running

    def connect_controller(self, connections: Connections) -> None:
        """Follow the controller until the connections are released."""
        controller = self._controller
        connections.connect(controller.activity_changed, self.show_activity)
        connections.connect(controller.progress_changed, self.show_progress)
        connections.connect(controller.image_changed, self.show_image)
        connections.connect(controller.objects_changed, self.show_possible)
        connections.connect(controller.model_changed, self.show_possible)
        with QSignalBlocker(self.follow):
            self.follow.setChecked(controller.follow)
        self.show_image()
        self.show_activity(controller.activity)
        self.show_progress(controller.progress)

    def show_keys(self, keys: KeyBindings) -> None:
        """Put keys into tooltips."""
        for button, text, name in (
            (
                self.backward,
                "Find the objects on the frames before their prompts",
                "propagate_backward",
            ),
            (self.both, "Find the objects on all frames", "propagate_both"),
            (
                self.forward,
                "Find the objects on the frames after their prompts",
                "propagate_forward",
            ),
            (self.pause, "Stand still after this frame, or go on", "pause_or_resume"),
            (self.cancel, "Stop; what is done is kept", "cancel"),
        ):
            button.setToolTip(keys.with_key(text, name))

    def start(self, direction: Literal["forward", "backward", "both"]) -> None:
        """Propagate as the box says."""
        if self._controller.activity in _BUSY:
            return
        frames = None
        if self.ranged.isChecked():
            ends = self.first.value(), self.last.value()
            frames = min(ends), max(ends)
        ids = self._selected_ids() if self.scope.currentIndex() == 1 else None
        self._controller.propagate(direction, frames, ids)

    def pause_or_resume(self) -> None:
        """Let it stand still, or go on."""
        if self._controller.activity == Activity.PAUSED:
            self._controller.resume()
        elif self._controller.activity == Activity.PROPAGATING:
            self._controller.pause()

    def show_image(self) -> None:
        """Offer the frames of the image."""
        facts = self._controller.facts
        last = max(0, facts.num_frames - 1) if facts is not None else 0
        whole = self.last.value() == self.last.maximum()
        self.first.setRange(0, last)
        self.last.setRange(0, last)
        if whole or not self.ranged.isChecked():
            self.last.setValue(last)
        self.setEnabled(facts is not None)
        self.show_possible()

    def show_possible(self, _: object = None) -> None:
        """Offer propagation if there is something to propagate."""
        prompted = any(row.prompts for row in self._controller.objects)
        self.start_buttons.setEnabled(prompted)

    def show_activity(self, activity: Activity) -> None:
        """Show the buttons that fit."""
        busy = activity in _BUSY
        self.pages.setCurrentWidget(self.running if busy else self.start_buttons)
        self.pause.setText("Go on" if activity == Activity.PAUSED else "Pause")

    def show_progress(self, progress: Progress | None) -> None:
        """Show how far it has come."""
        if progress is None:
            self.bar.setRange(0, 0)
            self.text.setText("Starting...")
            return
        self.bar.setRange(0, max(1, progress.total))
        self.bar.setValue(min(progress.done, progress.total))
        self.text.setText(progress_text(progress))


def progress_text(progress: Progress) -> str:
    """Return one line: frames done, speed, time left."""
    parts = [f"{progress.done} of {progress.total} frames"]
    if progress.paused:
        return f"{parts[0]}, paused"
    rate = progress.frames_per_second
    if rate >= 1:
        parts.append(f"{rate:.1f} a second")
    elif rate > 0:
        parts.append(f"{1 / rate:.1f} s each")
    if math.isfinite(progress.seconds_left):
        parts.append(f"{duration_text(progress.seconds_left)} left")
    return ", ".join(parts)


def duration_text(seconds: float) -> str:
    """Return a time as one would say it: "40 s", "12 min", "2 h 5 min"."""
    if seconds < 100:
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
