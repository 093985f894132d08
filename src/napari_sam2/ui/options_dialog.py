"""The window of tracking options, built from the fields of `PredictorOptions`."""

from __future__ import annotations

import inspect
import re
import types
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_sam2.inference.options import PredictorOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam2.ui.controller import Controller

_MEGABYTE = 2**20
_LARGEST = 2**31 - 1


class OptionsDialog(QDialog):
    """Shows and changes all options of the predictor.

    A new field of `PredictorOptions` appears by itself: its type decides the input,
    its text in the docstring is the tooltip.

    Parameters
    ----------
    controller : Controller
        Whose options are shown and set.
    parent : QWidget
        Owner.
    """

    def __init__(self, controller: Controller, parent: QWidget) -> None:
        super().__init__(parent)
        self._controller = controller
        self.setWindowTitle("Tracking options")
        self._read: dict[str, Callable[[], Any]] = {}
        self._write: dict[str, Callable[[Any], None]] = {}
        self.problem = QLabel()
        self.problem.setWordWrap(True)
        self.problem.hide()
        form = QWidget()
        rows = QFormLayout(form)
        rows.setVerticalSpacing(3)
        helps, hints = option_helps(), get_type_hints(PredictorOptions)
        for field in fields(PredictorOptions):
            editor = self._editor(field.name, hints[field.name], helps[field.name])
            rows.addRow(field.name.replace("_", " ").capitalize(), editor)
            rows.labelForField(editor).setToolTip(editor.toolTip())
        scroll = QScrollArea()
        scroll.setWidget(form)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        kinds = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(kinds.Ok | kinds.Cancel | kinds.RestoreDefaults)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        defaults = self.buttons.button(kinds.RestoreDefaults)
        defaults.clicked.connect(lambda: self.show_options(PredictorOptions()))
        layout = QVBoxLayout(self)
        layout.addWidget(scroll)
        layout.addWidget(self.problem)
        layout.addWidget(self.buttons)
        self.show_options(controller.options)
        line = self.fontMetrics().height()
        wanted = form.sizeHint()
        self.resize(wanted.width() + 4 * line, wanted.height() + 6 * line)

    def show_options(self, options: PredictorOptions) -> None:
        """Fill the form."""
        for name, write in self._write.items():
            write(getattr(options, name))

    def options(self) -> PredictorOptions:
        """Return what the form says.

        Raises
        ------
        ValueError
            If options contradict what they may be.
        """
        values = {name: read() for name, read in self._read.items()}
        return replace(self._controller.options, **values)

    def accept(self) -> None:
        """Use the options, or say what is wrong with them."""
        try:
            options = self.options()
        except ValueError as error:
            self.problem.setText(str(error))
            self.problem.show()
            return
        if options != self._controller.options:
            self._controller.set_options(options)
        super().accept()

    def _editor(self, name: str, kind: Any, help_text: str) -> QWidget:
        """Return an input for a type, registered under a name."""
        optional = get_origin(kind) is types.UnionType
        if optional:
            kind = next(part for part in get_args(kind) if part is not type(None))
        editor: QWidget
        if kind is bool:
            editor = box = QCheckBox()
            self._read[name], self._write[name] = box.isChecked, box.setChecked
        elif get_origin(kind) is Literal:
            editor = choice = QComboBox()
            for value in get_args(kind):
                choice.addItem(str(value).replace("_", " "), value)
            self._read[name] = choice.currentData
            self._write[name] = lambda value: choice.setCurrentIndex(
                choice.findData(value)
            )
        elif kind is int:
            editor = self._whole_number(name, help_text, optional=optional)
        else:
            editor = number = QDoubleSpinBox()
            number.setRange(0, 1e6)
            number.setDecimals(3)
            number.setSingleStep(0.01)
            self._read[name], self._write[name] = number.value, number.setValue
        editor.setToolTip(f"<p>{help_text}</p>")
        editor.setObjectName(name)
        return editor

    def _whole_number(self, name: str, help_text: str, *, optional: bool) -> QSpinBox:
        """Return an input for an integer; its least value stands for None if it may."""
        editor = QSpinBox()
        editor.setRange(0, _LARGEST)
        unit = _MEGABYTE if help_text.startswith("Bytes") else 1
        if unit != 1:
            editor.setSuffix(" MB")
        if optional:
            editor.setSpecialValueText("none")
        self._read[name] = lambda: (
            None if optional and editor.value() == 0 else editor.value() * unit
        )
        self._write[name] = lambda value: editor.setValue(
            0 if value is None else value // unit
        )
        return editor


def option_helps() -> dict[str, str]:
    """Return what the docstring of `PredictorOptions` says of each field."""
    text = inspect.cleandoc(PredictorOptions.__doc__ or "").partition("----------")[2]
    helps: dict[str, str] = {field.name: "" for field in fields(PredictorOptions)}
    names: list[str] = []
    for line in text.splitlines():
        heading = re.match(r"(\w[\w, ]*) : ", line)
        if heading:
            names = [name.strip() for name in heading[1].split(",")]
        elif line.strip():
            for name in names:
                helps[name] = f"{helps[name]} {line.strip()}".strip()
    return helps
