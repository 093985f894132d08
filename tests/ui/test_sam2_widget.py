"""The dock widget in a real viewer, on a controller that notes what it is told."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref

import numpy as np
import pytest
from fake_controller import FakeController, make_row, make_timeline
from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.key_bindings import coerce_keybinding
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDockWidget, QLineEdit, QPushButton

from napari_sam2.ui.records import (
    Activity,
    AxesChoice,
    ImageFacts,
    Message,
    ModelStage,
    ModelStatus,
    Severity,
)
from napari_sam2.ui.shortcuts import SHORTCUTS
from napari_sam2.ui.widget import TITLE, Sam2Widget


@pytest.fixture
def viewer():
    """A viewer without a window: most of the widget needs none."""
    return ViewerModel()


@pytest.fixture
def controller():
    return FakeController(Image(np.zeros((40, 64, 64), np.uint16), name="Nuclei"))


@pytest.fixture
def dock(qtbot):
    """Where the widget is docked."""
    dock = QDockWidget()
    qtbot.addWidget(dock)
    dock.resize(430, 700)
    return dock


def has_loaded(controller):
    return any(call[0] == "load_model" for call in controller.calls)


@pytest.fixture
def widget(qtbot, dock, viewer, controller):
    widget = Sam2Widget(viewer, controller)
    dock.setWidget(widget)
    dock.show()
    # By a timer; later, it could fall between what a test does and what it looks at.
    qtbot.waitUntil(lambda: has_loaded(controller))
    yield widget
    widget.setParent(None)


@pytest.fixture
def window(qtbot, make_napari_viewer, controller):
    """A real window with the widget: viewer and widget."""
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1366, 768)
    widget = Sam2Widget(viewer, controller)
    viewer.window.add_dock_widget(widget, name=TITLE)
    qtbot.waitUntil(lambda: has_loaded(controller))
    return viewer, widget


def with_objects(controller, count=3):
    rows = tuple(make_row(n) for n in range(1, count + 1))
    controller.show_objects(rows, make_timeline(count, 40))


def canvas(viewer):
    native = viewer.window._qt_viewer.canvas.native
    native.setFocus()
    return native


def test_the_model_is_loaded_once_the_window_is_up(widget, controller):
    assert [call[0] for call in controller.calls].count("load_model") == 1
    assert controller.model.stage == ModelStage.READY


def test_keys_work_wherever_the_focus_is(window, controller):
    viewer, widget = window
    with_objects(controller)
    for focus in (
        canvas(viewer),
        widget.object_box.table,
        widget.propagate_box.both,
        widget.review_box.timeline,
    ):
        controller.calls.clear()
        focus.setFocus()
        QTest.keyClick(focus, Qt.Key.Key_K)
        QTest.keyClick(focus, Qt.Key.Key_W, Qt.KeyboardModifier.ShiftModifier)
        assert controller.calls == [("next_object",), ("approve_span",)], focus

    native = canvas(viewer)
    for key, call in (
        (Qt.Key.Key_N, ("new_object",)),
        (Qt.Key.Key_G, ("propagate", "both", None, None)),
        (Qt.Key.Key_Comma, ("propagate", "backward", None, None)),
        (Qt.Key.Key_Period, ("propagate", "forward", None, None)),
        (Qt.Key.Key_Q, ("next_doubtful",)),
        (Qt.Key.Key_W, ("approve",)),
        (Qt.Key.Key_U, ("clear_prompts",)),
    ):
        controller.calls.clear()
        QTest.keyClick(native, key)
        assert controller.calls == [call]
    controller.show_activity(Activity.PROPAGATING)
    QTest.keyClick(native, Qt.Key.Key_H)
    assert controller.calls[-1] == ("pause",)


def test_every_shortcut_has_an_action(widget):
    assert {s.name for s in widget._keys.shortcuts} == {s.name for s in SHORTCUTS}
    assert widget._keys.taken == {}


def test_typing_a_class_starts_no_action(qtbot, widget, controller):
    with_objects(controller)
    table = widget.object_box.table
    table.showColumn(2)
    table.edit(table.model().index(0, 2))
    editor = table.viewport().findChild(QLineEdit)
    controller.calls.clear()
    QTest.keyClicks(editor, "neuron")
    QTest.keyClick(editor, Qt.Key.Key_Return)
    QApplication.processEvents()
    assert controller.calls == [("set_category", 1, "neuron")]


def test_tooltips_name_keys(widget):
    assert widget.propagate_box.both.toolTip().endswith("(G)")
    assert "W" in widget.review_box.approve_span.toolTip()
    assert widget.prompt_box.new_object.toolTip().endswith("(N)")


def test_it_fits_a_laptop_s_screen(window, controller):
    _, widget = window
    with_objects(controller, 100)
    controller.axes = AxesChoice("TZCYX", "T", (("Z", 4),), (0, 1), ((1.0, 65535.0),))
    controller.facts = ImageFacts(
        name="Movie",
        lengths=(("T", 40), ("Z", 9), ("C", 3)),
        num_frames=40,
        frame_shape=(2048, 2048),
        rgb=False,
        text="T, 40 time points of 2048 x 2048 pixels",
    )
    controller.image_changed.emit()
    QApplication.processEvents()
    for fold in (None, widget.image_box.fold, widget.model_box.fold):
        if fold is not None:
            fold.setChecked(True)
        QApplication.processEvents()
        needed = widget.widget().minimumSizeHint().height()
        assert needed < 768 - 80  # menu, title and status bar
        assert widget.widget().minimumSizeHint().width() < 440


def test_one_fold_is_open_at_a_time(widget):
    widget.image_box.fold.setChecked(True)
    widget.model_box.fold.setChecked(True)
    assert not widget.image_box.fold.isChecked()
    assert not widget.image_box.details.isVisible()
    assert widget.model_box.details.isVisible()


def test_tab_reaches_every_button_that_is_seen(qtbot, widget, controller):
    with_objects(controller)
    QApplication.processEvents()
    wanted = {
        button
        for button in widget.findChildren(QPushButton)
        if button.isVisibleTo(widget) and button.isEnabled()
    }
    seen, at = set(), widget.image_box.fold
    for _ in range(200):
        at = at.nextInFocusChain()
        if at.focusPolicy() & Qt.FocusPolicy.TabFocus:
            seen.add(at)
    assert wanted <= seen


def test_mnemonics_are_told_apart(widget):
    texts = [
        button.text()
        for button in widget.findChildren(QPushButton)
        if button.isVisibleTo(widget)
    ] + [widget.image_box.fold.text(), widget.model_box.fold.text()]
    letters = [t[t.index("&") + 1].lower() for t in texts if "&" in t]
    assert sorted(letters) == sorted(set(letters))
    # napari opens its menus with these, or has them in its File menu.
    assert not set(letters) & set("fvlpwhsct")


def test_messages_become_notifications(widget, controller):
    shown = []
    notification_manager.notification_ready.connect(shown.append)
    controller.message.emit(Message("It cannot be done.", Severity.ERROR))
    notification_manager.notification_ready.disconnect(shown.append)
    assert [(n.message, n.severity.value) for n in shown] == [
        ("It cannot be done.", "error")
    ]


def test_closing_lets_go_of_viewer_and_controller(viewer, widget, controller):
    key = coerce_keybinding("N")
    assert key in viewer.keymap
    widget.setParent(None)  # as napari does when a dock is closed
    assert key not in viewer.keymap
    controller.calls.clear()
    controller.objects_changed.emit(None)
    controller.model_changed.emit(ModelStatus(ModelStage.READY))
    controller.images_changed.emit()
    viewer.theme = "light"
    assert controller.calls == []
    for signal in (controller.objects_changed, controller.message):
        assert len(signal) == 0


def test_closed_and_opened_again_it_shows_what_there_is(window, controller):
    viewer, widget = window
    viewer.window.remove_dock_widget(widget)
    with_objects(controller)
    again = Sam2Widget(viewer, controller)
    viewer.window.add_dock_widget(again, name=TITLE)
    assert again.object_box.table.objects.rowCount() == 3
    assert again._keys.taken == {}
    controller.show_objects((make_row(9),), make_timeline(1, 40))
    assert again.object_box.table.objects.object_ids == (9,)
    assert widget.object_box.table.objects.rowCount() == 0
    gone = weakref.ref(again)
    viewer.window.remove_dock_widget(again)
    del again
    QApplication.processEvents()
    gc.collect()
    assert gone() is None


def test_a_widget_that_is_docked_again_works_again(dock, viewer, widget, controller):
    widget.setParent(None)
    dock.setWidget(widget)
    with_objects(controller)
    assert widget.object_box.table.objects.rowCount() == 3
    assert coerce_keybinding("N") in viewer.keymap


def test_the_theme_is_followed(viewer, widget):
    timeline = widget.review_box.timeline
    dark = timeline.grab().toImage().pixelColor(3, 3).lightness()
    viewer.theme = "light"
    QApplication.processEvents()
    light = timeline.grab().toImage().pixelColor(3, 3).lightness()
    assert dark < 100 < light


def test_opening_the_widget_imports_no_torch():
    code = "import sys, napari_sam2.ui.widget; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
