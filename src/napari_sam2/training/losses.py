"""What is wrong with masks, their predicted IoU, and the object score.

Shapes: ``B`` batch of objects, ``M`` masks, ``h w`` pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_sam2.model.prompt_encoder import NEGATIVE, POSITIVE

if TYPE_CHECKING:
    from napari_sam2.model.mask_decoder import DecodedMasks
    from napari_sam2.training.settings import LossParameters


class Losses(NamedTuple):
    """The parts of the loss of one prediction, means over its objects.

    Attributes
    ----------
    total : Tensor
        Their weighted sum, a scalar.
    mask, iou, presence : Tensor
        The parts without gradients, scalars.
    """

    total: Tensor
    mask: Tensor
    iou: Tensor
    presence: Tensor


def balanced_cross_entropy(
    logits: Tensor, target: Tensor, area_weight: float = 0.0
) -> Tensor:
    """Return the cross-entropy of masks, object and background told apart.

    Parameters
    ----------
    logits : Tensor
        ``(B, M, h, w)``.
    target : Tensor
        ``(B, 1, h, w)``, 0 to 1.
    area_weight : float
        0: the mean over the object plus the mean over the background. 1: the
        background's sum is divided by the object's area instead, so that pixels
        count alike on both sides of an outline. Between: the geometric mean of both
        divisors, weighted so. Below 1 a pixel is better counted to the object at a
        probability under one half, far under where the object is small: easier to
        begin with, but masks come out too large where outlines are uncertain.

    Returns
    -------
    Tensor
        ``(B, M)``.
    """
    inside = (F.softplus(-logits) * target).sum((-2, -1))
    outside = (F.softplus(logits) * (1 - target)).sum((-2, -1))
    area = target.sum((-2, -1)).clamp_min(1.0)
    rest = (1 - target).sum((-2, -1)).clamp_min(1.0)
    return inside / area + outside / (area**area_weight * rest ** (1 - area_weight))


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return 1 minus the soft Dice overlap ``(B, M)`` (arXiv 1606.04797)."""
    probability = logits.sigmoid()
    both = (probability * target).sum((-2, -1))
    either = probability.sum((-2, -1)) + target.sum((-2, -1))
    return 1 - (2 * both + 1) / (either + 1)


def mask_iou(logits: Tensor, target: Tensor) -> Tensor:
    """Return the IoU ``(B, M)`` of masks with a target ``(B, 1, h, w)`` of 0 to 1.

    Where both are empty it is 1.
    """
    mask = (logits > 0).to(target.dtype)
    both = (mask * target).sum((-2, -1))
    either = (mask + target).sum((-2, -1)) - both
    return torch.where(either > 0, both / either.clamp_min(1e-6), 1.0)


def click_loss(logits: Tensor, points: Tensor, labels: Tensor, size: int) -> Tensor:
    """Return how far masks contradict clicks, a mean cross-entropy at their pixels.

    Parameters
    ----------
    logits : Tensor
        ``(B, M, h, w)``.
    points : Tensor
        ``(B, N, 2)`` as (x, y) in pixels of the input.
    labels : Tensor
        ``(B, N)``: positive and negative clicks count, all else does not.
    size : int
        Side of the input in pixels.

    Returns
    -------
    Tensor
        ``(B, M)``; 0 where there are no clicks.
    """
    grid = (points[:, :, None] + 0.5) * (2 / size) - 1
    found = F.grid_sample(logits, grid.to(logits.dtype), align_corners=False)[..., 0]
    clicked = ((labels == POSITIVE) | (labels == NEGATIVE)).to(logits.dtype)[:, None]
    sign = torch.where(labels == POSITIVE, -1.0, 1.0)[:, None]
    total = (F.softplus(sign * found) * clicked).sum(-1)
    return total / clicked.sum(-1).clamp_min(1.0)


def prediction_losses(
    decoded: DecodedMasks,
    target: Tensor,
    weights: LossParameters,
    *,
    clicks: tuple[Tensor, Tensor] | None = None,
    area_weight: float = 0.0,
    presence_weight: float = 1.0,
) -> Losses:
    """Return the losses of what the decoder says (SAM 2, app. D).

    The mask of least loss is taught; every mask's predicted IoU is; an object that
    is not there teaches the object score alone.

    Parameters
    ----------
    decoded : DecodedMasks
        B objects of M masks; raw logits of any size that divides the target's.
    target : Tensor
        ``(B, 1, S, S)``, 0 or 1; empty where the object is absent.
    weights : LossParameters
        Of the parts.
    clicks : tuple of Tensor, optional
        Points and labels of the prompts, as for `click_loss`.
    area_weight : float
        See `balanced_cross_entropy`.
    presence_weight : float
        Times the weight of the object score.
    """
    logits = decoded.logits.float()
    side = min(2 * logits.shape[-1], target.shape[-1])
    # Outlines lie between the pixels of the decoder's coarse logits.
    fine = F.interpolate(logits, size=(side, side), mode="bilinear")
    coarse = F.adaptive_avg_pool2d(target, (side, side))
    present = target.flatten(1).any(1).float()
    count = present.sum().clamp_min(1.0)

    each = weights.cross_entropy * balanced_cross_entropy(fine, coarse, area_weight)
    each = each + weights.dice * dice_loss(fine, coarse)
    if clicks is not None:
        size = target.shape[-1]
        each = each + weights.clicks * click_loss(logits, *clicks, size)
    best = each.min(1).values
    others = each.sum(1) - best
    mask = ((best + weights.other_masks * others) * present).sum() / count

    with torch.no_grad():
        whole = F.interpolate(logits, size=target.shape[-2:], mode="bilinear")
        actual = mask_iou(whole, target)
    iou = ((decoded.iou.float() - actual).abs().mean(1) * present).sum() / count
    presence = F.binary_cross_entropy_with_logits(
        decoded.object_score[:, 0].float(),
        present.clamp(weights.presence_doubt, 1 - weights.presence_doubt),
        pos_weight=present.new_tensor(weights.presence_missed),
    )
    total = mask + weights.iou * iou + presence_weight * weights.presence * presence
    return Losses(total, mask.detach(), iou.detach(), presence.detach())
