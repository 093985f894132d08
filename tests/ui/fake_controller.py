"""A controller for tests of the widgets: it keeps records and notes what it is told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_sam2.inference.options import PredictorOptions
from napari_sam2.ui.records import (
    Activity,
    AxesChoice,
    ImageFacts,
    Mark,
    Message,
    ModelChoice,
    ModelRequest,
    ModelStage,
    ModelStatus,
    ObjectRow,
    ObjectStatus,
    Progress,
    Timeline,
    TimelineColumn,
    Tool,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def make_row(object_id: int, **changes: Any) -> ObjectRow:
    """A row of the table, with what a test cares about changed."""
    row = ObjectRow(
        object_id=object_id,
        name=f"Object {object_id}",
        category="",
        color=(0.2, 0.6, 0.1 + 0.8 * (object_id % 2), 1.0),
        prompts=1,
        frames_done=1,
        approved=0,
        lowest_score=0.9,
        status=ObjectStatus.PROMPTED,
        visible=True,
        locked=False,
    )
    return replace(row, **changes)


def make_timeline(objects: int, frames: int, seed: int = 0) -> Timeline:
    """Confidence that wanders, with a doubtful stretch here and there."""
    random = np.random.default_rng(seed)
    steps = random.normal(0, 0.05, (objects, frames)).cumsum(1)
    confidence = np.clip(0.93 + steps, 0.05, 1).astype(np.float32)
    marks = np.zeros((objects, frames), np.uint8)
    if frames:
        marks[:, frames // 3] = Mark.PROMPTED
    return Timeline(tuple(range(1, objects + 1)), confidence, marks)


class FakeController:
    """Has the signals and methods of `Controller`; `calls` notes the calls."""

    objects_changed = Signal(object)
    timeline_changed = Signal(object)
    progress_changed = Signal(object)
    selection_changed = Signal(int)
    message = Signal(Message)
    model_changed = Signal(ModelStatus)
    activity_changed = Signal(Activity)
    image_changed = Signal()
    images_changed = Signal()
    tool_changed = Signal(Tool)
    armed_changed = Signal(bool)
    negative_changed = Signal(bool)
    frame_changed = Signal(int)
    preview_ready = Signal(object)

    def __init__(self, image: Any = None) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.image = image
        self._images = () if image is None else (image,)
        self.axes: AxesChoice | None = None
        self.facts: ImageFacts | None = None
        if image is not None:
            self.show_frames(len(image.data))
        self.frame = 0
        self.objects: tuple[ObjectRow, ...] = ()
        self.timeline = make_timeline(0, 0)
        self.selected = 1
        self.tool = Tool.POINTS
        self.armed = True
        self.negative = False
        self.activity = Activity.IDLE
        self.progress: Progress | None = None
        self.follow = True
        self.lost = 0
        self.options = PredictorOptions()
        self.model = ModelStatus()
        self.labels_layer = None
        self.choices = (
            ModelChoice("nano", "nano: small, quick", ready=True, bytes_to_download=0),
            ModelChoice("sam2.1_hiera_tiny", "tiny (download)", False, 156_008_466),
        )

    def at_screen(self, axes):
        return axes

    def lost_by_clearing(self) -> int:
        return self.lost

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        def note(*args: Any, **kwargs: Any) -> None:
            self.calls.append((name, *args, *kwargs.items()))

        return note

    def show_frames(self, frames: int) -> None:
        """Have a z-stack of so many slices."""
        self.axes = AxesChoice("ZYX", "Z")
        self.facts = ImageFacts(
            name="Nuclei",
            lengths=(("Z", frames),),
            num_frames=frames,
            frame_shape=(64, 64),
            rgb=False,
            text=f"Z, {frames} slices of 64 x 64",
        )

    def show_objects(self, rows: tuple[ObjectRow, ...], timeline: Timeline) -> None:
        """Have objects, and say so."""
        self.objects, self.timeline = rows, timeline
        self.objects_changed.emit(None)
        self.timeline_changed.emit(None)

    def show_column(self, column: TimelineColumn) -> None:
        self.timeline_changed.emit(column)

    def show_activity(self, activity: Activity) -> None:
        self.activity = activity
        self.activity_changed.emit(activity)

    def prepare(self, then: Callable[[], object]) -> None:
        then()

    def images(self) -> tuple[Any, ...]:
        return self._images

    def list_images(self, *images: Any) -> None:
        """Have other images to choose from, and say so."""
        self._images = images
        self.images_changed.emit()

    def models(self) -> tuple[ModelChoice, ...]:
        return self.choices

    def row(self, object_id: int) -> ObjectRow | None:
        rows = {row.object_id: row for row in self.objects}
        return rows.get(object_id)

    def load_model(self, request: ModelRequest | None = None) -> None:
        self.calls.append(("load_model", request))
        self.model = ModelStatus(ModelStage.READY, request, "nano on cpu")
        self.model_changed.emit(self.model)

    def set_image(self, layer: Any, axes: AxesChoice | None = None) -> None:
        noted = (layer,) if axes is None else (layer, axes)
        self.calls.append(("set_image", *noted))
        if axes is None:
            self.image = layer

    def set_negative(self, negative: bool) -> None:
        self.calls.append(("set_negative", negative))
        self.negative = negative
        self.negative_changed.emit(negative)

    def select_object(self, object_id: int) -> None:
        self.calls.append(("select_object", object_id))
        self.selected = object_id
        self.selection_changed.emit(object_id)

    def go_to(self, frame: int, object_id: int | None = None) -> None:
        self.calls.append(("go_to", frame, object_id))
        self.frame = frame
        self.frame_changed.emit(frame)
        if object_id is not None:
            self.selected = object_id
            self.selection_changed.emit(object_id)

    def rename(self, object_id: int, name: str) -> None:
        self.calls.append(("rename", object_id, name))
        self.objects = tuple(
            replace(row, name=name) if row.object_id == object_id else row
            for row in self.objects
        )
        self.objects_changed.emit((object_id,))
