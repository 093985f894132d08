"""Prompts on a single image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_sam2 import Prompt, PromptError
from sessions import SCENE

if TYPE_CHECKING:
    from napari_sam2 import VideoPredictor

CLICK = Prompt([[40, 50]])


@pytest.mark.parametrize(
    "prompt",
    [
        CLICK,
        Prompt(box=[20, 20, 60, 70]),
        Prompt([[40, 50]], [0], [20, 20, 60, 70]),
        Prompt(mask=np.eye(96, 160, dtype=bool)),
        Prompt([[40, 50]], mask=np.eye(96, 160, dtype=bool)),
    ],
    ids=["click", "box", "box and click", "mask", "mask and click"],
)
@pytest.mark.parametrize("multimask", [False, True])
def test_every_prompt_gives_masks_at_frame_size(
    predictor: VideoPredictor, prompt: Prompt, multimask: bool
) -> None:
    frame = SCENE.frames[0][:96].repeat(2, axis=1)[:, :160]
    count = 3 if multimask else 1
    found = predictor.image(frame).predict(prompt, multimask=multimask)
    assert found.masks.shape == (count, 96, 160)
    assert found.masks.dtype == bool
    assert found.iou.shape == (count,)
    assert ((found.iou >= 0) & (found.iou <= 1)).all()
    assert found.low_res_logits.shape == (count, 32, 32)
    assert np.abs(found.low_res_logits).max() <= 32


def test_an_image_is_encoded_once_for_many_prompts(
    predictor: VideoPredictor, record_calls: object
) -> None:
    encoded = record_calls(predictor.model, "encode_image")
    image = predictor.image(SCENE.frames[0])
    answers = [image.predict(CLICK) for _ in range(3)]
    assert len(encoded) == 1
    np.testing.assert_array_equal(answers[0].low_res_logits, answers[2].low_res_logits)


def test_earlier_logits_are_refined(predictor: VideoPredictor) -> None:
    image = predictor.image(SCENE.frames[0])
    first = image.predict(CLICK)
    refined = image.predict(CLICK, mask_logits=first.low_res_logits[0])
    again = image.predict(CLICK, mask_logits=first.low_res_logits)
    assert not np.array_equal(refined.low_res_logits, first.low_res_logits)
    np.testing.assert_array_equal(refined.low_res_logits, again.low_res_logits)


@pytest.mark.parametrize(
    "logits",
    [np.zeros(32), np.zeros((3, 32, 32)), np.full((32, 32), np.nan)],
    ids=["flat", "three masks", "NaN"],
)
def test_other_logits_are_refused(
    predictor: VideoPredictor, logits: np.ndarray
) -> None:
    image = predictor.image(SCENE.frames[0])
    with pytest.raises(PromptError, match="mask_logits"):
        image.predict(CLICK, mask_logits=logits)


def test_a_prompt_beside_the_image_is_refused(predictor: VideoPredictor) -> None:
    image = predictor.image(SCENE.frames[0])
    with pytest.raises(PromptError, match="outside"):
        image.predict(Prompt([[400, 5]]))


def test_grey_images_of_16_bits_are_taken(predictor: VideoPredictor) -> None:
    rows = np.arange(64, dtype=np.uint16)[:, None] * 100
    frame = rows + np.zeros((64, 48), np.uint16)
    narrow = predictor.image(frame, contrast=(0, 100)).predict(CLICK)
    wide = predictor.image(frame).predict(CLICK)
    assert wide.masks.shape == (1, 64, 48)
    assert not np.array_equal(narrow.low_res_logits, wide.low_res_logits)


def test_a_stack_is_no_image(predictor: VideoPredictor) -> None:
    with pytest.raises(ValueError, match="start"):
        predictor.image(SCENE.frames)
