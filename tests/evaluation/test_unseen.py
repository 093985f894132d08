from __future__ import annotations

import numpy as np

from napari_sam2.evaluation.unseen import UnseenStacks

SMALL = {"frames": 4, "size": 48}


def test_the_first_stacks_are_the_same_whatever_their_number() -> None:
    few, more = list(UnseenStacks(2, **SMALL)), list(UnseenStacks(3, **SMALL))
    for one, other in zip(few, more, strict=False):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)
    assert [clip.kind for clip in more] == ["z", "t", "z"]
    assert len({clip.seed for clip in more}) == 3


def test_another_seed_gives_other_stacks() -> None:
    (one,), (other,) = UnseenStacks(1, **SMALL), UnseenStacks(1, seed=1, **SMALL)
    assert one.seed != other.seed


def test_no_training_draws_their_seeds() -> None:
    # Training draws seeds below 2**62: napari_sam2.training.sources.
    assert all(clip.seed >= 2**62 for clip in UnseenStacks(3, **SMALL))
