"""A predictor that paints discs, and what tests of the controller say all the time.

Sessions, schedules and results are the real ones; only the network is not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2 import PredictorOptions
from napari_sam2.ui.controller import Controller
from napari_sam2.ui.jobs import InlineLane
from napari_sam2.ui.records import ModelRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import ViewerModel

    from napari_sam2 import FrameMasks, Prompt, Session

RADIUS = 4.0
SIZE = 64


class DiscPredictor:
    """Paints a disc around the points of an object, and carries it along.

    A disc moves one pixel to the right from frame to frame. A negative point makes
    it smaller.
    """

    def __init__(
        self, model: Any = None, options: PredictorOptions | None = None
    ) -> None:
        self.model = model
        self.options = options or PredictorOptions()
        self.tracked: list[tuple[int, int]] = []

    def start(self, frames: Any, *, contrast: Any = None) -> Session:
        from napari_sam2 import Session
        from napari_sam2.data.contrast import Contrast
        from napari_sam2.inference.features import FeatureCache
        from napari_sam2.inference.masks import MaskCleaning
        from napari_sam2.inference.memory import MemoryRules
        from napari_sam2.inference.views import ViewRules

        return Session(
            frames,
            contrast or Contrast((0, 1)),
            views=ViewRules(frames.frame_shape, SIZE),
            logits_size=SIZE,
            rules=MemoryRules(num_maskmem=2, max_conditioning_frames=4),
            cleaning=MaskCleaning(),
            features=FeatureCache(0),
        )

    def add_prompt(
        self, session: Session, *, frame: int, object_id: int, prompt: Prompt
    ) -> FrameMasks:
        prompt.check(session.frame_shape)
        if not session.has_object(object_id):
            session.add_track(session.new_track(object_id))
        track = session.track(object_id)
        track.set_prompt(frame, prompt)
        track.write(frame, _result(session, *_disc(prompt), prompt))
        track.note_change(frame)
        return session.masks(frame)

    def remove_prompt(
        self, session: Session, *, frame: int, object_id: int
    ) -> FrameMasks:
        from napari_sam2 import VideoPredictor

        return VideoPredictor.remove_prompt(
            self, session, frame=frame, object_id=object_id
        )

    def _masks(self, session: Session, frame: int) -> FrameMasks:
        return session.masks(frame)

    def propagate(
        self,
        session: Session,
        *,
        direction: Any = "forward",
        frames: tuple[int, int] | None = None,
        object_ids: Any = None,
    ) -> Iterator[FrameMasks]:
        from napari_sam2.inference.propagation import propagate_spans

        span = (0, session.num_frames - 1) if frames is None else frames
        ids = None if object_ids is None else tuple(object_ids)
        tracker = DiscTracker(session, self.tracked)
        return propagate_spans(
            tracker, direction, span, ids, every_frame=frames is not None
        )


class DiscTracker:
    """Tracks as `FrameTracker` does, without a network."""

    def __init__(self, session: Session, tracked: list[tuple[int, int]]) -> None:
        self.session = session
        self._tracked = tracked

    def track(self, tracks: Any, frame: int, *, backward: bool, merging: bool) -> None:
        from napari_sam2.inference.merging import write_tracked

        for track in tracks:
            below, above = track.neighbours(frame)
            start = above if backward else below
            while start is not None and start not in track.prompts:
                start = track.neighbours(start)[1 if backward else 0]
            if start is None:
                start = min(track.prompts)
            x, y, radius = _disc(track.prompts[start])
            result = _result(self.session, x + frame - start, y, radius)
            result = replace(result, backward=backward)
            write_tracked(track, frame, result, merging=merging)
            self._tracked.append((track.object_id, frame))


def _disc(prompt: Prompt) -> tuple[float, float, float]:
    if prompt.mask is not None:
        ys, xs = np.nonzero(prompt.mask)
        if not len(xs):
            return 0.0, 0.0, 0.0
        return float(xs.mean()), float(ys.mean()), RADIUS
    if prompt.box is not None:
        x0, y0, x1, y1 = prompt.box
        return float(x0 + x1) / 2, float(y0 + y1) / 2, float(x1 - x0) / 2
    on = prompt.points[prompt.labels == 1]
    x, y = on.mean(0) if len(on) else prompt.points[0]
    return float(x), float(y), RADIUS - (prompt.labels == 0).sum()


def _result(
    session: Session, x: float, y: float, radius: float, prompt: Prompt | None = None
) -> Any:
    from napari_sam2.inference.results import FrameResult

    height, width = session.frame_shape
    rows, columns = np.mgrid[:SIZE, :SIZE]
    # Centres of the logits' pixels in frame pixels.
    ys = (rows + 0.5) * height / SIZE - 0.5
    xs = (columns + 0.5) * width / SIZE - 0.5
    logits = radius - np.hypot(ys - y, xs - x)
    painted = None
    if prompt is not None and prompt.is_mask:
        painted = prompt.packed_mask
    return FrameResult(
        logits=(logits * 5).astype(np.float32),
        view=session.views.whole,
        object_score=5.0 if radius > 0 else -5.0,
        predicted_iou=0.9,
        painted=painted,
    )


class Desk:
    """A controller with inline lanes, and all that it said."""

    def __init__(
        self,
        viewer: ViewerModel,
        *,
        automatic: bool = True,
        load: bool = True,
        make: Any = None,
    ) -> None:
        self.viewer = viewer
        self.lane = InlineLane(automatic=automatic)
        self.predictor: Any = None
        self.controller = Controller(
            viewer,
            lane=self.lane,
            beside=InlineLane(),
            files=InlineLane(),
            make=make or self._make,
        )
        self.said: list[str] = []
        self.controller.message.connect(lambda message: self.said.append(message.text))
        if load:
            self.controller.load_model(ModelRequest("discs"))

    def _make(self, request: Any, options: PredictorOptions, progress: Any) -> Any:
        self.predictor = DiscPredictor(options=options)
        return self.predictor

    def open(self, **image: Any) -> Any:
        """Add an image of 8 frames and work on it."""
        data = image.pop("data", np.zeros((8, SIZE, SIZE), np.uint16))
        layer = self.viewer.add_image(data, **image)
        self.controller.set_image(layer)
        return layer

    def drain(self) -> None:
        """Run all that waits in a lane that is not automatic."""
        self.lane.run()

    def centre(self, object_id: int, frame: int) -> tuple[float, float]:
        """Centre (y, x) of an object's pixels."""
        ys, xs = np.nonzero(self.controller.labels()[frame] == object_id)
        return float(ys.mean()), float(xs.mean())

    def labelled(self, object_id: int) -> list[int]:
        """Frames with pixels of an object."""
        labels = self.controller.labels()
        return [f for f in range(len(labels)) if (labels[f] == object_id).any()]
