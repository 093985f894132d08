"""What the tests of the command line run on: a stack with discs, and their prompts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tifffile

from napari_sam2.cli import main
from napari_sam2.data.labels import read_labels

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line on stderr of a command that failed."""
        (line,) = self.err.splitlines()
        return line


def run(capsys: pytest.CaptureFixture[str], *words: object) -> Ran:
    """Run a command in this process."""
    capsys.readouterr()
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return Ran(code, captured.out, captured.err)


def write_stack(path: Path, frames: int = 8) -> Path:
    """A TIFF of 40 x 48 pixels with two discs that drift."""
    y, x = np.mgrid[:40, :48]
    pixels = np.zeros((frames, 40, 48), np.uint16)
    for frame, plane in enumerate(pixels):
        plane[(y - 12) ** 2 + (x - 12 - frame % 20) ** 2 < 36] = 900
        plane[(y - 28) ** 2 + (x - 34 + frame % 20) ** 2 < 36] = 600
    pixels += np.random.default_rng(0).integers(0, 99, pixels.shape, np.uint16)
    metadata = {"axes": "ZYX", "spacing": 2.0, "unit": "um"}
    resolution = (4.0, 4.0)  # pixels per micrometer
    tifffile.imwrite(
        path, pixels, imagej=True, metadata=metadata, resolution=resolution
    )
    return path


def write_prompts(path: Path, *objects: dict[str, Any], **keys: Any) -> Path:
    """A prompt file; by default a box around the first disc on frame 0."""
    default = {"id": 1, "prompts": [{"frame": 0, "box": [6, 6, 18, 18]}]}
    document = {"version": 1, "objects": objects or (default,)} | keys
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def all_labels(path: Path) -> np.ndarray:
    """All frames of a label stack: (T, H, W)."""
    labels = read_labels(path)
    return np.stack([labels[frame] for frame in range(len(labels))])
