"""One lane of background work: never two jobs at once, so nothing needs a lock."""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from napari_sam2.errors import Sam2Error

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    Report = Callable[[Any], bool]
    Answer = Callable[[], None]

_NICE = 10  # of 19; the window has 0
_PATIENCE = 20.0  # seconds for the last step, such as loading torch


@dataclass(slots=True, eq=False)
class Job:
    """Work for the background, and who is told on the GUI thread.

    Attributes
    ----------
    work : callable
        Runs in the background. What it gets as its argument hands values to
        `reported` while it runs, and returns whether the result is still wanted:
        no longer, once the lane is closed or napari ends.
    done : callable
        Gets what `work` returned.
    failed : callable
        Gets the `Sam2Error` that it raised.
    reported : callable, optional
        Gets what it reports.
    key : hashable, optional
        A later job of the same key takes the place of one that still waits.
    abandoned : callable, optional
        Called if it raised anything else, which reaches napari with its traceback.
    dropped : callable, optional
        Called on the GUI thread if a later job takes its place.
    replaced : bool
        Whether a later job took its place.
    """

    work: Callable[[Report], Any]
    done: Callable[[Any], None]
    failed: Callable[[Sam2Error], None]
    reported: Callable[[Any], None] | None = None
    key: Hashable | None = None
    abandoned: Answer | None = None
    dropped: Answer | None = None
    replaced: bool = False

    def run(self, report: Report) -> Answer:
        """Work; return what is to be called on the GUI thread."""
        if self.replaced:
            return self.dropped or _nothing
        try:
            result = self.work(report)
        except Sam2Error as error:
            return _call(self.failed, error)
        return _call(self.done, result)

    def give_up(self) -> None:
        """Tell that it ended by a defect."""
        if self.abandoned is not None:
            self.abandoned()


@dataclass(slots=True, eq=False)
class Iteration:
    """Work in steps, between which jobs run; can stand still, go on and end.

    Attributes
    ----------
    start : callable
        Makes the iterator, in the background.
    step : callable
        Gets each value of it.
    ended : callable
        Called once, with the `Sam2Error` that ended it or None.
    paused, cancelled : bool
        Set on the GUI thread, followed by `Lane.wake`.
    """

    start: Callable[[], Iterator[Any]]
    step: Callable[[Any], None]
    ended: Callable[[Sam2Error | None], None]
    paused: bool = False
    cancelled: bool = False
    over: bool = False
    _values: Iterator[Any] | None = None

    @property
    def due(self) -> bool:
        """Whether there is a step to take."""
        return not self.over and (self.cancelled or not self.paused)

    def run(self, report: Report) -> Answer:
        """Take one step; return what is to be called on the GUI thread."""
        if self.cancelled:
            return self._end(None)
        try:
            if self._values is None:
                self._values = self.start()
            value = next(self._values)
        except StopIteration:
            return self._end(None)
        except Sam2Error as error:
            return self._end(error)
        return _call(self.step, value)

    def give_up(self) -> None:
        """Tell that it ended by a defect."""
        self.over = True
        self.ended(None)

    def _end(self, error: Sam2Error | None) -> Answer:
        self.over = True
        self._values = None
        return _call(self.ended, error)


class Lane(Protocol):
    """Runs jobs one at a time, and the steps of one iteration when none waits."""

    def submit(self, job: Job) -> None:
        """Run a job after those that wait."""

    def iterate(self, iteration: Iteration) -> None:
        """Take steps whenever no job waits, in place of an iteration that is over."""

    def wake(self) -> None:
        """Go on after an iteration's `paused` or `cancelled` was changed."""

    def close(self) -> None:
        """Drop what waits, and end after the step in work; nobody is told any more."""


class _Waiting:
    """What waits in a lane: filled on the GUI thread, emptied in the background.

    Appending to a deque and popping from it are atomic.
    """

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()
        self._iteration: Iteration | None = None

    def put(self, job: Job) -> None:
        if job.key is not None:
            for earlier in tuple(self._jobs):
                if earlier.key == job.key:
                    # Too late if it has been taken meanwhile; then both run.
                    earlier.replaced = True
        self._jobs.append(job)

    def put_iteration(self, iteration: Iteration) -> None:
        earlier = self._iteration
        if earlier is not None and not (earlier.over or earlier.cancelled):
            raise ValueError("an iteration is not over yet")
        self._iteration = iteration

    def take(self) -> Job | Iteration | None:
        if self._jobs:
            return self._jobs.popleft()
        iteration = self._iteration
        return iteration if iteration is not None and iteration.due else None

    def any(self) -> bool:
        iteration = self._iteration
        return bool(self._jobs) or (iteration is not None and iteration.due)

    def clear(self) -> None:
        self._jobs.clear()
        if self._iteration is not None:
            self._iteration.over = True


class WorkerLane:
    """A lane on napari's thread workers: one at a time, gone when nothing waits."""

    def __init__(self) -> None:
        self._waiting = _Waiting()
        self._worker: Any = None
        self._running: Job | Iteration | None = None
        self._closed = False
        self._idle = threading.Event()
        self._idle.set()
        # Python must not end before the thread, whose Qt objects would be gone.
        weakref.finalize(self, _await, self._idle)

    def submit(self, job: Job) -> None:
        """Run a job after those that wait."""
        self._waiting.put(job)
        self.wake()

    def iterate(self, iteration: Iteration) -> None:
        """Take steps whenever no job waits."""
        self._waiting.put_iteration(iteration)
        self.wake()

    def wake(self) -> None:
        """Start a worker unless one runs, which then sees what waits."""
        from napari.qt.threading import create_worker

        if self._worker is not None or self._closed or not self._waiting.any():
            return
        worker = create_worker(self._work)
        self._worker = worker
        worker.yielded.connect(self._answer)
        worker.finished.connect(self._finished)
        worker.start()

    def close(self) -> None:
        """Drop what waits; answers still under way reach nobody."""
        self._closed = True
        self._waiting.clear()
        if self._worker is not None:
            self._worker.quit()

    def _work(self) -> Iterator[Answer]:
        """Run what waits, in the background, until nothing does."""
        self._idle.clear()
        yield_to_window()
        try:
            while not self._ends() and (task := self._waiting.take()) is not None:
                self._running = task
                answer = self._attempt(task)
                # A worker that ends leaves this where it yields, so never idle.
                if not self._ends():
                    yield answer
        finally:
            self._idle.set()

    def _attempt(self, task: Job | Iteration) -> Answer:
        """Run a task; a defect becomes an answer too, and the lane goes on."""
        try:
            return task.run(self._report)
        # superqt keeps a RuntimeError to itself, and the lane would stand still.
        except Exception as error:  # noqa: BLE001
            return partial(_fail, task, error)

    def _report(self, value: Any) -> bool:
        """Hand a value of the running job to the GUI thread, unless that is over."""
        job = self._running
        if self._ends():
            return False
        if isinstance(job, Job) and job.reported is not None:
            self._worker.yielded.emit(_call(job.reported, value))
        return True

    def _ends(self) -> bool:
        """Return whether nobody listens any more: the lane is closed, or napari is."""
        worker = self._worker
        return self._closed or worker is None or worker.abort_requested

    def _answer(self, answer: Answer) -> None:
        if not self._closed:
            answer()

    def _finished(self) -> None:
        """Start anew if something came while the worker was ending."""
        self._worker = None
        self._running = None
        self.wake()


class InlineLane:
    """A lane that runs everything at once on the calling thread, for tests.

    Parameters
    ----------
    automatic : bool
        Run what is submitted until nothing is left; else `step` runs one task.
    """

    def __init__(self, *, automatic: bool = True) -> None:
        self.automatic = automatic
        self._waiting = _Waiting()
        self._busy = False
        self._closed = False

    def submit(self, job: Job) -> None:
        """Take a job."""
        self._waiting.put(job)
        self.wake()

    def iterate(self, iteration: Iteration) -> None:
        """Take an iteration."""
        self._waiting.put_iteration(iteration)
        self.wake()

    def wake(self) -> None:
        """Run all that waits, if automatic."""
        if self.automatic:
            self.run()

    def run(self) -> None:
        """Run all that waits; within an answer, leave that to the caller below."""
        if self._busy:
            return
        while self.step():
            pass

    def step(self) -> bool:
        """Run one task with its answer; return whether there was one."""
        task = None if self._closed or self._busy else self._waiting.take()
        if task is None:
            return False
        self._busy = True
        try:
            answer = task.run(self._reporter(task))
            if not self._closed:
                answer()
        finally:
            self._busy = False
        return True

    def close(self) -> None:
        """Drop what waits."""
        self._closed = True
        self._waiting.clear()

    def _reporter(self, task: Job | Iteration) -> Report:
        def report(value: Any) -> bool:
            if self._closed:
                return False
            if isinstance(task, Job) and task.reported is not None:
                task.reported(value)
            return True

        return report


def yield_to_window() -> None:
    """Let the calling thread, and those that it starts, give way to the window's.

    Where window and network share few processors, drawing is late otherwise. Only
    Linux knows priorities of threads that need no rights.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


def _await(idle: threading.Event) -> None:
    """Wait for the thread of a lane, and a moment more, in which it says goodbye."""
    if not idle.is_set():
        idle.wait(_PATIENCE)
        time.sleep(0.05)


def _fail(task: Job | Iteration, error: Exception) -> None:
    """Tell that a task ended by a defect, and let napari show it."""
    task.give_up()
    raise error


def _nothing() -> None:
    """Answer a job that was replaced and need not be told."""


def _call(function: Callable[[Any], None], value: Any) -> Answer:
    return lambda: function(value)
