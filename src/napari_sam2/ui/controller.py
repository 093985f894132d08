"""What the widgets call: images, models, objects, prompts, propagation, review."""

from __future__ import annotations

import time
import weakref
from bisect import bisect_left
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_sam2.data.contrast import estimate_contrast
from napari_sam2.errors import Sam2Error
from napari_sam2.ui.export import export_of
from napari_sam2.ui.images import Images
from napari_sam2.ui.jobs import Job, WorkerLane
from napari_sam2.ui.labels_source import labels_source
from napari_sam2.ui.models import (
    ModelLoader,
    default_request,
    make_predictor,
    model_choices,
)
from napari_sam2.ui.object_table import ObjectTable, next_doubtful
from napari_sam2.ui.propagation import Span
from napari_sam2.ui.records import (
    Activity,
    Mark,
    Message,
    ModelStage,
    ModelStatus,
    Severity,
    Tool,
)
from napari_sam2.ui.runner import Runner
from napari_sam2.ui.tools import Tools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari.components import ViewerModel
    from napari.layers import Labels, Layer
    from numpy.typing import NDArray

    from napari_sam2.inference.options import PredictorOptions
    from napari_sam2.inference.schedule import Direction
    from napari_sam2.ui.engine import Predictor
    from napari_sam2.ui.frames import LayerFrames
    from napari_sam2.ui.jobs import Lane
    from napari_sam2.ui.models import MakePredictor
    from napari_sam2.ui.records import (
        AxesChoice,
        ImageFacts,
        ModelChoice,
        ModelRequest,
        ObjectRow,
        Progress,
        Timeline,
    )
    from napari_sam2.ui.workspace import Workspace

# What napari's Points and Shapes layers, frames and lassos load on first use.
_NEEDED = (
    "pandas",
    "napari_sam2.data.frames",
    "napari_sam2.data.stack",
    "skimage.draw",
)
_SHOW_SECONDS = 0.1  # at least between two answers that make the window draw
_CONTROLLERS: weakref.WeakKeyDictionary[ViewerModel, Controller]
_CONTROLLERS = weakref.WeakKeyDictionary()


class Controller:
    """The plugin without its widgets, for one viewer.

    All methods are called, and all signals are emitted, on the GUI thread; none of
    them waits for the network. What a user can do something about arrives as
    `message`; methods do not raise for it.

    Parameters
    ----------
    viewer : ViewerModel
        Where layers are read and shown.
    lane : Lane, optional
        Runs what touches session and network; napari's thread workers by default.
    beside : Lane, optional
        Runs what has nothing to do with the session: loading models, previews.
    files : Lane, optional
        Writes files, which need not wait for a download.
    make : callable, optional
        ``(request, options, progress) -> VideoPredictor``; a test gives its own.

    Attributes
    ----------
    objects_changed : Signal(tuple of int or None)
        Rows of these ids changed; None: rows came, went, or any may have changed.
        At most ten times a second during propagation.
    timeline_changed : Signal(TimelineColumn or None)
        A frame was computed; None: any may have changed.
    progress_changed : Signal(Progress or None)
        At most ten times a second; None when a propagation has ended.
    selection_changed : Signal(int)
        The current object, which need not exist yet.
    message : Signal(Message)
        A sentence for the user.
    model_changed : Signal(ModelStatus)
        Also while it is downloaded.
    activity_changed : Signal(Activity)
        What goes on in the background.
    image_changed : Signal()
        Another image or other axes; also when there is none any more.
    images_changed : Signal()
        The layers that can be chosen changed, or their names.
    tool_changed : Signal(Tool)
        How the next prompt is given.
    armed_changed : Signal(bool)
        Whether a click on the canvas is a prompt now.
    negative_changed : Signal(bool)
        Whether the next click says "not this".
    frame_changed : Signal(int)
        The frame on screen, of the frames of the image.
    preview_ready : Signal(ndarray)
        What the network sees, asked for by `request_preview`: ``(H, W, 3)`` uint8.
    """

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
    doubt_below = 0.5  # confidence

    def __init__(
        self,
        viewer: ViewerModel,
        *,
        lane: Lane | None = None,
        beside: Lane | None = None,
        files: Lane | None = None,
        make: MakePredictor = make_predictor,
    ) -> None:
        self._viewer = weakref.proxy(viewer)
        self._lane = WorkerLane() if lane is None else lane
        self._beside = WorkerLane() if beside is None else beside
        self._files = WorkerLane() if files is None else files
        self._loader = ModelLoader(self._beside, make)
        self._images = Images(self._viewer, self._lane)
        self._runner = Runner(self._viewer, self._lane)
        self._tools = Tools(self._viewer)
        self._activity = Activity.IDLE
        self._exports = 0
        self._told = 0.0
        self._connect()
        lanes = (self._lane, self._beside, self._files)
        self._close_lanes = weakref.finalize(viewer, _close_lanes, *lanes)

    @classmethod
    def of(cls, viewer: ViewerModel) -> Controller:
        """Return the controller of a viewer, made on first use.

        A widget that is closed and opened again finds everything as it was.
        """
        viewer = getattr(viewer, "__wrapped__", viewer)
        found = _CONTROLLERS.get(viewer)
        if found is None:
            found = _CONTROLLERS[viewer] = cls(viewer)
        return found

    def close(self) -> None:
        """Stop all work and let the layers go; they stay in the viewer."""
        self._close_lanes()
        self._images.close()
        self._tools.close()
        for found in [v for v, c in _CONTROLLERS.items() if c is self]:
            del _CONTROLLERS[found]

    def prepare(self, then: Callable[[], None]) -> None:
        """Load in the background what the first image needs, then call.

        It can be left out, but then the window stands still for that moment.
        """
        self._beside.submit(
            Job(
                lambda _report: [import_module(name) for name in _NEEDED],
                lambda _modules: then(),
                lambda _error: then(),
                abandoned=then,
            )
        )

    def images(self) -> tuple[Layer, ...]:
        """Return the image layers that can be chosen, the topmost last."""
        return self._images.layers()

    @property
    def image(self) -> Layer | None:
        """The image layer in work."""
        return None if self._work is None else self._work.frames.layer

    def set_image(self, layer: Layer | None, axes: AxesChoice | None = None) -> None:
        """Work on an image layer, with its axes recognised unless they are given.

        Objects of another image, or of other axes, are put aside: their Labels layer
        stays.
        """
        if layer is None:
            self._images.leave()
            return
        try:
            self._images.open(layer, axes)
        except Sam2Error as error:
            self._say(str(error), Severity.ERROR)

    @property
    def axes(self) -> AxesChoice | None:
        """How the image is seen; change it with ``set_image(image, replace(axes))``."""
        return None if self._work is None else self._work.frames.choice

    def at_screen(self, axes: AxesChoice) -> AxesChoice:
        """Return a choice for the image at the position that is on screen."""
        work = self._work
        if work is None:
            return axes
        return replace(work.frames, choice=axes).choice_at(self._viewer)

    @property
    def facts(self) -> ImageFacts | None:
        """What is known of the image."""
        return None if self._work is None else self._work.frames.facts()

    def request_preview(self) -> None:
        """Ask for what the network sees of the frame on screen."""
        work = self._work
        if work is None:
            return
        frames, frame = work.frames, self.frame
        self._beside.submit(
            Job(
                lambda _report: preview(frames, frame),
                self.preview_ready.emit,
                lambda error: self._say(str(error), Severity.ERROR),
                key="preview",
            )
        )

    @property
    def frame(self) -> int:
        """The frame on screen, 0 without an image."""
        return self._images.frame

    def go_to(self, frame: int, object_id: int | None = None) -> None:
        """Show a frame, and make an object the current one."""
        if self._work is None:
            return
        self._work.frames.show(self._viewer, frame)
        if object_id is not None:
            self._work.select(object_id)

    def models(self) -> tuple[ModelChoice, ...]:
        """Return the models that go by name, those that are ready first."""
        return model_choices()

    @property
    def model(self) -> ModelStatus:
        """The model in use, or on its way."""
        return self._loader.status

    def load_model(self, request: ModelRequest | None = None) -> None:
        """Load a model in the background, downloading it if need be.

        Until it is there the one before stays in use. Prompts and approved frames
        are kept; what was tracked is to be tracked again. None: the default model.
        """
        wanted = default_request() if request is None else request
        if wanted is None:
            self._say("No model is on this computer yet: choose one to download.")
        else:
            self._loader.load(wanted)

    def cancel_loading(self) -> None:
        """Stop a download; the next one goes on from there."""
        self._loader.cancel()

    @property
    def options(self) -> PredictorOptions:
        """How prompts, memories and masks are treated."""
        return self._loader.options

    def set_options(self, options: PredictorOptions) -> None:
        """Treat them otherwise from now on; prompts and approved frames are kept."""
        if options != self._loader.options:
            self._loader.set_options(options)

    @property
    def objects(self) -> tuple[ObjectRow, ...]:
        """The rows of the table."""
        work = self._work
        return () if work is None else work.table.rows(work.result.color)

    def row(self, object_id: int) -> ObjectRow | None:
        """Return one row of the table."""
        work = self._work
        if work is None or object_id not in work.table:
            return None
        return work.table.rows(work.result.color, [object_id])[0]

    @property
    def timeline(self) -> Timeline:
        """Confidence and marks of all objects on all frames."""
        if self._work is None:
            return ObjectTable(0).timeline()
        return self._work.table.timeline()

    @property
    def selected(self) -> int:
        """The current object, to which prompts go; it need not exist yet."""
        return 1 if self._work is None else self._work.selected

    def new_object(self) -> int:
        """Make a fresh id the current object, and be ready for its first prompt."""
        if self._work is None:
            return 1
        fresh = self._work.new_object()
        self._tools.choose(self._tools.tool)
        return fresh

    def select_object(self, object_id: int) -> None:
        """Make an object the current one, in the Labels layer too."""
        if self._work is not None and object_id > 0:
            self._work.select(object_id)

    def next_object(self) -> None:
        """Make the next object of the table the current one."""
        self._step_object(1)

    def previous_object(self) -> None:
        """Make the object before in the table the current one."""
        self._step_object(-1)

    def rename(self, object_id: int, name: str) -> None:
        """Name an object."""
        if self._work is not None and object_id in self._work.table:
            self._work.table.rename(object_id, name)
            self.objects_changed.emit((object_id,))

    def set_category(self, object_id: int, category: str) -> None:
        """Give an object a class."""
        if self._work is not None and object_id in self._work.table:
            self._work.table.set_category(object_id, category)
            self.objects_changed.emit((object_id,))

    def set_visible(self, object_ids: Iterable[int], visible: bool) -> None:
        """Show or hide objects; their labels stay what they are."""
        if self._work is not None:
            self._work.table.set_visible(self._existing(object_ids), visible)
            self._work.update_look()

    def set_locked(self, object_ids: Iterable[int], locked: bool) -> None:
        """Protect objects from every change, or let them change again."""
        if self._work is not None:
            ids = self._existing(object_ids)
            self._work.table.set_locked(ids, locked)
            self._work.update_look()
            if locked:
                self._runner.leave_out(ids)

    def delete_objects(self, object_ids: Iterable[int]) -> None:
        """Delete objects with their prompts and labels; locked ones stay."""
        if self._work is None:
            return
        ids = self._existing(object_ids)
        locked = self._work.table.locked().intersection(ids)
        if locked:
            names = ", ".join(map(str, sorted(locked)))
            self._say(f"Locked and therefore kept: {names}.")
        self._work.delete(ids)

    def rerun(self, object_ids: Iterable[int]) -> None:
        """Track objects anew, from all their prompts in both directions."""
        if self._work is not None:
            whole = (0, self._work.frames.num_frames - 1)
            self.propagate("both", whole, self._existing(object_ids))

    @property
    def tool(self) -> Tool:
        """How the next prompt is given."""
        return self._tools.tool

    def set_tool(self, tool: Tool) -> None:
        """Select the layer and its mode in which the next prompt is given."""
        self._tools.choose(tool)

    @property
    def armed(self) -> bool:
        """Whether a click on the canvas is a prompt now, and no other layer's."""
        return self._tools.armed

    @property
    def negative(self) -> bool:
        """Whether the next click says "not this"; with Control held it does anyway."""
        return self._work is not None and self._work.negative

    def set_negative(self, negative: bool) -> None:
        """Let the next clicks say "not this", or "this"."""
        if self._work is not None and negative != self._work.negative:
            self._work.set_negative(negative)
            self.negative_changed.emit(negative)

    def add_point(self, y: float, x: float, *, positive: bool = True) -> None:
        """Click on the frame on screen, at pixels of the image."""
        if self._work is not None:
            self._tools.flatten()
            self._work.prompts.add_point(self.frame, y, x, positive=positive)

    def use_labels(self, layer: Labels, *, all_frames: bool = False) -> None:
        """Take all labels of a layer as mask prompts, under their own ids.

        Parameters
        ----------
        layer : Labels
            May differ in scale, position and number of axes.
        all_frames : bool
            On every frame that has labels, or only on the one on screen.
        """
        work = self._work
        if work is None:
            self._say("Choose an image first: the labels become prompts on it.")
            return
        try:
            source = labels_source(layer, work.frames)
        except Sam2Error as error:
            self._say(str(error), Severity.ERROR)
            return
        every = all_frames and source.along_frames
        work.use_labels(
            source, range(work.frames.num_frames) if every else [self.frame]
        )

    def clear_prompts(self, object_id: int | None = None) -> None:
        """Take back the prompts of the current object, or another, on this frame."""
        if self._work is not None:
            object_id = self._work.selected if object_id is None else object_id
            self._work.clear_prompts(object_id, self.frame)

    def lost_by_clearing(self) -> int:
        """Return on how many other frames the current object would lose its masks.

        They go with its last prompt, unless some are approved.
        """
        work = self._work
        row = None if work is None else self.row(work.selected)
        if work is None or row is None or row.prompts != 1 or row.approved:
            return 0
        prompted = work.is_prompted(work.selected, self.frame)
        if not prompted or row.locked:
            return 0
        return max(0, len(work.table.frames_shown(work.selected)) - 1)

    @property
    def activity(self) -> Activity:
        """What goes on in the background."""
        return self._activity

    @property
    def progress(self) -> Progress | None:
        """How far the propagation has come; None if there is none."""
        return self._runner.progress

    def propagate(
        self,
        direction: Direction = "both",
        frames: tuple[int, int] | None = None,
        object_ids: Iterable[int] | None = None,
    ) -> None:
        """Track objects through the stack in the background.

        Parameters
        ----------
        direction : {"forward", "backward", "both"}
            Of the frames.
        frames : tuple of int, optional
            First and last frame: all in it is tracked anew. By default what is
            missing or stale.
        object_ids : iterable of int, optional
            All but the locked ones if absent.
        """
        work = self._work
        if work is None or not self._ready():
            return
        locked = work.table.locked()
        ids = None if object_ids is None else tuple(self._existing(object_ids))
        if ids is not None and not ids:
            self._say("No object is selected: select rows of the table first.")
            return
        if ids is not None and not set(ids) - locked:
            self._say("These objects are locked: unlock them to track them.")
            return
        span = Span(direction, frames, ids, locked)
        work.when_read(lambda: self._begin(work, span))

    def pause(self) -> None:
        """Let the propagation stand still after the frame in work."""
        self._runner.pause()

    def resume(self) -> None:
        """Let it go on; after `cancel`, go on with what is missing."""
        self._runner.resume()

    def cancel(self) -> None:
        """End the propagation after the frame in work; what is done is kept."""
        self._runner.cancel()

    @property
    def follow(self) -> bool:
        """Whether the viewer goes along with the frames as they are computed."""
        return self._runner.follow

    def set_follow(self, follow: bool) -> None:
        """Let the viewer go along with the frames, or stay."""
        self._runner.follow = follow

    def approve(
        self,
        first: int | None = None,
        last: int | None = None,
        object_ids: Iterable[int] | None = None,
    ) -> None:
        """Approve masks: nothing but a prompt of the user changes them.

        Parameters
        ----------
        first, last : int, optional
            Frames, inclusive; the one on screen if absent. Frames without a mask are
            left out.
        object_ids : iterable of int, optional
            The current object if absent.
        """
        if self._work is not None:
            self._work.approve(self._frames(first, last), self._ids(object_ids))

    def approve_span(self) -> None:
        """Approve the frames around this one, up to the next anchors on both sides.

        Anchors are the current object's prompted and approved frames. On an approved
        frame, take back the approval of all approved ones that follow each other here.
        """
        work, frame = self._work, self.frame
        if work is None or work.selected not in work.table:
            return
        approved = work.table.frames_marked(work.selected, Mark.APPROVED)
        if frame in approved:
            work.unapprove(_run_around(frame, approved), [work.selected])
            return
        anchors = work.table.frames_marked(work.selected, Mark.PROMPTED | Mark.APPROVED)
        before = [a for a in anchors if a < frame]
        after = [a for a in anchors if a > frame]
        first = before[-1] + 1 if before else 0
        last = after[0] - 1 if after else work.frames.num_frames - 1
        work.approve(range(first, last + 1), [work.selected])

    def unapprove(
        self,
        first: int | None = None,
        last: int | None = None,
        object_ids: Iterable[int] | None = None,
    ) -> None:
        """Take approvals back; see `approve` for the parameters."""
        if self._work is not None:
            self._work.unapprove(self._frames(first, last), self._ids(object_ids))

    def next_doubtful(self, *, worst: bool = False) -> None:
        """Go to the next frame of low confidence, or to the lowest of all.

        Frames that follow each other count as one, shown at its lowest; prompted
        and approved frames, and hidden and locked objects, are left out.
        """
        work = self._work
        if work is None:
            return
        left_out = work.table.hidden() | work.table.locked()
        found = next_doubtful(
            work.table.timeline(),
            set(work.table.object_ids) - left_out,
            frame=self.frame,
            object_id=work.selected,
            below=self.doubt_below,
            worst=worst,
        )
        if found is None:
            self._say(f"No frame has a confidence below {self.doubt_below:.0%}.")
        else:
            self.go_to(*found)

    @property
    def labels_layer(self) -> Labels | None:
        """The layer of the result."""
        return None if self._work is None else self._work.result.layer

    def labels(self) -> NDArray[np.unsignedinteger]:
        """Return the result ``(T, H, W)``, a view."""
        if self._work is None:
            return np.zeros((0, 0, 0), np.uint16)
        return self._work.result.stack

    def export(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the result in the background: ``.tif`` (OME-TIFF) or ``.zarr``."""
        work = self._work
        if work is None:
            self._say("There is nothing to export yet.")
            return
        task = export_of(
            work.result.stack, work.frames, Path(path), overwrite=overwrite
        )
        self._exports += 1
        self._update_activity()

        def told(written: Path) -> str:
            from napari_sam2.ui.reader import is_called_labels  # loads tifffile

            # napari asks all readers about a folder, whatever its name.
            if written.is_dir() or is_called_labels(written):
                return f"Written: {written}."
            return (
                f"Written: {written}. Only names that end in 'labels' are opened as "
                "labels again."
            )

        def over(text: str, severity: Severity) -> None:
            self._exports -= 1
            self._update_activity()
            self._say(text, severity)

        self._files.submit(
            Job(
                lambda _report: task.write(),
                lambda written: over(told(written), Severity.INFO),
                lambda error: over(str(error), Severity.ERROR),
                abandoned=lambda: over("The export failed.", Severity.ERROR),
            )
        )

    def _ready(self) -> bool:
        """Say why nothing can be propagated, if so."""
        if self._runner.running:
            self._say("A propagation is under way: cancel it, or wait for its end.")
        elif self._loader.predictor is None:
            stage = self._loader.status.stage
            loading = stage in (ModelStage.LOADING, ModelStage.DOWNLOADING)
            self._say(
                "The model is still being loaded: try again in a moment."
                if loading
                else "Load a model first."
            )
        else:
            return True
        return False

    def _begin(self, work: Workspace, span: Span) -> None:
        """Start a propagation, unless the image was left meanwhile."""
        if not len(work.table):
            self._say("There is nothing to propagate: click on an object first.")
        elif work.link.engine is None:
            if work.link.failed and self._loader.predictor is not None:
                work.start(self._loader.predictor)
            self._say("The image is still being read: try again in a moment.")
        elif work is self._work:
            work.sync()  # what could not be computed before
            self._runner.begin(work, span)

    def _update_activity(self) -> None:
        if self._runner.running:
            paused = self._runner.paused
            now = Activity.PAUSED if paused else Activity.PROPAGATING
        elif self._exports:
            now = Activity.EXPORTING
        elif self._work is not None and self._work.link.busy:
            now = Activity.PREVIEW
        else:
            now = Activity.IDLE
        if now != self._activity:
            self._activity = now
            self.activity_changed.emit(now)

    def _step_object(self, step: int) -> None:
        """Select the object so many rows on, around the ends."""
        work = self._work
        if work is None or not len(work.table):
            return
        ids = work.table.object_ids
        at = bisect_left(ids, work.selected)
        there = at < len(ids) and ids[at] == work.selected
        at += step if there or step < 0 else 0
        work.select(ids[at % len(ids)])

    def _existing(self, object_ids: Iterable[int]) -> list[int]:
        work = self._work
        return [] if work is None else [i for i in object_ids if i in work.table]

    def _ids(self, object_ids: Iterable[int] | None) -> list[int]:
        return self._existing([self.selected] if object_ids is None else object_ids)

    def _frames(self, first: int | None, last: int | None) -> range:
        """Return a range of frames, the one on screen where an end is absent."""
        first = self.frame if first is None else first
        last = first if last is None else last
        return range(min(first, last), max(first, last) + 1)

    @property
    def _work(self) -> Workspace | None:
        """What belongs to the image in work."""
        return self._images.work

    def _connect(self) -> None:
        """Listen to the parts."""
        self._loader.changed.connect(self._on_model)
        self._loader.message.connect(self._on_message)
        self._loader.loaded.connect(self._on_loaded)
        self._images.opened.connect(self._on_opened)
        self._images.left.connect(self._on_left)
        self._images.removed.connect(self._on_removed)
        self._images.listed.connect(self._on_listed)
        self._images.frame_changed.connect(self._on_slider)
        self._images.drawn_aside.connect(self._on_drawn_aside)
        self._images.refused.connect(self._on_refused)
        self._runner.progressed.connect(self._on_progress)
        self._runner.changed.connect(self._update_activity)
        self._runner.ended.connect(self._on_ended)
        self._runner.message.connect(self._on_message)
        self._tools.changed.connect(self._on_tool)
        self._tools.armed_changed.connect(self._on_armed)
        self._tools.message.connect(self._on_message)

    def _on_opened(self, work: Workspace) -> None:
        """Begin with an image, which may have been in work before."""
        self._runner.drop()
        if self._tools.work is not work:
            work.rows_changed.connect(self._on_rows)
            work.frame_changed.connect(self._on_frame)
            work.selection_changed.connect(self._on_selected)
            work.link.jobs_changed.connect(self._update_activity)
            work.message.connect(self._on_message)
            self._tools.work = work
        if self._loader.predictor is not None:
            work.start(self._loader.predictor)
        self._tell_all()
        self.selection_changed.emit(work.selected)
        self.negative_changed.emit(work.negative)
        self.frame_changed.emit(self.frame)

    def _on_left(self, work: Workspace) -> None:
        """Have nothing to do with an image any more."""
        self._runner.drop()
        work.rows_changed.disconnect(self._on_rows)
        work.frame_changed.disconnect(self._on_frame)
        work.selection_changed.disconnect(self._on_selected)
        work.link.jobs_changed.disconnect(self._update_activity)
        work.message.disconnect(self._on_message)
        self._tools.work = None
        self._update_activity()
        self._tell_all()

    def _on_removed(self, name: str, kept: bool) -> None:
        severity = Severity.WARNING if self._runner.running else Severity.INFO
        stay = ", its labels stay" if kept else ""
        self._say(
            f"The image {name!r} was removed: work on it has ended{stay}.", severity
        )

    def _on_refused(self, reason: str) -> None:
        self._say(reason, Severity.ERROR)

    def _on_drawn_aside(self, name: str) -> None:
        self._say(
            f"This belongs to the image {name!r}, which is not in work: choose that "
            "image, and the change counts."
        )

    def _on_loaded(self, predictor: Predictor) -> None:
        """Start a session with a model that was loaded, or with other options."""
        if self._runner.running:
            self._say(
                "The propagation has ended: model or options changed. What was "
                "approved is kept; propagate again for the rest."
            )
        self._runner.drop()
        if self._work is not None:
            self._work.start(predictor)

    def _on_ended(self) -> None:
        self.objects_changed.emit(None)
        self.timeline_changed.emit(None)

    def _tell_all(self) -> None:
        """Tell that everything may be otherwise."""
        self.image_changed.emit()
        self.objects_changed.emit(None)
        self.timeline_changed.emit(None)

    # psygnal takes a signal's emit that is connected for one of Qt's, and calls it:
    # so what is only passed on goes through a method.

    def _on_progress(self, progress: Progress | None) -> None:
        self.progress_changed.emit(progress)

    def _on_listed(self) -> None:
        self.images_changed.emit()

    def _on_slider(self, frame: int) -> None:
        self.frame_changed.emit(frame)

    def _on_message(self, message: Message) -> None:
        self.message.emit(message)

    def _on_model(self, status: ModelStatus) -> None:
        self.model_changed.emit(status)

    def _on_tool(self, tool: Tool) -> None:
        self.tool_changed.emit(tool)

    def _on_armed(self, armed: bool) -> None:
        self.armed_changed.emit(armed)

    def _on_selected(self, object_id: int) -> None:
        self.selection_changed.emit(object_id)

    def _on_rows(self, object_ids: tuple[int, ...] | None) -> None:
        self.objects_changed.emit(object_ids)
        self.timeline_changed.emit(None)
        if self._runner.running:
            self.progress_changed.emit(self._runner.progress)

    def _on_frame(self, frame: int) -> None:
        """Pass a frame on, and now and then the rows that it changed."""
        work = self._work
        if work is None:
            return
        self.timeline_changed.emit(work.table.column(frame))
        now = time.monotonic()
        if now - self._told >= _SHOW_SECONDS:
            self._told = now
            self.objects_changed.emit(work.table.object_ids)

    def _say(self, text: str, severity: Severity = Severity.WARNING) -> None:
        self.message.emit(Message(text, severity))


def preview(frames: LayerFrames, frame: int) -> NDArray[np.uint8]:
    """Return a frame as the network sees it, ``(H, W, 3)`` uint8."""
    contrast = frames.contrast or estimate_contrast(frames.source)
    pixels = contrast.apply(frames.source[frame])
    seen: NDArray[np.uint8] = (pixels * 255 + 0.5).astype(np.uint8)
    return seen


def _run_around(frame: int, frames: list[int]) -> range:
    """Return those of some frames that follow each other around one of them."""
    known = set(frames)
    first = last = frame
    while first - 1 in known:
        first -= 1
    while last + 1 in known:
        last += 1
    return range(first, last + 1)


def _close_lanes(*lanes: Lane) -> None:
    for lane in lanes:
        lane.close()
