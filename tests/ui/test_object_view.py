"""The table of objects as a widget."""

from __future__ import annotations

import math
import time

import pytest
from fake_controller import make_row
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QLineEdit

from napari_sam2.ui.object_cells import COLUMNS, Column
from napari_sam2.ui.object_view import ObjectTableView
from napari_sam2.ui.records import ObjectStatus


@pytest.fixture
def table(qtbot):
    table = ObjectTableView()
    qtbot.addWidget(table)
    table.resize(450, 300)
    table.show()
    return table


def texts(table, column):
    """What a column says, from the uppermost row down."""
    model = table.model()
    return [model.index(row, column).data() for row in range(model.rowCount())]


def fill(table, *rows, frames=40):
    table.objects.set_rows(rows, frames)


def test_cells_say_what_the_rows_hold(table):
    fill(
        table,
        make_row(1, name="Left cell", category="nucleus", frames_done=12, prompts=2),
        make_row(2, lowest_score=math.nan, status=ObjectStatus.NEW, locked=True),
    )
    model = table.model()
    first = [model.index(0, column).data() for column in range(len(COLUMNS))]
    assert first == ["1", "Left cell", "nucleus", "2", "12/40", "0.90", "prompted"]
    assert texts(table, Column.LOWEST)[1] == ""
    assert texts(table, Column.STATUS)[1] == "locked"


def test_every_cell_and_column_explains_itself(table):
    fill(table, make_row(1))
    for column in range(len(COLUMNS)):
        tip = Qt.ItemDataRole.ToolTipRole
        assert table.model().index(0, column).data(tip)
        assert table.model().headerData(column, Qt.Orientation.Horizontal, tip)


def test_the_swatch_has_the_objects_colour(table):
    fill(table, make_row(1, color=(1.0, 0.0, 0.0, 1.0)))
    icon = table.model().index(0, Column.ID).data(Qt.ItemDataRole.DecorationRole)
    assert icon.pixmap(24).toImage().pixelColor(12, 12).getRgb()[:3] == (255, 0, 0)


def test_choosing_a_row_announces_its_object(qtbot, table):
    fill(table, make_row(3), make_row(7))
    with qtbot.waitSignal(table.object_chosen) as chosen:
        place = table.visualRect(table.model().index(1, Column.PROMPTS)).center()
        qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert chosen.args == [7]
    assert table.selected_ids() == (7,)


def test_selecting_by_program_announces_nothing(qtbot, table):
    fill(table, make_row(3), make_row(7))
    heard = []
    table.object_chosen.connect(heard.append)
    table.set_current(7)
    assert table.selected_ids() == (7,)
    table.set_current(99)
    assert table.selected_ids() == ()
    assert heard == []


def test_an_object_that_comes_later_is_selected_when_it_is_there(table):
    table.set_current(2)
    fill(table, make_row(1), make_row(2))
    assert table.selected_ids() == (2,)


def test_several_selected_rows_survive_news(table):
    fill(table, *(make_row(n) for n in range(1, 6)))
    table.set_current(2)
    table.selectAll()
    table.objects.update_rows([make_row(2, frames_done=5)])
    table.set_current(2)
    assert len(table.selected_ids()) == 5
    assert texts(table, Column.DONE)[1] == "5/40"


def test_sorting_puts_the_doubtful_first_and_the_unknown_last(table):
    fill(
        table,
        make_row(1, lowest_score=0.8),
        make_row(2, lowest_score=math.nan),
        make_row(3, lowest_score=0.1),
        make_row(10, lowest_score=0.5),
    )
    table.sortByColumn(Column.LOWEST, Qt.SortOrder.AscendingOrder)
    assert texts(table, Column.ID) == ["3", "10", "1", "2"]
    table.sortByColumn(Column.ID, Qt.SortOrder.AscendingOrder)
    assert texts(table, Column.ID) == ["1", "2", "3", "10"]


def test_names_and_classes_are_edited_in_place(qtbot, table):
    fill(table, make_row(4))
    edit = Qt.ItemDataRole.EditRole
    with qtbot.waitSignal(table.objects.renamed) as named:
        table.model().setData(table.model().index(0, Column.NAME), " Mother ", edit)
    assert named.args == [4, "Mother"]
    with qtbot.waitSignal(table.objects.classified) as classified:
        table.model().setData(table.model().index(0, Column.CLASS), "neuron", edit)
    assert classified.args == [4, "neuron"]
    with qtbot.assertNotEmitted(table.objects.renamed):
        table.model().setData(table.model().index(0, Column.NAME), "  ", edit)


def test_classes_take_room_from_the_first_class_on(qtbot, table):
    fill(table, make_row(1), make_row(2))
    assert table.isColumnHidden(Column.CLASS)
    table.set_current(2)
    entries = {a.text().replace("&", ""): a for a in table.menu().actions()}
    entries["Class..."].trigger()
    assert not table.isColumnHidden(Column.CLASS)
    editor = table.viewport().findChild(QLineEdit)
    qtbot.keyClicks(editor, "neuron")
    with qtbot.waitSignal(table.objects.classified) as classified:
        qtbot.keyClick(editor, Qt.Key.Key_Return)
    assert classified.args == [2, "neuron"]


def test_a_row_that_has_a_class_shows_the_column(table):
    fill(table, make_row(1))
    table.objects.update_rows([make_row(1, category="nucleus")])
    assert not table.isColumnHidden(Column.CLASS)


def test_unticking_hides(qtbot, table):
    fill(table, make_row(4))
    index = table.model().index(0, Column.ID)
    with qtbot.waitSignal(table.objects.visibility_wanted) as wanted:
        table.model().setData(
            index, Qt.CheckState.Unchecked.value, Qt.ItemDataRole.CheckStateRole
        )
    assert wanted.args == [4, False]


@pytest.mark.parametrize(
    ("key", "action"),
    [
        (Qt.Key.Key_Delete, ("delete", (2,))),
        (Qt.Key.Key_Backspace, ("delete", (2,))),
        (Qt.Key.Key_Space, ("hide", (2,))),
    ],
)
def test_keys_of_the_table(qtbot, table, key, action):
    fill(table, make_row(1), make_row(2))
    table.set_current(2)
    with qtbot.waitSignal(table.action_wanted) as wanted:
        qtbot.keyClick(table, key)
    assert tuple(wanted.args) == action


def test_f2_renames(qtbot, table):
    fill(table, make_row(1), make_row(2))
    table.set_current(2)
    qtbot.keyClick(table, Qt.Key.Key_F2)
    editor = table.viewport().findChild(QLineEdit)
    qtbot.keyClicks(editor, "mother")
    with qtbot.waitSignal(table.objects.renamed) as renamed:
        qtbot.keyClick(editor, Qt.Key.Key_Return)
    assert renamed.args == [2, "mother"]


def test_enter_goes_to_the_object(qtbot, table):
    fill(table, make_row(1), make_row(2))
    table.set_current(2)
    with qtbot.waitSignal(table.go_wanted) as wanted:
        qtbot.keyClick(table, Qt.Key.Key_Return)
    assert wanted.args == [2]


@pytest.mark.parametrize("key", [Qt.Key.Key_N, Qt.Key.Key_J, Qt.Key.Key_W])
def test_letters_are_left_to_the_viewer(table, key):
    fill(table, make_row(1))
    table.set_current(1)
    event = QKeyEvent(
        QKeyEvent.Type.KeyPress, key, Qt.KeyboardModifier.NoModifier, chr(key).lower()
    )
    table.keyPressEvent(event)
    assert not event.isAccepted()


def test_the_menu_offers_what_can_be_done(table):
    fill(table, make_row(1, locked=True, visible=False, prompts=0))
    table.set_current(1)
    offered = [action.text().replace("&", "") for action in table.menu().actions()]
    assert offered == ["Go to it", "Rename...", "Class...", "Show", "Unlock"]


def test_the_menu_acts_on_all_selected(qtbot, table):
    fill(table, make_row(1), make_row(2))
    table.selectAll()
    entries = {a.text().replace("&", ""): a for a in table.menu().actions()}
    with qtbot.waitSignal(table.action_wanted) as wanted:
        entries["Lock 2 objects"].trigger()
    assert wanted.args[0] == "lock"
    assert sorted(wanted.args[1]) == [1, 2]


def test_five_hundred_rows_are_quick(table):
    rows = [make_row(n) for n in range(1, 501)]
    fill(table, *rows)
    begin = time.perf_counter()
    for done in range(10):
        changed = [make_row(n, frames_done=done + 2) for n in range(1, 501)]
        table.objects.update_rows(changed)
        table.set_current(done + 1)
        table.grab()
    # 12 ms here; a loaded machine may take longer.
    assert (time.perf_counter() - begin) / 10 < 0.1
