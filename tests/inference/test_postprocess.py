"""From low-resolution logits to clean masks at frame size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam2.inference.postprocess import clean_mask, frame_logits, positive_patch
from napari_sam2.inference.results import bounding_box
from napari_sam2.model.records import View

if TYPE_CHECKING:
    from collections.abc import Iterator

low_logits = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    elements=st.floats(-20, 20, width=32),
)
bool_masks = hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@given(
    logits=low_logits,
    window=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    corner=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    beyond=st.tuples(st.integers(0, 5), st.integers(0, 5)),
)
def test_the_positive_patch_is_the_positive_part_of_the_whole(
    logits: np.ndarray,
    window: tuple[int, int],
    corner: tuple[int, int],
    beyond: tuple[int, int],
) -> None:
    view = View(*corner, *window, 32)
    shape = tuple(c + w + b for c, w, b in zip(corner, window, beyond, strict=True))
    whole = frame_logits(logits, view, shape)
    patch = positive_patch(logits, view)
    # Beside the patch nothing is positive (but for rounding).
    beside = whole.copy()
    beside[patch.where] = -1
    assert beside.max() <= 1e-4
    inside = whole[patch.where]
    np.testing.assert_allclose(
        np.maximum(patch.logits, 0), np.maximum(inside, 0), atol=1e-4
    )


def test_beyond_the_view_nothing_is_found() -> None:
    logits = np.full((4, 4), 5, np.float32)
    frame = frame_logits(logits, View(2, 3, 4, 4, 32), (8, 9))
    assert (frame[2:6, 3:7] == 5).all()
    frame[2:6, 3:7] = -1
    assert (frame < 0).all()


def test_frame_logits_interpolate_between_pixel_centres() -> None:
    logits = np.array([[0.0, 4.0]], np.float32)
    frame = frame_logits(logits, View.whole((1, 4), 32), (1, 4))
    np.testing.assert_allclose(frame, [[0, 1, 3, 4]])


def parts(mask: np.ndarray, *, diagonal: bool) -> Iterator[set[tuple[int, int]]]:
    """The connected parts of a mask, found by walking."""
    left = set(zip(*np.nonzero(mask), strict=True))
    while left:
        part, border = set(), [left.pop()]
        while border:
            y, x = border.pop()
            part.add((y, x))
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    near = (y + dy, x + dx)
                    if near in left and (diagonal or not (dy and dx)):
                        left.remove(near)
                        border.append(near)
        yield part


@given(mask=bool_masks, area=st.integers(1, 12))
def test_small_enclosed_holes_are_filled(mask: np.ndarray, area: int) -> None:
    height, width = mask.shape
    expected = mask.copy()
    for part in parts(~mask, diagonal=False):
        open_ended = any(y in (0, height - 1) or x in (0, width - 1) for y, x in part)
        if not open_ended and len(part) <= area:
            expected[tuple(np.transpose(list(part)))] = True
    found = clean_mask(mask, fill_holes=area, drop_specks=0)
    np.testing.assert_array_equal(found, expected)


@given(mask=bool_masks, area=st.integers(1, 12))
def test_small_parts_are_dropped_but_for_the_largest(
    mask: np.ndarray, area: int
) -> None:
    found = clean_mask(mask, fill_holes=0, drop_specks=area)
    pieces = list(parts(mask, diagonal=True))
    largest = max(map(len, pieces), default=0)
    kept = {frozenset(p) for p in parts(found, diagonal=True)}
    assert kept <= {frozenset(p) for p in pieces}
    assert {p for p in kept if len(p) < area} <= {p for p in kept if len(p) == largest}
    assert all(frozenset(p) in kept for p in pieces if len(p) >= area)
    assert bool(kept) == bool(pieces)


@given(mask=bool_masks)
def test_nothing_is_cleaned_unless_asked(mask: np.ndarray) -> None:
    found = clean_mask(mask, fill_holes=0, drop_specks=0)
    np.testing.assert_array_equal(found, mask)


@pytest.mark.parametrize(
    ("margin", "expected"),
    [(0, (2, 5, 3, 7)), (1, (1, 6, 2, 8)), (9, (0, 8, 0, 10))],
)
def test_a_bounding_box_stays_within_the_array(
    margin: int, expected: tuple[int, ...]
) -> None:
    mask = np.zeros((8, 10), bool)
    mask[2, 6] = mask[4, 3] = True
    assert bounding_box(mask, margin=margin) == expected
    assert bounding_box(np.zeros((8, 10), bool), margin=margin) == (0, 0, 0, 0)
