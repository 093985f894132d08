"""How rates and shares change over a stage, and which weights learn at which rate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sam2.model.sam2 import Sam2
    from napari_sam2.training.settings import StageParameters

_FRAME_PARTS = ("image_encoder.", "sam_prompt_encoder.", "sam_mask_decoder.")


def learning_rate(stage: StageParameters, step: int) -> float:
    """Return the rate of a step within a stage: linear warm-up, then half a cosine."""
    if step < stage.warmup:
        return stage.learning_rate * (step + 1) / stage.warmup
    done = (step - stage.warmup) / max(stage.steps - stage.warmup, 1)
    share = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return stage.learning_rate * (stage.final_rate + (1 - stage.final_rate) * share)


def between(limits: tuple[float, float], stage: StageParameters, step: int) -> float:
    """Return what a number that changes over a stage is at one of its steps."""
    first, last = limits
    return first + (last - first) * step / max(stage.steps - 1, 1)


def parameter_groups(
    model: Sam2, weight_decay: float, frame_rate: float
) -> list[dict[str, Any]]:
    """Return the groups of the optimiser, of all weights that are not frozen.

    Vectors (biases, norms) do not decay; parts that see single frames have the
    ``share`` `frame_rate` of the learning rate, all others 1.
    """
    groups = []
    for share, of_frames in ((frame_rate, True), (1.0, False)):
        chosen = [
            parameter
            for name, parameter in model.named_parameters()
            if parameter.requires_grad and name.startswith(_FRAME_PARTS) == of_frames
        ]
        for matrices, decay in ((True, weight_decay), (False, 0.0)):
            some = [p for p in chosen if (p.ndim > 1) == matrices]
            groups.append({"params": some, "weight_decay": decay, "share": share})
    return groups
