from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from label_scenes import discs
from PIL import Image

from napari_sam2.data.contrast import estimate_contrast
from napari_sam2.data.source import as_frame_source
from napari_sam2.errors import ImageError
from napari_sam2.evaluation import Protocol, evaluate_stack
from napari_sam2.evaluation.pictures import (
    draw_outlines,
    save_worst_cases,
    worst_cases,
)
from napari_sam2.evaluation.stack import as_labels

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sam2 import VideoPredictor

IMAGES, LABELS = discs()
GREEN, MAGENTA, WHITE = (0, 220, 0), (255, 0, 220), (255, 255, 255)


def colours(picture: np.ndarray) -> set[tuple[int, ...]]:
    half = picture[:, picture.shape[1] // 2 + 2 :]
    return {tuple(pixel) for pixel in half.reshape(-1, 3).tolist()}


def square(y: int, x: int) -> np.ndarray:
    mask = np.zeros((40, 48), bool)
    mask[y : y + 6, x : x + 6] = True
    return mask


@pytest.mark.parametrize(
    ("true", "found", "expected"),
    [
        (square(9, 9), square(12, 20), {GREEN, MAGENTA}),
        (square(9, 9), square(9, 9), {WHITE}),
        (square(9, 9), np.zeros((40, 48), bool), {GREEN}),
        (np.zeros((40, 48), bool), np.zeros((40, 48), bool), set()),
    ],
)
def test_outlines_tell_true_from_found(
    true: np.ndarray, found: np.ndarray, expected: set[tuple[int, int, int]]
) -> None:
    frame = np.full((40, 48, 3), 0.5, np.float32)
    picture = draw_outlines(frame, true, found)
    assert picture.dtype == np.uint8
    assert colours(picture) - {(128, 128, 128)} == expected
    assert {tuple(p) for p in picture[:, :40].reshape(-1, 3)} == {(128, 128, 128)}


def test_small_objects_are_enlarged() -> None:
    frame = np.zeros((400, 400, 3), np.float32)
    mask = np.zeros((400, 400), bool)
    mask[200:204, 100:104] = True
    height, width, _ = draw_outlines(frame, mask, mask).shape
    assert height == 8 * (4 + 2 * 6)
    assert width == 2 * height + 4


def test_the_worst_are_pictured(predictor: VideoPredictor, tmp_path: Path) -> None:
    evaluation = evaluate_stack(
        predictor,
        IMAGES,
        LABELS,
        protocol=Protocol(interactions=2),
        name="day 1/discs.tif",
    )
    cases = worst_cases(evaluation, 5)
    assert [case.worst.iou for case in cases] == sorted(c.worst.iou for c in cases)
    frames = as_frame_source(IMAGES)
    paths = save_worst_cases(
        tmp_path / "worst",
        evaluation,
        frames,
        as_labels(LABELS),
        estimate_contrast(frames),
        count=1,
    )
    (path,) = (tmp_path / "worst").iterdir()
    worst = cases[0]
    assert paths == [path]
    assert path.name == (
        f"day 1_discs.tif-object{worst.object_id}-frame{worst.worst.frame}.png"
    )
    with Image.open(path) as picture:
        assert {GREEN, MAGENTA} & colours(np.asarray(picture))


def test_pictures_that_cannot_be_written(
    predictor: VideoPredictor, tmp_path: Path
) -> None:
    evaluation = evaluate_stack(
        predictor, IMAGES, LABELS, protocol=Protocol(interactions=1)
    )
    (tmp_path / "worst").write_text("")
    frames = as_frame_source(IMAGES)
    with pytest.raises(ImageError, match="cannot be written"):
        save_worst_cases(
            tmp_path / "worst",
            evaluation,
            frames,
            as_labels(LABELS),
            estimate_contrast(frames),
            count=1,
        )
