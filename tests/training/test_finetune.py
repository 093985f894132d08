from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from annotated_stacks import scene, write_pair, write_stacks
from napari_sam2.build import build_model
from napari_sam2.errors import CheckpointError, ConfigError, ImageError
from napari_sam2.training.annotated import open_annotated, split_stacks
from napari_sam2.training.checkpoint import CHECKPOINT, load_checkpoint
from napari_sam2.training.finetune import (
    FinetuneSettings,
    finetune,
    finetune_parameters,
)
from napari_sam2.training.held_out import mean_score, read_scores, score_held_out

CONFIG = Path(__file__).parents[2] / "configs" / "micro.yaml"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_stacks(tmp_path_factory.mktemp("data"), 3)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights file of an untrained network."""
    model = build_model(CONFIG, checkpoint=None, device="cpu", seed=0)
    path = tmp_path_factory.mktemp("weights") / "start.pt"
    torch.save({"model": model.state_dict()}, path)
    return path


@pytest.fixture
def settings(data, weights):
    return FinetuneSettings(
        data=data,
        model=str(CONFIG),
        checkpoint=weights,
        image_size=64,
        steps=3,
        held_out=0.3,
        synthetic_share=0.3,
    )


def test_from_stacks_to_weights_and_scores(tmp_path, settings):
    told = []
    result = finetune(
        settings,
        out=tmp_path / "out",
        device="cpu",
        progress=lambda *progress: told.append(progress),
    )
    assert (result.stacks, result.objects_shown, result.by_object) == (2, 6, False)
    model = build_model(result.config, checkpoint=result.weights, device="cpu")
    assert model.image_size == 64
    (before,), (after,) = result.before, result.after
    assert before.name == after.name
    assert before.objects == after.objects == 3
    written = json.loads((tmp_path / "out" / "scores.json").read_text())["stacks"]
    assert written[0]["before"] == list(before.mean_iou)
    assert written[0]["after"] == list(after.mean_iou)
    assert read_scores(tmp_path / "out" / "scores.json") == result.before
    assert mean_score(result.after, 3) == after.mean_iou[1]
    assert {name for name, _, _ in told} == {before.name}
    assert told[-1][1] == told[-1][2]
    assert list((tmp_path / "out").glob("validation_*.png"))
    assert not list((tmp_path / "out").glob("*.partial"))


@pytest.mark.parametrize("frozen", [True, False])
def test_the_encoder_may_be_frozen(tmp_path, settings, weights, frozen):
    settings = replace(
        settings, freeze_encoder=frozen, held_out=0.0, learning_rate=1e-2
    )
    result = finetune(settings, out=tmp_path, device="cpu")
    assert result.before == result.after == ()
    first = torch.load(weights, weights_only=True)["model"]
    last = load_checkpoint(tmp_path).model
    changed = {name for name in first if not first[name].equal(last[name])}
    encoder = {name for name in changed if name.startswith("image_encoder.")}
    assert changed - encoder
    assert bool(encoder) != frozen


def test_a_run_is_gone_on_with(tmp_path, settings):
    class AfterTheFirstStep:
        requested = False

        def defer(self) -> None:
            self.requested = True

    settings = replace(settings, held_out=0.0)
    whole = finetune(settings, out=tmp_path / "whole", device="cpu")
    out = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        finetune(settings, out=out, device="cpu", stop=AfterTheFirstStep())
    assert load_checkpoint(out).step == 1
    with pytest.raises(ConfigError, match="give --resume"):
        finetune(settings, out=out, device="cpu")
    other = replace(settings, held_out=0.4)
    with pytest.raises(ConfigError, match="other settings or data"):
        finetune(other, out=out, device="cpu", resume=True)
    resumed = finetune(settings, out=out, device="cpu", resume=True)
    assert resumed.weights.read_bytes() == whole.weights.read_bytes()


def test_defaults_follow_the_model_and_the_stacks(tmp_path, settings):
    stacks = open_annotated(settings.data)
    model = build_model(CONFIG, checkpoint=None, device="cpu")
    (stage,) = finetune_parameters(settings, model, stacks).stages
    assert (stage.kind, stage.frames, stage.image_size) == ("clips", 6, 128)
    assert stage.learning_rate == 1e-4
    single = open_annotated(write_stacks(tmp_path, 2, frames=1))
    settings = replace(settings, learning_rate=3e-5)
    (stage,) = finetune_parameters(settings, model, single).stages
    assert (stage.kind, stage.frames) == ("images", 1)
    assert stage.learning_rate == 3e-5


def test_single_frames_are_learned_from_and_scored(tmp_path, settings):
    data = write_stacks(tmp_path / "data", 2, frames=1)
    result = finetune(replace(settings, data=data), out=tmp_path / "out", device="cpu")
    (after,) = result.after
    assert after.objects == 3


def test_small_objects_are_scored_where_there_are_no_others(tmp_path, settings):
    images, labels = scene(0)
    y, x = np.mgrid[:64, :64] % 16
    specks = labels * ((y < 3) & (x < 3))
    for name in ("a", "b"):
        write_pair(tmp_path / "data", name, images, specks)
    settings = replace(settings, data=tmp_path / "data", steps=1)
    result = finetune(settings, out=tmp_path / "out", device="cpu")
    (before,) = result.before
    assert (result.kept_back, before.objects) == (1, 3)


def test_objects_of_one_stack_are_not_all_scored(tmp_path, settings, monkeypatch):
    data = write_stacks(tmp_path / "data", 1)
    split = split_stacks(open_annotated(data), 0.7)
    assert len(split.held_out[0].ids) == 2
    monkeypatch.setattr("napari_sam2.training.held_out.MOST_OBJECTS", 1)
    model = build_model(CONFIG, checkpoint=None, device="cpu", seed=0)
    (scores,) = score_held_out(split, model)
    assert scores.objects == 1


def test_what_cannot_begin(tmp_path, settings):
    with pytest.raises(CheckpointError, match=CHECKPOINT):
        finetune(settings, out=tmp_path / "none", resume=True)
    with pytest.raises(ImageError, match=r"NAME_labels\.\*"):
        finetune(replace(settings, data=tmp_path), out=tmp_path / "out")
    lost = replace(settings, checkpoint=tmp_path / "nowhere.pt")
    with pytest.raises(CheckpointError, match="nowhere"):
        finetune(lost, out=tmp_path / "out", device="cpu")
    with pytest.raises(ConfigError, match="held_out is 1"):
        replace(settings, held_out=1.0)
    assert not (tmp_path / "out").exists()
