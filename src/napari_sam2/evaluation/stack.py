"""The simulated annotator at work on one stack."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.data.label_reader import LabelStack, read_labels
from napari_sam2.data.source import as_frame_source
from napari_sam2.errors import ConfigError, ImageError
from napari_sam2.evaluation.annotator import correction, first_interaction
from napari_sam2.evaluation.baselines import copied_masks, linked_segments
from napari_sam2.evaluation.objects import suitable_objects
from napari_sam2.evaluation.protocol import Protocol
from napari_sam2.evaluation.records import (
    MethodScores,
    ObjectScores,
    RoundScores,
    StackEvaluation,
    TrackingScores,
)
from napari_sam2.evaluation.scoring import tally_objects
from napari_sam2.evaluation.tracking_scores import require_ctcmetrics, score_tracks
from napari_sam2.evaluation.windows import StackFeatures, track_windows
from napari_sam2.inference.predictor import VideoPredictor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_sam2.data.contrast import Contrast
    from napari_sam2.data.source import FrameSource
    from napari_sam2.data.stack import LazyArray
    from napari_sam2.evaluation.annotator import Interaction
    from napari_sam2.evaluation.objects import LabelledObject

_FEATURE_BYTES = 2**30


def evaluate_stack(
    predictor: VideoPredictor,
    frames: FrameSource | LazyArray,
    labels: LabelStack | LazyArray,
    *,
    protocol: Protocol | None = None,
    object_ids: Sequence[int] = (),
    contrast: Contrast | tuple[float, float] | None = None,
    name: str = "stack",
    baselines: bool = False,
    tracking: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> StackEvaluation:
    """Let a simulated annotator prompt and correct the objects of a stack.

    Each object is scored on its own, as if it were the only one: masks may overlap.

    Parameters
    ----------
    predictor : VideoPredictor
        What is evaluated.
    frames : FrameSource or array
        The stack, as `VideoPredictor.start` takes it.
    labels : LabelStack or array
        True labels ``(T, H, W)``, one number for each object, 0 beside them.
    protocol : Protocol, optional
        How to go about it; the defaults if absent.
    object_ids : sequence of int
        The objects to evaluate; by default all that are suitable.
    contrast : Contrast or (low, high), optional
        As in `VideoPredictor.start`.
    name : str
        What to call the stack.
    baselines : bool
        Score the baselines, too.
    tracking : bool
        Track through the whole stack, a time-lapse, and compute SEG and TRA after the
        first and the last interaction.
    progress : callable, optional
        Called as ``progress(done, total)``, counting objects on frames; what need not
        be tracked again counts as done.

    Raises
    ------
    ImageError
        If the labels do not fit the frames, do not tell objects apart, or hold no
        object that can be evaluated.
    ConfigError
        If SEG and TRA are asked for and py-ctcmetrics is not installed, or the
        predictor follows the published schedule, which tracks one way from the first
        prompt.
    """
    if predictor.options.published_schedule:
        raise ConfigError(
            "The published schedule tracks all objects one way from their first prompt,"
            " and cannot be evaluated from the middle outwards: leave"
            " published_schedule out."
        )
    source, truth = as_frame_source(frames), as_labels(labels)
    protocol = protocol or Protocol()
    if tracking:
        require_ctcmetrics()
        protocol = replace(protocol, to_the_ends=True)
    objects = suitable_objects(truth, source, protocol, object_ids)
    begun = time.perf_counter()
    run = _Run(predictor, source, truth, protocol, objects, contrast)
    tracks = []
    for interactions in range(1, protocol.interactions + 1):
        run.interact(interactions, progress)
        if tracking and interactions in (1, protocol.interactions):
            tracks.append(run.score_tracks(interactions))
    seconds = time.perf_counter() - begun
    return StackEvaluation(
        name=name,
        num_frames=len(source),
        frame_shape=run.session.frame_shape,
        protocol=protocol,
        model=MethodScores("model", run.scores()),
        baselines=(
            copied_masks(truth, objects, protocol),
            linked_segments(source, truth, objects, protocol, run.session.contrast),
        )
        if baselines
        else (),
        tracking=tuple(tracks),
        seconds=seconds,
    )


def as_labels(labels: LabelStack | LazyArray) -> LabelStack:
    """See an array ``(T, H, W)`` as a label stack; one is returned as it is.

    Raises
    ------
    ImageError
        If the array has other axes, or values that are no labels.
    """
    if isinstance(labels, LabelStack):
        return labels
    axes = {2: "YX", 3: "ZYX"}.get(len(labels.shape))
    if axes is None:
        raise ImageError(
            f"Labels are (T, H, W), with one number for each pixel; the array is"
            f" {tuple(labels.shape)}."
        )
    return read_labels(labels, axes=axes)


class _Run:
    """A session on the stack, and the annotator's notes about each object."""

    def __init__(
        self,
        predictor: VideoPredictor,
        frames: FrameSource,
        truth: LabelStack,
        protocol: Protocol,
        objects: Sequence[LabelledObject],
        contrast: Contrast | tuple[float, float] | None,
    ) -> None:
        alone = replace(predictor.options, overlap="keep")
        self.predictor = VideoPredictor(predictor.model, alone)
        self.session = self.predictor.start(frames, contrast=contrast)
        room = max(predictor.options.feature_cache, _FEATURE_BYTES)
        self.session.features = StackFeatures(room)
        self.truth = truth
        self.protocol = protocol
        self.objects = {one.object_id: one for one in objects}
        self.windows = {
            one.object_id: self._window(one, len(frames)) for one in objects
        }
        self.given: dict[int, list[Interaction]] = {i: [] for i in self.objects}
        self.rounds: dict[int, list[RoundScores]] = {i: [] for i in self.objects}

    def interact(
        self, interactions: int, progress: Callable[[int, int], None] | None
    ) -> None:
        """Give each object its next prompt, track, score: the given round of all."""
        wanted = self._next_interactions()
        for object_id, interaction in wanted.items():
            earlier = {}
            if self.session.has_object(object_id):
                earlier = self.session.prompts(object_id)
            frame = interaction.frame
            self.predictor.add_prompt(
                self.session,
                frame=frame,
                object_id=object_id,
                prompt=interaction.added_to(earlier.get(frame)),
            )
            self.given[object_id].append(interaction)
        once = sum(last - first + 1 for first, last in self.windows.values())
        total = once * self.protocol.interactions
        done = once * (interactions - 1)
        windows = {object_id: self.windows[object_id] for object_id in wanted}
        for count in track_windows(self.predictor.tracker(self.session), windows):
            done += count
            if progress is not None:
                progress(done, total)
        self._score(windows)
        if progress is not None:
            progress(once * interactions, total)

    def score_tracks(self, interactions: int) -> TrackingScores:
        """Compare the tracks as they are with those of the objects in work."""
        ids = list(self.objects)
        frames = range(len(self.truth))
        return score_tracks(
            (np.where(np.isin(t := self.truth[f], ids), t, 0) for f in frames),
            (self.session.masks(f).labels("highest_logit") for f in frames),
            interactions=interactions,
        )

    def scores(self) -> tuple[ObjectScores, ...]:
        """Return what was reached, by object."""
        return tuple(
            ObjectScores(
                object_id=object_id,
                frames=one.frames,
                mean_area=one.mean_area,
                middle=one.middle,
                rounds=tuple(self.rounds[object_id]),
            )
            for object_id, one in self.objects.items()
        )

    def _window(self, one: LabelledObject, num_frames: int) -> tuple[int, int]:
        """Return the first and the last frame that an object is tracked on."""
        if self.protocol.to_the_ends:
            return 0, num_frames - 1
        first = max(0, one.frames[0] - self.protocol.beyond)
        return first, min(num_frames - 1, one.frames[-1] + self.protocol.beyond)

    def _next_interactions(self) -> dict[int, Interaction]:
        """Say what the annotator does next, where there is anything to do."""
        where: dict[int, list[int]] = defaultdict(list)
        for object_id, rounds in self.rounds.items():
            one = self.objects[object_id]
            where[rounds[-1].worst.frame if rounds else one.middle].append(object_id)
        wanted: dict[int, Interaction] = {}
        for frame in sorted(where):
            labels = self.truth[frame]
            for object_id in where[frame]:
                rounds = self.rounds[object_id]
                true = labels == object_id
                interaction = (
                    correction(frame, rounds[-1].worst.mask, true)
                    if rounds
                    else first_interaction(frame, true, self.protocol.first)
                )
                if interaction is not None:
                    wanted[object_id] = interaction
        # In the order of the objects, whichever frames they are prompted on.
        return {i: wanted[i] for i in self.objects if i in wanted}

    def _score(self, object_ids: Iterable[int]) -> None:
        """Compare what was found of objects with what is true."""

        def masks_on(frame: int, wanted: Sequence[int]) -> Iterator[NDArray[np.bool_]]:
            # The session knows the objects in the order of `self.objects`.
            return self.session.masks(frame, wanted).each_mask()

        objects = [self.objects[object_id] for object_id in object_ids]
        tallies = tally_objects(self.truth, objects, self.protocol, masks_on)
        for object_id, tally in tallies.items():
            self.rounds[object_id].append(tally.result(self.given[object_id]))
