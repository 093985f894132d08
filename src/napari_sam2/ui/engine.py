"""What runs in the background: a predictor and a session, and frozen answers.

Nothing else touches the session; nothing here touches a layer.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_sam2.errors import ImageError, PromptError
from napari_sam2.ui.records import Mark

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from napari_sam2.data.contrast import Contrast
    from napari_sam2.data.source import FrameSource
    from napari_sam2.inference.masks import FrameMasks
    from napari_sam2.inference.options import PredictorOptions
    from napari_sam2.inference.prompt import Prompt
    from napari_sam2.inference.schedule import Direction
    from napari_sam2.inference.session import Session
    from napari_sam2.ui.drawn import CroppedMask


LESS_MEMORY = "choose a smaller model"
"""What to do where memory is full."""


class Predictor(Protocol):
    """What the plugin asks of a `VideoPredictor`."""

    model: Any
    options: PredictorOptions

    def __init__(self, model: Any, options: PredictorOptions | None = None) -> None: ...

    def start(
        self, frames: FrameSource, *, contrast: Contrast | None = None
    ) -> Session:
        """Start a session on a stack."""

    def add_prompt(
        self, session: Session, *, frame: int, object_id: int, prompt: Prompt
    ) -> FrameMasks:
        """Give an object a prompt on a frame."""

    def remove_prompt(
        self, session: Session, *, frame: int, object_id: int
    ) -> FrameMasks:
        """Take a prompt back."""

    def propagate(
        self,
        session: Session,
        *,
        direction: Direction = "forward",
        frames: tuple[int, int] | None = None,
        object_ids: Iterable[int] | None = None,
    ) -> Iterator[FrameMasks]:
        """Track objects, yielding each frame when it is done."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameAnswer:
    """All objects of one frame.

    Attributes
    ----------
    frame : int
        Which one.
    revision : int
        Of the last change that it takes account of.
    labels : ndarray
        ``(H, W)`` object ids.
    object_ids : tuple of int
        Objects with a result there, N of them.
    marks : ndarray
        ``(N,)`` uint8 of `Mark`.
    object_scores, predicted_iou : ndarray
        ``(N,)`` float32, as in `FrameMasks`.
    areas : ndarray
        ``(N,)`` int64 pixels in `labels`.
    """

    frame: int
    revision: int
    labels: NDArray[np.unsignedinteger] = field(repr=False)
    object_ids: tuple[int, ...]
    marks: NDArray[np.uint8] = field(repr=False)
    object_scores: NDArray[np.float32] = field(repr=False)
    predicted_iou: NDArray[np.float32] = field(repr=False)
    areas: NDArray[np.int64] = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class RowAnswer:
    """One object on all T frames.

    Attributes
    ----------
    object_id : int
        Which one.
    marks : ndarray
        ``(T,)`` uint8 of `Mark`.
    has_result : ndarray
        ``(T,)`` bool.
    """

    object_id: int
    marks: NDArray[np.uint8] = field(repr=False)
    has_result: NDArray[np.bool_] = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a change did.

    Attributes
    ----------
    frames : tuple of FrameAnswer
        Frames that look otherwise now.
    rows : tuple of RowAnswer
        Objects that it concerns.
    repaint : tuple of int
        Further frames that look otherwise, to be asked for one by one.
    message : str
        Why a part of the change was refused; empty if none was.
    """

    frames: tuple[FrameAnswer, ...] = ()
    rows: tuple[RowAnswer, ...] = ()
    repaint: tuple[int, ...] = ()
    message: str = ""


@dataclass(frozen=True, slots=True)
class Planned:
    """How many frames a propagation, or what is added to it, is going to compute."""

    total: int


class Engine:
    """A session on frames, with the predictor that works on it.

    Attributes
    ----------
    revision : int
        Of the last change made; every method that changes something takes its own.
    """

    def __init__(
        self, predictor: Predictor, frames: FrameSource, contrast: Contrast | None
    ) -> None:
        self._predictor = predictor
        self._session = predictor.start(frames, contrast=contrast)
        self.revision = 0
        self._changed = False

    def set_prompts(
        self, revision: int, frame: int, prompts: Mapping[int, Prompt | None]
    ) -> Answer:
        """Give objects prompts on a frame, by id, or take them back where it is None.

        An object without any prompt or approved frame left is forgotten.
        """
        self._note(revision)
        gone: set[int] = set()
        refused: PromptError | None = None
        for object_id, prompt in prompts.items():
            try:
                if prompt is None:
                    gone |= self._remove_prompt(frame, object_id)
                else:
                    with in_plain_words():
                        self._predictor.add_prompt(
                            self._session,
                            frame=frame,
                            object_id=object_id,
                            prompt=prompt,
                        )
            except PromptError as error:
                refused = error
        known = [i for i in prompts if self._session.has_object(i)]
        answer = self._answer([frame], known)
        message = "" if refused is None else str(refused)
        return replace(answer, repaint=tuple(sorted(gone - {frame})), message=message)

    def _remove_prompt(self, frame: int, object_id: int) -> set[int]:
        """Take a prompt back; return the frames that lose the object with it."""
        session = self._session
        if not session.has_object(object_id):
            return set()
        track = session.track(object_id)
        if frame not in track.prompts:
            return set()
        self._predictor.remove_prompt(session, frame=frame, object_id=object_id)
        if track.prompts or track.approved:
            return set()
        frames = set(track.results.frames())
        session.remove_track(object_id)
        return frames

    def remove_objects(self, revision: int, object_ids: Iterable[int]) -> Answer:
        """Forget objects; the frames that had a result of them are to be repainted."""
        self._note(revision)
        repaint: set[int] = set()
        for object_id in object_ids:
            if self._session.has_object(object_id):
                repaint.update(self._session.track(object_id).results.frames())
                self._session.remove_track(object_id)
        return Answer(repaint=tuple(sorted(repaint)))

    def approve(
        self, revision: int, frames: Iterable[int], object_ids: Iterable[int]
    ) -> Answer:
        """Approve what there is of objects on frames.

        Raises
        ------
        PromptError
            If there is nothing.
        """
        self._note(revision)
        session = self._session
        known = [i for i in object_ids if session.has_object(i)]
        found: set[int] = set()
        for frame in frames:
            here = [i for i in known if frame in session.track(i).results]
            if here:
                session.approve(frame, here)
                found.update(here)
        if not found:
            raise PromptError(
                "There is nothing to approve here: click on the object, or propagate "
                "to this frame first."
            )
        return self._answer([], sorted(found))

    def unapprove(
        self, revision: int, frames: Iterable[int], object_ids: Iterable[int]
    ) -> Answer:
        """Let propagation write frames again."""
        self._note(revision)
        known = [i for i in object_ids if self._session.has_object(i)]
        self._session.unapprove(frames, known)
        return self._answer([], known)

    def take_masks(
        self,
        revision: int,
        frame: int,
        masks: Mapping[int, CroppedMask],
        *,
        approve: bool,
    ) -> Answer:
        """Take masks of objects, by id, that an earlier session had on a frame.

        To approve them, also where the frame is prompted; if not, as what the next
        prompt refines.
        """
        self._note(revision)
        session = self._session
        for object_id, mask in masks.items():
            if not session.has_object(object_id):
                session.add_track(session.new_track(object_id))
            track, whole = session.track(object_id), mask.whole()
            if approve and frame in track.prompts:
                track.approve(frame, whole)
                continue
            labels = np.where(whole, object_id, 0)
            session.import_labels(frame, labels, object_id, approve=approve)
        return self._answer([frame], masks)

    def frame(self, frame: int) -> Answer:
        """Return a frame as it is."""
        return self._answer([frame], [])

    def propagate(
        self,
        direction: Direction,
        frames: tuple[int, int] | None,
        object_ids: tuple[int, ...] | None,
        without: frozenset[int] = frozenset(),
    ) -> Iterator[FrameAnswer | Planned]:
        """Track objects; where prompts change on the way, go on with what that left.

        Parameters
        ----------
        direction, frames
            As for `VideoPredictor.propagate`.
        object_ids : tuple of int, optional
            All if absent, also those that come on the way.
        without : frozenset of int
            Objects that are not tracked in any case.

        Raises
        ------
        PromptError
            If none of the objects has a prompt.
        """
        known = self._known(object_ids, without)
        if not known:
            raise PromptError(
                "There is nothing to propagate: click on an object first."
            )
        total = self._count_due(direction, frames, known)
        if not total:  # nothing is missing: all is tracked again
            whole = (0, self._session.num_frames - 1)
            total = self._count_due(direction, whole, known)
        while True:
            self._changed = False
            yield Planned(total)
            with in_plain_words():
                for masks in self._predictor.propagate(
                    self._session, direction=direction, frames=frames, object_ids=known
                ):
                    yield self._frame_answer(masks.frame)
            # A range was asked for whole, and is not computed whole once more.
            if not self._changed or frames is not None:
                return
            known = self._known(object_ids, without)
            total = self._count_due(direction, frames, known) if known else 0
            if not total:
                return

    def _known(
        self, object_ids: tuple[int, ...] | None, without: frozenset[int]
    ) -> tuple[int, ...]:
        """Return the objects to track, as far as they are there and have prompts."""
        session = self._session
        wanted = session.object_ids if object_ids is None else object_ids
        return tuple(
            i
            for i in wanted
            if i not in without and session.has_object(i) and session.track(i).prompts
        )

    def _count_due(
        self,
        direction: Direction,
        frames: tuple[int, int] | None,
        object_ids: tuple[int, ...],
    ) -> int:
        """Count the frames that a propagation will compute."""
        from napari_sam2.inference.schedule import count_due

        session = self._session
        span = (0, session.num_frames - 1) if frames is None else frames
        return count_due(
            session.tracks(object_ids), direction, span, every_frame=frames is not None
        )

    def _note(self, revision: int) -> None:
        self.revision = revision
        self._changed = True

    def _answer(self, frames: Iterable[int], object_ids: Iterable[int]) -> Answer:
        return Answer(
            tuple(self._frame_answer(frame) for frame in frames),
            tuple(self._row_answer(object_id) for object_id in object_ids),
        )

    def _frame_answer(self, frame: int) -> FrameAnswer:
        masks = self._session.masks(frame)
        labels = masks.labels()
        tracks = self._session.tracks(masks.object_ids)
        marks = [
            (Mark.PROMPTED * (frame in track.prompts))
            | (Mark.APPROVED * (frame in track.approved))
            | (Mark.STALE * (frame in track.stale))
            for track in tracks
        ]
        return FrameAnswer(
            frame=frame,
            revision=self.revision,
            labels=labels,
            object_ids=masks.object_ids,
            marks=np.array(marks, np.uint8),
            object_scores=masks.object_scores,
            predicted_iou=masks.predicted_iou,
            areas=_areas(labels, masks.object_ids),
        )

    def _row_answer(self, object_id: int) -> RowAnswer:
        track = self._session.track(object_id)
        marks = np.zeros(self._session.num_frames, np.uint8)
        for mark, frames in (
            (Mark.PROMPTED, track.prompts),
            (Mark.APPROVED, track.approved),
            (Mark.STALE, track.stale),
        ):
            marks[list(frames)] |= np.uint8(mark)
        has_result = np.zeros(self._session.num_frames, bool)
        has_result[track.results.frames()] = True
        return RowAnswer(object_id, marks, has_result)


def start_engine(
    predictor: Predictor, frames: FrameSource, contrast: Contrast | None
) -> Engine:
    """Start a session; runs in the background.

    Raises
    ------
    ImageError
        If the image cannot be read.
    """
    with in_plain_words():
        return Engine(predictor, frames, contrast)


@contextmanager
def in_plain_words() -> Iterator[None]:
    """Say what a user can do about what memory and files raise.

    Raises
    ------
    ImageError
        If the image can no longer be read.
    ConfigError
        If there is not enough memory.
    """
    from napari_sam2.devices import telling_full_memory

    try:
        with telling_full_memory(LESS_MEMORY):
            yield
    except OSError as error:
        raise ImageError(
            f"The image cannot be read ({error or type(error).__name__}). Check that "
            "its file is still there."
        ) from error


def _areas(
    labels: NDArray[np.unsignedinteger], object_ids: tuple[int, ...]
) -> NDArray[np.int64]:
    """Count the pixels of each object."""
    ids = np.array(object_ids, np.int64)
    highest = int(ids.max(initial=0))
    if highest < 2**20:
        counts = np.bincount(labels.ravel(), minlength=highest + 1)
        return counts[ids].astype(np.int64)
    found, sizes = np.unique(labels, return_counts=True)
    places = np.searchsorted(found, ids).clip(0, max(0, len(found) - 1))
    return np.where(found[places] == ids, sizes[places], 0).astype(np.int64)
