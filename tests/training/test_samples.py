from __future__ import annotations

import os
import signal
from dataclasses import replace

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
from napari_sam2.training.sources import DrawnClip, to_grey, with_neighbours


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


@pytest.mark.parametrize("reach", [1, 3])
@pytest.mark.parametrize("kind", ["images", "clips"])
def test_frames_with_their_neighbours(kind, reach, request):
    parameters = request.getfixturevalue(kind)
    stage = parameters.stages[0]
    samples = StepSamples(parameters, stage, TRAINING, neighbours=reach)
    alone = 0
    for number in range(6):
        sample = samples[number]
        channels = 2 * reach + 1
        size = stage.image_size
        assert sample.images.shape == (
            stage.frames,
            stage.images,
            channels,
            size,
            size,
        )
        assert sample.network_input(torch.device("cpu")).shape[2] == channels
        assert sample.masks.shape[0] == stage.frames
        before, own, after = sample.images[:, :, reach - 1 : reach + 2].unbind(2)
        assert torch.equal(before[1:], own[:-1])
        assert torch.equal(after[:-1], own[1:])
        for clip in range(stage.images):  # whole stacks end beside themselves
            first = torch.equal(before[0, clip], own[0, clip])
            assert first == torch.equal(after[-1, clip], own[-1, clip])
            alone += first
    assert 0 < alone < 6 * stage.images


def test_labels_stay_with_the_middle_channel():
    frames = np.arange(5, dtype=np.float32)[:, None, None, None] * np.ones((1, 1, 4, 4))
    frames = frames.astype(np.float32)
    labels = np.arange(5)[:, None, None] * np.ones((1, 4, 4), np.int64)
    inner = with_neighbours(DrawnClip(frames, labels), 1, whole=False)
    assert inner.frames[:, :, 0, 0].tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4]]
    assert inner.labels[:, 0, 0].tolist() == [1, 2, 3]
    wide = with_neighbours(DrawnClip(frames, labels), 2, whole=False)
    assert wide.frames[:, :, 0, 0].tolist() == [[0, 1, 2, 3, 4]]
    assert wide.labels[:, 0, 0].tolist() == [2]
    whole = with_neighbours(DrawnClip(frames, labels), 1, whole=True)
    assert whole.frames[[0, 4], :, 0, 0].tolist() == [[0, 0, 1], [3, 4, 4]]
    assert whole.labels[:, 0, 0].tolist() == [0, 1, 2, 3, 4]
    wide = with_neighbours(DrawnClip(frames, labels), 2, whole=True)
    assert wide.frames[[0, 3], :, 0, 0].tolist() == [[0, 0, 0, 1, 2], [1, 2, 3, 4, 4]]


def test_a_sample_depends_on_its_number_alone(clips):
    samples = StepSamples(clips, clips.stages[0], TRAINING)
    first, again = samples[3], StepSamples(clips, clips.stages[0], TRAINING)[3]
    other, held_out = samples[4], StepSamples(clips, clips.stages[0], VALIDATION)[3]
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.prompts[0].clicks, again.prompts[0].clicks)
    assert not torch.equal(first.images, other.images)
    assert not torch.equal(first.images, held_out.images)


class _GrowingAndShrinking:
    """Clips of two squares: number 1 grows from frame to frame, number 2 shrinks."""

    def draw(self, rng, start, stage, augment):
        size = stage.image_size
        labels = np.zeros((stage.frames, size, size), np.int64)
        for frame, image in enumerate(labels):
            grown, shrunk = 6 + 2 * frame, 6 + 2 * (stage.frames - 1 - frame)
            image[:grown, :grown] = 1
            image[-shrunk:, -shrunk:] = 2
        return DrawnClip(labels[:, None].astype(np.float32) / 2, labels)


def test_outward_clips_start_where_objects_are_largest(clips):
    stage = replace(clips.stages[0], frames=5, augment=None)
    parameters = replace(clips, augment=replace(clips.augment, outward_share=1.0))
    samples = StepSamples(parameters, stage, TRAINING, _GrowingAndShrinking())
    starts = set()
    for number in range(8):
        sample = samples[number]
        start = sample.prompts[0].frame
        areas = sample.masks.flatten(2).sum(2)
        assert (areas[start] == areas.amax(0)).all()
        starts.add(start)
    assert starts == {0, stage.frames - 1}


class _FirstEmpty(_GrowingAndShrinking):
    """Draws a clip without objects first."""

    drawn = 0

    def draw(self, rng, start, stage, augment):
        clip = super().draw(rng, start, stage, augment)
        self.drawn += 1
        return clip if self.drawn > 1 else replace(clip, labels=clip.labels * 0)


def test_outward_clips_without_objects_are_drawn_anew(clips):
    parameters = replace(clips, augment=replace(clips.augment, outward_share=1.0))
    stage = replace(clips.stages[0], images=1, augment=None)
    source = _FirstEmpty()
    sample = StepSamples(parameters, stage, TRAINING, source)[0]
    assert source.drawn == 2
    assert sample.masks[sample.prompts[0].frame].any()


@pytest.mark.parametrize("workers", [0, 1])
def test_the_loader_keeps_the_order(images, workers):
    samples = StepSamples(images, images.stages[0], TRAINING)
    loaded = list(step_loader(samples, range(2, 4), workers))
    for sample, number in zip(loaded, (2, 3), strict=True):
        assert torch.equal(sample.images, samples[number].images)


def test_workers_leave_the_first_sigterm_to_the_run(images):
    samples = StepSamples(images, images.stages[0], TRAINING)
    loaded = iter(step_loader(samples, range(12), 1))
    next(loaded)
    (worker,) = loaded._workers
    os.kill(worker.pid, signal.SIGTERM)  # as torchrun and schedulers do, to all
    assert len(list(loaded)) == 11


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
