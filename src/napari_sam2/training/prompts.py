"""A simulated annotator: clicks, boxes, painted masks, and corrections.

Shapes: ``B`` batch of objects, ``S`` input size. Points are (x, y) in input pixels,
pixel (0, 0) having its centre at 0, as the annotator of the GUI gives them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam2.training.settings import PromptParameters

    Mask = NDArray[np.bool_]

TAUGHT_LOGIT = 6.0
"""Of masks that are given to the network in place of those it found."""

# Of the largest distance to the outline: what counts as the middle of an object.
_MIDDLE = 0.7


@dataclass(frozen=True, slots=True, eq=False)
class FramePrompts:
    """What an annotator might give for the objects of a step on one frame.

    Attributes
    ----------
    frame : int
        Index in the clip.
    clicks : Tensor
        ``(B, 1, 2)`` float32, one on each object.
    boxes : Tensor
        ``(B, 2, 2)`` float32, first and last corner.
    masks : Tensor
        ``(B, 1, S, S)`` bool, painted by hand.
    """

    frame: int
    clicks: Tensor = field(repr=False)
    boxes: Tensor = field(repr=False)
    masks: Tensor = field(repr=False)


def draw_prompts(
    rng: np.random.Generator, frame: int, masks: Mask, knobs: PromptParameters
) -> FramePrompts:
    """Draw one prompt of each kind for every object ``(B, S, S)``, none empty."""
    clicks = [
        point_inside(rng, mask, middle=rng.random() < knobs.centre_share)
        for mask in masks
    ]
    boxes = [box_around(rng, mask, knobs.box_noise) for mask in masks]
    painted = [
        _repainted(rng, mask) if rng.random() < knobs.mask_noise else mask
        for mask in masks
    ]
    return FramePrompts(
        frame=frame,
        clicks=torch.from_numpy(np.stack(clicks)[:, None].astype(np.float32)),
        boxes=torch.from_numpy(np.stack(boxes).astype(np.float32)),
        masks=torch.from_numpy(np.stack(painted)[:, None]),
    )


def point_inside(
    rng: np.random.Generator, mask: Mask, *, middle: bool
) -> NDArray[np.float64]:
    """Return a random pixel (x, y) of a mask ``(S, S)``, perhaps far from its outline.

    Raises
    ------
    ValueError
        The mask is empty.
    """
    window = _window(mask)
    part = mask[window]
    if middle:
        distance = ndimage.distance_transform_edt(np.pad(part, 1))[1:-1, 1:-1]
        part = distance >= _MIDDLE * distance.max()
    rows, columns = np.nonzero(part)
    chosen = int(rng.integers(len(rows)))
    y, x = rows[chosen] + window[0].start, columns[chosen] + window[1].start
    return np.array([x, y], np.float64)


def box_around(
    rng: np.random.Generator, mask: Mask, noise: float
) -> NDArray[np.float64]:
    """Return corners ``(2, 2)`` of a mask's box, moved by `noise` of its sides.

    Raises
    ------
    ValueError
        The mask is empty.
    """
    rows, columns = _window(mask)
    size = np.array([columns.stop - columns.start, rows.stop - rows.start])
    corners = np.array(
        [[columns.start, rows.start], [columns.stop - 1, rows.stop - 1]], np.float64
    )
    # Not beyond a quarter of the object, so that corners keep their order.
    moved = (rng.standard_normal((2, 2)) * noise).clip(-0.25, 0.25) * size
    moved += rng.uniform(-0.5, 0.5, (2, 2))
    corners = np.sort(corners + moved, axis=0)
    return corners.clip(0, np.array(mask.shape[::-1]) - 1)


def _window(mask: Mask) -> tuple[slice, slice]:
    """Return the smallest window with the whole mask."""
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    if not len(rows):
        raise ValueError("an empty mask has no box and no point inside")
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _repainted(rng: np.random.Generator, mask: Mask) -> Mask:
    """Return a mask one pixel larger, smaller, or off; never empty."""
    kind = int(rng.integers(3))
    if kind == 0:
        changed = ndimage.binary_dilation(mask)
    elif kind == 1:
        changed = ndimage.binary_erosion(mask)
    else:
        changed = np.roll(mask, rng.integers(-1, 2, 2), axis=(0, 1))
    return changed if changed.any() else mask


def correction_clicks(
    logits: Tensor,
    target: Tensor,
    generator: torch.Generator,
    centre_share: float,
) -> tuple[Tensor, Tensor]:
    """Click where masks are wrong (SAM, arXiv 2304.02643, app. A).

    In the middle of a region of errors, or anywhere on it; on what is missing or
    what is false by the size of either. Where nothing is wrong, on the object; where
    there is no object either, a negative click anywhere.

    Parameters
    ----------
    logits : Tensor
        ``(B, 1, h, w)`` of the present masks.
    target : Tensor
        ``(B, 1, S, S)``, 0 or 1.
    generator : torch.Generator
        On the CPU.
    centre_share : float
        Share of the clicks in the middle, 0 to 1.

    Returns
    -------
    points, labels : Tensor
        ``(B, 1, 2)`` float32 and ``(B, 1)`` int64, 1 where something was missing.
    """
    size = target.shape[-1]
    device = target.device
    mask = F.interpolate(logits.float(), size=(size, size), mode="bilinear") > 0
    truth = target > 0.5
    wrong = mask ^ truth
    # A pixel of the errors picks the side; the middle is looked for on that side.
    noise = torch.rand(target.shape, generator=generator).to(device)
    anywhere = torch.where(
        wrong.flatten(1).any(1)[:, None, None, None],
        wrong,
        truth | ~truth.flatten(1).any(1)[:, None, None, None],
    )
    first = (anywhere * (noise + 1e-3)).flatten(1).argmax(1)
    rows = torch.arange(len(target), device=device)
    missing = truth.flatten(1)[rows, first]
    side = anywhere & (truth == missing[:, None, None, None])
    depth = side.float()
    for _ in range(3):  # many box blurs: large far from every outline
        depth = F.avg_pool2d(depth, 5, stride=1, padding=2) * side
    near = depth.flatten(1)[rows, first][:, None, None, None]
    # Of the same region, or about: deeper, and not far from the first pixel.
    y, x = first // size, first % size
    grid = torch.arange(size, device=device, dtype=torch.float32)
    reach = (grid[None, :, None] - y[:, None, None]) ** 2
    reach = reach + (grid[None, None, :] - x[:, None, None]) ** 2
    close = torch.exp(-reach / (2 * (size / 16) ** 2))[:, None]
    middle = (depth * close * (depth >= near)).flatten(1).argmax(1)
    pick = torch.rand(len(target), generator=generator).to(device) < centre_share
    chosen = torch.where(pick, middle, first)
    points = torch.stack([chosen % size, chosen // size], dim=-1).float()[:, None]
    return points, missing.long()[:, None]


def spoiled_masks(target: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:
    """Return masks that cover too much, to be corrected by negative clicks.

    Parameters
    ----------
    target : Tensor
        ``(B, 1, S, S)``, 0 or 1: what is right.
    others : Tensor
        The same of what is covered too, in two of three cases; in the others it is
        what lies around.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    Tensor
        ``(B, 1, S, S)``, 0 or 1; never empty unless both are.
    """
    size = target.shape[-1]
    reach = int(torch.randint(size // 40, size // 10, (), generator=generator))
    side = 2 * reach + 1
    rows = F.max_pool2d(target, (side, 1), stride=1, padding=(reach, 0))
    wider = F.max_pool2d(rows, (1, side), stride=1, padding=(0, reach))
    draw = torch.rand(len(target), generator=generator).to(target.device)
    around = (draw < 1 / 3)[:, None, None, None] & (wider > 0).flatten(1).any(1)[
        :, None, None, None
    ]
    return torch.where(around, wider, torch.maximum(target, others))


def as_logits(masks: Tensor, size: int) -> Tensor:
    """Return the logits ``(B, 1, size, size)`` of given masks ``(B, 1, S, S)``.

    As sure as found ones are.
    """
    return (F.adaptive_avg_pool2d(masks, (size, size)) * 2 - 1) * TAUGHT_LOGIT
