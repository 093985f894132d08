"""``napari-sam2 demo``: the whole way on a small sample made here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_sam2.cli.console import note
from napari_sam2.cli.interrupt import INTERRUPTED
from napari_sam2.cli.options import Debug, Json  # noqa: TC001 - typer reads them
from napari_sam2.cli.request import TrackRequest
from napari_sam2.cli.track import run
from napari_sam2.errors import ImageError
from napari_sam2.whole_file import whole_file

if TYPE_CHECKING:
    from napari_sam2.training.synthetic import Clip

_OBJECTS = 8


def demo(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder to write to.")
    ] = Path("napari-sam2-demo"),
    json_: Json = False,
    debug: Debug = False,
) -> int:
    """Make a small z-stack with prompts, track it, and say how to look at it."""
    from napari_sam2.training.synthetic import sample_zstack

    image, prompts = out / "demo-zstack.tif", out / "demo-prompts.json"
    labels = out / "demo-labels.tif"
    clip = sample_zstack()
    try:
        out.mkdir(parents=True, exist_ok=True)
        _write_image(image, clip)
    except OSError as error:
        raise ImageError(
            f"{out} cannot be written: {error.strerror or error}. Choose another folder"
            " with --out."
        ) from error
    _write_prompts(prompts, clip, image.name)
    request = TrackRequest(image=image, prompts=prompts, out=labels, overwrite=True)
    try:
        summary = run(request)
    except KeyboardInterrupt:
        note("Stopped.")
        return INTERRUPTED
    note(
        f"To look at it, open both in napari: {image}, and {labels} with SAM 2 as the"
        " reader."
    )
    typer.echo(summary.as_json() if json_ else summary.labels)
    return 0 if summary.complete else INTERRUPTED


def _write_image(path: Path, clip: Clip) -> None:
    """Write the stack, in pixels: napari's own reader takes no note of micrometers.

    The labels would be shown in them, and lie beside the image.
    """
    import tifffile

    with whole_file(path) as temporary:
        tifffile.imwrite(
            temporary,
            clip.images,
            ome=True,
            compression="zlib",
            metadata={"axes": "ZYX"},
        )


def _write_prompts(path: Path, clip: Clip, image: str) -> None:
    """Prompt the largest objects of the middle plane with a point or a box each."""
    import numpy as np
    from scipy.ndimage import distance_transform_edt

    from napari_sam2.prompt_file import (
        FramePrompt,
        PromptedObject,
        PromptFile,
        write_prompt_file,
    )

    frame = len(clip.labels) // 2
    plane = clip.labels[frame]
    sizes = np.bincount(plane.ravel())[1:]
    objects = []
    for order, label in enumerate(np.argsort(sizes)[::-1][:_OBJECTS] + 1):
        mask = plane == label
        rows, columns = np.nonzero(mask)
        # The point that is farthest from the outline.
        y, x = np.unravel_index(distance_transform_edt(mask).argmax(), mask.shape)
        x0, y0 = float(columns.min()), float(rows.min())
        x1, y1 = float(columns.max()), float(rows.max())
        prompt = (
            FramePrompt(frame=frame, points=((float(x), float(y)),), labels=(1,))
            if order % 2 == 0
            else FramePrompt(frame=frame, box=(x0, y0, x1, y1))
        )
        objects.append(
            PromptedObject(id=order + 1, name=f"nucleus {order + 1}", prompts=(prompt,))
        )
    prompts = PromptFile(version=1, image=image, objects=tuple(objects))
    write_prompt_file(path, prompts)
