"""What a run of ``track`` came to, for people and for scripts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from napari_sam2.cli.record import FrameScores
    from napari_sam2.cli.request import TrackRequest
    from napari_sam2.data.frames import StackFrames


@dataclass(frozen=True, slots=True)
class ObjectScore:
    """How sure the network is of an object on a frame.

    Attributes
    ----------
    frame
        Index of the frame.
    object_score
        Logit that the object is there; above 0 it is present.
    predicted_iou
        The IoU that the network expects of its mask.
    present
        Whether the object is there.
    """

    frame: int
    object_score: float
    predicted_iou: float
    present: bool


@dataclass(frozen=True, slots=True)
class ObjectSummary:
    """An object and its scores on the frames that are done."""

    id: int
    name: str | None
    scores: tuple[ObjectScore, ...]


@dataclass(frozen=True, slots=True)
class TrackSummary:
    """A run of ``track``.

    Attributes
    ----------
    image, labels
        Their paths.
    axes
        Of the labels: ``"ZYX"`` or ``"TYX"``.
    frames
        How many frames the stack has.
    written
        The frames with a result, in this run or one that it resumed. Scores are kept
        no longer than it takes to finish: a finished run has none.
    complete
        Whether the labels are finished; otherwise ``--resume`` goes on.
    trained
        Whether weights were loaded; otherwise the masks mean nothing.
    seconds, computed, frames_per_second
        Time spent on tracking and writing, and frames computed in it.
    objects
        The objects.
    """

    image: str
    labels: str
    axes: str
    frames: int
    written: tuple[int, ...]
    complete: bool
    trained: bool
    seconds: float
    computed: int
    frames_per_second: float
    objects: tuple[ObjectSummary, ...]

    def as_json(self) -> str:
        """Return it as one JSON object."""
        return json.dumps(asdict(self))


def summarise(
    request: TrackRequest,
    frames: StackFrames,
    names: Mapping[int, str | None],
    scores: Iterable[FrameScores],
    *,
    labels: Path | None = None,
    complete: bool,
    written: Iterable[int] | None = None,
    seconds: float = 0.0,
    computed: int = 0,
) -> TrackSummary:
    """Sum a run up.

    Parameters
    ----------
    request
        What was asked for.
    frames
        The stack.
    names
        The objects.
    scores
        Of each frame that is done.
    labels
        Where they are, if not where they shall be.
    written
        The frames with a result, if not those with scores.
    complete, seconds, computed
        As in `TrackSummary`.
    """
    done = sorted(scores, key=lambda one: one.frame)
    found: dict[int, list[ObjectScore]] = {number: [] for number in names}
    for one in done:
        for number, score, iou in zip(
            one.object_ids, one.object_scores, one.predicted_iou, strict=True
        ):
            found[number].append(ObjectScore(one.frame, score, iou, present=score > 0))
    return TrackSummary(
        image=str(request.image),
        labels=str(labels or request.out),
        axes=frames.axes,
        frames=len(frames),
        written=tuple(
            (one.frame for one in done) if written is None else sorted(written)
        ),
        complete=complete,
        trained=request.has_weights,
        seconds=round(seconds, 3),
        computed=computed,
        frames_per_second=round(computed / seconds, 3) if seconds else 0.0,
        objects=tuple(
            ObjectSummary(number, names[number], tuple(found[number]))
            for number in names
        ),
    )
