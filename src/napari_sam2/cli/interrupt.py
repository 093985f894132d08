"""Ctrl-C and SIGTERM: stop at the next good place, or at once if asked again."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import FrameType, TracebackType

INTERRUPTED = 130  # exit code, by the custom of shells

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_STDERR = 2


class StopRequest:
    """Turns signals into a request to stop; a context manager of the main thread.

    Until `defer` is called a signal raises KeyboardInterrupt. After that the first
    one only sets `requested`, and the second raises.

    Parameters
    ----------
    step
        What is brought to its end before the stop, in a word.

    Attributes
    ----------
    requested
        Whether the work shall end at the next good place.
    """

    def __init__(self, step: str = "frame") -> None:
        self.requested = False
        self._step = step
        self._deferred = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        # Also where signals are ignored, as in a script's background: whoever sends
        # one to this process by its id means it.
        self._before = {each: signal.signal(each, self._answer) for each in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def defer(self) -> None:
        """Let the next signal wait for a good place."""
        self._deferred = True

    def _answer(self, number: int, frame: FrameType | None) -> None:
        if not self._deferred or self.requested:
            raise KeyboardInterrupt
        self.requested = True
        # Not by Python's streams: one of them may be in the midst of a write.
        with suppress(OSError):
            text = f"\nStopping after this {self._step} (again: at once) ...\n"
            os.write(_STDERR, text.encode())
