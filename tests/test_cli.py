"""Commands other than ``track``, and how every command ends."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from cli_runs import all_labels, run, write_stack
from napari_sam2 import __version__
from napari_sam2.checkpoints import registered_models
from napari_sam2.cli import main
from napari_sam2.prompt_file import prompt_schema, read_prompt_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("", "napari_sam2", "tifffile")]
    levels = [logger.level for logger in loggers]
    handlers = list(loggers[0].handlers)
    yield
    loggers[0].handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def test_version_help_and_no_command(capsys: Capture) -> None:
    assert run(capsys, "--version").out == f"napari-sam2 {__version__}\n"
    plain = run(capsys)
    asked = run(capsys, "--help")
    assert plain.code == asked.code == 0
    commands = ("track", "info", "models", "demo", "schema")
    for command in (*commands, "evaluate", "train", "finetune"):
        assert command in asked.out
        assert command in plain.out
        assert run(capsys, command, "-h").code == 0


def test_the_module_runs_and_quick_commands_leave_torch_out(tmp_path: Path) -> None:
    image = write_stack(tmp_path / "a.tif")
    script = (
        "import sys; sys.argv = ['x', 'info', sys.argv[1]]\n"
        "import runpy\n"
        "try: runpy.run_module('napari_sam2', run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "from napari_sam2.cli import main\n"
        "assert main(['models']) == main(['schema']) == main(['track', '-h']) == 0\n"
        "for name in ('torch', 'napari', 'qtpy', 'hydra'):\n"
        "    assert name not in sys.modules, name\n"
    )
    subprocess.run([sys.executable, "-c", script, image], check=True, timeout=100)


TRACK = ["track", "a.tif", "--prompts", "p.json", "--out", "o.tif"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["nonsense"], "nonsense"),
        (["--nonsense"], "--nonsense"),
        (["info"], "IMAGE"),
        (["info", "a.tif", "--at", "3"], "AXIS=INDEX"),
        (["info", "a.tif", "--at", "T=1", "--at", "t=2"], "twice"),
        (["models", "nonsense"], "nonsense"),
        (["models", "download"], "NAME"),
        (["track", "a.tif"], "--prompts"),
        (["track", "a.tif", "--prompts", "p", "--out"], "--out"),
        ([*TRACK, "--seed", "x"], "--seed"),
        ([*TRACK, "--seed", "-1"], "--seed"),
        ([*TRACK, "--direction", "up"], "up"),
        ([*TRACK, "--frames", "1"], "--frames"),
        ([*TRACK, "--object", "0"], "--object"),
        ([*TRACK, "--at", "Z"], "AXIS=INDEX"),
    ],
)
def test_wrong_usage_is_told_in_one_line(
    words: list[str], reason: str, capsys: Capture
) -> None:
    ran = run(capsys, *words)
    assert ran.code == 2
    assert ran.out == ""
    assert reason in ran.error
    assert ran.error.startswith("napari-sam2: ")


def test_debug_shows_where_an_error_arises(
    capsys: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    ran = run(capsys, "info", "none.tif")
    assert ran.code == 1
    assert "none.tif" in ran.error
    assert not caplog.records
    assert run(capsys, "info", "none.tif", "--debug").code == 1
    assert any(record.exc_info for record in caplog.records)


def test_what_is_no_mistake_of_the_user_keeps_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = write_stack(tmp_path / "a.tif")

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("napari_sam2.data.contrast.estimate_contrast", broken)
    with pytest.raises(ZeroDivisionError):
        main(["info", str(image)])


def test_info_says_what_would_be_tracked(tmp_path: Path, capsys: Capture) -> None:
    ran = run(capsys, "info", write_stack(tmp_path / "a.tif"))
    assert ran.code == 0
    assert "ZYX (Z 8, Y 40, X 48)" in ran.out
    assert "uint16" in ran.out
    assert "Z 2 micrometer, Y 0.25 micrometer, X 0.25 micrometer" in ran.out
    assert "8 along Z, 48 x 40 pixels" in ran.out


def test_info_for_scripts(tmp_path: Path, capsys: Capture) -> None:
    pixels = np.arange(3 * 2 * 5 * 8 * 9).reshape(3, 2, 5, 8, 9).astype(np.float32)
    pixels[0, 0] = np.nan
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, pixels, ome=True, metadata={"axes": "TCZYX"})
    ran = run(capsys, "info", path, "--json", "--at", "T=1", "--channel", "1")
    found = json.loads(ran.out)
    assert found["axes"] == "TCZYX"
    assert found["shape"] == [3, 2, 5, 8, 9]
    assert found["frames"]["axis"] == "Z"
    assert found["frames"]["count"] == found["frames"]["looked_at"] == 5
    assert found["frames"]["position"] == {"T": 1}
    assert found["frames"]["channels"] == [1]
    assert found["frames"]["lowest"] == float(pixels[1, 1].min())
    assert found["frames"]["highest"] == float(pixels[1, 1].max())
    empty = json.loads(
        run(capsys, "info", path, "--json", "--at", "T=0", "--channel", "0").out
    )
    assert empty["frames"]["lowest"] is None


def test_info_of_an_image_that_needs_a_choice(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((5, 5, 8, 9), np.uint8))
    ran = run(capsys, "info", path, "--axes", "CZYX")
    assert ran.code == 0
    assert "has 5 channels" in ran.out
    assert "channel 3 as red, channel 0 as green" in run(
        capsys, "info", path, "--axes", "CZYX", "--channel", "3", "--channel", "0"
    ).out  # fmt: skip
    ran = run(capsys, "info", path, "--axes", "CZYX", "--channel", "7")
    assert ran.code == 1
    assert "no channel 7" in ran.error


def test_channels_go_by_name(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "a.ome.tif"
    metadata = {"axes": "CZYX", "Channel": {"Name": ["DAPI", "actin"]}}
    tifffile.imwrite(
        path, np.zeros((2, 5, 8, 9), np.uint8), ome=True, metadata=metadata
    )
    found = json.loads(run(capsys, "info", path, "--channel", "Actin", "--json").out)
    assert found["frames"]["channels"] == [1]
    ran = run(capsys, "info", path, "--channel", "GFP")
    assert ran.code == 1
    assert "DAPI, actin" in ran.error


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"II*\0nonsense", b"\x89PNG\r\n\x1a\nnonsense"]
)
def test_broken_images_are_told_in_one_line(
    content: bytes, tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    ran = run(capsys, "info", path)
    assert ran.code == 1
    assert str(path) in ran.error


def test_models_and_their_weights(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAPARI_SAM2_CACHE", str(tmp_path))
    listed = json.loads(run(capsys, "models", "list", "--json").out)
    assert listed["cache"] == str(tmp_path)
    assert [m["name"] for m in listed["models"]] == [
        model.name for model in registered_models()
    ]
    here = [model["name"] for model in listed["models"] if model["downloaded"]]
    assert here == ["nano"]
    assert len(run(capsys, "models").out.splitlines()) == len(registered_models())

    assert run(capsys, "models", "verify").code == 0
    assert run(capsys, "models", "verify", "sam2.1_hiera_tiny").code == 1
    weights = tmp_path / "sam2.1_hiera_tiny.pt"
    with weights.open("wb") as file:
        file.truncate(156_008_466)
    rows = run(capsys, "models", "list").out.splitlines()
    assert [row for row in rows if ", downloaded" in row] == [rows[1]]
    assert "part of this package (default)" in rows[0]
    ran = run(capsys, "models", "verify", "sam2.1_hiera_t")
    assert ran.code == 1
    assert "damaged" in ran.error
    assert run(capsys, "models", "remove", "sam2.1_hiera_tiny").out == f"{weights}\n"
    assert not weights.exists()
    assert run(capsys, "models", "remove", "sam2.1_hiera_tiny").code == 0
    ran = run(capsys, "models", "download", "micro")
    assert ran.code == 1
    assert "nothing to download" in ran.error
    assert run(capsys, "models", "remove", "sam3").code == 1


def test_the_schema_is_printed(capsys: Capture) -> None:
    assert json.loads(run(capsys, "schema").out) == prompt_schema()


def test_the_demo_runs_offline_and_over_an_earlier_one(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAPARI_SAM2_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "new" / "demo"
    out.mkdir(parents=True)
    tifffile.imwrite(out / "demo-labels.tif", np.zeros((2, 4, 4), np.uint8))
    ran = run(capsys, "demo", "--out", out)
    assert ran.code == 0
    assert ran.out == f"{out / 'demo-labels.tif'}\n"
    found = all_labels(out / "demo-labels.tif")
    assert found.shape == (40, 256, 256)
    assert np.unique(found).tolist() == list(range(9))
    assert 0.02 < (found > 0).mean() < 0.5
    assert len(read_prompt_file(out / "demo-prompts.json").objects) == 8
    assert len(list(out.iterdir())) == 3


def test_a_demo_that_cannot_be_written(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "file").write_text("")
    ran = run(capsys, "demo", "--out", tmp_path / "file")
    assert ran.code == 1
    assert "cannot be written" in ran.error


def test_a_reader_that_stops_early_is_told_nothing() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "napari_sam2", "schema"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(100) == 1
