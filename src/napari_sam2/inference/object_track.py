"""One object through the stack: prompts, results, approvals, what is stale."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from napari_sam2.inference.memory import MemoryBank
    from napari_sam2.inference.prompt import Prompt
    from napari_sam2.inference.results import FrameResult, ResultStore


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """A prompted frame whose memory is still to be encoded.

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
        Prompted frames whose memory is still to be encoded.
    visited : dict
        Frames that a published pass went over, and whether it went backward.
    """

    object_id: int
    bank: MemoryBank
    results: ResultStore
    prompts: dict[int, Prompt] = field(default_factory=dict)
    approved: set[int] = field(default_factory=set)
    stale: set[int] = field(default_factory=set)
    pending: dict[int, Pending] = field(default_factory=dict)
    visited: dict[int, bool] = field(default_factory=dict)
    _changed: dict[int, int] = field(default_factory=dict)
    _revision: int = 0
    _computed: dict[int, int] = field(default_factory=dict)

    def anchors(self) -> list[int]:
        """Return the frames that propagation never writes, sorted."""
        return sorted(self.prompts.keys() | self.approved)

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

    def result(self, frame: int) -> FrameResult | None:
        """Return the newest result of `frame`."""
        if frame in self.pending:
            return self.pending[frame].result
        return self.results.get(frame) if frame in self.results else None

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
        self._mark(
            f
            for f in self.results.frames()
            if f != frame
            and (below is None or f > below)
            and (above is None or f < above)
        )

    def note_release(self, frame: int) -> None:
        """Mark what an approval shielded from the changes of prompts beyond it."""
        below, above = self.neighbours(frame)
        newest = max(
            self._changed.get(f, 0) for f in (below, above, frame) if f is not None
        )
        self._mark(
            f
            for f in self.results.frames()
            if (below is None or f > below)
            and (above is None or f < above)
            and self._computed.get(f, 0) < newest
        )

    def _mark(self, frames: Iterable[int]) -> None:
        marked = [f for f in frames if not self.is_anchor(f)]
        self.stale.update(marked)
        if not self.bank.rules.keep_stale:
            self.bank.forget(marked)
