"""Corrections and approvals: what becomes stale, what is computed again, what stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_sam2 import PredictorOptions, Prompt, VideoPredictor
from sessions import (
    SCENE,
    add_click,
    all_logits,
    changed,
    click,
    largest_difference,
    run,
    start,
)

if TYPE_CHECKING:
    from napari_sam2 import Session
    from napari_sam2.model.sam2 import Sam2


def up(first: int, last: int) -> list[int]:
    return list(range(first, last + 1))


def tracked(predictor: VideoPredictor, prompted: list[int]) -> Session:
    """A session of one object, tracked everywhere."""
    session = start(predictor, {1: prompted})
    run(predictor, session, direction="both")
    return session


# Prompted frames, approved frames, the corrected one, and what becomes stale.
CORRECTIONS = [
    ([0], [], 12, up(1, 11) + up(13, 23)),
    ([0], [6, 18], 12, up(7, 11) + up(13, 17)),
    ([0, 20], [], 12, up(1, 11) + up(13, 19)),
    ([0], [11, 13], 12, []),
    ([0], [12], 12, up(1, 11) + up(13, 23)),
    ([10], [], 10, up(0, 9) + up(11, 23)),
    ([10], [8, 14], 10, [9, 11, 12, 13]),
    ([10, 11, 12], [], 11, []),
    ([0], [5, 6, 7], 3, [1, 2, 4]),
    ([0], [5], 23, up(6, 22)),
]


@pytest.mark.parametrize(
    ("prompted", "approved", "corrected", "stale"), CORRECTIONS, ids=str
)
def test_a_correction_bears_on_its_span_alone(
    predictor: VideoPredictor,
    record_calls: Any,
    prompted: list[int],
    approved: list[int],
    corrected: int,
    stale: list[int],
) -> None:
    session = tracked(predictor, prompted)
    session.approve(approved)
    before = all_logits(session)
    mask = SCENE.mask(1, corrected)
    predictor.add_prompt(
        session, frame=corrected, object_id=1, prompt=Prompt(mask=mask)
    )
    assert session.stale(1) == stale
    assert session.done(1) == sorted({*up(0, 23)} - {*stale})

    if stale:
        attended = record_calls(predictor.model, "attend")
        run(predictor, session, direction="both")
        anchors = {*prompted, *approved, corrected}
        passes = sum(
            any(a < frame for a in anchors) + any(a > frame for a in anchors)
            for frame in stale
        )
        assert sum(len(args[1]) for args in attended) == passes
    assert session.stale(1) == []
    now = changed(before, all_logits(session))
    assert set(now) <= {corrected, *stale}
    assert corrected in now
    # Where it bears it shows, at least next to it.
    assert {corrected - 1, corrected + 1} & {*stale} <= {*now}


@pytest.mark.parametrize(
    ("prompted", "approved", "removed", "stale"),
    [
        ([0, 12], [], 12, up(1, 23)),
        ([0, 12], [6, 18], 12, up(7, 17)),
        ([0, 12, 20], [], 12, up(1, 19)),
        ([0, 12, 20], [11, 13], 12, [12]),
        ([5, 12], [], 5, up(0, 11)),
    ],
    ids=str,
)
def test_a_prompt_taken_back_makes_its_span_stale(
    predictor: VideoPredictor,
    prompted: list[int],
    approved: list[int],
    removed: int,
    stale: list[int],
) -> None:
    session = tracked(predictor, prompted)
    session.approve(approved)
    before = all_logits(session)
    predictor.remove_prompt(session, frame=removed, object_id=1)
    assert session.stale(1) == stale
    run(predictor, session, direction="both")
    assert session.done(1) == up(0, 23)
    assert set(changed(before, all_logits(session))) <= {*stale}


def test_a_correction_of_one_object_leaves_the_others(
    predictor: VideoPredictor,
) -> None:
    session = start(predictor, {1: [0], 2: [0]})
    run(predictor, session)
    before = all_logits(session)
    add_click(predictor, session, 10, 1)
    assert session.stale(2) == []
    run(predictor, session, direction="both")
    assert changed(before, all_logits(session), object_id=2) == []


def test_a_corrected_frame_is_never_overwritten(predictor: VideoPredictor) -> None:
    session = tracked(predictor, [0])
    corrections = {9: click(0, 9, 1), 15: Prompt(mask=SCENE.mask(0, 15))}
    for frame, prompt in corrections.items():
        predictor.add_prompt(session, frame=frame, object_id=1, prompt=prompt)
    before = all_logits(session)
    for options in (
        {"direction": "both"},
        {"direction": "forward", "frames": (0, 23)},
        {"direction": "backward", "frames": (0, 23)},
        {"direction": "both"},
    ):
        run(predictor, session, **options)
        assert not {0, 9, 15} & {*changed(before, all_logits(session))}


def test_a_correction_conditions_what_follows(
    predictor: VideoPredictor, record_calls: Any
) -> None:
    session = tracked(predictor, [0])
    add_click(predictor, session, 12, 1)
    attended = record_calls(predictor.model, "attend")
    run(predictor, session, frames=(13, 13))
    ((_, memories, positions, pointers, _),) = attended
    assert memories.shape[:2] == positions.shape
    # Frames 0 and 12 condition; nothing else near is up to date.
    assert positions.tolist() == [[0, 0]]
    assert pointers.shape[1] == 2


# Approval.


@pytest.mark.parametrize("overlap", ["highest_logit", "keep"])
def test_approved_frames_never_change(predictor: VideoPredictor, overlap: str) -> None:
    options = type(predictor.options)(overlap=overlap)
    predictor = type(predictor)(predictor.model, options)
    session = start(predictor, {1: [0], 2: [0]})
    run(predictor, session)
    before = {f: session.masks(f).labels() for f in (5, 6, 14)}
    masks = {f: session.masks(f).masks for f in before}
    session.approve(before)
    for frame, labels in before.items():
        np.testing.assert_array_equal(session.masks(frame).labels(), labels)
        np.testing.assert_array_equal(session.masks(frame).masks, masks[frame])

    for object_id, frame in ((1, 10), (2, 3), (1, 20)):
        add_click(predictor, session, frame, object_id)
    run(predictor, session, direction="both")
    run(predictor, session, direction="backward", frames=(0, 23))
    for frame, labels in before.items():
        np.testing.assert_array_equal(session.masks(frame).labels(), labels)
        np.testing.assert_array_equal(session.masks(frame).masks, masks[frame])


def test_other_objects_do_not_take_from_an_approved_one(
    predictor: VideoPredictor,
) -> None:
    session = start(predictor, {1: [0]})
    run(predictor, session)
    session.approve([4, 9])
    before = {f: session.masks(f).labels() == 1 for f in (4, 9)}
    # The same disc again, as other objects.
    for object_id in (2, 3):
        predictor.add_prompt(
            session,
            frame=0,
            object_id=object_id,
            prompt=Prompt(mask=SCENE.mask(0, 0) | before[4]),
        )
    run(predictor, session, direction="both")
    for frame, mask in before.items():
        assert session.masks(frame).object_ids == (1, 2, 3)
        np.testing.assert_array_equal(session.masks(frame).labels() == 1, mask)
    predictor.remove_object(session, object_id=2)
    for frame, mask in before.items():
        np.testing.assert_array_equal(session.masks(frame).labels() == 1, mask)


def test_an_approved_mask_does_not_grow_when_a_neighbour_goes(
    predictor: VideoPredictor,
) -> None:
    session = predictor.start(SCENE.frames)
    for object_id, prompt in ((1, click(0, 0)), (2, Prompt(mask=np.ones((128, 128))))):
        predictor.add_prompt(session, frame=0, object_id=object_id, prompt=prompt)
    run(predictor, session)
    session.approve(7)
    before = session.masks(7).labels() == 1
    predictor.remove_object(session, object_id=2)
    np.testing.assert_array_equal(session.masks(7).labels() == 1, before)


def test_approval_can_be_taken_back(predictor: VideoPredictor) -> None:
    session = tracked(predictor, [0])
    session.approve(up(4, 6))
    assert session.approved(1) == [4, 5, 6]
    session.unapprove([5, 6])
    assert session.approved(1) == [4]
    assert session.stale(1) == []
    before = all_logits(session)
    add_click(predictor, session, 10, 1)
    assert session.stale(1) == up(5, 9) + up(11, 23)
    run(predictor, session)
    assert 5 in changed(before, all_logits(session))


def test_approving_and_taking_it_back_changes_nothing(
    predictor: VideoPredictor,
) -> None:
    session = start(predictor, {1: [0, 9], 2: [3]})
    painted = Prompt(mask=SCENE.mask(0, 9))
    predictor.add_prompt(session, frame=9, object_id=1, prompt=painted)
    run(predictor, session, direction="both")
    before = all_logits(session)
    session.approve(up(0, 12))
    session.unapprove(up(0, 12))
    after = all_logits(session)
    assert changed(before, after, 1) == changed(before, after, 2) == []
    assert session.stale(1) == session.stale(2) == []


def test_a_stale_frame_that_is_approved_stands(predictor: VideoPredictor) -> None:
    session = tracked(predictor, [0])
    before = session.masks(8).labels()
    add_click(predictor, session, 12, 1)
    assert 8 in session.stale(1)
    session.approve(8)
    assert 8 not in session.stale(1)
    run(predictor, session, direction="both")
    np.testing.assert_array_equal(session.masks(8).labels(), before)


@pytest.mark.parametrize("approved", [True, False])
def test_a_prompt_taken_back_brings_back_what_it_displaced(
    predictor: VideoPredictor, approved: bool
) -> None:
    session = tracked(predictor, [0])
    if approved:
        session.approve(10)
    before = all_logits(session)
    for frame in (10, 12):
        add_click(predictor, session, frame)
        prompt = click(0, frame, 1)
        predictor.add_prompt(session, frame=frame, object_id=1, prompt=prompt)
    for frame in (12, 10):
        predictor.remove_prompt(session, frame=frame, object_id=1)
    assert session.approved(1) == [10] * approved
    assert session.stale(1) == []
    assert changed(before, all_logits(session)) == []


@pytest.mark.parametrize("approved", [True, False])
def test_what_was_found_with_a_prompt_that_is_taken_back_is_stale(
    predictor: VideoPredictor, approved: bool
) -> None:
    session = tracked(predictor, [0])
    if approved:
        session.approve(10)
    before = all_logits(session)
    add_click(predictor, session, 10)
    run(predictor, session, frames=(5, 7))
    predictor.remove_prompt(session, frame=10, object_id=1)
    assert session.approved(1) == [10] * approved
    expected = up(1, 9) + [10] * (not approved) + up(11, 23)
    assert session.stale(1) == expected
    assert set(changed(before, all_logits(session))) <= {5, 6, 7}
    run(predictor, session)
    assert session.stale(1) == []
    assert largest_difference(before, all_logits(session)) < 0.01


def test_what_an_approval_shielded_from_a_prompt_taken_back_is_stale_without_it(
    predictor: VideoPredictor,
) -> None:
    session = tracked(predictor, [0])
    add_click(predictor, session, 10)
    run(predictor, session, direction="both")
    session.approve(15)
    predictor.remove_prompt(session, frame=10, object_id=1)
    session.unapprove(15)
    assert session.stale(1) == up(1, 23)


def test_a_result_of_a_prompt_taken_back_is_not_brought_back_as_done(
    predictor: VideoPredictor,
) -> None:
    session = tracked(predictor, [0])
    for frame in (10, 15):
        add_click(predictor, session, frame)
        run(predictor, session, direction="both")
    for frame in (10, 15):
        predictor.remove_prompt(session, frame=frame, object_id=1)
    assert session.stale(1) == up(1, 23)


def test_a_stale_frame_is_stale_again_without_its_prompt(
    predictor: VideoPredictor,
) -> None:
    session = tracked(predictor, [0])
    predictor.add_prompt(session, frame=0, object_id=1, prompt=click(0, 0, 1))
    add_click(predictor, session, 10)
    predictor.remove_prompt(session, frame=10, object_id=1)
    assert session.stale(1) == up(1, 23)


@pytest.mark.parametrize("how", ["correct", "add", "remove"])
def test_a_released_frame_is_stale_if_a_prompt_it_shielded_from_changed(
    predictor: VideoPredictor, how: str
) -> None:
    session = tracked(predictor, [0, 20] if how != "add" else [0])
    session.approve(10)
    if how == "remove":
        predictor.remove_prompt(session, frame=20, object_id=1)
    else:
        add_click(predictor, session, 18 if how == "add" else 20, 1)
        predictor.add_prompt(session, frame=20, object_id=1, prompt=click(0, 20, 1))
    run(predictor, session, direction="both")
    assert session.stale(1) == []
    session.unapprove(10)
    assert 10 in session.stale(1)
    assert 9 in session.stale(1)
    run(predictor, session, direction="both")
    assert session.done(1) == up(0, 23)


def test_a_correction_that_does_not_condition_voids_the_approval_too(
    micro: Sam2,
) -> None:
    options = PredictorOptions(corrections_condition=False)
    predictor = VideoPredictor(micro, options)
    session = tracked(predictor, [0])
    session.approve([8, 9])
    add_click(predictor, session, 8)
    assert session.approved(1) == [9]
    assert list(session.prompts(1)) == [0]


def test_a_new_prompt_voids_the_approval_of_its_frame(
    predictor: VideoPredictor,
) -> None:
    session = tracked(predictor, [0])
    session.approve([8, 9])
    mask = SCENE.mask(3, 8)
    predictor.add_prompt(session, frame=8, object_id=1, prompt=Prompt(mask=mask))
    assert session.approved(1) == [9]
    np.testing.assert_array_equal(session.masks(8).masks[0], mask)


def test_a_span_beside_an_approved_frame_starts_from_its_label(
    predictor: VideoPredictor,
) -> None:
    def beside(labels: np.ndarray) -> np.ndarray:
        session = tracked(predictor, [0])
        session.import_labels(12, labels.astype(np.int32))
        assert session.stale(1) == up(1, 11) + up(13, 23)
        run(predictor, session, direction="both")
        return all_logits(session)[1, 13]

    here, there = beside(SCENE.mask(0, 12)), beside(SCENE.mask(1, 12))
    assert np.abs(here - there).max() > 1e-3
