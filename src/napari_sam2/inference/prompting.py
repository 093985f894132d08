"""What a prompt gives on its frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_sam2.inference.image import LOGIT_LIMIT
from napari_sam2.inference.object_track import ObjectTrack, Prompted
from napari_sam2.inference.preprocess import prompt_tensors
from napari_sam2.inference.results import FrameResult, PackedMask

if TYPE_CHECKING:
    from napari_sam2.inference.prompt import Prompt
    from napari_sam2.inference.tracking import FrameTracker
    from napari_sam2.model.records import ObjectMasks


@torch.no_grad()
def predict_prompt(
    tracker: FrameTracker, track: ObjectTrack, frame: int, prompt: Prompt
) -> Prompted:
    """Predict what a prompt gives for an object on a frame.

    A prompt on a tracked frame is predicted with memory, and refines the mask that is
    there; so does one that adds points to the prompt before it.
    """
    model, options, session = tracker.model, tracker.options, tracker.session
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
        known = track.prompts.get(frame)
        refines = (
            earlier is not None
            and earlier.present
            and (known is None or prompt.extends(known))
        )

    features = tracker.features(frame)
    tensors = prompt_tensors(prompt, session.view, model.logits_size, model.device)
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
            embedding = tracker.embedding(track, frame, backward=backward)
        remembering = embedding is not None
        prior = tensors.mask if tensors.prior is None else tensors.prior
        if prior is None and refines and earlier is not None:
            logits = torch.from_numpy(earlier.logits).to(model.device)[None, None]
            prior = logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
        with model.autocast():
            if embedding is None:
                embedding = model.without_memory(features)
            masks = model.predict_masks(
                embedding,
                features,
                tensors.points_xy,
                tensors.labels,
                prior,
                tracking=(tracked if options.published_schedule else remembering),
                stability=options.stability(),
            )
    painted = None
    if prompt.mask is not None and prompt.is_mask and options.exact_mask_prompts:
        painted = PackedMask.pack(prompt.mask)
    result = FrameResult(
        logits=masks.logits[0, 0].float().cpu().numpy(),
        view=session.view,
        object_score=float(masks.object_score[0]),
        predicted_iou=float(masks.iou[0]),
        remembering=remembering,
        backward=backward,
        painted=painted,
    )
    conditions = options.corrections_condition or not tracked
    return Prompted(result, masks.pointer, conditions)
