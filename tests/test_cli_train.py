"""``napari-sam2 train``: started, stopped, gone on with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import yaml

from cli_runs import Ran, run
from napari_sam2.training.checkpoint import load_checkpoint

if TYPE_CHECKING:
    Capture = pytest.CaptureFixture[str]

CONFIGS = Path(__file__).parents[1] / "configs"
STAGE = {"kind": "images", "image_size": 64, "images": 1, "objects": 1}


def write(path: Path, steps: int, **changes: Any) -> Path:
    settings = {
        "model": str(CONFIGS / "micro.yaml"),
        "workers": 0,
        "validation_clips": 1,
        "stages": [STAGE | {"steps": steps}],
    }
    path.write_text(yaml.safe_dump(settings | changes))
    return path


def test_a_run_from_yaml_to_weights(tmp_path: Path, capsys: Capture) -> None:
    config, out = write(tmp_path / "run.yaml", 1), tmp_path / "out"
    ran = run(capsys, "train", config, "--out", out, "--device", "cpu")
    assert (ran.code, ran.out) == (0, f"{out / 'weights.safetensors'}\n")
    assert "1 of 1 steps, images, loss" in ran.err
    again = run(capsys, "train", config, "--out", out)
    assert again.code == 1
    assert "--resume" in again.error
    done = run(capsys, "train", config, "--out", out, "--resume", "--device", "cpu")
    assert (done.code, done.out) == (0, ran.out)


@pytest.mark.parametrize(
    ("changes", "words", "told"),
    [
        ({"sed": 1}, [], "training.sed is not a known setting"),
        ({"model": "nothing"}, [], "nothing"),
        ({}, ["--resume"], "without --resume"),
        ({}, ["--precision", "float16"], "float16 are too coarse"),
        ({}, ["--device", "cuda:77"], "cuda:77"),
    ],
)
def test_what_cannot_begin_is_told_in_one_line(
    changes: dict[str, Any],
    words: list[str],
    told: str,
    tmp_path: Path,
    capsys: Capture,
) -> None:
    config = write(tmp_path / "run.yaml", 1, **changes)
    ran = run(capsys, "train", config, "--out", tmp_path / "out", *words)
    assert ran.code == 1
    assert told in ran.error
    assert not (tmp_path / "out" / "weights.safetensors").exists()


def test_a_folder_that_cannot_hold_a_run(tmp_path: Path, capsys: Capture) -> None:
    config, out = write(tmp_path / "run.yaml", 1), tmp_path / "out"
    out.write_text("mine")
    ran = run(capsys, "train", config, "--out", out / "deeper")
    assert ran.code == 1
    assert f"{out} is a file" in ran.error
    out.unlink()
    out.mkdir()
    (out / "weights.safetensors").write_text("of a run before")
    ran = run(capsys, "train", config, "--out", out)
    assert ran.code == 1
    assert "no checkpoint" in ran.error
    assert (out / "weights.safetensors").read_text() == "of a run before"


def test_full_memory_and_early_stops_are_told(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write(tmp_path / "run.yaml", 1)

    def fails(error: BaseException) -> Ran:
        def train(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr("napari_sam2.training.run.train", train)
        return run(capsys, "train", config, "--out", tmp_path / "out")

    full = fails(torch.OutOfMemoryError("CUDA out of memory"))
    assert full.code == 1
    assert "graphics card is full: give stages a smaller image_size" in full.error
    stopped = fails(KeyboardInterrupt())
    assert stopped.code == 130
    assert "give the same command again" in stopped.err


def test_stopped_after_a_step_it_is_gone_on_with(
    tmp_path: Path, capsys: Capture
) -> None:
    config, out = write(tmp_path / "run.yaml", 10**6), tmp_path / "out"
    line = [sys.executable, "-m", "napari_sam2", "train", str(config), "--out"]
    started = subprocess.Popen(
        [*line, str(out), "--device", "cpu"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    table, deadline = out / "metrics.csv", time.monotonic() + 120
    while time.monotonic() < deadline:
        if table.exists() and len(table.read_text().splitlines()) > 1:
            break
        time.sleep(0.05)
    started.send_signal(signal.SIGTERM)
    printed, told = started.communicate(timeout=120)
    assert started.returncode == 130
    assert printed == ""
    assert "Stopping after this step" in told
    assert "--resume" in told
    assert load_checkpoint(out).step >= 1
    assert not list(out.glob("*.partial"))
