"""Real clicks and drags on napari's canvas."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

if TYPE_CHECKING:
    from typing import Any

_LEFT = Qt.MouseButton.LeftButton
_NONE = Qt.KeyboardModifier.NoModifier


def native(viewer: Any) -> Any:
    """The canvas as a Qt widget."""
    return viewer.window._qt_viewer.canvas.native


def place(viewer: Any, yx: tuple[float, float]) -> QPoint:
    """Where a point of the world is on the canvas, in 2D."""
    height, width = viewer.canvas.size
    centre = np.asarray(viewer.scene.camera.center[-2:])
    y, x = (np.asarray(yx) - centre) * viewer.scene.camera.zoom
    return QPoint(round(width / 2 + x), round(height / 2 + y))


def click(viewer: Any, yx: tuple[float, float], modifier: Any = _NONE) -> None:
    """Press and release the left button."""
    canvas, at = native(viewer), place(viewer, yx)
    QTest.mouseMove(canvas, at)
    QApplication.processEvents()
    QTest.mousePress(canvas, _LEFT, modifier, at)
    QTest.mouseRelease(canvas, _LEFT, modifier, at)
    QApplication.processEvents()


def drag(viewer: Any, *corners: tuple[float, float], steps: int = 8) -> None:
    """Hold the left button from corner to corner."""
    canvas = native(viewer)
    QTest.mouseMove(canvas, place(viewer, corners[0]))
    QTest.mousePress(canvas, _LEFT, _NONE, place(viewer, corners[0]))
    QTest.qWait(15)
    for begin, end in itertools.pairwise(corners):
        for step in range(1, steps + 1):
            between = np.asarray(begin) + (np.subtract(end, begin)) * step / steps
            at = QPointF(place(viewer, tuple(between)))
            event = QMouseEvent(
                QEvent.Type.MouseMove,
                at,
                QPointF(canvas.mapToGlobal(at.toPoint())),
                Qt.MouseButton.NoButton,
                _LEFT,
                _NONE,
            )
            QApplication.sendEvent(canvas, event)
            QTest.qWait(15)  # vispy drops moves that follow within 10 ms
    QTest.mouseRelease(canvas, _LEFT, _NONE, place(viewer, corners[-1]))
    QApplication.processEvents()


def press(viewer: Any, key: Any, modifier: Any = _NONE) -> None:
    """Press a key on the canvas."""
    QTest.keyClick(native(viewer), key, modifier)
    QApplication.processEvents()
