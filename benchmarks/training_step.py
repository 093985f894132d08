"""Times a step of the built-in model's training, in each precision.

python benchmarks/training_step.py [float32] [bfloat16]

Of the last stage of `configs/training/nano.yaml`, on one thread: the passes through
three clips, and the optimiser.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import torch

from napari_sam2.build import build_model
from napari_sam2.training.optimizer import WeightOptimizer
from napari_sam2.training.samples import TRAINING, StepSamples
from napari_sam2.training.settings import read_training
from napari_sam2.training.stage import step_on
from napari_sam2.training.step import StepRules

_CONFIG = Path(__file__).parents[1] / "configs" / "training" / "nano.yaml"
_CLIPS = 3
_TURNS = 4


def main(precisions: list[str]) -> None:
    """Print seconds a step, medians over the steps of all turns but the first."""
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
    clips = [
        sample
        for sample in (drawn[number] for number in range(20))
        if len(sample.images) > 1
    ][:_CLIPS]
    rules = StepRules(
        parameters.losses, parameters.prompts, area_weight=1.0, corrections=1
    )
    passes: dict[str, list[float]] = {precision: [] for precision in precisions}
    moves: dict[str, list[float]] = {precision: [] for precision in precisions}
    for turn in range(_TURNS):
        for precision, model in models.items():
            optimizer = WeightOptimizer(model, parameters, stage)
            optimizer.set_rate(0.0)
            for number, sample in enumerate(clips):
                chance = torch.Generator().manual_seed(number)
                began = time.perf_counter()
                loss = step_on(model, sample, rules, chance).loss
                optimizer.zero_grad()
                loss.backward()
                passed = time.perf_counter()
                optimizer.step()
                if turn:
                    passes[precision].append(passed - began)
                    moves[precision].append(time.perf_counter() - passed)
    print("| precision | passes, seconds | optimiser, seconds |")
    print("| --- | --- | --- |")
    for precision in precisions:
        print(
            f"| {precision} | {statistics.median(passes[precision]):.2f} "
            f"| {statistics.median(moves[precision]):.2f} |"
        )


if __name__ == "__main__":
    main(sys.argv[1:] or ["float32", "bfloat16"])
