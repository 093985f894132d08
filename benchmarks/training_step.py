"""Times a step of the built-in model's training, in each precision.

python benchmarks/training_step.py [float32] [bfloat16]

Of the last stage of `configs/training/nano.yaml`, on one thread: the passes through
a clip, as a mean of three clips, and the optimiser.
"""

from __future__ import annotations

import statistics
import sys
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from clock import time_in_turn

from napari_sam2.build import build_model
from napari_sam2.training.optimizer import WeightOptimizer
from napari_sam2.training.samples import TRAINING, StepSamples
from napari_sam2.training.settings import read_training
from napari_sam2.training.stage import step_on
from napari_sam2.training.step import StepRules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam2.model.sam2 import Sam2
    from napari_sam2.training.samples import StepSample

_CONFIG = Path(__file__).parents[1] / "configs" / "training" / "nano.yaml"
_CLIPS = 3
_REPEATS = 4


def main(precisions: list[str]) -> None:
    """Print seconds a step, medians over the repeats."""
    torch.set_num_threads(1)
    parameters = read_training(_CONFIG)
    stage = parameters.stages[-1]
    models = {
        precision: build_model("nano", device="cpu", precision=precision).train()
        for precision in precisions
    }
    drawn = StepSamples(
        parameters, stage, TRAINING, neighbours=models[precisions[0]].neighbours
    )
    samples = (drawn[number] for number in count())
    several = (sample for sample in samples if len(sample.images) > 1)
    clips = list(islice(several, _CLIPS))
    rules = StepRules(
        parameters.losses,
        parameters.prompts,
        area_weight=stage.area_weight[1],
        corrections=stage.corrections[0],
    )
    runs = {}
    for precision, model in models.items():
        optimizer = WeightOptimizer(model, parameters, stage)
        optimizer.set_rate(0.0)
        runs[f"{precision} passes"] = partial(pass_through, model, clips, rules)
        runs[f"{precision} optimiser"] = optimizer.step
    taken = time_in_turn(runs, torch.device("cpu"), repeats=_REPEATS, warm_up=1)
    print("| precision | passes, seconds | optimiser, seconds |")
    print("| --- | --- | --- |")
    for precision in precisions:
        passed, moved = (
            statistics.median(taken[f"{precision} {part}"].seconds)
            for part in ("passes", "optimiser")
        )
        print(f"| {precision} | {passed / _CLIPS:.2f} | {moved:.2f} |")


def pass_through(model: Sam2, clips: Sequence[StepSample], rules: StepRules) -> None:
    """Pass forward and backward through each clip; the gradients are of the last."""
    for number, sample in enumerate(clips):
        chance = torch.Generator().manual_seed(number)
        model.zero_grad()
        step_on(model, sample, rules, chance).loss.backward()


if __name__ == "__main__":
    main(sys.argv[1:] or ["float32", "bfloat16"])
