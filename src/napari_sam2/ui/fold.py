"""How room is saved: what is seldom needed folds away, numbers take little."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractSpinBox, QSizePolicy, QToolButton

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

_FOLDED = "\N{BLACK RIGHT-POINTING SMALL TRIANGLE}"
_OPEN = "\N{BLACK DOWN-POINTING SMALL TRIANGLE}"


class FoldButton(QToolButton):
    """Shows or hides a widget; what is hidden is out of the keyboard's way too.

    Parameters
    ----------
    title : str
        With a mnemonic.
    content : QWidget
        What it shows; hidden at first.
    rivals : list of FoldButton
        Of which one at most is open; this button adds itself.
    """

    def __init__(self, title: str, content: QWidget, rivals: list[FoldButton]) -> None:
        super().__init__()
        self._title, self._content, self._rivals = title, content, rivals
        rivals.append(self)
        self.setCheckable(True)
        self.setAutoRaise(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setStyleSheet("QToolButton { background: none; text-align: left; }")
        self.toggled.connect(self._show)
        self._show(False)

    def _show(self, opened: bool) -> None:
        """Show or hide the content; fold the rivals."""
        self.setText(f"{_OPEN if opened else _FOLDED} {self._title}")
        self._content.setVisible(opened)
        if opened:
            for rival in self._rivals:
                if rival is not self:
                    rival.setChecked(False)


def make_narrow(box: QAbstractSpinBox) -> None:
    """Give a number only the room that it needs: without buttons, but with arrow keys.

    napari's style asks for more.
    """
    box.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
    box.setStyleSheet("QAbstractSpinBox { min-width: 2.6em; padding: 1px 4px; }")
