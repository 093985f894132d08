"""The picture of the timeline, as an array."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.ui.records import Mark
from napari_sam2.ui.theme import ThemeColours, confidence_colours
from napari_sam2.ui.timeline_cells import (
    CellGrid,
    confidence_codes,
    paint_cells,
    ruler_step,
)

DARK = ThemeColours.of("dark")


def paint(confidence, marks=None, *, height=20.0, width=20.0, window=None):
    """RGB of the cells, all of them if no window is given."""
    confidence = np.asarray(confidence, np.float32)
    if marks is None:
        marks = np.zeros(confidence.shape, np.uint8)
    grid = CellGrid(*confidence.shape, height, width)
    if window is None:
        window = (0, 0, *grid.size)
    painted = paint_cells(
        confidence_codes(confidence),
        np.asarray(marks, np.uint8),
        grid,
        window=window,
        colours=DARK,
    )
    return painted[..., 2::-1]


def test_a_cell_has_the_colour_of_its_confidence():
    cells = paint([[0.0, 1.0], [0.5, np.nan]])
    table = confidence_colours()
    assert cells[4, 4].tolist() == table[0].tolist()
    assert cells[4, 24].tolist() == table[255].tolist()
    assert cells[24, 4].tolist() == table[128].tolist()
    assert cells[24, 24].tolist() == list(DARK.empty)


def test_confidence_beyond_its_range_is_clipped_and_unknown_ones_are_empty():
    codes = confidence_codes(np.array([-1.0, 2.0, np.nan, np.inf]))
    assert codes.tolist() == [0, 255, 256, 256]


def test_marks_are_seen_where_they_belong():
    plain = paint([[0.9]])
    prompted = paint([[0.9]], [[Mark.PROMPTED]])
    approved = paint([[0.9]], [[Mark.APPROVED]])
    stale = paint([[0.9]], [[Mark.STALE]])
    assert prompted[9, 9].tolist() == list(DARK.text)  # a diamond in the middle
    assert prompted[1, 1].tolist() == plain[1, 1].tolist()
    assert approved[17, 9].tolist() == list(DARK.text)  # a bar below
    assert approved[5, 9].tolist() == plain[5, 9].tolist()
    striped = (stale[:10, :10] == DARK.background).all(-1).mean()
    assert 0.3 < striped < 0.7


def test_the_window_is_a_part_of_the_whole():
    random = np.random.default_rng(0)
    confidence = random.random((7, 11))
    marks = random.integers(0, 8, (7, 11))
    whole = paint(confidence, marks, height=9.4, width=6.7)
    part = paint(confidence, marks, height=9.4, width=6.7, window=(13, 8, 30, 21))
    np.testing.assert_array_equal(part, whole[8:29, 13:43])


def test_beyond_the_last_cell_is_background():
    cells = paint([[0.5]], height=10, width=10, window=(0, 0, 30, 30))
    assert (cells[10:] == DARK.background).all()
    assert (cells[:, 10:] == DARK.background).all()


def test_narrow_cells_still_show_prompts():
    marks = np.zeros((1, 50), np.uint8)
    marks[0, 20] = Mark.PROMPTED
    cells = paint(np.full((1, 50), 0.9), marks, height=12, width=3)
    changed = (cells != paint(np.full((1, 50), 0.9), height=12, width=3)).any((0, 2))
    assert set(np.flatnonzero(changed)) <= set(range(60, 63))
    assert changed.any()


@given(
    st.floats(1, 40),
    st.floats(1, 40),
    st.integers(0, 500),
    st.integers(0, 500),
)
def test_every_pixel_of_a_span_belongs_to_its_cell(height, width, row, column):
    grid = CellGrid(501, 501, height, width)
    x, wide = grid.column_span(column)
    y, high = grid.row_span(row)
    assert grid.cell_at(x, y) == (row, column)
    assert grid.cell_at(x + wide - 1, y + high - 1) == (row, column)


@pytest.mark.parametrize(
    ("columns", "width", "room", "step"),
    [(60, 20.0, 30.0, 2), (60, 6.0, 30.0, 5), (2000, 3.0, 40.0, 20), (5, 1.0, 99.0, 5)],
)
def test_ruler_numbers_are_round_and_have_room(columns, width, room, step):
    assert ruler_step(columns, width, room) == step


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_confidence_is_told_from_every_theme(theme):
    colours = ThemeColours.of(theme)
    table = confidence_colours().astype(int)
    for other in (colours.background, colours.empty):
        assert np.abs(table - other).sum(1).min() > 100
