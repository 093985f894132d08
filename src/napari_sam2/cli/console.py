"""What is told to the user while a command runs: all of it on stderr."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

import typer

if TYPE_CHECKING:
    from types import TracebackType

_LINE_SECONDS = 30.0  # between two lines of progress where stderr is no terminal


def note(text: str) -> None:
    """Write a line to stderr."""
    typer.echo(text, err=True)


class Progress:
    """A bar with the time left; a line now and then where stderr is a file.

    A context manager; the bar shows with the first step, and goes at the end.

    Parameters
    ----------
    what
        What is being done, in a word or two.
    total
        How many steps there are; None if that is unknown.
    unit
        What steps are called in the lines; ``"bytes"`` shows sizes.
    """

    def __init__(self, what: str, *, total: int | None, unit: str = "frames") -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bars

        console = Console(stderr=True)
        self._what, self._unit, self._total = what, unit, total
        self._done = 0
        self._live = console.is_terminal
        self._begun = self._said = time.monotonic()
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn() if unit == "bytes" else MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not self._live,
        )
        self._task = self._bars.add_task(what, total=total)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live:
            self._bars.stop()

    def advance(self) -> None:
        """Count one step."""
        self.show(self._done + 1, self._total)

    def show(self, done: int, total: int | None) -> None:
        """Say how many steps are done."""
        self._done, self._total = done, total
        if self._live:
            self._bars.start()
            self._bars.update(self._task, completed=done, total=total)
        now = time.monotonic()
        if not self._live and now - self._said >= _LINE_SECONDS:
            self._said = now
            note(self._line(now - self._begun))

    def _line(self, seconds: float) -> str:
        of = "" if self._total is None else f" of {self._total:,}"
        left = ""
        if self._total is not None and self._done:
            remaining = seconds / self._done * max(0, self._total - self._done)
            left = f", {remaining:,.0f} s left"
        return f"{self._what}: {self._done:,}{of} {self._unit}{left}"
