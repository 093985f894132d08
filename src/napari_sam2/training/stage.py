"""One stage of a run in work: its network, optimiser, data, and validation."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from napari_sam2.build import build_model
from napari_sam2.errors import Sam2Error
from napari_sam2.training.checkpoint import (
    TrainingCheckpoint,
    export_weights,
    save_checkpoint,
)
from napari_sam2.training.clips import clip_step
from napari_sam2.training.ema import averaged_copy, update_average
from napari_sam2.training.optimizer import WeightOptimizer
from napari_sam2.training.pictures import save_picture
from napari_sam2.training.samples import (
    TRAINING,
    VALIDATION,
    StepSample,
    StepSamples,
    step_loader,
)
from napari_sam2.training.schedule import between, learning_rate
from napari_sam2.training.step import MEASURES, StepResult, StepRules, image_step

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_sam2.model.sam2 import Sam2
    from napari_sam2.training.logs import MetricLog
    from napari_sam2.training.ranks import Ranks
    from napari_sam2.training.settings import StageParameters, TrainingParameters
    from napari_sam2.training.sources import ClipSource

_log = logging.getLogger(__name__)

WEIGHTS = "weights.safetensors"
"""Name of the exported weights in a run's folder."""

COLUMNS = (
    *MEASURES,
    "gradient_norm",
    "learning_rate",
    "seconds",
    *(f"validation_{name}" for name in MEASURES),
)
"""What a run tells of its steps."""

_LOG_EVERY = 20


class StopRequest(Protocol):
    """Somebody who may ask to stop.

    Attributes
    ----------
    requested : bool
        Whether the run shall stop after the step in work.
    """

    requested: bool

    def defer(self) -> None:
        """Learn that from now on the run stops by itself when asked."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingJob:
    """What the stages of a run have in common.

    Attributes
    ----------
    parameters : TrainingParameters
        The run.
    out : Path
        Its folder.
    device : torch.device
        Where it is computed.
    precision : str
        What in, as for `build_model`.
    ranks : Ranks
        This process among those of the run.
    shown, held_out : ClipSource, optional
        What is learned from and what validates; synthetic scenes where None.
    stop : StopRequest, optional
        Asks to stop after a step.
    """

    parameters: TrainingParameters
    out: Path
    device: torch.device
    precision: str
    ranks: Ranks
    shown: ClipSource | None = None
    held_out: ClipSource | None = None
    stop: StopRequest | None = None

    @property
    def settings(self) -> str:
        """All that decides how the run goes, as text."""
        parameters = replace(self.parameters, workers=0)  # they do not
        parts = (parameters, self.shown, self.precision, self.ranks.count)
        return " ".join(map(repr, parts))


class TrainingStep(nn.Module):
    """A step as the forward pass of a module, as several processes need it.

    Parameters
    ----------
    model : Sam2
        The network.
    """

    def __init__(self, model: Sam2) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, sample: StepSample, rules: StepRules, chance: torch.Generator
    ) -> tuple[torch.Tensor, StepResult]:
        """Return the loss, and all else that the step tells."""
        result = step_on(self.model, sample, rules, chance)
        return result.loss, result


def step_on(
    model: Sam2, sample: StepSample, rules: StepRules, chance: torch.Generator
) -> StepResult:
    """Take the step that a sample is for."""
    function = clip_step if len(sample.images) > 1 else image_step
    return function(model, sample, rules, chance)


class StageRun:
    """A stage in work.

    Parameters
    ----------
    job : TrainingJob
        The run.
    index : int
        Number of the stage.
    first : int
        Step of the run that it begins with.
    log : MetricLog, optional
        Where numbers go; None in all processes but the first.
    checkpoint : TrainingCheckpoint, optional
        What to go on from: of this stage, or of the end of the one before.
    """

    def __init__(
        self,
        job: TrainingJob,
        index: int,
        first: int,
        log: MetricLog | None,
        checkpoint: TrainingCheckpoint | None,
    ) -> None:
        self.job, self.first, self.log = job, first, log
        parameters = self.parameters = job.parameters
        stage = self.stage = parameters.stages[index]
        # Only the first stage starts from the file; the others from the one before.
        model: Sam2 = build_model(
            parameters.model,
            checkpoint=parameters.weights,
            device=job.device,
            precision=job.precision,
            overrides=[f"model.image_size={stage.image_size}"],
            seed=parameters.seed,
        ).train()
        if parameters.freeze_encoder:
            model.image_encoder.requires_grad_(False).eval()
        self.model = model
        self.average = averaged_copy(model)
        self.optimizer = WeightOptimizer(model, parameters, stage, job.ranks)
        if checkpoint is not None:
            model.load_state_dict(checkpoint.model)
            self.average.load_state_dict(checkpoint.average)
            if checkpoint.step > first:
                self.optimizer.load_state_dict(checkpoint.optimizer)
        self.step: nn.Module = TrainingStep(model)
        if job.ranks.count > 1:
            # Which parts a step uses depends on the prompts that it draws.
            self.step = DistributedDataParallel(self.step, find_unused_parameters=True)
        self.line: str = stage.kind

    def save(self, step: int) -> TrainingCheckpoint:
        """Write checkpoint and weights after `step` steps of the run."""
        checkpoint = TrainingCheckpoint(
            step=step,
            settings=self.job.settings,
            model=self.model.state_dict(),
            average=self.average.state_dict(),
            optimizer=self.optimizer.state_dict(),
        )
        if self.job.ranks.is_first:
            # The checkpoint of the last step says that nothing is left to do.
            export_weights(self.job.out / WEIGHTS, self.average)
            save_checkpoint(self.job.out, checkpoint)
        return checkpoint

    def steps(self, start: int) -> Iterator[int]:
        """Train from a step of the run to the end of the stage; yield steps done.

        Raises
        ------
        Sam2Error
            If numbers became NaN; the last good weights are written before.
        KeyboardInterrupt
            If asked to stop, in any of the processes; after a checkpoint.
        """
        job, parameters = self.job, self.parameters
        end = self.first + self.stage.steps
        samples = self._samples(self.stage, TRAINING, job.shown)
        numbers = job.ranks.samples(range(start, end))
        loader = step_loader(samples, numbers, parameters.workers)
        saved = time.monotonic()
        for step, (number, sample) in enumerate(
            zip(numbers, loader, strict=True), start=start
        ):
            stopped = self._learn(step, number, sample)
            done = step + 1
            if stopped:
                self.save(done)
                raise KeyboardInterrupt
            if done % parameters.validate_every == 0 or done == end:
                self._validate(done)
            if time.monotonic() - saved > 60 * parameters.checkpoint_minutes:
                self.save(done)
                saved = time.monotonic()
            yield done

    def _samples(
        self, stage: StageParameters, stream: int, source: ClipSource | None
    ) -> StepSamples:
        """Return what the network is shown, with as many neighbours as it sees."""
        neighbours = self.model.neighbours
        return StepSamples(
            self.parameters, stage, stream, source, neighbours=neighbours
        )

    def _learn(self, step: int, number: int, sample: StepSample) -> bool:
        """Learn from one sample; return whether to stop after it."""
        began = time.perf_counter()
        inside = step - self.first
        rate = learning_rate(self.stage, inside)
        self.optimizer.set_rate(rate)
        chance = self._chance(number)
        torch.manual_seed(chance.initial_seed())  # for dropout
        loss, result = self.step(sample, self._rules(inside, chance), chance)
        self.optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(
            self.model.parameters(), self.parameters.gradient_norm
        )
        stopped = self._agreed(step, loss, norm)
        self.optimizer.step()
        update_average(self.average, self.model, step, self.parameters.ema_decay)
        if step % _LOG_EVERY == 0:
            values = {name: getattr(result, name).item() for name in MEASURES}
            values["gradient_norm"] = float(norm)
            values["learning_rate"] = rate
            values["seconds"] = time.perf_counter() - began
            self._tell(step, values)
            self.line = f"{self.stage.kind}, loss {values['loss']:.3f}"
        return stopped

    def _agreed(self, step: int, loss: torch.Tensor, norm: torch.Tensor) -> bool:
        """Return whether to stop, the same in all processes.

        Weights never take up what is not finite.
        """
        job = self.job
        finite = torch.isfinite(loss) & torch.isfinite(norm)
        asked = job.stop is not None and job.stop.requested
        flags = torch.stack([1.0 - finite.float(), finite.new_tensor(asked).float()])
        broken, stopped = job.ranks.total(flags).tolist()
        if broken:
            self.save(step)
            raise Sam2Error(
                f"Training stopped at step {step}: the loss or its gradients became "
                f"NaN or infinite. The weights before it are kept in {self.job.out}; "
                "a lower learning_rate may help."
            )
        return bool(stopped)

    @torch.no_grad()
    def _validate(self, step: int) -> None:
        """Measure the moving average on clips of their own."""
        job = self.job
        stage = replace(self.stage, image_share=0.0)
        samples = self._samples(stage, VALIDATION, job.held_out)
        count = -(-self.parameters.validation_clips // stage.images)
        sums = torch.zeros(2, len(MEASURES), dtype=torch.float64)
        for number in range(job.ranks.rank, count, job.ranks.count):
            chance = self._chance(number)
            rules = self._rules(self.stage.steps - 1, chance)
            rules = replace(rules, keep_masks=number == 0)
            sample = samples[number]
            result = step_on(self.average, sample, rules, chance)
            row = torch.tensor([float(getattr(result, name)) for name in MEASURES])
            sums += torch.stack([row.nan_to_num(), (~row.isnan()).float()])
            if result.masks is not None:
                path = job.out / f"validation_{step:06d}.png"
                save_picture(path, sample, result.masks)
        totals, counts = job.ranks.total(sums.to(job.device, torch.float32)).tolist()
        values = {
            f"validation_{name}": total / max(number, 1) if number else float("nan")
            for name, total, number in zip(MEASURES, totals, counts, strict=True)
        }
        self._tell(step - 1, values)  # with the last step that it knows
        _log.info("step %d: %s", step, values)

    def _tell(self, step: int, values: dict[str, float]) -> None:
        """Log numbers, if this process is the one that does."""
        if self.log is not None:
            self.log.write(step, values)

    def _rules(self, inside: int, chance: torch.Generator) -> StepRules:
        """Draw the rules of a step within the stage."""
        stage = self.stage
        share = between(stage.correction_share, stage, inside)
        least, most = stage.corrections
        number = int(torch.randint(least, most + 1, (), generator=chance))
        corrected = bool(torch.rand((), generator=chance) < share)
        return StepRules(
            self.parameters.losses,
            self.parameters.prompts,
            area_weight=between(stage.area_weight, stage, inside),
            corrections=number if corrected else 0,
            teacher_share=between(stage.teacher_share, stage, inside),
        )

    def _chance(self, number: int) -> torch.Generator:
        """Return the generator of a sample's corrections."""
        return torch.Generator().manual_seed(self.parameters.seed * 1_000_003 + number)
