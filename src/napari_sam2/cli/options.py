"""Options that several commands share, and what their values mean."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

IMAGE_PANEL = "Image"
NETWORK_PANEL = "Network"
TRACKING_PANEL = "Tracking"
OUTPUT_PANEL = "Output"

Debug = Annotated[
    bool, typer.Option("--debug", help="Log what is done, and where errors arise.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
ImagePath = Annotated[
    Path,
    typer.Argument(
        metavar="IMAGE",
        help="TIFF, OME-Zarr, .npy, PNG or JPEG, or a folder with a file per frame.",
        show_default=False,
    ),
]
Axes = Annotated[
    str | None,
    typer.Option(
        "--axes",
        metavar="LETTERS",
        help="Axes of the image, such as TZCYX, where it names them wrongly or not.",
        rich_help_panel=IMAGE_PANEL,
    ),
]
FrameAxis = Annotated[
    str | None,
    typer.Option(
        "--frame-axis",
        metavar="Z|T",
        help="Axis to track along: by default Z, or T where there is no Z.",
        rich_help_panel=IMAGE_PANEL,
    ),
]
Channels = Annotated[
    list[str] | None,
    typer.Option(
        "--channel",
        metavar="C",
        help="Channel to use, by number from 0 or by name; up to three, in the order"
        " red, green, blue.",
        rich_help_panel=IMAGE_PANEL,
        show_default=False,
    ),
]
At = Annotated[
    list[str] | None,
    typer.Option(
        "--at",
        metavar="AXIS=INDEX",
        help="Place on the other axis, such as T=3; by default T=0, or the middle of"
        " Z. May be repeated.",
        rich_help_panel=IMAGE_PANEL,
        show_default=False,
    ),
]
Contrast = Annotated[
    tuple[float, float] | None,
    typer.Option(
        "--contrast",
        metavar="LOW HIGH",
        help="Pixel values that become black and white; by default percentiles of the"
        " stack.",
        rich_help_panel=IMAGE_PANEL,
    ),
]
ModelOrYaml = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME|YAML",
        help="Registered model, as 'napari-sam2 models' lists them, or the path of a"
        " configuration.",
        rich_help_panel=NETWORK_PANEL,
    ),
]
Checkpoint = Annotated[
    str,
    typer.Option(
        "--checkpoint",
        metavar="auto|none|PATH",
        help="Weights: the model's own, downloaded if need be; none at all; or a file.",
        rich_help_panel=NETWORK_PANEL,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change the configuration, in Hydra's grammar, such as image_size=512."
        " May be repeated.",
        rich_help_panel=NETWORK_PANEL,
        show_default=False,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        help="auto, cpu, cuda, cuda:1 or mps.",
        rich_help_panel=NETWORK_PANEL,
    ),
]


class DirectionChoice(StrEnum):
    """Where objects are carried to from their prompts."""

    FORWARD = "forward"
    BACKWARD = "backward"
    BOTH = "both"


class PrecisionChoice(StrEnum):
    """What the network computes in."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


Precision = Annotated[
    PrecisionChoice,
    typer.Option(
        "--precision",
        help="What the network computes in; weights are float32.",
        rich_help_panel=NETWORK_PANEL,
    ),
]


class OverlapChoice(StrEnum):
    """Whose a pixel is that two objects claim."""

    HIGHEST_LOGIT = "highest_logit"
    KEEP = "keep"


def parse_positions(texts: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """Read ``AXIS=INDEX`` pairs.

    Raises
    ------
    typer.BadParameter
        If one is not of that form, or an axis is given twice.
    """
    found: dict[str, int] = {}
    for text in texts:
        letter, sign, index = text.partition("=")
        letter = letter.strip().upper()
        if not (sign and letter.isalpha() and index.strip().isdecimal()):
            raise typer.BadParameter(
                f"--at {text!r} is not AXIS=INDEX, such as T=3 (counted from 0)."
            )
        if letter in found:
            raise typer.BadParameter(f"--at gives a place on {letter} twice.")
        found[letter] = int(index)
    return tuple(found.items())
