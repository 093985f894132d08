"""Begins, pauses, ends and resumes propagations, one at a time."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_sam2.ui.propagation import Propagation
from napari_sam2.ui.records import Message, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.components import ViewerModel

    from napari_sam2.errors import Sam2Error
    from napari_sam2.ui.engine import Engine, FrameAnswer
    from napari_sam2.ui.jobs import Lane
    from napari_sam2.ui.propagation import Span
    from napari_sam2.ui.records import Progress
    from napari_sam2.ui.workspace import Workspace

_FOLLOW_SECONDS = 0.1  # at least between two frames that the viewer goes along to


class Runner:
    """The propagation under way, or the rest of one that was cancelled.

    Parameters
    ----------
    viewer : ViewerModel
        What goes along with the frames, if wished.
    lane : Lane
        Where it runs.

    Attributes
    ----------
    follow : bool
        Whether the viewer goes along.
    progressed : Signal(Progress or None)
        How far it is; None when it is over.
    changed : Signal()
        It began, stands still, goes on, or is over.
    ended : Signal()
        It is over, with all frames that were computed.
    message : Signal(Message)
        Why it ended early.
    """

    progressed = Signal(object)
    changed = Signal()
    ended = Signal()
    message = Signal(Message)

    def __init__(self, viewer: ViewerModel, lane: Lane) -> None:
        self._viewer = viewer
        self._lane = lane
        self._run: Propagation | None = None
        self._work: Workspace | None = None
        self._rest: Span | None = None
        self._followed = 0.0
        self.follow = False

    @property
    def running(self) -> bool:
        """Whether there is one, standing still or not."""
        return self._run is not None

    @property
    def paused(self) -> bool:
        """Whether it stands still."""
        return self._run is not None and self._run.paused

    @property
    def progress(self) -> Progress | None:
        """How far it is."""
        return None if self._run is None else self._run.progress

    def begin(self, work: Workspace, span: Span) -> None:
        """Begin one, unless there is one."""
        engine = work.link.engine
        if self._run is not None or engine is None:
            return
        self._rest = None
        self._work = work
        self._run = Propagation(
            span,
            arrived=lambda answer: self._arrive(work, engine, answer),
            progressed=self._progressed,
            ended=self._end,
        )
        self._run.start(self._lane, engine)
        self.changed.emit()

    def pause(self) -> None:
        """Stand still after the frame in work."""
        if self._run is not None and not self._run.paused:
            self._run.pause(True)
            self.changed.emit()

    def resume(self) -> None:
        """Go on, or begin with what a cancelled one left."""
        if self._run is not None:
            if self._run.paused:
                self._run.pause(False)
                self.changed.emit()
        elif self._rest is not None and self._work is not None:
            self.begin(self._work, self._rest)

    def cancel(self) -> None:
        """End after the frame in work; `resume` goes on."""
        if self._run is not None:
            self._run.cancel()

    def leave_out(self, object_ids: Iterable[int]) -> None:
        """Go on without objects; end if none is left."""
        run, work = self._run, self._work
        without = frozenset(object_ids)
        if run is None or work is None or without <= run.span.without:
            return
        left = work.table.prompted() - run.span.without - without
        if run.span.object_ids is not None:
            left &= frozenset(run.span.object_ids)
        if not left:
            run.cancel()
            return
        paused, rest = run.paused, run.span.rest_after(run.last_frame)
        run.cancel()
        self._run = None
        self.begin(work, replace(rest, without=rest.without | without))
        if paused:
            self.pause()

    def drop(self) -> None:
        """Forget it, as its session is gone."""
        self._rest = None
        if self._run is not None:
            run, self._run = self._run, None
            run.cancel()
            self.progressed.emit(None)
            self.changed.emit()

    def _arrive(self, work: Workspace, engine: Engine, answer: FrameAnswer) -> None:
        work.link.take_frame(engine, answer)
        now = time.monotonic()
        if self.follow and now - self._followed >= _FOLLOW_SECONDS:
            self._followed = now
            work.frames.show(self._viewer, answer.frame)

    def _progressed(self, progress: Progress) -> None:
        self.progressed.emit(progress)

    def _end(self, run: Propagation, error: Sam2Error | None) -> None:
        """Tell that it is over, unless another has taken its place."""
        work = self._work
        if run is not self._run or work is None:
            return
        self._run = None
        if run.cancelled:
            self._rest = run.span.rest_after(run.last_frame)
        if error is not None:
            self.message.emit(Message(str(error), Severity.ERROR))
        if self.follow and run.last_frame is not None:
            work.frames.show(self._viewer, run.last_frame)
        work.result.refresh(now=True)
        self.progressed.emit(None)
        self.ended.emit()
        self.changed.emit()
