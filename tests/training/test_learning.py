"""A toy run from nothing learns clicks, then memory."""

from __future__ import annotations

import csv
from pathlib import Path

from toy_scenes import Discs, write_network

from napari_sam2.training.run import run_training
from napari_sam2.training.settings import (
    AugmentParameters,
    PromptParameters,
    StageParameters,
    TrainingParameters,
)

CONFIGS = Path(__file__).parents[2] / "configs"

IMAGES = StageParameters(
    kind="images",
    steps=220,
    image_size=64,
    images=4,
    objects=2,
    learning_rate=4e-4,
    warmup=20,
    final_rate=0.5,
)
CLIPS = StageParameters(
    kind="clips",
    steps=130,
    image_size=64,
    frames=3,
    images=3,
    objects=2,
    learning_rate=1e-3,
    warmup=10,
    final_rate=0.1,
    frame_rate=0.2,
    teacher_share=(1.0, 0.0),
)
UNTRAINED = StageParameters(
    kind="clips", steps=1, image_size=64, frames=3, images=3, learning_rate=0.0
)


def learned(folder, network, *stages) -> dict[int, dict[str, float]]:
    """What validations of a run say, by steps done."""
    parameters = TrainingParameters(
        model=str(network),
        stages=stages,
        seed=1,
        workers=0,
        validate_every=IMAGES.steps,
        validation_clips=24,
        augment=AugmentParameters(least_area=50),
        prompts=PromptParameters(
            click_share=0.5, box_share=0.0, centre_share=1.0, second_frame_share=0.0
        ),
    )
    run_training(parameters, out=folder, device="cpu", shown=Discs(), held_out=Discs())
    with (folder / "metrics.csv").open() as file:
        return {
            int(row["step"]) + 1: {
                name.removeprefix("validation_"): float(text)
                for name, text in row.items()
                if name.startswith("validation_") and text
            }
            for row in csv.DictReader(file)
            if row["validation_loss"]
        }


def test_a_network_learns_clicks_and_then_memory(tmp_path):
    network = write_network(tmp_path, CONFIGS)
    before = learned(tmp_path / "before", network, UNTRAINED)[1]
    assert before["prompted"] < 0.3
    assert before["tracked"] < 0.3

    told = learned(tmp_path / "out", network, IMAGES, CLIPS)
    clicked, followed = told[IMAGES.steps], told[IMAGES.steps + CLIPS.steps]
    # Both discs, whichever is meant, would be 0.48.
    assert clicked["prompted"] > 0.8
    assert followed["prompted"] > 0.7
    assert followed["tracked"] > 0.7
    assert clicked["loss"] < 0.2 * before["loss"]
    assert followed["loss"] < 0.3 * before["loss"]
