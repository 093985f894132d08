"""Results in the store: what comes back, and what it costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam2.inference.packed_mask import PackedMask
from napari_sam2.inference.postprocess import frame_logits
from napari_sam2.inference.results import FrameResult, ResultStore
from napari_sam2.inference.spool import Spool
from napari_sam2.model.records import View

VIEW = View.whole((33, 47), 32)


def result(logits: np.ndarray, score: float = 3.0) -> FrameResult:
    return FrameResult(np.asarray(logits, np.float32), VIEW, score, 0.75, True, True)


def blob(seed: int, size: int = 64) -> np.ndarray:
    """Logits of a soft disc, far below zero beside it."""
    rng = np.random.default_rng(seed)
    y, x = rng.uniform(10, size - 10, 2)
    rows, columns = np.mgrid[:size, :size]
    return (6 - np.hypot(rows - y, columns - x)).astype(np.float32)


@given(mask=hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_a_packed_mask_comes_back(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(PackedMask.pack(mask).unpack(), mask)


@given(
    logits=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.floats(-40, 40, width=32),
    )
)
def test_stored_masks_are_the_same_to_the_pixel(logits: np.ndarray) -> None:
    store = ResultStore(Spool())
    kept = result(logits)
    store.put(3, kept)
    store.put(4, result(-logits))
    found = store.get(3)
    for shape in (VIEW.height, VIEW.width), (5, 90):
        view = View.whole(shape, 32)
        now, before = (frame_logits(r.logits, view, shape) for r in (found, kept))
        np.testing.assert_array_equal(now > 0, before > 0)
        near = before > 0
        np.testing.assert_array_equal(now[near], before[near])
    for name in ("view", "object_score", "predicted_iou", "remembering", "backward"):
        assert getattr(found, name) == getattr(kept, name)


def test_an_absent_object_stays_absent_everywhere() -> None:
    store = ResultStore(Spool())
    store.put(0, result(np.full((8, 8), -1024), score=-2.0))
    store.put(1, result(np.ones((8, 8))))
    found = store.get(0)
    assert not found.present
    assert (found.logits == -1024).all()


def test_painted_and_approved_masks_come_back() -> None:
    mask = np.zeros((33, 47), bool)
    mask[3, 4] = True
    store = ResultStore(Spool())
    store.put(0, replace(result(blob(0)), painted=PackedMask.pack(mask)))
    store.put(1, replace(result(blob(1)), approved=PackedMask.pack(~mask)))
    store.put(2, result(blob(2)))
    painted, approved = store.get(0).exact, store.get(1).exact
    assert painted is not None
    assert approved is not None
    np.testing.assert_array_equal(painted.unpack(), mask)
    np.testing.assert_array_equal(approved.unpack(), ~mask)
    assert store.get(2).exact is None


def test_an_approved_mask_stands_before_a_painted_one() -> None:
    mask = np.eye(4, dtype=bool)
    both = replace(
        result(blob(0)), painted=PackedMask.pack(mask), approved=PackedMask.pack(~mask)
    )
    assert both.exact is both.approved


@pytest.mark.parametrize("spool", [None, Spool()], ids=["whole", "spooled"])
def test_results_are_kept_by_frame(spool: Spool | None) -> None:
    store = ResultStore(spool)
    for frame in (5, 2, 9):
        store.put(frame, result(blob(frame)))
    store.put(2, result(blob(20), score=-1.0))
    store.drop(9)
    store.drop(100)
    assert store.frames() == [2, 5]
    assert 2 in store
    assert 9 not in store
    assert len(store) == 2
    assert not store.get(2).present
    assert not store.summary(2).present
    np.testing.assert_array_equal(store.get(2).logits > 0, blob(20) > 0)


def test_stores_share_a_spool() -> None:
    spool = Spool()
    stores = [ResultStore(spool) for _ in range(3)]
    for frame in range(20):
        for i, store in enumerate(stores):
            store.put(frame, result(blob(100 * i + frame)))
    for frame in range(20):
        for i, store in enumerate(stores):
            expected = blob(100 * i + frame) > 0
            np.testing.assert_array_equal(store.get(frame).logits > 0, expected)


def test_a_stored_result_keeps_no_array_in_memory() -> None:
    store = ResultStore(Spool())
    for frame in range(50):
        store.put(frame, result(blob(frame)))
    held = [store.summary(frame).logits.nbytes for frame in range(50)]
    assert sum(held) <= blob(0).nbytes


def test_results_found_again_take_no_more_room() -> None:
    spool = Spool()
    store = ResultStore(spool)
    undone = []
    sizes = []
    for turn in range(6):
        for frame in range(30):
            store.put(frame, result(blob(7 * turn + frame)))
        undone.append((turn, store.set_aside(3)))
        sizes.append(spool.size)
    # What is kept for undo, and sizes that none had before, are all that is added.
    assert sizes[-1] < 1.5 * sizes[0]
    for turn, kept in undone:
        store.take_back(3, kept)
        expected = blob(7 * turn + 3) > 0
        np.testing.assert_array_equal(store.get(3).logits > 0, expected)
