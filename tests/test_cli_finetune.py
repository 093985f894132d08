"""``napari-sam2 finetune``: from a folder of stacks to weights for other commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from annotated_stacks import scene, write_pair, write_stacks
from cli_runs import Ran, all_labels, run, write_prompts
from napari_sam2.build import build_model

if TYPE_CHECKING:
    Capture = pytest.CaptureFixture[str]

CONFIG = Path(__file__).parents[1] / "configs" / "micro.yaml"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = build_model(CONFIG, checkpoint=None, device="cpu", seed=0)
    path = tmp_path_factory.mktemp("weights") / "start.pt"
    torch.save({"model": model.state_dict()}, path)
    return path


def finetune(
    capsys: Capture, data: Path, out: Path, weights: Path, *words: object
) -> Ran:
    network = ("--model", CONFIG, "--checkpoint", weights, "--image-size", 64)
    options = ("--steps", 2, "--synthetic-share", 0, "--device", "cpu")
    return run(
        capsys, "finetune", "--data", data, "--out", out, *network, *options, *words
    )


def test_the_result_goes_to_other_commands(
    tmp_path: Path, weights: Path, capsys: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    data, out = write_stacks(tmp_path / "data", 3), tmp_path / "out"
    images, labels = scene(7)
    write_pair(data, "bad", images, labels[:3])
    ran = finetune(capsys, data, out, weights)
    assert (ran.code, ran.out) == (0, f"{out / 'weights.safetensors'}\n")
    assert "bad is left out: The labels bad.tif have 3 frames" in caplog.text
    assert "Learned from 6 objects in 2 stacks." in ran.err
    assert "Mean IoU of 3 objects in other stacks, kept back from training:" in ran.err

    tracked = run(
        capsys,
        *("track", data / "images" / "s0.tif", "--out", tmp_path / "tracked.tif"),
        *("--prompts", write_prompts(tmp_path / "prompts.json")),
        *("--model", out / "model.yaml", "--device", "cpu"),
        *("--checkpoint", out / "weights.safetensors"),
    )
    assert tracked.code == 0
    assert all_labels(tmp_path / "tracked.tif").shape == (6, 64, 64)


def test_one_stack_for_scripts(
    tmp_path: Path, weights: Path, capsys: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    data = write_stacks(tmp_path / "data", 1)
    words = ("--json", "--freeze-encoder", "--held-out", 0.3)
    ran = finetune(capsys, data, tmp_path / "out", weights, *words)
    assert ran.code == 0
    told = json.loads(ran.out)
    assert (told["stacks"], told["objects"], told["by_object"]) == (1, 2, True)
    (scores,) = told["scores"]
    assert scores["name"] == "s0"
    assert scores["objects"] == 1
    assert len(scores["before"]) == len(scores["after"]) == 2
    assert "1 of its 3 objects are kept back" in caplog.text
    assert "Learned from 2 objects in 1 stack." in ran.err
    assert "Mean IoU of 1 object of that stack" in ran.err


def test_what_cannot_begin_is_told(
    tmp_path: Path, weights: Path, capsys: Capture
) -> None:
    (tmp_path / "empty").mkdir()
    ran = finetune(capsys, tmp_path / "empty", tmp_path / "out", weights)
    assert ran.code == 1
    assert "No image with labels was found" in ran.error
    ran = finetune(capsys, tmp_path / "none", tmp_path / "out", weights)
    assert ran.code == 1
    assert "does not exist" in ran.error
    ran = finetune(capsys, tmp_path, tmp_path / "out", weights, "--held-out", 1)
    assert ran.code == 1
    assert "held_out is 1" in ran.error
    assert not (tmp_path / "out").exists()
