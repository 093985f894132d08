"""How rates and shares change over a stage."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_sam2.training.settings import StageParameters


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
