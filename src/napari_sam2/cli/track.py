"""``napari-sam2 track``: carry objects through a stack."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated

import typer

from napari_sam2.cli.console import note
from napari_sam2.cli.interrupt import INTERRUPTED, StopRequest
from napari_sam2.cli.options import (
    NETWORK_PANEL,
    OUTPUT_PANEL,
    TRACKING_PANEL,
    At,
    Axes,
    Channels,
    Checkpoint,
    Contrast,
    Debug,
    Device,
    DirectionChoice,
    FrameAxis,
    ImagePath,
    Json,
    ModelOrYaml,
    OverlapChoice,
    Overrides,
    Precision,
    PrecisionChoice,
    parse_positions,
)
from napari_sam2.cli.record import TrackRecord
from napari_sam2.cli.request import TrackRequest

if TYPE_CHECKING:
    from napari_sam2.cli.summary import TrackSummary


def track(
    image: ImagePath,
    prompts: Annotated[
        Path,
        typer.Option(
            "--prompts",
            metavar="FILE",
            help="Prompt file (JSON), or a label image whose labels are the objects.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="LABELS",
            help="Label stack to write: .tif (OME-TIFF) or .zarr (OME-Zarr).",
            show_default=False,
        ),
    ],
    prompt_frame: Annotated[
        int | None,
        typer.Option(
            "--prompt-frame",
            metavar="N",
            min=0,
            help="Where the prompts are a label image: take the labels of this frame"
            " alone, or put an image of one frame here. By default all frames that"
            " have labels.",
        ),
    ] = None,
    object_: Annotated[
        list[int] | None,
        typer.Option(
            "--object",
            metavar="ID",
            min=1,
            help="Track this object only. May be repeated.",
            show_default=False,
        ),
    ] = None,
    axes: Axes = None,
    frame_axis: FrameAxis = None,
    channel: Channels = None,
    at: At = None,
    contrast: Contrast = None,
    model: ModelOrYaml = None,
    checkpoint: Checkpoint = "auto",
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            metavar="N",
            min=0,
            help="Fixes the random weights of --checkpoint none (0 if absent), whose"
            " masks mean nothing.",
            rich_help_panel=NETWORK_PANEL,
        ),
    ] = None,
    override: Overrides = None,
    device: Device = "auto",
    precision: Precision = PrecisionChoice.AUTO,
    direction: Annotated[
        DirectionChoice,
        typer.Option(
            "--direction",
            help="Where to go from the prompts.",
            rich_help_panel=TRACKING_PANEL,
        ),
    ] = DirectionChoice.BOTH,
    frames: Annotated[
        tuple[int, int] | None,
        typer.Option(
            "--frames",
            metavar="FIRST LAST",
            help="Track through these frames only, counted from 0, both included.",
            rich_help_panel=TRACKING_PANEL,
        ),
    ] = None,
    fill_holes: Annotated[
        int | None,
        typer.Option(
            "--fill-holes",
            metavar="PIXELS",
            min=0,
            help="Fill holes of a mask up to this size.",
            rich_help_panel=TRACKING_PANEL,
        ),
    ] = None,
    drop_specks: Annotated[
        int | None,
        typer.Option(
            "--drop-specks",
            metavar="PIXELS",
            min=0,
            help="Drop separate parts of a mask below this size.",
            rich_help_panel=TRACKING_PANEL,
        ),
    ] = None,
    stop_after_absent: Annotated[
        int | None,
        typer.Option(
            "--stop-after-absent",
            metavar="FRAMES",
            min=1,
            help="Give an object up once it was absent for so many frames.",
            rich_help_panel=TRACKING_PANEL,
        ),
    ] = None,
    overlap: Annotated[
        OverlapChoice | None,
        typer.Option(
            "--overlap",
            help="Whose a pixel is that two objects claim: that of the highest logit,"
            " or the last one's.",
            rich_help_panel=TRACKING_PANEL,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with labels that an earlier run left unfinished.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace labels that exist.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = False,
    json_: Json = False,
    debug: Debug = False,
) -> int:
    """Track objects through a stack and write a label for each.

    Prompts say where the objects are on one frame or more. Ctrl-C stops after the
    frame in work; the same command with --resume goes on.
    """
    if seed is not None and checkpoint != "none":
        note("--seed has no effect without --checkpoint none.")
    request = TrackRequest(
        image=image,
        prompts=prompts,
        out=out,
        network=model,
        checkpoint=checkpoint,
        seed=seed,
        overrides=tuple(override or ()),
        axes=axes,
        frame_axis=frame_axis,
        channels=tuple(channel or ()),
        positions=parse_positions(at or ()),
        contrast=contrast,
        prompt_frame=prompt_frame,
        object_ids=tuple(object_ or ()),
        direction=direction.value,
        frames=frames,
        device=device,
        precision=precision.value,
        fill_holes=fill_holes,
        drop_specks=drop_specks,
        stop_after_absent=stop_after_absent,
        overlap=None if overlap is None else overlap.value,
        resume=resume,
        overwrite=overwrite,
    )
    try:
        summary = run(request)
    except KeyboardInterrupt:
        begun = TrackRecord.path_for(out).exists()
        note(
            "Stopped. To go on, give the same command with --resume."
            if begun
            else "Stopped before there was anything to keep."
        )
        return INTERRUPTED
    typer.echo(summary.as_json() if json_ else summary.labels)
    return 0 if summary.complete else INTERRUPTED


def run(request: TrackRequest) -> TrackSummary:
    """Carry a request out; see `track_objects`.

    Raises
    ------
    Sam2Error
        If what was given cannot be used.
    KeyboardInterrupt
        If a signal came before there was anything to keep, or a second one did.
    """
    from napari_sam2.cli.inputs import open_inputs
    from napari_sam2.cli.summary import summarise

    with StopRequest() as stop:
        inputs = open_inputs(request)
        if inputs.finished:
            note(f"{request.out} is finished already: nothing is left to do.")
            names = inputs.prompts.names
            first, last = request.frames or (0, len(inputs.frames) - 1)
            written = range(first, last + 1)
            return summarise(
                request, inputs.frames, names, (), complete=True, written=written
            )
        from napari_sam2.cli.tracking import track_objects

        return track_objects(request, inputs, stop)
