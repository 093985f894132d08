from __future__ import annotations

import numpy as np
import pytest
from label_scenes import discs

from napari_sam2.data.contrast import estimate_contrast
from napari_sam2.data.source import as_frame_source
from napari_sam2.evaluation import MethodScores, Protocol, evaluate_stack
from napari_sam2.evaluation.baselines import copied_masks, linked_segments
from napari_sam2.evaluation.objects import suitable_objects
from napari_sam2.evaluation.stack import as_labels

IMAGES, LABELS = discs()


def linked(images: np.ndarray, labels: np.ndarray, **protocol: str) -> MethodScores:
    frames, truth = as_frame_source(images), as_labels(labels)
    rules = Protocol(**protocol)
    objects = suitable_objects(truth, frames, rules)
    return linked_segments(frames, truth, objects, rules, estimate_contrast(frames))


def test_a_copied_mask_is_right_where_nothing_moves() -> None:
    truth = as_labels(LABELS)
    objects = suitable_objects(truth, as_frame_source(IMAGES), Protocol())
    moving, still = copied_masks(truth, objects, Protocol()).objects
    assert still.after(1).mean_iou == still.after(5).mean_boundary_f == 1
    middle = LABELS[4] == 1
    expected = [
        (middle & (LABELS[f] == 1)).sum() / (middle | (LABELS[f] == 1)).sum()
        for f in moving.frames
    ]
    np.testing.assert_allclose(moving.after(1).iou, expected)
    assert moving.after(1).worst.frame == 1
    # It is everywhere, so it is there beyond the ends, too.
    assert (moving.after(1).before.present, moving.after(1).after.present) == (1, 1)


@pytest.mark.parametrize("first", ["point", "box"])
@pytest.mark.parametrize("inverted", [False, True])
def test_segments_of_clear_discs_are_linked(inverted: bool, first: str) -> None:
    images = IMAGES.max() - IMAGES if inverted else IMAGES
    scores = linked(images, LABELS, first=first)
    assert scores.method == "watershed"
    assert scores.mean_iou() > 0.85
    assert scores.mean_boundary_f() == 1
    disc = scores.objects[0].after(1)
    assert (disc.before.present, disc.after.present) == (0, 0)


def test_touching_discs_are_cut() -> None:
    y, x = np.mgrid[:60, :60]
    labels = np.zeros((6, 60, 60), np.uint8)
    labels[:, (y - 30) ** 2 + (x - 19) ** 2 < 100] = 1
    labels[:, (y - 30) ** 2 + (x - 36) ** 2 < 100] = 2
    scores = linked((labels > 0).astype(np.uint8) * 200, labels)
    assert min(scores.objects[i].after(1).mean_iou for i in (0, 1)) > 0.8


def test_a_jump_ends_a_chain() -> None:
    _, labels = discs(drift=0)
    images = np.where(labels > 0, 200, 0).astype(np.uint8)
    labels[5:, :20], images[5:, :20] = 0, 0
    labels[5:8, 4:14, 34:44], images[5:8, 4:14, 34:44] = 1, 200
    iou = linked(images, labels).objects[0].after(1).iou
    assert [value > 0.8 for value in iou] == [True] * 4 + [False] * 3


def test_a_click_on_no_segment_finds_nothing() -> None:
    images = IMAGES.copy()
    images[4][LABELS[4] == 1] = 100
    unseen, seen = linked(images, LABELS).objects
    assert unseen.after(1).mean_iou == 0
    assert seen.after(1).mean_iou > 0.8


def test_an_even_stack_has_one_segment_or_none() -> None:
    scores = linked(np.full(LABELS.shape, 7, np.uint8), LABELS)
    assert scores.mean_iou() < 0.2


def test_baselines_stand_beside_the_network(predictor) -> None:
    evaluation = evaluate_stack(
        predictor,
        IMAGES,
        LABELS,
        protocol=Protocol(interactions=1),
        baselines=True,
    )
    assert [m.method for m in evaluation.methods] == ["model", "copied", "watershed"]
    frames = [[o.frames for o in m.objects] for m in evaluation.methods]
    assert frames[0] == frames[1] == frames[2]
