"""The list of shortcuts, as a small window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QGridLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

if TYPE_CHECKING:
    from napari_sam2.ui.shortcuts import KeyBindings

_MOUSE = (
    ("Click", "With Points: this is part of the object"),
    ("Ctrl+click", "With Points: this is not part of it"),
    ("Click in the timeline", "Go to that object and frame"),
    ("Double-click in the table", "Go to the object; on its name, rename it"),
    ("Space, F2, Enter, Delete", "In the table: hide, rename, go to, delete"),
)


class ShortcutList(QDialog):
    """Lists keys and what they do.

    Parameters
    ----------
    keys : KeyBindings
        Those of the viewer.
    parent : QWidget
        Owner.
    """

    def __init__(self, keys: KeyBindings, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Shortcuts")
        grid = QGridLayout()
        grid.setHorizontalSpacing(2 * self.fontMetrics().height())
        self.rows = [*keys.rows(), *_MOUSE]
        for number, (key, title) in enumerate(self.rows):
            name = QLabel(key)
            font = name.font()
            font.setBold(True)
            name.setFont(font)
            grid.addWidget(name, number, 0, Qt.AlignmentFlag.AlignRight)
            grid.addWidget(QLabel(title), number, 1)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addLayout(grid)
        layout.addWidget(buttons)
