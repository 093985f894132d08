"""A training run: stages, optimiser, checkpoints, validation, export."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from napari_sam2.build import build_model
from napari_sam2.errors import ConfigError, Sam2Error
from napari_sam2.training.checkpoint import (
    CHECKPOINT,
    TrainingCheckpoint,
    export_weights,
    load_checkpoint,
    save_checkpoint,
)
from napari_sam2.training.clips import clip_step
from napari_sam2.training.ema import averaged_copy, update_average
from napari_sam2.training.logs import MetricLog
from napari_sam2.training.pictures import save_picture
from napari_sam2.training.samples import (
    TRAINING,
    VALIDATION,
    StepSample,
    StepSamples,
    step_loader,
)
from napari_sam2.training.settings import (
    StageParameters,
    TrainingParameters,
    read_training,
)
from napari_sam2.training.step import MEASURES, StepRules, image_step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_sam2.model.sam2 import Sam2

_log = logging.getLogger(__name__)

WEIGHTS = "weights.safetensors"
"""Name of the exported weights in a run's folder."""

_COLUMNS = (
    *MEASURES,
    "gradient_norm",
    "learning_rate",
    "seconds",
    *(f"validation_{name}" for name in MEASURES),
)
_LOG_EVERY = 20
_FRAME_PARTS = ("image_encoder.", "sam_prompt_encoder.", "sam_mask_decoder.")


def train(
    config: str | Path,
    *,
    out: Path,
    resume: bool = False,
    device: str | torch.device = "auto",
    precision: str = "auto",
) -> Path:
    """Train a network as a YAML says.

    Parameters
    ----------
    config : str or Path
        The run; see `TrainingParameters`.
    out : Path
        Folder for checkpoint, weights, table and pictures; made if need be.
    resume : bool
        Go on from the checkpoint in `out`, to the step.
    device, precision : str
        As for `build_model`.

    Returns
    -------
    Path
        The exported weights: the moving average, float16 safetensors.

    Raises
    ------
    ConfigError
        If the YAML is wrong, or `out` holds another run.
    CheckpointError
        If there is nothing to go on from.
    Sam2Error
        If numbers became NaN; the last good weights are kept.
    """
    parameters = read_training(Path(config))
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = load_checkpoint(out) if resume else None
    if checkpoint is None and (out / CHECKPOINT).exists():
        raise ConfigError(
            f"{out} holds a training run already: give --resume to go on with it, or "
            "another folder."
        )
    if checkpoint is not None and checkpoint.settings != repr(parameters):
        raise ConfigError(
            f"The run in {out} was started with other settings than {config} has "
            "now: give that file, or another folder and 'weights:' to start from."
        )
    run = _Run(parameters, out, device, precision)
    run.go(checkpoint)
    return out / WEIGHTS


def learning_rate(stage: StageParameters, step: int) -> float:
    """Return the rate of a step within a stage: linear warm-up, then half a cosine."""
    if step < stage.warmup:
        return stage.learning_rate * (step + 1) / stage.warmup
    done = (step - stage.warmup) / max(stage.steps - stage.warmup, 1)
    share = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return stage.learning_rate * (stage.final_rate + (1 - stage.final_rate) * share)


def between(limits: tuple[float, float], stage: StageParameters, step: int) -> float:
    """Return what a number that changes over a stage is at one of its steps."""
    first, last = limits
    return first + (last - first) * step / max(stage.steps - 1, 1)


def parameter_groups(
    model: Sam2, weight_decay: float, frame_rate: float
) -> list[dict[str, Any]]:
    """Return the groups of the optimiser.

    Vectors (biases, norms) do not decay; parts that see single frames have the
    ``share`` `frame_rate` of the learning rate, all others 1.
    """
    groups = []
    for share, of_frames in ((frame_rate, True), (1.0, False)):
        chosen = [
            parameter
            for name, parameter in model.named_parameters()
            if name.startswith(_FRAME_PARTS) == of_frames
        ]
        for matrices, decay in ((True, weight_decay), (False, 0.0)):
            some = [p for p in chosen if (p.ndim > 1) == matrices]
            groups.append({"params": some, "weight_decay": decay, "share": share})
    return groups


class _Run:
    """A run in work."""

    def __init__(
        self,
        parameters: TrainingParameters,
        out: Path,
        device: str | torch.device,
        precision: str,
    ) -> None:
        self.parameters = parameters
        self.out = out
        self.device = device
        self.precision = precision

    def go(self, checkpoint: TrainingCheckpoint | None) -> None:
        """Train to the end, from a checkpoint or from the start."""
        step = 0 if checkpoint is None else checkpoint.step
        log = MetricLog(self.out, _COLUMNS, step)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        try:
            with Progress(*columns, transient=False) as progress:
                task = progress.add_task("training", total=self.parameters.steps)
                while step < self.parameters.steps:
                    index, inside = self.parameters.stage_at(step)
                    stage = _Stage(self, index, step - inside, log)
                    if checkpoint is not None:
                        stage.restore(checkpoint, same_stage=inside > 0)
                    for done in stage.steps(step):
                        progress.update(task, completed=done, description=stage.line)
                    step = stage.first + stage.stage.steps
                    checkpoint = stage.save(step)
        finally:
            log.close()


class _Stage:
    """A stage in work: its network, optimiser and data.

    Parameters
    ----------
    run : _Run
        The run.
    index : int
        Number of the stage.
    first : int
        Step of the run that it begins with.
    log : MetricLog
        Where numbers go.
    """

    def __init__(self, run: _Run, index: int, first: int, log: MetricLog) -> None:
        self.run, self.first, self.log = run, first, log
        parameters = self.parameters = run.parameters
        stage = self.stage = parameters.stages[index]
        # Only the first stage starts from the file; the others from the one before.
        self.model: Sam2 = build_model(
            parameters.model,
            checkpoint=parameters.weights,
            device=run.device,
            precision=run.precision,
            overrides=[f"model.image_size={stage.image_size}"],
            seed=parameters.seed,
        ).train()
        self.average = averaged_copy(self.model)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.model, parameters.weight_decay, stage.frame_rate),
            betas=(0.9, parameters.beta2),
        )
        self.step_function = image_step if stage.kind == "images" else clip_step
        self.line: str = stage.kind

    def restore(self, checkpoint: TrainingCheckpoint, *, same_stage: bool) -> None:
        """Take over weights, and where the stage is the same its optimiser."""
        self.model.load_state_dict(checkpoint.model)
        self.average.load_state_dict(checkpoint.average)
        if same_stage:
            self.optimizer.load_state_dict(checkpoint.optimizer)

    def save(self, step: int) -> TrainingCheckpoint:
        """Write checkpoint and weights after `step` steps of the run."""
        checkpoint = TrainingCheckpoint(
            step=step,
            settings=repr(self.parameters),
            model=self.model.state_dict(),
            average=self.average.state_dict(),
            optimizer=self.optimizer.state_dict(),
        )
        save_checkpoint(self.run.out, checkpoint)
        export_weights(self.run.out / WEIGHTS, self.average)
        return checkpoint

    def steps(self, start: int) -> Iterator[int]:
        """Train from a step of the run to the end of the stage; yield steps done."""
        end = self.first + self.stage.steps
        samples = StepSamples(self.parameters, self.stage, TRAINING)
        loader = step_loader(samples, range(start, end), self.parameters.workers)
        saved = time.monotonic()
        for step, sample in enumerate(loader, start=start):
            self._step(step, sample)
            done = step + 1
            if done % self.parameters.validate_every == 0 or done == end:
                self._validate(done)
            if time.monotonic() - saved > 60 * self.parameters.checkpoint_minutes:
                self.save(done)
                saved = time.monotonic()
            yield done

    def _step(self, step: int, sample: StepSample) -> None:
        """Learn from one sample."""
        began = time.perf_counter()
        inside = step - self.first
        rate = learning_rate(self.stage, inside)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        chance = self._chance(step)
        torch.manual_seed(chance.initial_seed())  # for dropout
        result = self.step_function(
            self.model, sample, self._rules(inside, chance), chance
        )
        self.optimizer.zero_grad(set_to_none=True)
        result.loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(
            self.model.parameters(), self.parameters.gradient_norm
        )
        if not (torch.isfinite(result.loss) and torch.isfinite(norm)):
            self.save(step)
            raise Sam2Error(
                f"Training stopped at step {step}: the loss or its gradients became "
                f"NaN or infinite. The weights before it are kept in {self.run.out}; "
                "a lower learning_rate may help."
            )
        self.optimizer.step()
        update_average(self.average, self.model, step, self.parameters.ema_decay)
        if step % _LOG_EVERY == 0:
            values = {name: getattr(result, name).item() for name in MEASURES}
            values["gradient_norm"] = float(norm)
            values["learning_rate"] = rate
            values["seconds"] = time.perf_counter() - began
            self.log.write(step, values)
            self.line = f"{self.stage.kind}, loss {values['loss']:.3f}"

    @torch.no_grad()
    def _validate(self, step: int) -> None:
        """Measure the moving average on clips of their own."""
        samples = StepSamples(self.parameters, self.stage, VALIDATION)
        count = -(-self.parameters.validation_clips // self.stage.images)
        results = []
        for number in range(count):
            chance = self._chance(number)
            rules = self._rules(self.stage.steps - 1, chance)
            rules = replace(rules, keep_masks=number == 0)
            sample = samples[number]
            result = self.step_function(self.average, sample, rules, chance)
            results.append(result)
            if result.masks is not None:
                path = self.run.out / f"validation_{step:06d}.png"
                save_picture(path, sample, result.masks)
        values = {
            f"validation_{name}": float(
                torch.stack([getattr(result, name) for result in results]).nanmean()
            )
            for name in MEASURES
        }
        self.log.write(step - 1, values)  # with the last step that it knows
        _log.info("step %d: %s", step, values)

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

    def _chance(self, step: int) -> torch.Generator:
        """Return the generator of a step's corrections."""
        return torch.Generator().manual_seed(self.parameters.seed * 1_000_003 + step)
