"""The masks of a frame: overlaps, cleaning, and the label image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam2.inference.masks import FrameMasks, MaskCleaning
from napari_sam2.inference.packed_mask import PackedMask
from napari_sam2.inference.results import FrameResult
from napari_sam2.model.records import View

SHAPE = (21, 30)
VIEW = View.whole(SHAPE, 32)


def found(logits: np.ndarray, score: float = 1.0) -> FrameResult:
    return FrameResult(np.asarray(logits, np.float32), VIEW, score, 0.5)


def painted(mask: np.ndarray) -> FrameResult:
    logits = np.full((8, 8), -10, np.float32)
    return FrameResult(logits, VIEW, 10.0, 1.0, painted=PackedMask.pack(mask))


def frame_masks(
    *results: FrameResult | None,
    ids: tuple[int, ...] | None = None,
    cleaning: MaskCleaning | None = None,
) -> FrameMasks:
    return FrameMasks(
        frame=0,
        frame_shape=SHAPE,
        object_ids=ids or tuple(range(1, len(results) + 1)),
        cleaning=cleaning or MaskCleaning(),
        _results=results,
    )


def rectangle(y0: int, y1: int, x0: int, x1: int) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def slope(low: float, high: float) -> np.ndarray:
    return np.tile(np.linspace(low, high, 8, dtype=np.float32), (8, 1))


some_logits = hnp.arrays(np.float32, (8, 8), elements=st.integers(-9, 9))
some_results = st.lists(
    st.builds(found, some_logits, st.sampled_from([2.0, 2.0, -1.0])), max_size=5
)


@given(results=some_results)
def test_a_pixel_goes_to_the_object_of_the_highest_logit(
    results: list[FrameResult],
) -> None:
    masks = frame_masks(*results)
    background = np.zeros((1, *SHAPE), np.float32)
    logits = np.concatenate([background, masks.logits])
    logits[1:][~masks.present] = -1024
    # Where two are as good as equal, rounding decides.
    ranked = np.sort(logits, axis=0)
    clear = ranked[-1] - ranked[-2:][0] > 1e-4 if results else ranked[-1] == 0
    labels = masks.labels()
    np.testing.assert_array_equal(labels[clear], logits.argmax(0)[clear])
    for row, object_id in enumerate(masks.object_ids):
        np.testing.assert_array_equal(masks.masks[row], labels == object_id)


@given(results=some_results)
def test_overlaps_can_be_kept(results: list[FrameResult]) -> None:
    masks = frame_masks(*results, cleaning=MaskCleaning("keep"))
    expected = (masks.logits > 0) & masks.present[:, None, None]
    clear = (np.abs(masks.logits) > 1e-4).all(0) if results else np.ones(SHAPE, bool)
    np.testing.assert_array_equal(masks.masks[:, clear], expected[:, clear])
    last = np.zeros(SHAPE, int)
    for row, object_id in enumerate(masks.object_ids):
        last[expected[row]] = object_id
    np.testing.assert_array_equal(masks.labels()[clear], last[clear])


def test_labels_can_be_asked_for_with_the_other_rule() -> None:
    masks = frame_masks(found(slope(9, 1)), found(slope(1, 9)))
    assert set(np.unique(masks.labels())) == {1, 2}
    assert set(np.unique(masks.labels(overlap="keep"))) == {2}


def test_a_painted_mask_comes_before_all_found_ones() -> None:
    mask = rectangle(3, 9, 4, 20)
    sure = found(np.full((8, 8), 30))
    for results, row in (((painted(mask), sure), 0), ((sure, painted(mask)), 1)):
        masks = frame_masks(*results)
        np.testing.assert_array_equal(masks.labels() == row + 1, mask)
        np.testing.assert_array_equal(masks.masks[row], mask)
        np.testing.assert_array_equal(masks.masks[1 - row], ~mask)


@pytest.mark.parametrize("overlap", ["highest_logit", "keep"])
def test_painted_masks_that_overlap_are_all_as_painted(overlap: str) -> None:
    first, second = rectangle(0, 10, 0, 10), rectangle(5, 15, 5, 15)
    masks = frame_masks(painted(first), painted(second), cleaning=MaskCleaning(overlap))
    np.testing.assert_array_equal(masks.masks, [first, second])
    np.testing.assert_array_equal(masks.labels(), np.where(second, 2, first))
    np.testing.assert_array_equal(masks.logits > 0, [first, second])


def test_an_approved_mask_loses_no_pixel_to_one_painted_later() -> None:
    first, second = rectangle(2, 8, 2, 8), rectangle(5, 12, 5, 12)
    approved = replace(painted(first), approved=PackedMask.pack(first))
    labels = frame_masks(approved, painted(second)).labels()
    assert ((labels == 1) == first).all()
    assert ((labels == 2) == second & ~first).all()


def test_an_absent_object_has_an_empty_mask() -> None:
    masks = frame_masks(found(np.full((8, 8), 9), score=-0.1), None)
    assert not masks.masks.any()
    assert not masks.labels().any()
    assert masks.present.tolist() == [False, False]
    assert masks.object_scores.tolist() == pytest.approx([-0.1, -1024])
    assert masks.predicted_iou.tolist() == [0.5, 0]
    assert (masks.logits[1] == -1024).all()


@pytest.mark.parametrize(
    ("ids", "dtype"), [((1, 65535), np.uint16), ((65536, 7), np.uint32)]
)
def test_labels_have_as_many_bits_as_ids_need(
    ids: tuple[int, int], dtype: type
) -> None:
    masks = frame_masks(found(slope(-9, 9)), found(slope(9, -9)), ids=ids)
    assert masks.labels().dtype == dtype
    assert set(np.unique(masks.labels())) == {*ids}


def test_a_frame_without_objects_is_background() -> None:
    masks = frame_masks()
    assert masks.labels().shape == SHAPE
    assert not masks.labels().any()
    assert masks.masks.shape == (0, *SHAPE)
    assert masks.logits.shape == (0, *SHAPE)


def with_flaws() -> np.ndarray:
    """A mask at frame size, as logits: one hole of a pixel, one speck of two."""
    logits = np.full(SHAPE, -5, np.float32)
    logits[2:12, 2:12] = 5
    logits[6, 6] = -5
    logits[15, 20:22] = 5
    return logits


@pytest.mark.parametrize(
    ("cleaning", "hole", "speck"),
    [
        ({}, False, True),
        ({"fill_holes": 1}, True, True),
        ({"drop_specks": 3}, False, False),
        ({"drop_specks": 2}, False, True),
        ({"fill_holes": 1, "drop_specks": 3}, True, False),
    ],
)
@pytest.mark.parametrize("overlap", ["highest_logit", "keep"])
def test_masks_are_cleaned_as_asked(
    cleaning: dict[str, int], hole: bool, speck: bool, overlap: str
) -> None:
    masks = frame_masks(found(with_flaws()), cleaning=MaskCleaning(overlap, **cleaning))
    for mask in (masks.masks[0], masks.labels() == 1):
        assert mask[6, 6] == hole
        assert mask[15, 20] == speck
        assert mask[4, 4]
    assert masks.logits[0][6, 6] < 0, "logits are as the network left them"


def test_a_filled_hole_leaves_what_another_object_holds() -> None:
    inner = np.full(SHAPE, -5, np.float32)
    inner[6, 6] = 5
    cleaning = MaskCleaning(fill_holes=4)
    masks = frame_masks(found(with_flaws()), found(inner), cleaning=cleaning)
    assert masks.labels()[6, 6] == 2


def test_painted_masks_are_not_cleaned() -> None:
    mask = with_flaws() > 0
    cleaning = MaskCleaning(fill_holes=9, drop_specks=9)
    masks = frame_masks(painted(mask), cleaning=cleaning)
    np.testing.assert_array_equal(masks.masks[0], mask)
