"""``napari-sam2 evaluate``: how good a model is on labelled stacks."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import Annotated

import typer

from napari_sam2.cli.console import note
from napari_sam2.cli.evaluation_request import EvaluateRequest
from napari_sam2.cli.interrupt import INTERRUPTED, StopRequest
from napari_sam2.cli.options import (
    IMAGE_PANEL,
    OUTPUT_PANEL,
    At,
    Axes,
    Channels,
    Checkpoint,
    Contrast,
    Debug,
    Device,
    FrameAxis,
    Json,
    ModelOrYaml,
    Overrides,
    Precision,
    PrecisionChoice,
    parse_positions,
)

ANNOTATOR_PANEL = "Annotator"

_MOST_IN_RANGE = 10**6


class FirstPromptChoice(StrEnum):
    """What an object is prompted with first."""

    POINT = "point"
    BOX = "box"


def evaluate(
    image: Annotated[
        Path | None,
        typer.Argument(
            metavar="[IMAGE]",
            help="Stack, or a folder of stacks, which may hold their labels too.",
            show_default=False,
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Argument(
            metavar="[LABELS]",
            help="Its true labels, one number for each object on all frames; or the"
            " folder of the labels.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder for the report: JSON, CSV, a plot, pictures of the worst"
            " cases.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    clicks: Annotated[
        int,
        typer.Option(
            "--clicks",
            metavar="N",
            min=1,
            help="Prompts that each object gets, at most, the first one included.",
            rich_help_panel=ANNOTATOR_PANEL,
        ),
    ] = 5,
    first: Annotated[
        FirstPromptChoice,
        typer.Option(
            "--first",
            help="The first prompt, on the object's middle frame.",
            rich_help_panel=ANNOTATOR_PANEL,
        ),
    ] = FirstPromptChoice.POINT,
    object_: Annotated[
        list[str] | None,
        typer.Option(
            "--object",
            metavar="IDS",
            help="Evaluate these objects only, such as 7 or 7,10,26-31. May be"
            " repeated. By default all that are suitable.",
            rich_help_panel=ANNOTATOR_PANEL,
            show_default=False,
        ),
    ] = None,
    max_objects: Annotated[
        int | None,
        typer.Option(
            "--max-objects",
            metavar="N",
            min=1,
            help="Evaluate so many of the objects of a stack, evenly spread.",
            rich_help_panel=ANNOTATOR_PANEL,
        ),
    ] = None,
    min_frames: Annotated[
        int,
        typer.Option(
            "--min-frames",
            metavar="N",
            min=1,
            help="Frames that a suitable object is on, at least.",
            rich_help_panel=ANNOTATOR_PANEL,
        ),
    ] = 5,
    min_area: Annotated[
        float,
        typer.Option(
            "--min-area",
            metavar="PIXELS",
            min=0,
            help="Mean area of a suitable object over its frames, at least.",
            rich_help_panel=ANNOTATOR_PANEL,
        ),
    ] = 20.0,
    beyond: Annotated[
        int,
        typer.Option(
            "--beyond",
            metavar="FRAMES",
            min=0,
            help="How far beyond an object's ends to look for false presence.",
            rich_help_panel=ANNOTATOR_PANEL,
        ),
    ] = 5,
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines/--no-baselines",
            help="Compare with the middle mask copied, and with threshold and"
            " watershed.",
            rich_help_panel=ANNOTATOR_PANEL,
        ),
    ] = True,
    tracking: Annotated[
        bool | None,
        typer.Option(
            "--ctc/--no-ctc",
            help="Track through whole time-lapses, and give SEG and TRA of the Cell"
            " Tracking Challenge; by default where py-ctcmetrics is installed.",
            rich_help_panel=ANNOTATOR_PANEL,
            show_default=False,
        ),
    ] = None,
    synthetic: Annotated[
        int,
        typer.Option(
            "--synthetic",
            metavar="N",
            min=0,
            help="Evaluate N synthetic stacks that no training has seen, too.",
            rich_help_panel=IMAGE_PANEL,
        ),
    ] = 0,
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            metavar="N",
            min=0,
            help="Gives other synthetic stacks.",
            rich_help_panel=IMAGE_PANEL,
        ),
    ] = 0,
    axes: Axes = None,
    frame_axis: FrameAxis = None,
    channel: Channels = None,
    at: At = None,
    contrast: Contrast = None,
    model: ModelOrYaml = None,
    checkpoint: Checkpoint = "auto",
    override: Overrides = None,
    device: Device = "auto",
    precision: Precision = PrecisionChoice.AUTO,
    pictures: Annotated[
        int,
        typer.Option(
            "--pictures",
            metavar="N",
            min=0,
            help="How many of the worst cases of each stack to picture.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = 8,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace a report that exists.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = False,
    json_: Json = False,
    debug: Debug = False,
) -> int:
    """Let a simulated annotator click through labelled stacks, and score the masks.

    Each object gets a click or a box on its middle frame, and is tracked both ways;
    then a click into the larger error on its worst frame, and so on.
    """
    if image is None and not synthetic:
        raise typer.BadParameter(
            "Give IMAGE and LABELS, or a folder that holds both, or --synthetic N."
        )
    request = EvaluateRequest(
        image=image,
        labels=labels,
        out=out,
        interactions=clicks,
        first=first.value,
        least_frames=min_frames,
        least_area=min_area,
        most_objects=max_objects,
        beyond=beyond,
        object_ids=parse_ids(object_ or ()),
        synthetic=synthetic,
        seed=seed,
        baselines=baselines,
        tracking=tracking,
        pictures=pictures,
        network=model,
        checkpoint=checkpoint,
        overrides=tuple(override or ()),
        device=device,
        precision=precision.value,
        axes=axes,
        frame_axis=frame_axis,
        channels=tuple(channel or ()),
        positions=parse_positions(at or ()),
        contrast=contrast,
    )
    from napari_sam2.cli.evaluating import evaluate_all, prepare_out

    if out is not None:
        prepare_out(out, overwrite=overwrite)
    try:
        with StopRequest():
            report = evaluate_all(request)
    except KeyboardInterrupt:
        note("Stopped.")
        return INTERRUPTED
    typer.echo(report.as_json() if json_ else report.as_table())
    return 1 if report.failures else 0


def parse_ids(texts: list[str] | tuple[str, ...]) -> tuple[int, ...]:
    """Read object ids such as ``7,10,26-31``.

    Raises
    ------
    typer.BadParameter
        If one is no number or range of numbers from 1.
    """
    ids: list[int] = []
    for part in (part.strip() for text in texts for part in text.split(",")):
        first, dash, last = part.partition("-")
        numbers = [first, last] if dash else [first]
        if not all(number.strip().isdecimal() for number in numbers):
            raise typer.BadParameter(
                f"--object {part!r} is no object: give labels such as 7, or 7,10,26-31."
            )
        low, high = int(numbers[0]), int(numbers[-1])
        if not 1 <= low <= high:
            raise typer.BadParameter(
                f"--object {part!r} is no range of labels, which begin with 1."
            )
        if high - low >= _MOST_IN_RANGE:
            raise typer.BadParameter(
                f"--object {part!r} is longer than {_MOST_IN_RANGE:,} labels: name"
                " those that are there."
            )
        ids += range(low, high + 1)
    return tuple(dict.fromkeys(ids))
