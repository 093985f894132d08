"""The ``track`` command on small stacks, with weights that see discs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import torch

from cli_runs import Ran, all_labels, run, write_prompts, write_stack
from napari_sam2 import Prompt, VideoPredictor
from napari_sam2.checkpoints import config_folder
from napari_sam2.data.frames import select_frames
from napari_sam2.data.image import StackImage, open_image
from napari_sam2.data.labels import LabelWriter, read_labels
from napari_sam2.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sam2.model.sam2 import Sam2

    Capture = pytest.CaptureFixture[str]

RANDOM = ("--model", "micro", "--checkpoint", "none", "--seed", "1")


@pytest.fixture(scope="session")
def weights(micro: Sam2, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights by which objects are always present."""
    path = tmp_path_factory.mktemp("weights") / "seeded.pt"
    torch.save({"model": micro.state_dict()}, path)
    return path


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stack(tmp_path_factory.mktemp("image") / "image.tif")


@pytest.fixture
def track(capsys: Capture, image: Path, weights: Path, tmp_path: Path) -> Any:
    """Track through the stack with the seeded weights; prompts and options vary."""

    def ran(prompts: Path, *options: object, out: str = "labels.tif") -> Ran:
        network = ("--model", "micro", "--checkpoint", weights)
        words = ("track", image, "--prompts", prompts, "--out", tmp_path / out)
        return run(capsys, *words, *network, *options)

    return ran


def test_labels_are_those_of_the_python_api(
    track: Any, image: Path, micro: Sam2, tmp_path: Path
) -> None:
    prompts = write_prompts(
        tmp_path / "p.json",
        {"id": 3, "prompts": [{"frame": 2, "points": [[14, 12]]}]},
        {"id": 900, "name": "b", "prompts": [{"frame": 5, "box": [23, 22, 36, 34]}]},
    )
    ran = track(prompts)
    assert ran.code == 0
    assert ran.out == f"{tmp_path / 'labels.tif'}\n"
    predictor = VideoPredictor(micro)
    session = predictor.start(np.asarray(open_image(image).data[...]))
    click, box = Prompt([[14, 12]]), Prompt(box=[23, 22, 36, 34])
    predictor.add_prompt(session, frame=2, object_id=3, prompt=click)
    predictor.add_prompt(session, frame=5, object_id=900, prompt=box)
    for _ in predictor.propagate(session, direction="both"):
        pass
    expected = np.stack([session.masks(frame).labels() for frame in range(8)])
    np.testing.assert_array_equal(all_labels(tmp_path / "labels.tif"), expected)
    assert set(np.unique(expected)) == {0, 3, 900}


def test_labels_lie_over_the_image(track: Any, image: Path, tmp_path: Path) -> None:
    track(write_prompts(tmp_path / "p.json"), out="labels.zarr")
    opened = open_image(image)
    labels = read_labels(tmp_path / "labels.zarr")
    assert (len(labels), *labels.frame_shape) == opened.shape
    assert (labels.axes, labels.scale, labels.units) == (
        opened.axes,
        opened.scale,
        opened.units,
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.zarr", "p.json"]


def test_the_summary_for_scripts(track: Any, tmp_path: Path) -> None:
    prompts = write_prompts(
        tmp_path / "p.json",
        {"id": 1, "prompts": [{"frame": 3, "points": [[15, 12]]}]},
        {"id": 2, "name": "b", "prompts": [{"frame": 5, "points": [[29, 28]]}]},
    )
    ran = track(prompts, "--json", "--direction", "forward")
    found = json.loads(ran.out)
    assert found["labels"] == str(tmp_path / "labels.tif")
    assert found["complete"] is True
    assert found["trained"] is True
    assert found["written"] == [3, 4, 5, 6, 7]
    assert found["computed"] == 5
    assert found["frames_per_second"] > 0
    first, second = found["objects"]
    assert (second["id"], second["name"]) == (2, "b")
    assert [score["frame"] for score in first["scores"]] == [3, 4, 5, 6, 7]
    assert [score["frame"] for score in second["scores"]] == [5, 6, 7]
    for score in first["scores"]:
        assert score["present"] == (score["object_score"] > 0)
        assert np.isfinite(score["predicted_iou"])


def test_random_weights_are_fixed_and_said_to_mean_nothing(
    capsys: Capture, image: Path, tmp_path: Path
) -> None:
    prompts = write_prompts(tmp_path / "p.json")
    config = ("--model", config_folder() / "micro.yaml", "--checkpoint", "none")
    found = []
    for name, options in (
        ("a", (*RANDOM, "--json")),
        ("b", (*config, "--seed", "1", "--json")),
        ("c", (*config, "--json")),
    ):
        out = tmp_path / f"{name}.tif"
        words = ("track", image, "--prompts", prompts, "--out", out)
        ran = run(capsys, *words, *options)
        assert "the masks mean nothing" in ran.err
        assert json.loads(ran.out)["trained"] is False
        found.append([o["scores"] for o in json.loads(ran.out)["objects"]])
    assert found[0] == found[1]
    assert found[0] != found[2]


@pytest.mark.parametrize(
    ("options", "ids", "frames"),
    [
        ((), {1, 2}, range(8)),
        (("--prompt-frame", 2), {1, 2}, range(8)),
        (("--object", 2), {2}, range(8)),
        (("--direction", "backward", "--prompt-frame", 2), {1, 2}, range(3)),
        (("--frames", 3, 5, "--prompt-frame", 2), {1, 2}, range(2, 6)),
    ],
)
def test_labels_as_prompts(
    options: tuple[object, ...],
    ids: set[int],
    frames: range,
    track: Any,
    tmp_path: Path,
) -> None:
    seeds = np.zeros((8, 40, 48), np.uint8)
    for frame in (2, 5):
        seeds[frame, 8:16, 10:19] = 1
        seeds[frame, 24:32, 28:36] = 2
    tifffile.imwrite(tmp_path / "seeds.tif", seeds, photometric="minisblack")
    ran = track(tmp_path / "seeds.tif", *options, "--json")
    assert ran.code == 0
    summary = json.loads(ran.out)
    assert {entry["id"] for entry in summary["objects"]} == ids
    assert summary["written"] == list(frames)
    labels = all_labels(tmp_path / "labels.tif")
    wanted = np.where(np.isin(seeds[2], list(ids)), seeds[2], 0)
    np.testing.assert_array_equal(labels[2], wanted)
    assert not labels[[f for f in range(8) if f not in frames]].any()


def test_prompted_frames_out_of_reach_are_written_too(
    track: Any, tmp_path: Path
) -> None:
    prompts = write_prompts(
        tmp_path / "p.json",
        {"id": 1, "prompts": [{"frame": 1, "points": [[15, 12]]}]},
        {"id": 2, "prompts": [{"frame": 6, "points": [[29, 28]]}]},
    )
    ran = track(prompts, "--direction", "forward", "--frames", "2", "3", "--json")
    assert json.loads(ran.out)["written"] == [1, 2, 3, 6]


def test_options_of_tracking_have_their_effect(track: Any, tmp_path: Path) -> None:
    ring = np.zeros((40, 48), np.uint8)
    ring[10:20, 10:20] = 1
    ring[13:16, 13:16] = 0
    ring[30, 40] = 1
    tifffile.imwrite(tmp_path / "ring.tif", ring)
    prompts = write_prompts(
        tmp_path / "p.json",
        {"id": 1, "prompts": [{"frame": 0, "mask": "ring.tif", "points": [[12, 12]]}]},
    )
    plain, cleaned = (tmp_path / name for name in ("labels.tif", "cleaned.tif"))
    assert track(prompts).code == 0
    options = ("--fill-holes", 400, "--drop-specks", 400, "--overlap", "keep")
    assert track(prompts, *options, out="cleaned.tif").code == 0
    assert (all_labels(plain) != all_labels(cleaned)).any()


def test_images_of_more_axes(capsys: Capture, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 900, (3, 2, 5, 24, 20), np.uint16)
    path = tmp_path / "a.npy"
    np.save(path, pixels)
    prompts = write_prompts(tmp_path / "p.json", axes="TCZYX", image="other.tif")
    choice = (
        "--frame-axis",
        "T",
        "--at",
        "Z=4",
        "--channel",
        "1",
        "--contrast",
        -5,
        99,
    )
    out = tmp_path / "labels.tif"
    ran = run(
        capsys, "track", path, "--prompts", prompts, "--out", out, *choice, *RANDOM
    )
    assert ran.code == 0
    assert "made for other.tif, not for a.npy" in ran.err
    labels = read_labels(out)
    assert (len(labels), labels.frame_shape, labels.axes) == (3, (24, 20), "TYX")


def seen_channels(image: StackImage, name: str) -> tuple[int, ...]:
    return select_frames(image, channels=name).channels


def test_channels_named_by_numbers() -> None:
    pixels = np.zeros((2, 3, 24, 20), np.uint8)
    image = StackImage(pixels, axes="ZCYX", channel_names=("405", "488", "1"))
    for name, number in (("488", 1), ("405", 0), ("1", 1), ("0", 0)):
        assert seen_channels(image, name) == (number,)
    with pytest.raises(ImageError, match="no channel 561"):
        seen_channels(image, "561")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--axes", "QYX"), "'Q'"),
        (("--axes", "YX"), "name 2 axes"),
        (("--frame-axis", "C"), "Z or T"),
        (("--frame-axis", "T"), "no axis T"),
        (("--at", "T=1"), "no axis T"),
        (("--at", "Z=1"), "Z is the frame axis"),
        (("--channel", "3"), "no channel 3"),
        (("--channel", "red"), "'red'"),
        (("--contrast", 5, 5), "low before high"),
        (("--frames", 3, 8), "0 to 7"),
        (("--frames", 5, 3), "lower one first"),
        (("--object", 4), "no object 4"),
        (("--prompt-frame", 1), "names its frames itself"),
        (("--checkpoint", "auto"), "No weights are published for micro"),
        (("--checkpoint", "none.pt"), "none.pt"),
        (("--model", "sam3"), "'sam3'"),
        (("--set", "image_sice=64"), "image_size"),
        (("--device", "cuda:99"), "cuda:99"),
        (("--precision", "float16", "--device", "cpu"), "float16"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(
    options: tuple[object, ...], reason: str, track: Any, tmp_path: Path
) -> None:
    ran = track(write_prompts(tmp_path / "p.json"), *options)
    assert ran.code == 1
    assert ran.out == ""
    assert reason in ran.error
    assert [path.name for path in tmp_path.iterdir()] == ["p.json"]


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        ("none/labels.tif", "no folder"),
        ("labels.png", ".tif"),
        ("folder.tif", "is a folder"),
        ("file.zarr", "is a file"),
        ("there.tif", "exists already"),
        ("p.json", "overwrite the prompts"),
        (".tif", ".tif"),
    ],
)
def test_where_labels_cannot_go(
    out: str, reason: str, track: Any, tmp_path: Path
) -> None:
    (tmp_path / "folder.tif").mkdir()
    (tmp_path / "file.zarr").write_text("")
    tifffile.imwrite(tmp_path / "there.tif", np.zeros((4, 4), np.uint8))
    write_prompts(tmp_path / "p.json")
    before = sorted(tmp_path.iterdir())
    ran = track(tmp_path / "p.json", out=out)
    assert ran.code == 1
    assert reason in ran.error
    assert sorted(tmp_path.iterdir()) == before


def test_inputs_are_never_written_over(
    capsys: Capture, track: Any, image: Path, tmp_path: Path
) -> None:
    prompts = write_prompts(tmp_path / "p.json")
    assert "overwrite the image" in track(prompts, "--overwrite", out=str(image)).error
    seeds = tmp_path / "seeds.tif"
    tifffile.imwrite(seeds, np.ones((8, 40, 48), np.uint8), photometric="minisblack")
    assert "overwrite the prompts" in track(seeds, "--overwrite", out="seeds.tif").error
    folder = tmp_path / "frames"
    folder.mkdir()
    for frame in range(3):
        tifffile.imwrite(folder / f"t{frame}.tif", np.zeros((24, 20), np.uint8))
    words = ("track", folder, "--prompts", prompts, "--out", folder / "labels.tif")
    assert "in the folder of the image" in run(capsys, *words, *RANDOM).error


def test_overwriting_keeps_the_old_labels_until_the_new_are_there(
    track: Any, tmp_path: Path
) -> None:
    prompts = write_prompts(tmp_path / "p.json")
    with LabelWriter.open(tmp_path / "labels.tif", shape=(8, 40, 48), max_id=7) as old:
        old.write(0, np.full((40, 48), 7))
    assert track(prompts, "--overwrite", "--contrast", 9, 3).code == 1
    assert all_labels(tmp_path / "labels.tif").max() == 7
    assert track(prompts, "--overwrite").code == 0
    assert set(np.unique(all_labels(tmp_path / "labels.tif"))) == {0, 1}


def test_an_error_on_the_way_keeps_what_is_done(
    capsys: Capture, tmp_path: Path, image: Path
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    frames = np.asarray(open_image(image).data[...])
    for number, frame in enumerate(frames):
        tifffile.imwrite(folder / f"t{number}.tif", frame, compression="zlib")
    broken = folder / "t5.tif"
    content = broken.read_bytes()
    broken.write_bytes(content[:-900])
    prompts = write_prompts(tmp_path / "p.json")
    out = tmp_path / "labels.tif"
    # With the contrast given, frame 5 is first read when its turn comes.
    words = ("track", folder, "--prompts", prompts, "--out", out, "--contrast", 0, 999)
    ran = run(capsys, *words, *RANDOM)
    assert ran.code == 1
    assert "5 frames are safe" in ran.err
    assert "go on with --resume" in ran.err
    assert all_labels(out).shape == (8, 40, 48)
    broken.write_bytes(content)
    assert run(capsys, *words, *RANDOM, "--resume").code == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "frames",
        "labels.tif",
        "p.json",
    ]
