"""Several processes on one run, started as torchrun starts them."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from torch.nn.utils import clip_grad_norm_

from napari_sam2.build import build_model
from napari_sam2.training.checkpoint import load_checkpoint
from napari_sam2.training.ranks import Ranks, ranks_of_environment
from napari_sam2.training.samples import TRAINING, StepSamples
from napari_sam2.training.settings import read_training
from napari_sam2.training.step import StepRules, image_step

CONFIGS = Path(__file__).parents[2] / "configs"
# Image steps use no memory, and prompts differ between processes.
STAGES = [
    {"kind": "images", "steps": 2, "image_size": 64, "images": 1, "objects": 2},
    {
        "kind": "clips",
        "steps": 2,
        "image_size": 64,
        "frames": 2,
        "images": 1,
        "objects": 2,
        "correction_share": [0.5, 0.5],
        "optimizer": "muon",
    },
]


def write(path, **changes):
    settings = {
        "model": str(CONFIGS / "micro.yaml"),
        "workers": 0,
        "validate_every": 100,
        "validation_clips": 2,
        "checkpoint_minutes": 1e-6,
        "stages": STAGES,
    }
    path.write_text(yaml.safe_dump(settings | changes))
    return path


def torchrun(config, out, *options):
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    line += ["--nproc-per-node", "2", "-m", "napari_sam2", "train", str(config)]
    return subprocess.Popen(
        [*line, "--out", str(out), "--device", "cpu", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def norm_of_mean_gradient(config) -> float:
    """Of the first step, over the samples of two processes."""
    parameters = read_training(config)
    stage = parameters.stages[0]
    samples = StepSamples(parameters, stage, TRAINING)
    model = build_model(
        parameters.model,
        checkpoint=None,
        device="cpu",
        overrides=[f"image_size={stage.image_size}"],
        seed=parameters.seed,
    ).train()
    for number in range(2):
        chance = torch.Generator().manual_seed(number)
        torch.randint(1, 2, (), generator=chance)  # how many corrections
        torch.rand((), generator=chance)  # whether
        rules = StepRules(parameters.losses, parameters.prompts)
        (image_step(model, samples[number], rules, chance).loss / 2).backward()
    return float(clip_grad_norm_(model.parameters(), 1.0))


def test_two_processes_train_one_network(tmp_path):
    config = write(tmp_path / "run.yaml")
    out = tmp_path / "out"
    ran = torchrun(config, out)
    printed, told = ran.communicate(timeout=280)
    assert ran.returncode == 0, told
    assert printed == f"{out / 'weights.safetensors'}\n"
    assert load_checkpoint(out).step == 4
    with (out / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "1", "3"]
    expected = norm_of_mean_gradient(config)
    assert float(rows[0]["gradient_norm"]) == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
def test_both_stop_after_one_step_and_go_on_as_if_they_had_not(tmp_path):
    stages = [STAGES[0] | {"steps": 30}, STAGES[1]]
    config = write(tmp_path / "run.yaml", stages=stages, checkpoint_minutes=5)
    torchrun(config, tmp_path / "whole").communicate(timeout=280)
    out = tmp_path / "stopped"
    ran = torchrun(config, out)
    table, deadline = out / "metrics.csv", time.monotonic() + 280
    while time.monotonic() < deadline:
        if table.exists() and len(table.read_text().splitlines()) > 1:
            break
        time.sleep(0.05)
    ran.terminate()
    _, told = ran.communicate(timeout=280)
    assert told.count("give the same command with --resume") == 2
    assert 1 <= load_checkpoint(out).step < 30
    torchrun(config, out, "--resume").communicate(timeout=280)
    name = "weights.safetensors"
    assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_processes_share_the_samples():
    first, second = Ranks(0, 2, 0), Ranks(1, 2, 1)
    assert list(first.samples(range(3, 6))) == [6, 8, 10]
    assert list(second.samples(range(3, 6))) == [7, 9, 11]
    assert list(Ranks().samples(range(3, 6))) == [3, 4, 5]
    assert first.is_first
    assert not second.is_first


def test_a_process_knows_its_place(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    assert ranks_of_environment() == Ranks()
    monkeypatch.setenv("RANK", "5")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert ranks_of_environment() == Ranks()  # of something else
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    assert ranks_of_environment() == Ranks(5, 8, 1)
