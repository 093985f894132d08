"""``napari-sam2 train``: train a network as a YAML says."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads it
from typing import Annotated

import typer

from napari_sam2.cli.console import note
from napari_sam2.cli.interrupt import INTERRUPTED, StopRequest
from napari_sam2.cli.options import (
    Debug,
    Device,
    Precision,
    PrecisionChoice,
)


def train(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG",
            help="YAML of the run, such as configs/training/nano.yaml.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder for weights, checkpoint, table and pictures.",
            show_default=False,
        ),
    ],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in DIR.")
    ] = False,
    device: Device = "auto",
    precision: Precision = PrecisionChoice.AUTO,
    debug: Debug = False,
) -> int:
    """Train a network, or go on with a run that was stopped.

    On several GPUs: torchrun --nproc-per-node N -m napari_sam2 train CONFIG --out DIR
    """
    from napari_sam2.devices import telling_full_memory
    from napari_sam2.training.ranks import ranks_of_environment
    from napari_sam2.training.run import train as train_network

    less = "give stages a smaller image_size, or fewer images, objects or frames"
    with StopRequest("step") as stop, telling_full_memory(less):
        try:
            weights = train_network(
                config,
                out=out,
                resume=resume,
                device=device,
                precision=precision.value,
                stop=stop,
            )
        except KeyboardInterrupt:
            note(how_to_go_on(out))
            return INTERRUPTED
    if ranks_of_environment().is_first:
        typer.echo(weights)
    return 0


def how_to_go_on(out: Path) -> str:
    """Say what to do after a run was stopped."""
    from napari_sam2.training.checkpoint import CHECKPOINT

    if (out / CHECKPOINT).is_file():
        return "Stopped. To go on, give the same command with --resume."
    return "Stopped before there was a checkpoint: give the same command again."
