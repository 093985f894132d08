"""A training run from a YAML to exported weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam2.devices import choose_device
from napari_sam2.errors import CheckpointError, ConfigError
from napari_sam2.training.checkpoint import CHECKPOINT, load_checkpoint
from napari_sam2.training.logs import MetricLog
from napari_sam2.training.progress import StepProgress
from napari_sam2.training.ranks import process_group, ranks_of_environment
from napari_sam2.training.settings import TrainingParameters, read_training
from napari_sam2.training.stage import COLUMNS, WEIGHTS, StageRun, TrainingJob

if TYPE_CHECKING:
    import torch

    from napari_sam2.training.checkpoint import TrainingCheckpoint
    from napari_sam2.training.sources import ClipSource
    from napari_sam2.training.stage import StopRequest


def train(
    config: str | Path,
    *,
    out: Path,
    resume: bool = False,
    device: str | torch.device = "auto",
    precision: str = "auto",
    stop: StopRequest | None = None,
) -> Path:
    """Train a network as a YAML says.

    In a process that torchrun started, this is one of several that share the work.

    Parameters
    ----------
    config : str or Path
        The run; see `TrainingParameters`.
    out : Path
        Folder for checkpoint, weights, table and pictures; made if need be.
    resume : bool
        Go on from the checkpoint in `out`, to the step.
    device, precision : str
        As for `build_model`; float16 is not trained in.
    stop : StopRequest, optional
        Asks to stop after a step.

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
    KeyboardInterrupt
        If asked to stop; `resume` goes on from there.
    """
    return run_training(
        read_training(Path(config)),
        out=out,
        resume=resume,
        device=device,
        precision=precision,
        stop=stop,
    )


def run_training(
    parameters: TrainingParameters,
    *,
    out: Path,
    resume: bool = False,
    device: str | torch.device = "auto",
    precision: str = "auto",
    stop: StopRequest | None = None,
    shown: ClipSource | None = None,
    held_out: ClipSource | None = None,
) -> Path:
    """Train a network; see `train`.

    Parameters
    ----------
    parameters : TrainingParameters
        The run.
    out, resume, device, precision, stop
        As for `train`.
    shown, held_out : ClipSource, optional
        What is learned from and what validates; synthetic scenes where None.
    """
    check_run(out, precision, resume=resume)
    ranks = ranks_of_environment()
    target = choose_device(ranks.device(device))
    job = TrainingJob(parameters, out, target, precision, ranks, shown, held_out, stop)
    checkpoint = _checkpoint(job) if resume else None
    out.mkdir(parents=True, exist_ok=True)
    with process_group(ranks, target):
        _go(job, checkpoint)
    return out / WEIGHTS


def check_run(out: Path, precision: str, *, resume: bool) -> None:
    """Refuse what no run can be written to, or be computed in; make nothing yet.

    Raises
    ------
    ConfigError
        If a run would be overwritten, `out` is no folder that may be written, or the
        precision is "float16".
    CheckpointError
        If there is nothing to go on from.
    """
    if precision == "float16":
        raise ConfigError(
            "Gradients of float16 are too coarse to train with: give 'bfloat16', "
            "'float32' or 'auto'."
        )
    nearest = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        what = "may not be written" if nearest.is_dir() else "is a file"
        raise ConfigError(f"{nearest} {what}: give another folder for the run.")
    there = (out / CHECKPOINT).is_file()
    if there and not resume:
        raise ConfigError(
            f"{out} holds a training run already: give --resume to go on with it, or "
            "another folder."
        )
    if not there and (out / WEIGHTS).is_file():
        raise ConfigError(
            f"{out} holds the {WEIGHTS} of a run, but no checkpoint of it: give "
            "another folder, or move them away."
        )
    if resume and not there:
        raise CheckpointError(
            f"{out} holds no {CHECKPOINT}, so no run can be resumed from it: start "
            "one without --resume."
        )


def _checkpoint(job: TrainingJob) -> TrainingCheckpoint:
    """Return what a run goes on from; that of another run is refused."""
    checkpoint = load_checkpoint(job.out)
    if checkpoint.settings != job.settings:
        raise ConfigError(
            f"The run in {job.out} was started with other settings or data, in another "
            "precision, or by another number of processes: give the same, or another "
            "folder."
        )
    return checkpoint


def _go(job: TrainingJob, checkpoint: TrainingCheckpoint | None) -> None:
    """Train to the end, from a checkpoint or from the start."""
    step = 0 if checkpoint is None else checkpoint.step
    first = job.ranks.is_first
    log = MetricLog(job.out, COLUMNS, step) if first else None
    total = job.parameters.steps
    if job.stop is not None:
        job.stop.defer()
    try:
        with StepProgress(total, step, shown=first) as progress:
            while step < total:
                index, inside = job.parameters.stage_at(step)
                stage = StageRun(job, index, step - inside, log, checkpoint)
                for done in stage.steps(step):
                    progress.show(done, stage.line)
                step = stage.first + stage.stage.steps
                checkpoint = stage.save(step)
    finally:
        if log is not None:
            log.close()
