from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam2.ui.engine import FrameAnswer, RowAnswer
from napari_sam2.ui.object_table import ObjectTable, confidence, next_doubtful
from napari_sam2.ui.records import Mark, ObjectStatus, Timeline

SHAPE = (3, 6)
floats = hnp.arrays(
    np.float32, SHAPE, elements=st.floats(-(2.0**99), 2.0**99, width=32)
)
areas = hnp.arrays(np.float32, SHAPE, elements=st.integers(0, 10**6))


@given(floats, floats, areas, hnp.arrays(bool, SHAPE))
def test_confidence_is_a_share_where_there_is_a_result(scores, ious, sizes, known):
    trust = confidence(scores, ious, sizes, known)
    assert (np.isnan(trust) == ~known).all()
    assert ((trust[known] >= 0) & (trust[known] <= 1)).all()


@pytest.mark.parametrize(
    ("score", "iou", "area", "expected"),
    [
        (9.0, 0.8, 100, 0.8),
        (9.0, 0.8, 60, 0.8),
        (9.0, 0.8, 25, 0.4),
        (9.0, 0.8, 400, 0.4),
        (-9.0, 0.0, 0, 1.0),
        (0.1, 1.0, 100, 0.525),
        (-0.1, 1.0, 0, 0.525),
    ],
)
def test_what_lowers_confidence(score, iou, area, expected):
    def pair(before, now):
        return np.array([[before, now]], np.float32)

    known = np.ones((1, 2), bool)
    trust = confidence(pair(9, score), pair(0.8, iou), pair(100, area), known)
    assert trust[0, 1] == pytest.approx(expected, abs=0.01)


def answer(frame, ids, marks=None):
    count = len(ids)
    return FrameAnswer(
        frame=frame,
        revision=0,
        labels=np.zeros((2, 2), np.uint16),
        object_ids=tuple(ids),
        marks=np.array(marks or [0] * count, np.uint8),
        object_scores=np.full(count, 8, np.float32),
        predicted_iou=np.full(count, 0.7, np.float32),
        areas=np.full(count, 50),
    )


def grey(object_id):
    return (0.5, 0.5, 0.5, 1.0)


def test_rows_follow_frames_and_rows_of_answers():
    table = ObjectTable(3)
    for object_id in (7, 2):
        assert table.add(object_id)
    assert not table.add(7)
    assert [row.status for row in table.rows(grey)] == [ObjectStatus.NEW] * 2
    table.update_frame(answer(0, (7, 2, 99), [Mark.PROMPTED, Mark.PROMPTED, 0]))
    table.update_frame(answer(1, (7,)))
    two, seven = table.rows(grey)
    assert (two.object_id, two.status) == (2, ObjectStatus.PROMPTED)
    assert (seven.frames_done, seven.status) == (2, ObjectStatus.PARTIAL)
    assert seven.lowest_score == pytest.approx(0.7, abs=0.01)
    stale = np.array([Mark.PROMPTED, Mark.STALE, 0], np.uint8)
    table.update_row(RowAnswer(7, stale, np.array([True, True, False])))
    assert table.rows(grey, [7])[0].status == ObjectStatus.STALE
    table.update_frame(answer(1, (7,)))
    table.update_frame(answer(2, (7,)))
    assert table.rows(grey, [7])[0].status == ObjectStatus.DONE


def test_a_new_object_inherits_nothing_of_a_deleted_one():
    table = ObjectTable(3)
    table.add(1)
    table.update_frame(answer(0, (1,), [Mark.APPROVED]))
    table.rename(1, "old")
    table.set_locked([1], True)
    table.remove([1, 5])
    table.add(2)
    (row,) = table.rows(grey)
    assert (row.name, row.locked, row.approved, row.frames_done) == (
        "Object 2",
        False,
        0,
        0,
    )
    assert np.isnan(table.timeline().confidence).all()


def test_columns_are_those_of_the_timeline():
    table = ObjectTable(4)
    for object_id in range(1, 40):
        table.add(object_id)
    for frame in range(4):
        table.update_frame(answer(frame, range(1, 40, frame + 1)))
    timeline = table.timeline()
    for frame in range(4):
        column = table.column(frame)
        np.testing.assert_array_equal(column.confidence, timeline.confidence[:, frame])
        np.testing.assert_array_equal(column.marks, timeline.marks[:, frame])


TRUST = np.array(
    [
        [0.9, 0.4, 0.2, 0.3, 0.9, 0.1],
        [0.9, 0.9, 0.9, 0.9, 0.3, np.nan],
    ],
    np.float32,
)


@pytest.mark.parametrize(
    ("here", "worst", "ids", "expected"),
    [
        ((0, 1), False, (1, 2), (2, 1)),
        ((2, 1), False, (1, 2), (4, 2)),
        ((4, 2), False, (1, 2), (5, 1)),
        ((5, 1), False, (1, 2), (2, 1)),
        ((0, 1), True, (1, 2), (5, 1)),
        ((0, 1), False, (2,), (4, 2)),
        ((0, 1), False, (), None),
    ],
)
def test_the_next_doubtful_frame_is_the_lowest_of_its_stretch(
    here, worst, ids, expected
):
    timeline = Timeline((1, 2), TRUST, np.zeros(TRUST.shape, np.uint8))
    frame, object_id = here
    found = next_doubtful(
        timeline, ids, frame=frame, object_id=object_id, below=0.5, worst=worst
    )
    assert found == expected


@pytest.mark.parametrize("mark", [Mark.PROMPTED, Mark.APPROVED])
def test_what_the_user_settled_is_not_doubtful(mark):
    marks = np.zeros(TRUST.shape, np.uint8)
    marks[0, [2, 5]] = mark
    timeline = Timeline((1, 2), TRUST, marks)
    found = [
        next_doubtful(timeline, (1,), frame=frame, object_id=1, below=0.5, worst=False)
        for frame in (0, 1)
    ]
    assert found == [(1, 1), (3, 1)]
