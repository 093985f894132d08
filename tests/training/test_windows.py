from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.errors import ConfigError
from napari_sam2.inference.results import bounding_box
from napari_sam2.training.sources import DrawnClip
from napari_sam2.training.windows import WindowParameters, window_around

SIZE = 64


def clip_of(labels):
    """Return frames of one channel that show the number of the object, over 4."""
    labels = np.asarray(labels)
    return DrawnClip(labels[:, None].astype(np.float32) / 4, labels)


def squares(*boxes, side=160, frames=3):
    """Return a clip of squares (y, x, side), numbered from 1, that do not move."""
    labels = np.zeros((frames, side, side), np.int64)
    for number, (y, x, extent) in enumerate(boxes, start=1):
        labels[:, y : y + extent, x : x + extent] = number
    return clip_of(labels)


@given(
    place=st.tuples(st.integers(0, 150), st.integers(0, 150), st.integers(2, 40)),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_window_shows_all_of_the_object(place, seed):
    clip = squares(place)
    rng = np.random.default_rng(seed)
    frames, masks = window_around(rng, clip, 1, 0, SIZE, WindowParameters())
    assert frames.shape == (3, 1, SIZE, SIZE)
    assert frames.dtype == np.float32
    assert masks.shape == (3, 2, SIZE, SIZE)
    assert masks.dtype == bool
    assert masks.any((2, 3)).all()
    y0, y1, x0, x1 = bounding_box(clip.labels[0] == 1)
    longer = max(y1 - y0, x1 - x0)
    top, bottom, left, right = bounding_box(masks[0, 0])
    share = max(bottom - top, right - left) / SIZE
    # Windows are whole pixels, from a quarter of the input's side to the whole frame.
    narrowest = max(3 * 0.57 * longer, SIZE / 4) - 1
    widest = min(max(3 * 1.67 * longer, SIZE / 4) / 0.8 + 1, 160)
    assert longer / widest - 2 / SIZE <= share <= longer / narrowest + 2 / SIZE


def test_the_object_is_in_the_middle_and_as_large_as_said():
    clip = squares((70, 60, 20))
    knobs = WindowParameters(side=(1.0, 1.0), shift=0.0)
    rng = np.random.default_rng(0)
    _, masks = window_around(rng, clip, 1, 1, SIZE, knobs)
    top, bottom, left, right = bounding_box(masks[1, 0])
    assert top + bottom == pytest.approx(SIZE, abs=2)
    assert left + right == pytest.approx(SIZE, abs=2)
    assert bottom - top == pytest.approx(SIZE / 3, abs=1.5)


def test_frames_and_masks_are_cut_alike():
    clip = squares((20, 30, 24), (20, 58, 24))
    rng = np.random.default_rng(1)
    frames, masks = window_around(rng, clip, 1, 0, SIZE, WindowParameters())
    for mask, grey in zip(masks[0], (0.25, 0.5), strict=True):
        inner = mask & np.roll(mask, 2, 0) & np.roll(mask, -2, 0)
        inner &= np.roll(mask, 2, 1) & np.roll(mask, -2, 1)
        assert inner.any()
        assert np.allclose(frames[0, 0][inner], grey, atol=1e-5)


def test_of_the_others_one_that_is_seen():
    clip = squares((70, 70, 20), (140, 140, 20))
    rng = np.random.default_rng(2)
    knobs = WindowParameters(side=(0.6, 0.6))
    _, masks = window_around(rng, clip, 1, 0, SIZE, knobs)
    assert np.array_equal(masks[:, 0], masks[:, 1])  # the second square is far away


def test_frames_without_the_object_show_where_it_was():
    labels = squares((70, 70, 20)).labels.copy()
    labels[2] = 0
    rng = np.random.default_rng(3)
    frames, masks = window_around(rng, clip_of(labels), 1, 0, SIZE, WindowParameters())
    assert masks.any((2, 3)).tolist() == [[True] * 2, [True] * 2, [False] * 2]
    assert not frames[2].any()


def test_settings_out_of_bounds_are_refused():
    with pytest.raises(ConfigError, match=r"WindowParameters\.share is 1\.5"):
        WindowParameters(share=1.5)
    with pytest.raises(ConfigError, match=r"WindowParameters\.frame is .* 1\.0 to 4"):
        WindowParameters(frame=(0.5, 2.0))
