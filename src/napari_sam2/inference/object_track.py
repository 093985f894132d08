"""One object through the stack: prompts, results, approvals, what is stale."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from napari_sam2.inference.packed_mask import PackedMask

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_sam2.inference.memory import MemoryBank
    from napari_sam2.inference.prompt import Prompt
    from napari_sam2.inference.results import FrameResult, KeptResult, ResultStore


@dataclass(frozen=True, slots=True, eq=False)
class Prompted:
    """What a prompt gave on its frame.

    Attributes
    ----------
    result : FrameResult
        What the prompt gave.
    pointer : Tensor
        Object pointer ``(1, C)``.
    conditions : bool
        Whether the frame becomes a conditioning frame.
    """

    result: FrameResult
    pointer: Tensor = field(repr=False)
    conditions: bool


@dataclass(slots=True, eq=False)
class _Displaced:
    """What a frame was before it was prompted.

    Attributes
    ----------
    result : KeptResult
        What was found there.
    approved, stale : bool
        Whether it was approved, or to be computed again.
    computed : int
        Revision of the track that the result knows.
    revision : int
        Of the track before the prompt.
    changed : int, optional
        When a prompt of the frame was changed last, if there had been one.
    marked : set of int
        Frames that the prompt made stale.
    """

    result: KeptResult = field(repr=False)
    approved: bool
    stale: bool
    computed: int
    revision: int
    changed: int | None
    marked: set[int] = field(default_factory=set)


@dataclass(slots=True)
class ObjectTrack:
    """One object through the stack.

    Attributes
    ----------
    object_id : int
        Its label.
    bank : MemoryBank
        What is remembered of it.
    results : ResultStore
        What was found of it.
    prompts : dict
        Its prompts, by frame.
    approved : set
        Frames that the user approved.
    stale : set
        Frames whose result is older than a prompt that bears on it.
    pending : dict
        What prompts gave that a published session puts off until the next pass.
    visited : dict
        Frames that a published pass went over, and whether it went backward.
    """

    object_id: int
    bank: MemoryBank
    results: ResultStore
    prompts: dict[int, Prompt] = field(default_factory=dict)
    approved: set[int] = field(default_factory=set)
    stale: set[int] = field(default_factory=set)
    pending: dict[int, Prompted] = field(default_factory=dict)
    visited: dict[int, bool] = field(default_factory=dict)
    _anchors: list[int] | None = None
    _changed: dict[int, int] = field(default_factory=dict)
    _revision: int = 0
    _released: int = 0
    _computed: dict[int, int] = field(default_factory=dict)
    _displaced: dict[int, _Displaced] = field(default_factory=dict)

    def anchors(self) -> list[int]:
        """Return the frames that propagation never writes, sorted."""
        if self._anchors is None:
            self._anchors = sorted(self.prompts.keys() | self.approved)
        return self._anchors

    def set_prompt(self, frame: int, prompt: Prompt) -> None:
        """Give a frame its prompt; an approval of what was there is void.

        What was there comes back if the prompt is dropped again, but not in published
        sessions, which keep no count of what is stale.
        """
        first = frame not in self.prompts and not self.bank.rules.keep_stale
        if first and frame in self.results:
            self._displaced[frame] = _Displaced(
                self.results.set_aside(frame),
                approved=frame in self.approved,
                stale=frame in self.stale,
                computed=self._computed.get(frame, 0),
                revision=self._revision,
                changed=self._changed.get(frame),
            )
        self.prompts[frame] = prompt
        self.open(frame)
        self.stale.discard(frame)

    def open(self, frame: int) -> None:
        """Let an approval be void, as another mask takes the place of that one."""
        self.approved.discard(frame)
        self._anchors = None

    def drop_prompt(self, frame: int) -> None:
        """Forget a frame's prompt and all that came of it.

        What the frame was before comes back, approved if it was. If nothing else was
        changed or computed since, nothing becomes stale.
        """
        del self.prompts[frame]
        self.open(frame)
        self.pending.pop(frame, None)
        self.visited.pop(frame, None)
        self.bank.drop_conditioning(frame)
        before = self._displaced.pop(frame, None)
        if before is None:
            self.results.drop(frame)
        else:
            self._put_back(frame, before)
            if self._is_latest(frame, before):
                self._undo_change(frame, before)
                return
        self.note_change(frame)
        if self.prompts and frame not in self.approved:
            self.stale.add(frame)

    def approve(self, frame: int, mask: NDArray[np.bool_]) -> None:
        """Let the mask ``(H, W)`` of a frame stand."""
        self._set_approved(frame, PackedMask.pack(mask))
        self.approved.add(frame)
        self.stale.discard(frame)
        self._anchors = None
        # What is remembered may be another mask than the approved one.
        self.bank.forget([frame])

    def release(self, frame: int) -> None:
        """Take an approval back, and mark what it shielded from changed prompts."""
        self._revision += 1
        self._released = self._revision
        self.open(frame)
        self._set_approved(frame, None)
        self.bank.forget([frame])
        if frame not in self.prompts:
            self._mark_older(frame)

    def neighbours(self, frame: int) -> tuple[int | None, int | None]:
        """Return the nearest anchors below and above `frame`, itself excepted."""
        anchors = self.anchors()
        below, above = bisect_left(anchors, frame), bisect_right(anchors, frame)
        return (
            anchors[below - 1] if below else None,
            anchors[above] if above < len(anchors) else None,
        )

    def is_anchor(self, frame: int) -> bool:
        """Return whether `frame` is prompted or approved."""
        return frame in self.prompts or frame in self.approved

    def is_done(self, frame: int) -> bool:
        """Return whether `frame` has a result that still stands."""
        return frame in self.results and frame not in self.stale

    def lacks_side(self, frame: int, *, backward: bool) -> bool:
        """Return whether a pass is to come that meets the one that tracked `frame`."""
        if not self.is_done(frame):
            return False
        found = self.results.summary(frame)
        return found.one_sided and found.backward != backward

    def result(self, frame: int) -> FrameResult | None:
        """Return the newest result of `frame`."""
        if frame in self.pending:
            return self.pending[frame].result
        return self.results.get(frame) if frame in self.results else None

    def nearest_result(self, frame: int) -> int | None:
        """Return the frame nearest to `frame` that has a result; None if none has."""
        frames = self.results.frames()
        return min(frames, key=lambda other: abs(other - frame), default=None)

    def write(self, frame: int, result: FrameResult) -> None:
        """Keep a tracked result."""
        self.results.put(frame, result)
        self.stale.discard(frame)
        self._computed[frame] = self._revision

    def note_change(self, frame: int) -> None:
        """Mark what depends on the prompt of `frame`, which was changed or removed."""
        self._revision += 1
        self._changed[frame] = self._revision
        below, above = self.neighbours(frame)
        between = self.results.between(below, above)
        marked = self._mark(f for f in between if f != frame)
        if frame in self._displaced:
            self._displaced[frame].marked |= marked

    def _put_back(self, frame: int, before: _Displaced) -> None:
        """Show what a frame was before it was prompted."""
        self.results.take_back(frame, before.result)
        self._computed[frame] = before.computed
        if before.approved:
            self.approved.add(frame)
            self._anchors = None

    def _is_latest(self, frame: int, before: _Displaced) -> bool:
        """Return whether only a frame's prompt was changed or computed since."""
        others = [
            *(revision for f, revision in self._changed.items() if f != frame),
            *(revision for f, revision in self._computed.items() if f != frame),
            self._released,
        ]
        return max(others) <= before.revision

    def _undo_change(self, frame: int, before: _Displaced) -> None:
        """Take back what a frame's prompt made stale, as if it had never been."""
        if before.changed is None:
            del self._changed[frame]
        else:
            self._changed[frame] = before.changed
        self._revision = before.revision
        self.stale -= before.marked
        if before.stale:
            self.stale.add(frame)

    def _mark_older(self, frame: int) -> None:
        """Mark results around a released frame that are older than a change there."""
        below, above = self.neighbours(frame)
        first = -1 if below is None else below
        newest = max(
            (
                revision
                for f, revision in self._changed.items()
                if first <= f and (above is None or f <= above)
            ),
            default=0,
        )
        between = self.results.between(below, above)
        self._mark(f for f in between if self._computed.get(f, 0) < newest)

    def _set_approved(self, frame: int, mask: PackedMask | None) -> None:
        pending = self.pending.get(frame)
        if pending is not None:
            result = replace(pending.result, approved=mask)
            self.pending[frame] = replace(pending, result=result)
        if frame in self.results:
            self.results.put(frame, replace(self.results.get(frame), approved=mask))

    def _mark(self, frames: Iterable[int]) -> set[int]:
        """Make frames stale but anchors; return those that were not."""
        marked = {f for f in frames if not self.is_anchor(f)}
        fresh = marked - self.stale
        self.stale |= marked
        if not self.bank.rules.keep_stale:
            self.bank.forget(marked)
        return fresh
