"""Small blocks that several parts of the network share.

Shapes: ``B`` batch, ``C`` channels, ``H W`` feature map.
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable


# MKL's matrix products use AVX-512 on one maker's processors only; oneDNN's, which
# torch calls for convolutions, on all: up to twice as fast (AMD EPYC, two cores).
_BY_CONVOLUTION = bool(
    torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
)
_SMALL = 20480  # numbers in the input; below, torch does not call oneDNN
_FEWEST_PRODUCTS = 2**23  # below, setting up the convolution costs more than it saves
_FEW_KEYS = 64  # up to there torch's fused attention is slower than plain products


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Map ``(..., in)`` by a weight ``(out, in)`` to ``(..., out)``.

    As ``torch.nn.functional.linear``; float32 inference on a CPU goes by a 1 x 1
    convolution where that is faster.
    """
    if (
        not _BY_CONVOLUTION
        or not is_cpu_inference(x)
        or x.numel() <= _SMALL
        or x.numel() * weight.shape[0] < _FEWEST_PRODUCTS
    ):
        return F.linear(x, weight, bias)
    pixels = x.reshape(1, -1, 1, x.shape[-1]).permute(0, 3, 1, 2)
    out = F.conv2d(pixels, weight[:, :, None, None], bias)
    return out.permute(0, 2, 3, 1).reshape(*x.shape[:-1], weight.shape[0])


def attention(q: Tensor, k: Tensor, v: Tensor, dropout: float = 0.0) -> Tensor:
    """Let queries ``(B, heads, N, D)`` attend to keys and values ``(B, heads, M, D)``.

    As ``torch.nn.functional.scaled_dot_product_attention``, by plain products where
    those are faster on a CPU: for few keys, as in small windows, in float32 inference;
    and in training at reduced precision, since the backward pass of torch's fused
    attention is slower there than all else together.
    """
    plain = _is_reduced_training(q) or (
        k.shape[-2] <= _FEW_KEYS and is_cpu_inference(q)
    )
    if not plain:
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    weights = scores.softmax(-1)
    if dropout:
        weights = F.dropout(weights, dropout)
    out: Tensor = weights @ v
    return out


def is_cpu_inference(x: Tensor) -> bool:
    """Return whether float32 is computed with on a CPU, and nothing learns from it."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
    )


def _is_reduced_training(x: Tensor) -> bool:
    """Return whether a CPU learns at less than float32."""
    return (
        x.device.type == "cpu"
        and torch.is_grad_enabled()
        and torch.is_autocast_enabled("cpu")
    )


class Linear(nn.Linear):
    """A linear layer, computed by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., in_features)`` to ``(..., out_features)``."""
        return linear(x, self.weight, self.bias)


class MLP(nn.Module):
    """Linear layers with an activation between them.

    Parameters
    ----------
    input_dim, hidden_dim, output_dim : int
        Widths of the first input, of every hidden layer, and of the output.
    num_layers : int
        Number of linear layers.
    activation : callable
        Makes the activation module.
    sigmoid_output : bool
        Apply a sigmoid to the output.
    """

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int,
        output_dim: int,
        num_layers: int,
        activation: Callable[[], nn.Module] = nn.ReLU,
        sigmoid_output: bool = False,
    ) -> None:
        super().__init__()
        widths = [input_dim, *[hidden_dim] * (num_layers - 1), output_dim]
        self.layers = nn.ModuleList(Linear(a, b) for a, b in pairwise(widths))
        self.act = activation()
        self.sigmoid_output = sigmoid_output

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., input_dim)`` to ``(..., output_dim)``."""
        *hidden, last = self.layers
        for layer in hidden:
            x = self.act(layer(x))
        x = last(x)
        return torch.sigmoid(x) if self.sigmoid_output else x


class LayerNorm2d(nn.Module):
    """Layer normalisation over the channels of each pixel of a ``(B, C, H, W)`` map."""

    def __init__(self, num_channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(B, C, H, W)`` over ``C``."""
        x = x.permute(0, 2, 3, 1)  # (B, C, H, W) -> (B, H, W, C)
        x = F.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class DropPath(nn.Module):
    """Stochastic depth: in training, drop the whole branch of a sample.

    Huang et al. 2016, arXiv 1603.09382.
    """

    def __init__(self, drop_prob: float = 0.0) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, in training with random samples of the batch set to zero."""
        if not self.training or self.drop_prob == 0.0:
            return x
        keep = 1.0 - self.drop_prob
        kept = torch.rand(x.shape[0], *[1] * (x.ndim - 1), device=x.device) < keep
        return x * kept / keep


def clones(layer: nn.Module, count: int) -> nn.ModuleList:
    """Return `count` independent copies of `layer`."""
    return nn.ModuleList(copy.deepcopy(layer) for _ in range(count))


def activation_function(name: str) -> Callable[[Tensor], Tensor]:
    """Return the activation of that name: ``relu``, ``gelu`` or ``glu``."""
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "relu": F.relu,
        "gelu": F.gelu,
        "glu": F.glu,
    }
    if name not in functions:
        raise ValueError(f"activation {name!r} is unknown: use {', '.join(functions)}")
    return functions[name]
