"""Several processes that train one network, as torchrun starts them."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import torch
from torch import distributed

if TYPE_CHECKING:
    from collections.abc import Iterator

# The others wait while the first one evaluates or draws pictures.
_PATIENCE = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Ranks:
    """The place of this process among those of a run; by default it is alone.

    Attributes
    ----------
    rank, count : int
        Its number from 0, and how many there are.
    local : int
        Its number on this machine.
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and tells of progress."""
        return self.rank == 0

    def device(self, name: str | torch.device) -> str | torch.device:
        """Return the device of this process where "auto" or "cuda" is asked for."""
        chosen = str(name).strip().lower()
        several = self.count > 1 and torch.cuda.is_available()
        return f"cuda:{self.local}" if several and chosen in ("auto", "cuda") else name

    def samples(self, steps: range) -> range:
        """Return the numbers of the samples of this process in some steps."""
        first, last = steps.start * self.count, steps.stop * self.count
        return range(first + self.rank, last, self.count)

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum of a tensor over all processes."""
        if self.count > 1:
            distributed.all_reduce(values)
        return values


def ranks_of_environment() -> Ranks:
    """Return the place of this process as torchrun tells it."""
    told = os.environ
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= told.keys():
        return Ranks()
    return Ranks(
        rank=int(told["RANK"]),
        count=int(told["WORLD_SIZE"]),
        local=int(told.get("LOCAL_RANK", "0")),
    )


@contextmanager
def process_group(ranks: Ranks, device: torch.device) -> Iterator[None]:
    """Join the processes of a run; nothing where there is one."""
    if ranks.count == 1:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE
    )
    try:
        yield
    finally:
        distributed.destroy_process_group()
