"""What a run writes: what it needs to go on after a kill, and what it exports."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save

from napari_sam2.errors import CheckpointError
from napari_sam2.whole_file import whole_file

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True, slots=True, eq=False)
class TrainingCheckpoint:
    """A run after a number of steps.

    Attributes
    ----------
    step : int
        Steps done.
    settings : str
        The run's parameters and data as text, to refuse going on with others.
    model, average : dict
        State dicts of the network and of its moving average.
    optimizer : dict
        State dict of the optimizer.
    """

    step: int
    settings: str
    model: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizer: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: TrainingCheckpoint) -> None:
    """Write a checkpoint to a temporary name, then give it its own."""
    path = folder / CHECKPOINT
    content = {name: getattr(checkpoint, name) for name in checkpoint.__slots__}
    with whole_file(path) as temporary, temporary.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())


def load_checkpoint(folder: Path) -> TrainingCheckpoint:
    """Return the checkpoint of a run's folder.

    Raises
    ------
    CheckpointError
        If it cannot be read.
    """
    path = folder / CHECKPOINT
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        return TrainingCheckpoint(**content)
    except (
        RuntimeError,
        OSError,
        EOFError,
        LookupError,
        TypeError,
        pickle.UnpicklingError,
    ) as error:
        raise CheckpointError(
            f"{path} cannot be read as a training checkpoint: "
            f"{str(error).splitlines()[0]}"
        ) from error


def export_weights(path: Path, average: nn.Module, *, half: bool = True) -> None:
    """Write weights as safetensors under their official names.

    Parameters
    ----------
    path : Path
        The file; written to a temporary name first.
    average : Module
        The network.
    half : bool
        As float16, else as float32.
    """
    dtype = torch.float16 if half else torch.float32
    weights = {
        name: value.detach().to("cpu", dtype).contiguous()
        for name, value in average.state_dict().items()
    }
    with whole_file(path) as temporary:
        temporary.write_bytes(save(weights))
