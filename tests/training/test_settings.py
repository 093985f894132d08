from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from napari_sam2.errors import ConfigError
from napari_sam2.training.schedule import between, learning_rate
from napari_sam2.training.settings import StageParameters, read_training

CONFIGS = Path(__file__).parents[2] / "configs"


def test_the_shipped_run_is_read():
    run = read_training(CONFIGS / "training" / "nano.yaml")
    assert run.model == str((CONFIGS / "nano.yaml").resolve())
    assert {stage.kind for stage in run.stages} == {"images", "clips"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sed": 3}, "training.sed is not a known setting"),
        ({"seed": "many"}, "a whole number is needed"),
        ({"model": 3}, "a text is needed"),
        ({"ema_decay": 1.5}, "ema_decay is 1.5"),
        ({"ema_decay": float("nan")}, "a finite number is needed"),
        ({"stages": []}, "stages is empty"),
        ({"stages": [{"kind": "movies"}]}, "one of 'images', 'clips'"),
        ({"stages": [{"optimizer": "Muon"}]}, "one of 'adamw', 'muon'"),
        ({"stages": [{"frames": 5}]}, "images have 1"),
        ({"stages": [{"image_size": 100}]}, "multiple of 32"),
        ({"stages": [{"area_weight": [0.5, 0.1]}]}, "in order"),
        ({"stages": [{"area_weight": 0.5}]}, "2 numbers are needed"),
        ({"stages": [{"steps": 3}, {"steps": "x"}]}, r"stages\[1\].steps is 'x'"),
        ({"stages": [{"area_weight": [0, 0.1, 1]}]}, "2 are needed"),
        ({"stages": {"kind": "images"}}, "a list is needed"),
        ({"prompts": {"click_share": 0.8, "box_share": 0.4}}, "together at most 1"),
        ({"prompts": 3}, "a mapping"),
        ({"synthetic": {"objects": {"diamter": [1, 2]}}}, "diamter"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path, change, told):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({"model": "micro", "stages": [{}]} | change))
    with pytest.raises(ConfigError, match=told):
        read_training(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model: micro", "stages"),
        ("[1, 2]", "names and values"),
        ("a: [", "no YAML"),
        (None, "cannot be read"),
    ],
)
def test_files_that_describe_no_run(tmp_path, text, told):
    path = tmp_path / "run.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=told):
        read_training(path)


def test_numbers_in_the_short_form_of_yaml(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("model: micro\nstages: [{learning_rate: 4e-4}]\n")
    assert read_training(path).stages[0].learning_rate == 4e-4


def test_the_learning_rate_rises_then_falls():
    stage = StageParameters(steps=100, warmup=10, learning_rate=1.0, final_rate=0.1)
    rates = [learning_rate(stage, step) for step in range(101)]
    assert rates[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.1)


def test_numbers_that_change_over_a_stage():
    stage = StageParameters(steps=11)
    assert [between((1.0, 2.0), stage, step) for step in (0, 5, 10)] == [1.0, 1.5, 2.0]


def test_steps_of_the_run_and_of_its_stages(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("model: micro\nstages: [{steps: 3}, {steps: 2}]\n")
    run = read_training(path)
    assert run.steps == 5
    assert [run.stage_at(step) for step in range(5)] == [
        (0, 0),
        (0, 1),
        (0, 2),
        (1, 0),
        (1, 1),
    ]
    with pytest.raises(ValueError, match="5 steps"):
        run.stage_at(5)
