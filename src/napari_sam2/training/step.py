"""One step on images: prompts, what the network makes of them, and corrections.

Shapes: ``B`` batch of objects, ``C`` images, ``S`` input size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_sam2.inference.image import LOGIT_LIMIT
from napari_sam2.model.prompt_encoder import BOX_FIRST, BOX_LAST, POSITIVE
from napari_sam2.model.sam2 import Sam2, resize
from napari_sam2.training.losses import Losses, mask_iou, prediction_losses
from napari_sam2.training.prompts import (
    as_logits,
    correction_clicks,
    spoiled_masks,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam2.model.mask_decoder import DecodedMasks
    from napari_sam2.model.records import ImageFeatures, ObjectMasks
    from napari_sam2.training.samples import StepSample
    from napari_sam2.training.settings import LossParameters, PromptParameters

# The object score learns where objects end, which single images do not show.
_IMAGE_PRESENCE = 0.1
# Clicks that correct what covers too much.
_SPOILED_CLICKS = 2


@dataclass(frozen=True, slots=True)
class StepRules:
    """What a step needs besides the network and the data.

    Attributes
    ----------
    losses : LossParameters
        Weights of the parts of the loss.
    prompts : PromptParameters
        The annotator.
    area_weight : float
        See `balanced_cross_entropy`.
    corrections : int
        Correction clicks.
    teacher_share : float
        Share of the tracked masks that are remembered as they should have been.
    keep_masks : bool
        Return the masks as well, to be looked at.
    """

    losses: LossParameters
    prompts: PromptParameters
    area_weight: float = 0.0
    corrections: int = 0
    teacher_share: float = 0.0
    keep_masks: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class StepResult:
    """What a step costs, and how good its masks were; scalars but for the last.

    Attributes
    ----------
    loss : Tensor
        With gradients.
    mask, iou, presence : Tensor
        Mean losses of each kind.
    prompted : Tensor
        Mean IoU right after the first prompts.
    tracked : Tensor
        Mean IoU of the masks found by memory; NaN in images.
    corrected : Tensor
        Mean IoU after the correction clicks; NaN if there were none.
    masks : Tensor, optional
        Logits ``(T, B, h, w)`` at the decoder's resolution, if they were to be kept.
    """

    loss: Tensor
    mask: Tensor
    iou: Tensor
    presence: Tensor
    prompted: Tensor
    tracked: Tensor
    corrected: Tensor
    masks: Tensor | None = None


MEASURES = ("loss", "mask", "iou", "presence", "prompted", "tracked", "corrected")
"""The scalars of a `StepResult`."""


class StepTally:
    """Adds up the predictions of a step, each counted by its objects."""

    def __init__(self, rules: StepRules, presence_weight: float = 1.0) -> None:
        self.rules = rules
        self.presence_weight = presence_weight
        self._losses: list[tuple[int, Losses]] = []
        self._ious: dict[str, list[Tensor]] = {
            "prompted": [],
            "tracked": [],
            "corrected": [],
        }
        self._shown: list[tuple[int, Tensor, Tensor]] = []

    def add(
        self,
        kind: str,
        decoded: DecodedMasks,
        masks: ObjectMasks,
        target: Tensor,
        clicks: tuple[Tensor, Tensor],
    ) -> None:
        """Count a prediction of B objects with targets ``(B, 1, S, S)``.

        `kind` is "prompted", "tracked" or "corrected"; `clicks` are the points and
        labels that were decoded.
        """
        losses = prediction_losses(
            decoded,
            target,
            self.rules.losses,
            clicks=clicks,
            area_weight=self.rules.area_weight,
            presence_weight=self.presence_weight,
        )
        self._losses.append((len(target), losses))
        with torch.no_grad():
            size = (target.shape[-2], target.shape[-1])
            iou = mask_iou(resize(masks.logits, size), target)[:, 0]
            # Frames without the object say nothing about the quality of masks.
            self._ious[kind].append(iou[target.flatten(1).any(1)])

    def show(self, frame: int, rows: Tensor, masks: ObjectMasks) -> None:
        """Keep the last masks of objects `rows` on a frame, if they are wanted."""
        if self.rules.keep_masks:
            shown = as_prior(masks)[:, 0]
            self._shown.append((frame, rows.cpu(), shown.cpu()))

    def _masks(self) -> Tensor | None:
        """Return the logits kept ``(T, B, h, w)``; negative where none were."""
        if not self._shown:
            return None
        frames = 1 + max(frame for frame, _, _ in self._shown)
        objects = 1 + max(int(rows.max()) for _, rows, _ in self._shown)
        size = self._shown[0][2].shape[-2:]
        masks = torch.full((frames, objects, *size), -LOGIT_LIMIT)
        for frame, rows, shown in self._shown:
            masks[frame, rows] = shown
        return masks

    def result(self) -> StepResult:
        """Return the means."""
        count = sum(objects for objects, _ in self._losses)

        def mean(part: str) -> Tensor:
            values = [n * getattr(losses, part) for n, losses in self._losses]
            return torch.stack(values).sum() / count

        def quality(kind: str) -> Tensor:
            values = self._ious[kind]
            return torch.cat(values).mean() if values else torch.tensor(torch.nan)

        return StepResult(
            loss=mean("total"),
            mask=mean("mask"),
            iou=mean("iou"),
            presence=mean("presence"),
            prompted=quality("prompted"),
            tracked=quality("tracked"),
            corrected=quality("corrected"),
            masks=self._masks(),
        )


def image_step(
    model: Sam2,
    sample: StepSample,
    rules: StepRules,
    generator: torch.Generator,
) -> StepResult:
    """Prompt the objects of single images, and correct them by clicks.

    Parameters
    ----------
    model : Sam2
        The network; its device is where the step is computed.
    sample : StepSample
        Images with T = 1.
    rules : StepRules
        Loss and annotator.
    generator : torch.Generator
        Chance of the corrections, on the CPU.
    """
    device = model.device
    target = sample.targets(device)[0]
    tally = StepTally(rules, _IMAGE_PRESENCE)
    with model.autocast():
        features = model.encode_image(sample.network_input(device)[0])
        embedding = model.without_memory(features)
        (given,) = sample.prompts
        share = 1 - rules.prompts.box_share
        clicked, boxed = object_groups(len(target), [share], generator)
        for rows, points, labels in (
            (clicked, *as_clicks(given.clicks[clicked])),
            (boxed, *as_boxes(given.boxes[boxed])),
        ):
            if not len(rows):
                continue
            images = (rows // sample.objects).to(device)
            seen = features.pick(images)
            points, labels = points.to(device), labels.to(device)
            wanted, prior = target[rows.to(device)], None
            for correction in range(rules.corrections + 1):
                decoded = model.decode(
                    embedding[images],
                    seen,
                    points,
                    labels,
                    prior,
                    multimask=model.is_ambiguous(points.shape[1], tracking=False),
                    stability=None,
                )
                masks = model.choose_masks(decoded)
                kind = "corrected" if correction else "prompted"
                tally.add(kind, decoded, masks, wanted, (points, labels))
                tally.show(0, rows, masks)
                if correction == rules.corrections:
                    break
                prior = as_prior(masks)
                more, signs = correction_clicks(
                    prior, wanted, generator, rules.prompts.centre_share
                )
                points = torch.cat([points, more], dim=1)
                labels = torch.cat([labels, signs], dim=1)
        if rules.corrections:
            _correct_spoiled(model, sample, features, tally, generator)
    return tally.result()


def _correct_spoiled(
    model: Sam2,
    sample: StepSample,
    features: ImageFeatures,
    tally: StepTally,
    generator: torch.Generator,
) -> None:
    """Correct masks of single images that cover too much, by a click or two."""
    prompts = tally.rules.prompts
    whole = sample.targets(model.device)[0]
    draw = torch.rand(len(whole), generator=generator)
    rows = torch.nonzero(draw < prompts.spoiled_share)[:, 0]
    if not len(rows):
        return
    beside = whole[sample.beside(generator).to(whole.device)]
    rows = rows.to(whole.device)
    target = whole[rows]
    seen = features.pick(torch.div(rows, sample.objects, rounding_mode="floor"))
    embedding = model.without_memory(seen)
    wrong = spoiled_masks(target, beside[rows], generator)
    prior = as_logits(wrong, model.logits_size)
    points, labels = target.new_zeros(len(rows), 0, 2), rows.new_zeros(len(rows), 0)
    for _ in range(_SPOILED_CLICKS):
        more, signs = correction_clicks(prior, target, generator, prompts.centre_share)
        points = torch.cat([points, more], dim=1)
        labels = torch.cat([labels, signs], dim=1)
        decoded = model.decode(
            embedding,
            seen,
            points,
            labels,
            prior,
            multimask=model.is_ambiguous(points.shape[1], tracking=False),
            stability=None,
        )
        masks = model.choose_masks(decoded)
        tally.add("corrected", decoded, masks, target, (points, labels))
        prior = as_prior(masks)


def as_prior(masks: ObjectMasks) -> Tensor:
    """Return the logits ``(B, 1, h, w)`` that further clicks refine, cut off."""
    return masks.logits.detach().clamp(-LOGIT_LIMIT, LOGIT_LIMIT)


def as_clicks(points: Tensor) -> tuple[Tensor, Tensor]:
    """Return points ``(B, N, 2)`` and their labels ``(B, N)``, all positive."""
    return points, torch.full(points.shape[:2], POSITIVE)


def as_boxes(corners: Tensor) -> tuple[Tensor, Tensor]:
    """Return corners ``(B, 2, 2)`` and their labels ``(B, 2)``."""
    return corners, torch.tensor([BOX_FIRST, BOX_LAST]).expand(len(corners), 2)


def object_groups(
    count: int, shares: Sequence[float], generator: torch.Generator
) -> list[Tensor]:
    """Draw for each of `count` objects which kind of prompt it gets.

    Kinds have the shares given, the last one what is left of 1. Row numbers of each
    kind, int64, rising; a kind may have none.
    """
    draw = torch.rand(count, generator=generator)
    kinds = torch.bucketize(draw, torch.tensor(shares).cumsum(0), right=True)
    return [torch.nonzero(kinds == kind)[:, 0] for kind in range(len(shares) + 1)]
