from __future__ import annotations

from pathlib import Path

import pytest

from napari_sam2.build import build_model
from napari_sam2.training.settings import (
    PromptParameters,
    StageParameters,
    TrainingParameters,
)

CONFIGS = Path(__file__).parents[2] / "configs"
SIZE = 64


def toy(stage: StageParameters, **settings) -> TrainingParameters:
    defaults = {
        "model": str(CONFIGS / "micro.yaml"),
        "workers": 0,
        "validation_clips": 2,
    }
    return TrainingParameters(stages=(stage,), **(defaults | settings))


@pytest.fixture(params=["adamw", "muon"])
def optimizer(request) -> str:
    return request.param


@pytest.fixture
def images() -> TrainingParameters:
    return toy(StageParameters("images", 4, SIZE, 1, 2, 3, correction_share=(1, 1)))


@pytest.fixture
def clips() -> TrainingParameters:
    prompts = PromptParameters(click_share=0.4, box_share=0.3, second_frame_share=0.0)
    stage = StageParameters("clips", 4, SIZE, 4, 2, 3, correction_share=(1, 1))
    return toy(stage, prompts=prompts)


@pytest.fixture
def model():
    return build_model(
        CONFIGS / "micro.yaml",
        checkpoint=None,
        device="cpu",
        overrides=[f"model.image_size={SIZE}"],
        seed=0,
    ).train()
