"""Muon, the optimiser of hidden matrices."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from napari_sam2.training.ranks import Ranks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Of the quintic whose iteration brings singular values near 1, fast rather than close
# (K. Jordan, "Muon", 2024).
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
# AdamW's steps are about as long (arXiv 2502.16982, sec. 2.2).
_STEP_RMS = 0.2


class Muon(Optimizer):
    """Momentum whose steps are made orthogonal.

    With Nesterov's momentum, decoupled decay, and steps as long as AdamW's (arXiv
    2502.16982), so that one rate is right for both. What torch has since 2.9 is the
    same always in bfloat16, which takes several times as long as all else in a step on
    processors that have to emulate it, and every matrix in every process.

    Parameters
    ----------
    params : iterable of dict
        Groups of matrices, each with its ``weight_decay``, perhaps with its ``lr``.
    lr : float
        Learning rate.
    momentum : float
        What is kept of the gradients before, 0 to 1.
    dtype : torch.dtype
        What steps are made orthogonal in: float32, or bfloat16 where that is fast.
    ranks : Ranks, optional
        The processes that have the same matrices and gradients; each makes the steps
        of a part orthogonal, for all.

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
        *,
        dtype: torch.dtype = torch.float32,
        ranks: Ranks | None = None,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": 0.0})
        self.dtype, self.ranks = dtype, ranks or Ranks()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.ndim != 2:
                    raise ValueError(
                        f"Muon moves matrices, got a tensor of {weight.ndim} axes"
                    )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move the matrices that have gradients."""
        moved = [
            (weight, group)
            for group in self.param_groups
            for weight in group["params"]
            if weight.grad is not None
        ]
        ahead = [self._ahead(weight, group["momentum"]) for weight, group in moved]
        for (weight, group), step in zip(moved, self._orthogonal(ahead), strict=True):
            rate = group["lr"]
            length = _STEP_RMS * math.sqrt(max(weight.shape))
            weight.mul_(1 - rate * group["weight_decay"])
            weight.add_(step, alpha=-rate * length)

    def _ahead(self, weight: Tensor, keep: float) -> Tensor:
        """Take up the gradient of a matrix; return Nesterov's momentum."""
        state = self.state[weight]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        assert weight.grad is not None
        mean = state["momentum_buffer"].lerp_(weight.grad, 1 - keep)
        return weight.grad.lerp(mean, keep)

    def _orthogonal(self, matrices: Sequence[Tensor]) -> list[Tensor]:
        """Return matrices made orthogonal, each by one of the processes."""
        if self.ranks.count == 1 or not matrices:
            return [orthogonal(matrix, self.dtype) for matrix in matrices]
        owners = shared_out([_cost(matrix) for matrix in matrices], self.ranks.count)
        # What others own is 0 here, so that the sum of all is exact.
        sizes = [matrix.numel() for matrix in matrices]
        flat = matrices[0].new_zeros(sum(sizes))
        parts = [
            part.view_as(matrix)
            for part, matrix in zip(torch.split(flat, sizes), matrices, strict=True)
        ]
        for part, matrix, owner in zip(parts, matrices, owners, strict=True):
            if owner == self.ranks.rank:
                part.copy_(orthogonal(matrix, self.dtype))
        self.ranks.total(flat)
        return parts


def shared_out(costs: Sequence[float], count: int) -> list[int]:
    """Return who of `count` does each of some tasks, so that all end about together."""
    loads = [0.0] * count
    owners = [0] * len(costs)
    for task in sorted(range(len(costs)), key=lambda task: -costs[task]):
        owners[task] = loads.index(min(loads))
        loads[owners[task]] += costs[task]
    return owners


def _cost(matrix: Tensor) -> float:
    """Return what it costs, about, to make a matrix orthogonal: its products."""
    return float(matrix.numel() * min(matrix.shape))


def orthogonal(matrix: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a matrix ``(M, N)`` with its singular values brought near 1.

    Near means 0.7 to 1.2 for those that are not tiny beside the largest; a matrix of
    zeros stays as it is. Products are computed in `dtype`.
    """
    turned = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if turned else matrix
    x = (x / x.norm().clamp(min=1e-7)).to(dtype)
    first, third, fifth = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        powers = torch.addmm(gram, gram, gram, beta=third, alpha=fifth)
        x = torch.addmm(x, powers, x, beta=first)
    return (x.T if turned else x).to(matrix.dtype)
