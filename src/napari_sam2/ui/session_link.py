"""The session of an image in the background: what it is told, and what it answers."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_sam2.ui.engine import Answer, FrameAnswer, RowAnswer, start_engine
from napari_sam2.ui.jobs import Job
from napari_sam2.ui.records import Message, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from napari_sam2.data.contrast import Contrast
    from napari_sam2.data.source import FrameSource
    from napari_sam2.errors import Sam2Error
    from napari_sam2.inference.prompt import Prompt
    from napari_sam2.ui.drawn import CroppedMask, Drawn
    from napari_sam2.ui.engine import Engine, Predictor
    from napari_sam2.ui.jobs import Lane


class SessionLink:
    """Tells the session of an image of changes, and takes its answers in.

    All of it lives on the GUI thread but the `Engine`, which is only handed to jobs.
    Each change has a number, so that an answer is known to be out of date.

    Parameters
    ----------
    lane : Lane
        Where jobs run.
    frame_shown : callable
        Returns the frame on screen, which is painted first.

    Attributes
    ----------
    engine : Engine, optional
        The session; None while there is none.
    frame_answered : Signal(FrameAnswer)
        A frame, of which no later change is under way.
    row_answered : Signal(RowAnswer)
        An object that changed.
    settled : Signal()
        All that a change did was told.
    jobs_changed : Signal()
        Whether jobs wait may have changed; see `busy`.
    message : Signal(Message)
        A sentence for the user.
    """

    frame_answered = Signal(FrameAnswer)
    row_answered = Signal(RowAnswer)
    settled = Signal()
    jobs_changed = Signal()
    message = Signal(Message)

    def __init__(self, lane: Lane, frame_shown: Callable[[], int]) -> None:
        self.engine: Engine | None = None
        self._lane = lane
        self._frame_shown = frame_shown
        self._starting: object = None
        self._revision = 0
        self._frame_revision: defaultdict[int, int] = defaultdict(int)
        self._removed: dict[int, int] = {}  # objects, with the number of the change
        self._to_repaint: set[int] = set()
        self._repainting = False
        self._open_jobs = 0

    @property
    def busy(self) -> bool:
        """Whether jobs wait or run, or a session is being started."""
        return self._open_jobs > 0 or bool(self._to_repaint)

    @property
    def removed(self) -> Collection[int]:
        """The objects that were ever removed."""
        return self._removed.keys()

    def stop(self) -> None:
        """Let the session go; `start` makes another."""
        self.engine = None
        self._starting = None
        self._frame_revision.clear()
        self._to_repaint.clear()
        self._repainting = False

    def start(
        self,
        predictor: Predictor,
        frames: FrameSource,
        contrast: Contrast | None,
        started: Callable[[], None],
    ) -> None:
        """Start a session in place of this one, then call."""
        self.stop()
        token = self._starting = object()

        def done(engine: Engine) -> None:
            if self._starting is token:
                self.engine = engine
                started()

        def failed() -> None:
            if self._starting is token:
                self._starting = None

        self.run(
            lambda: start_engine(predictor, frames, contrast),
            done,
            failed,
            key=("start", id(self)),
        )

    @property
    def failed(self) -> bool:
        """Whether there is no session, and none is on its way."""
        return self.engine is None and self._starting is None

    def set_prompts(
        self,
        frame: int,
        drawn: Mapping[int, Drawn | None],
        shape: tuple[int, int],
        then: Callable[[], None],
        otherwise: Callable[[], None],
    ) -> None:
        """Give objects prompts on a frame of ``(H, W)``, in place of those that wait.

        None takes an object's prompt back. Then call; if the session could not compute
        what they give, which is told, call `otherwise` instead.
        """
        engine, revision = self._engine(), self._next()
        self._frame_revision[frame] = revision

        def work() -> Answer:
            prompts: dict[int, Prompt | None] = {
                i: None if one is None else one.prompt(shape)
                for i, one in drawn.items()
            }
            return engine.set_prompts(revision, frame, prompts)

        key = id(engine), frame, *drawn
        self._change(work, then=then, otherwise=otherwise, key=key)

    def take_masks(
        self,
        frame: int,
        masks: Mapping[int, CroppedMask],
        *,
        approve: bool,
        then: Callable[[], None],
    ) -> None:
        """Give objects masks on a frame that an earlier session had, then call."""
        work = partial(
            self._engine().take_masks, self._next(), frame, masks, approve=approve
        )
        self._change(work, then=then)

    def approve(
        self,
        frames: Iterable[int],
        object_ids: Iterable[int],
        *,
        back: bool,
        over: Callable[[], None],
    ) -> None:
        """Approve masks of objects on frames, or take that back; then call."""
        engine = self._engine()
        change = engine.unapprove if back else engine.approve
        work = partial(change, self._next(), tuple(frames), tuple(object_ids))
        self._change(work, then=over, otherwise=over)

    def remove_objects(self, object_ids: Iterable[int], frames: Iterable[int]) -> bool:
        """Forget objects, and repaint frames; return whether a session does so."""
        ids, revision = tuple(object_ids), self._next()
        self._removed.update(dict.fromkeys(ids, revision))
        if self.engine is None:
            return False
        also = frozenset(frames)
        work = partial(self.engine.remove_objects, revision, ids)
        self._change(work, then=lambda: self.repaint(also))
        return True

    def take_frame(self, engine: Engine, answer: FrameAnswer) -> None:
        """Take in a frame that was computed, unless it is out of date."""
        if engine is not self.engine:
            return
        if answer.revision < self._frame_revision[answer.frame]:
            return
        gone = [i for i, since in self._removed.items() if answer.revision < since]
        if gone:
            labels = np.where(np.isin(answer.labels, gone), 0, answer.labels)
            answer = replace(answer, labels=labels.astype(answer.labels.dtype))
        self.frame_answered.emit(answer)

    def repaint(self, frames: Iterable[int]) -> None:
        """Ask for frames again, one after the other, so that clicks come between."""
        self._to_repaint.update(frames)
        engine = self.engine
        if engine is None or self._repainting or not self._to_repaint:
            return
        shown = self._frame_shown()
        frame = shown if shown in self._to_repaint else min(self._to_repaint)
        self._repainting = True

        def done(answer: Answer | None) -> None:
            if engine is not self.engine:
                return
            self._repainting = False
            self._to_repaint.discard(frame)
            for one in answer.frames if answer is not None else ():
                self.take_frame(engine, one)
            if self._to_repaint:
                self.repaint(())
                return
            self.settled.emit()
            self.jobs_changed.emit()

        self.run(partial(engine.frame, frame), done, partial(done, None))

    def run(
        self,
        work: Callable[[], Any],
        done: Callable[[Any], None],
        otherwise: Callable[[], None] | None = None,
        *,
        key: object = None,
    ) -> None:
        """Run a job beside the changes, and count it until it is over.

        Parameters
        ----------
        work : callable
            Runs in the background.
        done : callable
            Gets what it returned.
        otherwise : callable, optional
            Called if it failed, which is told.
        key : hashable, optional
            As in `Job`.
        """

        def over() -> None:
            self._open_jobs -= 1
            self.jobs_changed.emit()

        def succeeded(value: Any) -> None:
            over()
            done(value)

        def failed(error: Sam2Error) -> None:
            over()
            self.message.emit(Message(str(error), Severity.ERROR))
            if otherwise is not None:
                otherwise()

        def abandoned() -> None:
            over()
            if otherwise is not None:
                otherwise()

        self._open_jobs += 1
        self._lane.submit(
            Job(
                lambda _report: work(),
                succeeded,
                failed,
                key=key,
                abandoned=abandoned,
                dropped=over,
            )
        )
        self.jobs_changed.emit()

    def _engine(self) -> Engine:
        assert self.engine is not None
        return self.engine

    def _next(self) -> int:
        """Return the number of a change that is made now."""
        self._revision += 1
        return self._revision

    def _change(
        self,
        work: Callable[[], Answer],
        *,
        key: object = None,
        then: Callable[[], None] = lambda: None,
        otherwise: Callable[[], None] = lambda: None,
    ) -> None:
        """Run a change of the session and take its answer in, if it is still there.

        `otherwise` is called if the change failed.
        """
        engine = self.engine
        assert engine is not None

        def done(answer: Answer) -> None:
            if engine is not self.engine:
                return
            then()
            for one in answer.frames:
                self.take_frame(engine, one)
            for row in answer.rows:
                self.row_answered.emit(row)
            self.repaint(answer.repaint)
            if answer.message:
                self.message.emit(Message(answer.message, Severity.WARNING))
            self.settled.emit()

        def current() -> Answer:
            # Changes of a session that is gone need no network.
            return work() if engine is self.engine else Answer()

        def failed() -> None:
            if engine is self.engine:
                otherwise()

        self.run(current, done, failed, key=key)
