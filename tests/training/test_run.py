from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from napari_sam2.build import build_model
from napari_sam2.errors import CheckpointError, ConfigError, Sam2Error
from napari_sam2.training import stage
from napari_sam2.training.checkpoint import CHECKPOINT, load_checkpoint
from napari_sam2.training.run import train

CONFIGS = Path(__file__).parents[2] / "configs"

STAGES = [
    {"kind": "images", "steps": 3, "image_size": 64, "images": 1, "objects": 2},
    {
        "kind": "clips",
        "steps": 3,
        "image_size": 64,
        "frames": 3,
        "images": 1,
        "objects": 2,
        "correction_share": [0.5, 1.0],
    },
]


@pytest.fixture
def config(tmp_path):
    return write(tmp_path / "run.yaml")


def write(path, **changes):
    settings = {
        "model": str(CONFIGS / "micro.yaml"),
        "workers": 0,
        "validate_every": 100,
        "validation_clips": 1,
        "checkpoint_minutes": 1e-6,
        "stages": STAGES,
    }
    path.write_text(yaml.safe_dump(settings | changes))
    return path


def rows(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_run_exports_weights_that_load(tmp_path, config):
    weights = train(config, out=tmp_path / "out", device="cpu")
    model = build_model(CONFIGS / "micro.yaml", checkpoint=weights, device="cpu")
    average = load_checkpoint(tmp_path / "out").average
    for name, value in model.state_dict().items():
        assert torch.equal(value, average[name].half().float())
    steps = [int(row["step"]) for row in rows(tmp_path / "out")]
    assert steps == [0, 2, 5]
    assert len(list((tmp_path / "out").glob("validation_*.png"))) == 2
    assert not list((tmp_path / "out").glob("*.partial"))


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path, optimizer):
    stages = [stage | {"optimizer": optimizer} for stage in STAGES]
    config = write(tmp_path / "run.yaml", stages=stages)
    whole = train(config, out=tmp_path / "whole", device="cpu")
    out = tmp_path / "killed"
    line = [sys.executable, "-m", "napari_sam2", "train", str(config), "--out"]
    run = subprocess.Popen(
        [*line, str(out), "--device", "cpu"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
    )
    deadline = time.monotonic() + 90
    while not (out / CHECKPOINT).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert load_checkpoint(out).step >= 1
    resumed = train(config, out=out, resume=True, device="cpu")
    assert resumed.read_bytes() == whole.read_bytes()
    assert [row["step"] for row in rows(out)] == ["0", "2", "5"]


def test_a_folder_with_a_run_is_not_overwritten(tmp_path):
    config = write(tmp_path / "run.yaml", stages=[STAGES[0] | {"steps": 1}])
    train(config, out=tmp_path / "out", device="cpu")
    with pytest.raises(ConfigError, match="--resume"):
        train(config, out=tmp_path / "out", device="cpu")
    other = write(tmp_path / "other.yaml", seed=3)
    with pytest.raises(ConfigError, match="other settings"):
        train(other, out=tmp_path / "out", resume=True, device="cpu")


def test_a_run_goes_on_with_other_workers(tmp_path):
    config = write(tmp_path / "run.yaml", stages=[STAGES[0] | {"steps": 1}])
    weights = train(config, out=tmp_path / "out", device="cpu").read_bytes()
    other = write(tmp_path / "other.yaml", stages=[STAGES[0] | {"steps": 1}], workers=2)
    resumed = train(other, out=tmp_path / "out", resume=True, device="cpu")
    assert resumed.read_bytes() == weights


def test_nothing_to_resume(tmp_path, config):
    with pytest.raises(CheckpointError, match="without --resume"):
        train(config, out=tmp_path / "out", resume=True)


def test_a_damaged_checkpoint(tmp_path, config):
    (tmp_path / CHECKPOINT).write_bytes(b"PK not a checkpoint")
    with pytest.raises(CheckpointError, match="cannot be read"):
        train(config, out=tmp_path, resume=True)


def test_numbers_that_become_nan_stop_the_run(tmp_path, monkeypatch):
    config = write(tmp_path / "run.yaml", stages=[STAGES[0] | {"warmup": 0}])
    train(config, out=tmp_path / "good", device="cpu")
    original, calls = stage.image_step, []

    def breaks(model, sample, rules, generator):
        calls.append(1)
        result = original(model, sample, rules, generator)
        if len(calls) < 3:
            return result
        return replace(result, loss=result.loss * torch.nan)

    monkeypatch.setattr(stage, "image_step", breaks)
    with pytest.raises(Sam2Error, match="stopped at step 2"):
        train(config, out=tmp_path / "broken", device="cpu")
    kept = load_checkpoint(tmp_path / "broken")
    assert kept.step == 2
    for weights in (kept.model, kept.average):
        assert all(torch.isfinite(value).all() for value in weights.values())


def test_a_run_starts_from_given_weights(tmp_path):
    stages = [STAGES[0] | {"steps": 1, "learning_rate": 0.0}]
    first = train(
        write(tmp_path / "first.yaml", stages=stages, seed=5),
        out=tmp_path / "first",
        device="cpu",
    )
    second = train(
        write(tmp_path / "second.yaml", stages=stages, weights=str(first)),
        out=tmp_path / "second",
        device="cpu",
    )
    assert first.read_bytes() == second.read_bytes()
