"""Real mouse events on the canvas of a viewer, at data coordinates of a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari import Viewer
    from napari.layers import Layer

LEFT = Qt.MouseButton.LeftButton
PLAIN = Qt.KeyboardModifier.NoModifier
CONTROL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
_MOVE_MS = 15  # vispy drops moves that follow each other faster


class Mouse:
    """Clicks and drags on a viewer's canvas, in the 2D view."""

    def __init__(self, viewer: Viewer, layer: Layer) -> None:
        self._viewer = viewer
        self._layer = layer
        self._canvas = viewer.window._qt_viewer.canvas.native

    def click(self, position: Sequence[float], modifier: Any = PLAIN) -> None:
        at = self._at(position)
        QTest.mouseMove(self._canvas, at)
        QApplication.processEvents()
        QTest.mousePress(self._canvas, LEFT, modifier, at)
        QTest.mouseRelease(self._canvas, LEFT, modifier, at)
        QApplication.processEvents()

    def drag(self, *positions: Sequence[float], release: bool = True) -> None:
        first, *others = (self._at(position) for position in positions)
        QTest.mouseMove(self._canvas, first)
        QTest.mousePress(self._canvas, LEFT, PLAIN, first)
        QTest.qWait(_MOVE_MS)
        for at in others:
            there = QPointF(self._canvas.mapToGlobal(at))
            none = Qt.MouseButton.NoButton
            move = QMouseEvent(
                QEvent.Type.MouseMove, QPointF(at), there, none, LEFT, PLAIN
            )
            QApplication.sendEvent(self._canvas, move)
            QTest.qWait(_MOVE_MS)
        if release:
            self.release(positions[-1])

    def release(self, position: Sequence[float]) -> None:
        QTest.mouseRelease(self._canvas, LEFT, PLAIN, self._at(position))
        QApplication.processEvents()

    def key(self, key: Any, modifier: Any = PLAIN) -> None:
        QTest.keyClick(self._canvas, key, modifier)
        QApplication.processEvents()

    def _at(self, position: Sequence[float]) -> QPoint:
        """Canvas pixel of data coordinates."""
        height, width = self._viewer.canvas.size
        camera = self._viewer.scene.camera
        world = np.asarray(self._layer.data_to_world(position))
        y, x = world[list(self._viewer.dims.displayed)[-2:]]
        centre_y, centre_x = camera.center[-2:]
        return QPoint(
            round(width / 2 + (x - centre_x) * camera.zoom),
            round(height / 2 + (y - centre_y) * camera.zoom),
        )
