"""The network as a pure function: shapes, batches, and configured sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from napari_sam2 import build_model
from napari_sam2.model.records import View

if TYPE_CHECKING:
    from napari_sam2.model.records import ImageFeatures
    from napari_sam2.model.sam2 import Sam2


def image(size: int = 128, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, 3, size, size, generator=generator)


@pytest.fixture(scope="module")
def features(micro: Sam2) -> ImageFeatures:
    with torch.no_grad():
        return micro.encode_image(image())


def remembered(
    batch: int, memories: int, pointers: int, seed: int = 0
) -> tuple[torch.Tensor, ...]:
    """What a batch of objects attends to: the arguments of `attend`."""
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(batch, memories, 16, 8, 8, generator=generator),
        torch.randint(0, 7, (batch, memories), generator=generator),
        torch.randn(batch, pointers, 64, generator=generator),
        torch.rand(batch, pointers, generator=generator),
    )


@pytest.mark.parametrize("size", [64, 128, 192, 320])
def test_maps_follow_the_input_size(size: int) -> None:
    model = build_model(
        "micro", checkpoint=None, device="cpu", overrides=[f"image_size={size}"]
    )
    with torch.no_grad():
        found = model.encode_image(image(size))
        masks = model.predict_masks(model.without_memory(found), found)
        memory = model.encode_memory(found, masks)
        embedding = model.attend(
            found,
            memory.features[:, None],
            torch.zeros(1, 1, dtype=torch.long),
            memory.pointer[:, None],
            torch.zeros(1, 1),
        )
    side = size // 16
    assert found.embedding.shape == (1, 64, side, side)
    assert found.position.shape == (1, 64, side, side)
    assert found.high_res is not None
    fine, middle = found.high_res
    assert fine.shape == (1, 8, 4 * side, 4 * side)
    assert middle.shape == (1, 16, 2 * side, 2 * side)
    assert found.views == (View(0, 0, size, size, size),)
    assert masks.logits.shape == (1, 1, 4 * side, 4 * side)
    assert memory.features.shape == (1, 16, side, side)
    assert memory.pointer.shape == (1, 64)
    assert embedding.shape == found.embedding.shape
    assert model.logits_size == 4 * side


@pytest.mark.parametrize(("memories", "pointers"), [(1, 0), (1, 1), (4, 3), (7, 16)])
def test_a_batch_is_as_its_rows(
    micro: Sam2, features: ImageFeatures, memories: int, pointers: int
) -> None:
    batch = remembered(3, memories, pointers)
    with torch.no_grad():
        together = micro.attend(features, *batch)
        masks = micro.predict_masks(together, features, tracking=True)
        memory = micro.encode_memory(features, masks)
        assert together.shape == (3, 64, 8, 8)
        for row in range(3):
            alone = micro.attend(features, *(part[row : row + 1] for part in batch))
            torch.testing.assert_close(alone[0], together[row], atol=1e-4, rtol=0)
            mask = micro.predict_masks(alone, features, tracking=True)
            single = micro.encode_memory(features, mask)
            for one, all_of_them in (
                (mask.logits, masks.logits),
                (mask.pointer, masks.pointer),
                (single.features, memory.features),
            ):
                torch.testing.assert_close(one[0], all_of_them[row], atol=1e-3, rtol=0)


def test_the_order_of_memories_does_not_matter(
    micro: Sam2, features: ImageFeatures
) -> None:
    memories, positions, pointers, distances = remembered(1, 5, 4)
    turned = memories.flip(1), positions.flip(1), pointers.flip(1), distances.flip(1)
    with torch.no_grad():
        found = micro.attend(features, memories, positions, pointers, distances)
        again = micro.attend(features, *turned)
    torch.testing.assert_close(found, again, atol=1e-4, rtol=0)


@pytest.mark.parametrize("part", [0, 1, 2, 3])
def test_each_part_of_what_is_remembered_matters(
    micro: Sam2, features: ImageFeatures, part: int
) -> None:
    first, second = list(remembered(1, 3, 3)), remembered(1, 3, 3, seed=1)
    with torch.no_grad():
        before = micro.attend(features, *first)
        first[part] = second[part]
        after = micro.attend(features, *first)
    assert (before - after).abs().max() > 1e-4


def test_nothing_is_remembered_between_calls(
    micro: Sam2, features: ImageFeatures
) -> None:
    weights = {name: value.clone() for name, value in micro.state_dict().items()}
    arguments = remembered(2, 3, 2)
    with torch.no_grad():
        first = micro.attend(features, *arguments)
        micro.attend(features, *remembered(3, 7, 16, seed=2))
        micro.encode_image(image(seed=3))
        second = micro.attend(features, *arguments)
    assert torch.equal(first, second)
    for name, value in micro.state_dict().items():
        assert torch.equal(value, weights[name])


@pytest.mark.parametrize(
    ("points", "tracking", "expected"),
    [(0, True, True), (1, True, True), (2, True, False), (1, False, True)],
)
def test_few_points_are_ambiguous(
    micro: Sam2, points: int, tracking: bool, expected: bool
) -> None:
    assert micro.is_ambiguous(points, tracking=tracking) is expected


def test_an_absent_object_is_1024_below_everywhere(
    micro_hard: Sam2, micro: Sam2, features: ImageFeatures
) -> None:
    with torch.no_grad():
        for model in (micro, micro_hard):
            masks = model.predict_masks(model.without_memory(features), features)
            absent = masks.object_score <= 0
            assert torch.equal((masks.logits == -1024).all((1, 2, 3)), absent)
            assert absent.item() == (model is micro_hard)
