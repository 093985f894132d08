"""What two passes that meet on a frame make of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from napari_sam2.inference.merging import merged
from napari_sam2.inference.results import FrameResult
from napari_sam2.model.records import View

WHOLE = View.whole((64, 64), 32)
HERE = FrameResult(np.full((8, 8), 2.0, np.float32), WHOLE, 1.0, 0.5, backward=True)
THERE = FrameResult(np.full((8, 8), -4.0, np.float32), WHOLE, 3.0, 0.5, one_sided=True)


# Distances, predicted IoU of either, and the share of the first.
SHARES = [
    (1, 1, 0.5, 0.5, 1 / 2),
    (1, 3, 0.5, 0.5, 3 / 4),
    (5, 1, 0.5, 0.5, 1 / 6),
    (1, 1, 0.8, 0.4, 4 / 5),
    (4, 1, 0.8, 0.4, 1 / 2),
    (1, 1, 0.0, 0.0, 1 / 2),
    (1, 1, 0.0, 0.5, 0.0004),
]


@pytest.mark.parametrize(("distance", "other", "iou", "other_iou", "share"), SHARES)
def test_a_pass_counts_by_its_predicted_iou_and_how_far_it_has_come(
    distance: int, other: int, iou: float, other_iou: float, share: float
) -> None:
    here, there = (
        replace(one, predicted_iou=value)
        for one, value in ((HERE, iou), (THERE, other_iou))
    )
    found = merged(here, distance, there, other)
    np.testing.assert_allclose(found.logits, 2 * share - 4 * (1 - share), atol=2e-3)
    assert found.logits.dtype == np.float32
    assert found.object_score == pytest.approx(share + 3 * (1 - share), abs=2e-3)
    assert found.predicted_iou == pytest.approx(
        share * iou + (1 - share) * other_iou, abs=2e-3
    )
    assert found.backward
    assert not found.one_sided


@pytest.mark.parametrize("absent", ["first", "second"])
@pytest.mark.parametrize(("distance", "other"), [(1, 2), (2, 1)])
def test_whether_the_object_is_there_says_the_pass_that_counts_more(
    absent: str, distance: int, other: int
) -> None:
    gone: dict[str, Any] = {"object_score": -2.0}
    here, there = HERE, THERE
    if absent == "first":
        here = replace(here, **gone)
    else:
        there = replace(there, **gone)
    found = merged(here, distance, there, other)
    winner = here if distance < other else there
    np.testing.assert_array_equal(found.logits, winner.logits)
    assert found.present == winner.present
    assert not found.one_sided


def test_no_logit_outweighs_all_that_the_other_pass_says() -> None:
    loud = replace(THERE, logits=np.full((8, 8), -1000.0, np.float32))
    found = merged(replace(HERE, logits=np.full((8, 8), 9.0, np.float32)), 1, loud, 3)
    assert (found.logits > 0).all()


def test_masks_seen_in_different_windows_are_merged_in_the_first() -> None:
    view = View(16, 16, 32, 32, 32)  # the middle of the frame, twice as close
    logits = np.full((8, 8), -6.0, np.float32)
    logits[2:6, 2:6] = 6.0  # all of what the window shows
    there = replace(THERE, logits=logits)
    here = replace(HERE, logits=np.full((8, 8), 1.0, np.float32), view=view)
    found = merged(here, 1, there, 1)
    assert found.view == view
    np.testing.assert_allclose(found.logits[1:-1, 1:-1], 3.5)
    assert (found.logits[0] < 3.5).all()
