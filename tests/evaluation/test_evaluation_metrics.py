from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from napari_sam2.evaluation.metrics import compare, outline, window_around

masks = arrays(bool, (9, 11))


def square(y: int, x: int, side: int = 10) -> np.ndarray:
    mask = np.zeros((40, 40), bool)
    mask[y : y + side, x : x + side] = True
    return mask


@given(masks, masks)
def test_agreement_is_symmetric_and_bounded(one: np.ndarray, other: np.ndarray) -> None:
    there = compare(one, other, tolerance=1)
    back = compare(other, one, tolerance=1)
    assert there.iou == back.iou
    assert there.boundary_f == pytest.approx(back.boundary_f)
    assert 0 <= there.iou <= 1
    assert 0 <= there.boundary_f <= 1


@given(masks)
def test_a_mask_agrees_with_itself(mask: np.ndarray) -> None:
    agreement = compare(mask, mask, tolerance=0)
    assert (agreement.iou, agreement.boundary_f) == (1, 1)


@given(masks, masks)
def test_empty_surroundings_change_nothing(one: np.ndarray, other: np.ndarray) -> None:
    inside = np.zeros((2, 21, 23), bool)
    inside[0, 6:15, 6:17], inside[1, 6:15, 6:17] = one, other
    wider = np.zeros((2, 60, 70), bool)
    wider[:, 20:41, 30:53] = inside
    assert compare(*inside, tolerance=2) == compare(*wider, tolerance=2)


@pytest.mark.parametrize(
    ("shift", "iou", "boundary_f"), [(0, 1, 1), (2, 8 / 12, 1), (20, 0, 0)]
)
def test_a_shifted_square(shift: int, iou: float, boundary_f: float) -> None:
    agreement = compare(square(5, 5), square(5, 5 + shift), tolerance=2)
    assert agreement.iou == pytest.approx(iou)
    assert agreement.boundary_f == pytest.approx(boundary_f)


def test_boundary_f_falls_beyond_the_tolerance() -> None:
    found, true = square(5, 5), square(5, 9)
    scores = [compare(found, true, tolerance=t).boundary_f for t in (0, 1, 2, 4)]
    assert scores == sorted(scores)
    assert 0 < scores[0] < scores[-1] == 1


@pytest.mark.parametrize("mask", [square(5, 5), np.ones((40, 40), bool)])
def test_one_empty_mask_agrees_with_nothing(mask: np.ndarray) -> None:
    agreement = compare(mask, np.zeros((40, 40), bool), tolerance=2)
    assert (agreement.iou, agreement.boundary_f) == (0, 0)


def test_the_border_of_the_frame_is_no_outline() -> None:
    mask = np.zeros((6, 6), bool)
    mask[:3] = True
    assert np.flatnonzero(outline(mask).any(1)).tolist() == [2]
    assert not outline(np.ones((6, 6), bool)).any()


def test_windows_stay_in_the_frame() -> None:
    mask = np.zeros((6, 8), bool)
    assert window_around(mask) == (slice(0, 0), slice(0, 0))
    mask[0, 6] = mask[2, 7] = True
    assert window_around(mask) == (slice(0, 3), slice(6, 8))
    assert window_around(mask, margin=2) == (slice(0, 5), slice(4, 8))
