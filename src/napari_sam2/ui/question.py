"""Asking before much work is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QMessageBox

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QWidget


def ask_first(
    parent: QWidget, title: str, question: str, then: Callable[[], None]
) -> None:
    """Ask a question beside the work that goes on, and do it after a Yes."""
    box = QMessageBox(parent)
    box.setWindowTitle(title)
    box.setText(question)
    buttons = QMessageBox.StandardButton
    box.setStandardButtons(buttons.Yes | buttons.No)
    box.setDefaultButton(buttons.Yes)
    box.button(buttons.Yes).clicked.connect(lambda: then())
    box.open()
