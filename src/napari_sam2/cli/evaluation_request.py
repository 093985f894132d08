"""What the ``evaluate`` command was asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateRequest:
    """One run of ``evaluate``; the attributes are its options.

    Attributes
    ----------
    image, labels
        Two files or two folders; `labels` None if one folder holds both, both None
        for synthetic stacks alone.
    out
        Folder of the report; None to write none.
    interactions, first, least_frames, least_area, most_objects, beyond
        As in `Protocol`.
    object_ids
        Objects to evaluate; empty for all that are suitable.
    synthetic, seed
        How many held-out synthetic stacks, and which.
    baselines
        Whether to compute them.
    tracking
        Whether to compute SEG and TRA of time-lapses; None: if that is possible.
    pictures
        How many of the worst cases of each stack are pictured.
    network, checkpoint, overrides, device, precision
        As in `TrackRequest`.
    axes, frame_axis, channels, positions, contrast
        As in `TrackRequest`.
    """

    image: Path | None = None
    labels: Path | None = None
    out: Path | None = None
    interactions: int = 5
    first: Literal["point", "box"] = "point"
    least_frames: int = 5
    least_area: float = 20.0
    most_objects: int | None = None
    beyond: int = 5
    object_ids: tuple[int, ...] = ()
    synthetic: int = 0
    seed: int = 0
    baselines: bool = True
    tracking: bool | None = None
    pictures: int = 8
    network: str | None = None
    checkpoint: str = "auto"
    overrides: tuple[str, ...] = ()
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    axes: str | None = None
    frame_axis: str | None = None
    channels: tuple[str, ...] = ()
    positions: tuple[tuple[str, int], ...] = ()
    contrast: tuple[float, float] | None = None
