"""The memory encoder: a frame's features and an object's mask become a memory.

Shapes: ``B`` batch of objects, ``C`` image channels, ``D`` memory channels, ``H W``
image embedding, ``S`` input size.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from napari_sam2.model.layers import DropPath, LayerNorm2d, Linear, clones

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam2.model.position_encoding import PositionEmbeddingSine


class MaskDownSampler(nn.Module):
    """Strided convolutions from a mask to the embedding's resolution.

    Published as ``sam2.modeling.memory_encoder.MaskDownSampler``.

    Parameters
    ----------
    embed_dim : int
        Output width.
    kernel_size, stride, padding : int
        Of each convolution.
    total_stride : int
        Reduction in all; a power of `stride`.
    activation : callable
        Makes the activation after each convolution.
    """

    def __init__(
        self,
        embed_dim: int = 256,
        kernel_size: int = 4,
        stride: int = 4,
        padding: int = 0,
        total_stride: int = 16,
        activation: Callable[[], nn.Module] = nn.GELU,
    ) -> None:
        super().__init__()
        steps = round(math.log(total_stride, stride))
        if stride**steps != total_stride:
            raise ValueError(
                f"total_stride ({total_stride}) must be a power of stride ({stride})"
            )
        blocks: list[nn.Module] = []
        channels = 1
        for _ in range(steps):
            wider = channels * stride**2
            blocks += [
                nn.Conv2d(channels, wider, kernel_size, stride, padding),
                LayerNorm2d(wider),
                activation(),
            ]
            channels = wider
        blocks.append(nn.Conv2d(channels, embed_dim, kernel_size=1))
        self.encoder = nn.Sequential(*blocks)

    def forward(self, mask: Tensor) -> Tensor:
        """Map ``(B, 1, S, S)`` to ``(B, C, H, W)``."""
        out: Tensor = self.encoder(mask)
        return out


class CXBlock(nn.Module):
    """A ConvNeXt block (Liu et al. 2022, arXiv 2201.03545).

    Published as ``sam2.modeling.memory_encoder.CXBlock``.

    Parameters
    ----------
    dim : int
        Width.
    kernel_size, padding : int
        Of the spatial convolution.
    drop_path : float
        Probability of stochastic depth.
    layer_scale_init_value : float
        Initial scale of the branch; no scale if not positive.
    use_dwconv : bool
        The spatial convolution is depthwise.
    """

    def __init__(
        self,
        dim: int,
        kernel_size: int = 7,
        padding: int = 3,
        drop_path: float = 0.0,
        layer_scale_init_value: float = 1e-6,
        use_dwconv: bool = True,
    ) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(
            dim, dim, kernel_size, padding=padding, groups=dim if use_dwconv else 1
        )
        self.norm = LayerNorm2d(dim)
        self.pwconv1 = Linear(dim, 4 * dim)
        self.act = nn.GELU()
        self.pwconv2 = Linear(4 * dim, dim)
        self.gamma = (
            nn.Parameter(torch.full((dim,), layer_scale_init_value))
            if layer_scale_init_value > 0
            else None
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Update ``(B, C, H, W)``."""
        branch = self.norm(self.dwconv(x)).permute(0, 2, 3, 1)
        branch = self.pwconv2(self.act(self.pwconv1(branch)))
        if self.gamma is not None:
            branch = self.gamma * branch
        out: Tensor = x + self.drop_path(branch.permute(0, 3, 1, 2))
        return out


class Fuser(nn.Module):
    """A stack of blocks over the sum of features and mask.

    Published as ``sam2.modeling.memory_encoder.Fuser``.

    Parameters
    ----------
    layer : CXBlock
        Copied `num_layers` times.
    num_layers : int
        Number of blocks.
    dim : int, optional
        Width of the input projection.
    input_projection : bool
        Project the input by a 1 x 1 convolution; needs `dim`.
    """

    def __init__(
        self,
        layer: CXBlock,
        num_layers: int,
        dim: int | None = None,
        input_projection: bool = False,
    ) -> None:
        super().__init__()
        self.proj: nn.Module = nn.Identity()
        if input_projection:
            if dim is None:
                raise ValueError("input_projection=True needs dim")
            self.proj = nn.Conv2d(dim, dim, kernel_size=1)
        self.layers = clones(layer, num_layers)

    def forward(self, x: Tensor) -> Tensor:
        """Update ``(B, C, H, W)``."""
        x = self.proj(x)
        for layer in self.layers:
            x = layer(x)
        return x


class MemoryEncoder(nn.Module):
    """Fuses image features with a mask (SAM 2, sec. 4 "memory encoder").

    Published as ``sam2.modeling.memory_encoder.MemoryEncoder``.

    Parameters
    ----------
    out_dim : int
        Width of a memory.
    mask_downsampler : MaskDownSampler
        Encodes the mask.
    fuser : Fuser
        Mixes mask and features.
    position_encoding : PositionEmbeddingSine
        Encodes the memory's positions.
    in_dim : int
        Width of the image features.
    """

    def __init__(
        self,
        out_dim: int,
        mask_downsampler: MaskDownSampler,
        fuser: Fuser,
        position_encoding: PositionEmbeddingSine,
        in_dim: int = 256,
    ) -> None:
        super().__init__()
        self.mask_downsampler = mask_downsampler
        self.pix_feat_proj = nn.Conv2d(in_dim, in_dim, kernel_size=1)
        self.fuser = fuser
        self.position_encoding = position_encoding
        self.out_proj: nn.Module = (
            nn.Conv2d(in_dim, out_dim, kernel_size=1)
            if out_dim != in_dim
            else nn.Identity()
        )
        self.out_dim = out_dim

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Encode the masks of a frame's objects.

        Parameters
        ----------
        features : Tensor
            Image embedding ``(B or 1, C, H, W)``, without memory.
        mask : Tensor
            ``(B, 1, S, S)``, scaled and shifted as the network was trained.

        Returns
        -------
        Tensor
            Memory ``(B, D, H, W)``.
        """
        x = self.pix_feat_proj(features) + self.mask_downsampler(mask)
        out: Tensor = self.out_proj(self.fuser(x))
        return out

    def position(self, memory: Tensor) -> Tensor:
        """Return the position encoding ``(1, D, H, W)`` of ``(B, D, H, W)``."""
        out: Tensor = self.position_encoding(memory)
        return out
