"""Runs of ``track`` that are stopped, killed and gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from cli_runs import Ran, all_labels, run, write_prompts, write_stack
from napari_sam2 import ImageError
from napari_sam2.cli import main
from napari_sam2.cli.interrupt import StopRequest
from napari_sam2.cli.record import FrameScores, RunIdentity, TrackRecord
from napari_sam2.data.labels import LabelWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_sam2.model.sam2 import Sam2

    Capture = pytest.CaptureFixture[str]

FRAMES = 60


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stack(tmp_path_factory.mktemp("stack") / "image.tif", FRAMES)


@pytest.fixture(scope="module")
def network(
    micro: Sam2, tmp_path_factory: pytest.TempPathFactory
) -> tuple[object, ...]:
    """Options for weights by which objects are always present."""
    path = tmp_path_factory.mktemp("weights") / "seeded.pt"
    torch.save({"model": micro.state_dict()}, path)
    return "--model", "micro", "--checkpoint", path


@pytest.fixture
def words(stack: Path, network: tuple[object, ...], tmp_path: Path) -> list[object]:
    """A run that goes forward from frames 0 and 30, then backward from 30."""
    prompts = write_prompts(
        tmp_path / "p.json",
        {"id": 1, "prompts": [{"frame": 0, "box": [6, 6, 18, 18]}]},
        {"id": 2, "prompts": [{"frame": 30, "box": [18, 22, 30, 34]}]},
    )
    out = tmp_path / "labels.tif"
    return ["track", stack, "--prompts", prompts, "--out", out, "--json", *network]


@pytest.fixture(scope="module")
def uninterrupted(
    stack: Path, network: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory
) -> np.ndarray:
    folder = tmp_path_factory.mktemp("uninterrupted")
    prompts = write_prompts(
        folder / "p.json",
        {"id": 1, "prompts": [{"frame": 0, "box": [6, 6, 18, 18]}]},
        {"id": 2, "prompts": [{"frame": 30, "box": [18, 22, 30, 34]}]},
    )
    out = folder / "labels.tif"
    words = ["track", stack, "--prompts", prompts, "--out", out, *network]
    assert main([str(word) for word in words]) == 0
    return all_labels(out)


@contextmanager
def signalled(record: Path, lines: int, number: int) -> Iterator[None]:
    """Send this process a signal once a record has so many lines."""
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            if count_lines(record) >= lines:
                os.kill(os.getpid(), number)
                return
            time.sleep(0.002)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def count_lines(record: Path) -> int:
    return record.read_bytes().count(b"\n") if record.exists() else 0


def check_finished(ran: Ran, folder: Path, expected: np.ndarray) -> None:
    """Check that a run is done, and its labels as good as if never stopped."""
    assert ran.code == 0
    summary = json.loads(ran.out)
    assert summary["complete"] is True
    for entry in summary["objects"]:
        assert [score["frame"] for score in entry["scores"]] == [*range(FRAMES)]
        # What a run takes up is as sure as it was, and not certain.
        assert max(score["predicted_iou"] for score in entry["scores"]) < 1
    assert sorted(path.name for path in folder.iterdir()) == ["labels.tif", "p.json"]
    labels = all_labels(folder / "labels.tif")
    # What is remembered of the frames before is encoded from their masks.
    assert (labels == expected).mean() > 0.99


@pytest.mark.parametrize(
    ("number", "after"),
    [(signal.SIGINT, 20), (signal.SIGINT, 45), (signal.SIGTERM, 75)],
)
def test_a_stopped_run_can_be_looked_at_and_gone_on_with(
    number: int,
    after: int,
    words: list[object],
    uninterrupted: np.ndarray,
    tmp_path: Path,
    capsys: Capture,
) -> None:
    with signalled(tmp_path / "labels.tif.track.jsonl", after, number):
        ran = run(capsys, *words)
    assert ran.code == 130
    assert "--resume" in ran.err.splitlines()[-1]
    summary = json.loads(ran.out)
    assert summary["complete"] is False
    done = summary["written"]
    partial = all_labels(tmp_path / "labels.tif")
    assert partial[done].any(axis=(1, 2)).all()
    assert not partial[[f for f in range(FRAMES) if f not in done]].any()

    ran = run(capsys, *words)
    assert ran.code == 1
    assert "--resume" in ran.error
    assert "--overwrite" in ran.error
    # The forward pass ends with line 61; a run stopped later has less left to do.
    ran = run(capsys, *words, "--resume")
    assert json.loads(ran.out)["computed"] <= (FRAMES if after < 61 else 30)
    check_finished(ran, tmp_path, uninterrupted)
    # What was tracked before stays, whatever is tracked beside it.
    tracked = [frame for frame in done if frame not in (0, 30)]
    kept = partial[tracked] == 1
    assert (all_labels(tmp_path / "labels.tif")[tracked][kept] == 1).all()

    ran = run(capsys, *words, "--resume")
    assert ran.code == 0
    assert "finished already" in ran.err
    told = json.loads(ran.out)
    assert told["complete"] is True
    assert told["written"] == [*range(told["frames"])]


@pytest.mark.parametrize("after", [30, 75])
def test_between_two_prompts_a_stopped_run_is_still_tracked_from_both(
    after: int,
    stack: Path,
    network: tuple[object, ...],
    tmp_path: Path,
    capsys: Capture,
) -> None:
    prompts = [
        {"frame": 0, "box": [6, 6, 18, 18]},
        {"frame": FRAMES - 1, "box": [18, 22, 30, 34]},
    ]
    file = write_prompts(tmp_path / "p.json", {"id": 1, "prompts": prompts})
    words = ["track", stack, "--prompts", file, "--json", *network]
    whole, stopped = tmp_path / "whole.tif", tmp_path / "stopped.tif"
    assert run(capsys, *words, "--out", whole).code == 0
    record = tmp_path / "stopped.tif.track.jsonl"
    with signalled(record, after, signal.SIGINT):
        assert run(capsys, *words, "--out", stopped).code == 130
    lines = [json.loads(line) for line in record.read_text().splitlines()[1:]]
    met = {line["frame"] for line in lines if line["backward"]}
    ran = run(capsys, *words, "--out", stopped, "--resume")
    assert ran.code == 0
    # What was tracked from one prompt alone is tracked from both.
    assert json.loads(ran.out)["computed"] >= FRAMES - len(met)
    agreeing = (all_labels(stopped) == all_labels(whole)).mean(axis=(1, 2))
    assert agreeing.min() > 0.98


def test_a_killed_run_is_gone_on_with(
    words: list[object], uninterrupted: np.ndarray, tmp_path: Path, capsys: Capture
) -> None:
    command = [sys.executable, "-m", "napari_sam2", *map(str, words)]
    record = tmp_path / "labels.tif.track.jsonl"
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while count_lines(record) < 15:
            assert process.poll() is None
            time.sleep(0.005)
        process.kill()
    assert not (tmp_path / "labels.tif").exists()
    check_finished(run(capsys, *words, "--resume"), tmp_path, uninterrupted)


@pytest.fixture
def stopped(words: list[object], tmp_path: Path, capsys: Capture) -> list[object]:
    """The command of a run that was stopped early."""
    with signalled(tmp_path / "labels.tif.track.jsonl", 10, signal.SIGINT):
        assert run(capsys, *words).code == 130
    return words


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--direction", "forward"), "another direction"),
        (("--object", "1"), "other prompts"),
        (("--contrast", 0, 500), "contrast"),
        (("--fill-holes", 3), "other options"),
        (("--checkpoint", "none"), "other weights"),
    ],
)
def test_only_the_same_run_is_gone_on_with(
    options: tuple[object, ...],
    reason: str,
    stopped: list[object],
    tmp_path: Path,
    capsys: Capture,
) -> None:
    before = all_labels(tmp_path / "labels.tif")
    ran = run(capsys, *stopped, "--resume", *options)
    assert ran.code == 1
    assert reason in ran.err.splitlines()[-1]
    np.testing.assert_array_equal(all_labels(tmp_path / "labels.tif"), before)


def test_without_its_record_everything_is_tracked_anew(
    stopped: list[object], uninterrupted: np.ndarray, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "labels.tif.track.jsonl").unlink()
    ran = run(capsys, *stopped, "--resume")
    assert json.loads(ran.out)["computed"] == FRAMES
    check_finished(ran, tmp_path, uninterrupted)
    np.testing.assert_array_equal(all_labels(tmp_path / "labels.tif"), uninterrupted)


def test_a_stopped_run_can_be_begun_anew(
    stopped: list[object], uninterrupted: np.ndarray, tmp_path: Path, capsys: Capture
) -> None:
    check_finished(run(capsys, *stopped, "--overwrite"), tmp_path, uninterrupted)
    np.testing.assert_array_equal(all_labels(tmp_path / "labels.tif"), uninterrupted)


def test_finished_labels_of_another_image_are_not_taken_for_done(
    words: list[object], tmp_path: Path, capsys: Capture
) -> None:
    with LabelWriter.open(tmp_path / "labels.tif", shape=(3, 4, 5), max_id=1) as other:
        other.write(0, np.ones((4, 5), np.uint8))
    ran = run(capsys, *words, "--resume")
    assert ran.code == 1
    assert "this run needs" in ran.error


IDENTITY = RunIdentity("image", "prompts", "network", "options")


def scores(frame: int, *ids: int) -> FrameScores:
    numbers = tuple(0.5 * number for number in ids)
    return FrameScores(frame, frame % 2 == 1, ids, numbers, numbers)


def test_the_record_of_a_run_survives_a_crash(tmp_path: Path) -> None:
    path = TrackRecord.path_for(tmp_path / "labels.tif")
    assert TrackRecord.load(path) is None
    with TrackRecord(path, IDENTITY, {}) as record:
        for one in (scores(4, 1), scores(5, 1, 7), scores(4, 1, 7)):
            record.add(one)
    with path.open("a") as file:
        file.write('{"frame": 6, "backwa')
    for _ in range(2):
        loaded = TrackRecord.load(path)
        assert loaded is not None
        assert loaded.identity == IDENTITY
        assert list(loaded.scores.values()) == [scores(5, 1, 7), scores(4, 1, 7)]
        with loaded:
            loaded.add(scores(4, 1, 7))
    record.remove()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"[1]\n", b'{"a": 1}\n', b"\xff"]
)
def test_a_record_that_cannot_be_read_is_none(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "labels.tif.track.jsonl"
    path.write_bytes(content)
    assert TrackRecord.load(path) is None


def test_a_record_that_cannot_be_written(tmp_path: Path) -> None:
    record = TrackRecord(tmp_path / "none" / "a.track.jsonl", IDENTITY, {})
    with pytest.raises(ImageError, match="cannot be written"), record:
        pass


def test_signals_wait_only_when_they_shall() -> None:
    before = signal.getsignal(signal.SIGINT)
    with StopRequest() as stop:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        assert not stop.requested
        stop.defer()
        signal.raise_signal(signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
