"""Sessions in a real napari window, by clicks and keys."""

from __future__ import annotations

import numpy as np
import pytest
from canvas import click, drag, press
from discs import DiscPredictor
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_sam2.ui.controller import Controller
from napari_sam2.ui.records import (
    Activity,
    Mark,
    ModelRequest,
    ModelStage,
    ObjectStatus,
    Severity,
    Tool,
)
from napari_sam2.ui.widget import TITLE, Sam2Widget, propagate_labels

SHIFT = Qt.KeyboardModifier.ShiftModifier
CONTROL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1366, 768)
    return viewer


def until(qtbot, condition):
    """Wait for what threads do; patiently, for the machine may be loaded."""
    qtbot.waitUntil(condition, timeout=60_000)


def opened(qtbot, viewer):
    """The widget as the menu opens it, with its model loaded."""
    _, widget = viewer.window.add_plugin_dock_widget("napari-sam2", TITLE)
    qtbot.waitExposed(viewer.window._qt_window)

    def ready():
        return widget.controller.model.stage == ModelStage.READY

    until(qtbot, ready)
    until(qtbot, lambda: widget.controller.image is not None)
    QApplication.processEvents()
    viewer.reset_view()
    return widget


@pytest.fixture
def discs(qtbot, viewer):
    """The widget on a predictor that paints discs, with real worker threads."""

    def open_discs(image=None):
        data = np.zeros((8, 64, 64), np.uint16) if image is None else image
        layer = viewer.add_image(data, name="Stack")
        controller = Controller(
            viewer, make=lambda _, options, __: DiscPredictor(options=options)
        )
        widget = Sam2Widget(viewer, controller)
        viewer.window.add_dock_widget(widget, name=TITLE)
        until(qtbot, lambda: controller.model.stage == ModelStage.READY)
        until(qtbot, lambda: controller.image is layer)
        viewer.reset_view()
        return widget

    return open_discs


def centres(labels, count):
    """Ids and centres of the largest objects of a frame."""
    ids = sorted(set(np.unique(labels)) - {0}, key=lambda i: -int((labels == i).sum()))[
        :count
    ]
    return [(i, tuple(float(v.mean()) for v in np.nonzero(labels == i))) for i in ids]


def done(controller, object_id):
    """How many frames of an object are done."""
    row = controller.row(object_id)
    return 0 if row is None else row.frames_done


def finished(controller):
    return controller.activity == Activity.IDLE and controller.progress is None


@pytest.fixture
def nano():
    """What takes long on a loaded machine is loaded before the window opens."""
    from napari_sam2 import build_model

    return build_model("nano")


def test_first_session_with_the_built_in_network(qtbot, nano, viewer, tmp_path):
    from napari_sam2.training.synthetic import sample_zstack

    sample = sample_zstack()
    part = slice(14, 26)
    viewer.add_image(sample.images[part], name="Nuclei", scale=(2, 0.5, 0.5))
    widget = opened(qtbot, viewer)
    controller = widget.controller
    said = []
    controller.message.connect(said.append)
    viewer.dims.set_current_step(0, 6)

    # Three cells by clicks, with a key for the next one.
    cells = centres(sample.labels[part][6], 3)
    for number, (_, (y, x)) in enumerate(cells, 1):
        if number > 1:
            press(viewer, Qt.Key.Key_N)
        click(viewer, (y * 0.5, x * 0.5))
        until(qtbot, lambda n=number: done(controller, n) == 1)
    labels = controller.labels()
    for number, (cell, (y, x)) in enumerate(cells, 1):
        assert labels[6, round(y), round(x)] == number
        truth, found = sample.labels[part][6] == cell, labels[6] == number
        assert (truth & found).sum() / (truth | found).sum() > 0.4
    assert widget.object_box.table.objects.object_ids == (1, 2, 3)
    np.testing.assert_allclose(controller.labels_layer.scale, (2, 0.5, 0.5))

    # A negative click while it propagates.
    press(viewer, Qt.Key.Key_G)
    until(qtbot, lambda: controller.activity == Activity.PROPAGATING)
    y, x = cells[2][1]
    click(viewer, (y * 0.5 + 12, x * 0.5 + 12), CONTROL)
    until(qtbot, lambda: finished(controller))
    if any(row.status == ObjectStatus.STALE for row in controller.objects):
        press(viewer, Qt.Key.Key_G)
        until(qtbot, lambda: finished(controller))
    assert [row.frames_done for row in controller.objects] == [12, 12, 12]

    # To a frame by the timeline; approve it; correct beside it; only that is new.
    timeline = widget.review_box.timeline
    place = timeline.cell_centre(1, 3).toPoint()
    qtbot.mouseClick(timeline.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert viewer.dims.current_step[0] == 3
    assert controller.selected == 1
    press(viewer, Qt.Key.Key_W)
    until(qtbot, lambda: controller.row(1).approved == 1)
    approved = controller.labels()[3] == 1
    viewer.dims.set_current_step(0, 1)
    click(viewer, tuple(0.5 * v for v in cells[0][1]))
    until(qtbot, lambda: Mark.PROMPTED in timeline.marks_at(1, 1))
    press(viewer, Qt.Key.Key_G)
    until(qtbot, lambda: controller.activity == Activity.IDLE)
    np.testing.assert_array_equal(controller.labels()[3] == 1, approved)

    # Save and open again.
    path = tmp_path / "cells.tif"
    before = controller.labels().copy()
    controller.export(path)
    until(qtbot, path.exists)
    until(qtbot, lambda: controller.activity == Activity.IDLE)
    import tifffile

    np.testing.assert_array_equal(tifffile.imread(path), before)
    assert not [message for message in said if message.severity == Severity.ERROR]


def test_box_lasso_and_paint(qtbot, viewer, discs):
    widget = discs()
    controller = widget.controller
    for number, (tool, corners) in enumerate(
        (
            (Tool.BOX, ((10, 10), (30, 30))),
            (Tool.LASSO, ((40, 10), (40, 24), (54, 24), (54, 10), (41, 10))),
            (Tool.PAINT, ((20, 50), (26, 50))),
        ),
        1,
    ):
        widget.prompt_box.tools[tool].click()
        if number > 1:
            widget.prompt_box.new_object.click()
        drag(viewer, *corners)
        until(qtbot, lambda n=number: done(controller, n) == 1)
    assert [row.prompts for row in controller.objects] == [1, 1, 1]
    assert controller.tool == Tool.PAINT
    assert widget.prompt_box.tools[Tool.PAINT].isChecked()


def test_a_session_by_keyboard_alone(qtbot, viewer, discs):
    widget = discs()
    controller = widget.controller
    click(viewer, (20, 20))
    press(viewer, Qt.Key.Key_N)
    click(viewer, (40, 40))
    until(qtbot, lambda: done(controller, 2) == 1)
    widget.propagate_box.both.setFocus()
    QTest.keyClick(widget.propagate_box.both, Qt.Key.Key_Space)
    until(qtbot, lambda: done(controller, 2) == 8 and finished(controller))
    timeline = widget.review_box.timeline
    timeline.setFocus()
    QTest.keyClick(timeline, Qt.Key.Key_End)
    assert viewer.dims.current_step[0] == 7
    QTest.keyClick(timeline, Qt.Key.Key_Up)
    assert controller.selected == 1
    QTest.keyClick(timeline, Qt.Key.Key_W, SHIFT)
    until(qtbot, lambda: controller.row(1).approved > 1)
    table = widget.object_box.table
    table.setFocus()
    QTest.keyClick(table, Qt.Key.Key_Space)
    until(qtbot, lambda: not controller.row(1).visible)
    QTest.keyClick(table, Qt.Key.Key_Down)
    assert controller.selected == 2
    assert controller.labels_layer.selected_label == 2
    controller.labels_layer.selected_label = 1
    assert table.selected_ids() == (1,)


def test_closed_and_opened_and_the_image_removed_while_it_runs(qtbot, viewer, discs):
    widget = discs(np.zeros((40, 64, 64), np.uint16))
    controller = widget.controller
    click(viewer, (20, 20))
    until(qtbot, lambda: done(controller, 1) == 1)
    press(viewer, Qt.Key.Key_G)
    viewer.window.remove_dock_widget(widget)
    again = Sam2Widget(viewer, controller)
    viewer.window.add_dock_widget(again, name=TITLE)
    until(qtbot, lambda: finished(controller))
    until(qtbot, lambda: again.object_box.table.objects.row(1).frames_done == 40)
    press(viewer, Qt.Key.Key_N)
    assert controller.selected == 2

    labels = controller.labels_layer
    widget = again
    widget.propagate_box.ranged.setChecked(True)
    press(viewer, Qt.Key.Key_G)
    viewer.layers.remove(controller.image)
    until(qtbot, lambda: controller.activity == Activity.IDLE)
    assert labels in viewer.layers
    assert widget.object_box.table.objects.rowCount() == 0
    assert "Open an image" in widget.hint.text()
    assert not widget.propagate_box.isEnabled()
    for key in (Qt.Key.Key_G, Qt.Key.Key_W, Qt.Key.Key_Q):
        press(viewer, key)


def test_two_viewers_have_a_widget_each(qtbot, make_napari_viewer, discs, viewer):
    first = discs().controller
    other = make_napari_viewer(show=True)
    other.window.resize(1366, 768)
    layer = other.add_image(np.zeros((8, 64, 64), np.uint16))
    second = Controller(
        other, make=lambda _, options, __: DiscPredictor(options=options)
    )
    widget = Sam2Widget(other, second)
    other.window.add_dock_widget(widget, name=TITLE)
    until(qtbot, lambda: second.image is layer)
    until(qtbot, lambda: second.model.stage == ModelStage.READY)
    other.reset_view()
    click(other, (20, 20))
    until(qtbot, lambda: done(second, 1) == 1)
    press(other, Qt.Key.Key_N)
    assert (first.selected, second.selected) == (1, 2)
    assert first.objects == ()


def test_labels_are_propagated_from_the_menu(qtbot, viewer, monkeypatch):
    data = np.zeros((6, 64, 64), np.uint16)
    viewer.add_image(data, name="Stack")
    theirs = np.zeros((6, 64, 64), np.uint8)
    theirs[2, 10:20, 10:20] = 4
    theirs[2, 30:44, 30:44] = 9
    layer = viewer.add_labels(theirs, name="cellpose")
    controller = Controller(
        viewer, make=lambda _, options, __: DiscPredictor(options=options)
    )
    monkeypatch.setattr(Controller, "of", lambda _: controller)
    viewer.layers.selection.active = layer
    propagate_labels(viewer)
    until(
        qtbot,
        lambda: [row.frames_done for row in controller.objects] == [6, 6],
    )
    assert [row.object_id for row in controller.objects] == [4, 9]
    assert (controller.labels()[2] == theirs[2]).all()


def test_its_own_labels_are_propagated_from_their_prompts(qtbot, viewer, monkeypatch):
    viewer.add_image(np.zeros((6, 64, 64), np.uint16), name="Stack")
    controller = Controller(
        viewer, make=lambda _, options, __: DiscPredictor(options=options)
    )
    monkeypatch.setattr(Controller, "of", lambda _: controller)
    controller.set_image(viewer.layers["Stack"])
    controller.load_model(ModelRequest("discs"))
    controller.go_to(2)
    controller.add_point(20, 30)
    until(qtbot, lambda: [row.frames_done for row in controller.objects] == [1])
    viewer.layers.selection.active = controller.labels_layer
    propagate_labels(viewer)
    until(qtbot, lambda: [row.frames_done for row in controller.objects] == [6])
    assert [row.prompts for row in controller.objects] == [1]
    assert len(viewer.layers["SAM 2 points"].data) == 1


def test_propagating_without_labels_says_what_to_select():
    viewer = ViewerModel()
    shown = []
    notification_manager.notification_ready.connect(shown.append)
    viewer.add_image(np.zeros((4, 8, 8)))
    propagate_labels(viewer)
    notification_manager.notification_ready.disconnect(shown.append)
    assert "Select a Labels layer" in shown[0].message
