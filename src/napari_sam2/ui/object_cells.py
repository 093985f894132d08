"""What the cells of the table of objects say."""

from __future__ import annotations

import math
from enum import IntEnum
from functools import lru_cache
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QBrush, QColor, QIcon, QPainter, QPixmap

from napari_sam2.ui.records import ObjectRow, ObjectStatus
from napari_sam2.ui.theme import confidence_colours

COLUMNS = ("ID", "Name", "Class", "Prompts", "Done", "Lowest", "Status")
_LIGHT = 140  # mean of red, green and blue above which black text is legible


class Column(IntEnum):
    """Columns by number."""

    ID = 0
    NAME = 1
    CLASS = 2
    PROMPTS = 3
    DONE = 4
    LOWEST = 5
    STATUS = 6


_HELP = {
    Column.ID: "Number and colour, as in the Labels layer. Untick to hide the object.",
    Column.NAME: "Double-click to rename.",
    Column.CLASS: "Double-click to give it a class, such as 'nucleus'.",
    Column.PROMPTS: "Frames on which you prompted it.",
    Column.DONE: "Frames with a mask, of all frames.",
    Column.LOWEST: "Lowest confidence of all its frames, from 0 to 1.",
    Column.STATUS: "How far it has come.",
}
_STATUS_HELP = {
    ObjectStatus.NEW: "Without a prompt yet: click on it in the image.",
    ObjectStatus.PROMPTED: "Prompted: propagate to find it on the other frames.",
    ObjectStatus.PARTIAL: "Some frames have no mask yet: propagate to go on.",
    ObjectStatus.STALE: "A prompt changed: propagate to compute the striped frames.",
    ObjectStatus.DONE: "Every frame has a mask.",
}


def column_help(column: Column) -> str:
    """Return what a column is about."""
    return _HELP[column]


def cell_help(row: ObjectRow, column: Column, num_frames: int) -> str:
    """Return the tooltip of a cell."""
    if column == Column.STATUS:
        locked = "Locked: nothing changes it. " if row.locked else ""
        return locked + _STATUS_HELP[row.status]
    if column == Column.DONE:
        return (
            f"{row.frames_done} of {num_frames} frames have a mask, {row.approved} "
            "are approved."
        )
    return _HELP[column]


def cell_text(row: ObjectRow, column: Column, num_frames: int) -> str:
    """Return the text of a cell."""
    if column == Column.DONE:
        return f"{row.frames_done}/{num_frames}"
    if column == Column.LOWEST:
        return f"{row.lowest_score:.2f}" if math.isfinite(row.lowest_score) else ""
    if column == Column.STATUS:
        return "locked" if row.locked else str(row.status)
    texts = {
        Column.ID: str(row.object_id),
        Column.NAME: row.name,
        Column.CLASS: row.category,
        Column.PROMPTS: str(row.prompts),
    }
    return texts[column]


def sort_key(row: ObjectRow, column: Column) -> Any:
    """Return what a column is sorted by."""
    if column == Column.NAME:
        return row.name.casefold()
    if column == Column.CLASS:
        return row.category.casefold()
    keys = {
        Column.ID: row.object_id,
        Column.PROMPTS: row.prompts,
        Column.DONE: row.frames_done,
        # Objects without a score come after all others.
        Column.LOWEST: row.lowest_score if math.isfinite(row.lowest_score) else 2.0,
        Column.STATUS: list(ObjectStatus).index(row.status),
    }
    return keys[column]


def score_colour(score: float, *, text: bool = False) -> QBrush:
    """Return the colour of a confidence 0 to 1, or of text that is legible on it."""
    code = round(255 * min(max(score, 0.0), 1.0))
    rgb = confidence_colours()[code].tolist()
    if text:
        return QBrush(QColor("black" if sum(rgb) > 3 * _LIGHT else "white"))
    return QBrush(QColor(*rgb))


@lru_cache(maxsize=1024)
def swatch(color: tuple[float, float, float, float]) -> QIcon:
    """Return an icon in an object's colour (RGBA 0..1)."""
    pixmap = QPixmap(24, 24)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(QColor.fromRgbF(*color))
    painter.setPen(QColor(128, 128, 128))
    painter.drawRoundedRect(1, 1, 21, 21, 4, 4)
    painter.end()
    icon = QIcon(pixmap)
    # Else the colour of a selected row is mixed with that of the selection.
    icon.addPixmap(pixmap, QIcon.Mode.Selected)
    return icon
