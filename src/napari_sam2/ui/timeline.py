"""The timeline: how sure the network is of each object on each frame.

Shapes: ``N`` objects (rows), ``T`` frames (columns).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent, QPointF, QRect, QSize, Qt, Signal
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QAbstractScrollArea, QFrame, QSizePolicy, QToolTip, QWidget

from napari_sam2.ui.records import Mark
from napari_sam2.ui.timeline_cells import (
    CellGrid,
    confidence_codes,
)
from napari_sam2.ui.timeline_painting import Seen, paint_timeline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam2.ui.records import Timeline, TimelineColumn
    from napari_sam2.ui.theme import ThemeColours

_HELP = (
    "One row for each object, one column for each frame. Blue: the network is sure "
    "of the mask. Amber and red: look at this frame. Diamond: your prompt. Bar: "
    "approved. Stripes: to be computed again. Click to go there."
)
_STEPS = {
    Qt.Key.Key_Left: (0, -1),
    Qt.Key.Key_Right: (0, 1),
    Qt.Key.Key_Up: (-1, 0),
    Qt.Key.Key_Down: (1, 0),
    Qt.Key.Key_PageUp: (-10, 0),
    Qt.Key.Key_PageDown: (10, 0),
}


class TimelineView(QAbstractScrollArea):
    """Shows how sure each mask is, and goes to the cell that is chosen.

    Frames share the width if each can have a few pixels, else one scrolls; Ctrl and
    the wheel widen them. With the focus on it, the arrow keys walk along cells.

    Parameters
    ----------
    colours : ThemeColours
        Of the viewer's theme.
    parent : QWidget, optional
        Owner.
    """

    cell_chosen = Signal(object, int)
    """Object id and frame that was clicked or walked to."""
    frame_chosen = Signal(int)
    """Frame that was clicked on the ruler."""

    def __init__(self, colours: ThemeColours, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._colours = colours
        self._object_ids: tuple[int, ...] = ()
        self._row_colours = np.zeros((0, 3), np.uint8)
        self._confidence = np.zeros((0, 0), np.float32)
        self._codes = np.zeros((0, 0), np.uint16)
        self._marks = np.zeros((0, 0), np.uint8)
        self._frame = 0
        self._object_id: int | None = None
        self._zoom = 1.0
        self._frame_name = "frame"
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.setAccessibleName("Timeline of confidence")
        self.setAccessibleDescription(_HELP)
        self.viewport().setMouseTracking(True)

    def set_timeline(self, timeline: Timeline, colours: NDArray[np.uint8]) -> None:
        """Show other objects or frames.

        Parameters
        ----------
        timeline : Timeline
            Objects from the first row to the last.
        colours : ndarray
            ``(N, 3)`` red, green and blue of each object.
        """
        self._object_ids = timeline.object_ids
        self._row_colours = np.asarray(colours, np.uint8)
        self._confidence = np.array(timeline.confidence, np.float32)
        self._codes = confidence_codes(self._confidence)
        self._marks = np.array(timeline.marks, np.uint8)
        self._lay_out()

    def set_column(self, column: TimelineColumn) -> None:
        """Show what is new on one frame."""
        frame = column.frame
        self._confidence[:, frame] = column.confidence
        self._codes[:, frame] = confidence_codes(column.confidence)
        self._marks[:, frame] = column.marks
        self.viewport().update()

    def set_frame(self, frame: int) -> None:
        """Move the line to the frame that the viewer shows."""
        if frame != self._frame:
            self._frame = frame
            self._reveal_frame()
            self.viewport().update()

    def set_object(self, object_id: int | None) -> None:
        """Make an object's row prominent."""
        if object_id != self._object_id:
            self._object_id = object_id
            self._reveal_object()
            self.viewport().update()

    def set_frame_name(self, name: str) -> None:
        """Say what a frame is called here: "slice" or "time point"."""
        self._frame_name = name

    def set_colours(self, colours: ThemeColours) -> None:
        """Paint in the colours of another theme."""
        self._colours = colours
        self.viewport().update()

    def fits(self, column: TimelineColumn) -> bool:
        """Return whether a column belongs to what is shown."""
        objects = len(column.confidence) == len(self._object_ids)
        return objects and 0 <= column.frame < self.num_frames

    def marks_at(self, object_id: int, frame: int) -> Mark:
        """Return the marks of a cell, none if there is no such cell."""
        if object_id in self._object_ids and 0 <= frame < self.num_frames:
            return Mark(int(self._marks[self._object_ids.index(object_id), frame]))
        return Mark(0)

    def has_result(self, object_id: int, frame: int) -> bool:
        """Return whether an object has a result on a frame."""
        if object_id in self._object_ids and 0 <= frame < self.num_frames:
            row = self._object_ids.index(object_id)
            return bool(np.isfinite(self._confidence[row, frame]))
        return False

    @property
    def has_results(self) -> bool:
        """Whether any object has a result."""
        return bool(np.isfinite(self._confidence).any())

    @property
    def num_frames(self) -> int:
        """Columns that are shown."""
        return int(self._codes.shape[1])

    def cell_centre(self, object_id: int, frame: int) -> QPointF:
        """Return where a cell is, in pixels of the viewport."""
        grid, area = self._grid(), self._cells_area()
        row = self._object_ids.index(object_id)
        x = (frame + 0.5) * grid.column_width - self.horizontalScrollBar().value()
        y = (row + 0.5) * grid.row_height - self.verticalScrollBar().value()
        return QPointF(area.x() + x, area.y() + y)

    def sizeHint(self) -> QSize:
        """Room for three rows; it takes all that is left over."""
        return self.minimumSizeHint()

    def minimumSizeHint(self) -> QSize:
        """Room for the ruler and three rows."""
        line = self.fontMetrics().height()
        return QSize(12 * line, 4 * line)

    def _cells_area(self) -> QRect:
        """Return where cells are painted, in the viewport."""
        metrics = self.fontMetrics()
        largest = max(self._object_ids, default=1)
        gutter = metrics.horizontalAdvance(f"{largest}") + metrics.height() + 6
        viewport = self.viewport().rect()
        return viewport.adjusted(gutter, metrics.height(), 0, 0)

    def _grid(self) -> CellGrid:
        """Return the size of cells, in logical pixels."""
        area, line = self._cells_area(), self.fontMetrics().height()
        rows, columns = max(1, len(self._object_ids)), max(1, self.num_frames)
        fair = area.height() / rows
        least = max(3.0, line / 5)
        width = min(max(area.width() / columns, least) * self._zoom, 4.0 * line)
        return CellGrid(
            rows=len(self._object_ids),
            columns=self.num_frames,
            row_height=min(max(fair, 0.8 * line), 1.15 * line),
            column_width=width,
        )

    def _lay_out(self) -> None:
        """Fit the scroll bars to contents and size."""
        grid, area = self._grid(), self._cells_area()
        width, height = grid.size
        for bar, size, room in (
            (self.horizontalScrollBar(), width, area.width()),
            (self.verticalScrollBar(), height, area.height()),
        ):
            bar.setRange(0, max(0, size - room))
            bar.setPageStep(max(1, room))
        self.horizontalScrollBar().setSingleStep(math.ceil(grid.column_width))
        self.verticalScrollBar().setSingleStep(math.ceil(grid.row_height))
        self.viewport().update()

    def _reveal_frame(self) -> None:
        """Scroll so that the current frame is seen."""
        first, width = self._grid().column_span(self._frame)
        _reveal(self.horizontalScrollBar(), first, width, self._cells_area().width())

    def _reveal_object(self) -> None:
        """Scroll so that the current object is seen."""
        if self._object_id in self._object_ids:
            row = self._object_ids.index(self._object_id)
            first, height = self._grid().row_span(row)
            _reveal(
                self.verticalScrollBar(), first, height, self._cells_area().height()
            )

    def paintEvent(self, event: Any) -> None:
        """Paint what is seen of objects and frames."""
        horizontal, vertical = self.horizontalScrollBar(), self.verticalScrollBar()
        seen = Seen(
            object_ids=self._object_ids,
            row_colours=self._row_colours,
            codes=self._codes,
            marks=self._marks,
            object_id=self._object_id,
            frame=self._frame,
            grid=self._grid(),
            area=self._cells_area(),
            scroll=(horizontal.value(), vertical.value()),
            colours=self._colours,
        )
        painter = QPainter(self.viewport())
        paint_timeline(painter, seen, self.viewport().rect())
        if self.hasFocus():
            painter.setPen(QColor(*self._colours.text))
            painter.drawRect(self.viewport().rect().adjusted(0, 0, -1, -1))
        painter.end()

    def mousePressEvent(self, event: Any) -> None:
        """Go to the cell, or to the frame on the ruler."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._choose_at(event.position())

    def mouseMoveEvent(self, event: Any) -> None:
        """Go along while the button is held."""
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._choose_at(event.position())

    def focusInEvent(self, event: Any) -> None:
        """Show that keys come here."""
        super().focusInEvent(event)
        self.viewport().update()

    def focusOutEvent(self, event: Any) -> None:
        """Show that keys no longer come here."""
        super().focusOutEvent(event)
        self.viewport().update()

    def keyPressEvent(self, event: Any) -> None:
        """Walk along cells; other keys are the viewer's."""
        plain = event.modifiers() in (
            Qt.KeyboardModifier.NoModifier,
            Qt.KeyboardModifier.KeypadModifier,
        )
        last = self.num_frames - 1
        if not plain or last < 0:
            event.ignore()
        elif event.key() in _STEPS:
            down, along = _STEPS[event.key()]
            self._walk(down, min(max(self._frame + along, 0), last))
        elif event.key() == Qt.Key.Key_Home:
            self._walk(0, 0)
        elif event.key() == Qt.Key.Key_End:
            self._walk(0, last)
        else:
            event.ignore()

    def wheelEvent(self, event: Any) -> None:
        """Scroll rows; with Shift frames; with Ctrl widen them."""
        notches = (event.angleDelta().y() or event.angleDelta().x()) / 120
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self._widen(1.25**notches, event.position().x())
        else:
            along = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
            sideways = along or not event.angleDelta().y()
            bar = self.horizontalScrollBar() if sideways else self.verticalScrollBar()
            bar.setValue(bar.value() - round(3 * notches * bar.singleStep()))
        event.accept()

    def viewportEvent(self, event: Any) -> bool:
        """Tell about the cell below the pointer."""
        if event.type() == QEvent.Type.ToolTip:
            QToolTip.showText(event.globalPos(), self.text_at(QPointF(event.pos())))
            return True
        return bool(super().viewportEvent(event))

    def resizeEvent(self, event: Any) -> None:
        """Share the new room."""
        super().resizeEvent(event)
        self._lay_out()

    def text_at(self, position: QPointF) -> str:
        """Return what there is to say about a place of the viewport."""
        cell = self._cell_at(position)
        if cell is None:
            return _HELP
        row, frame = cell
        if row is None:
            return f"{self._frame_name} {frame}"
        marks = Mark(int(self._marks[row, frame]))
        confidence = float(self._confidence[row, frame])
        parts = [f"Object {self._object_ids[row]}, {self._frame_name} {frame}"]
        if math.isfinite(confidence):
            parts.append(f"confidence {confidence:.2f}")
        else:
            parts.append("not computed yet")
        if Mark.PROMPTED in marks:
            parts.append("you prompted it")
        if Mark.APPROVED in marks:
            parts.append("approved")
        if Mark.STALE in marks:
            parts.append("to be computed again")
        return ": ".join((parts[0], ", ".join(parts[1:])))

    def _cell_at(self, position: QPointF) -> tuple[int | None, int] | None:
        """Return row (None on the ruler) and frame at a place, None elsewhere."""
        area, grid = self._cells_area(), self._grid()
        x = position.x() - area.left() + self.horizontalScrollBar().value()
        y = position.y() - area.top() + self.verticalScrollBar().value()
        row, frame = grid.cell_at(x, y)
        if not (0 <= frame < grid.columns) or position.x() < area.left():
            return None
        if position.y() < area.top():
            return None, frame
        return (row, frame) if row < grid.rows else None

    def _choose_at(self, position: QPointF) -> None:
        """Announce what is at a place."""
        cell = self._cell_at(position)
        if cell is None:
            return
        row, frame = cell
        if row is None:
            self.frame_chosen.emit(frame)
        else:
            self.cell_chosen.emit(self._object_ids[row], frame)

    def _walk(self, down: int, frame: int) -> None:
        """Announce a cell near the current one."""
        if self._object_id not in self._object_ids:
            self.frame_chosen.emit(frame)
            return
        row = self._object_ids.index(self._object_id) + down
        row = min(max(row, 0), len(self._object_ids) - 1)
        self.cell_chosen.emit(self._object_ids[row], frame)

    def _widen(self, factor: float, x: float) -> None:
        """Widen frames, keeping the one below the pointer where it is."""
        bar, left = self.horizontalScrollBar(), self._cells_area().left()
        before = self._grid().column_width
        frame = (x - left + bar.value()) / before
        self._zoom = min(max(self._zoom * factor, 1.0), 64.0)
        self._lay_out()
        bar.setValue(round(frame * self._grid().column_width - (x - left)))
        self.viewport().update()


def _reveal(bar: Any, first: int, length: int, room: int) -> None:
    """Scroll a bar so that a span is within its room."""
    if first < bar.value():
        bar.setValue(first)
    elif first + length > bar.value() + room:
        bar.setValue(first + length - room)
