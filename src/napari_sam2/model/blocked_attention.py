"""Attention block by block, for large maps on a CPU.

Fused kernels multiply by MKL, which is slow on processors of other makers (see
`napari_sam2.model.layers.linear`), and want values as wide as keys. Here scores are
made in blocks that stay in the cache, and values may be narrower than keys.

Shapes: ``N`` queries, ``M`` keys, ``D`` width of queries and keys, ``d`` of values.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_sam2.model.layers import linear

_QUERY_BLOCK = 2048
_KEY_BLOCK = 512


def blocked_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend ``(N, D)``, scaled, to keys ``(M, D)`` and values ``(M, d)``: ``(N, d)``.

    Float32 on a CPU, without gradients.
    """
    blocks = torch.split(q, _QUERY_BLOCK)
    return torch.cat([_attend_rows(block, k, v) for block in blocks])


def _attend_rows(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend to each block of keys by itself, then mix by the blocks' total weights."""
    outputs, totals = [], []
    for keys, values in zip(
        torch.split(k, _KEY_BLOCK), torch.split(v, _KEY_BLOCK), strict=True
    ):
        scores = linear(q, keys)
        highest = scores.amax(-1)
        weights = torch.softmax(scores, -1, out=scores)
        # The largest weight is exp(highest - total), total being the log of the sum.
        totals.append(highest - weights.amax(-1).log())
        outputs.append(linear(weights, values.T))
    share = torch.stack(totals).softmax(0)
    return (torch.stack(outputs) * share[..., None]).sum(0)
