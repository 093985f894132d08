"""The moving average of weights, which is what a run exports."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from torch import nn

    M = TypeVar("M", bound=nn.Module)
else:
    M = TypeVar("M")


def averaged_copy(model: M) -> M:
    """Return a copy of a network to hold the average, in eval mode."""
    average = copy.deepcopy(model).eval()
    for parameter in average.parameters():
        parameter.requires_grad_(False)
    return average


@torch.no_grad()
def update_average(
    average: nn.Module, model: nn.Module, step: int, decay: float
) -> None:
    """Move the average towards the weights after a step.

    Parameters
    ----------
    average, model : Module
        Of one structure.
    step : int
        Steps done before this one; the first ones count more, so that the average
        does not hold on to the start.
    decay : float
        Share of the average that a step leaves, 0 to 1, in the long run.
    """
    share = min(decay, (1 + step) / (10 + step))
    old: list[torch.Tensor] = list(average.parameters())
    new = [parameter.detach() for parameter in model.parameters()]
    torch._foreach_lerp_(old, new, 1 - share)
