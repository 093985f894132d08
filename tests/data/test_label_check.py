from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam2.data.label_check import index_labels, overlaps
from napari_sam2.data.labels import read_labels
from napari_sam2.data.source import as_frame_source
from napari_sam2.errors import ImageError

SHAPE = (5, 48, 48)


def grid(numbers) -> np.ndarray:
    """Nine squares on each frame, numbered as `numbers` (T, 9) says."""
    labels = np.zeros((len(numbers), 48, 48), np.uint16)
    for frame, row in enumerate(numbers):
        for place, number in enumerate(row):
            y, x = 16 * (place // 3) + 4, 16 * (place % 3) + 4 + frame
            labels[frame, y : y + 8, x : x + 6] = number
    return labels


def index(labels, shape=None):
    images = np.zeros(shape or labels.shape, np.uint8)
    return index_labels(read_labels(labels), as_frame_source(images))


IDS = st.sampled_from([0, 1, 2, 70_000, 2**32 - 1])


@given(
    hnp.arrays(np.uint32, (9, 7), elements=IDS),
    hnp.arrays(np.uint16, (9, 7), elements=st.integers(0, 4)),
)
def test_overlaps_are_all_pairs_with_their_pixels(labels, others):
    columns = [part.tolist() for part in overlaps(labels, others)]
    found = list(zip(*columns, strict=True))
    expected = {
        (int(a), int(b)): int(((labels == a) & (others == b)).sum())
        for a, b in zip(labels.ravel(), others.ravel(), strict=True)
        if a and b
    }
    assert {(a, b): shared for a, b, shared in found} == expected
    assert len(found) == len(expected)


def test_every_object_of_every_frame_is_found():
    numbers = np.tile(np.arange(1, 10) * 1000, (5, 1))
    numbers[2:, 4] = 0
    table = index(grid(numbers))
    assert len(table.ids) == 5 * 9 - 3
    row = np.flatnonzero((table.frames == 3) & (table.ids == 6000))[0]
    assert table.areas[row] == 48
    assert table.boxes[row].tolist() == [20, 39, 28, 45]
    assert not ((table.frames > 1) & (table.ids == 5000)).any()


def test_a_frame_that_is_all_object():
    labels = grid([[7]] * 3)
    labels[1] = 7
    table = index(labels)
    assert table.areas[table.frames == 1].tolist() == [48 * 48]


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (np.zeros(SHAPE, np.uint8), "are empty"),
        (grid(np.full((5, 9), 255)), "one number, 255, for everything, in 9 separate"),
        (grid([[t + 1] for t in range(5)]), "no number is on more than one frame"),
        (grid(np.arange(1, 46).reshape(5, 9)), "no number is on more than one frame"),
        (
            grid([np.roll(np.arange(1, 10), 2 * t) for t in range(5)]),
            "numbered anew on every frame: of 36 outlines",
        ),
    ],
)
def test_labels_that_tell_no_objects_apart(labels, told):
    with pytest.raises(ImageError, match=told):
        index(labels)


@pytest.mark.parametrize(
    "labels",
    [
        grid([[1]] * 5),  # one object
        grid([[1, 1]] * 5),  # one object in two parts
        grid([range(1, 10)]),  # one frame
        grid([[0] * 9, range(1, 10), [0] * 9]),  # one labelled frame
        grid([[1, 2], [1, 2], [2, 1], [2, 1]]),  # two that change places
    ],
)
def test_labels_that_are_as_they_should_be(labels):
    assert set(index(labels).ids) == set(np.unique(labels)) - {0}


@pytest.mark.parametrize("shape", [(4, 48, 48), (5, 48, 47)])
def test_another_shape(shape):
    with pytest.raises(ImageError, match=r"5 frames of 48 x 48 pixels, their image"):
        index(grid(np.tile(np.arange(1, 10), (5, 1))), shape)
