"""The window of tracking options follows the dataclass."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from fake_controller import FakeController
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QSpinBox, QWidget

from napari_sam2.inference.options import PredictorOptions
from napari_sam2.ui.options_dialog import OptionsDialog, option_helps


@pytest.fixture
def controller():
    return FakeController()


@pytest.fixture
def owner(qtbot):
    owner = QWidget()
    qtbot.addWidget(owner)
    return owner


def test_every_option_is_there_and_explained(controller, owner):
    dialog = OptionsDialog(controller, owner)
    for field in fields(PredictorOptions):
        editor = dialog.findChild(QWidget, field.name)
        assert len(editor.toolTip()) > 20, field.name
    assert all(option_helps().values())


@pytest.mark.parametrize(
    "options",
    [
        PredictorOptions(),
        PredictorOptions.reference(),
        PredictorOptions(
            fill_holes=9,
            stop_after_absent=3,
            dynamic_multimask_delta=0.125,
            feature_cache=512 * 2**20,
        ),
    ],
    ids=["defaults", "reference", "own"],
)
def test_the_form_gives_back_what_it_shows(controller, owner, options):
    controller.options = options
    assert OptionsDialog(controller, owner).options() == options


def test_ok_sets_what_was_changed(controller, owner):
    dialog = OptionsDialog(controller, owner)
    dialog.findChild(QSpinBox, "drop_specks").setValue(25)
    dialog.findChild(QSpinBox, "stop_after_absent").setValue(4)
    dialog.findChild(QCheckBox, "exact_mask_prompts").setChecked(False)
    dialog.findChild(QDoubleSpinBox, "dynamic_multimask_threshold").setValue(0.9)
    dialog.accept()
    expected = replace(
        PredictorOptions(),
        drop_specks=25,
        stop_after_absent=4,
        exact_mask_prompts=False,
        dynamic_multimask_threshold=0.9,
    )
    assert controller.calls == [("set_options", expected)]


def test_ok_without_a_change_sets_nothing(controller, owner):
    OptionsDialog(controller, owner).accept()
    assert controller.calls == []


def test_cancel_sets_nothing(controller, owner):
    dialog = OptionsDialog(controller, owner)
    dialog.findChild(QSpinBox, "drop_specks").setValue(25)
    dialog.reject()
    assert controller.calls == []


def test_defaults_come_back(controller, owner):
    controller.options = PredictorOptions.reference()
    dialog = OptionsDialog(controller, owner)
    dialog.buttons.button(dialog.buttons.StandardButton.RestoreDefaults).click()
    assert dialog.options() == PredictorOptions()


def test_what_the_engine_refuses_is_said_in_the_window(controller, owner, monkeypatch):
    def refuse(self):
        raise ValueError("fill_holes must not be odd")

    monkeypatch.setattr(PredictorOptions, "__post_init__", refuse)
    dialog = OptionsDialog(controller, owner)
    dialog.findChild(QSpinBox, "fill_holes").setValue(3)
    dialog.accept()
    assert dialog.problem.text() == "fill_holes must not be odd"
    assert controller.calls == []
