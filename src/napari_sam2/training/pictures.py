"""Pictures of validation clips: true outlines green, found ones magenta."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch.nn.functional as F
from PIL import Image
from scipy import ndimage

from napari_sam2.whole_file import whole_file

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_sam2.training.samples import StepSample

_TRUE = np.array([0, 200, 0], np.uint8)
_FOUND = np.array([255, 0, 200], np.uint8)


def save_picture(path: Path, sample: StepSample, masks: Tensor) -> None:
    """Write a PNG: a row for every clip, a column for every frame.

    Parameters
    ----------
    path : Path
        The file.
    sample : StepSample
        What was shown.
    masks : Tensor
        Logits ``(T, B, h, w)`` of what was found.
    """
    size = sample.images.shape[-1]
    found = F.interpolate(masks, size=(size, size), mode="bilinear") > 0
    rows = []
    for clip in range(sample.images.shape[1]):
        objects = slice(clip * sample.objects, (clip + 1) * sample.objects)
        rows.append(
            [
                _outlined(
                    sample.images[frame, clip].numpy(),
                    sample.masks[frame, objects].numpy(),
                    found[frame, objects].numpy(),
                )
                for frame in range(len(sample.images))
            ]
        )
    grid = np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0)
    with whole_file(path) as temporary:
        Image.fromarray(grid).save(temporary, format="PNG")


def _outlined(
    frame: NDArray[np.uint8], true: NDArray[np.bool_], found: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Return a frame ``(K, S, S)`` in colour with outlines of masks ``(O, S, S)``."""
    if len(frame) not in (1, 3):  # with its neighbours
        frame = frame[len(frame) // 2][None]
    shape = (3, *frame.shape[1:])
    colours = np.broadcast_to(frame, shape).transpose(1, 2, 0).copy()  # (S, S, 3)
    cross = ndimage.generate_binary_structure(2, 1)[None]
    for masks, colour in ((true, _TRUE), (found, _FOUND)):
        inner = ndimage.binary_erosion(masks, cross, border_value=1)
        colours[(masks & ~inner).any(0)] = colour
    return colours
