"""The windows of frames that objects are seen in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2 import PredictorOptions, Prompt, VideoPredictor
from napari_sam2.inference import prompting
from napari_sam2.inference.packed_mask import PackedMask
from napari_sam2.inference.results import FrameResult
from napari_sam2.inference.views import ViewRules, prompt_box, result_box
from napari_sam2.model.records import View
from sessions import all_logits, largest_difference, run

if TYPE_CHECKING:
    from napari_sam2 import Session
    from napari_sam2.model.sam2 import Sam2

RULES = ViewRules((400, 600), 128, by_object=True)
WHOLE = RULES.whole
CLOSE = View(100, 200, 120, 120, 128)


@pytest.mark.parametrize(
    ("box", "view"),
    [
        ((190, 210, 290, 310), View(170, 270, 60, 60, 128)),  # three times as wide
        ((198, 202, 298, 302), View(184, 284, 32, 32, 128)),  # no closer than pixels
        ((0, 20, 580, 600), View(0, 540, 60, 60, 128)),  # at a corner
        ((100, 160, 100, 250), View(0, 0, 400, 450, 128)),  # higher than the frame
        ((100, 200, 100, 261), WHOLE),  # almost the frame
    ],
)
def test_an_object_lies_in_the_middle_of_its_window(
    box: tuple[float, float, float, float], view: View
) -> None:
    assert RULES.around(box) == view


@pytest.mark.parametrize(
    ("box", "moves"),
    [
        ((140, 180, 240, 280), False),
        ((112, 152, 212, 252), False),  # beside the border
        ((105, 145, 240, 280), True),  # on it
        ((140, 180, 285, 325), True),  # beyond it
        ((110, 190, 220, 300), True),  # too large for it
        ((150, 170, 250, 270), False),  # small, as towards the end of an object
        ((155, 165, 255, 265), True),  # too small for it
        (None, False),  # out of sight
    ],
)
def test_a_window_stays_while_its_object_is_well_inside(box: Any, moves: bool) -> None:
    kept = RULES.kept(CLOSE, box)
    assert kept == (RULES.around(box) if moves else CLOSE)


def test_a_prompted_object_is_looked_at_from_near() -> None:
    small = (150, 170, 250, 270)
    assert RULES.kept(CLOSE, small, prompted=True) == RULES.around(small)


def test_a_window_that_cannot_be_smaller_stays_around_a_tiny_object() -> None:
    least = RULES.around((198, 201, 298, 301))
    assert least.height == 32
    assert RULES.kept(least, (199, 202, 300, 303)) == least
    assert RULES.kept(least, (199, 202, 310, 315)) != least  # at its border


@pytest.mark.parametrize(
    ("prompt", "shown"),
    [
        (Prompt([[210, 110], [310, 210]]), True),
        (Prompt([[210, 110], [330, 210]]), False),
        (Prompt(box=(210, 110, 320, 220)), True),
        (Prompt(box=(190, 110, 320, 220)), False),
        (Prompt([[210, 90]], box=(210, 110, 320, 220)), False),
        (Prompt(mask=np.zeros((400, 600), bool)), True),
    ],
)
def test_a_view_shows_a_prompt_or_not(prompt: Prompt, shown: bool) -> None:
    assert RULES.shows(CLOSE, prompt) is shown


def test_borders_of_the_frame_are_no_borders_of_a_window() -> None:
    corner = View(0, 0, 120, 120, 128)
    assert RULES.kept(corner, (0, 40, 0, 40)) == corner
    assert RULES.kept(WHOLE, (0, 400, 0, 600)) == WHOLE


def test_whole_frames_are_seen_unless_windows_are_asked_for() -> None:
    rules = ViewRules((400, 600), 128)
    assert rules.for_prompt(Prompt([[5, 5]]), None) == [WHOLE]
    assert rules.for_prompt(Prompt(box=[5, 5, 9, 9]), None) == [WHOLE]
    assert rules.kept(WHOLE, (5, 9, 5, 9), prompted=True) == WHOLE


def test_first_clicks_are_looked_at_from_far_and_near() -> None:
    views = RULES.for_prompt(Prompt([[300, 200]]), None)
    assert views[0] == WHOLE
    assert [view.width for view in views] == [600, 300, 150, 75, 38]
    for view in views:
        assert view.y0 + view.height / 2 == pytest.approx(200, abs=1)
    apart = RULES.for_prompt(Prompt([[300, 200], [340, 200]]), None)
    assert [view.width for view in apart] == [600, 300, 150]


def test_prompts_go_where_the_object_is_seen() -> None:
    assert RULES.for_prompt(Prompt([[260, 160]]), CLOSE) == [CLOSE]
    (moved,) = RULES.for_prompt(Prompt([[500, 160]]), CLOSE)
    assert moved == View(100, 440, 120, 120, 128)
    assert RULES.for_prompt(Prompt(box=[240, 140, 280, 180]), CLOSE) == [CLOSE]
    mask = np.zeros((400, 600), bool)
    assert RULES.for_prompt(Prompt(mask=mask), CLOSE) == [CLOSE]
    mask[10:20, 30:50] = True
    assert RULES.for_prompt(Prompt(mask=mask), None) == [RULES.around((10, 20, 30, 50))]


@given(
    height=st.integers(1, 3000),
    width=st.integers(1, 3000),
    corners=st.tuples(*[st.floats(0, 1)] * 4),
)
def test_windows_lie_in_the_frame_and_show_their_object(
    height: int, width: int, corners: tuple[float, ...]
) -> None:
    rules = ViewRules((height, width), 128, by_object=True)
    y0, y1 = (side * height for side in sorted(corners[:2]))
    x0, x1 = (side * width for side in sorted(corners[2:]))
    view = rules.around((y0, y1, x0, x1))
    bottom, right = view.y0 + view.height, view.x0 + view.width
    assert 0 <= view.y0 < bottom <= height
    assert 0 <= view.x0 < right <= width
    assert view.y0 <= y0 + 1
    assert y1 - 1 <= bottom
    assert view.x0 <= x0 + 1
    assert x1 - 1 <= right
    for looked_at in rules.for_prompt(Prompt([[x0, y0]]), None):
        assert looked_at.height >= 1
        assert looked_at.y0 + looked_at.height <= height
        assert looked_at.x0 + looked_at.width <= width


def test_boxes_of_prompts_and_results_are_in_frame_pixels() -> None:
    assert prompt_box(Prompt([[3, 4]])) is None
    assert prompt_box(Prompt(box=[1, 2, 11, 22])) == (2, 22, 1, 11)
    logits = np.full((4, 4), -1.0, np.float32)
    result = FrameResult(logits, View(10, 20, 40, 80, 128), 1.0, 1.0)
    assert result_box(result) is None
    logits[1, 2:] = 1
    assert result_box(result) == (20, 30, 60, 100)
    mask = np.zeros((100, 200), bool)
    mask[5:7, 8:12] = True
    painted = FrameResult(logits, result.view, -1.0, 1.0, painted=PackedMask.pack(mask))
    assert result_box(painted) == (5, 7, 8, 12)
    assert result_box(FrameResult(logits, result.view, -1.0, 1.0)) is None


# In sessions.

FRAMES = np.zeros((6, 300, 400), np.uint8)
for _t, _frame in enumerate(FRAMES):
    _frame[::7] = 60
    _frame[100 : 130 + _t, 50 + 6 * _t : 80 + 6 * _t] = 200
    _frame[200:220, 300:330] = 150


def _painted(y0: int, y1: int, x0: int, x1: int) -> Prompt:
    mask = np.zeros(FRAMES.shape[1:], bool)
    mask[y0:y1, x0:x1] = True
    return Prompt(mask=mask)


PAINTED = {1: _painted(100, 130, 50, 80), 2: _painted(200, 220, 300, 330)}


def _tracked(model: Sam2, object_ids: list[int], view: Any = "object") -> Session:
    predictor = VideoPredictor(model, PredictorOptions(view=view, overlap="keep"))
    session = predictor.start(FRAMES)
    for object_id in object_ids:
        prompt = PAINTED[object_id]
        predictor.add_prompt(session, frame=0, object_id=object_id, prompt=prompt)
    run(predictor, session)
    return session


def _views(session: Session, object_id: int) -> list[View]:
    results = session.track(object_id).results
    return [results.summary(frame).view for frame in results.frames()]


def test_the_window_of_a_frame_follows_from_the_frame_before(micro: Sam2) -> None:
    session = _tracked(micro, [1])
    results = session.track(1).results
    views = _views(session, 1)
    assert len(views) == len(FRAMES)
    assert views[0] == session.views.around((100, 130, 50, 80))
    for frame in range(1, len(FRAMES)):
        before = results.get(frame - 1)
        assert views[frame] == session.views.kept(before.view, result_box(before))
    assert len(set(views)) > 1  # it moved, and memories were encoded anew


def test_a_closer_look_leaves_no_prompt_outside(
    micro: Sam2, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = (140, 150, 140, 150)  # what is found of a box of 60 pixels
    monkeypatch.setattr(prompting, "result_box", lambda _result: part)
    predictor = VideoPredictor(micro, PredictorOptions(view="object"))
    session = predictor.start(FRAMES)
    prompt = Prompt(box=(100, 100, 160, 160))
    predictor.add_prompt(session, frame=0, object_id=1, prompt=prompt)
    (view,) = _views(session, 1)
    assert session.views.shows(view, prompt)


def test_an_absent_object_that_is_imported_is_looked_for_where_it_was(
    micro: Sam2,
) -> None:
    session = _tracked(micro, [1])
    before = session.track(1).results.summary(2).view
    assert before != session.views.whole
    empty = np.zeros(FRAMES.shape[1:], np.uint8)
    session.import_labels(3, empty)
    assert session.track(1).results.summary(3).view == before


def test_objects_in_windows_of_their_own_run_in_batches(micro: Sam2) -> None:
    together = _tracked(micro, [1, 2])
    assert _views(together, 1)[0] != _views(together, 2)[0]
    alone = all_logits(_tracked(micro, [1])) | all_logits(_tracked(micro, [2]))
    assert largest_difference(all_logits(together), alone) < 1e-3


def test_all_views_of_a_frame_are_encoded_as_one_batch(
    micro: Sam2, record_calls: Any
) -> None:
    calls = record_calls(micro, "encode_image")
    predictor = VideoPredictor(micro, PredictorOptions(view="object"))
    session = predictor.start(FRAMES)
    predictor.add_prompt(session, frame=0, object_id=1, prompt=Prompt([[65, 115]]))
    assert [len(image) for image, _ in calls[:1]] == [4]


def test_a_window_around_almost_everything_is_the_frame(micro: Sam2) -> None:
    found = []
    for view in ("frame", "object"):
        predictor = VideoPredictor(micro, PredictorOptions(view=view))
        session = predictor.start(FRAMES[:3])
        prompt = _painted(20, 280, 20, 380)
        predictor.add_prompt(session, frame=0, object_id=1, prompt=prompt)
        found.append(session.masks(0).logits)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(
    ("configured", "option", "by_object"),
    [
        ("object", "auto", True),
        ("object", "frame", False),
        ("frame", "object", True),
        (None, "auto", False),
        (None, "object", True),
    ],
)
def test_the_option_goes_before_the_configuration(
    monkeypatch: pytest.MonkeyPatch,
    micro: Sam2,
    configured: str | None,
    option: Any,
    by_object: bool,
) -> None:
    given = {} if configured is None else {"view": configured}
    monkeypatch.setattr(micro, "predictor_options", given)
    predictor = VideoPredictor(micro, PredictorOptions(view=option))
    assert predictor.start(FRAMES).views.by_object is by_object
    assert VideoPredictor(micro).options == PredictorOptions()
