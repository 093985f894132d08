"""Tracking each object through frames of its own, all of them in common batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_sam2.inference.features import FeatureCache
from napari_sam2.inference.schedule import PassPlan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from napari_sam2.inference.tracking import FrameTracker
    from napari_sam2.model.records import ImageFeatures, View


@dataclass(slots=True)
class StackFeatures(FeatureCache):
    """Image features of as many frames as there is room for, the first come first.

    Passes go over the whole stack again and again, so that dropping what was used
    longest ago would drop everything just before it is needed.
    """

    _latest: tuple[int, dict[View, ImageFeatures]] | None = None

    def _known(self, frame: int) -> dict[View, ImageFeatures]:
        """Return what is at hand of a frame."""
        if self._latest is not None and self._latest[0] == frame:
            return self._latest[1]
        return self._kept.get(frame, {})

    def _keep(
        self, frame: int, features: dict[View, ImageFeatures], asked: Sequence[View]
    ) -> None:
        """Keep what was asked for, and all where there is room."""
        before = self._kept.get(frame, {})
        more = sum(one.nbytes for view, one in features.items() if view not in before)
        if self.nbytes + more <= self.max_bytes:
            self._kept[frame] = features
        else:
            features = {view: features[view] for view in asked}
        self._latest = (frame, features)


def track_windows(
    tracker: FrameTracker, windows: Mapping[int, tuple[int, int]]
) -> Iterator[int]:
    """Track what is missing or stale of each object within its own frames.

    As `VideoPredictor.propagate` in both directions, but for the range.

    Parameters
    ----------
    tracker : FrameTracker
        Of the session.
    windows : mapping
        First and last frame, inclusive, by object id.

    Yields
    ------
    int
        How many objects were tracked on a frame.
    """
    if not windows:
        return
    tracks = tracker.session.tracks(windows)
    first = min(window[0] for window in windows.values())
    last = max(window[1] for window in windows.values())
    for backward in (False, True):
        plan = PassPlan(backward, second=backward)
        frames = range(first, last + 1)
        for frame in reversed(frames) if backward else frames:
            due = [
                track
                for track in tracks
                if windows[track.object_id][0] <= frame <= windows[track.object_id][1]
                and plan.tracks(track, frame)
            ]
            if due:
                tracker.track(due, frame, backward=backward, merging=plan.merging)
                yield len(due)
