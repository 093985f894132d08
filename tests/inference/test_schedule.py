"""Which objects are tracked on which frames of a pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam2 import Prompt
from napari_sam2.inference.memory import MemoryBank, MemoryRules
from napari_sam2.inference.object_track import ObjectTrack
from napari_sam2.inference.results import FrameResult, ResultStore
from napari_sam2.inference.schedule import passes
from napari_sam2.model.records import View

RULES = MemoryRules(num_maskmem=7, max_conditioning_frames=4)
RESULT = FrameResult(np.zeros((2, 2), np.float32), View.whole((8, 8), 32), 1.0, 1.0)
CLICK = Prompt([[1, 1]])


@dataclass(frozen=True)
class Situation:
    """An object in the middle of its work."""

    num_frames: int
    prompted: frozenset[int]
    approved: frozenset[int]
    done: frozenset[int]
    stale: frozenset[int]

    @property
    def anchors(self) -> frozenset[int]:
        return self.prompted | self.approved

    def track(self, object_id: int = 1) -> ObjectTrack:
        track = ObjectTrack(
            object_id,
            bank=MemoryBank(RULES),
            results=ResultStore(None),
            prompts=dict.fromkeys(self.prompted, CLICK),
            approved=set(self.approved),
        )
        for frame in self.done | self.anchors:
            track.write(frame, RESULT)
        track.stale |= self.stale
        return track

    def left(self, *, backward: bool | None) -> set[int]:
        """Frames to track, in reach of a direction (None: of either)."""
        left = set(range(self.num_frames)) - self.anchors - (self.done - self.stale)
        if not self.prompted:
            return set()
        below, above = min(self.anchors), max(self.anchors)
        if backward is None:
            return left
        return {f for f in left if (f < above if backward else f > below)}


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    num_frames = draw(st.integers(1, 30))
    some = st.frozensets(st.integers(0, num_frames - 1), max_size=num_frames)
    few = st.frozensets(st.integers(0, num_frames - 1), max_size=4)
    prompted, approved = draw(few), draw(few)
    done = draw(some)
    stale = draw(some) & done - prompted - approved
    return Situation(num_frames, prompted, approved, done, stale)


def run(
    tracks: list[ObjectTrack],
    direction: str,
    frames: tuple[int, int],
    *,
    every_frame: bool = False,
) -> list[tuple[int, int, bool]]:
    """Carry a plan out: (object, frame, backward) in order."""
    tracked = []
    first, last = frames
    for plan in passes(tracks, direction, frames, every_frame=every_frame):
        order = range(first, last + 1)
        for frame in reversed(order) if plan.backward else order:
            due = [track for track in tracks if plan.tracks(track, frame)]
            for track in due:
                track.write(frame, RESULT)
                tracked.append((track.object_id, frame, plan.backward))
    return tracked


@settings(max_examples=400)
@given(
    situation=situations(),
    direction=st.sampled_from(["forward", "backward", "both"]),
    data=st.data(),
)
def test_what_is_missing_or_stale_in_reach_is_tracked_once_and_nothing_else(
    situation: Situation, direction: str, data: st.DataObject
) -> None:
    backward = {"forward": False, "backward": True, "both": None}[direction]
    left = situation.left(backward=backward)
    tracked = run([situation.track()], direction, (0, situation.num_frames - 1))
    frames = [frame for _, frame, _ in tracked]
    assert len(frames) == len(set(frames))
    assert not situation.anchors & set(frames)
    if left:
        assert set(frames) == left
    else:
        # Nothing is left to do: all in reach is tracked again.
        blank = Situation(
            situation.num_frames,
            situation.prompted,
            situation.approved,
            frozenset(),
            frozenset(),
        )
        assert set(frames) == blank.left(backward=backward)


@settings(max_examples=200)
@given(situation=situations(), data=st.data())
def test_a_range_is_tracked_whole(situation: Situation, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, situation.num_frames - 1))
    last = data.draw(st.integers(first, situation.num_frames - 1))
    tracked = run([situation.track()], "both", (first, last), every_frame=True)
    wanted = set(range(first, last + 1)) - situation.anchors
    expected = sorted(wanted) if situation.prompted else []
    assert sorted(frame for _, frame, _ in tracked) == expected


@settings(max_examples=200)
@given(situation=situations())
def test_both_ways_each_frame_comes_from_the_nearer_anchor(
    situation: Situation,
) -> None:
    tracked = run([situation.track()], "both", (0, situation.num_frames - 1))
    for _, frame, backward in tracked:
        below = max((a for a in situation.anchors if a < frame), default=None)
        above = min((a for a in situation.anchors if a > frame), default=None)
        if below is None or above is None:
            assert backward == (below is None)
        elif frame - below != above - frame:
            assert backward == (above - frame < frame - below)


@given(first=situations().filter(lambda s: s.left(backward=None)), second=situations())
def test_an_object_that_is_done_is_left_alone_while_another_is_not(
    first: Situation, second: Situation
) -> None:
    length = max(first.num_frames, second.num_frames)
    everything = frozenset(range(length))
    done = Situation(length, second.prompted, second.approved, everything, frozenset())
    tracked = run([first.track(1), done.track(2)], "both", (0, first.num_frames - 1))
    assert {object_id for object_id, _, _ in tracked} == {1}


@given(situation=situations())
def test_a_range_shows_its_prompted_and_approved_frames(situation: Situation) -> None:
    track = situation.track()
    whole = (0, situation.num_frames - 1)
    (plan,) = passes([track], "forward", whole, every_frame=True)
    shown = {f for f in range(situation.num_frames) if plan.shows(track, f)}
    assert shown == situation.anchors
