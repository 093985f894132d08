"""Which objects are tracked on which frame of a pass: integers only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_sam2.inference.object_track import ObjectTrack

Direction = Literal["forward", "backward", "both"]


@dataclass(frozen=True, slots=True)
class PassPlan:
    """One pass over the frames, in one direction.

    Attributes
    ----------
    backward : bool
        Whether the pass goes to lower frames.
    second : bool
        A pass the other way, of the same call, has been there before.
    again : frozenset of int
        Objects of which nothing is missing, and that are tracked again.
    every_frame : bool
        A range was asked for: all in it is tracked, and all in it is shown.
    """

    backward: bool
    second: bool = False
    again: frozenset[int] = frozenset()
    every_frame: bool = False

    def tracks(self, track: ObjectTrack, frame: int) -> bool:
        """Return whether the pass tracks an object on a frame.

        It does where the object has something to start from, the frame is neither
        prompted nor approved, and its result is missing, stale, tracked from the other
        side alone, or asked for anew.
        """
        if not track.prompts or track.is_anchor(frame):
            return False
        anew = self.every_frame or track.object_id in self.again
        done = track.is_done(frame) and not anew
        if done and not track.lacks_side(frame, backward=self.backward):
            return False
        below, above = track.neighbours(frame)
        return (above if self.backward else below) is not None

    @property
    def merging(self) -> bool:
        """Whether what passes from the other side found still counts."""
        return self.second or not (self.every_frame or self.again)

    def shows(self, track: ObjectTrack, frame: int) -> bool:
        """Return whether a frame is shown though nothing is tracked there.

        A prompted frame is where tracking starts or ends; in a range asked for,
        prompted and approved frames are in any case.
        """
        if self.every_frame:
            return track.is_anchor(frame)
        if frame not in track.prompts:
            return False
        beside = (frame - 1, frame + 1)
        return any(f >= 0 and self.tracks(track, f) for f in beside)


def passes(
    tracks: Iterable[ObjectTrack],
    direction: Direction,
    frames: tuple[int, int],
    *,
    every_frame: bool,
) -> list[PassPlan]:
    """Return the passes of a call, forward first.

    Objects of which something is missing or stale have just that computed. If there
    is no such object, all are tracked again.
    """
    both = direction == "both"
    ways = [False, True] if both else [direction == "backward"]
    plans = [PassPlan(way, both and way, every_frame=every_frame) for way in ways]
    tracks = list(tracks)
    first, last = frames
    if every_frame or any(
        plan.tracks(track, frame)
        for track in tracks
        for plan in plans
        for frame in range(first, last + 1)
    ):
        return plans
    again = frozenset(track.object_id for track in tracks)
    return [replace(plan, again=again) for plan in plans]


def count_due(
    tracks: Iterable[ObjectTrack],
    direction: Direction,
    frames: tuple[int, int],
    *,
    every_frame: bool,
) -> int:
    """Count the frames that the passes of a call are going to track.

    0 means that nothing is missing or stale in that direction, and that a call would
    track everything again.
    """
    tracks = list(tracks)
    plans = passes(tracks, direction, frames, every_frame=every_frame)
    if any(plan.again for plan in plans):
        return 0
    first, last = frames
    return sum(
        any(plan.tracks(track, frame) for track in tracks)
        for plan in plans
        for frame in range(first, last + 1)
    )
