from __future__ import annotations

import numpy as np
import pytest
from label_scenes import discs

from napari_sam2.data.source import as_frame_source
from napari_sam2.errors import ImageError
from napari_sam2.evaluation import Protocol
from napari_sam2.evaluation.objects import suitable_objects
from napari_sam2.evaluation.stack import as_labels

IMAGES, LABELS = discs()


def ids(labels: np.ndarray, *wanted: int, **protocol: float) -> list[int]:
    images = as_frame_source(np.zeros(labels.shape, np.uint8))
    chosen = suitable_objects(as_labels(labels), images, Protocol(**protocol), wanted)
    return [one.object_id for one in chosen]


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ({}, [1, 2]),
        ({"least_frames": 7}, [1, 2]),
        ({"least_frames": 8}, [2]),
        ({"least_area": 120}, [2]),
        ({"most_objects": 1}, [1]),
        ({"most_objects": 5}, [1, 2]),
    ],
)
def test_few_and_small_frames_are_left_out(
    protocol: dict[str, float], expected: list[int]
) -> None:
    assert ids(LABELS, **protocol) == expected


def test_many_objects_are_thinned_evenly() -> None:
    labels = np.zeros((5, 60, 60), np.uint8)
    for number in range(9):
        y, x = divmod(number, 3)
        labels[:, 20 * y : 20 * y + 8, 20 * x : 20 * x + 8] = number + 1
    assert ids(labels, most_objects=3) == [1, 5, 9]


def test_objects_asked_for_need_not_be_suitable() -> None:
    assert ids(LABELS, 2, 1, 2, least_frames=100) == [2, 1]
    assert ids(LABELS, 2, 1, most_objects=1) == [2]


def test_an_object_knows_its_frames() -> None:
    first, second = suitable_objects(
        as_labels(LABELS), as_frame_source(IMAGES), Protocol()
    )
    assert first.frames == tuple(range(1, 8))
    assert (first.middle, second.middle) == (4, 4)
    assert first.mean_area == (LABELS == 1).sum() / 7


@pytest.mark.parametrize(
    ("labels", "wanted", "message"),
    [
        (np.zeros((9, 40, 48), np.uint8), (), "are empty"),
        (LABELS[:6], (3,), "hold no object 3: they hold 1, 2. Choose among these"),
        (LABELS[:4], (), "5 frames or more .* on 4 frames at most"),
    ],
)
def test_what_cannot_be_evaluated(
    labels: np.ndarray, wanted: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ImageError, match=message):
        ids(labels, *wanted)


def test_numbers_that_change_on_every_frame() -> None:
    frames = np.arange(9, dtype=np.uint16)[:, None, None]
    with pytest.raises(ImageError, match="no number is on more than one frame"):
        ids(np.where(LABELS > 0, LABELS + 2 * frames, 0))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("interactions", 0),
        ("first", "scribble"),
        ("least_frames", 0),
        ("least_area", -1),
        ("most_objects", 0),
        ("beyond", -1),
        ("tolerance", -0.5),
    ],
)
def test_protocols_out_of_range(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        Protocol(**{name: value})


@pytest.mark.parametrize(
    ("shape", "tolerance"), [((40, 48), 1), ((120, 122), 2), ((480, 854), 8)]
)
def test_the_tolerance_grows_with_the_frame(
    shape: tuple[int, int], tolerance: float
) -> None:
    assert Protocol().tolerance_in(shape) == tolerance
    assert Protocol(tolerance=3.5).tolerance_in(shape) == 3.5
