"""The registry: names, spellings, folders."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from napari_sam2 import checkpoints
from napari_sam2.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def test_every_registered_model_has_a_config_and_a_sound_record() -> None:
    models = checkpoints.registered_models()
    names = [model.name for model in models]
    assert len(names) == len(set(names)) == 10
    assert all(model.config.is_file() for model in models)
    published = [model for model in models if model.url is not None]
    for model in published:
        assert model.has_weights
        assert model.url is not None
        assert model.url.endswith(f"/{model.name}.pt")
        assert len(bytes.fromhex(model.sha256 or "")) == 32
        assert (model.size or 0) > 100_000_000
    assert len({model.sha256 for model in published}) == 8


def test_the_default_model_is_built_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NAPARI_SAM2_CACHE", str(tmp_path))
    model = checkpoints.default_model()
    assert model.built_in
    assert checkpoints.is_downloaded(model)
    weights = checkpoints.ensure_downloaded(model)
    assert weights.stat().st_size < 30e6  # what a wheel may hold
    for refused in (checkpoints.remove, checkpoints.verify):
        with pytest.raises(CheckpointError, match="nano is part of this package"):
            refused(model)
    assert weights.is_file()


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("sam2.1_hiera_tiny", "sam2.1_hiera_tiny"),
        ("sam2.1_hiera_t", "sam2.1_hiera_tiny"),
        ("sam2.1_hiera_b+", "sam2.1_hiera_base_plus"),
        ("sam2_hiera_s.yaml", "sam2_hiera_small"),
        ("configs/sam2.1/sam2.1_hiera_t.yaml", "sam2.1_hiera_tiny"),
        ("configs/sam2/sam2_hiera_b+.yaml", "sam2_hiera_base_plus"),
        (r"configs\sam2\sam2_hiera_l.yaml", "sam2_hiera_large"),
        ("sam2/sam2_hiera_l.yaml", "sam2_hiera_large"),
        ("facebook/sam2.1-hiera-base-plus", "sam2.1_hiera_base_plus"),
        ("facebook/sam2-hiera-tiny", "sam2_hiera_tiny"),
        ("sam2.1_hiera_large.pt", "sam2.1_hiera_large"),
        ("checkpoints/sam2_hiera_small.pt", "sam2_hiera_small"),
        ("SAM2.1-Hiera-Tiny", "sam2.1_hiera_tiny"),
        ("micro", "micro"),
    ],
)
def test_spellings(spelling: str, name: str) -> None:
    assert checkpoints.find_model(spelling).name == name


@pytest.mark.parametrize(
    "name", ["", "sam3", "my/configs/sam2.1_hiera_t.yaml", "sam2.1_hiera_huge", "tiny"]
)
def test_unknown_names_list_the_known_ones(name: str) -> None:
    with pytest.raises(ConfigError, match=r"Registered are .*sam2_hiera_large, micro"):
        checkpoints.find_model(name)


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"Did you mean 'sam2\.1_hiera_small'"):
        checkpoints.find_model("sam2.1_hiera_smal")


def test_the_default_model_is_registered() -> None:
    assert checkpoints.default_model() in checkpoints.registered_models()


def test_a_model_without_weights_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NAPARI_SAM2_CACHE", str(tmp_path))
    for ask in (checkpoints.ensure_downloaded, checkpoints.verify):
        with pytest.raises(CheckpointError, match="no published weights for micro"):
            ask("micro")
    assert not checkpoints.is_downloaded("micro")


def test_the_cache_is_the_users_unless_said_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("NAPARI_SAM2_CACHE", raising=False)
    assert "napari-sam2" in str(checkpoints.cache_folder())
    monkeypatch.setenv("NAPARI_SAM2_CACHE", str(tmp_path))
    assert checkpoints.weights_path("micro") == tmp_path / "micro.pt"


def test_the_registry_needs_neither_torch_nor_hydra() -> None:
    code = (
        "import sys, napari_sam2.checkpoints as c; c.find_model('sam2_hiera_t');"
        "sys.exit(bool({'torch', 'hydra', 'requests', 'pooch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
