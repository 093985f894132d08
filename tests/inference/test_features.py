"""The bounded cache around the image encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from napari_sam2.inference.features import FeatureCache
from napari_sam2.model.records import ImageFeatures, View

if TYPE_CHECKING:
    from collections.abc import Sequence

VIEW = View.whole((8, 8), 32)
BYTES = 4 * (16 + 32 + 64)


CLOSER = View(2, 2, 4, 4, 32)


def features(frame: int, view: View = VIEW) -> ImageFeatures:
    maps = (torch.zeros(32), torch.zeros(64))
    number = torch.full((16,), float(frame))
    return ImageFeatures(number, torch.zeros(1), maps, (view,))


def seen(cache: FeatureCache, frames: list[int]) -> list[int]:
    """Ask for the features of frames; return those that were encoded."""
    encoded = []

    def encode(frame: int, views: Sequence[View]) -> list[ImageFeatures]:
        encoded.append(frame)
        return [features(frame, view) for view in views]

    for frame in frames:
        (found,) = cache.get(frame, [VIEW], encode)
        assert found.embedding[0] == frame
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


def test_views_of_a_frame_are_encoded_once_each() -> None:
    cache = FeatureCache(2**20)
    encoded: list[list[View]] = []

    def encode(frame: int, views: Sequence[View]) -> list[ImageFeatures]:
        encoded.append(list(views))
        return [features(frame, view) for view in views]

    for views in ([VIEW], [CLOSER, VIEW, CLOSER], [VIEW, CLOSER]):
        found = cache.get(0, views, encode)
        assert [one.views for one in found] == [(view,) for view in views]
    assert encoded == [[VIEW], [CLOSER]]
    assert cache.nbytes == 2 * BYTES


def test_features_that_failed_are_not_kept() -> None:
    cache = FeatureCache(2**20)

    def fail(frame: int, views: Sequence[View]) -> list[ImageFeatures]:
        raise OSError(frame)

    with pytest.raises(OSError, match="3"):
        cache.get(3, [VIEW], fail)
    assert 3 not in cache
    assert seen(cache, [3]) == [3]


def test_many_views_of_one_frame_do_not_gather() -> None:
    cache = FeatureCache(2 * BYTES)
    for side in range(1, 9):
        views = [View(0, 0, side, side, 32), VIEW]
        cache.get(0, views, lambda frame, some: [features(frame, one) for one in some])
        assert cache.nbytes <= 2 * BYTES
