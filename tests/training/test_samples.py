from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_sam2.training.samples import (
    TRAINING,
    VALIDATION,
    StepSamples,
    step_loader,
    turn,
)
from napari_sam2.training.settings import AugmentParameters
from napari_sam2.training.sources import to_grey


def test_a_sample_of_clips(clips):
    stage = clips.stages[0]
    sample = StepSamples(clips, stage, TRAINING)[0]
    size = stage.image_size
    assert sample.images.shape == (stage.frames, stage.images, 1, size, size)
    assert sample.images.dtype == torch.uint8
    assert sample.masks.shape == (stage.frames, 6, size, size)
    assert sample.objects == stage.objects
    assert sample.network_input(torch.device("cpu")).shape[2] == 3
    start = sample.prompts[0].frame
    areas = sample.masks[start].flatten(1).sum(1)
    assert (areas >= clips.augment.least_area).all()


def test_a_sample_depends_on_its_number_alone(clips):
    samples = StepSamples(clips, clips.stages[0], TRAINING)
    first, again = samples[3], StepSamples(clips, clips.stages[0], TRAINING)[3]
    other, held_out = samples[4], StepSamples(clips, clips.stages[0], VALIDATION)[3]
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.prompts[0].clicks, again.prompts[0].clicks)
    assert not torch.equal(first.images, other.images)
    assert not torch.equal(first.images, held_out.images)


@pytest.mark.parametrize("workers", [0, 1])
def test_the_loader_keeps_the_order(images, workers):
    samples = StepSamples(images, images.stages[0], TRAINING)
    loaded = list(step_loader(samples, range(2, 4), workers))
    for sample, number in zip(loaded, (2, 3), strict=True):
        assert torch.equal(sample.images, samples[number].images)


def test_grey_values_fill_the_range():
    rng = np.random.default_rng(0)
    raw = rng.normal(30000, 500, (2, 64, 64)).astype(np.uint16)
    grey = to_grey(rng, raw, AugmentParameters())
    assert grey.dtype == np.float32
    assert grey.min() == 0
    assert grey.max() == 1
    order = raw[0].ravel().argsort()
    assert (np.diff(grey[0].ravel()[order]) >= 0).all()


def test_a_black_clip_stays_finite():
    grey = to_grey(
        np.random.default_rng(0), np.zeros((1, 32, 32), np.uint8), AugmentParameters()
    )
    assert np.isfinite(grey).all()


@pytest.mark.parametrize("seed", range(8))
def test_frames_and_masks_turn_alike(seed):
    rng = np.random.default_rng(seed)
    masks = rng.random((2, 3, 16, 16)) < 0.3
    image, turned = turn(rng, masks.astype(np.float32), masks)
    assert np.array_equal(image == 255, turned)
