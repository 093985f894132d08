"""The table of objects: what each is, how far it has come, how sure its masks are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import (
    QAbstractTableModel,
    QItemSelectionModel,
    QModelIndex,
    QSize,
    QSortFilterProxyModel,
    Qt,
    Signal,
)
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QMenu,
    QSizePolicy,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from napari_sam2.ui.object_cells import (
    COLUMNS,
    Column,
    cell_help,
    cell_text,
    column_help,
    score_colour,
    sort_key,
    swatch,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_sam2.ui.records import ObjectRow

SORT_ROLE = Qt.ItemDataRole.UserRole
ID_ROLE = Qt.ItemDataRole.UserRole + 1

_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
_NUMBERS = (Column.PROMPTS, Column.DONE, Column.LOWEST)
_EDITED = (Column.NAME, Column.CLASS)


class ObjectTableModel(QAbstractTableModel):
    """Rows of `ObjectRow` for a table view.

    Names and classes can be edited, visibility ticked; the model only announces what
    the user wants, and changes when it is given other rows.
    """

    renamed = Signal(object, str)
    """Object id and the name it shall have."""
    classified = Signal(object, str)
    """Object id and the class it shall have."""
    visibility_wanted = Signal(object, bool)
    """Object id, and whether it shall be shown."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: list[ObjectRow] = []
        self._number: dict[int, int] = {}
        self._num_frames = 0

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids from the first row to the last."""
        return tuple(self._number)

    def set_rows(self, rows: Sequence[ObjectRow], num_frames: int) -> None:
        """Show rows; if none came or went, selection and scrolling stay.

        Parameters
        ----------
        rows : sequence of ObjectRow
            In the order of the session.
        num_frames : int
            Frames of the stack.
        """
        ids = tuple(row.object_id for row in rows)
        if ids != self.object_ids or num_frames != self._num_frames:
            self.beginResetModel()
            self._rows, self._num_frames = list(rows), num_frames
            self._number = {object_id: n for n, object_id in enumerate(ids)}
            self.endResetModel()
        else:
            self.update_rows(rows)

    def update_rows(self, rows: Iterable[ObjectRow]) -> None:
        """Show what is new in rows that are there already."""
        changed = []
        for row in rows:
            number = self._number.get(row.object_id)
            if number is not None and self._rows[number] != row:
                self._rows[number] = row
                changed.append(number)
        if changed:
            first = self.index(min(changed), 0)
            self.dataChanged.emit(first, self.index(max(changed), len(COLUMNS) - 1))

    def row(self, object_id: int) -> ObjectRow | None:
        """Return an object's row, or None."""
        number = self._number.get(object_id)
        return None if number is None else self._rows[number]

    @property
    def has_classes(self) -> bool:
        """Whether any object has a class."""
        return any(row.category for row in self._rows)

    def number(self, object_id: int) -> int | None:
        """Return where an object is in the model, or None."""
        return self._number.get(object_id)

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of objects."""
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of columns."""
        return 0 if parent is not None and parent.isValid() else len(COLUMNS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = 0
    ) -> Any:
        """Return a column's title or its explanation."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        if role == Qt.ItemDataRole.ToolTipRole:
            return column_help(Column(section))
        return None

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """Return what can be done with a cell."""
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        if index.column() in _EDITED:
            flags |= Qt.ItemFlag.ItemIsEditable
        if index.column() == Column.ID:
            flags |= Qt.ItemFlag.ItemIsUserCheckable
        return flags

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        """Return what a cell shows."""
        if not index.isValid():
            return None
        row, column = self._rows[index.row()], Column(index.column())
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
            return cell_text(row, column, self._num_frames)
        if role == SORT_ROLE:
            return sort_key(row, column)
        if role == ID_ROLE:
            return row.object_id
        if role == Qt.ItemDataRole.ToolTipRole:
            return cell_help(row, column, self._num_frames)
        if role == Qt.ItemDataRole.TextAlignmentRole and column in _NUMBERS:
            return _RIGHT
        if column == Column.ID and role == Qt.ItemDataRole.DecorationRole:
            return swatch(row.color)
        if column == Column.ID and role == Qt.ItemDataRole.CheckStateRole:
            return Qt.CheckState.Checked if row.visible else Qt.CheckState.Unchecked
        if column == Column.LOWEST and math.isfinite(row.lowest_score):
            if role == Qt.ItemDataRole.BackgroundRole:
                return score_colour(row.lowest_score)
            if role == Qt.ItemDataRole.ForegroundRole:
                return score_colour(row.lowest_score, text=True)
        return None

    def setData(self, index: QModelIndex, value: Any, role: int = 0) -> bool:
        """Announce an edit."""
        row = self._rows[index.row()]
        if role == Qt.ItemDataRole.CheckStateRole:
            ticked = Qt.CheckState(value) == Qt.CheckState.Checked
            self.visibility_wanted.emit(row.object_id, ticked)
            return True
        if role != Qt.ItemDataRole.EditRole:
            return False
        text = str(value).strip()
        if index.column() == Column.NAME and text and text != row.name:
            self.renamed.emit(row.object_id, text)
        elif index.column() == Column.CLASS and text != row.category:
            self.classified.emit(row.object_id, text)
        return True


class _KeepsColour(QStyledItemDelegate):
    """Shows a cell's own colour also where its row is selected."""

    def initStyleOption(self, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Take a cell with a colour for one that is not selected."""
        super().initStyleOption(option, index)
        if index.data(Qt.ItemDataRole.BackgroundRole) is not None:
            option.state &= ~QStyle.StateFlag.State_Selected


class ObjectTableView(QTableView):
    """Shows the objects and announces what shall become of them.

    The selected row and the current object are one thing: `set_current` selects
    without announcing.
    """

    object_chosen = Signal(object)
    """Id of the row that the user made the current one."""
    go_wanted = Signal(object)
    """Id of the object to go to: double-click, or Enter."""
    action_wanted = Signal(str, object)
    """Name of an action ("delete", "lock", ...) and a tuple of ids."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.objects = ObjectTableModel(self)
        self._sorted = QSortFilterProxyModel(self)
        self._sorted.setSourceModel(self.objects)
        self._sorted.setSortRole(SORT_ROLE)
        self._current: int | None = None
        self._announcing = True
        self.setModel(self._sorted)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(
            QAbstractItemView.EditTrigger.DoubleClicked
            | QAbstractItemView.EditTrigger.EditKeyPressed
        )
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)  # Tab leaves the table
        self.setWordWrap(False)
        self.setSortingEnabled(True)
        self.sortByColumn(Column.ID, Qt.SortOrder.AscendingOrder)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("Objects")
        self.setItemDelegateForColumn(Column.LOWEST, _KeepsColour(self))
        self.customContextMenuRequested.connect(self._show_menu)
        self.doubleClicked.connect(self._go_if_not_edited)
        self.selectionModel().currentRowChanged.connect(self._announce_current)
        self._sorted.modelReset.connect(self._select_current)
        self.objects.modelReset.connect(self._show_classes)
        self.objects.dataChanged.connect(self._show_classes)
        self._size_cells()
        self.setColumnHidden(Column.CLASS, True)

    def _size_cells(self) -> None:
        """Give each column what its text needs, and names the rest."""
        metrics = self.fontMetrics()
        line = metrics.height()
        rows = self.verticalHeader()
        rows.setVisible(False)
        rows.setMinimumSectionSize(line)
        rows.setDefaultSectionSize(round(1.5 * line))
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.setIconSize(QSize(round(0.8 * line), round(0.8 * line)))
        header = self.horizontalHeader()
        header.setMinimumSectionSize(line)
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setSectionResizeMode(Column.NAME, QHeaderView.ResizeMode.Stretch)
        samples = {
            Column.CLASS: "nucleus",
            Column.PROMPTS: "Prompts",
            Column.DONE: "999/999",
            Column.LOWEST: "Lowest",
            Column.STATUS: "prompted",
        }
        for column, sample in samples.items():
            self.setColumnWidth(column, metrics.horizontalAdvance(sample) + line // 2)
        tick = self.style().pixelMetric(QStyle.PixelMetric.PM_IndicatorWidth)
        number = metrics.horizontalAdvance("999")
        self.setColumnWidth(Column.ID, tick + number + round(2.2 * line))

    def _show_classes(self, *_: object) -> None:
        """Show the column of classes from the first class on."""
        if self.isColumnHidden(Column.CLASS) and self.objects.has_classes:
            self.setColumnHidden(Column.CLASS, False)

    def sizeHint(self) -> QSize:
        """Room for three rows; it takes all that is left over."""
        return self.minimumSizeHint()

    def minimumSizeHint(self) -> QSize:
        """Room for the header and three rows."""
        line = self.fontMetrics().height()
        return QSize(14 * line, 7 * line)

    def set_current(self, object_id: int | None) -> None:
        """Select an object's row; none if it has no row yet."""
        self._current = object_id
        self._select_current()

    def selected_ids(self) -> tuple[int, ...]:
        """Return the ids of all selected rows."""
        rows = self.selectionModel().selectedRows()
        return tuple(int(index.data(ID_ROLE)) for index in rows)

    def _select_current(self) -> None:
        """Let the selection follow the current object."""
        model = self.selectionModel()
        number = None if self._current is None else self.objects.number(self._current)
        self._announcing = False
        if number is None:
            model.clear()
        else:
            index = self._sorted.mapFromSource(self.objects.index(number, Column.ID))
            flags = QItemSelectionModel.SelectionFlag
            kept = model.isRowSelected(index.row(), QModelIndex())
            change = flags.NoUpdate if kept else flags.ClearAndSelect | flags.Rows
            if model.currentIndex().row() != index.row() or not kept:
                model.setCurrentIndex(index, change)
                self.scrollTo(index)
        self._announcing = True

    def _announce_current(self, index: QModelIndex, before: QModelIndex) -> None:
        """Tell which object the user moved to."""
        if self._announcing and index.isValid():
            self._current = int(index.data(ID_ROLE))
            self.object_chosen.emit(self._current)

    def _go_if_not_edited(self, index: QModelIndex) -> None:
        """Go to an object whose double-clicked cell is not one to edit."""
        if index.column() not in _EDITED:
            self.go_wanted.emit(int(index.data(ID_ROLE)))

    def keyPressEvent(self, event: Any) -> None:
        """Move, edit, delete and hide; letters are the viewer's keys."""
        ids = self.selected_ids()
        if self.state() == QAbstractItemView.State.EditingState:
            super().keyPressEvent(event)  # the key that ends an edit
        elif event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace) and ids:
            self.action_wanted.emit("delete", ids)
        elif event.key() == Qt.Key.Key_Space and ids:
            row = self.objects.row(ids[0])
            shown = row is not None and row.visible
            self.action_wanted.emit("hide" if shown else "show", ids)
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and ids:
            self.go_wanted.emit(ids[0])
        elif event.key() == Qt.Key.Key_F2 and len(ids) == 1:
            self._act("rename", ids)
        elif event.text().isprintable() and event.text().strip():
            event.ignore()  # no search by typing: N, J, K ... are shortcuts
        else:
            super().keyPressEvent(event)

    def menu(self) -> QMenu:
        """Return what can be done with the selected objects."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        ids = self.selected_ids()
        rows = [row for row in map(self.objects.row, ids) if row is not None]
        many = f" {len(ids)} objects" if len(ids) > 1 else ""
        go = menu.addAction("&Go to it")
        go.triggered.connect(lambda: self.go_wanted.emit(ids[0]))
        entries = (
            ("rename", "Re&name...", len(ids) == 1),
            ("classify", "&Class...", len(ids) == 1),
            ("hide", f"&Hide{many}", any(row.visible for row in rows)),
            ("show", f"&Show{many}", any(not row.visible for row in rows)),
            ("lock", f"&Lock{many}", any(not row.locked for row in rows)),
            ("unlock", f"&Unlock{many}", any(row.locked for row in rows)),
            ("rerun", f"&Track{many} again", any(row.prompts for row in rows)),
            ("delete", f"&Delete{many}", any(not row.locked for row in rows)),
        )
        for name, text, possible in entries:
            if possible:
                action = menu.addAction(text)
                action.triggered.connect(
                    lambda _=False, name=name: self._act(name, ids)
                )
        return menu

    def _act(self, name: str, ids: tuple[int, ...]) -> None:
        """Announce an action of the menu, or begin to edit a cell."""
        column = {"rename": Column.NAME, "classify": Column.CLASS}.get(name)
        number = self.objects.number(ids[0])
        if column is None:
            self.action_wanted.emit(name, ids)
        elif number is not None:
            self.setColumnHidden(column, False)
            self.edit(self._sorted.mapFromSource(self.objects.index(number, column)))

    def _show_menu(self, position: Any) -> None:
        """Open the menu at the pointer."""
        if self.selected_ids():
            self.menu().popup(self.viewport().mapToGlobal(position))
