"""Attention layers and the two-way transformer of the mask decoder.

Shapes: ``B`` batch, ``N`` queries, ``M`` keys, ``C`` channels, ``D`` head width.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from napari_sam2.model.blocked_attention import blocked_attention
from napari_sam2.model.layers import MLP, Linear, attention, is_cpu_inference
from napari_sam2.model.position_encoding import axial_rotations, rotate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Pairs of queries and keys from which a kernel written in Python pays.
_LARGE_ATTENTION = 2**18


class Attention(nn.Module):
    """Multi-head attention whose inner width may be smaller than its input.

    Published as ``sam2.modeling.sam.transformer.Attention``. Queries of batch 1 are
    attended for every batch item of keys and values.

    Parameters
    ----------
    embedding_dim : int
        Width of queries and output.
    num_heads : int
        Attention heads; divides the inner width.
    downsample_rate : int
        Inner width is `embedding_dim` over this.
    dropout : float
        Dropout on attention weights in training.
    kv_in_dim : int, optional
        Width of keys and values, `embedding_dim` if absent.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_heads: int,
        downsample_rate: int = 1,
        dropout: float = 0.0,
        kv_in_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.embedding_dim = embedding_dim
        self.kv_in_dim = embedding_dim if kv_in_dim is None else kv_in_dim
        self.internal_dim = embedding_dim // downsample_rate
        self.num_heads = num_heads
        if self.internal_dim % num_heads:
            raise ValueError(
                f"num_heads ({num_heads}) must divide the inner width "
                f"({self.internal_dim})"
            )
        self.q_proj = Linear(embedding_dim, self.internal_dim)
        self.k_proj = Linear(self.kv_in_dim, self.internal_dim)
        self.v_proj = Linear(self.kv_in_dim, self.internal_dim)
        self.out_proj = Linear(self.internal_dim, embedding_dim)
        self.dropout_p = dropout

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend ``(B, N, C)`` to ``(B, M, C_kv)``: ``(B, N, C)``."""
        return self._attend(
            self._heads(self.q_proj(q)),
            self._heads(self.k_proj(k)),
            self._heads(self.v_proj(v)),
        )

    def _heads(self, x: Tensor) -> Tensor:
        """Split heads: ``(B, N, C)`` to ``(B, heads, N, D)``."""
        return x.view(*x.shape[:2], self.num_heads, -1).transpose(1, 2)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention proper and output projection, from heads to ``(B, N, C)``."""
        if q.shape[0] != k.shape[0]:
            q = q.expand(k.shape[0], -1, -1, -1)
        dropout = self.dropout_p if self.training else 0.0
        x = attention(q, k, v, dropout)
        out: Tensor = self.out_proj(x.transpose(1, 2).flatten(2))
        return out


class RoPEAttention(Attention):
    """Attention with axial rotary position encoding on a square map.

    SAM 2, sec. 4 "memory attention". Published as
    ``sam2.modeling.sam.transformer.RoPEAttention``. Rotations follow the real number
    of queries; those of each size are computed once.

    Parameters
    ----------
    *args, **kwargs
        As for `Attention`.
    rope_theta : float
        Base of the rotation frequencies.
    rope_k_repeat : bool
        Keys are several maps of the queries' size, one after another.
    feat_sizes : pair of int
        The map expected; any other square adapts.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_heads: int,
        downsample_rate: int = 1,
        dropout: float = 0.0,
        kv_in_dim: int | None = None,
        *,
        rope_theta: float = 10000.0,
        rope_k_repeat: bool = False,
        feat_sizes: Sequence[int] = (64, 64),
    ) -> None:
        super().__init__(embedding_dim, num_heads, downsample_rate, dropout, kv_in_dim)
        if (self.internal_dim // num_heads) % 4:
            raise ValueError(
                "rotary encoding needs a head width that 4 divides, got "
                f"{self.internal_dim // num_heads}"
            )
        self.rope_theta = rope_theta
        self.rope_k_repeat = rope_k_repeat
        self.feat_sizes = (int(feat_sizes[0]), int(feat_sizes[1]))
        self._rotations: dict[tuple[int, int, torch.device], Tensor] = {}

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, num_k_exclude_rope: int = 0
    ) -> Tensor:
        """Attend ``(B, N, C)`` to ``(B, M, C_kv)``: ``(B, N, C)``.

        The last `num_k_exclude_rope` keys (object pointers) have no position and are
        not rotated.
        """
        rotations = self._rotation(q.shape[1], q.device)
        rotated = k.shape[1] - num_k_exclude_rope
        if rotated != q.shape[1] and not self.rope_k_repeat and rotated:
            raise ValueError(
                f"{rotated} keys for {q.shape[1]} queries need rope_k_repeat=True"
            )
        if self._blocks_pay(q, k):
            return self._attend_in_blocks(q, k, v, rotations, rotated)
        queries = rotate(self._heads(self.q_proj(q)), rotations)
        keys = rotate(self._heads(self.k_proj(k)), rotations, count=rotated)
        return self._attend(queries, keys, self._heads(self.v_proj(v)))

    def _blocks_pay(self, q: Tensor, k: Tensor) -> bool:
        """Return whether `blocked_attention` can be used, and is the faster."""
        return (
            is_cpu_inference(q)
            and is_cpu_inference(k)
            and self.num_heads == 1
            and q.shape[1] * k.shape[1] >= _LARGE_ATTENTION
        )

    def _attend_in_blocks(
        self, q: Tensor, k: Tensor, v: Tensor, rotations: Tensor, rotated: int
    ) -> Tensor:
        """Attend object by object, to values not yet projected if they are narrow.

        The weights of a softmax sum to one, so ``P (M W + b) = (P M) W + b``.
        """
        queries = rotate(self._heads(self.q_proj(q)), rotations)[:, 0]
        queries = queries * self.internal_dim**-0.5
        narrow = self.kv_in_dim < self.internal_dim
        attended = []
        for index in range(len(k)):
            keys = self._heads(self.k_proj(k[index : index + 1]))
            keys = rotate(keys, rotations, count=rotated)[0, 0]
            values = v[index] if narrow else self.v_proj(v[index])
            mine = queries[index if len(queries) > 1 else 0]
            attended.append(blocked_attention(mine, keys, values))
        x = torch.stack(attended)
        out: Tensor = self.out_proj(self.v_proj(x) if narrow else x)
        return out

    def _rotation(self, tokens: int, device: torch.device) -> Tensor:
        """Return the rotations ``(N, D / 2)`` of a map of that many tokens."""
        height, width = self.feat_sizes[1], self.feat_sizes[0]
        if height * width != tokens:
            height = width = math.isqrt(tokens)
            if height * width != tokens:
                raise ValueError(f"{tokens} queries are no square map")
        key = (height, width, device)
        if key not in self._rotations:
            dim = self.internal_dim // self.num_heads
            self._rotations[key] = axial_rotations(
                height, width, dim, self.rope_theta, device
            )
        return self._rotations[key]


class TwoWayAttentionBlock(nn.Module):
    """Tokens attend to themselves and to the image, then the image to the tokens.

    Kirillov et al. 2023, arXiv 2304.02643, app. A "lightweight mask decoder".
    """

    def __init__(
        self,
        embedding_dim: int,
        num_heads: int,
        mlp_dim: int = 2048,
        activation: Callable[[], nn.Module] = nn.ReLU,
        attention_downsample_rate: int = 2,
        skip_first_layer_pe: bool = False,
    ) -> None:
        super().__init__()
        self.self_attn = Attention(embedding_dim, num_heads)
        self.norm1 = nn.LayerNorm(embedding_dim)
        self.cross_attn_token_to_image = Attention(
            embedding_dim, num_heads, attention_downsample_rate
        )
        self.norm2 = nn.LayerNorm(embedding_dim)
        self.mlp = MLP(embedding_dim, mlp_dim, embedding_dim, 2, activation)
        self.norm3 = nn.LayerNorm(embedding_dim)
        self.norm4 = nn.LayerNorm(embedding_dim)
        self.cross_attn_image_to_token = Attention(
            embedding_dim, num_heads, attention_downsample_rate
        )
        self.skip_first_layer_pe = skip_first_layer_pe

    def forward(
        self, tokens: Tensor, image: Tensor, token_pe: Tensor, image_pe: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Update tokens ``(B, N, C)`` and image ``(B, HW, C)``."""
        if self.skip_first_layer_pe:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            q = tokens + token_pe
            tokens = tokens + self.self_attn(q, q, tokens)
        tokens = self.norm1(tokens)
        keys = image + image_pe
        attended = self.cross_attn_token_to_image(tokens + token_pe, keys, image)
        tokens = self.norm2(tokens + attended)
        tokens = self.norm3(tokens + self.mlp(tokens))
        attended = self.cross_attn_image_to_token(keys, tokens + token_pe, tokens)
        return tokens, self.norm4(image + attended)


class TwoWayTransformer(nn.Module):
    """The mask decoder's transformer over prompt tokens and image embedding.

    Published as ``sam2.modeling.sam.transformer.TwoWayTransformer``.

    Parameters
    ----------
    depth : int
        Number of two-way blocks.
    embedding_dim, num_heads, mlp_dim : int
        Width, heads, and hidden width of the MLPs.
    activation : callable
        Makes the MLPs' activation.
    attention_downsample_rate : int
        Reduction of the inner width of cross attention.
    """

    def __init__(
        self,
        depth: int,
        embedding_dim: int,
        num_heads: int,
        mlp_dim: int,
        activation: Callable[[], nn.Module] = nn.ReLU,
        attention_downsample_rate: int = 2,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayAttentionBlock(
                embedding_dim,
                num_heads,
                mlp_dim,
                activation,
                attention_downsample_rate,
                skip_first_layer_pe=index == 0,
            )
            for index in range(depth)
        )
        self.final_attn_token_to_image = Attention(
            embedding_dim, num_heads, attention_downsample_rate
        )
        self.norm_final_attn = nn.LayerNorm(embedding_dim)

    def forward(
        self, image: Tensor, image_pe: Tensor, tokens: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the updated tokens ``(B, N, C)`` and image ``(B, HW, C)``.

        `image` is ``(B, C, H, W)``, `image_pe` ``(1, C, H, W)``, `tokens`
        ``(B, N, C)``.
        """
        image = image.flatten(2).transpose(1, 2)  # (B, C, H, W) -> (B, HW, C)
        image_pe = image_pe.flatten(2).transpose(1, 2)
        queries = tokens
        for layer in self.layers:
            queries, image = layer(queries, image, tokens, image_pe)
        attended = self.final_attn_token_to_image(
            queries + tokens, image + image_pe, image
        )
        return self.norm_final_attn(queries + attended), image
