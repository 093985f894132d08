"""Which objects are tracked on which frames of a pass."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam2 import Prompt
from napari_sam2.inference.memory import MemoryBank, MemoryRules
from napari_sam2.inference.merging import write_tracked
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
                result = replace(RESULT, backward=plan.backward)
                write_tracked(track, frame, result, merging=plan.merging)
                tracked.append((track.object_id, frame, plan.backward))
    return tracked


@settings(max_examples=400)
@given(
    situation=situations(),
    direction=st.sampled_from(["forward", "backward", "both"]),
)
def test_what_is_missing_or_stale_in_reach_is_tracked_and_nothing_else(
    situation: Situation, direction: str
) -> None:
    backward = {"forward": False, "backward": True, "both": None}[direction]
    left = situation.left(backward=backward)
    track = situation.track()
    tracked = run([track], direction, (0, situation.num_frames - 1))
    frames = {frame for _, frame, _ in tracked}
    assert len(tracked) == len(set(tracked))
    assert not situation.anchors & frames
    if left:
        assert frames == left
    else:
        # Nothing is left to do: all in reach is tracked again.
        blank = replace(situation, done=frozenset(), stale=frozenset())
        assert frames == blank.left(backward=backward)
    if situation.prompted:
        assert all(track.is_done(frame) for frame in left)


@settings(max_examples=200)
@given(situation=situations(), data=st.data())
def test_a_range_is_tracked_whole(situation: Situation, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, situation.num_frames - 1))
    last = data.draw(st.integers(first, situation.num_frames - 1))
    tracked = run([situation.track()], "both", (first, last), every_frame=True)
    wanted = set(range(first, last + 1)) - situation.anchors
    expected = sorted(wanted) if situation.prompted else []
    assert sorted({frame for _, frame, _ in tracked}) == expected
    assert len(tracked) == len(set(tracked))


@settings(max_examples=200)
@given(situation=situations())
def test_both_ways_a_frame_is_tracked_once_from_each_anchor_beside_it(
    situation: Situation,
) -> None:
    tracked = run([situation.track()], "both", (0, situation.num_frames - 1))
    for frame in {frame for _, frame, _ in tracked}:
        ways = [backward for _, other, backward in tracked if other == frame]
        below = any(anchor < frame for anchor in situation.anchors)
        above = any(anchor > frame for anchor in situation.anchors)
        assert ways == [False] * below + [True] * above


@settings(max_examples=200)
@given(situation=situations(), backward=st.booleans())
def test_two_passes_one_after_the_other_do_what_both_at_once_do(
    situation: Situation, backward: bool
) -> None:
    whole = (0, situation.num_frames - 1)
    blank = replace(situation, done=frozenset(), stale=frozenset())
    first, second = blank.track(), blank.track()
    ways = ["backward", "forward"] if backward else ["forward", "backward"]
    apart = [
        step
        for way in ways
        if blank.left(backward=way == "backward")
        for step in run([first], way, whole)
    ]
    assert sorted(apart) == sorted(run([second], "both", whole))


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_between_anchors_a_pass_from_the_other_side_is_due(direction: str) -> None:
    track = Situation(5, frozenset({0, 4}), *[frozenset[int]()] * 3).track()
    run([track], "forward", (0, 4))
    assert all(track.lacks_side(frame, backward=True) for frame in (1, 2, 3))
    assert not any(track.lacks_side(frame, backward=False) for frame in (1, 2, 3))
    again = run([track], direction, (0, 4))
    expected = (1, 2, 3) if direction == "forward" else (3, 2, 1)
    assert [frame for _, frame, _ in again] == list(expected)
    lacking = direction == "forward"  # nothing was due, so all is as after the first
    assert track.lacks_side(2, backward=True) is lacking


def test_a_stale_half_is_not_merged() -> None:
    track = Situation(5, frozenset({0, 4}), *[frozenset[int]()] * 3).track()
    run([track], "forward", (0, 4))
    track.note_change(4)
    assert not track.lacks_side(2, backward=True)
    run([track], "backward", (0, 4))
    assert track.lacks_side(2, backward=False)


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
