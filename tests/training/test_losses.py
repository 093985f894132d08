from __future__ import annotations

import pytest
import torch

from napari_sam2.model.mask_decoder import DecodedMasks
from napari_sam2.training.losses import (
    balanced_cross_entropy,
    click_loss,
    dice_loss,
    mask_iou,
    prediction_losses,
)
from napari_sam2.training.settings import LossParameters


def square(side: int, start: int, stop: int) -> torch.Tensor:
    mask = torch.zeros(1, 1, side, side)
    mask[..., start:stop, start:stop] = 1
    return mask


def confident(mask: torch.Tensor) -> torch.Tensor:
    return mask * 40 - 20


@pytest.mark.parametrize("area_weight", [0.0, 0.5, 1.0])
def test_losses_vanish_for_the_true_mask(area_weight):
    target = square(16, 4, 8)
    logits = confident(target)
    assert balanced_cross_entropy(logits, target, area_weight).item() < 1e-6
    assert dice_loss(logits, target).item() < 1e-6
    assert mask_iou(logits, target).item() == 1.0


def test_balance_weighs_a_small_object_as_much_as_its_background():
    target = square(16, 4, 6)
    nothing = balanced_cross_entropy(confident(target * 0), target)
    everything = balanced_cross_entropy(confident(target * 0 + 1), target)
    assert nothing.item() == pytest.approx(everything.item(), rel=1e-6)


def test_area_weight_one_counts_pixels_alike():
    target = square(16, 4, 8)
    missed, false = target.clone(), target.clone()
    missed[..., 4, 4] = 0
    false[..., 9, 9] = 1
    costs = [
        balanced_cross_entropy(confident(mask), target, 1.0).item()
        for mask in (missed, false)
    ]
    assert costs[0] == pytest.approx(costs[1], rel=1e-6)


@pytest.mark.parametrize(
    ("first", "second", "iou"),
    [((0, 4), (0, 4), 1.0), ((0, 4), (4, 8), 0.0), ((0, 4), (0, 8), 0.25)],
)
def test_iou(first, second, iou):
    found = confident(square(16, *first))
    assert mask_iou(found, square(16, *second)).item() == pytest.approx(iou)


def test_iou_of_nothing_with_nothing_is_one():
    assert mask_iou(confident(torch.zeros(1, 1, 8, 8)), torch.zeros(1, 1, 8, 8)) == 1


def decoded(logits: torch.Tensor, iou: torch.Tensor, score: float) -> DecodedMasks:
    return DecodedMasks(logits, iou, torch.zeros(1, 3, 8), torch.full((1, 1), score))


def test_only_the_best_mask_is_taught():
    target = square(32, 8, 16)
    near, far = square(8, 2, 3), square(8, 5, 7)
    logits = torch.cat([near, far, far], dim=1).requires_grad_()
    weights = LossParameters(iou=0, presence=0, other_masks=0)
    losses = prediction_losses(decoded(logits, torch.ones(1, 3), 1.0), target, weights)
    losses.total.backward()
    taught = logits.grad.flatten(2).abs().sum(2)[0]
    assert taught[0] > 0
    assert taught[1:].tolist() == [0, 0]


def test_every_iou_is_taught():
    target = square(32, 8, 16)
    logits = confident(torch.cat([square(8, 2, 4), square(8, 5, 7), square(8, 0, 8)]))
    iou = torch.full((1, 3), 0.5).requires_grad_()
    losses = prediction_losses(
        decoded(logits.transpose(0, 1), iou, 1.0), target, LossParameters()
    )
    losses.total.backward()
    assert torch.sign(iou.grad[0]).tolist() == [-1, 1, 1]


def test_an_absent_object_teaches_its_absence_alone():
    logits = torch.randn(1, 3, 8, 8).requires_grad_()
    iou = torch.full((1, 3), 0.5).requires_grad_()
    score = torch.ones(1, 1).requires_grad_()
    losses = prediction_losses(
        DecodedMasks(logits, iou, torch.zeros(1, 3, 8), score),
        torch.zeros(1, 1, 32, 32),
        LossParameters(),
    )
    losses.total.backward()
    assert not logits.grad.any()
    assert not iou.grad.any()
    assert score.grad.item() > 0
    assert losses.mask == 0


def test_a_missed_object_costs_more_than_one_too_many():
    def presence(score: float, target: torch.Tensor) -> float:
        logits, iou = confident(square(8, 2, 4)), torch.ones(1, 1)
        weights = LossParameters(presence_doubt=0.0, presence_missed=3.0)
        made = decoded(logits, iou, score)
        return prediction_losses(made, target, weights).presence.item()

    missed = presence(-2.0, square(32, 8, 16))
    too_many = presence(2.0, torch.zeros(1, 1, 32, 32))
    assert missed == pytest.approx(3 * too_many)


def test_clicks_are_compared_with_the_masks_at_their_pixels():
    logits = torch.full((2, 1, 4, 4), -5.0)
    logits[:, :, 2, 1] = 5.0  # pixels 4..7 by 8..11 of an input of 16
    points = torch.tensor([[[5.5, 9.5], [0.0, 0.0]], [[5.5, 9.5], [3.0, 3.0]]])
    agreeing = torch.tensor([[1, -1], [1, 0]])
    wrong = torch.tensor([[0, -1], [0, 2]])
    assert (click_loss(logits, points, agreeing, 16) < 0.01).all()
    assert click_loss(logits, points, wrong, 16).flatten().tolist() == pytest.approx(
        [5.0067, 5.0067], abs=1e-3
    )
    nothing = torch.full((2, 2), -1)
    assert (click_loss(logits, points, nothing, 16) == 0).all()
