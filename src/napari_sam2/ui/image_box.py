"""Which image is worked on, how its axes are read, and what the network sees of it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSignalBlocker, Qt, QTimer
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QSpinBox,
    QWidget,
)

from napari_sam2.ui.fold import FoldButton, make_narrow

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_sam2.ui.connections import Connections
    from napari_sam2.ui.controller import Controller
    from napari_sam2.ui.records import AxesChoice

_FRAME_AXES = {"Z": "Z: slices of a stack", "T": "T: time points"}
_COLOURS = ("Red", "Green", "Blue")
_AUTOMATIC, _DISPLAYED, _FIXED = range(3)
_LARGEST = 1e12


class ImageBox(QWidget):
    """Chooses the image; folded below it, its axes, channels and contrast.

    Parameters
    ----------
    controller : Controller
        Of the viewer.
    rivals : list of FoldButton
        Of which one at most is open.
    selected_layer : callable, optional
        Returns the layer that is selected in the viewer.
    """

    def __init__(
        self,
        controller: Controller,
        rivals: list[FoldButton],
        selected_layer: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__()
        self._controller = controller
        self._selected_layer = selected_layer
        self.layer = QComboBox()
        self.layer.setToolTip("The image to segment, one of the viewer's layers.")
        self.layer.setAccessibleName("Image")
        self.layer.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.layer.setMinimumContentsLength(8)
        self.layer.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.facts = QLabel()
        self.facts.setTextFormat(Qt.TextFormat.PlainText)
        self.details = self._make_details()
        self.fold = FoldButton("&Image", self.details, rivals)
        self.fold.setToolTip("Axes, channels, contrast, and what the network sees.")

        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setVerticalSpacing(1)
        layout.setColumnStretch(1, 1)
        layout.addWidget(self.fold, 0, 0)
        layout.addWidget(self.layer, 0, 1)
        layout.addWidget(self.facts, 1, 1)
        layout.addWidget(self.details, 2, 0, 1, 2)

        self._preview_due = QTimer(self)
        self._preview_due.setSingleShot(True)
        self._preview_due.setInterval(150)  # ms; while one moves along frames
        self._preview_due.timeout.connect(controller.request_preview)
        self._choice_due = QTimer(self)
        self._choice_due.setSingleShot(True)
        self._choice_due.setInterval(0)
        self._choice_due.timeout.connect(self.choose_image)
        self.layer.activated.connect(self._choose_layer)
        self.fold.toggled.connect(self._ask_for_preview)

    def connect_controller(self, connections: Connections) -> None:
        """Follow the controller until the connections are released."""
        controller = self._controller
        connections.connect(controller.images_changed, self._follow_layers)
        connections.connect(controller.image_changed, self.show_image)
        connections.connect(controller.frame_changed, self._ask_for_preview)
        connections.connect(controller.preview_ready, self.show_preview)
        self.show_layers()

    def hideEvent(self, event: Any) -> None:
        """Ask for nothing while nobody sees it."""
        super().hideEvent(event)
        self._preview_due.stop()
        self._choice_due.stop()

    def _make_details(self) -> QWidget:
        """Make what is folded."""
        details = QWidget()
        line = details.fontMetrics().height()
        self.frame_axis = QComboBox()
        self.frame_axis.setToolTip(
            "Along which axis objects are followed: through the slices of a z-stack, "
            "or through time."
        )
        self.axes = QLineEdit()
        self.axes.setMaxLength(6)
        self.axes.setToolTip(
            "What each axis of the image is, in order: T time, Z depth, C channel, "
            "Y rows, X columns. Correct it here if it was recognised wrongly."
        )
        self.position = QSpinBox()
        self.position.setToolTip("The place on the axis that is not moved along.")
        self.position_title = QLabel()
        self.channels = tuple(QComboBox() for _ in _COLOURS)
        row = QWidget()
        channel_row = QHBoxLayout(row)
        channel_row.setContentsMargins(0, 0, 0, 0)
        for colour, box in zip(_COLOURS, self.channels, strict=True):
            box.setToolTip(
                f"The channel that the network sees in {colour.lower()}. "
                "A single channel is seen in grey."
            )
            box.setAccessibleName(f"Channel in {colour.lower()}")
            box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            channel_row.addWidget(box)
            box.activated.connect(self._choose_axes)
        self.channel_row = row
        self.contrast = QComboBox()
        self.contrast.addItems(["Automatic", "As displayed", "Fixed"])
        self.contrast.setToolTip(
            "Which values the network sees as black and white, the same on all "
            "frames. Automatic suits most images."
        )
        self.low, self.high = QDoubleSpinBox(), QDoubleSpinBox()
        self.limits = QWidget()
        limit_row = QHBoxLayout(self.limits)
        limit_row.setContentsMargins(0, 0, 0, 0)
        for box, title in ((self.low, "Black"), (self.high, "White")):
            box.setRange(-_LARGEST, _LARGEST)
            box.setAccessibleName(title)
            box.setToolTip(f"{title} is this value of the image, and what is beyond.")
            box.setKeyboardTracking(False)
            make_narrow(box)
            box.valueChanged.connect(self._choose_limits)
            limit_row.addWidget(box)
        self.preview = QLabel()
        self.preview.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.preview.setFixedSize(8 * line, 8 * line)
        self.preview.setToolTip(
            "What the network sees of this frame: channels as colours, with its "
            "contrast. Objects that you cannot see here it cannot find."
        )
        self.preview.setAccessibleName("What the network sees")

        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(2)
        form.addRow("Move along", self.frame_axis)
        form.addRow("Axes", self.axes)
        form.addRow(self.position_title, self.position)
        form.addRow("Channels", self.channel_row)
        form.addRow("Contrast", self.contrast)
        form.addRow("", self.limits)
        self._form = form
        columns = QHBoxLayout(details)
        columns.setContentsMargins(line, 0, 0, 0)
        columns.addLayout(form, 1)
        columns.addWidget(self.preview, 0, Qt.AlignmentFlag.AlignTop)
        self.frame_axis.activated.connect(self._choose_axes)
        self.axes.editingFinished.connect(self._choose_axes)
        self.position.setKeyboardTracking(False)
        self.position.valueChanged.connect(self._choose_axes)
        self.contrast.activated.connect(self._choose_contrast)
        return details

    def choose_image(self) -> None:
        """Work on an image, the selected or the last, unless one is in work."""
        images = self._controller.images()
        if images and self._controller.image is None:
            selected = [layer for layer in images if layer is self._selected_layer()]
            self._work_on((selected or images)[-1])

    def _follow_layers(self) -> None:
        """Show what came or went; begin with the first image that comes."""
        before = self.layer.count()
        self.show_layers()
        if self.layer.count() > before:
            # Layers must not be added while the viewer is adding one.
            self._choice_due.start()

    def show_layers(self) -> None:
        """List the images of the viewer."""
        with QSignalBlocker(self.layer):
            self.layer.clear()
            for layer in self._controller.images():
                self.layer.addItem(layer.name, layer)
            self.layer.setCurrentIndex(-1)
        some = self.layer.count() > 0
        self.layer.setPlaceholderText("Choose an image" if some else "No image yet")
        self.layer.setEnabled(some)
        self.show_image()

    def show_image(self) -> None:
        """Show the image in work and how its axes are read."""
        controller = self._controller
        image, axes, facts = controller.image, controller.axes, controller.facts
        with QSignalBlocker(self.layer):
            shown = [self.layer.itemData(i) is image for i in range(self.layer.count())]
            chosen = shown.index(True) if image is not None and any(shown) else -1
            self.layer.setCurrentIndex(chosen)
        known = image is not None and axes is not None and facts is not None
        self.facts.setVisible(known)
        self.details.setEnabled(known)
        if axes is None or facts is None:
            return
        self.facts.setText(facts.text)
        self._show_axes(axes, dict(facts.lengths))
        self._ask_for_preview()

    def _show_axes(self, axes: AxesChoice, lengths: dict[str, int]) -> None:
        """Fill the folded form."""
        form, blocked = self._form, [self.frame_axis, self.axes, self.position]
        blockers = [
            QSignalBlocker(box)
            for box in (*blocked, *self.channels, self.contrast, self.low, self.high)
        ]
        walks = [letter for letter in "ZT" if letter in axes.axes] or ["Z"]
        self.frame_axis.clear()
        for letter in walks:
            self.frame_axis.addItem(_FRAME_AXES[letter], letter)
        self.frame_axis.setCurrentIndex(
            max(0, self.frame_axis.findData(axes.frame_axis))
        )
        self.frame_axis.setEnabled(len(walks) > 1)
        self.axes.setText(axes.axes)
        form.setRowVisible(self.position, bool(axes.position))
        for letter, index in axes.position:
            length = lengths.get(letter, 1)
            self.position_title.setText(f"{letter} stays at")
            self.position.setRange(0, max(0, length - 1))
            self.position.setValue(index)
            self.position.setProperty("letter", letter)
        form.setRowVisible(self.channel_row, "C" in axes.axes)
        for number, box in enumerate(self.channels):
            box.clear()
            box.addItem("-", None)
            for channel in range(lengths.get("C", 0)):
                box.addItem(str(channel), channel)
            chosen = axes.channels[number] if number < len(axes.channels) else None
            box.setCurrentIndex(0 if chosen is None else box.findData(chosen))
        form.setRowVisible(self.limits, axes.contrast is not None)
        if axes.contrast is None:
            self.contrast.setCurrentIndex(_AUTOMATIC)
        else:
            if self.contrast.currentIndex() == _AUTOMATIC:
                self.contrast.setCurrentIndex(_FIXED)
            self._show_limits(*axes.contrast[0])
        del blockers

    def _show_limits(self, low: float, high: float) -> None:
        """Show limits with as many digits as their distance asks for."""
        span = high - low
        decimals = 0 if span >= 100 else 4
        if 0 < span < 1:  # lifetimes in seconds, say
            decimals = 3 - math.floor(math.log10(span))
        for box, value in ((self.low, low), (self.high, high)):
            box.setDecimals(decimals)
            box.setSingleStep((high - low) / 50 or 1.0)
            box.setValue(value)

    def _choose_layer(self, index: int) -> None:
        """Work on the image that the user chose."""
        layer = self.layer.itemData(index)
        if layer is not None and layer is not self._controller.image:
            self._work_on(layer)

    def _work_on(self, layer: Layer) -> None:
        """Work on an image, ready for the first click."""
        controller = self._controller
        controller.set_image(layer)
        if controller.image is layer:
            controller.set_tool(controller.tool)

    def _choose_axes(self, *_: Any) -> None:
        """See the image as the form says."""
        controller = self._controller
        before, image, facts = controller.axes, controller.image, controller.facts
        if before is None or image is None or facts is None:
            return
        after = replace(
            before,
            axes=self.axes.text().strip().upper(),
            frame_axis=self.frame_axis.currentData(),
            contrast=self._contrast(),
        )
        if after.axes != before.axes:
            walks = [letter for letter in "ZT" if letter in after.axes] or ["Z"]
            kept = before.frame_axis in walks
            after = replace(
                after,
                frame_axis=before.frame_axis if kept else walks[0],
                position=(),
                channels=(),
            )
        elif after.frame_axis != before.frame_axis:
            other = {"Z": "T", "T": "Z"}[after.frame_axis]
            at = ((other, 0),) if other in after.axes else ()
            after = controller.at_screen(replace(after, position=at))
        else:
            letter = self.position.property("letter")
            placed: tuple[tuple[str, int], ...] = tuple(
                (axis, self.position.value() if axis == letter else index)
                for axis, index in before.position
            )
            after = replace(after, position=placed, channels=self._channels())
        if after != before:
            controller.set_image(image, after)
            if controller.axes is before:
                self.show_image()  # what was refused is as it was
            else:
                controller.set_tool(controller.tool)

    def _channels(self) -> tuple[int, ...]:
        """Return the channels in order, without those that show none."""
        chosen = (box.currentData() for box in self.channels)
        return tuple(channel for channel in chosen if channel is not None)

    def _choose_contrast(self, *_: Any) -> None:
        """Start from what is displayed, or leave the contrast to the stack."""
        image = self._controller.image
        if image is not None and self.contrast.currentIndex() != _AUTOMATIC:
            low, high = getattr(image, "contrast_limits", (0, 255))
            blockers = [QSignalBlocker(self.low), QSignalBlocker(self.high)]
            self._show_limits(float(low), float(high))
            del blockers
        self._choose_axes()

    def _choose_limits(self, *_: Any) -> None:
        """Take the limits that were typed."""
        self.contrast.setCurrentIndex(_FIXED)
        self._choose_axes()

    def _contrast(self) -> tuple[tuple[float, float], ...] | None:
        """Return the limits that the form asks for."""
        if self.contrast.currentIndex() == _AUTOMATIC:
            return None
        return ((self.low.value(), self.high.value()),)

    def _ask_for_preview(self, *_: Any) -> None:
        """Ask what the network sees, if it is shown."""
        if self.fold.isChecked() and self._controller.image is not None:
            self._preview_due.start()

    def show_preview(self, picture: NDArray[np.uint8]) -> None:
        """Show what the network sees: ``(H, W, 3)``."""
        pixels = np.ascontiguousarray(picture)
        height, width = pixels.shape[:2]
        image = QImage(
            pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888
        ).copy()  # the bytes are gone when this returns
        ratio = self.devicePixelRatioF()
        pixmap = QPixmap.fromImage(image).scaled(
            self.preview.size() * ratio,
            Qt.AspectRatioMode.KeepAspectRatio,
            Qt.TransformationMode.SmoothTransformation,
        )
        pixmap.setDevicePixelRatio(ratio)
        self.preview.setPixmap(pixmap)
