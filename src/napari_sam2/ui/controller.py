"""What the widgets call: images, models, objects, prompts, propagation, review."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal

from napari_sam2.ui.records import (
    Activity,
    AxesChoice,
    ImageFacts,
    Message,
    ModelChoice,
    ModelRequest,
    ModelStatus,
    ObjectRow,
    Progress,
    Timeline,
    TimelineColumn,
    Tool,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy as np
    from napari.components import ViewerModel
    from napari.layers import Labels, Layer
    from numpy.typing import NDArray

    from napari_sam2.inference.options import PredictorOptions
    from napari_sam2.inference.schedule import Direction
    from napari_sam2.ui.jobs import Lane


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
    loading : Lane, optional
        Runs what loads and downloads models, beside the other.
    make_predictor : callable, optional
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
    negative_changed = Signal(bool)
    frame_changed = Signal(int)
    preview_ready = Signal(object)

    def __init__(
        self,
        viewer: ViewerModel,
        *,
        lane: Lane | None = None,
        loading: Lane | None = None,
        make_predictor: object = None,
    ) -> None:
        raise NotImplementedError

    @classmethod
    def of(cls, viewer: ViewerModel) -> Controller:
        """Return the controller of a viewer, made on first use.

        A widget that is closed and opened again finds everything as it was.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Stop all work and let the layers go; they stay in the viewer."""

    # Image

    def images(self) -> tuple[Layer, ...]:
        """Return the image layers that can be chosen, the topmost last."""
        raise NotImplementedError

    @property
    def image(self) -> Layer | None:
        """The image layer in work."""

    def set_image(self, layer: Layer | None, axes: AxesChoice | None = None) -> None:
        """Work on an image layer, with its axes recognised unless they are given.

        Objects of another image, or of other axes, are put aside: their Labels layer
        stays.
        """

    @property
    def axes(self) -> AxesChoice | None:
        """How the image is seen; change it with ``set_image(image, replace(axes))``."""

    @property
    def facts(self) -> ImageFacts | None:
        """What is known of the image."""

    def request_preview(self) -> None:
        """Ask for what the network sees of the frame on screen."""

    @property
    def frame(self) -> int:
        """The frame on screen, 0 without an image."""
        raise NotImplementedError

    def go_to(self, frame: int, object_id: int | None = None) -> None:
        """Show a frame, and make an object the current one."""

    # Model

    def models(self) -> tuple[ModelChoice, ...]:
        """Return the models that go by name, those that are ready first."""
        raise NotImplementedError

    @property
    def model(self) -> ModelStatus:
        """The model in use, or on its way."""
        raise NotImplementedError

    def load_model(self, request: ModelRequest | None = None) -> None:
        """Load a model in the background, downloading it if need be.

        Until it is there the one before stays in use. Prompts and approved frames
        are kept; what was tracked is to be tracked again. None: the default model.
        """

    def cancel_loading(self) -> None:
        """Stop a download; the next one goes on from there."""

    @property
    def options(self) -> PredictorOptions:
        """How prompts, memories and masks are treated."""
        raise NotImplementedError

    def set_options(self, options: PredictorOptions) -> None:
        """Treat them otherwise from now on; prompts and approved frames are kept."""

    # Objects

    @property
    def objects(self) -> tuple[ObjectRow, ...]:
        """The rows of the table."""
        raise NotImplementedError

    def row(self, object_id: int) -> ObjectRow | None:
        """Return one row of the table."""

    @property
    def timeline(self) -> Timeline:
        """Confidence and marks of all objects on all frames."""
        raise NotImplementedError

    @property
    def selected(self) -> int:
        """The current object, to which prompts go; it need not exist yet."""
        raise NotImplementedError

    def new_object(self) -> int:
        """Make a fresh id the current object; it exists with its first prompt."""
        raise NotImplementedError

    def select_object(self, object_id: int) -> None:
        """Make an object the current one, in the Labels layer too."""

    def next_object(self) -> None:
        """Make the next object of the table the current one."""

    def previous_object(self) -> None:
        """Make the object before in the table the current one."""

    def rename(self, object_id: int, name: str) -> None:
        """Name an object."""

    def set_category(self, object_id: int, category: str) -> None:
        """Give an object a class."""

    def set_visible(self, object_ids: Iterable[int], visible: bool) -> None:
        """Show or hide objects; their labels stay what they are."""

    def set_locked(self, object_ids: Iterable[int], locked: bool) -> None:
        """Protect objects from every change, or let them change again."""

    def delete_objects(self, object_ids: Iterable[int]) -> None:
        """Delete objects with their prompts and labels; locked ones stay."""

    def rerun(self, object_ids: Iterable[int]) -> None:
        """Track objects anew, from all their prompts in both directions."""

    # Prompts

    @property
    def tool(self) -> Tool:
        """How the next prompt is given."""
        raise NotImplementedError

    def set_tool(self, tool: Tool) -> None:
        """Select the layer and its mode in which the next prompt is given."""

    @property
    def negative(self) -> bool:
        """Whether the next click says "not this"; with Control held it does anyway."""
        raise NotImplementedError

    def set_negative(self, negative: bool) -> None:
        """Let the next clicks say "not this", or "this"."""

    def add_point(self, y: float, x: float, *, positive: bool = True) -> None:
        """Click on the frame on screen, in pixels of the image, for the current object."""

    def use_labels(self, layer: Labels, *, all_frames: bool = False) -> None:
        """Take all labels of a layer as mask prompts, under their own ids.

        Parameters
        ----------
        layer : Labels
            May differ in scale, position and number of axes.
        all_frames : bool
            On every frame that has labels, or only on the one on screen.
        """

    def clear_prompts(self, object_id: int | None = None) -> None:
        """Take back the prompts of the current object, or another, on this frame."""

    # Propagation

    @property
    def activity(self) -> Activity:
        """What goes on in the background."""
        raise NotImplementedError

    @property
    def progress(self) -> Progress | None:
        """How far the propagation has come; None if there is none."""

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

    def pause(self) -> None:
        """Let the propagation stand still after the frame in work."""

    def resume(self) -> None:
        """Let it go on; after `cancel`, go on with what is missing."""

    def cancel(self) -> None:
        """End the propagation after the frame in work; what is done is kept."""

    @property
    def follow(self) -> bool:
        """Whether the viewer goes along with the frames as they are computed."""
        raise NotImplementedError

    def set_follow(self, follow: bool) -> None:
        """Let the viewer go along with the frames, or stay."""

    # Review

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

    def approve_span(self) -> None:
        """Approve the frames around this one, up to the next anchors on both sides.

        Anchors are the current object's prompted and approved frames.
        """

    def unapprove(
        self,
        first: int | None = None,
        last: int | None = None,
        object_ids: Iterable[int] | None = None,
    ) -> None:
        """Take approvals back; see `approve` for the parameters."""

    def next_doubtful(self, *, worst: bool = False) -> None:
        """Go to the next frame of low confidence, or to the lowest of all.

        Frames that follow each other count as one, shown at its lowest; prompted
        and approved frames, and hidden and locked objects, are left out.
        """

    # Result

    @property
    def labels_layer(self) -> Labels | None:
        """The layer of the result."""

    def labels(self) -> NDArray[np.unsignedinteger]:
        """Return the result ``(T, H, W)``, a view."""
        raise NotImplementedError

    def export(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the result in the background: ``.tif`` (OME-TIFF) or ``.zarr``."""
