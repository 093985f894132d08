"""Timing in turn, on a machine that others may be using as well."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# A short part is run several times in a row, so that the clock's grain is no matter.
_SHORTEST_SECONDS = 0.05

_PROC_STAT = Path("/proc/stat")


class Repeats:
    """The times of one part, and how busy other programs were meanwhile."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.foreign_load: list[float] = []

    def time(self, run: Callable[[], object], device: torch.device, calls: int) -> None:
        """Time some calls in a row as one repeat."""
        _finish(device)
        machine, own = _machine_seconds(), time.process_time()
        start = time.perf_counter()
        for _ in range(calls):
            run()
        _finish(device)
        elapsed = time.perf_counter() - start
        self.seconds.append(elapsed / calls)
        if machine is not None:
            everyone = (_machine_seconds() or machine) - machine
            foreign = everyone - (time.process_time() - own)
            self.foreign_load.append(round(max(0.0, foreign) / elapsed, 3))


def time_in_turn(
    runs: Mapping[str, Callable[[], object]],
    device: torch.device,
    *,
    repeats: int,
    warm_up: int = 2,
    most_calls: int = 1000,
) -> dict[str, Repeats]:
    """Time several things A B A B, so that noise of the machine meets them alike.

    Parameters
    ----------
    runs : mapping of str to callable
        What to time.
    device : torch.device
        Waited for before and after each repeat.
    repeats : int
        Timed repeats of each.
    warm_up : int
        Calls of each that are not timed.
    most_calls : int
        Calls in a row that make a repeat of something short, at most.
    """
    calls = {}
    for name, run in runs.items():
        for _ in range(warm_up):
            run()
        trial = Repeats()
        trial.time(run, device, 1)
        wanted = _SHORTEST_SECONDS / max(trial.seconds[0], 1e-9)
        calls[name] = min(most_calls, max(1, round(wanted)))
    taken = {name: Repeats() for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            taken[name].time(run, device, calls[name])
    return taken


def _finish(device: torch.device) -> None:
    """Wait for what was queued on a device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _machine_seconds() -> float | None:
    """Return the processor seconds of all programs since the start; Linux only."""
    if not _PROC_STAT.exists():
        return None
    ticks = [int(word) for word in _PROC_STAT.read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _wait, interrupt, soft_interrupt, stolen = ticks[:8]
    busy = user + nice + system + interrupt + soft_interrupt + stolen
    return busy / os.sysconf("SC_CLK_TCK")
