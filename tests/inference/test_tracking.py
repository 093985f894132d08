"""Tracking a frame: batches, what is kept, and objects that are gone."""

from __future__ import annotations

import copy
import gc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from napari_sam2 import PredictorOptions, Prompt, VideoPredictor
from napari_sam2.inference import memory_encoding
from napari_sam2.model.records import FrameMemory, ImageFeatures
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
    from collections.abc import Iterable

    from napari_sam2 import FrameMasks, Session
    from napari_sam2.model.sam2 import Sam2

# Objects by the frames that they are clicked on.
TOGETHER = {1: [0], 2: [0], 3: [0], 4: [0]}
APART = {1: [0], 2: [3], 3: [3, 9], 4: [12], 5: [16], 6: [0, 1, 2, 3, 4, 5]}


# Many objects at once.


@pytest.mark.parametrize("clicked", [TOGETHER, APART], ids=["together", "apart"])
@pytest.mark.parametrize("weights", ["micro", "micro_hard"])
def test_objects_in_batches_are_as_one_by_one(
    request: pytest.FixtureRequest, weights: str, clicked: dict[int, list[int]]
) -> None:
    predictor = VideoPredictor(request.getfixturevalue(weights), PredictorOptions())
    session = start(predictor, clicked)
    run(predictor, session, direction="both")
    alone = {}
    for object_id, frames in clicked.items():
        single = start(predictor, {object_id: frames})
        run(predictor, single, direction="both")
        alone |= all_logits(single)
    assert largest_difference(all_logits(session), alone) < 1e-3


def test_small_batches_give_the_same(
    predictor: VideoPredictor, monkeypatch: pytest.MonkeyPatch, record_calls: Any
) -> None:
    whole = start(predictor, APART)
    run(predictor, whole, direction="both")
    monkeypatch.setattr(memory_encoding, "_BATCH_BYTES", 0)
    attended = record_calls(predictor.model, "attend")
    session = start(predictor, APART)
    run(predictor, session, direction="both")
    assert {len(args[1]) for args in attended} == {1}
    assert largest_difference(all_logits(session), all_logits(whole)) < 1e-3


@pytest.mark.parametrize(
    ("clicked", "most"), [(TOGETHER, 1), (APART, 6)], ids=["together", "apart"]
)
def test_objects_with_as_many_memories_share_a_batch(
    predictor: VideoPredictor,
    record_calls: Any,
    clicked: dict[int, list[int]],
    most: int,
) -> None:
    session = start(predictor, clicked)
    attended = record_calls(predictor.model, "attend")
    decoded = record_calls(predictor.model, "predict_masks")
    remembered = record_calls(predictor.model, "encode_memory")
    for masks in predictor.propagate(session):
        shapes = {(args[1].shape[1], args[3].shape[1]) for args in attended}
        assert len(attended) == len(decoded) == len(shapes) <= most
        if masks.frame > max(max(frames) for frames in clicked.values()) + 1:
            assert len(remembered) == len(shapes)
        for calls in (attended, decoded, remembered):
            calls.clear()


# What is kept.


class Repeated:
    """A long stack: the scene's frames over and over."""

    frame_shape = (128, 128)

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, frame: int) -> np.ndarray:
        return SCENE.frames[frame % len(SCENE.frames)]


def alive(kind: type) -> int:
    gc.collect()
    return sum(type(thing) is kind for thing in gc.get_objects())


def long_session(predictor: VideoPredictor, length: int) -> Session:
    """Two objects tracked through a long stack, forward and backward."""
    session = predictor.start(Repeated(length))
    for object_id in (1, 2):
        predictor.add_prompt(
            session,
            frame=length // 2,
            object_id=object_id,
            prompt=click(object_id - 1, 0),
        )
    assert len(run(predictor, session, direction="both")) == length + 1
    return session


def test_memories_and_features_do_not_grow_with_the_stack(
    predictor: VideoPredictor,
) -> None:
    kept = []
    for length in (50, 100):
        before = alive(FrameMemory), alive(ImageFeatures)
        session = long_session(predictor, length)
        kept.append((alive(FrameMemory) - before[0], alive(ImageFeatures) - before[1]))
        assert session.done(1) == [*range(length)]
        del session
    assert kept[0] == kept[1]
    memories, features = kept[0]
    # For each object: a conditioning frame and the ring.
    assert memories <= 2 * (1 + predictor.model.num_maskmem)
    assert features <= 32


def test_every_memory_is_kept_if_asked(micro: Sam2) -> None:
    predictor = VideoPredictor(micro, PredictorOptions(keep_memories="all"))
    before = alive(FrameMemory)
    session = long_session(predictor, 40)
    assert alive(FrameMemory) - before == 2 * 40
    del session


def test_features_stay_within_the_bytes_given(micro: Sam2) -> None:
    one = start(VideoPredictor(micro, PredictorOptions()), {1: [0]}).features.nbytes
    predictor = VideoPredictor(micro, PredictorOptions(feature_cache=3 * one))
    session = start(predictor, {1: [0]})
    for _ in predictor.propagate(session):
        assert session.features.nbytes <= 3 * one


def test_a_frame_is_encoded_once_in_a_pass(micro: Sam2, record_calls: Any) -> None:
    encoded = record_calls(micro, "encode_image")
    predictor = VideoPredictor(micro, PredictorOptions(feature_cache=0))
    session = start(predictor, {i: [0] for i in range(1, 6)})
    assert len(encoded) == 1
    run(predictor, session)
    assert len(encoded) <= 1 + 24


def test_clicks_on_a_frame_encode_it_once(
    predictor: VideoPredictor, session: Session, record_calls: Any
) -> None:
    encoded = record_calls(predictor.model, "encode_image")
    for object_id in (1, 2, 3, 2, 1):
        add_click(predictor, session, 4, object_id)
    assert len(encoded) == 1


def test_many_prompted_frames_are_kept_as_few_memories(
    predictor: VideoPredictor,
) -> None:
    before = alive(FrameMemory)
    session = start(predictor, {1: range(0, 20)})
    run(predictor, session)
    run(predictor, session, frames=(0, 23), direction="backward")
    limit = predictor.options.max_conditioning_frames
    assert limit is not None
    most = limit + 2 * predictor.model.num_maskmem
    assert alive(FrameMemory) - before <= most
    assert session.done(1) == [*range(24)]


def test_far_prompts_are_still_attended_to(predictor: VideoPredictor) -> None:
    prompted = [0, 50, 51, 52, *range(75, 86)]
    session = predictor.start(Repeated(95))
    for frame in prompted:
        predictor.add_prompt(
            session, frame=frame, object_id=1, prompt=click(0, frame % 24)
        )
    for frame, direction in ((74, "backward"), (86, "forward"), (30, "forward")):
        frames = run(predictor, session, frames=(frame, frame), direction=direction)
        assert frames == [frame]


@pytest.mark.parametrize(
    ("limit", "most"), [(1, 1), (2, 2), (4, 4), (None, 9)], ids=str
)
def test_conditioning_frames_are_limited(
    micro: Sam2, record_calls: Any, limit: int | None, most: int
) -> None:
    options = PredictorOptions(max_conditioning_frames=limit)
    predictor = VideoPredictor(micro, options)
    session = start(predictor, {1: range(0, 18, 2)})
    attended = record_calls(micro, "attend")
    run(predictor, session, frames=(9, 9))
    ((_, _, positions, *_),) = attended
    assert (positions == 0).sum() == most


# Objects that are gone.


@pytest.fixture(scope="module")
def wavering(micro: Sam2) -> Sam2:
    """A network that is never sure whether an object is in the frame."""
    model = copy.deepcopy(micro)
    with torch.no_grad():
        model.sam_mask_decoder.pred_obj_score_head.layers[2].bias -= 4.25
    return model


def painted(predictor: VideoPredictor, **masks: np.ndarray) -> Session:
    """A session of object 1 with masks on frames: ``frame_3=mask``."""
    session = predictor.start(SCENE.frames)
    for name, mask in masks.items():
        frame = int(name.removeprefix("frame_"))
        predictor.add_prompt(
            session, frame=frame, object_id=1, prompt=Prompt(mask=mask)
        )
    return session


def presence(passed: Iterable[FrameMasks]) -> list[bool]:
    return [bool(masks.present[0]) for masks in passed]


def given_up(seen: list[bool], limit: int) -> list[bool]:
    """What is left once an object was absent for `limit` frames in a row."""
    for frame in range(limit, len(seen) + 1):
        if not any(seen[frame - limit : frame]):
            return seen[:frame] + [False] * (len(seen) - frame)
    return seen


def test_absent_objects_have_empty_masks(wavering: Sam2) -> None:
    predictor = VideoPredictor(wavering, PredictorOptions())
    session = painted(predictor, frame_0=SCENE.mask(0, 0))
    passed = list(predictor.propagate(session))
    assert {*presence(passed)} == {True, False}
    for masks in passed[1:]:
        (present,), (score,) = masks.present, masks.object_scores
        assert present == (score > 0)
        assert present or not masks.masks.any()
        assert present or not masks.labels().any()
        assert present or (masks.logits == -1024).all()


@pytest.mark.parametrize("disc", [0, 3])
@pytest.mark.parametrize("limit", [1, 2, 5, 9, 30])
def test_an_object_long_absent_is_given_up(
    wavering: Sam2, record_calls: Any, disc: int, limit: int
) -> None:
    mask = SCENE.mask(disc, 0)
    predictor = VideoPredictor(wavering, PredictorOptions())
    untiring = painted(predictor, frame_0=mask)
    seen = presence(predictor.propagate(untiring))
    assert seen[-1], "the object comes back"
    expected = given_up(seen, limit)
    assert limit == 30 or not expected[-1]

    predictor = VideoPredictor(wavering, PredictorOptions(stop_after_absent=limit))
    session = painted(predictor, frame_0=mask)
    attended = record_calls(wavering, "attend")
    assert presence(predictor.propagate(session)) == expected
    # Once given up it costs nothing.
    last = max(f for f, present in enumerate(expected) if present)
    assert len(attended) == min(last + limit, 23)
    assert session.done(1) == [*range(24)]


def test_an_object_given_up_is_taken_up_by_its_next_prompt(micro: Sam2) -> None:
    predictor = VideoPredictor(micro, PredictorOptions(stop_after_absent=2))
    gone = np.zeros((128, 128), bool)
    session = painted(
        predictor,
        frame_0=SCENE.mask(0, 0),
        frame_5=gone,
        frame_6=gone,
        frame_15=SCENE.mask(0, 15),
    )
    forward = presence(predictor.propagate(session))
    assert forward == [f < 5 or f >= 15 for f in range(24)]
    backward = presence(
        predictor.propagate(session, direction="backward", frames=(0, 23))
    )
    # From 15 down to 7 it is there, on 5 and 6 it is not, and 4 is given up.
    assert backward == [f > 6 or f == 0 for f in range(15, -1, -1)]


def test_others_go_on_when_one_is_given_up(micro: Sam2) -> None:
    predictor = VideoPredictor(micro, PredictorOptions(stop_after_absent=1))
    session = painted(predictor, frame_0=np.zeros((128, 128), bool))
    add_click(predictor, session, 0, 2)
    alone = start(predictor, {2: [0]})
    run(predictor, session)
    run(predictor, alone)
    assert not any(session.masks(f).present[0] for f in range(24))
    assert changed(all_logits(session), all_logits(alone), object_id=2) == []


def test_a_correction_brings_an_object_back(wavering: Sam2) -> None:
    predictor = VideoPredictor(wavering, PredictorOptions(stop_after_absent=2))
    session = painted(predictor, frame_0=SCENE.mask(0, 0))
    run(predictor, session)
    add = Prompt(mask=SCENE.mask(0, 12))
    predictor.add_prompt(session, frame=12, object_id=1, prompt=add)
    assert session.stale(1) == [f for f in range(1, 24) if f != 12]
    run(predictor, session, direction="both")
    assert session.masks(12).present[0]
    assert session.stale(1) == []
