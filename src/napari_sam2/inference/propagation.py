"""Passes over the frames of a session, one frame at a time.

The session may change between two frames: what is due is asked anew on each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam2.inference.schedule import Direction, passes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_sam2.inference.masks import FrameMasks
    from napari_sam2.inference.object_track import ObjectTrack
    from napari_sam2.inference.session import Session
    from napari_sam2.inference.tracking import FrameTracker


def propagate_spans(
    tracker: FrameTracker,
    direction: Direction,
    span: tuple[int, int],
    object_ids: tuple[int, ...] | None,
    *,
    every_frame: bool,
) -> Iterator[FrameMasks]:
    """Track what is missing or stale; see `VideoPredictor.propagate`."""
    session = tracker.session
    tracks = _present(session, object_ids)
    for plan in passes(tracks, direction, span, every_frame=every_frame):
        shown = False
        before: frozenset[int] = frozenset()
        for frame in _order(span, backward=plan.backward):
            wanted = _present(session, object_ids)
            due = [track for track in wanted if plan.tracks(track, frame)]
            if due:
                tracker.track(due, frame, backward=plan.backward, merging=plan.merging)
            elif not any(
                plan.shows(track, frame)
                or (track.object_id in before and frame in track.prompts)
                for track in wanted
            ):
                before = frozenset()
                continue
            before = frozenset(track.object_id for track in due)
            shown = True
            yield session.masks(frame, [track.object_id for track in wanted])
        if not shown and not plan.backward:
            yield from _prompted_frames(session, span, object_ids)


def _prompted_frames(
    session: Session,
    span: tuple[int, int],
    object_ids: tuple[int, ...] | None,
) -> Iterator[FrameMasks]:
    """Yield the prompted frames of a pass that has nothing to track."""
    first, last = span
    prompted = {f for t in _present(session, object_ids) for f in t.prompts}
    for frame in sorted(prompted):
        if first <= frame <= last:
            wanted = _present(session, object_ids)
            yield session.masks(frame, [track.object_id for track in wanted])


def propagate_published(
    tracker: FrameTracker,
    direction: Direction,
    span: tuple[int, int],
    object_ids: tuple[int, ...] | None,
    *,
    every_frame: bool,
) -> Iterator[FrameMasks]:
    """Track every object on every frame of the call, as published."""
    session = tracker.session
    start = min(f for t in session.tracks() for f in t.prompts)
    ways = {"forward": [False], "backward": [True], "both": [False, True]}
    for backward in ways[direction]:
        first, last = span
        if not every_frame:
            first, last = (0, start) if backward else (start, last)
        if backward and last == 0:
            continue
        tracker.encoding.settle(session.tracks())
        for frame in _order((first, last), backward=backward):
            wanted = _present(session, object_ids)
            due = [
                track
                for track in wanted
                if track.bank.conditioning
                and frame not in track.bank.conditioning
                and frame not in track.approved
            ]
            tracker.track(due, frame, backward=backward, merging=False)
            for track in wanted:
                track.visited[frame] = backward
            yield session.masks(
                frame, [t.object_id for t in wanted], missing_as_absent=True
            )


def _order(span: tuple[int, int], *, backward: bool) -> range:
    first, last = span
    return range(last, first - 1, -1) if backward else range(first, last + 1)


def _present(session: Session, object_ids: tuple[int, ...] | None) -> list[ObjectTrack]:
    """Return the objects wanted that are still part of the session."""
    if object_ids is None:
        return session.tracks()
    return session.tracks([i for i in object_ids if session.has_object(i)])
