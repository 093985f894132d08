"""Position encodings: sine, random Fourier, temporal, and axial rotary.

Shapes: ``B`` batch, ``C`` channels, ``H W`` feature map, ``N`` tokens, ``D`` width
of an attention head.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence


class PositionEmbeddingSine(nn.Module):
    """Fixed sine and cosine encoding of rows and columns.

    Vaswani et al. 2017, widened to images as in DETR (arXiv 2005.12872, app. A.4).
    Published as ``sam2.modeling.position_encoding.PositionEmbeddingSine``; the
    encoding depends on sizes alone and is computed once for each.

    Parameters
    ----------
    num_pos_feats : int
        Channels of the encoding, half for rows and half for columns; even.
    temperature : float
        Base of the geometric series of wavelengths.
    normalize : bool
        Scale coordinates to ``scale`` (default 2 pi) over the map.
    scale : float, optional
        The coordinate of the last row and column when `normalize` is on.
    warmup_cache : bool
        Where CUDA is there, compute the encodings of `image_size` over each of
        `strides` at once.
    image_size : int
        Input size in pixels for `warmup_cache`.
    strides : sequence of int
        Strides of the feature maps for `warmup_cache`.
    """

    def __init__(
        self,
        num_pos_feats: int,
        temperature: float = 10000,
        normalize: bool = True,
        scale: float | None = None,
        warmup_cache: bool = True,
        image_size: int = 1024,
        strides: Sequence[int] = (4, 8, 16, 32),
    ) -> None:
        super().__init__()
        if num_pos_feats % 2:
            raise ValueError(f"num_pos_feats must be even, got {num_pos_feats}")
        if scale is not None and not normalize:
            raise ValueError("scale needs normalize=True")
        self.num_pos_feats = num_pos_feats
        self.temperature = temperature
        self.normalize = normalize
        self.scale = 2 * math.pi if scale is None else scale
        self._encodings: dict[tuple[int, int, torch.device], Tensor] = {}
        if warmup_cache and torch.cuda.is_available():
            for stride in strides:
                side = image_size // stride
                self._encoding(side, side, torch.device("cuda", 0))

    def forward(self, x: Tensor) -> Tensor:
        """Return the encoding ``(1, C, H, W)`` float32 for a map ``(B, _, H, W)``."""
        height, width = x.shape[-2:]
        return self._encoding(height, width, x.device)

    def _encoding(self, height: int, width: int, device: torch.device) -> Tensor:
        key = (height, width, device)
        if key not in self._encodings:
            with torch.no_grad(), torch.autocast(device.type, enabled=False):
                rows = self._axis(height, device)[:, None].expand(-1, width, -1)
                columns = self._axis(width, device)[None].expand(height, -1, -1)
                encoding = torch.cat([rows, columns], dim=-1)  # (H, W, C)
                self._encodings[key] = encoding.permute(2, 0, 1)[None].contiguous()
        return self._encodings[key]

    def _axis(self, length: int, device: torch.device) -> Tensor:
        """Encode the positions of one axis: ``(length, C / 2)``."""
        half = self.num_pos_feats // 2
        position = torch.arange(1, length + 1, dtype=torch.float32, device=device)
        if self.normalize:
            position = position / (length + 1e-6) * self.scale
        channel = torch.arange(half, dtype=torch.float32, device=device)
        wavelength = self.temperature ** (2 * (channel // 2) / half)
        phase = position[:, None] / wavelength
        return torch.stack([phase[:, 0::2].sin(), phase[:, 1::2].cos()], -1).flatten(1)


class PositionEmbeddingRandom(nn.Module):
    """Random Fourier features of coordinates (Tancik et al. 2020, arXiv 2006.10739).

    Published as ``sam2.modeling.position_encoding.PositionEmbeddingRandom``.

    Parameters
    ----------
    num_pos_feats : int
        Half the channels of the encoding.
    scale : float, optional
        Standard deviation of the frequencies; 1 if absent or not positive.
    """

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, num_pos_feats: int = 64, scale: float | None = None) -> None:
        super().__init__()
        if scale is None or scale <= 0.0:
            scale = 1.0
        matrix = torch.empty(2, num_pos_feats)
        if not matrix.is_meta:  # there, chance would load torch's compiler
            matrix.normal_().mul_(scale)
        self.register_buffer("positional_encoding_gaussian_matrix", matrix)

    def encode(self, xy: Tensor) -> Tensor:
        """Encode coordinates ``(..., 2)`` as (x, y) in 0 to 1: ``(..., C)``."""
        with torch.autocast(xy.device.type, enabled=False):
            frequencies = self.positional_encoding_gaussian_matrix.float()
            phase = 2 * math.pi * ((2 * xy.float() - 1) @ frequencies)
            return torch.cat([phase.sin(), phase.cos()], dim=-1)

    def forward(self, size: tuple[int, int]) -> Tensor:
        """Encode the pixel centres of a map of ``(height, width)``: ``(C, H, W)``."""
        height, width = size
        device = self.positional_encoding_gaussian_matrix.device
        y = (torch.arange(height, device=device, dtype=torch.float32) + 0.5) / height
        x = (torch.arange(width, device=device, dtype=torch.float32) + 0.5) / width
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)  # (H, W, 2)
        return self.encode(grid).permute(2, 0, 1)


def temporal_sine(positions: Tensor, dim: int, temperature: float = 10000) -> Tensor:
    """Encode signed distances in time: ``(..., )`` to ``(..., dim)``.

    The first half of the channels is sines, the second cosines, in pairs of equal
    wavelength. Used for object pointers in SAM 2.1.
    """
    half = dim // 2
    channel = torch.arange(half, dtype=torch.float32, device=positions.device)
    wavelength = temperature ** (2 * (channel // 2) / half)
    phase = positions[..., None].float() / wavelength
    return torch.cat([phase.sin(), phase.cos()], dim=-1)


def axial_rotations(
    height: int, width: int, dim: int, theta: float, device: torch.device
) -> Tensor:
    """Return unit complex numbers ``(H W, D / 2)`` that rotate channel pairs.

    Axial rotary encoding (RoFormer, arXiv 2104.09864; two axes as in SAM 2, sec. 4
    "memory attention"): the first half of the pairs turns with x, the second with y.
    """
    with torch.autocast(device.type, enabled=False):
        exponent = torch.arange(0, dim, 4, dtype=torch.float32, device=device)
        frequency = 1.0 / theta ** (exponent[: dim // 4] / dim)
        x = torch.arange(width, dtype=torch.float32, device=device)
        y = torch.arange(height, dtype=torch.float32, device=device)
        angle_x = (x[:, None] * frequency)[None].expand(height, -1, -1)
        angle_y = (y[:, None] * frequency)[:, None].expand(-1, width, -1)
        angle = torch.cat([angle_x, angle_y], dim=-1).flatten(0, 1)
        return torch.polar(torch.ones_like(angle), angle)


def rotate(x: Tensor, rotations: Tensor, *, count: int | None = None) -> Tensor:
    """Rotate the channel pairs of ``(B, heads, M, D)`` by ``(N, D / 2)``.

    The first `count` tokens (all if absent) are maps of N tokens, one after another,
    every map rotated alike; the others stay. Without gradients `x` is overwritten.
    """
    count = x.shape[-2] if count is None else count
    if count == 0:
        return x
    tokens, pairs = rotations.shape
    shape = (*x.shape[:2], count // tokens, tokens, pairs, 2)
    maps = x[:, :, :count].view(shape)
    if x.dtype == torch.float32 and not torch.is_grad_enabled():
        torch.view_as_complex(maps).mul_(rotations)
        return x
    turned = torch.view_as_real(torch.view_as_complex(maps.float()) * rotations)
    turned = turned.flatten(4).flatten(2, 3).to(x.dtype)
    return torch.cat([turned, x[:, :, count:]], dim=2)
