"""Prompts in a session: what each gives, replaces, and leaves alone."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_sam2 import (
    FrameMasks,
    PredictorOptions,
    Prompt,
    PromptError,
    VideoPredictor,
)
from sessions import SCENE, add_click, all_logits, click, everything, run, start

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_sam2 import Session
    from napari_sam2.model.sam2 import Sam2

DISC = SCENE.mask(2, 3)
PROMPTS = {
    "click": click(0, 3),
    "click and negative click": click(0, 3, 1),
    "box": Prompt(box=SCENE.box(1, 3)),
    "box and click": Prompt([SCENE.xy(1, 3)], box=SCENE.box(1, 3)),
    "box and negative click": Prompt([SCENE.xy(1, 3)], [0], SCENE.box(1, 3)),
    "mask": Prompt(mask=DISC),
    "mask and click": Prompt([SCENE.xy(2, 3)], mask=DISC),
    "mask and box": Prompt(box=SCENE.box(2, 3), mask=DISC),
}


def add(
    session: Session, predictor: VideoPredictor, prompt: Prompt, **where: int
) -> FrameMasks:
    where = {"frame": 3, "object_id": 1} | where
    return predictor.add_prompt(session, prompt=prompt, **where)


@pytest.mark.parametrize("name", PROMPTS)
def test_every_prompt_gives_a_mask_that_is_tracked_on(
    predictor: VideoPredictor, session: Session, name: str
) -> None:
    masks = add(session, predictor, PROMPTS[name])
    assert masks.frame == 3
    assert masks.object_ids == (1,)
    assert masks.frame_shape == (128, 128)
    assert masks.logits.shape == (1, 128, 128)
    assert masks.logits.dtype == np.float32
    assert masks.present.tolist() == [True]
    assert masks.labels().dtype == np.uint16
    assert set(np.unique(masks.labels())) == {0, 1}
    assert session.prompts(1) == {3: PROMPTS[name]}
    assert run(predictor, session, frames=(3, 6)) == [3, 4, 5, 6]
    assert session.done(1) == [3, 4, 5, 6]


def test_different_prompts_give_different_masks(predictor: VideoPredictor) -> None:
    found = []
    for prompt in PROMPTS.values():
        found.append(add(predictor.start(SCENE.frames), predictor, prompt).logits)
    for i, one in enumerate(found):
        for other in found[:i]:
            assert np.abs(one - other).max() > 0.01


@pytest.mark.parametrize("choice", ["predicted_iou", "expected_iou"])
@pytest.mark.parametrize("view", ["frame", "object"])
@pytest.mark.parametrize("obey", [True, False])
def test_a_click_counts_in_any_case(
    micro: Sam2, obey: bool, view: Any, choice: Any
) -> None:
    options = PredictorOptions(obey_clicks=obey, view=view, mask_choice=choice)
    predictor = VideoPredictor(micro, options)
    rows, columns = np.mgrid[16:128:16, 16:128:16].reshape(2, -1)
    heeded = []
    for sign in (1, 0):
        for x, y in zip(columns.tolist(), rows.tolist(), strict=True):
            prompt = Prompt([SCENE.xy(0, 3), [x, y]], [1, sign])
            found = add(predictor.start(SCENE.frames), predictor, prompt)
            logits = found.logits[0, y, x], found.logits[0, *_rounded(SCENE.xy(0, 3))]
            contradictory = sign == 0 and logits[1] <= logits[0] + 2.5
            heeded.append(contradictory or (logits[0] > 0) == bool(sign))
    assert all(heeded) == obey


@pytest.mark.parametrize("obey", [True, False])
@pytest.mark.parametrize("name", ["click", "box", "mask and click"])
def test_an_object_that_is_clicked_or_boxed_is_there(
    micro: Sam2, name: str, obey: bool
) -> None:
    blind = copy.deepcopy(micro)
    for parameter in blind.sam_mask_decoder.pred_obj_score_head.parameters():
        parameter.data.fill_(0)
    last = blind.sam_mask_decoder.pred_obj_score_head.layers[-1]
    last.bias.data.fill_(-5)
    predictor = VideoPredictor(blind, PredictorOptions(obey_clicks=obey))
    session = predictor.start(SCENE.frames)
    masks = add(session, predictor, PROMPTS[name])
    assert masks.present.tolist() == [obey]
    assert bool(masks.labels().any()) == obey
    absent = add(session, predictor, Prompt([SCENE.xy(0, 3)], [0]), object_id=2)
    assert not absent.present[1]


def _rounded(xy: Sequence[float]) -> tuple[int, int]:
    return round(xy[1]), round(xy[0])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("click", "box"),
        ("click", "mask"),
        ("box", "click"),
        ("box", "mask"),
        ("box and negative click", "box and click"),
        ("mask", "click and negative click"),
        ("mask", "box"),
    ],
)
@pytest.mark.parametrize("tracked", [False, True])
def test_a_prompt_takes_the_place_of_another(
    predictor: VideoPredictor, session: Session, first: str, second: str, tracked: bool
) -> None:
    add(session, predictor, PROMPTS[first])
    if tracked:
        run(predictor, session, frames=(3, 5))
    found = add(session, predictor, PROMPTS[second])
    assert session.prompts(1) == {3: PROMPTS[second]}
    fresh = add(predictor.start(SCENE.frames), predictor, PROMPTS[second])
    np.testing.assert_allclose(found.logits, fresh.logits, atol=1e-5)


def test_added_points_refine_the_mask_that_is_there(
    predictor: VideoPredictor, session: Session
) -> None:
    add(session, predictor, PROMPTS["click"])
    refined = add(session, predictor, PROMPTS["click and negative click"])
    at_once = add(
        predictor.start(SCENE.frames), predictor, PROMPTS["click and negative click"]
    )
    assert np.abs(refined.logits - at_once.logits).max() > 1e-3


def test_a_prompt_taken_back_leaves_nothing(
    predictor: VideoPredictor, session: Session
) -> None:
    add(session, predictor, PROMPTS["click"])
    masks = predictor.remove_prompt(session, frame=3, object_id=1)
    assert masks.object_ids == ()
    assert session.object_ids == (1,)
    assert session.prompts(1) == {}
    assert session.done(1) == []
    with pytest.raises(PromptError, match="add a prompt"):
        predictor.propagate(session)
    again = add(session, predictor, PROMPTS["box"])
    fresh = add(predictor.start(SCENE.frames), predictor, PROMPTS["box"])
    np.testing.assert_array_equal(again.logits, fresh.logits)


def test_one_of_two_prompts_taken_back_is_as_if_never_given(
    predictor: VideoPredictor,
) -> None:
    session = start(predictor, {1: [2, 9]})
    predictor.remove_prompt(session, frame=9, object_id=1)
    run(predictor, session, direction="both")
    never = start(predictor, {1: [2]})
    run(predictor, never, direction="both")
    found, expected = all_logits(session), all_logits(never)
    assert found.keys() == expected.keys()
    for key, logits in expected.items():
        np.testing.assert_array_equal(found[key], logits)


def test_objects_do_not_see_each_other(
    predictor: VideoPredictor, session: Session
) -> None:
    alone = add(session, predictor, PROMPTS["click"]).logits
    both = add(session, predictor, PROMPTS["box"], object_id=7)
    assert both.object_ids == (1, 7)
    np.testing.assert_array_equal(both.logits[:1], alone)
    predictor.remove_object(session, object_id=1)
    assert session.object_ids == (7,)
    np.testing.assert_array_equal(session.masks(3).logits, both.logits[1:])


def test_an_object_removed_and_added_again_starts_anew(
    predictor: VideoPredictor,
) -> None:
    session = start(predictor, {1: [0], 2: [4]})
    run(predictor, session, direction="both")
    predictor.remove_object(session, object_id=1)
    add_click(predictor, session, 9, 1)
    assert session.object_ids == (2, 1)
    assert list(session.prompts(1)) == session.done(1) == [9]
    fresh = start(predictor, {1: [9]})
    np.testing.assert_array_equal(session.masks(9, 1).logits, fresh.masks(9, 1).logits)


# A painted mask comes back exactly as painted.

SHAPES = [(128, 128), (127, 129), (33, 50), (300, 301), (1, 7), (1000, 40)]


def single(y: int, x: int) -> Callable[[tuple[int, int]], np.ndarray]:
    def mask(shape: tuple[int, int]) -> np.ndarray:
        out = np.zeros(shape, bool)
        out[y % shape[0], x % shape[1]] = True
        return out

    return mask


def noise(shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).random(shape) < 0.3


PAINTED = {
    "first pixel": single(0, 0),
    "last pixel": single(-1, -1),
    "some pixel": single(63, 21),
    "noise": noise,
    "checkerboard": lambda shape: np.indices(shape).sum(0) % 2 == 0,
    "all": lambda shape: np.ones(shape, bool),
    "nothing": lambda shape: np.zeros(shape, bool),
}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", PAINTED)
def test_a_painted_mask_comes_back_as_painted(
    predictor: VideoPredictor, shape: tuple[int, int], name: str
) -> None:
    mask = PAINTED[name](shape)
    frames = np.random.default_rng(1).integers(0, 255, (2, *shape, 3), np.uint8)
    session = predictor.start(frames)
    before = add(session, predictor, Prompt(mask=mask), frame=0, object_id=3)
    run(predictor, session)
    for masks in (before, session.masks(0)):
        np.testing.assert_array_equal(masks.masks[0], mask)
        np.testing.assert_array_equal(masks.labels() == 3, mask)
        np.testing.assert_array_equal(masks.logits[0] > 0, mask)
        assert masks.present.tolist() == [mask.any()]
        assert (masks.object_scores[0] > 0) == mask.any()


@pytest.mark.parametrize("overlap", ["highest_logit", "keep"])
def test_painted_masks_stay_as_painted_under_other_objects(
    predictor: VideoPredictor, overlap: str
) -> None:
    options = PredictorOptions(overlap=overlap, fill_holes=50, drop_specks=50)
    predictor = type(predictor)(predictor.model, options)
    session = predictor.start(SCENE.frames)
    painted = {1: noise((128, 128)), 2: SCENE.mask(0, 5), 3: SCENE.mask(1, 5)}
    for object_id, mask in painted.items():
        add(session, predictor, Prompt(mask=mask), frame=5, object_id=object_id)
    for object_id in (4, 5):
        add_click(predictor, session, 0, object_id)
    run(predictor, session, direction="both")
    masks = session.masks(5)
    assert masks.object_ids == (1, 2, 3, 4, 5)
    for object_id, mask in painted.items():
        np.testing.assert_array_equal(masks.masks[object_id - 1], mask)
    taken = painted[1] | painted[2] | painted[3]
    assert (masks.labels()[taken] <= 3).all()


def test_a_mask_can_be_blurred_as_published(predictor: VideoPredictor) -> None:
    options = PredictorOptions(exact_mask_prompts=False)
    predictor = type(predictor)(predictor.model, options)
    mask = noise((128, 128))
    masks = add(predictor.start(SCENE.frames), predictor, Prompt(mask=mask))
    assert (masks.masks[0] != mask).any()


# A call that fails leaves the session as it was.

TOO_LARGE = np.zeros((128, 129), bool)
FAILING = {
    "prompt on frame 24": lambda p, s: add(s, p, PROMPTS["click"], frame=24),
    "prompt on frame -1": lambda p, s: add(s, p, PROMPTS["click"], frame=-1),
    "object 0": lambda p, s: add(s, p, PROMPTS["click"], object_id=0),
    "object -3": lambda p, s: add(s, p, PROMPTS["click"], object_id=-3),
    "object 2**32": lambda p, s: add(s, p, PROMPTS["click"], object_id=2**32),
    "point outside": lambda p, s: add(s, p, Prompt([[500, 3]]), object_id=9),
    "box outside": lambda p, s: add(s, p, Prompt(box=[200, 0, 300, 9]), object_id=9),
    "large mask": lambda p, s: add(s, p, Prompt(mask=TOO_LARGE), object_id=9),
    "no such prompt": lambda p, s: p.remove_prompt(s, frame=4, object_id=1),
    "no such object's prompt": lambda p, s: p.remove_prompt(s, frame=3, object_id=9),
    "prompt of no frame": lambda p, s: p.remove_prompt(s, frame=77, object_id=1),
    "no such object": lambda p, s: p.remove_object(s, object_id=9),
    "track no such object": lambda p, s: p.propagate(s, object_ids=[1, 9]),
    "track nothing": lambda p, s: p.propagate(s, object_ids=[]),
    "track to frame 24": lambda p, s: p.propagate(s, frames=(0, 24)),
    "track from frame -1": lambda p, s: p.propagate(s, frames=(-1, 3)),
    "range turned": lambda p, s: p.propagate(s, frames=(5, 3)),
    "approve nothing": lambda p, s: s.approve([3, 20]),
    "approve no such object": lambda p, s: s.approve(3, [1, 9]),
    "approve what one lacks": lambda p, s: s.approve([3, 8]),
    "approve no frame": lambda p, s: s.approve([3, 24]),
    "unapprove no such object": lambda p, s: s.unapprove(3, 9),
    "unapprove no frame": lambda p, s: s.unapprove(-1),
    "import large labels": lambda p, s: s.import_labels(7, TOO_LARGE.astype(int)),
    "import float labels": lambda p, s: s.import_labels(7, np.zeros((128, 128))),
    "import for no object": lambda p, s: s.import_labels(
        7, np.zeros((128, 128), int), [1, 9]
    ),
    "import to no frame": lambda p, s: s.import_labels(24, np.zeros((128, 128), int)),
    "masks of no frame": lambda p, s: s.masks(24),
    "masks of no object": lambda p, s: s.masks(3, 9),
    "stale of no object": lambda p, s: s.stale(9),
}


@pytest.fixture(scope="module")
def busy(micro: object) -> tuple[VideoPredictor, Session]:
    """A session in the middle of work."""
    from napari_sam2 import VideoPredictor

    predictor = VideoPredictor(micro, PredictorOptions())
    session = start(predictor, {1: [3], 2: [5]})
    run(predictor, session, frames=(3, 7))
    session.approve(6)
    add_click(predictor, session, 4, 2)
    return predictor, session


@pytest.mark.parametrize("name", FAILING)
def test_a_failed_call_leaves_the_session_as_it_was(
    busy: tuple[VideoPredictor, Session], name: str
) -> None:
    predictor, session = busy
    before = everything(session)
    with pytest.raises(PromptError) as error:
        FAILING[name](predictor, session)
    assert everything(session) == before
    assert str(error.value).endswith(".")


@pytest.mark.parametrize("frame", [1.5, "3", None])
def test_a_frame_that_is_no_integer_is_a_mistake(
    predictor: VideoPredictor, session: Session, frame: object
) -> None:
    with pytest.raises(TypeError):
        add(session, predictor, PROMPTS["click"], frame=frame)
    assert session.object_ids == ()


def test_numpy_integers_are_integers(
    predictor: VideoPredictor, session: Session
) -> None:
    frame, object_id = np.int64(3), np.uint16(5)
    add(session, predictor, PROMPTS["click"], frame=frame, object_id=object_id)
    session.approve(np.int32(3), np.uint8(5))
    assert session.approved(5) == [3]
    assert run(predictor, session, object_ids=np.int64(5), frames=(3, 4)) == [3, 4]


def test_a_frame_that_cannot_be_read_leaves_no_object_behind(
    predictor: VideoPredictor,
) -> None:
    class Broken:
        frame_shape = (128, 128)

        def __len__(self) -> int:
            return 4

        def __getitem__(self, frame: int) -> np.ndarray:
            if frame == 3:
                raise OSError("the disk is gone")
            return SCENE.frames[frame]

    session = predictor.start(Broken(), contrast=(0, 255))
    with pytest.raises(OSError, match="gone"):
        add(session, predictor, PROMPTS["click"])
    assert session.object_ids == ()
    add(session, predictor, PROMPTS["click"], frame=0)
    with pytest.raises(OSError, match="gone"):
        run(predictor, session)
    assert session.done(1) == [0, 1, 2]
