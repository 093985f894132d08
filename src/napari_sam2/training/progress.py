"""How far a run is, and the time that is left, on standard error."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from types import TracebackType

_LINE_SECONDS = 30.0  # between two lines where standard error is no terminal


class StepProgress:
    """A bar with the time left, or a line now and then where stderr is a file.

    A context manager.

    Parameters
    ----------
    steps : int
        Of the whole run.
    done : int
        Steps that an earlier part of the run has done.
    shown : bool
        Tell nothing if False.
    """

    def __init__(self, steps: int, done: int, *, shown: bool = True) -> None:
        console = Console(stderr=True)
        self._steps, self._begun_with = steps, done
        self._lines = shown and not console.is_terminal
        self._begun = self._said = time.monotonic()
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not shown or self._lines,
        )
        self._task = self._bars.add_task("training", total=steps, completed=done)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def show(self, done: int, line: str) -> None:
        """Say how many steps are done, and in `line` how it goes."""
        self._bars.update(self._task, completed=done, description=line)
        now = time.monotonic()
        if self._lines and (now - self._said >= _LINE_SECONDS or done == self._steps):
            self._said = now
            each = (now - self._begun) / max(done - self._begun_with, 1)
            left = timedelta(seconds=round(each * (self._steps - done)))
            sys.stderr.write(
                f"{done:,} of {self._steps:,} steps, {line}, {left} left\n"
            )
            sys.stderr.flush()
