from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from torch.optim import AdamW

from napari_sam2.model.sam2 import ABSENT_LOGIT, resize
from napari_sam2.training.clips import _Follower, clip_step
from napari_sam2.training.losses import mask_iou
from napari_sam2.training.prompts import TAUGHT_LOGIT
from napari_sam2.training.samples import TRAINING, StepSamples
from napari_sam2.training.settings import LossParameters, PromptParameters
from napari_sam2.training.step import (
    StepRules,
    image_step,
    object_groups,
)

if TYPE_CHECKING:
    from napari_sam2.model.mask_decoder import DecodedMasks


def take(function, model, parameters, number=0, **rules):
    sample = StepSamples(parameters, parameters.stages[0], TRAINING)[number]
    torch.manual_seed(0)
    return sample, function(
        model,
        sample,
        StepRules(LossParameters(), parameters.prompts, **rules),
        torch.Generator().manual_seed(0),
    )


def untaught(model, result) -> set[str]:
    result.loss.backward()
    return {name for name, p in model.named_parameters() if p.grad is None}


def test_an_image_step_teaches_all_but_memory(model, images):
    _, result = take(image_step, model, images, corrections=1)
    memory = (
        "memory_",
        "maskmem_tpos_enc",
        "mask_downsample",
        "no_mem_pos_enc",
        "no_obj_embed_spatial",
        "no_obj_ptr",
        "obj_ptr",
    )
    names = untaught(model, result)
    assert names
    assert all(name.startswith(memory) for name in names)
    assert 0 <= result.corrected <= 1
    assert torch.isnan(result.tracked)


def test_a_clip_step_teaches_the_whole_network(model, clips):
    _, result = take(clip_step, model, clips, corrections=1)
    # Used by networks that attend to "no memory" instead of adding it.
    assert untaught(model, result) == {"no_mem_pos_enc"}
    assert 0 <= result.prompted <= 1
    assert 0 <= result.tracked <= 1


def test_the_worst_frame_of_each_object_is_corrected(model, clips, monkeypatch):
    prompts = PromptParameters(worst_frame_share=1.0, spoiled_share=0.0)
    seen = []
    correct = _Follower._corrected

    def spy(self, looked_at, masks, points, labels):
        seen.append((self, looked_at, masks))
        return correct(self, looked_at, masks, points, labels)

    monkeypatch.setattr(_Follower, "_corrected", spy)
    take(clip_step, model, replace(clips, prompts=prompts), corrections=1)
    ((follower, looked_at, masks),) = seen
    assert len(masks.logits) == len(follower.rows)
    for row in follower.rows.tolist():
        ious, targets = [], []
        for one in follower.tracked:
            logits = model.empty_absent(one.masks).logits[row : row + 1]
            target = one.seen.target[row : row + 1]
            iou = mask_iou(resize(logits, target.shape[-2:]), target).item()
            ious.append(iou if target.any() else 2.0)
            targets.append(target)
        worst = ious.index(min(ious))
        assert torch.equal(looked_at.target[row : row + 1], targets[worst])
        found = follower.tracked[worst].masks.logits[row]
        assert torch.equal(masks.logits[row], found)


def test_spoiled_masks_take_the_place_of_found_ones(model, clips, monkeypatch):
    prompts = PromptParameters(worst_frame_share=1.0, spoiled_share=1.0)
    given = []
    correct = _Follower._corrected

    def spy(self, looked_at, masks, points, labels):
        given.append(masks)
        return correct(self, looked_at, masks, points, labels)

    monkeypatch.setattr(_Follower, "_corrected", spy)
    take(clip_step, model, replace(clips, prompts=prompts), corrections=1)
    assert (given[0].object_score == TAUGHT_LOGIT).all()
    assert given[0].logits.abs().max() <= TAUGHT_LOGIT


def test_a_frame_beside_the_correction_is_tracked_again(model, clips, monkeypatch):
    prompts = PromptParameters(worst_frame_share=1.0)
    again = []
    beside, attend = _Follower._track_beside, _Follower._attend

    def spy(self, corrected, memory):
        assert len(corrected) == len(memory.features) == len(self.rows)

        def spy_attend(self, features, chosen, memories, pointers):
            again.extend(zip(chosen, memories, strict=True))
            return attend(self, features, chosen, memories, pointers)

        monkeypatch.setattr(_Follower, "_attend", spy_attend)
        before = len(self.tally._losses)
        beside(self, corrected, memory)
        assert len(self.tally._losses) > before
        anchors = list(self.memory.conditioning)
        assert again
        for chosen, memories in again:
            *others, there = [one.frame for one in chosen.memories]
            assert others == anchors
            assert [one.position for one in chosen.memories] == [0] * len(memories)
            # The pointer of the correction is the only one a frame away.
            assert (there, 1) in [(one.frame, one.distance) for one in chosen.pointers]
            known = memory.features[[frame == there for frame in corrected]]
            assert (known == memories[-1]).flatten(1).all(1).any()

    monkeypatch.setattr(_Follower, "_track_beside", spy)
    take(clip_step, model, replace(clips, prompts=prompts), corrections=1)
    assert again


def test_masks_to_be_looked_at(model, clips):
    sample, result = take(clip_step, model, clips, keep_masks=True)
    assert result.masks.shape[:2] == sample.masks.shape[:2]
    _, result = take(clip_step, model, clips)
    assert result.masks is None


def test_kinds_of_prompts_have_their_shares():
    groups = object_groups(4000, [0.5, 0.3], torch.Generator().manual_seed(0))
    assert torch.equal(torch.cat(groups).sort().values, torch.arange(4000))
    assert [len(rows) / 4000 for rows in groups] == pytest.approx(
        [0.5, 0.3, 0.2], abs=0.03
    )
    assert not len(object_groups(5, [1.0, 0.0], torch.Generator())[2])


@pytest.mark.parametrize("number", range(3))
def test_a_step_is_the_same_again(model, clips, number):
    first = take(clip_step, model, clips, number, corrections=1)[1]
    assert first.loss == take(clip_step, model, clips, number, corrections=1)[1].loss


@pytest.mark.parametrize("score", [3.0, -3.0])
def test_masks_are_chosen_as_predictors_choose_them(model, score):
    features = model.encode_image(torch.randn(1, 3, 64, 64))
    embedding = model.without_memory(features)
    points = torch.tensor([[[20.0, 30.0]]])
    labels = torch.ones(1, 1, dtype=torch.long)
    head = model.sam_mask_decoder.pred_obj_score_head.layers[-1]
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(score)
    model.eval()
    expected = model.predict_masks(embedding, features, points, labels)
    decoded: DecodedMasks = model.decode(
        embedding, features, points, labels, multimask=True, stability=None
    )
    masks = model.empty_absent(model.choose_masks(decoded))
    assert torch.equal(masks.logits, expected.logits)
    assert torch.allclose(masks.pointer, expected.pointer)
    assert torch.equal(masks.iou, expected.iou)
    assert (masks.logits == ABSENT_LOGIT).all() == (score < 0)


@pytest.mark.parametrize("kind", ["images", "clips"])
def test_the_loss_falls_on_what_is_shown_again(model, images, clips, kind):
    parameters, function = {
        "images": (images, image_step),
        "clips": (clips, clip_step),
    }[kind]
    sample = StepSamples(parameters, parameters.stages[0], TRAINING)[1]
    rules = StepRules(LossParameters(), parameters.prompts)
    optimizer = AdamW(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(25):
        result = function(model, sample, rules, torch.Generator().manual_seed(0))
        optimizer.zero_grad()
        result.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(result.loss.item())
    assert losses[-1] < 0.75 * losses[0]


@pytest.mark.parametrize("kind", ["images", "clips"])
def test_half_precision_leaves_gradients_whole(model, images, clips, kind):
    parameters, function = {
        "images": (images, image_step),
        "clips": (clips, clip_step),
    }[kind]
    _, whole = take(function, model, parameters, corrections=1)
    model.precision = torch.bfloat16
    _, half = take(function, model, parameters, corrections=1)
    assert half.loss.dtype == torch.float32
    assert half.loss != whole.loss
    assert half.loss.item() == pytest.approx(whole.loss.item(), rel=0.1)
    half.loss.backward()
    for parameter in model.parameters():
        if parameter.grad is not None:
            assert parameter.grad.dtype == torch.float32
            assert torch.isfinite(parameter.grad).all()
