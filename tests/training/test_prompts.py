from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.training.prompts import (
    as_logits,
    box_around,
    correction_clicks,
    draw_prompts,
    point_inside,
    spoiled_masks,
)
from napari_sam2.training.settings import PromptParameters

rectangles = st.tuples(
    st.integers(0, 20), st.integers(0, 20), st.integers(1, 12), st.integers(1, 12)
)


def rectangle(y: int, x: int, height: int, width: int, size: int = 32):
    mask = np.zeros((size, size), bool)
    mask[y : y + height, x : x + width] = True
    return mask


@given(rectangles, st.booleans(), st.integers(0, 99))
def test_clicks_are_on_the_object(where, middle, seed):
    mask = rectangle(*where)
    x, y = point_inside(np.random.default_rng(seed), mask, middle=middle)
    assert mask[int(y), int(x)]


def test_clicks_in_the_middle_are_far_from_the_outline():
    mask = rectangle(4, 4, 21, 21)
    rng = np.random.default_rng(0)
    points = np.stack([point_inside(rng, mask, middle=True) for _ in range(100)])
    assert np.abs(points - 14).max() <= 4


@given(rectangles, st.floats(0, 0.5), st.integers(0, 99))
def test_boxes_stay_around_the_object_and_inside_the_image(where, noise, seed):
    y, x, height, width = where
    box = box_around(np.random.default_rng(seed), rectangle(*where), noise)
    assert (box[0] <= box[1]).all()
    assert (box >= 0).all()
    assert (box <= 31).all()
    true = np.array([[x, y], [x + width - 1, y + height - 1]])
    assert (np.abs(box - true) <= np.array([width, height]) / 4 + 0.5).all()


@pytest.mark.parametrize("draw", [point_inside, box_around])
def test_an_empty_mask_cannot_be_prompted(draw):
    extra = {"middle": True} if draw is point_inside else {"noise": 0.1}
    with pytest.raises(ValueError, match="empty"):
        draw(np.random.default_rng(0), np.zeros((8, 8), bool), **extra)


def test_prompts_of_a_frame():
    masks = np.stack([rectangle(2, 3, 9, 7), rectangle(20, 20, 1, 1)])
    knobs = PromptParameters(mask_noise=1.0)
    drawn = draw_prompts(np.random.default_rng(1), 3, masks, knobs)
    assert drawn.frame == 3
    assert drawn.clicks.shape == (2, 1, 2)
    assert drawn.boxes.shape == (2, 2, 2)
    assert drawn.masks.shape == (2, 1, 32, 32)
    assert drawn.masks.flatten(1).any(1).all()


def logits_of(mask: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(mask)[None, None].float() * 20 - 10


@given(rectangles, rectangles, st.integers(0, 99), st.sampled_from([0.0, 1.0]))
def test_corrections_are_where_the_mask_is_wrong(found, true, seed, share):
    found, true = rectangle(*found), rectangle(*true)
    points, labels = correction_clicks(
        logits_of(found),
        torch.from_numpy(true)[None, None].float(),
        torch.Generator().manual_seed(seed),
        share,
    )
    x, y = points[0, 0].int().tolist()
    assert labels[0, 0] == true[y, x]
    if (found != true).any():
        assert found[y, x] != true[y, x]
    else:
        assert true[y, x]


def test_corrections_in_the_middle_of_the_error():
    missing = rectangle(4, 4, 15, 15)
    points = [
        correction_clicks(
            logits_of(np.zeros((32, 32), bool)),
            torch.from_numpy(missing)[None, None].float(),
            torch.Generator().manual_seed(seed),
            1.0,
        )[0]
        for seed in range(20)
    ]
    depth = torch.cat(points).sub(11).abs().amax((1, 2))
    assert depth.mean() < 4.5


def test_an_object_rightly_taken_as_absent_gets_a_negative_click():
    empty = np.zeros((16, 16), bool)
    _, labels = correction_clicks(
        logits_of(empty), torch.zeros(1, 1, 16, 16), torch.Generator(), 0.5
    )
    assert labels.item() == 0


@given(rectangles, rectangles, st.integers(0, 99))
def test_spoiled_masks_cover_the_object_and_more(true, other, seed):
    target, beside = (
        torch.from_numpy(rectangle(*where, size=64))[None, None]
        .float()
        .repeat(9, 1, 1, 1)
        for where in (true, other)
    )
    spoiled = spoiled_masks(target, beside, torch.Generator().manual_seed(seed))
    assert spoiled.shape == target.shape
    assert set(spoiled.unique().tolist()) <= {0.0, 1.0}
    assert (spoiled >= target).all()
    both = torch.maximum(target, beside)
    for mask, union in zip(spoiled, both, strict=True):
        assert torch.equal(mask, union) or mask.sum() > target[0].sum()


def test_an_object_that_is_gone_is_spoiled_by_what_is_beside():
    target = torch.zeros(5, 1, 64, 64)
    beside = target.clone()
    beside[..., 8:20, 8:20] = 1
    spoiled = spoiled_masks(target, beside, torch.Generator().manual_seed(0))
    assert torch.equal(spoiled, beside)


def test_logits_of_given_masks_have_their_signs():
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., :16, :] = 1
    logits = as_logits(mask, 8)
    assert logits.shape == (1, 1, 8, 8)
    assert (logits[..., :4, :] > 0).all()
    assert (logits[..., 4:, :] < 0).all()
