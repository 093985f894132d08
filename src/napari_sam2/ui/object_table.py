"""The objects as the user sees them: names, locks, and what is known by frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.ui.records import (
    Mark,
    ObjectRow,
    ObjectStatus,
    Timeline,
    TimelineColumn,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from napari_sam2.ui.engine import FrameAnswer, RowAnswer

    Color = tuple[float, float, float, float]

# An area that halves or doubles from one frame to the next is no reason for doubt.
_USUAL_CHANGE = 0.5


@dataclass(slots=True)
class _Object:
    """What the user says of an object."""

    name: str
    category: str = ""
    visible: bool = True
    locked: bool = False


class ObjectTable:
    """Objects by id, and their scores and marks on T frames.

    Parameters
    ----------
    num_frames : int
        T.
    """

    def __init__(self, num_frames: int) -> None:
        self.num_frames = num_frames
        self._objects: dict[int, _Object] = {}
        self._rows: dict[int, int] = {}  # id to row of the arrays
        self._free: list[int] = []
        self._scores = np.zeros((0, num_frames), np.float32)
        self._iou = np.zeros((0, num_frames), np.float32)
        self._areas = np.zeros((0, num_frames), np.float32)
        self._known = np.zeros((0, num_frames), bool)
        # Of an earlier session, and still on screen; never where it is known.
        self._earlier = np.zeros((0, num_frames), bool)
        self._marks = np.zeros((0, num_frames), np.uint8)

    def __contains__(self, object_id: int) -> bool:
        return object_id in self._objects

    def __len__(self) -> int:
        return len(self._objects)

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids in the order of the table, which is that of the ids."""
        return tuple(sorted(self._objects))

    def hidden(self) -> frozenset[int]:
        """Return the objects that are not shown."""
        return frozenset(i for i, o in self._objects.items() if not o.visible)

    def locked(self) -> frozenset[int]:
        """Return the objects that must not change."""
        return frozenset(i for i, o in self._objects.items() if o.locked)

    def fresh_id(self) -> int:
        """Return the lowest id above all objects."""
        return max(self._objects, default=0) + 1

    def add(self, object_id: int) -> bool:
        """Add an object unless it is there; return whether it was added."""
        if object_id in self._objects:
            return False
        self._objects[object_id] = _Object(f"Object {object_id}")
        if not self._free:
            self._grow()
        row = self._free.pop()
        self._rows[object_id] = row
        self._known[row] = self._earlier[row] = False
        self._marks[row] = 0
        return True

    def remove(self, object_ids: Iterable[int]) -> None:
        """Remove objects; ids that are not there do not matter."""
        for object_id in object_ids:
            if self._objects.pop(object_id, None) is not None:
                self._free.append(self._rows.pop(object_id))

    def clear_results(self) -> None:
        """Forget the marks, as for another session, and take the results for old."""
        self._earlier |= self._known
        self._known[:] = False
        self._marks[:] = 0

    def forget_earlier(
        self, object_ids: Iterable[int], frame: int | None = None
    ) -> list[int]:
        """Forget results of an earlier session, on one frame or on all.

        Returns the frames that had some.
        """
        rows = [self._rows[i] for i in object_ids if i in self._rows]
        frames = slice(None) if frame is None else [frame]
        found = np.zeros(self.num_frames, bool)
        found[frames] = self._earlier[rows][:, frames].any(0)
        for row in rows:
            self._earlier[row, frames] = False
        return [int(f) for f in np.flatnonzero(found)]

    def is_earlier(self, object_id: int, frame: int) -> bool:
        """Return whether all there is of an object on a frame is an old result."""
        row = self._rows.get(object_id)
        return row is not None and bool(self._earlier[row, frame])

    def any_earlier(self) -> bool:
        """Return whether any result is of an earlier session."""
        return bool(self._earlier.any())

    def earlier(self, frame: int) -> set[int]:
        """Return the objects that a frame shows a result of an earlier session of."""
        return {i for i, row in self._rows.items() if self._earlier[row, frame]}

    def rename(self, object_id: int, name: str) -> None:
        """Name an object; an empty name gives its own back."""
        self._objects[object_id].name = name.strip() or f"Object {object_id}"

    def set_category(self, object_id: int, category: str) -> None:
        """Give an object a class."""
        self._objects[object_id].category = category.strip()

    def set_visible(self, object_ids: Iterable[int], visible: bool) -> None:
        """Show or hide objects."""
        for object_id in object_ids:
            self._objects[object_id].visible = visible

    def set_locked(self, object_ids: Iterable[int], locked: bool) -> None:
        """Lock or unlock objects."""
        for object_id in object_ids:
            self._objects[object_id].locked = locked

    def update_frame(self, answer: FrameAnswer) -> None:
        """Take in what is known of a frame now."""
        frame = answer.frame
        self._known[:, frame] = False
        self._marks[:, frame] = 0
        taken = [i for i, o in enumerate(answer.object_ids) if o in self._rows]
        rows = [self._rows[answer.object_ids[i]] for i in taken]
        self._known[rows, frame] = True
        self._earlier[rows, frame] = False
        self._marks[rows, frame] = answer.marks[taken]
        self._scores[rows, frame] = answer.object_scores[taken]
        self._iou[rows, frame] = answer.predicted_iou[taken]
        self._areas[rows, frame] = answer.areas[taken]

    def update_row(self, answer: RowAnswer) -> None:
        """Take in what is marked on an object's frames now."""
        row = self._rows.get(answer.object_id)
        if row is not None:
            self._marks[row] = answer.marks
            self._known[row] &= answer.has_result

    def frames_marked(self, object_id: int, mark: Mark) -> list[int]:
        """Return the frames of an object that carry a mark, sorted."""
        marks = self._marks[self._rows[object_id]]
        return [int(f) for f in np.flatnonzero(marks & mark)]

    def prompted(self) -> frozenset[int]:
        """Return the objects that have a prompt on some frame."""
        with_prompt = np.any(self._marks & Mark.PROMPTED, axis=1)
        return frozenset(i for i, row in self._rows.items() if with_prompt[row])

    def is_known(self, object_id: int, frame: int) -> bool:
        """Return whether an object has a result on a frame."""
        row = self._rows.get(object_id)
        return row is not None and bool(self._known[row, frame])

    def frames_shown(self, object_id: int) -> list[int]:
        """Return the frames of an object that have a result, also an old one."""
        row = self._rows[object_id]
        return [int(f) for f in np.flatnonzero(self._known[row] | self._earlier[row])]

    def timeline(self) -> Timeline:
        """Return confidence and marks of all objects on all frames."""
        ids = self.object_ids
        rows = [self._rows[i] for i in ids]
        return Timeline(ids, self._confidence(rows), self._marks_of(rows))

    def column(self, frame: int) -> TimelineColumn:
        """Return confidence and marks of all objects on one frame."""
        rows = [self._rows[i] for i in self.object_ids]
        first = max(0, frame - 1)
        confidence = self._confidence(rows, slice(first, frame + 1))[:, -1]
        marks = self._marks_of(rows, slice(frame, frame + 1))[:, 0]
        return TimelineColumn(frame, confidence, marks)

    def rows(
        self, color: Callable[[int], Color], object_ids: Iterable[int] | None = None
    ) -> tuple[ObjectRow, ...]:
        """Return the rows of objects, of all if absent, with colours from `color`."""
        ids = self.object_ids if object_ids is None else tuple(object_ids)
        rows = [self._rows[i] for i in ids]
        confidence = self._confidence(rows)
        lowest = np.where(np.isnan(confidence), np.inf, confidence).min(1, initial=9)
        marks, known = self._marks_of(rows), self._known[rows]
        prompted = (marks & Mark.PROMPTED != 0).sum(1)
        approved = (marks & Mark.APPROVED != 0).sum(1)
        stale = (marks & Mark.STALE != 0).sum(1)
        done = (known & (marks & Mark.STALE == 0)).sum(1)
        out = []
        for at, object_id in enumerate(ids):
            one = self._objects[object_id]
            counts = int(prompted[at]), int(done[at]), int(stale[at])
            out.append(
                ObjectRow(
                    object_id=object_id,
                    name=one.name,
                    category=one.category,
                    color=color(object_id),
                    prompts=counts[0],
                    frames_done=counts[1],
                    approved=int(approved[at]),
                    lowest_score=float(lowest[at]) if lowest[at] <= 1 else float("nan"),
                    status=self._status(*counts),
                    visible=one.visible,
                    locked=one.locked,
                )
            )
        return tuple(out)

    def _status(self, prompts: int, done: int, stale: int) -> ObjectStatus:
        if stale:
            return ObjectStatus.STALE
        if done == self.num_frames:
            return ObjectStatus.DONE
        if done > prompts:
            return ObjectStatus.PARTIAL
        return ObjectStatus.PROMPTED if prompts else ObjectStatus.NEW

    def _marks_of(
        self, rows: list[int], frames: slice = slice(None)
    ) -> NDArray[np.uint8]:
        """Return the marks ``(N, t)`` of rows, with results of before as stale."""
        stale = self._earlier[rows, frames] * np.uint8(Mark.STALE)
        marks: NDArray[np.uint8] = self._marks[rows, frames] | stale
        return marks

    def _confidence(
        self, rows: list[int], frames: slice = slice(None)
    ) -> NDArray[np.float32]:
        """Return the confidence ``(N, t)`` of rows on frames; NaN where unknown."""
        return confidence(
            self._scores[rows, frames],
            self._iou[rows, frames],
            self._areas[rows, frames],
            self._known[rows, frames] | self._earlier[rows, frames],
        )

    def _grow(self) -> None:
        """Double the room for objects."""
        count = len(self._known)
        more = max(16, count)
        for name in ("_scores", "_iou", "_areas", "_known", "_earlier", "_marks"):
            array = getattr(self, name)
            room = np.zeros((more, self.num_frames), array.dtype)
            setattr(self, name, np.concatenate([array, room]))
        self._free = list(range(count + more - 1, count - 1, -1))


def confidence(
    object_scores: NDArray[np.float32],
    predicted_iou: NDArray[np.float32],
    areas: NDArray[np.float32],
    known: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Return how far results can be trusted, 0..1; NaN where there is none.

    The probability of presence times the expected IoU, or the probability of absence;
    less where the area is below half or above twice that of the frame before.

    Parameters
    ----------
    object_scores, predicted_iou, areas : ndarray
        ``(N, T)`` float32: logits, 0..1, pixels.
    known : ndarray
        ``(N, T)`` bool.
    """
    present = object_scores > 0
    likely = 1 / (1 + np.exp(-object_scores.clip(-50, 50)))
    trust = np.where(present, likely * predicted_iou.clip(0, 1), 1 - likely)
    if areas.shape[1] > 1:
        before, after = areas[:, :-1], areas[:, 1:]
        larger = np.maximum(before, after)
        ratio = np.minimum(before, after) / np.maximum(larger, 1)
        tracked = known[:, :-1] & known[:, 1:] & present[:, :-1] & present[:, 1:]
        usual = (ratio / _USUAL_CHANGE).clip(0, 1)
        trust[:, 1:] *= np.where(tracked, usual, 1)
    return np.where(known, trust, np.nan).astype(np.float32)


def next_doubtful(
    timeline: Timeline,
    object_ids: Iterable[int],
    *,
    frame: int,
    object_id: int,
    below: float,
    worst: bool,
) -> tuple[int, int] | None:
    """Find the frame to look at next.

    Parameters
    ----------
    timeline : Timeline
        Of all objects.
    object_ids : iterable of int
        Those that count.
    frame, object_id : int
        Where the user is: the answer comes after it, by frame, then by object.
    below : float
        What confidence is doubtful.
    worst : bool
        Give the lowest confidence of all instead.

    Returns
    -------
    tuple of int or None
        Frame and object; None if nothing is doubtful.
    """
    wanted = set(object_ids)
    stops: list[tuple[int, int, float]] = []
    for row, one in enumerate(timeline.object_ids):
        if one not in wanted:
            continue
        trust = timeline.confidence[row]
        settled = timeline.marks[row] & (Mark.PROMPTED | Mark.APPROVED) != 0
        doubtful = ~settled & (trust < below)
        edges = np.flatnonzero(np.diff(np.r_[0, doubtful.astype(np.int8), 0]))
        for first, end in edges.reshape(-1, 2):
            lowest = int(first + np.argmin(trust[first:end]))
            stops.append((lowest, one, float(trust[lowest])))
    if not stops:
        return None
    if worst:
        found = min(stops, key=lambda stop: stop[2])
    else:
        stops.sort()
        here = (frame, object_id)
        found = next((s for s in stops if s[:2] > here), stops[0])
    return found[0], found[1]
