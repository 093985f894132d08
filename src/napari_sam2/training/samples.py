"""What a step shows: clips with their objects and prompts, drawn by its number alone.

Shapes: ``T`` frames, ``C`` clips, ``O`` objects of each, ``B`` = C O, ``S`` input size.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from napari_sam2.inference.preprocess import PIXEL_MEAN, PIXEL_STD
from napari_sam2.training.prompts import FramePrompts, draw_prompts
from napari_sam2.training.synthetic import ClipGenerator
from napari_sam2.training.synthetic.fields import log_uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam2.training.settings import (
        AugmentParameters,
        StageParameters,
        TrainingParameters,
    )

TRAINING, VALIDATION = 0, 1
"""Streams of chance; no clip of one is ever in the other."""

_ATTEMPTS = 50


@dataclass(frozen=True, slots=True, eq=False)
class StepSample:
    """The data of one step.

    Attributes
    ----------
    images : Tensor
        ``(T, C, S, S)`` uint8.
    masks : Tensor
        ``(T, B, S, S)`` bool; the objects of a clip lie one after the other, and may
        occur twice where there are few.
    prompts : tuple of FramePrompts
        Of the frame where tracking starts, perhaps of a second one.
    """

    images: Tensor = field(repr=False)
    masks: Tensor = field(repr=False)
    prompts: tuple[FramePrompts, ...]

    @property
    def objects(self) -> int:
        """Objects O of every clip."""
        return self.masks.shape[1] // self.images.shape[1]

    def network_input(self, device: torch.device) -> Tensor:
        """Return the frames ``(T, C, 3, S, S)`` as the network takes them."""
        grey = self.images.to(device).float()[:, :, None] / 255
        mean = grey.new_tensor(PIXEL_MEAN)[:, None, None]
        std = grey.new_tensor(PIXEL_STD)[:, None, None]
        return (grey - mean) / std

    def targets(self, device: torch.device) -> Tensor:
        """Return the true masks ``(T, B, 1, S, S)`` float32."""
        return self.masks.to(device).float()[:, :, None]


class StepSamples(Dataset[StepSample]):
    """The samples of a stage by the number of the step.

    Parameters
    ----------
    parameters : TrainingParameters
        The run.
    stage : StageParameters
        What a step shows.
    stream : int
        `TRAINING` or `VALIDATION`.
    """

    def __init__(
        self, parameters: TrainingParameters, stage: StageParameters, stream: int
    ) -> None:
        self.parameters = parameters
        self.stage = stage
        self.stream = stream
        self.augment = stage.augment or parameters.augment
        self.generator = ClipGenerator(stage.synthetic or parameters.synthetic)

    def __getitem__(self, step: int) -> StepSample:
        """Return the sample of a step of the run."""
        stage, knobs = self.stage, self.parameters
        rng = self._chance(step)
        start = int(rng.integers(stage.frames))
        drawn = [self._clip(step, index, start) for index in range(stage.images)]
        masks = np.concatenate([masks for _, masks in drawn], axis=1)
        frames = [start]
        if stage.frames > 1 and rng.random() < knobs.prompts.second_frame_share:
            areas = masks.reshape(*masks.shape[:2], -1).sum(axis=2)
            shown = areas.min(axis=1) > 0
            others = np.flatnonzero(shown & (np.arange(stage.frames) != start))
            if len(others):
                frames.append(int(rng.choice(others)))
        return StepSample(
            images=torch.from_numpy(np.stack([image for image, _ in drawn], axis=1)),
            masks=torch.from_numpy(masks),
            prompts=tuple(
                draw_prompts(rng, frame, masks[frame], knobs.prompts)
                for frame in frames
            ),
        )

    def _chance(self, *key: int) -> np.random.Generator:
        """Return the generator of a step, or of a part of it."""
        return np.random.Generator(
            np.random.PCG64([self.parameters.seed, self.stream, *key])
        )

    def _clip(
        self, step: int, index: int, start: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return frames ``(T, S, S)`` and masks ``(T, O, S, S)`` of one clip.

        All its objects are seen on the frame `start`.
        """
        stage, augment = self.stage, self.augment
        for attempt in range(_ATTEMPTS):
            rng = self._chance(step, index, attempt)
            side = stage.image_size
            if rng.random() < augment.zoom_share:
                side = max(round(side * log_uniform(rng, augment.zoom)), 32)
            seed = int(rng.integers(2**62))
            clip = self.generator.generate(seed, frames=stage.frames, size=side)
            labels = _resized_labels(clip.labels, stage.image_size)
            areas = np.bincount(labels[start].ravel())
            areas[0] = 0
            there = np.flatnonzero(areas >= augment.least_area)
            if not len(there):
                continue
            chosen = rng.choice(
                there, stage.objects, replace=len(there) < stage.objects
            )
            masks = labels[:, None] == chosen[None, :, None, None]
            grey = to_grey(rng, clip.images, augment)
            return turn(rng, _resized(grey, stage.image_size), masks)
        raise ValueError(
            f"no object of {augment.least_area} pixels was seen in {_ATTEMPTS} clips; "
            "the synthetic parameters leave no room for any"
        )


def step_loader(
    samples: StepSamples, steps: range, workers: int
) -> DataLoader[StepSample]:
    """Return a loader of the samples of some steps, in order."""
    return DataLoader(
        samples,
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        prefetch_factor=8 if workers else None,
        multiprocessing_context="spawn" if workers else None,
    )


def to_grey(
    rng: np.random.Generator, images: NDArray[np.generic], knobs: AugmentParameters
) -> NDArray[np.float32]:
    """Scale raw grey values ``(T, H, W)`` to 0..1, as a predictor would, or nearly."""
    values = images.astype(np.float32)
    low, high = np.percentile(
        values[:, ::2, ::2],
        [rng.uniform(*knobs.low_percentile), rng.uniform(*knobs.high_percentile)],
    )
    span = max(float(high - low), 1e-6)
    scaled = ((values - float(low)) / span).clip(0, 1)
    curved: NDArray[np.float32] = scaled ** np.float32(log_uniform(rng, knobs.gamma))
    return curved


def turn(
    rng: np.random.Generator,
    frames: NDArray[np.float32],
    masks: NDArray[np.bool_],
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Flip and transpose frames ``(T, S, S)`` and masks ``(T, O, S, S)`` alike.

    The frames come out as uint8.
    """
    image = (frames * 255 + 0.5).astype(np.uint8)
    for axis in (-1, -2):
        if rng.random() < 0.5:
            image, masks = np.flip(image, axis), np.flip(masks, axis)
    if rng.random() < 0.5:
        image, masks = image.swapaxes(-1, -2), masks.swapaxes(-1, -2)
    return np.ascontiguousarray(image), np.ascontiguousarray(masks)


def _resized(frames: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Resize frames ``(T, H, W)`` as a predictor does."""
    if frames.shape[-1] == size:
        return frames
    resized = F.interpolate(
        torch.from_numpy(frames)[:, None],
        size=(size, size),
        mode="bilinear",
        antialias=True,
    )
    out: NDArray[np.float32] = resized[:, 0].clamp(0, 1).numpy()
    return out


def _resized_labels(labels: NDArray[np.uint16], size: int) -> NDArray[np.uint16]:
    """Resize labels ``(T, H, W)`` to the nearest pixel."""
    if labels.shape[-1] == size:
        return labels
    nearest = ((np.arange(size) + 0.5) * labels.shape[-1] / size).astype(int)
    return labels[:, nearest[:, None], nearest[None]]
