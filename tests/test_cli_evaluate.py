"""The ``evaluate`` command on small stacks with known objects."""

from __future__ import annotations

import csv
import json
import signal
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import torch
import zarr

from cli_runs import Ran, run

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sam2.model.sam2 import Sam2

    Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="session")
def weights(micro: Sam2, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights by which objects are always present."""
    path = tmp_path_factory.mktemp("weights") / "seeded.pt"
    torch.save({"model": micro.state_dict()}, path)
    return path


def scene(frames: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Two discs, the first on frames 1 to 6."""
    y, x = np.mgrid[:40, :48]
    labels = np.zeros((frames, 40, 48), np.uint16)
    for frame, plane in enumerate(labels):
        if frame:
            plane[(y - 12) ** 2 + (x - 12 - frame) ** 2 < 36] = 3
        plane[(y - 28) ** 2 + (x - 34) ** 2 < 49] = 8
    noise = np.random.default_rng(0).integers(0, 60, labels.shape, np.uint16)
    return noise + 900 * (labels > 0), labels


def write(path: Path, pixels: np.ndarray, axes: str = "ZYX") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(
        path, pixels.astype(np.uint16), imagej=True, metadata={"axes": axes}
    )
    return path


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    images, labels = scene()
    return write(tmp_path / "a.tif", images), write(tmp_path / "a-true.tif", labels)


@pytest.fixture
def evaluate(capsys: Capture, weights: Path) -> Any:
    """Evaluate the seeded weights; stacks and options vary."""

    def ran(*words: object, clicks: int = 1) -> Ran:
        network = ("--model", "micro", "--checkpoint", weights)
        return run(capsys, "evaluate", *network, "--clicks", clicks, *words)

    return ran


def test_a_report_of_a_stack(
    evaluate: Any, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "report"
    ran = evaluate(*pair, "--out", out, "--pictures", 1, clicks=2)
    assert ran.code == 0
    assert "micro" in ran.out
    assert "middle mask copied" in ran.out
    assert "threshold and watershed" in ran.out
    record = json.loads((out / "evaluation.json").read_text())
    (stack,) = record["stacks"]
    assert (stack["name"], stack["frames"]) == ("a.tif", 7)
    assert [one["id"] for one in stack["methods"][0]["objects"]] == [3, 8]
    with (out / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == ["model"] * 2 + ["copied", "watershed"]
    assert len(list((out / "worst").iterdir())) == 1
    assert {path.suffix for path in out.iterdir()} <= {".json", ".csv", ".png", ""}


def test_json_and_options(evaluate: Any, pair: tuple[Path, Path]) -> None:
    words = ("--first", "box", "--object", "8", "--no-baselines", "--beyond", 2)
    ran = evaluate(*pair, *words, "--json")
    (stack,) = json.loads(ran.out)["stacks"]
    assert stack["protocol"]["first"] == "box"
    assert stack["protocol"]["beyond"] == 2
    (method,) = stack["methods"]
    (one,) = method["objects"]
    assert one["id"] == 8
    assert len(one["rounds"][0]["prompts"][0]["points"]) == 2


def test_a_report_is_not_replaced_unasked(
    evaluate: Any, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "report"
    words = (*pair, "--out", out, "--no-baselines")
    assert evaluate(*words).code == 0
    again = evaluate(*words)
    assert again.code == 1
    assert "--overwrite" in again.error
    assert len(list((out / "worst").iterdir())) == 2
    missing = tmp_path / "missing.safetensors"
    failed = evaluate(*words, "--overwrite", "--checkpoint", missing)
    assert failed.code == 1
    assert len(list((out / "worst").iterdir())) == 2
    (out / "worst" / "mine.png").touch()
    assert evaluate(*words, "--overwrite", "--pictures", 0).code == 0
    assert [path.name for path in (out / "worst").iterdir()] == ["mine.png"]
    file = write(tmp_path / "file.tif", scene()[0])
    assert "is a file" in evaluate(*pair, "--out", file).error


def test_a_broken_pair_does_not_stop_the_others(evaluate: Any, tmp_path: Path) -> None:
    images, labels = scene()
    for name in ("one", "two", "three", "four"):
        write(tmp_path / "images" / f"{name}.tif", images)
        write(tmp_path / "labels" / f"{name}.tif", labels)
    write(tmp_path / "images" / "lonely.tif", images)
    (tmp_path / "labels" / "one.tif").write_bytes(b"II*\0nothing")
    write(tmp_path / "labels" / "three.tif", labels[:, 2:])
    write(tmp_path / "labels" / "two.tif", np.zeros_like(labels))
    ran = evaluate(tmp_path, "--no-baselines", "--json")
    assert ran.code == 1
    record = json.loads(ran.out)
    assert [stack["name"] for stack in record["stacks"]] == ["four"]
    failures = {each["name"]: each["error"] for each in record["failures"]}
    assert failures.keys() == {"one", "two", "three"}
    assert "empty" in failures["two"]
    assert "38 x 48" in failures["three"]
    assert "lonely.tif has no labels" in ran.err
    # As two folders, the same.
    both = evaluate(tmp_path / "images", tmp_path / "labels", "--no-baselines")
    assert both.code == 1
    assert "four (2)" in both.out


def test_folders_of_frames_are_one_stack(evaluate: Any, tmp_path: Path) -> None:
    images, labels = scene()
    for frame in range(len(images)):
        write(tmp_path / "movie" / f"t{frame:03d}.tif", images[frame], "YX")
        write(tmp_path / "true" / f"t{frame:03d}.tif", labels[frame], "YX")
    ran = evaluate(
        tmp_path / "movie", tmp_path / "true", "--no-baselines", "--no-ctc", "--json"
    )
    (stack,) = json.loads(ran.out)["stacks"]
    assert (stack["name"], stack["frames"]) == ("movie", 7)


def test_frames_of_the_cell_tracking_challenge(evaluate: Any, tmp_path: Path) -> None:
    images, labels = scene()
    for frame in range(len(images)):
        write(tmp_path / "01" / f"t{frame:03d}.tif", images[frame], "YX")
        true = tmp_path / "01_GT" / "TRA" / f"man_track{frame:03d}.tif"
        write(true, labels[frame], "YX")
    words = ("--no-baselines", "--no-ctc", "--json")
    folders = tmp_path / "01", tmp_path / "01_GT" / "TRA"
    (stack,) = json.loads(evaluate(*folders, *words).out)["stacks"]
    assert (stack["name"], stack["frames"]) == ("01", 7)
    array = zarr.create_array(tmp_path / "true.zarr", data=labels)
    assert array.shape == labels.shape
    (stack,) = json.loads(evaluate(folders[0], tmp_path / "true.zarr", *words).out)[
        "stacks"
    ]
    assert (stack["name"], stack["frames"]) == ("01", 7)
    (folders[1] / "man_track000.tif").unlink()
    assert "No image with labels was found" in evaluate(*folders, *words).error


def test_a_single_frame_among_stacks(evaluate: Any, tmp_path: Path) -> None:
    images, labels = scene()
    for name, part in (("a", slice(1)), ("b", slice(None))):
        write(tmp_path / "images" / f"{name}.tif", images[part])
        write(tmp_path / "labels" / f"{name}.tif", labels[part])
    ran = evaluate(tmp_path / "images", tmp_path / "labels", "--no-baselines", "--json")
    assert [one["name"] for one in json.loads(ran.out)["stacks"]] == ["b"]


def test_seg_and_tra_are_not_of_z_stacks(
    evaluate: Any, pair: tuple[Path, Path]
) -> None:
    pytest.importorskip("ctc_metrics")
    ran = evaluate(*pair, "--ctc", "--no-baselines")
    assert ran.code == 1
    assert "taken for a z-stack" in ran.err


def test_time_lapses_have_seg_and_tra(evaluate: Any, tmp_path: Path) -> None:
    pytest.importorskip("ctc_metrics")
    images, labels = scene()
    words = (
        write(tmp_path / "a.tif", images, "TYX"),
        # Without the name of the axis.
        write(tmp_path / "true.tif", labels, "ZYX"),
        "--no-baselines",
    )
    (stack,) = json.loads(evaluate(*words, "--json").out)["stacks"]
    (scores,) = stack["tracking"]
    assert set(scores) == {"interactions", "seg", "tra"}
    assert "TRA" in evaluate(*words).out
    assert "TRA" not in evaluate(*words, "--no-ctc").out


def test_a_missing_library_is_told(
    evaluate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ctc_metrics", None)
    images, labels = scene()
    words = (
        write(tmp_path / "a.tif", images, "TYX"),
        write(tmp_path / "true.tif", labels, "TYX"),
        "--no-baselines",
    )
    plain = evaluate(*words)
    assert plain.code == 0
    assert "py-ctcmetrics is not installed" in plain.err
    asked = evaluate(*words, "--ctc")
    assert asked.code == 1
    assert "napari-sam2[evaluation]" in asked.error


def test_labels_share_the_place_of_their_image(evaluate: Any, tmp_path: Path) -> None:
    images, labels = scene()
    empty = np.zeros_like(labels)
    words = (
        write(tmp_path / "a.tif", np.stack([images, images]), "TZYX"),
        write(tmp_path / "true.tif", np.stack([empty, labels]), "TZYX"),
        "--no-baselines",
    )
    assert "empty" in evaluate(*words).err.splitlines()[-1]
    assert evaluate(*words, "--at", "T=1").code == 0
    # Labels of the one volume alone.
    words = (words[0], write(tmp_path / "one.tif", labels), *words[2:])
    assert evaluate(*words, "--at", "T=1").code == 0


def test_synthetic_stacks(evaluate: Any) -> None:
    ran = evaluate(
        "--synthetic", 2, "--max-objects", 1, "--no-baselines", "--no-ctc", "--json"
    )
    names = [stack["name"] for stack in json.loads(ran.out)["stacks"]]
    assert [name[:14] for name in names] == ["synthetic-00-z", "synthetic-01-t"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Give IMAGE and LABELS"),
        (["a.tif", "b.tif", "--object", "x"], "'x' is no object"),
        (["a.tif", "b.tif", "--object", "1,5-2"], "'5-2' is no range"),
        (["a.tif", "b.tif", "--object", "5-4000000000"], "longer than"),
        (["a.tif", "b.tif", "--object", "0"], "begin with 1"),
        (["a.tif", "b.tif", "--at", "T"], "AXIS=INDEX"),
    ],
)
def test_wrong_usage(evaluate: Any, words: list[str], message: str) -> None:
    ran = evaluate(*words)
    assert ran.code == 2
    assert message in ran.error


def test_what_cannot_be_evaluated(
    evaluate: Any, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    image, labels = pair
    cases = {
        "needs its true labels": (image,),
        "no file or folder": (image, tmp_path / "absent.tif"),
        "7 frames": (image, write(tmp_path / "short.tif", scene(5)[1])),
        "No object": (image, labels, "--min-area", 10_000),
        "hold no object 9": (image, labels, "--object", 9),
        "No image with labels": (tmp_path / "empty",),
        "No weights are published for micro": (image, labels, "--checkpoint", "auto"),
    }
    (tmp_path / "empty").mkdir()
    for message, words in cases.items():
        ran = evaluate(*words)
        assert ran.code == 1
        assert message in ran.err.splitlines()[-1]
        assert ran.err.count(message) == 1
        assert ran.out == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_keeps_the_stacks_that_are_done(
    evaluate: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    from napari_sam2.cli import evaluating

    whole = evaluating.evaluate_stack

    def stopped(*args: Any, name: str, **options: Any) -> Any:
        if name == "b":
            signal.raise_signal(number)
        return whole(*args, name=name, **options)

    monkeypatch.setattr(evaluating, "evaluate_stack", stopped)
    images, labels = scene()
    for name in ("a", "b", "c"):
        write(tmp_path / f"{name}.tif", images)
        write(tmp_path / f"{name}_labels.tif", labels)
    ran = evaluate(tmp_path, "--out", tmp_path / "out", "--no-baselines")
    assert ran.code == 130
    assert "out has the report of the stacks done" in ran.err
    assert "Stopped." in ran.err
    record = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert [stack["name"] for stack in record["stacks"]] == ["a"]


def test_the_default_is_five_interactions(
    capsys: Capture, pair: tuple[Path, Path]
) -> None:
    words = ("--model", "micro", "--checkpoint", "none", "--no-baselines", "--json")
    ran = run(capsys, "evaluate", *pair, "--object", "3", *words)
    assert ran.code == 0
    assert "weights are random" in ran.err
    counts = [row["interactions"] for row in json.loads(ran.out)["scores"]]
    assert counts == [1, 2, 3, 5]
