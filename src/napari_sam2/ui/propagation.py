"""A propagation under way: how far it is, and what would be left of it."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from napari_sam2.ui.engine import FrameAnswer, Planned
from napari_sam2.ui.jobs import Iteration
from napari_sam2.ui.records import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_sam2.errors import Sam2Error
    from napari_sam2.inference.schedule import Direction
    from napari_sam2.ui.engine import Engine
    from napari_sam2.ui.jobs import Lane

_RECENT = 20  # frames whose speed counts
_REPORTS_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Span:
    """What is to be tracked.

    Attributes
    ----------
    direction : {"forward", "backward", "both"}
        Of the frames.
    frames : tuple of int, optional
        First and last; what is missing or stale if absent.
    object_ids : tuple of int, optional
        All if absent.
    without : frozenset of int
        Objects that must not change.
    """

    direction: Direction
    frames: tuple[int, int] | None = None
    object_ids: tuple[int, ...] | None = None
    without: frozenset[int] = frozenset()

    def rest_after(self, frame: int | None) -> Span:
        """Return what is left when `frame` was the last to be tracked."""
        if self.frames is None or frame is None or self.direction == "both":
            return self
        first, last = self.frames
        if self.direction == "forward":
            return replace(self, frames=(min(frame + 1, last), last))
        return replace(self, frames=(first, max(frame - 1, first)))


@dataclass(slots=True, eq=False)
class Propagation:
    """A propagation of an engine, on a lane.

    Attributes
    ----------
    span : Span
        What is tracked.
    arrived : callable
        Gets each frame.
    progressed : callable
        Gets a `Progress` now and then.
    ended : callable
        Gets this, and the error that ended it or None.
    """

    span: Span
    arrived: Callable[[FrameAnswer], None]
    progressed: Callable[[Progress], None]
    ended: Callable[[Propagation, Sam2Error | None], None]
    last_frame: int | None = None
    cancelled: bool = False
    _lane: Lane | None = None
    _iteration: Iteration | None = None
    _done: int = 0
    _total: int = 0
    _reported: float = 0.0
    _times: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def start(self, lane: Lane, engine: Engine) -> None:
        """Begin."""
        span = self.span

        def begin() -> Iterator[FrameAnswer | Planned]:
            return engine.propagate(
                span.direction, span.frames, span.object_ids, span.without
            )

        self._lane = lane
        self._iteration = Iteration(begin, self._step, self._end)
        lane.iterate(self._iteration)

    @property
    def paused(self) -> bool:
        """Whether it stands still."""
        return self._iteration is not None and self._iteration.paused

    @property
    def progress(self) -> Progress:
        """How far it is."""
        rate = 0.0
        if len(self._times) > 1 and self._times[-1] > self._times[0]:
            rate = (len(self._times) - 1) / (self._times[-1] - self._times[0])
        left = max(0, self._total - self._done)
        return Progress(
            done=self._done,
            total=max(self._total, self._done),
            frame=0 if self.last_frame is None else self.last_frame,
            frames_per_second=rate,
            seconds_left=left / rate if rate else float("nan"),
            paused=self.paused,
        )

    def pause(self, paused: bool) -> None:
        """Stand still, or go on."""
        if self._iteration is None or self._lane is None:
            return
        self._iteration.paused = paused
        self._times.clear()
        self.progressed(self.progress)
        self._lane.wake()

    def cancel(self) -> None:
        """End after the frame in work."""
        if self._iteration is None or self._lane is None:
            return
        self.cancelled = True
        self._iteration.cancelled = True
        self._lane.wake()

    def _step(self, value: FrameAnswer | Planned) -> None:
        if isinstance(value, Planned):
            self._total = self._done + value.total
            self.progressed(self.progress)
            return
        self._done += 1
        self.last_frame = value.frame
        now = time.monotonic()
        self._times.append(now)
        self.arrived(value)
        if now - self._reported >= _REPORTS_SECONDS:
            self._reported = now
            self.progressed(self.progress)

    def _end(self, error: Sam2Error | None) -> None:
        self.ended(self, error)
