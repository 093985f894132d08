"""What a step shows: clips with their objects and prompts, drawn by its number alone.

Shapes: ``T`` frames, ``C`` clips, ``O`` objects of each, ``B`` = C O, ``S`` input size.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from napari_sam2.errors import ConfigError
from napari_sam2.inference.preprocess import normalised
from napari_sam2.training.prompts import FramePrompts, draw_prompts
from napari_sam2.training.sources import (
    ClipSource,
    DrawnClip,
    SyntheticClips,
    with_neighbours,
)

if TYPE_CHECKING:
    from types import FrameType

    from numpy.typing import NDArray

    from napari_sam2.training.settings import StageParameters, TrainingParameters

TRAINING, VALIDATION = 0, 1
"""Streams of chance; no clip of one is ever in the other."""

_ATTEMPTS = 50
# Of the clips whose frames show their neighbours, those that are whole stacks.
_WHOLE_STACK_SHARE = 0.25
# Of the largest area of an object: about as large as it gets.
_NEARLY_LARGEST = 0.75


@dataclass(frozen=True, slots=True, eq=False)
class StepSample:
    """The data of one step.

    Attributes
    ----------
    images : Tensor
        ``(T, C, K, S, S)`` uint8, K 1 (grey), 3 (colours), or each frame with its
        neighbours, in grey.
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

    def beside(self, generator: torch.Generator) -> Tensor:
        """Return for each object the place of another one in its clip, ``(B,)``.

        The same object where a clip has but one, or shows it twice.
        """
        places = torch.arange(self.masks.shape[1])
        step = int(torch.randint(1, max(self.objects, 2), (), generator=generator))
        return places - places % self.objects + (places + step) % self.objects

    def network_input(self, device: torch.device) -> Tensor:
        """Return the frames ``(T, C, K, S, S)`` as the network takes them."""
        return normalised(self.images.to(device).float() / 255)

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
    source : ClipSource, optional
        Where clips come from; synthetic scenes if None.
    neighbours : int
        Frames on either side that are shown with each, in grey; 0: its own colours.

    Raises
    ------
    ConfigError
        When indexed, if the source shows no object that is large enough.
    """

    def __init__(
        self,
        parameters: TrainingParameters,
        stage: StageParameters,
        stream: int,
        source: ClipSource | None = None,
        *,
        neighbours: int = 0,
    ) -> None:
        self.parameters = parameters
        self.stage = stage
        self.stream = stream
        self.augment = stage.augment or parameters.augment
        self.source = source or SyntheticClips(stage.synthetic or parameters.synthetic)
        self.neighbours = neighbours

    def __getitem__(self, step: int) -> StepSample:
        """Return the sample of a number: that of the step, in runs of one process."""
        stage, knobs = self.stage.at(step), self.parameters
        rng = self._chance(step)
        start = int(rng.integers(stage.frames))
        share = self.augment.outward_share if stage.frames > 1 else 0.0
        outward = share > 0 and bool(rng.random() < share)
        if outward:
            start = 0 if 2 * start < stage.frames else stage.frames - 1
        drawn = [
            self._clip(stage, step, index, start, outward=outward)
            for index in range(stage.images)
        ]
        masks = np.concatenate([masks for _, masks in drawn], axis=1)
        frames = [start]
        if stage.frames > 1 and rng.random() < knobs.prompts.second_frame_share:
            areas = masks.reshape(*masks.shape[:2], -1).sum(axis=2)
            shown = areas.min(axis=1) > 0
            others = np.flatnonzero(shown & (np.arange(stage.frames) != start))
            if len(others):
                frames.append(int(rng.choice(others)))
        return StepSample(
            images=torch.from_numpy(_stacked([image for image, _ in drawn])),
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
        self,
        stage: StageParameters,
        step: int,
        index: int,
        start: int,
        *,
        outward: bool = False,
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return frames ``(T, K, S, S)`` and masks ``(T, O, S, S)`` of one clip.

        All its objects are seen on the frame `start`; `outward`: are nearly largest
        there, where any are.
        """
        least = self.augment.least_area
        for attempt in range(_ATTEMPTS):
            rng = self._chance(step, index, attempt)
            clip = self._drawn(rng, start, stage)
            numbers, areas = np.unique(clip.labels[start], return_counts=True)
            there = numbers[(areas >= least) & (numbers > 0)]
            if clip.prompted is not None:
                there = there[np.isin(there, clip.prompted)]
            if not len(there):
                continue
            if outward:
                there = _nearly_largest(there, clip.labels, start)
            chosen = self._objects(rng, there, clip.labels, stage.objects)
            masks = clip.labels[:, None] == chosen[None, :, None, None]
            return turn(rng, clip.frames, masks)
        raise ConfigError(
            f"In {_ATTEMPTS} clips there was no object of {least} pixels at an input "
            f"of {stage.image_size} x {stage.image_size}. Set augment.least_area lower "
            "or image_size higher."
        )

    def _drawn(
        self, rng: np.random.Generator, start: int, stage: StageParameters
    ) -> DrawnClip:
        """Draw a clip, with more frames at either end if neighbours are shown."""
        reach = self.neighbours
        if not reach:
            return self.source.draw(rng, start, stage, self.augment)
        whole = rng.random() < _WHOLE_STACK_SHARE
        if not whole:
            stage = replace(stage, kind="clips", frames=stage.frames + 2 * reach)
            start += reach
        clip = self.source.draw(rng, start, stage, self.augment)
        return with_neighbours(clip, reach, whole=whole)

    def _objects(
        self,
        rng: np.random.Generator,
        there: NDArray[np.integer[Any]],
        labels: NDArray[np.integer[Any]],
        count: int,
    ) -> NDArray[np.integer[Any]]:
        """Draw `count` of the objects `there`, some of them such as end in the clip."""
        weights = np.ones(len(there))
        share = self.augment.ending_share
        if share and len(labels) > 1:
            always = [np.isin(there, frame) for frame in labels]
            ending = ~np.logical_and.reduce(always)
            if ending.any() and not ending.all():
                weights[ending] = share / ending.sum()
                weights[~ending] = (1 - share) / (~ending).sum()
        replace = bool(np.count_nonzero(weights) < count)
        chosen: NDArray[np.integer[Any]] = rng.choice(
            there, count, replace=replace, p=weights / weights.sum()
        )
        return chosen


def _nearly_largest(
    there: NDArray[np.integer[Any]], labels: NDArray[np.integer[Any]], start: int
) -> NDArray[np.integer[Any]]:
    """Return those `there` that are largest on frame `start`, or nearly; or all."""
    areas = np.stack([(labels == number).sum((1, 2)) for number in there], axis=1)
    nearly = areas[start] >= _NEARLY_LARGEST * areas.max(axis=0)
    return there[nearly] if nearly.any() else there


def step_loader(
    samples: StepSamples, numbers: range, workers: int
) -> DataLoader[StepSample]:
    """Return a loader of the samples of some numbers, in order."""
    return DataLoader(
        samples,
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        prefetch_factor=8 if workers else None,
        worker_init_fn=_leave_signals if workers else None,
        multiprocessing_context="spawn" if workers else None,
    )


def _leave_signals(_worker: int) -> None:
    """Leave Ctrl-C and SIGTERM, which reach all processes, to the one that trains.

    A second SIGTERM ends the process: that is how Python stops its children at exit.
    """

    def wait_for_another(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, wait_for_another)


def turn(
    rng: np.random.Generator,
    frames: NDArray[np.float32],
    masks: NDArray[np.bool_],
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Flip and transpose frames ``(T, K, S, S)`` and masks ``(T, O, S, S)`` alike.

    The frames come out as uint8.
    """
    image = (frames * 255 + 0.5).astype(np.uint8)
    for axis in (-1, -2):
        if rng.random() < 0.5:
            image, masks = np.flip(image, axis), np.flip(masks, axis)
    if rng.random() < 0.5:
        image, masks = image.swapaxes(-1, -2), masks.swapaxes(-1, -2)
    return np.ascontiguousarray(image), np.ascontiguousarray(masks)


def _stacked(clips: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Stack clips ``(T, K, S, S)`` to ``(T, C, K, S, S)``, grey ones in any colour."""
    colours = max(clip.shape[1] for clip in clips)
    alike = [
        clip if clip.shape[1] == colours else clip.repeat(colours, axis=1)
        for clip in clips
    ]
    return np.stack(alike, axis=1)
