from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.ui.drawn import CroppedMask, Drawn
from napari_sam2.ui.engine import RowAnswer
from napari_sam2.ui.object_table import ObjectTable
from napari_sam2.ui.records import Mark
from napari_sam2.ui.told import Approval, Inheritance, ToldPrompts, by_frame

HERE, THERE = (1, 3), (2, 3)
ONE, TWO = (Drawn(points=((x, 5.0),), labels=(1,)) for x in (4.0, 9.0))


def told():
    prompts = ToldPrompts()
    prompts.note_sent(HERE, ONE)
    return prompts


def test_news_are_what_was_not_sent():
    prompts = told()
    assert prompts.news({HERE: ONE}) == (set(), set())
    assert prompts.news({HERE: TWO, THERE: ONE}) == ({HERE, THERE}, set())
    assert prompts.news({}) == (set(), {HERE})


@pytest.mark.parametrize("failed", [True, False])
def test_a_prompt_that_came_to_nothing_is_news_until_it_is_sent(failed):
    prompts = told()
    prompts.note_answered(3, {1: ONE}, failed=failed)
    assert not prompts.under_way
    assert prompts.news({HERE: ONE})[0] == ({HERE} if failed else set())
    prompts.note_sent(HERE, ONE)
    assert prompts.news({HERE: ONE}) == (set(), set())


def test_a_failed_withdrawal_is_sent_again():
    prompts = told()
    prompts.note_sent(HERE, None)
    assert prompts.news({}) == (set(), set())
    prompts.note_answered(3, {1: None}, failed=True)
    assert prompts.news({}) == (set(), {HERE})


def test_an_answer_to_what_was_sent_before_counts_for_nothing():
    prompts = told()
    prompts.note_sent(HERE, TWO)
    prompts.note_answered(3, {1: ONE}, failed=True)
    assert prompts.under_way == {HERE: TWO}
    assert not prompts.failed


def table_with(marks):
    """Two objects with results on all of 5 frames; `marks` by place."""
    table = ObjectTable(5)
    for object_id in (1, 2):
        table.add(object_id)
        row = np.zeros(5, np.uint8)
        for (one, frame), mark in marks.items():
            if one == object_id:
                row[frame] |= mark
        table._known[table._rows[object_id]] = True
        table.update_row(RowAnswer(object_id, row, np.ones(5, bool)))
    return table


STACK = np.zeros((5, 8, 8), np.uint16)
STACK[:, :4], STACK[:, 4:] = 1, 2
APPROVED = {HERE: Mark.APPROVED}


@pytest.mark.parametrize(
    ("marks", "asked", "under_way", "approved"),
    [
        (APPROVED, [], [], {HERE}),
        (APPROVED, [], [HERE], set()),
        ({}, [(THERE, False)], [], {THERE}),
        ({}, [(THERE, False)], [THERE], set()),
        (APPROVED, [(HERE, True)], [], set()),
        (APPROVED, [(HERE, True), (HERE, False)], [], {HERE}),
    ],
)
def test_what_is_approved_is_inherited(marks, asked, under_way, approved):
    inheritance = Inheritance()
    for (object_id, frame), back in asked:
        inheritance.ask(Approval((frame,), (object_id,), back))
    inheritance.gather(table_with(marks), STACK, under_way)
    assert inheritance.approved.keys() == approved
    for object_id, frame in approved:
        mask = inheritance.approved[object_id, frame].whole()
        np.testing.assert_array_equal(mask, STACK[frame] == object_id)


def test_a_prompt_voids_an_approval_asked_for_before_it():
    inheritance = Inheritance()
    inheritance.ask(Approval((3,), (1, 2), back=False))
    inheritance.note_prompt(HERE, ONE)
    inheritance.gather(table_with({}), STACK, ())
    assert inheritance.approved.keys() == {THERE}


def test_an_answer_ends_only_what_it_answers():
    inheritance = Inheritance()
    first, second = (Approval((3,), (1,), back) for back in (False, True))
    inheritance.ask(first)
    inheritance.ask(second)
    inheritance.note_answered(first)
    assert inheritance.owners() == {1}
    inheritance.note_answered(second)
    assert inheritance.owners() == set()


def test_what_was_changed_meanwhile_is_not_handed_over():
    inheritance, prompts = Inheritance(), told()
    mask = CroppedMask.crop(STACK[3] == 1)
    inheritance.corrected[HERE] = inheritance.approved[THERE] = mask
    inheritance.corrections = {HERE, THERE}
    inheritance.ask(Approval((3,), (1,), back=False))
    assert inheritance.hand_over({HERE: TWO}, prompts) == []
    assert (inheritance.corrections, inheritance.corrected) == ({HERE}, {})
    assert inheritance.approved.keys() == {THERE}


def test_an_approval_of_what_is_under_way_is_asked_again_once():
    inheritance, prompts = Inheritance(), told()
    inheritance.ask(Approval((3,), (1,), back=False))
    assert inheritance.hand_over({HERE: ONE}, prompts) == [HERE]
    assert inheritance.hand_over({HERE: ONE}, prompts) == []


def test_objects_are_forgotten():
    inheritance, prompts = Inheritance(), told()
    inheritance.approved[HERE] = CroppedMask.crop(STACK[3] == 1)
    inheritance.ask(Approval((3,), (1, 2), back=False))
    inheritance.forget([1])
    prompts.forget([1])
    assert inheritance.owners() == {2}
    assert prompts.news({}) == (set(), set())


def test_masks_by_frame():
    mask = CroppedMask.crop(STACK[3] == 1)
    assert by_frame({HERE: mask, THERE: mask, (1, 4): mask}) == {
        3: {1: mask, 2: mask},
        4: {1: mask},
    }
