"""Hiera, the image encoder's trunk.

Ryali et al. 2023, arXiv 2306.00989, with the window layout and position embedding of
Bolya et al. 2023, arXiv 2311.05613 (SAM 2, sec. 4 "image encoder").

Shapes: ``B`` batch, ``C`` channels, ``H W`` feature map; blocks work channels last.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2.model.layers import MLP, DropPath, Linear, attention

if TYPE_CHECKING:
    from collections.abc import Sequence


class PatchEmbed(nn.Module):
    """Overlapping patches: a 7 x 7 convolution of stride 4."""

    def __init__(self, in_chans: int, embed_dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_chans, embed_dim, kernel_size=7, stride=4, padding=3)

    def forward(self, image: Tensor) -> Tensor:
        """Map ``(B, in_chans, S, S)`` to ``(B, S / 4, S / 4, C)``."""
        patches: Tensor = self.proj(image)
        return patches.permute(0, 2, 3, 1)


def partition_windows(x: Tensor, window: int) -> Tensor:
    """Cut ``(B, H, W, C)`` into ``(B n, window, window, C)``, zero-padded."""
    batch, height, width, channels = x.shape
    pad_y, pad_x = -height % window, -width % window
    if pad_y or pad_x:
        x = F.pad(x, (0, 0, 0, pad_x, 0, pad_y))
    rows, columns = (height + pad_y) // window, (width + pad_x) // window
    x = x.view(batch, rows, window, columns, window, channels)
    return x.transpose(2, 3).reshape(-1, window, window, channels)


def join_windows(windows: Tensor, height: int, width: int) -> Tensor:
    """Undo `partition_windows`: back to ``(B, height, width, C)``."""
    window, channels = windows.shape[1], windows.shape[-1]
    rows, columns = -(-height // window), -(-width // window)
    x = windows.view(-1, rows, columns, window, window, channels)
    x = x.transpose(2, 3).reshape(-1, rows * window, columns * window, channels)
    return x[:, :height, :width]


def pool_query(x: Tensor, stride: tuple[int, int]) -> Tensor:
    """Max-pool ``(B, H, W, C)`` by `stride`."""
    x = F.max_pool2d(x.permute(0, 3, 1, 2), kernel_size=stride, stride=stride)
    return x.permute(0, 2, 3, 1)


class MultiScaleAttention(nn.Module):
    """Self-attention over a window or map, whose queries may be pooled."""

    def __init__(
        self,
        dim: int,
        dim_out: int,
        num_heads: int,
        q_stride: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_stride = q_stride
        self.qkv = Linear(dim, 3 * dim_out)
        self.proj = Linear(dim_out, dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, H, W, C)`` to ``(B, H', W', C_out)``."""
        batch, height, width, _ = x.shape
        qkv = self.qkv(x).view(batch, height * width, 3, self.num_heads, -1)
        q, k, v = qkv.unbind(2)  # (B, N, heads, D)
        if self.q_stride is not None:
            q = pool_query(q.reshape(batch, height, width, -1), self.q_stride)
            height, width = q.shape[1:3]
            q = q.reshape(batch, height * width, self.num_heads, -1)
        x = attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        x = x.transpose(1, 2).reshape(batch, height, width, -1)
        out: Tensor = self.proj(x)
        return out


class MultiScaleBlock(nn.Module):
    """One transformer block; the first of a stage changes width and pools.

    Parameters
    ----------
    dim, dim_out : int
        Widths before and after.
    num_heads : int
        Attention heads, after.
    mlp_ratio : float
        Width of the MLP over `dim_out`.
    drop_path : float
        Probability of stochastic depth.
    q_stride : tuple of int, optional
        Pooling of the queries.
    window_size : int
        Side of the attention windows in tokens, 0 for global attention.
    """

    def __init__(
        self,
        dim: int,
        dim_out: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        drop_path: float = 0.0,
        q_stride: tuple[int, int] | None = None,
        window_size: int = 0,
    ) -> None:
        super().__init__()
        self.window_size = window_size
        self.q_stride = q_stride
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = MultiScaleAttention(dim, dim_out, num_heads, q_stride)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(dim_out, eps=1e-6)
        self.mlp = MLP(dim_out, int(dim_out * mlp_ratio), dim_out, 2, nn.GELU)
        self.proj = Linear(dim, dim_out) if dim != dim_out else None

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, H, W, dim)`` to ``(B, H', W', dim_out)``."""
        shortcut = x
        x = self.norm1(x)
        if self.proj is not None:
            shortcut = self.proj(x)
        if self.q_stride is not None:
            shortcut = pool_query(shortcut, self.q_stride)
        if self.window_size:
            x = self.attn(partition_windows(x, self.window_size))
            x = join_windows(x, *shortcut.shape[1:3])
        else:
            x = self.attn(x)
        x = shortcut + self.drop_path(x)
        out: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return out


class Hiera(nn.Module):
    """A hierarchical vision transformer of plain blocks in four stages.

    Published as ``sam2.modeling.backbones.hieradet.Hiera``. Differs: any input size
    is taken, also one whose map is no multiple of the first window.

    Parameters
    ----------
    embed_dim, num_heads : int
        Width and heads of the first stage.
    drop_path_rate : float
        Stochastic depth of the last block; rises linearly from 0.
    q_pool : int
        Number of stages, after the first, that pool.
    q_stride : pair of int
        Pooling between stages.
    stages : sequence of int
        Blocks in each stage.
    dim_mul, head_mul : float
        Growth of width and heads from stage to stage.
    window_pos_embed_bkg_spatial_size : pair of int
        Size of the position embedding that is stretched over the map.
    window_spec : sequence of int
        Window side of each stage.
    global_att_blocks : sequence of int
        Blocks, counted over all stages, that attend globally.
    weights_path : str, optional
        Unused: weights come with the whole network. Must be absent.
    return_interm_layers : bool
        Return the output of every stage, not only of the last.
    in_chans : int
        Channels of the input. Ours: the published trunk has 3.
    """

    def __init__(
        self,
        embed_dim: int = 96,
        num_heads: int = 1,
        drop_path_rate: float = 0.0,
        q_pool: int = 3,
        q_stride: Sequence[int] = (2, 2),
        stages: Sequence[int] = (2, 3, 16, 3),
        dim_mul: float = 2.0,
        head_mul: float = 2.0,
        window_pos_embed_bkg_spatial_size: Sequence[int] = (14, 14),
        window_spec: Sequence[int] = (8, 4, 14, 7),
        global_att_blocks: Sequence[int] = (12, 16, 20),
        weights_path: str | None = None,
        return_interm_layers: bool = True,
        in_chans: int = 3,
    ) -> None:
        super().__init__()
        if weights_path is not None:
            raise ValueError(
                "weights_path is not supported: give a checkpoint of the whole network"
            )
        if len(window_spec) != len(stages):
            raise ValueError(
                f"window_spec has {len(window_spec)} entries for {len(stages)} stages"
            )
        if not 0 <= q_pool < len(stages):
            raise ValueError(f"q_pool must be 0 to {len(stages) - 1}, got {q_pool}")
        stride = (int(q_stride[0]), int(q_stride[1]))
        depth = sum(stages)
        ends = [total - 1 for total in accumulate(stages)]
        pooling = {end + 1 for end in ends[:-1][:q_pool]}
        self.return_interm_layers = return_interm_layers
        self.stage_ends = tuple(ends)

        self.patch_embed = PatchEmbed(in_chans, embed_dim)
        background = tuple(window_pos_embed_bkg_spatial_size)
        self.pos_embed = nn.Parameter(torch.zeros(1, embed_dim, *background))
        self.pos_embed_window = nn.Parameter(
            torch.zeros(1, embed_dim, window_spec[0], window_spec[0])
        )
        self.blocks = nn.ModuleList()
        dim, heads, widths = embed_dim, num_heads, []
        stage = 0
        for index in range(depth):
            # The first block of a stage still uses the windows of the stage before.
            window = 0 if index in global_att_blocks else window_spec[stage]
            dim_out = dim
            if index - 1 in ends:
                stage += 1
                dim_out, heads = int(dim * dim_mul), int(heads * head_mul)
            self.blocks.append(
                MultiScaleBlock(
                    dim,
                    dim_out,
                    heads,
                    drop_path=drop_path_rate * index / max(1, depth - 1),
                    q_stride=stride if index in pooling else None,
                    window_size=window,
                )
            )
            dim = dim_out
            if index in ends:
                widths.append(dim)
        self.channel_list = widths[::-1] if return_interm_layers else [dim]

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return each stage of ``(B, K, S, S)`` as ``(B, C, H, W)``, large first."""
        x = self.patch_embed(image)
        x = x + self._position_embedding(x.shape[1], x.shape[2])
        outputs = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            last = index == self.stage_ends[-1]
            if last or (self.return_interm_layers and index in self.stage_ends):
                outputs.append(x.permute(0, 3, 1, 2))
        return outputs

    def _position_embedding(self, height: int, width: int) -> Tensor:
        """Return ``(1, H, W, C)``: the stretched background plus the tiled window."""
        stretched = F.interpolate(self.pos_embed, size=(height, width), mode="bicubic")
        window = self.pos_embed_window
        rows, columns = -(-height // window.shape[2]), -(-width // window.shape[3])
        tiled = window.tile(1, 1, rows, columns)[:, :, :height, :width]
        embedding: Tensor = stretched + tiled
        return embedding.permute(0, 2, 3, 1)
