"""What the ``track`` command was asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sam2.inference.options import Overlap
    from napari_sam2.inference.schedule import Direction


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackRequest:
    """One run of ``track``; the attributes are its options.

    Attributes
    ----------
    image, prompts, out
        Paths of the stack, of a prompt file or label image, and of the labels.
    network
        A registered name or the path of a YAML; None for the default model.
    checkpoint
        ``"auto"``, ``"none"`` or a path.
    seed
        Fixes the weights where the checkpoint is ``"none"``.
    overrides
        In Hydra's grammar.
    axes, frame_axis, channels, positions
        Which frames of the image; as in `select_frames`.
    contrast
        Values that become black and white; by percentiles if None.
    prompt_frame
        Where the prompts are a label image: the one frame that is taken.
    object_ids
        Objects to track, all if empty.
    direction, frames
        As in `VideoPredictor.propagate`.
    device, precision
        As in `build_model`.
    fill_holes, drop_specks, stop_after_absent, overlap
        As in `PredictorOptions`; None: as the configuration says.
    resume, overwrite
        As in `LabelWriter.open`.
    """

    image: Path
    prompts: Path
    out: Path
    network: str | None = None
    checkpoint: str = "auto"
    seed: int | None = None
    overrides: tuple[str, ...] = ()
    axes: str | None = None
    frame_axis: str | None = None
    channels: tuple[str, ...] = ()
    positions: tuple[tuple[str, int], ...] = ()
    contrast: tuple[float, float] | None = None
    prompt_frame: int | None = None
    object_ids: tuple[int, ...] = ()
    direction: Direction = "both"
    frames: tuple[int, int] | None = None
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    fill_holes: int | None = None
    drop_specks: int | None = None
    stop_after_absent: int | None = None
    overlap: Overlap | None = None
    resume: bool = False
    overwrite: bool = False

    @property
    def has_weights(self) -> bool:
        """Whether weights are loaded, so that masks mean something."""
        return self.checkpoint != "none"
