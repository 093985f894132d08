"""``napari-sam2 finetune``: train a model further on annotated stacks."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated

import typer

from napari_sam2.cli.console import Progress, note
from napari_sam2.cli.interrupt import INTERRUPTED, StopRequest
from napari_sam2.cli.options import (
    NETWORK_PANEL,
    Axes,
    Channels,
    Debug,
    Device,
    FrameAxis,
    Json,
    ModelOrYaml,
    Precision,
    PrecisionChoice,
)
from napari_sam2.cli.train import how_to_go_on

if TYPE_CHECKING:
    from napari_sam2.training.finetune import FinetuneResult, FinetuneSettings

TRAINING_PANEL = "Training"


def finetune(
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="FOLDER",
            help="Stacks with labels: subfolders 'images' and 'labels' with files of"
            " the same name, or NAME.tif beside NAME_labels.tif.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder for weights, scores, checkpoint, table and pictures.",
            show_default=False,
        ),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="FOLDER",
            help="Where the labels are, if not in --data: files named as their images.",
        ),
    ] = None,
    model: ModelOrYaml = None,
    checkpoint: Annotated[
        str,
        typer.Option(
            "--checkpoint",
            metavar="auto|PATH",
            help="Weights to start from: the model's own, or a file.",
            rich_help_panel=NETWORK_PANEL,
        ),
    ] = "auto",
    image_size: Annotated[
        int | None,
        typer.Option(
            "--image-size",
            metavar="PIXELS",
            min=32,
            help="Side of the network's input; by default the model's.",
            rich_help_panel=NETWORK_PANEL,
        ),
    ] = None,
    freeze_encoder: Annotated[
        bool,
        typer.Option(
            "--freeze-encoder/--no-freeze-encoder",
            help="Leave the image encoder as it is: faster, less memory, and less is"
            " forgotten.",
            rich_help_panel=TRAINING_PANEL,
        ),
    ] = False,
    steps: Annotated[
        int,
        typer.Option("--steps", metavar="N", min=1, rich_help_panel=TRAINING_PANEL),
    ] = 500,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate",
            metavar="RATE",
            help="By default 1e-4 for small networks, 1e-5 for the official ones.",
            rich_help_panel=TRAINING_PANEL,
        ),
    ] = None,
    held_out: Annotated[
        float,
        typer.Option(
            "--held-out",
            metavar="SHARE",
            help="Share of the stacks that is kept back to measure; of the objects, if"
            " there is one stack.",
            rich_help_panel=TRAINING_PANEL,
        ),
    ] = 0.2,
    synthetic_share: Annotated[
        float | None,
        typer.Option(
            "--synthetic-share",
            metavar="SHARE",
            help="Share of synthetic scenes among what is shown, against forgetting;"
            " by default 0.2 for inputs up to 256 pixels, else 0.",
            rich_help_panel=TRAINING_PANEL,
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option("--seed", metavar="N", min=0, rich_help_panel=TRAINING_PANEL),
    ] = 0,
    axes: Axes = None,
    frame_axis: FrameAxis = None,
    channel: Channels = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in DIR.")
    ] = False,
    device: Device = "auto",
    precision: Precision = PrecisionChoice.AUTO,
    json_: Json = False,
    debug: Debug = False,
) -> int:
    """Train a model further on stacks that you have labelled.

    The result goes to other commands as --checkpoint DIR/weights.safetensors, with the
    same --model or with DIR/model.yaml in its place.
    """
    from napari_sam2.devices import telling_full_memory
    from napari_sam2.training.annotated import Reading
    from napari_sam2.training.finetune import FinetuneSettings

    settings = FinetuneSettings(
        data=data,
        labels=labels,
        reading=Reading(axes, frame_axis, tuple(channel or ())),
        model=model,
        checkpoint=checkpoint,
        image_size=image_size,
        freeze_encoder=freeze_encoder,
        steps=steps,
        learning_rate=learning_rate,
        held_out=held_out,
        synthetic_share=synthetic_share,
        seed=seed,
    )
    less = "give --freeze-encoder or a smaller --image-size"
    with StopRequest("step") as stop, telling_full_memory(less):
        try:
            result = _run(settings, out, device, precision.value, stop, resume=resume)
        except KeyboardInterrupt:
            note(how_to_go_on(out))
            return INTERRUPTED
    if result is not None:
        typer.echo(_as_json(result) if json_ else result.weights)
    return 0


def _run(
    settings: FinetuneSettings,
    out: Path,
    device: str,
    precision: str,
    stop: StopRequest,
    *,
    resume: bool,
) -> FinetuneResult | None:
    """Fine-tune, and tell how it went."""
    from napari_sam2.training.finetune import finetune as train_further

    with ExitStack() as shown:
        bars: dict[str, Progress] = {}

        def evaluated(name: str, done: int, total: int) -> None:
            if stop.requested:
                raise KeyboardInterrupt
            if name not in bars:
                shown.close()  # one bar at a time
                bar = Progress(f"scoring {name}", total=total, unit="frames")
                bars[name] = shown.enter_context(bar)
            bars[name].show(done, total)
            if done >= total:
                shown.close()
                del bars[name]

        result = train_further(
            settings,
            out=out,
            resume=resume,
            device=device,
            precision=precision,
            stop=stop,
            progress=evaluated,
        )
    if result is not None:
        for line in _summary(result):
            note(line)
    return result


def _summary(result: FinetuneResult) -> list[str]:
    """Say what was learned from, and what it was worth."""
    from napari_sam2.training.held_out import INTERACTIONS, mean_score

    shown = f"{_count(result.objects_shown, 'object')} in"
    lines = [f"Learned from {shown} {_count(result.stacks, 'stack')}."]
    if not result.after:
        why = "What was kept back could not be scored"
        if not result.kept_back:
            why = "Nothing was kept back, so there are no scores"
        return [*lines, f"{why}."]
    objects = sum(one.objects for one in result.after)
    where = "of that stack" if result.by_object else "in other stacks"
    kept = f"{_count(objects, 'object')} {where}"
    lines.append(f"Mean IoU of {kept}, kept back from training:")
    for count in INTERACTIONS:
        before = mean_score(result.before, count)
        after = mean_score(result.after, count)
        prompts = "1 click " if count == 1 else f"{count} clicks"
        lines.append(f"  {prompts}  {before:.3f} before, {after:.3f} after")
    if mean_score(result.after, 1) < mean_score(result.before, 1):
        lines.append(
            "It did not get better. Try more stacks, fewer --steps, a lower"
            " --learning-rate, or --freeze-encoder."
        )
    return lines


def _count(number: int, thing: str) -> str:
    """Return a number of things in words."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _as_json(result: FinetuneResult) -> str:
    """Return a result for scripts."""
    later = {one.name: one.mean_iou for one in result.after}
    return json.dumps(
        {
            "weights": str(result.weights),
            "config": str(result.config),
            "stacks": result.stacks,
            "objects": result.objects_shown,
            "by_object": result.by_object,
            "scores": [
                {
                    "name": one.name,
                    "objects": one.objects,
                    "before": one.mean_iou,
                    "after": later.get(one.name),
                }
                for one in result.before
            ],
        }
    )
