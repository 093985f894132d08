"""Paints the timeline: its cells as one image, then names and the current frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qtpy.QtCore import QRect, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPen

from napari_sam2.ui.timeline_cells import CellGrid, paint_cells, ruler_step

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_sam2.ui.theme import Rgb, ThemeColours

_FAINT = 160  # of 255
_CENTRE = int(Qt.AlignmentFlag.AlignCenter)
_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """All that the picture of a timeline depends on.

    Attributes
    ----------
    object_ids : tuple of int
        ``N`` objects, one in each row.
    row_colours : ndarray
        ``(N, 3)`` uint8, theirs in the Labels layer.
    codes, marks : ndarray
        ``(N, T)`` as `paint_cells` takes them.
    object_id : int, optional
        The current object.
    frame : int
        The current frame.
    grid : CellGrid
        In logical pixels.
    area : QRect
        Where the cells are, below the ruler and right of the names.
    scroll : tuple of int
        Logical pixels of cells that are out of sight, on the left and above.
    colours : ThemeColours
        Of the theme.
    """

    object_ids: tuple[int, ...]
    row_colours: NDArray[np.uint8]
    codes: NDArray[np.uint16]
    marks: NDArray[np.uint8]
    object_id: int | None
    frame: int
    grid: CellGrid
    area: QRect
    scroll: tuple[int, int]
    colours: ThemeColours


def paint_timeline(painter: QPainter, seen: Seen, rect: QRect) -> None:
    """Paint a timeline into a rectangle."""
    painter.fillRect(rect, _colour(seen.colours.background))
    if not seen.grid.rows or not seen.grid.columns:
        painter.setPen(_colour(seen.colours.text, _FAINT))
        painter.drawText(
            rect,
            _CENTRE | int(Qt.TextFlag.TextWordWrap),
            "Each object gets a row here, coloured by how sure the network is.",
        )
        return
    ratio = painter.device().devicePixelRatioF()
    painter.drawImage(seen.area, _cells(seen, ratio))
    _paint_names(painter, seen)
    _paint_ruler(painter, seen)


def _cells(seen: Seen, ratio: float) -> QImage:
    """Return the visible cells at the screen's own resolution."""
    grid, area = seen.grid, seen.area
    pixels = replace(
        grid,
        row_height=grid.row_height * ratio,
        column_width=grid.column_width * ratio,
    )
    window = (
        round(seen.scroll[0] * ratio),
        round(seen.scroll[1] * ratio),
        max(1, round(area.width() * ratio)),
        max(1, round(area.height() * ratio)),
    )
    painted = paint_cells(
        seen.codes, seen.marks, pixels, window=window, colours=seen.colours
    )
    height, width = painted.shape[:2]
    image = QImage(
        painted.tobytes(), width, height, 4 * width, QImage.Format.Format_RGB32
    )
    return image.copy()  # the bytes are gone when this returns


def _paint_names(painter: QPainter, seen: Seen) -> None:
    """Paint the colour and number of each object; the current one's stand out."""
    grid, area, scroll = seen.grid, seen.area, seen.scroll[1]
    line = painter.fontMetrics().height()
    painter.save()
    painter.setClipRect(0, area.top(), area.left(), area.height())
    if grid.row_height < line:
        font = painter.font()
        font.setPixelSize(max(6, math.floor(0.72 * grid.row_height)))
        painter.setFont(font)
    first = math.floor(scroll / grid.row_height)
    last = math.ceil((scroll + area.height()) / grid.row_height)
    for row in range(max(0, first), min(last, grid.rows)):
        begin, high = grid.row_span(row)
        y = area.top() + begin - scroll
        current = seen.object_ids[row] == seen.object_id
        if current:
            accent = _colour(seen.colours.accent)
            painter.fillRect(0, y, area.left() - 2, high, accent)
        size = min(high, line) - 4
        red, green, blue = seen.row_colours[row].tolist()
        painter.fillRect(
            2, y + (high - size) // 2, size, size, QColor(red, green, blue)
        )
        painter.setPen(_colour(seen.colours.text, 255 if current else _FAINT))
        name = QRect(line, y, area.left() - line - 5, high)
        painter.drawText(name, _RIGHT, str(seen.object_ids[row]))
    painter.restore()


def _paint_ruler(painter: QPainter, seen: Seen) -> None:
    """Paint frame numbers, and a frame around the current column."""
    grid, area, scroll = seen.grid, seen.area, seen.scroll[0]
    metrics = painter.fontMetrics()
    painter.save()
    painter.setClipRect(area.left(), 0, area.width(), area.bottom() + 1)
    begin, width = grid.column_span(seen.frame)
    x = area.left() + begin - scroll
    own = metrics.horizontalAdvance(f" {seen.frame} ")
    label = QRect(max(area.left(), x + (width - own) // 2), 0, own, area.top())
    label.moveRight(min(label.right(), area.right()))
    painter.setPen(_colour(seen.colours.text, _FAINT))
    room = metrics.horizontalAdvance(f" {grid.columns - 1} ")
    step = ruler_step(grid.columns, grid.column_width, room)
    first = math.floor(scroll / grid.column_width / step) * step
    for frame in range(first, grid.columns, step):
        at = area.left() + round((frame + 0.5) * grid.column_width) - scroll
        half = metrics.horizontalAdvance(str(frame)) // 2 + 2
        if at + half < label.left() or at - half > label.right():
            number = QRect(at - room, 0, 2 * room, area.top())
            painter.drawText(number, _CENTRE, str(frame))
        if at > area.right():
            break
    text = _colour(seen.colours.text)
    painter.setPen(QPen(text, 1))
    painter.drawText(label, _CENTRE, str(seen.frame))
    painter.fillRect(x, area.top() - 2, width, 2, text)
    height = min(area.height(), grid.size[1] - seen.scroll[1])
    painter.drawRect(x - 1, area.top() - 1, width, height)
    painter.restore()


def _colour(rgb: Rgb, opacity: int = 255) -> QColor:
    """Return a colour as Qt wants it."""
    return QColor(*rgb, opacity)
