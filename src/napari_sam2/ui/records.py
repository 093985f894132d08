"""Frozen records that the controller gives to whoever shows them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntFlag, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


class ObjectStatus(StrEnum):
    """How far an object has come."""

    NEW = "new"
    PROMPTED = "prompted"
    PARTIAL = "partial"
    STALE = "stale"
    DONE = "done"


class Mark(IntFlag):
    """What a frame of the timeline is, beside its confidence."""

    PROMPTED = 1
    APPROVED = 2
    STALE = 4


class Activity(StrEnum):
    """What goes on in the background."""

    IDLE = "idle"
    PREVIEW = "preview"
    PROPAGATING = "propagating"
    PAUSED = "paused"
    EXPORTING = "exporting"


class ModelStage(StrEnum):
    """How far the model has come."""

    NONE = "none"
    DOWNLOADING = "downloading"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


class Tool(StrEnum):
    """How the next prompt is given."""

    POINTS = "points"
    BOX = "box"
    LASSO = "lasso"
    PAINT = "paint"


class Severity(StrEnum):
    """How a sentence for the user shall be shown."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Message:
    """A sentence for the user."""

    text: str
    severity: Severity = Severity.INFO


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """One object, as a row of the table.

    Attributes
    ----------
    object_id : int
        Its label.
    name, category : str
        As the user called it; the category may be empty.
    color : tuple of float
        RGBA 0..1, as in the Labels layer.
    prompts : int
        Number of prompted frames.
    frames_done : int
        Number of frames with a result that still stands.
    approved : int
        Number of approved frames.
    lowest_score : float
        Lowest confidence of all frames 0..1; NaN if there is none.
    status : ObjectStatus
        How far it has come.
    visible, locked : bool
        Whether it is shown, and protected from every change.
    """

    object_id: int
    name: str
    category: str
    color: tuple[float, float, float, float]
    prompts: int
    frames_done: int
    approved: int
    lowest_score: float
    status: ObjectStatus
    visible: bool
    locked: bool


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Objects by frames.

    Attributes
    ----------
    object_ids : tuple of int
        N objects, in the order of the table.
    confidence : ndarray
        ``(N, T)`` float32 0..1; NaN where there is no result.
    marks : ndarray
        ``(N, T)`` uint8 of `Mark`.
    """

    object_ids: tuple[int, ...]
    confidence: NDArray[np.float32] = field(repr=False)
    marks: NDArray[np.uint8] = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class TimelineColumn:
    """One frame of the timeline, after it was computed.

    Attributes
    ----------
    frame : int
        Which one.
    confidence, marks : ndarray
        ``(N,)`` float32 and uint8, objects as in `Timeline`.
    """

    frame: int
    confidence: NDArray[np.float32] = field(repr=False)
    marks: NDArray[np.uint8] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a propagation has come.

    Attributes
    ----------
    done, total : int
        Frames done in this propagation, and all of it (an estimate).
    frame : int
        The frame done last.
    frames_per_second : float
        0 until two frames are done.
    seconds_left : float
        NaN as long as it is unknown.
    paused : bool
        Whether it stands still until resumed.
    """

    done: int
    total: int
    frame: int
    frames_per_second: float
    seconds_left: float
    paused: bool = False


@dataclass(frozen=True, slots=True)
class AxesChoice:
    """How an image layer is seen as frames.

    Attributes
    ----------
    axes : str
        One letter of ``TZCYX`` for each axis of the layer.
    frame_axis : str
        ``"Z"`` or ``"T"``; one that `axes` lacks means a single frame.
    position : tuple of (str, int)
        Where each other axis of Z and T stands.
    channels : tuple of int
        One channel (grey), or two or three for red, green and blue; none: all, or
        the first of too many.
    contrast : tuple of (float, float), optional
        Values that become black and white, one pair for all or one for each
        channel; None: percentiles of the stack.
    """

    axes: str
    frame_axis: str
    position: tuple[tuple[str, int], ...] = ()
    channels: tuple[int, ...] = ()
    contrast: tuple[tuple[float, float], ...] | None = None


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is known of the chosen image, to offer choices.

    Attributes
    ----------
    name : str
        Of the layer.
    lengths : tuple of (str, int)
        Letter and length of each axis but rows and columns.
    num_frames : int
        Along the chosen frame axis.
    frame_shape : tuple of int
        Rows and columns.
    rgb : bool
        Whether it is a colour picture.
    text : str
        Such as ``"Z, 60 slices of 512 x 512"``.
    """

    name: str
    lengths: tuple[tuple[str, int], ...]
    num_frames: int
    frame_shape: tuple[int, int]
    rgb: bool
    text: str


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model that can be chosen by name.

    Attributes
    ----------
    name : str
        As in ``build_model(name)``.
    title : str
        What to show.
    ready : bool
        Whether its weights are on this computer.
    bytes_to_download : int
        0 if it is ready.
    """

    name: str
    title: str
    ready: bool
    bytes_to_download: int


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """Which network to load, as for ``build_model``.

    Attributes
    ----------
    config : str or Path
        A registered name, or the path of a YAML.
    checkpoint : str, Path or None
        ``"auto"``: the registered weights; None: none; else a path.
    device, precision : str
        As in ``build_model``.
    overrides : tuple of str
        In Hydra's grammar.
    """

    config: str | Path
    checkpoint: str | Path | None = "auto"
    device: str = "auto"
    precision: str = "auto"
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """The model in use, or on its way.

    Attributes
    ----------
    stage : ModelStage
        How far it has come.
    request : ModelRequest, optional
        What was asked for last.
    text : str
        One line to show, such as ``"nano on cpu"`` or why it failed.
    bytes_done, bytes_total : int
        While downloading; the total is 0 as long as it is unknown.
    """

    stage: ModelStage = ModelStage.NONE
    request: ModelRequest | None = None
    text: str = ""
    bytes_done: int = 0
    bytes_total: int = 0
