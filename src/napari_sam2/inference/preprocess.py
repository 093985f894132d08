"""From frames and prompts to what the network takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_sam2.model.prompt_encoder import BOX_FIRST, BOX_LAST
from napari_sam2.model.sam2 import prompted_logits, resize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_sam2.data.contrast import Contrast
    from napari_sam2.inference.prompt import Prompt
    from napari_sam2.model.records import View

_PIXEL_MEAN = (0.485, 0.456, 0.406)
_PIXEL_STD = (0.229, 0.224, 0.225)
_GREY_MEAN, _GREY_STD = 0.449, 0.226  # the means of these


def preprocess(
    shown: Sequence[NDArray[np.generic]],
    contrast: Contrast,
    size: int,
    device: torch.device,
) -> Tensor:
    """Turn frames ``(H, W)`` or ``(H, W, 3)`` into the input ``(1, K, S, S)``.

    Contrast to 0..1, bilinear resizing with antialiasing, then ImageNet's mean and
    deviation. A frame of S x S pixels is not resampled.

    Parameters
    ----------
    shown
        A frame, that is seen in its colours, K 3; or K of them, each in grey.
    contrast
        That of their stack.
    size
        Side S of the input in pixels.
    device
        Where the input is wanted.
    """
    if len(shown) == 1 and shown[0].ndim == 3:
        colours = contrast.apply(shown[0]).transpose(2, 0, 1)
    else:
        colours = np.stack([contrast.apply_grey(frame) for frame in shown])
    image = torch.from_numpy(colours).to(device)[None]  # (1, K, H, W), or grey once
    if image.shape[-2:] != (size, size):
        image = resize(image, (size, size), antialias=True)
    return normalised(image)


def normalised(image: Tensor) -> Tensor:
    """Apply ImageNet's mean and deviation to ``(..., K, H, W)`` in 0..1.

    One channel is grey and becomes three; of other numbers than three, all have the
    mean and deviation of grey.
    """
    if image.shape[-3] not in (1, 3):
        return (image - _GREY_MEAN) / _GREY_STD
    mean = image.new_tensor(_PIXEL_MEAN)[:, None, None]
    std = image.new_tensor(_PIXEL_STD)[:, None, None]
    return (image - mean) / std


def window_of(
    pixels: NDArray[np.generic], view: View, frame_shape: tuple[int, int]
) -> NDArray[np.generic]:
    """Return the part of a frame's pixels that a view shows.

    The pixels may have another resolution than the frame ``(H, W)`` that the view
    counts in; its borders then fall on the nearest of them.
    """
    height, width = frame_shape
    down, across = pixels.shape[0] / height, pixels.shape[1] / width
    y0, y1 = round(view.y0 * down), round((view.y0 + view.height) * down)
    x0, x1 = round(view.x0 * across), round((view.x0 + view.width) * across)
    return pixels[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]


def moved_logits(
    logits: Tensor, before: View, after: View, size: int, outside: float
) -> Tensor:
    """Move logits ``(1, 1, h, w)`` of one view to another, ``(1, 1, size, size)``.

    What the view before did not show becomes `outside`.
    """
    middles = (torch.arange(size, device=logits.device) + 0.5) / size
    ys = (after.y0 + middles * after.height - before.y0) / before.height
    xs = (after.x0 + middles * after.width - before.x0) / before.width
    grid = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), dim=-1)
    moved = F.grid_sample(
        logits.float(), grid[None] * 2 - 1, padding_mode="border", align_corners=False
    )
    seen = ((grid >= 0) & (grid <= 1)).all(-1)
    return torch.where(seen, moved, outside)


@dataclass(frozen=True, slots=True, eq=False)
class PromptTensors:
    """A prompt as the network takes it, for a batch of one object.

    Attributes
    ----------
    points_xy, labels : Tensor, optional
        ``(1, N, 2)`` in input pixels and ``(1, N)``; a box is two points, first.
    mask : Tensor, optional
        ``(1, 1, S, S)``, 0 or 1: the mask that is the result.
    prior : Tensor, optional
        ``(1, 1, h, w)`` logits: the mask that points refine.
    """

    points_xy: Tensor | None
    labels: Tensor | None
    mask: Tensor | None
    prior: Tensor | None


def prompt_tensors(
    prompt: Prompt, view: View, logits_size: int, device: torch.device
) -> PromptTensors:
    """Turn a prompt in frame pixels into tensors in the input pixels of a view."""
    points, labels = prompt.points, prompt.labels
    if prompt.box is not None:
        points = np.concatenate([prompt.box.reshape(2, 2), points])
        labels = np.concatenate([[BOX_FIRST, BOX_LAST], labels])
    points_xy = labels_tensor = None
    if len(points):
        corner = np.array([view.x0, view.y0], np.float32)
        scale = view.input_size / np.array([view.width, view.height], np.float32)
        xy = ((points - corner) * scale).astype(np.float32)
        points_xy = torch.tensor(xy, device=device)[None]
        labels_tensor = torch.tensor(labels, device=device)[None]
    mask = prior = None
    given = prompt.mask
    if given is not None:
        size = view.input_size
        resized = resize_mask(given, view, size, device)
        if prompt.is_mask:
            mask = resized
        else:
            logits = prompted_logits(resized)
            prior = resize(logits, (logits_size, logits_size), antialias=True)
    return PromptTensors(points_xy, labels_tensor, mask, prior)


def resize_mask(
    mask: NDArray[np.bool_], view: View, size: int, device: torch.device
) -> Tensor:
    """Resize a frame's mask ``(H, W)`` to 0 and 1 in ``(1, 1, size, size)``.

    A mask too small for the network's pixels keeps the one that it covers most.
    """
    rows = slice(view.y0, view.y0 + view.height)
    columns = slice(view.x0, view.x0 + view.width)
    window = torch.tensor(mask[rows, columns], dtype=torch.float32, device=device)
    image = window[None, None]
    if window.shape != (size, size):
        image = resize(image, (size, size), antialias=True)
    return (image >= image.max().clamp(1e-6, 0.5)).float()
