"""What a prompt gives on its frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from napari_sam2.inference.expectation import expected_result
from napari_sam2.inference.image import LOGIT_LIMIT
from napari_sam2.inference.object_track import ObjectTrack, Prompted
from napari_sam2.inference.preprocess import moved_logits, prompt_tensors
from napari_sam2.inference.results import FrameResult
from napari_sam2.inference.views import result_box
from napari_sam2.model.sam2 import PROMPTED_LOGIT

if TYPE_CHECKING:
    from torch import Tensor

    from napari_sam2.inference.prompt import Prompt
    from napari_sam2.inference.tracking import FrameTracker
    from napari_sam2.model.records import ObjectMasks, View

# Until an object is in the middle of its window; most are at the first or second.
_MOST_CLOSER_LOOKS = 2
# Logit that a click on the wrong side of the outline gets, or less than 0 by as much.
_OBEYED = 1.0


@torch.no_grad()
def predict_prompt(
    tracker: FrameTracker, track: ObjectTrack, frame: int, prompt: Prompt
) -> Prompted:
    """Predict what a prompt gives for an object on a frame.

    A prompt on a tracked frame is predicted with memory, and refines the mask that is
    there; so does one that adds points to the prompt before it.
    """
    options, session = tracker.options, tracker.session
    earlier = track.result(frame)
    if options.published_schedule:
        tracked = frame in track.visited
        backward = track.visited.get(frame, False)
        remembering = tracked
        refines = earlier is not None
    else:
        tracked = earlier is not None and frame not in track.prompts
        backward = earlier is not None and earlier.backward
        remembering = earlier is not None and earlier.remembering
        given = track.prompts.get(frame)
        refines = (
            earlier is not None
            and earlier.present
            and (given is None or prompt.extends(given))
        )

    known = _seen_view(tracker, track, frame, earlier)
    look = _Look(
        tracker,
        track,
        frame,
        prompt,
        prior=earlier if refines else None,
        remembering=remembering,
        backward=backward,
        tracked=tracked,
    )
    views = session.views.for_prompt(prompt, known)
    session.features.get(frame, views, tracker.encode)  # as one batch
    # Where it is not known how large the object is, the network says what it trusts.
    found = [look.at(view) for view in views]
    best = max(found, key=lambda one: (one.result.present, one.result.predicted_iou))
    for _ in range(_MOST_CLOSER_LOOKS):
        view, box = best.result.view, result_box(best.result)
        better = session.views.kept(view, box, prompted=True)
        if better == view or not session.views.shows(better, prompt):
            break
        closer = look.at(better)
        if best.result.present and not closer.result.present:
            break
        found.append(closer)
        best = closer
    if options.obey_clicks and prompt.shows_object and not best.result.present:
        best = replace(look, there=True).at(best.result.view)
        found = [best]
    result = best.result
    if result.present and not prompt.is_mask:
        there = [one for one in found if one.result.present]
        candidates = [mask for one in there for mask in one.candidates]
        result = look.obeyed(expected_result(result, candidates))
    conditions = options.corrections_condition or not tracked
    return Prompted(result, best.pointer, conditions)


def _seen_view(
    tracker: FrameTracker,
    track: ObjectTrack,
    frame: int,
    earlier: FrameResult | None,
) -> View | None:
    """Return the window in which an object is seen on a frame, or near it."""
    if earlier is not None:
        return earlier.view
    nearest = track.nearest_result(frame)
    if nearest is None:
        return None
    return tracker.view(track, frame, backward=nearest > frame)


def obeying(result: FrameResult, prompt: Prompt) -> FrameResult:
    """Raise or lower the logits of a mask until clicks lie where they say.

    So the mask grows or shrinks along its own contours. Absent objects stay absent, and
    where clicks contradict the order of the logits the mask stays what it is. Clicks
    beside the view, and boxes, do not count.
    """
    view = result.view
    if not result.present or not len(prompt.points):
        return result
    corner, extent = (view.x0, view.y0), (view.width, view.height)
    places = ((prompt.points - corner) / extent).astype(np.float32)  # 0 to 1
    middles = torch.from_numpy(places + 0.5 / view.input_size)  # of input pixels
    logits = F.grid_sample(
        torch.from_numpy(result.logits)[None, None],
        middles[None, None] * 2 - 1,
        padding_mode="border",
        align_corners=False,
    )[0, 0, 0].numpy()
    inside = ((places >= 0) & (places < 1)).all(1)
    lowest_on = logits[inside & (prompt.labels == 1)].min(initial=math.inf)
    highest_off = logits[inside & (prompt.labels == 0)].max(initial=-math.inf)
    left_out, covered = lowest_on <= 0, highest_off > 0
    contradictory = lowest_on - highest_off < 2 * _OBEYED
    if contradictory or not (left_out or covered):
        return result
    shift = _OBEYED - lowest_on if left_out else -_OBEYED - highest_off
    return replace(result, logits=result.logits + np.float32(shift))


class _Seen(NamedTuple):
    """What a prompt gives in a window.

    Attributes
    ----------
    result : FrameResult
        With the mask of highest predicted IoU.
    pointer : Tensor
        Object pointer ``(1, C)``.
    candidates : list of FrameResult
        With each mask that counts, if the expected IoU is what counts; else empty.
    """

    result: FrameResult
    pointer: Tensor
    candidates: list[FrameResult]


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """A prompt on a frame, to be looked at in one window or another.

    Attributes
    ----------
    tracker : FrameTracker
        The network and what it remembers.
    track : ObjectTrack
        The object.
    frame : int
        Where it is prompted.
    prompt : Prompt
        The prompt.
    prior : FrameResult, optional
        What was found before and is refined.
    remembering, backward : bool
        Whether memories take part, and in which direction they were gathered.
    tracked : bool
        Whether the frame was tracked before.
    there : bool
        Whether the object is taken to be there, whatever the network says.
    """

    tracker: FrameTracker
    track: ObjectTrack
    frame: int
    prompt: Prompt
    prior: FrameResult | None
    remembering: bool
    backward: bool
    tracked: bool
    there: bool = False

    def at(self, view: View) -> _Seen:
        """Return what the prompt gives in a window."""
        tracker, prompt = self.tracker, self.prompt
        model, options = tracker.model, tracker.options
        features = tracker.features(self.frame, [view])
        tensors = prompt_tensors(prompt, view, model.logits_size, model.device)
        remembering = self.remembering
        masks: ObjectMasks
        if tensors.mask is not None and model.use_mask_input_as_output_without_sam:
            remembering = False
            with model.autocast():
                masks = model.masks_as_output(
                    features, tensors.mask, stability=options.stability()
                )
        else:
            embedding = None
            if remembering:
                embedding = tracker.embedding(
                    self.track, view, self.frame, backward=self.backward
                )
            remembering = embedding is not None
            prior = tensors.mask if tensors.prior is None else tensors.prior
            if prior is None and self.prior is not None:
                prior = self._refined(self.prior, view)
            with model.autocast():
                if embedding is None:
                    embedding = model.without_memory(features)
                masks = model.predict_masks(
                    embedding,
                    features,
                    tensors.points_xy,
                    tensors.labels,
                    prior,
                    tracking=(
                        self.tracked if options.published_schedule else remembering
                    ),
                    there=self.there,
                    stability=options.stability(),
                )
        several = [masks]
        if tracker.expecting:
            several += masks.each_candidate()
        exact = prompt.is_mask and options.exact_mask_prompts
        painted = prompt.packed_mask if exact else None
        result, *candidates = [
            self.obeyed(
                FrameResult(
                    logits=one.logits[0, 0].float().cpu().numpy(),
                    view=view,
                    object_score=float(one.object_score[0]),
                    predicted_iou=float(one.iou[0]),
                    remembering=remembering,
                    backward=self.backward,
                    painted=painted,
                )
            )
            for one in several
        ]
        return _Seen(result, masks.pointer, candidates)

    def obeyed(self, result: FrameResult) -> FrameResult:
        """Return a result that obeys the clicks, if it should."""
        if not self.tracker.options.obey_clicks:
            return result
        return obeying(result, self.prompt)

    def _refined(self, earlier: FrameResult, view: View) -> Tensor:
        """Return the logits ``(1, 1, h, w)`` found before, as a prior in a window."""
        model = self.tracker.model
        logits = torch.from_numpy(earlier.logits).to(model.device)[None, None]
        if earlier.view != view:
            size = model.logits_size
            logits = moved_logits(logits, earlier.view, view, size, -PROMPTED_LOGIT)
        return logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
