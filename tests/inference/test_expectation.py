"""Which mask of several overlaps most with whichever is right."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam2.inference.expectation import (
    expected_best,
    expected_result,
    expecting,
)
from napari_sam2.inference.options import PredictorOptions
from napari_sam2.inference.predictor import VideoPredictor
from napari_sam2.inference.prompt import Prompt
from napari_sam2.inference.results import FrameResult
from napari_sam2.model.records import ObjectMasks, View

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam2.model.sam2 import Sam2

WHOLE = View.whole((64, 64), 32)
CLOSE = View(16, 16, 32, 32, 32)


def columns(*ends: tuple[int, int]) -> torch.Tensor:
    """Masks of 8 x 8 that reach from one column to another, sure of themselves."""
    masks = torch.full((1, len(ends), 8, 8), -9.0)
    for place, (first, last) in enumerate(ends):
        masks[:, place, :, first:last] = 9.0
    return masks


# Masks as columns, their predicted IoU, and the columns of the result.
CASES: dict[str, tuple[list[tuple[int, int]], list[float], tuple[int, int]]] = {
    "the likeliest": ([(0, 2), (3, 5), (6, 8)], [0.5, 0.9, 0.5], (3, 5)),
    "two alike against a likelier one": (
        [(0, 4), (0, 4), (5, 8)],
        [0.70, 0.70, 0.75],
        (0, 4),
    ),
    "what two of three have in common": (
        [(0, 5), (1, 6), (2, 7)],
        [0.6, 0.6, 0.6],
        (1, 6),
    ),
    "an unlikely one does not count": ([(0, 4), (0, 8)], [0.9, 0.3], (0, 4)),
    "one alone": ([(2, 5)], [0.1], (2, 5)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_mask_of_highest_expected_iou(name: str) -> None:
    ends, iou, (first, last) = CASES[name]
    logits, mean = expected_best(columns(*ends), torch.tensor([iou]))
    assert logits.shape == (1, 8, 8)
    expected = np.zeros((8, 8), bool)
    expected[:, first:last] = True
    np.testing.assert_array_equal(logits[0] > 0, expected)
    weights = np.exp(10 * np.array(iou))
    assert mean[0] == pytest.approx((weights * iou).sum() / weights.sum())


def test_objects_of_a_batch_do_not_mix() -> None:
    batch = torch.cat([columns((0, 4), (0, 4)), columns((4, 8), (4, 8))])
    logits, _ = expected_best(batch, torch.tensor([[0.5, 0.5], [0.9, 0.9]]))
    np.testing.assert_array_equal(logits > 0, batch[:, 0] > 0)


SURE = st.integers(-9, 9).filter(bool).map(float)
MASKS = hnp.arrays(np.float32, (3, 6, 6), elements=st.floats(-30, 30, width=32))
IOUS = hnp.arrays(np.float32, 3, elements=st.floats(-0.5, 1.5, width=32))


@settings(deadline=None, max_examples=50)
@given(masks=MASKS, iou=IOUS)
def test_what_all_masks_say_is_kept(
    masks: NDArray[np.float32], iou: NDArray[np.float32]
) -> None:
    logits, mean = expected_best(torch.tensor(masks)[None], torch.tensor(iou)[None])
    found = logits[0].numpy()
    assert np.isfinite(found).all()
    assert (found[(masks > 1.2).all(0)] > 0).all()  # more than 0.65 by each
    assert (found[(masks < -1.2).all(0)] < 0).all()
    assert iou.min() - 1e-5 <= mean[0] <= iou.max() + 1e-5


@settings(deadline=None, max_examples=50)
@given(mask=hnp.arrays(np.float32, (6, 6), elements=SURE))
def test_masks_that_agree_stay_what_they_are(mask: NDArray[np.float32]) -> None:
    same = torch.tensor(mask).expand(1, 3, 6, 6)
    logits, _ = expected_best(same, torch.tensor([[0.4, 0.6, 0.5]]))
    np.testing.assert_allclose(logits[0], mask, atol=5e-3)


def test_lower_precision_counts_pixels_as_well() -> None:
    torch.manual_seed(0)
    logits, iou = torch.randn(4, 3, 64, 64), torch.rand(4, 3)
    exact = expected_best(logits, iou)
    with torch.autocast("cpu", torch.bfloat16):
        found = expected_best(logits, iou)
    for one, other in zip(found, exact, strict=True):
        assert one.dtype == torch.float32
        np.testing.assert_array_equal(one, other)


def chosen(score: float, candidates: torch.Tensor, iou: list[float]) -> ObjectMasks:
    """Masks as a network gives them for one object."""
    best = int(np.argmax(iou))
    return ObjectMasks(
        candidates[:, best : best + 1],
        torch.tensor([iou[best]]),
        torch.tensor([score]),
        torch.zeros(1, 4),
        candidates=(candidates, torch.tensor([iou])),
    )


def test_tracked_masks_are_those_of_highest_expected_iou() -> None:
    three = columns((0, 4), (0, 4), (5, 8))
    masks = expecting(chosen(2.0, three, [0.70, 0.70, 0.75]))
    assert masks.logits.shape == (1, 1, 8, 8)
    np.testing.assert_array_equal(masks.logits[0, 0] > 0, three[0, 0] > 0)
    assert 0.70 < masks.iou[0] < 0.75


def test_absent_objects_stay_absent() -> None:
    masks = chosen(-2.0, columns((0, 4), (0, 4), (5, 8)), [0.70, 0.70, 0.75])
    gone = replace(masks, logits=torch.full((1, 1, 8, 8), -1024.0))
    assert (expecting(gone).logits == -1024).all()


@pytest.mark.parametrize("candidates", [None, "one"])
def test_where_nothing_was_chosen_all_stays(candidates: str | None) -> None:
    masks = chosen(1.0, columns((1, 3)), [0.4])
    if candidates is None:
        masks = replace(masks, candidates=None)
    assert expecting(masks) is masks


def disc(radius: float, view: View, **found: Any) -> FrameResult:
    """A disc of so many frame pixels in the middle of a frame of 64 x 64."""
    middles = (np.arange(16) + 0.5) / 16
    ys, xs = view.y0 + middles * view.height, view.x0 + middles * view.width
    distances = np.hypot(ys[:, None] - 32, xs[None] - 32)
    logits = (3 * (radius - distances)).astype(np.float32)
    return FrameResult(
        logits, view, **({"object_score": 5.0, "predicted_iou": 0.5} | found)
    )


def test_windows_are_compared_in_the_view_of_the_result() -> None:
    close = disc(4.0, CLOSE, predicted_iou=0.55, object_score=3.0)
    result = expected_result(close, [close, disc(11.0, WHOLE), disc(11.0, CLOSE)])
    assert result.view == CLOSE
    assert result.object_score == 3.0
    error = (result.logits > 0) ^ (disc(11.0, CLOSE).logits > 0)
    assert error.sum() <= 12  # the wide window is coarse
    assert result.predicted_iou == pytest.approx(0.523, abs=2e-3)


@pytest.mark.parametrize("count", [0, 1])
def test_a_result_without_others_is_returned(count: int) -> None:
    result = disc(5.0, CLOSE)
    assert expected_result(result, [disc(9.0, WHOLE)] * count) is result


STACK = np.random.default_rng(0).integers(0, 255, (3, 96, 96)).astype(np.uint8)


@pytest.mark.parametrize(
    ("configured", "option", "same_as"),
    [
        (None, "auto", "predicted_iou"),
        ("expected_iou", "auto", "expected_iou"),
        ("expected_iou", "predicted_iou", "predicted_iou"),
        ("predicted_iou", "expected_iou", "expected_iou"),
    ],
)
def test_the_option_goes_before_the_configuration(
    monkeypatch: pytest.MonkeyPatch,
    micro: Sam2,
    configured: str | None,
    option: Any,
    same_as: Any,
) -> None:
    def tracked(choice: Any) -> list[NDArray[np.float32]]:
        predictor = VideoPredictor(micro, PredictorOptions(mask_choice=choice))
        session = predictor.start(STACK)
        prompt = Prompt([(40.0, 50.0)])
        predictor.add_prompt(session, frame=0, object_id=1, prompt=prompt)
        return [masks.logits for masks in predictor.propagate(session)]

    given = {} if configured is None else {"mask_choice": configured}
    monkeypatch.setattr(micro, "predictor_options", given)
    found = tracked(option)
    others = {choice: tracked(choice) for choice in ("predicted_iou", "expected_iou")}
    np.testing.assert_array_equal(found, others.pop(same_as))
    assert not np.array_equal(found, *others.values())
