"""The timeline as a widget: clicks, keys, scrolling."""

from __future__ import annotations

import time

import numpy as np
import pytest
from fake_controller import make_timeline
from qtpy.QtCore import QPoint, Qt

from napari_sam2.ui.records import Mark, TimelineColumn
from napari_sam2.ui.theme import ThemeColours
from napari_sam2.ui.timeline import TimelineView


@pytest.fixture
def view(qtbot):
    view = TimelineView(ThemeColours.of("dark"))
    qtbot.addWidget(view)
    view.resize(400, 120)
    view.show()
    return view


def fill(view, objects=5, frames=40):
    timeline = make_timeline(objects, frames)
    colours = np.full((objects, 3), 200, np.uint8)
    view.set_timeline(timeline, colours)
    return timeline


def click(qtbot, view, position):
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=position.toPoint())


@pytest.mark.parametrize(("object_id", "frame"), [(1, 0), (3, 17), (5, 39)])
def test_a_click_goes_to_the_cell(qtbot, view, object_id, frame):
    fill(view)
    with qtbot.waitSignal(view.cell_chosen) as chosen:
        click(qtbot, view, view.cell_centre(object_id, frame))
    assert chosen.args == [object_id, frame]


def test_a_click_on_the_ruler_goes_to_the_frame(qtbot, view):
    fill(view)
    place = view.cell_centre(1, 12)
    place.setY(3)
    with qtbot.waitSignal(view.frame_chosen) as chosen:
        click(qtbot, view, place)
    assert chosen.args == [12]


def test_clicks_beside_the_cells_do_nothing(qtbot, view):
    fill(view, objects=1, frames=3)
    heard = []
    view.cell_chosen.connect(lambda *cell: heard.append(cell))
    view.frame_chosen.connect(heard.append)
    for x, y in ((1, 1), (399, 119), (2, 60)):
        qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(x, y))
    assert heard == []


@pytest.mark.parametrize(
    ("key", "cell"),
    [
        (Qt.Key.Key_Left, (2, 9)),
        (Qt.Key.Key_Right, (2, 11)),
        (Qt.Key.Key_Up, (1, 10)),
        (Qt.Key.Key_Down, (3, 10)),
        (Qt.Key.Key_Home, (2, 0)),
        (Qt.Key.Key_End, (2, 39)),
        (Qt.Key.Key_PageDown, (5, 10)),
    ],
)
def test_arrows_walk_along_cells(qtbot, view, key, cell):
    fill(view)
    view.set_object(2)
    view.set_frame(10)
    with qtbot.waitSignal(view.cell_chosen) as chosen:
        qtbot.keyClick(view, key)
    assert tuple(chosen.args) == cell


def test_other_keys_are_left_to_the_viewer(qtbot, view):
    from qtpy.QtGui import QKeyEvent

    fill(view)
    event = QKeyEvent(
        QKeyEvent.Type.KeyPress, Qt.Key.Key_N, Qt.KeyboardModifier.NoModifier, "n"
    )
    view.keyPressEvent(event)
    assert not event.isAccepted()


def test_thousands_of_frames_scroll_and_the_current_one_is_seen(qtbot, view):
    fill(view, objects=300, frames=3000)
    assert view.horizontalScrollBar().maximum() > 0
    assert view.verticalScrollBar().maximum() > 0
    view.set_frame(2900)
    view.set_object(290)
    place = view.cell_centre(290, 2900)
    assert view.viewport().rect().contains(place.toPoint())
    with qtbot.waitSignal(view.cell_chosen) as chosen:
        click(qtbot, view, place)
    assert chosen.args == [290, 2900]


def test_painting_many_objects_is_quick(view):
    fill(view, objects=500, frames=5000)
    view.resize(800, 400)
    view.grab()
    begin = time.perf_counter()
    for frame in range(10):
        view.set_frame(frame * 400)
        view.grab()
    # 2 ms here; a loaded machine may take longer.
    assert (time.perf_counter() - begin) / 10 < 0.05


def test_ctrl_and_wheel_widen_frames_where_the_pointer_is(view):
    fill(view, frames=40)
    before = view.cell_centre(1, 20).x()
    view._widen(4.0, before)
    assert view.horizontalScrollBar().maximum() > 0
    assert view.cell_centre(1, 20).x() == pytest.approx(before, abs=3)


def test_a_column_changes_one_frame(view):
    fill(view)
    values = np.array([0.1, 0.2, np.nan, 0.4, 0.5], np.float32)
    marks = np.array([0, Mark.STALE, 0, 0, Mark.APPROVED], np.uint8)
    column = TimelineColumn(7, values, marks)
    assert view.fits(column)
    view.set_column(column)
    text = view.text_at(view.cell_centre(2, 7))
    assert "0.20" in text
    assert "again" in text
    assert not view.has_result(3, 7)
    assert view.marks_at(5, 7) == Mark.APPROVED
    assert not view.fits(TimelineColumn(40, values, marks))
    assert not view.fits(TimelineColumn(7, values[:3], marks[:3]))


def test_it_says_what_it_is_for_while_empty(view):
    assert "Click to go there" in view.text_at(
        view.viewport().rect().toRectF().center()
    )
    view.grab()


def test_the_frame_is_called_as_it_is_called_here(view):
    fill(view)
    view.set_frame_name("slice")
    assert view.text_at(view.cell_centre(1, 3)).startswith("Object 1, slice 3")
