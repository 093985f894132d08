"""Prompts: what is accepted, what is refused, and in which words."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam2 import Prompt, PromptError

SQUARE = np.eye(4, dtype=bool)

REFUSED = {
    "nothing": ({}, "empty"),
    "no points": ({"points": []}, "empty"),
    "one flat point": ({"points": [1, 2]}, "shape"),
    "three coordinates": ({"points": [[1, 2, 3]]}, "shape"),
    "ragged": ({"points": [[1, 2], [3]]}, "not numbers"),
    "words": ({"points": [["a", "b"]]}, "not numbers"),
    "NaN point": ({"points": [[1, math.nan]]}, "NaN"),
    "infinite box": ({"box": [0, 0, math.inf, 4]}, "NaN or infinity"),
    "too few labels": ({"points": [[1, 2], [3, 4]], "labels": [1]}, "1 labels"),
    "labels alone": ({"labels": [1], "mask": SQUARE}, "0 points"),
    "label 2": ({"points": [[1, 2]], "labels": [2]}, "1 .* or 0"),
    "half label": ({"points": [[1, 2]], "labels": [0.5]}, "1 .* or 0"),
    "three corners": ({"box": [1, 2, 3]}, "four numbers"),
    "two boxes": ({"box": [[0, 0, 1, 1], [2, 2, 3, 3]]}, "four numbers"),
    "flat box": ({"box": [1, 1, 1, 4]}, "no area"),
    "turned box": ({"box": [3, 1, 1, 4]}, "no area"),
    "line as mask": ({"mask": [1, 0]}, "two axes"),
    "stack as mask": ({"mask": np.zeros((2, 4, 4), bool)}, "two axes"),
    "label image as mask": ({"mask": [[0, 7], [7, 0]]}, "label image"),
    "probabilities as mask": ({"mask": [[0.0, 0.5]]}, "label image"),
    "text as mask": ({"mask": [["x", "y"]]}, "mask"),
}

OUTSIDE = {
    "right of it": ({"points": [[9, 2]]}, r"\(9, 2\)"),
    "above it": ({"points": [[2, -1]]}, r"\(2, -1\)"),
    "second point": ({"points": [[1, 1], [1, 6]]}, r"\(1, 6\)"),
    "box beside": ({"box": [8, 0, 12, 4]}, "box"),
    "box above": ({"box": [0, -4, 4, 0]}, "box"),
    "transposed mask": ({"mask": np.zeros((8, 5), bool)}, r"\(8, 5\)"),
}


@pytest.mark.parametrize(("parts", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_prompt_is_refused(parts: dict[str, object], words: str) -> None:
    with pytest.raises(PromptError, match=words):
        Prompt(**parts)


@pytest.mark.parametrize(("parts", "words"), OUTSIDE.values(), ids=OUTSIDE)
def test_what_does_not_fit_the_frame_is_refused(
    parts: dict[str, object], words: str
) -> None:
    prompt = Prompt(**parts)
    with pytest.raises(PromptError, match=words):
        prompt.check((5, 8))


@pytest.mark.parametrize(
    "parts",
    [
        {"points": [[0, 0], [7, 4]]},
        {"points": [[-0.5, -0.5]]},
        {"box": [-3, -3, 1, 1]},
        {"box": [0, 0, 80, 50]},
        {"mask": np.zeros((5, 8), bool)},
    ],
    ids=str,
)
def test_what_touches_the_frame_fits(parts: dict[str, object]) -> None:
    Prompt(**parts).check((5, 8))


def test_labels_are_positive_unless_said() -> None:
    assert Prompt([[1, 2], [3, 4]]).labels.tolist() == [1, 1]
    assert Prompt([[1, 2], [3, 4]], [True, False]).labels.tolist() == [1, 0]


def test_only_a_mask_alone_is_the_result() -> None:
    assert Prompt(mask=SQUARE).is_mask
    assert not Prompt([[1, 1]], mask=SQUARE).is_mask
    assert not Prompt(box=[0, 0, 2, 2], mask=SQUARE).is_mask
    assert not Prompt([[1, 1]]).is_mask


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, float])
def test_masks_of_0_and_1_are_masks(dtype: type) -> None:
    prompt = Prompt(mask=SQUARE.astype(dtype))
    assert prompt.mask is not None
    assert prompt.mask.dtype == bool
    np.testing.assert_array_equal(prompt.mask, SQUARE)


def test_a_prompt_is_neither_bound_to_what_it_was_made_of_nor_changed() -> None:
    mask, points = SQUARE.copy(), np.ones((1, 2), np.float32)
    box = np.array([0, 0, 2, 2], np.float32)
    prompt = Prompt(points, box=box, mask=mask)
    mask[:], points[:], box[:] = False, 7, 9
    assert prompt.mask is not None
    assert prompt.mask.any()
    assert prompt.points.tolist() == [[1, 1]]
    for part in (prompt.points, prompt.labels, prompt.box, prompt.mask):
        assert part is not None
        with pytest.raises(ValueError, match="read-only"):
            part[:] = 0


A, B = [1.0, 2.0], [3.0, 4.0]
EXTENSIONS = [
    (Prompt([A, B]), Prompt([A]), True),
    (Prompt([A]), Prompt([A]), True),
    (Prompt([A, B], [1, 0]), Prompt([A]), True),
    (Prompt([A, B]), Prompt([A], [0]), False),
    (Prompt([B, A]), Prompt([A]), False),
    (Prompt([A]), Prompt([A, B]), False),
    (Prompt([A], box=[0, 0, 4, 4]), Prompt(box=[0, 0, 4, 4]), True),
    (Prompt([A], box=[0, 0, 4, 4]), Prompt(box=[0, 0, 4, 5]), False),
    (Prompt([A]), Prompt([A], box=[0, 0, 4, 4]), False),
    (Prompt([A], mask=SQUARE), Prompt(mask=SQUARE), False),
]


@pytest.mark.parametrize(("later", "earlier", "expected"), EXTENSIONS)
def test_a_prompt_extends_one_that_it_adds_points_to(
    later: Prompt, earlier: Prompt, expected: bool
) -> None:
    assert later.extends(earlier) is expected


finite = st.floats(-1e6, 1e6, width=32)


@given(
    points=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 9), st.just(2)),
        elements=st.floats(-9, 210, width=32),
    )
)
def test_any_finite_points_are_kept_as_they_are(points: np.ndarray) -> None:
    prompt = Prompt(points.tolist())
    np.testing.assert_array_equal(prompt.points, points)
    height, width = 100, 200
    inside = (points >= -0.5).all() and (points <= [width, height]).all()
    if inside:
        prompt.check((height, width))
    else:
        with pytest.raises(PromptError, match="lies outside"):
            prompt.check((height, width))


@given(corners=st.tuples(finite, finite, finite, finite))
def test_a_box_needs_an_area(corners: tuple[float, ...]) -> None:
    x0, y0, x1, y1 = corners
    if x0 < x1 and y0 < y1:
        assert Prompt(box=corners).box.tolist() == list(corners)
    else:
        with pytest.raises(PromptError, match="no area"):
            Prompt(box=corners)


def test_masks_of_large_frames_are_kept_in_few_bytes() -> None:
    mask = np.zeros((2048, 2048), bool)
    mask[900:960, 300:380] = True
    prompt = Prompt(mask=mask)
    assert len(prompt.packed_mask.bits) < 10_000
    np.testing.assert_array_equal(prompt.mask, mask)
