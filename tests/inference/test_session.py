"""What a session tells of itself, and labels taken from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_sam2 import Prompt, PromptError
from sessions import SCENE, add_click, run, start

if TYPE_CHECKING:
    from napari_sam2 import Session, VideoPredictor


def test_a_new_session_is_empty(session: Session) -> None:
    assert session.object_ids == ()
    assert session.num_frames == 24
    assert session.frame_shape == (128, 128)
    masks = session.masks(3)
    assert masks.object_ids == ()
    assert not masks.labels().any()
    assert repr(session) == "<Session of 24 frames, 128 x 128, 0 objects>"


def test_a_session_tells_what_is_done(predictor: VideoPredictor) -> None:
    session = start(predictor, {5: [3], 2: [8]})
    assert session.object_ids == (5, 2)
    assert list(session.prompts(5)) == session.done(5) == [3]
    run(predictor, session, frames=(3, 6))
    assert session.done(5) == [3, 4, 5, 6]
    assert session.done(2) == [8]
    add_click(predictor, session, 5, 5)
    assert session.stale(5) == [4, 6]
    assert session.done(5) == [3, 5]


def test_what_a_session_gives_is_not_the_session(predictor: VideoPredictor) -> None:
    session = start(predictor, {1: [0]})
    session.prompts(1).clear()
    session.done(1).clear()
    session.stale(1).append(3)
    session.approved(1).append(3)
    assert list(session.prompts(1)) == session.done(1) == [0]
    assert session.stale(1) == session.approved(1) == []


def test_masks_can_name_the_objects_that_are_missing(
    predictor: VideoPredictor,
) -> None:
    session = start(predictor, {1: [3], 2: [8]})
    assert session.masks(3).object_ids == (1,)
    padded = session.masks(3, missing_as_absent=True)
    assert padded.object_ids == (1, 2)
    assert padded.present.tolist() == [True, False]
    assert (padded.logits[1] == -1024).all()
    assert session.masks(3, [2]).object_ids == ()
    assert session.masks(8, (2, 1)).object_ids == (2,)


def test_nothing_is_approved_if_one_frame_cannot_be(
    predictor: VideoPredictor,
) -> None:
    session = start(predictor, {1: [3], 2: [3]})
    run(predictor, session, frames=(3, 6), object_ids=1)
    with pytest.raises(PromptError, match="Frame 5 has no mask of object 2"):
        session.approve([3, 5], [1, 2])
    with pytest.raises(PromptError, match="Frame 9 has no mask of object 1"):
        session.approve([3, 9])
    assert session.approved(1) == session.approved(2) == []
    session.approve([3, 5])
    assert session.approved(1) == [3, 5]
    assert session.approved(2) == [3]


@pytest.mark.parametrize("object_ids", [[1], (i for i in [1]), 1], ids=str)
def test_frames_of_some_objects_are_approved_and_released(
    predictor: VideoPredictor, object_ids: object
) -> None:
    session = start(predictor, {1: [0], 2: [0]})
    run(predictor, session, frames=(0, 5))
    session.approve(range(1, 6))
    session.unapprove(range(2, 4), object_ids)
    assert session.approved(1) == [1, 4, 5]
    assert session.approved(2) == [1, 2, 3, 4, 5]


def labels_of(**discs: int) -> np.ndarray:
    """Discs as labels on frame 6: ``object_1=0`` is disc 0 with label 1."""
    labels = np.zeros((128, 128), np.int64)
    for name, disc in discs.items():
        labels[SCENE.mask(disc, 6)] = int(name.removeprefix("object_"))
    return labels


def test_imported_labels_are_approved_masks(predictor: VideoPredictor) -> None:
    session = start(predictor, {1: [0], 2: [6], 3: [0]})
    clicked = session.masks(6, 2).masks[0]
    labels = labels_of(object_1=0, object_2=1, object_9=2)
    session.import_labels(6, labels)
    assert [session.approved(i) for i in (1, 2, 3)] == [[6], [], [6]]
    found = session.masks(6)
    assert found.object_ids == (1, 2, 3)
    assert found.present.tolist() == [True, True, False]
    np.testing.assert_array_equal(found.masks[0], labels == 1)
    assert not found.masks[2].any()
    np.testing.assert_array_equal(session.masks(6, 2).masks[0], clicked)
    run(predictor, session, direction="both")
    np.testing.assert_array_equal(session.masks(6).masks[0], labels == 1)
    assert session.done(1) == [*range(24)]


def test_labels_are_imported_for_some_objects(predictor: VideoPredictor) -> None:
    session = start(predictor, {1: [0], 2: [0]})
    labels = labels_of(object_1=0, object_2=1)
    session.import_labels(6, labels.astype(np.uint8), [2])
    assert session.masks(6).object_ids == (2,)
    assert session.approved(1) == []


def test_labels_are_not_imported_without_objects(predictor: VideoPredictor) -> None:
    session = predictor.start(SCENE.frames)
    with pytest.raises(PromptError, match="no objects"):
        session.import_labels(6, labels_of(object_1=0))


def test_labels_can_be_imported_as_if_tracked(predictor: VideoPredictor) -> None:
    session = start(predictor, {1: [0]})
    labels = labels_of(object_1=1)
    session.import_labels(6, labels, approve=False)
    assert session.approved(1) == []
    assert (session.masks(6).masks[0] == (labels == 1)).mean() > 0.99
    run(predictor, session, frames=(0, 23))
    assert (session.masks(6).masks[0] != (labels == 1)).any()


def test_labels_imported_as_if_tracked_end_an_approval(
    predictor: VideoPredictor,
) -> None:
    session = start(predictor, {1: [0]})
    session.import_labels(6, labels_of(object_1=0))
    session.import_labels(6, labels_of(object_1=1), approve=False)
    assert session.approved(1) == []
    assert (session.masks(6).masks[0] == (labels_of(object_1=1) == 1)).mean() > 0.99


def test_imported_labels_can_be_released_and_tracked(
    predictor: VideoPredictor,
) -> None:
    session = start(predictor, {1: [0]})
    run(predictor, session)
    session.import_labels(6, labels_of(object_1=3))
    session.unapprove(6)
    run(predictor, session, frames=(0, 23))
    assert (session.masks(6).labels() != labels_of(object_1=3)).any()


def test_ids_reach_as_far_as_labels_do(predictor: VideoPredictor) -> None:
    session = predictor.start(SCENE.frames)
    mask = SCENE.mask(0, 0)
    for object_id in (65536, 2**32 - 1):
        masks = predictor.add_prompt(
            session, frame=0, object_id=object_id, prompt=Prompt(mask=mask)
        )
        assert masks.labels().dtype == np.uint32
        np.testing.assert_array_equal(masks.labels() == object_id, mask)
