"""The bounded cache around the image encoder."""

from __future__ import annotations

import pytest
import torch

from napari_sam2.inference.features import FeatureCache
from napari_sam2.model.records import ImageFeatures, View

VIEW = View.whole((8, 8), 32)
BYTES = 4 * (16 + 32 + 64)


def features(frame: int) -> ImageFeatures:
    maps = (torch.zeros(32), torch.zeros(64))
    return ImageFeatures(torch.full((16,), float(frame)), torch.zeros(1), maps, VIEW)


def seen(cache: FeatureCache, frames: list[int]) -> list[int]:
    """Ask for the features of frames; return those that were encoded."""
    encoded = []

    def encode(frame: int) -> ImageFeatures:
        encoded.append(frame)
        return features(frame)

    for frame in frames:
        assert cache.get(frame, encode).embedding[0] == frame
    return encoded


@pytest.mark.parametrize(
    ("room", "asked", "encoded"),
    [
        (2, [0, 1, 0, 1], [0, 1]),
        (2, [0, 1, 2, 1, 0], [0, 1, 2, 0]),
        (2, [0, 1, 0, 2, 0, 1], [0, 1, 2, 1]),
        (1, [0, 0, 1, 0], [0, 1, 0]),
        (0, [0, 0, 1, 1], [0, 1]),
    ],
)
def test_the_frames_used_last_are_kept(
    room: int, asked: list[int], encoded: list[int]
) -> None:
    cache = FeatureCache(room * BYTES)
    assert seen(cache, asked) == encoded
    assert cache.nbytes <= max(1, room) * BYTES


def test_small_features_do_not_pile_up() -> None:
    cache = FeatureCache(2**40)
    seen(cache, list(range(500)))
    assert cache.nbytes <= 32 * BYTES
    assert 499 in cache


def test_features_that_failed_are_not_kept() -> None:
    cache = FeatureCache(2**20)

    def fail(frame: int) -> ImageFeatures:
        raise OSError(frame)

    with pytest.raises(OSError, match="3"):
        cache.get(3, fail)
    assert 3 not in cache
    assert seen(cache, [3]) == [3]
