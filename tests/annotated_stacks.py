"""Small annotated stacks as files: what fine-tuning and its tests start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tifffile

if TYPE_CHECKING:
    from pathlib import Path


def scene(seed: int, frames: int = 6, side: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """A stack ``(T, S, S)`` of three discs that drift, and its labels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    images = rng.normal(400, 20, (frames, side, side))
    labels = np.zeros(images.shape, np.uint16)
    for number, (row, column) in enumerate([(16, 16), (16, 46), (46, 30)], start=1):
        radius = rng.uniform(6, 9)
        speed = rng.uniform(-0.8, 0.8, 2)
        for frame in range(frames):
            middle = np.array([row, column]) + speed * frame
            disc = (y - middle[0]) ** 2 + (x - middle[1]) ** 2 < radius**2
            images[frame][disc] += 300
            labels[frame][disc] = number
    return images.clip(0).astype(np.uint16), labels


def write_pair(folder: Path, name: str, images: np.ndarray, labels: np.ndarray) -> None:
    """Write a stack and its labels into ``images`` and ``labels``."""
    for kind, pixels in (("images", images), ("labels", labels)):
        path = folder / kind / f"{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        axes = {"axes": "ZYX"}
        tifffile.imwrite(path, pixels, imagej=True, metadata=axes)


def write_stacks(folder: Path, count: int, **sizes: int) -> Path:
    """Write some scenes, called s0, s1 and so on."""
    for seed in range(count):
        write_pair(folder, f"s{seed}", *scene(seed, **sizes))
    return folder
