"""Passes over the frames: where they go, what they leave alone, how they resume."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_sam2 import PredictorOptions, Prompt, PromptError, VideoPredictor
from sessions import (
    SCENE,
    add_click,
    all_logits,
    changed,
    largest_difference,
    run,
    start,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_sam2 import FrameMasks
    from napari_sam2.model.sam2 import Sam2

LAST = 23
WHOLE = range(LAST + 1)


def down(first: int, last: int) -> list[int]:
    return list(range(last, first - 1, -1))


def up(first: int, last: int) -> list[int]:
    return list(range(first, last + 1))


# Prompted frames of object 1, what is asked for, and the frames that come.
ROUTES = [
    ([0], {}, up(0, 23)),
    ([10], {}, up(10, 23)),
    ([23], {}, [23]),
    ([10], {"direction": "backward"}, down(0, 10)),
    ([0], {"direction": "backward"}, []),
    ([10], {"direction": "both"}, up(10, 23) + down(0, 10)),
    ([5, 15], {"direction": "forward"}, up(5, 23)),
    ([5, 15], {"direction": "backward"}, down(0, 15)),
    ([5, 15], {"direction": "both"}, up(5, 23) + down(0, 15)),
    ([10], {"frames": (12, 14)}, up(12, 14)),
    ([10], {"frames": (8, 12)}, up(10, 12)),
    ([10], {"frames": (8, 12), "direction": "backward"}, down(8, 10)),
    ([10], {"frames": (8, 12), "direction": "both"}, up(10, 12) + down(8, 10)),
    ([10], {"frames": (10, 10)}, [10]),
    ([10], {"frames": (15, 20), "direction": "backward"}, []),
    ([10, 18], {"frames": (12, 20), "direction": "backward"}, down(12, 18)),
    ([0, 1, 2], {"frames": (0, 3)}, up(0, 3)),
]


@pytest.mark.parametrize(("prompted", "asked", "expected"), ROUTES, ids=str)
def test_a_pass_goes_where_it_is_asked_to(
    predictor: VideoPredictor,
    prompted: list[int],
    asked: dict[str, Any],
    expected: list[int],
) -> None:
    session = start(predictor, {1: prompted})
    assert run(predictor, session, **asked) == expected
    assert session.done(1) == sorted({*expected, *prompted})
    assert session.stale(1) == []


@pytest.mark.parametrize("prompted", [[0], [10], [23], [4, 5, 19]], ids=str)
def test_both_ways_reach_every_frame(
    predictor: VideoPredictor, prompted: list[int]
) -> None:
    session = start(predictor, {1: prompted})
    run(predictor, session, direction="both")
    assert session.done(1) == [*WHOLE]


def test_objects_prompted_on_different_frames_are_each_followed_both_ways(
    predictor: VideoPredictor,
) -> None:
    session = start(predictor, {1: [4], 2: [15], 3: [20]})
    ids = {masks.frame: masks.object_ids for masks in predictor.propagate(session)}
    assert [*ids] == up(4, 23)
    assert [ids[f] for f in (4, 14)] == [(1,)] * 2
    assert [ids[f] for f in (15, 19)] == [(1, 2)] * 2
    assert [ids[f] for f in (20, 23)] == [(1, 2, 3)] * 2
    run(predictor, session, direction="backward")
    assert all(session.done(i) == [*WHOLE] for i in (1, 2, 3))
    assert session.masks(0).object_ids == (1, 2, 3)


@pytest.mark.parametrize(
    "object_ids",
    [2, [2], (2,), {2}, np.int64(2), iter([2])],
    ids=lambda v: type(v).__name__,
)
def test_some_objects_can_be_tracked_alone(
    predictor: VideoPredictor, object_ids: Any
) -> None:
    session = start(predictor, {1: [0], 2: [0], 3: [0]})
    passed = predictor.propagate(session, object_ids=object_ids, frames=(0, 4))
    assert {masks.object_ids for masks in passed} == {(2,)}
    assert session.done(2) == [0, 1, 2, 3, 4]
    assert session.done(1) == session.done(3) == [0]


def test_what_comes_out_is_what_the_session_keeps(predictor: VideoPredictor) -> None:
    session = start(predictor, {1: [2], 2: [6]})
    for masks in predictor.propagate(session, direction="both"):
        kept = session.masks(masks.frame)
        np.testing.assert_array_equal(masks.logits, kept.logits)
    for masks in predictor.propagate(session, frames=(0, 5)):
        before = masks.labels()
        scores, ious = masks.object_scores, masks.predicted_iou
        later = session.masks(masks.frame)
        np.testing.assert_array_equal(later.labels(), before)
        np.testing.assert_array_equal(later.object_scores, scores)
        np.testing.assert_array_equal(later.predicted_iou, ious)


def test_scores_are_given_for_each_object_and_frame(
    predictor: VideoPredictor,
) -> None:
    session = start(predictor, {1: [0], 2: [0]})
    for masks in predictor.propagate(session):
        for values in (masks.object_scores, masks.predicted_iou):
            assert values.shape == (2,)
            assert values.dtype == np.float32
            assert np.isfinite(values).all()
        assert ((masks.predicted_iou >= 0) & (masks.predicted_iou <= 1)).all()
        np.testing.assert_array_equal(masks.present, masks.object_scores > 0)


def test_the_same_calls_give_the_same_result(predictor: VideoPredictor) -> None:
    found = []
    for _ in range(2):
        session = start(predictor, {1: [3], 2: [9, 15]})
        run(predictor, session, direction="both")
        session.approve(12)
        add_click(predictor, session, 18, 1)
        run(predictor, session, direction="both")
        found.append(all_logits(session))
    assert changed(*found, object_id=1) == changed(*found, object_id=2) == []


def test_when_nothing_is_missing_all_is_tracked_again(
    predictor: VideoPredictor,
) -> None:
    session = start(predictor, {1: [3]})
    first = run(predictor, session, direction="both")
    before = all_logits(session)
    assert run(predictor, session, direction="both") == first
    assert largest_difference(before, all_logits(session)) < 1e-3


def test_only_what_is_missing_is_tracked(predictor: VideoPredictor) -> None:
    session = start(predictor, {1: [3]})
    run(predictor, session, frames=(3, 10))
    before = all_logits(session)
    assert run(predictor, session) == up(11, 23)
    assert changed(before, all_logits(session)) == up(11, 23)


# Stopping and going on.


@pytest.mark.parametrize("stop", [1, 2, 9, 17])
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_pass_left_in_the_middle_goes_on_as_if_never_left(
    predictor: VideoPredictor, direction: str, stop: int
) -> None:
    whole = start(predictor, {1: [11], 2: [12]})
    frames = run(predictor, whole, direction=direction)
    session = start(predictor, {1: [11], 2: [12]})
    stop = min(stop, len(frames) - 1)
    first = islice(predictor.propagate(session, direction=direction), stop)
    assert [masks.frame for masks in first] == frames[:stop]
    rest = run(predictor, session, direction=direction)
    # A prompted frame that was shown is not shown again.
    assert [f for f in rest if f not in frames[:stop]] == frames[stop:]
    found, expected = all_logits(session), all_logits(whole)
    assert changed(found, expected, 1) == changed(found, expected, 2) == []


def test_a_pass_goes_on_from_masks_if_the_memories_are_gone(
    predictor: VideoPredictor,
) -> None:
    whole = start(predictor, {1: [8]})
    run(predictor, whole, direction="both")
    session = start(predictor, {1: [8]})
    run(predictor, session, frames=(8, 15))
    run(predictor, session, direction="backward")  # the memories of 9 to 15 go
    assert run(predictor, session) == up(16, 23)
    # Memories are encoded from the masks; only object pointers are not the same.
    assert largest_difference(all_logits(session), all_logits(whole)) < 0.05


@pytest.mark.parametrize("last", [20, 23])
@pytest.mark.parametrize("first", [5, 14, 17, 20])
def test_a_range_attends_to_as_many_memories_as_a_whole_pass(
    predictor: VideoPredictor, record_calls: Any, first: int, last: int
) -> None:
    session = start(predictor, {1: [0]})
    attended = record_calls(predictor.model, "attend")
    run(predictor, session, frames=(0, last))
    whole = {f: args[1].shape[1] for f, args in enumerate(attended, 1)}
    before = all_logits(session)
    attended.clear()
    run(predictor, session, frames=(first, 20))
    again = {
        f: memories.shape[1] for f, (_, memories, *_) in enumerate(attended, first)
    }
    assert again == {f: whole[f] for f in up(first, 20)}
    assert largest_difference(before, all_logits(session)) < 0.05


# The session may change between two frames.


def interrupted(
    passed: Iterator[FrameMasks], frame: int
) -> tuple[list[int], Iterator[FrameMasks]]:
    """Go to a frame; return the frames so far, and what is left."""
    frames = []
    for masks in passed:
        frames.append(masks.frame)
        if masks.frame == frame:
            break
    return frames, passed


def test_an_object_added_on_the_way_comes_along(predictor: VideoPredictor) -> None:
    session = start(predictor, {1: [0]})
    frames, rest = interrupted(predictor.propagate(session), 10)
    add_click(predictor, session, 10, 2)
    seen = {masks.frame: masks.object_ids for masks in rest}
    assert [*frames, *seen] == [*WHOLE]
    assert set(seen.values()) == {(1, 2)}
    assert session.done(2) == up(10, 23)
    alone = start(predictor, {2: [10]})
    run(predictor, alone)
    found = all_logits(session)
    assert (
        largest_difference(
            {k: v for k, v in found.items() if k[0] == 2}, all_logits(alone)
        )
        < 1e-3
    )


def test_an_object_added_on_the_way_stays_out_of_a_pass_for_others(
    predictor: VideoPredictor,
) -> None:
    session = start(predictor, {1: [0]})
    _, rest = interrupted(predictor.propagate(session, object_ids=1), 10)
    add_click(predictor, session, 10, 2)
    assert {masks.object_ids for masks in rest} == {(1,)}
    assert session.done(2) == [10]


@pytest.mark.parametrize("object_ids", [None, [1, 2]], ids=["all", "named"])
@pytest.mark.parametrize("frame", [None, 10])
def test_an_object_removed_on_the_way_is_gone(
    predictor: VideoPredictor, object_ids: list[int] | None, frame: int | None
) -> None:
    session = start(predictor, {1: [0], 2: [0]})
    passed = predictor.propagate(session, object_ids=object_ids)
    frames, rest = ([], passed) if frame is None else interrupted(passed, frame)
    predictor.remove_object(session, object_id=2)
    seen = {masks.frame: masks.object_ids for masks in rest}
    assert [*frames, *seen] == [*WHOLE]
    assert set(seen.values()) == {(1,)}


def test_a_pass_ends_when_the_last_object_is_removed(
    predictor: VideoPredictor,
) -> None:
    session = start(predictor, {1: [0]})
    _, rest = interrupted(predictor.propagate(session, direction="both"), 5)
    predictor.remove_object(session, object_id=1)
    assert list(rest) == []


def test_a_pass_ends_when_the_last_prompt_is_removed(
    predictor: VideoPredictor,
) -> None:
    session = start(predictor, {1: [0]})
    _, rest = interrupted(predictor.propagate(session, direction="both"), 5)
    predictor.remove_prompt(session, frame=0, object_id=1)
    assert list(rest) == []


@pytest.mark.parametrize("corrected", [10, 6, 15, 23])
def test_a_correction_on_the_way_bears_on_what_follows(
    predictor: VideoPredictor, corrected: int
) -> None:
    session = start(predictor, {1: [0]})
    frames, rest = interrupted(predictor.propagate(session), 10)
    before = all_logits(session)
    mask = SCENE.mask(2, corrected)
    predictor.add_prompt(
        session, frame=corrected, object_id=1, prompt=Prompt(mask=mask)
    )
    later = [masks.frame for masks in rest]
    assert later == up(11, 23)
    np.testing.assert_array_equal(session.masks(corrected).masks[0], mask)
    # What was tracked before the correction is to be tracked again, and is.
    assert session.stale(1) == [f for f in frames if f not in (0, corrected)]
    after = all_logits(session)
    assert set(changed(before, after)) <= {corrected, *up(11, 23)}
    run(predictor, session, direction="both")
    assert session.stale(1) == []
    assert session.done(1) == [*WHOLE]


@pytest.mark.parametrize("approved", [[10], [10, 11, 12], [9, 14]], ids=str)
def test_a_frame_approved_on_the_way_stays(
    predictor: VideoPredictor, approved: list[int]
) -> None:
    session = start(predictor, {1: [0]})
    run(predictor, session)
    _, rest = interrupted(predictor.propagate(session, frames=(0, 23)), 8)
    session.approve(approved)
    before = all_logits(session)
    assert [masks.frame for masks in rest] == up(9, 23)
    after = all_logits(session)
    assert not set(approved) & set(changed(before, after))


def test_two_passes_can_take_turns(predictor: VideoPredictor) -> None:
    session = start(predictor, {1: [8], 2: [8]})
    passes = [
        predictor.propagate(session, object_ids=1),
        predictor.propagate(session, object_ids=2, direction="backward"),
    ]
    for one, other in zip(*passes, strict=False):
        assert one.object_ids == (1,)
        assert other.object_ids == (2,)
    for passed in passes:
        list(passed)
    apart = start(predictor, {1: [8], 2: [8]})
    run(predictor, apart, object_ids=1)
    run(predictor, apart, object_ids=2, direction="backward")
    found, expected = all_logits(session), all_logits(apart)
    assert changed(found, expected, 1) == changed(found, expected, 2) == []


# Mistakes.


def test_a_mistake_is_told_at_the_call(predictor: VideoPredictor) -> None:
    session = start(predictor, {1: [0]})
    with pytest.raises(ValueError, match="forward, backward or both"):
        predictor.propagate(session, direction="sideways")  # type: ignore[arg-type]
    with pytest.raises(PromptError, match="add a prompt"):
        predictor.propagate(predictor.start(SCENE.frames))


def test_a_single_image_is_a_stack_of_one(predictor: VideoPredictor) -> None:
    session = predictor.start(SCENE.frames[0])
    add_click(predictor, session, 0)
    assert run(predictor, session, direction="both") == [0]
    assert session.masks(0).labels().any()


# As published.


@pytest.fixture
def reference(micro: Sam2) -> VideoPredictor:
    return VideoPredictor(micro, PredictorOptions.reference())


def test_the_reference_leaves_objects_without_prompts_empty(
    reference: VideoPredictor,
) -> None:
    session = start(reference, {1: [0], 2: [0]})
    run(reference, session, frames=(0, 2))
    reference.remove_prompt(session, frame=0, object_id=2)
    for masks in reference.propagate(session):
        assert masks.object_ids == (1, 2)
        if masks.frame not in (1, 2):
            assert masks.present.tolist() == [True, False]


def test_the_published_schedule_leaves_approved_frames(
    reference: VideoPredictor,
) -> None:
    session = start(reference, {1: [0]})
    labels = np.zeros(session.frame_shape, np.uint8)
    labels[2:9, 3:12] = 1
    session.import_labels(2, labels)
    run(reference, session, frames=(0, 4))
    assert session.approved(1) == [2]
    np.testing.assert_array_equal(session.masks(2).masks[0], labels == 1)


def test_the_reference_overwrites_a_correction_and_the_default_does_not(
    predictor: VideoPredictor, reference: VideoPredictor
) -> None:
    for this, overwritten in ((predictor, False), (reference, True)):
        session = start(this, {1: [0]})
        run(this, session)
        add_click(this, session, 9, 1)
        corrected = all_logits(session)
        run(this, session)
        assert (9 in changed(corrected, all_logits(session))) == overwritten
