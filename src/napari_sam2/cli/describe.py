"""``napari-sam2 info``: what an image is, as far as tracking goes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import typer

from napari_sam2.cli.options import (
    At,
    Axes,
    Channels,
    Debug,
    FrameAxis,
    ImagePath,
    Json,
    parse_positions,
)
from napari_sam2.errors import ImageError

if TYPE_CHECKING:
    from napari_sam2.data.frames import StackFrames
    from napari_sam2.data.stack import StackImage

_MOST_FRAMES = 32
_COLOURS = ("red", "green", "blue")


@dataclass(frozen=True, slots=True)
class FramesDescription:
    """The frames that would be tracked through.

    Attributes
    ----------
    axis, count, height, width
        The frame axis, and what lies along it.
    position
        Where the other axes are fixed.
    channels
        The channels that the network would see.
    lowest, highest
        Range of the values in `looked_at` frames; None if all are NaN.
    looked_at
        How many frames the range is of.
    contrast
        The values that would become black and white, a pair per channel.
    """

    axis: str
    count: int
    height: int
    width: int
    position: dict[str, int]
    channels: tuple[int, ...]
    lowest: float | None
    highest: float | None
    looked_at: int
    contrast: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class ImageDescription:
    """An image; `frames` is None where a choice is needed first, as `needed` says."""

    name: str
    axes: str
    shape: tuple[int, ...]
    dtype: str
    scale: tuple[float, ...]
    units: tuple[str | None, ...]
    channel_names: tuple[str, ...]
    frames: FramesDescription | None
    needed: str | None


def describe(
    image: ImagePath,
    axes: Axes = None,
    frame_axis: FrameAxis = None,
    channel: Channels = None,
    at: At = None,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Show axes, size, scale and contrast of an image, and what would be tracked."""
    from napari_sam2.data.frames import select_frames
    from napari_sam2.data.image import open_image

    positions = parse_positions(at or ())
    opened = open_image(image, axes=axes)
    chosen = bool(frame_axis or channel or positions)
    frames, needed = None, None
    try:
        stack = select_frames(
            opened,
            frame_axis=frame_axis,
            channels=channel,
            position=dict(positions),
        )
    except ImageError as error:
        if chosen:
            raise
        needed = str(error)
    else:
        frames = _describe_frames(stack)
    description = ImageDescription(
        name=opened.name,
        axes=opened.axes,
        shape=opened.shape,
        dtype=opened.dtype.name,
        scale=opened.scale,
        units=opened.units,
        channel_names=opened.channel_names,
        frames=frames,
        needed=needed,
    )
    if json_:
        typer.echo(json.dumps(asdict(description)))
        return
    for name, value in _lines(opened, description):
        typer.echo(f"{name:<11}{value}")


def _describe_frames(stack: StackFrames) -> FramesDescription:
    """Look at frames spread evenly over the stack."""
    import numpy as np

    from napari_sam2.data.contrast import estimate_contrast

    count = len(stack)
    numbers = np.linspace(0, count - 1, min(count, _MOST_FRAMES)).round().astype(int)
    lowest, highest = np.inf, -np.inf
    for number in numbers:
        pixels = stack[int(number)]
        if stack.composite:
            pixels = pixels[..., : len(stack.channels)]
        if pixels.dtype.kind == "f":
            pixels = pixels[np.isfinite(pixels)]
        if pixels.size:
            lowest = min(lowest, float(pixels.min()))
            highest = max(highest, float(pixels.max()))
    height, width = stack.frame_shape
    return FramesDescription(
        axis=stack.axes[0],
        count=count,
        height=height,
        width=width,
        position=stack.position,
        channels=stack.channels,
        lowest=lowest if lowest <= highest else None,
        highest=highest if lowest <= highest else None,
        looked_at=len(numbers),
        contrast=estimate_contrast(stack).limits,
    )


def _lines(image: StackImage, found: ImageDescription) -> list[tuple[str, str]]:
    """Put a description into words."""
    steps = [
        f"{letter} {step:.6g} {unit or ''}".strip()
        for letter, step, unit in zip(found.axes, found.scale, found.units, strict=True)
        if letter not in "CS" and (unit is not None or step != 1.0)
    ]
    lines = [
        ("image", found.name),
        ("axes", f"{found.axes} ({image.sizes})"),
        ("type", found.dtype),
        ("scale", ", ".join(steps) or "not given"),
    ]
    if found.channel_names:
        names = [f"{number} {name}" for number, name in enumerate(found.channel_names)]
        lines.append(("channels", ", ".join(names)))
    frames = found.frames
    if frames is None:
        return [*lines, ("frames", found.needed or "")]
    at = "".join(f", at {letter}={index}" for letter, index in frames.position.items())
    lines.append(
        (
            "frames",
            f"{frames.count} along {frames.axis}, {frames.width} x {frames.height}"
            f" pixels{at}",
        )
    )
    if frames.channels:
        colours = ("grey",) if len(frames.channels) == 1 else _COLOURS
        seen = zip(frames.channels, colours, strict=False)
        lines.append(("seen", ", ".join(f"channel {c} as {name}" for c, name in seen)))
    if frames.lowest is None:
        values = "none but NaN"
    else:
        values = f"{frames.lowest:g} to {frames.highest:g}"
    if frames.looked_at < frames.count:
        values += f" in {frames.looked_at} of the frames"
    lines.append(("values", values))
    pairs = "; ".join(f"{low:g} to {high:g}" for low, high in frames.contrast)
    lines.append(("contrast", pairs))
    return lines
