"""The mask that overlaps most, as far as the network knows, with the right one.

Several masks of an object are at hand: three from the decoder, in each window that was
looked at. Which of them is right is not known, but how likely each is: it has a
predicted IoU. The one of the highest is right less often than all the others together,
so what counts of a mask is its expected IoU, over all that might be right (minimum
Bayes risk). Masks that a share of the others has in common are tried too: outlines on
which several agree are better than those of any.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from napari_sam2.inference.merging import seen_in
from napari_sam2.inference.results import FAR_BELOW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from napari_sam2.inference.results import FrameResult
    from napari_sam2.model.records import ObjectMasks

# A mask is e times as likely the right one for every tenth of predicted IoU.
_SHARPNESS = 10.0
# Of the likelihood, that must hold a pixel for an object.
# The first of equals is taken, which leaves masks that agree what they are.
_SHARES = (0.5, 0.45, 0.55, 0.35, 0.65, 0.25)


def expected_best(logits: Tensor, iou: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mask of highest expected IoU.

    Parameters
    ----------
    logits : Tensor
        Masks ``(B, M, h, w)`` of each object, one of which is right.
    iou : Tensor
        Predicted IoU ``(B, M)``.

    Returns
    -------
    logits : Tensor
        ``(B, h, w)``: of the probability that a pixel belongs to the object, over the
        share that it needs.
    iou : Tensor
        Mean predicted IoU ``(B,)``, each mask as likely as it is.
    """
    likely = torch.softmax(_SHARPNESS * iou.float(), 1)
    probabilities = logits.float().clamp(FAR_BELOW, -FAR_BELOW).sigmoid()
    held = (likely[..., None, None] * probabilities).sum(1)
    shares = held.new_tensor(_SHARES)
    tried = (held[:, None] > shares[:, None, None]).flatten(2).float()  # (B, T, hw)
    masks = (logits > 0).flatten(2).float()
    with torch.autocast(logits.device.type, enabled=False):  # pixels are counted
        common = tried @ masks.transpose(1, 2)  # (B, T, M)
    either = tried.sum(2)[:, :, None] + masks.sum(2)[:, None] - common
    expected = (likely[:, None] * common / either.clamp_min(1)).sum(2)
    share = shares[expected.argmax(1)]
    best = torch.logit(held, 1e-4) - torch.logit(share)[:, None, None]
    return best, (likely * iou).sum(1)


def expecting(masks: ObjectMasks) -> ObjectMasks:
    """Put the masks of highest expected IoU in the place of those chosen.

    Absent objects stay absent; without several candidates, all stays what it is.
    """
    if masks.candidates is None or masks.candidates[1].shape[1] == 1:
        return masks
    logits, iou = expected_best(*masks.candidates)
    absent = (masks.object_score <= 0)[:, None, None, None]
    logits = torch.where(absent, masks.logits, logits[:, None])
    return replace(masks, logits=logits, iou=iou)


def expected_result(
    result: FrameResult, candidates: Sequence[FrameResult]
) -> FrameResult:
    """Put the mask of highest expected IoU in the place of a result's.

    Parameters
    ----------
    result : FrameResult
        What stands; its view is that of the mask.
    candidates : sequence of FrameResult
        All that was found in all windows of the frame. Without several, the result is
        returned.
    """
    if len(candidates) < 2:
        return result
    seen = [torch.from_numpy(seen_in(result.view, one).logits) for one in candidates]
    iou = torch.tensor([[one.predicted_iou for one in candidates]])
    logits, mean = expected_best(torch.stack(seen)[None], iou)
    return replace(result, logits=logits[0].numpy(), predicted_iou=float(mean[0]))
