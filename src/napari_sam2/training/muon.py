"""Muon, the optimiser of hidden matrices."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim import Optimizer

if TYPE_CHECKING:
    from collections.abc import Iterable

# Of the quintic whose iteration brings singular values near 1, fast rather than close
# (K. Jordan, "Muon", 2024).
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
# AdamW's steps are about as long (arXiv 2502.16982, sec. 2.2).
_STEP_RMS = 0.2


class Muon(Optimizer):
    """Momentum whose steps are made orthogonal, in float32.

    With Nesterov's momentum, decoupled decay, and steps as long as AdamW's (arXiv
    2502.16982), so that one rate is right for both. What torch has since 2.9 is the
    same in bfloat16, which takes several times as long as all else in a step on
    processors that have to emulate it.

    Parameters
    ----------
    params : iterable of dict
        Groups of matrices, each with its ``weight_decay``, perhaps with its ``lr``.
    lr : float
        Learning rate.
    momentum : float
        What is kept of the gradients before, 0 to 1.

    Raises
    ------
    ValueError
        If a parameter is no matrix.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        lr: float = 1e-3,
        momentum: float = 0.95,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": 0.0})
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.ndim != 2:
                    raise ValueError(
                        f"Muon moves matrices, got a tensor of {weight.ndim} axes"
                    )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move the matrices that have gradients."""
        for group in self.param_groups:
            rate, keep = group["lr"], group["momentum"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(weight)
                mean = state["momentum_buffer"].lerp_(weight.grad, 1 - keep)
                ahead = weight.grad.lerp(mean, keep)
                length = _STEP_RMS * math.sqrt(max(weight.shape))
                weight.mul_(1 - rate * group["weight_decay"])
                weight.add_(orthogonal(ahead), alpha=-rate * length)


def orthogonal(matrix: Tensor) -> Tensor:
    """Return a matrix ``(M, N)`` with its singular values brought near 1.

    Near means 0.7 to 1.2 for those that are not tiny beside the largest; a matrix of
    zeros stays as it is.
    """
    turned = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if turned else matrix
    x = x / x.norm().clamp(min=1e-7)
    first, third, fifth = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        powers = torch.addmm(gram, gram, gram, beta=third, alpha=fifth)
        x = torch.addmm(x, powers, x, beta=first)
    return x.T if turned else x
