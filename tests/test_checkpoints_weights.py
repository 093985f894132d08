"""Weights files: every layout that is taken, and everything that is refused."""

from __future__ import annotations

import os
import pickle
import types
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_sam2.build import build_model
from napari_sam2.checkpoints import load_weights
from napari_sam2.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam2.model.sam2 import Sam2

    State = dict[str, torch.Tensor]

SENTINEL = "code_was_run"


@pytest.fixture(scope="module")
def source() -> State:
    return micro(seed=11).state_dict()


@pytest.fixture
def model() -> Sam2:
    return micro(seed=12)


def micro(seed: int, config: str = "micro") -> Sam2:
    return build_model(config, checkpoint=None, device="cpu", seed=seed)


def same(first: State, second: State) -> bool:
    return all(torch.equal(first[key], second[key]) for key in second)


def copied(state: State) -> State:
    return {key: value.clone() for key, value in state.items()}


LAYOUTS: dict[str, Callable[[State], Any]] = {
    "published": lambda s: {"model": s},
    "bare": lambda s: s,
    "lightning": lambda s: {"epoch": 3, "state_dict": s, "optimizer": {"lr": [1e-3]}},
    "torch_em": lambda s: {"iteration": 3, "model_state": s},
    "parallel": lambda s: {f"module.{k}": v for k, v in s.items()},
    "nested": lambda s: {"model": {f"module.sam.{k}": v for k, v in s.items()}},
    "compiled": lambda s: {f"_orig_mod.{k}": v for k, v in s.items()},
    "compiled part": lambda s: {
        k.replace("trunk.", "trunk._orig_mod."): v for k, v in s.items()
    },
    "parameters": lambda s: {k: torch.nn.Parameter(v) for k, v in s.items()},
    "float64": lambda s: {k: v.double() for k, v in s.items()},
    "strided": lambda s: {
        k: v.mT.contiguous().mT if v.ndim > 1 else v for k, v in s.items()
    },
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(
    tmp_path: Path, model: Sam2, source: State, layout: str, legacy: bool
) -> None:
    path = tmp_path / "weights.pth"
    content = LAYOUTS[layout](source)
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    load_weights(model, path)
    assert same(model.state_dict(), source)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_halves_are_cast(
    tmp_path: Path, model: Sam2, source: State, dtype: torch.dtype, suffix: str
) -> None:
    halves = {key: value.to(dtype) for key, value in source.items()}
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pt":
        torch.save(halves, path)
    else:
        save_file(halves, path)
    load_weights(model, path)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert same(model.state_dict(), {k: v.float() for k, v in halves.items()})


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w"])
def test_the_content_counts_and_not_the_suffix(
    tmp_path: Path, model: Sam2, source: State, name: str
) -> None:
    save_file(source, tmp_path / name)
    load_weights(model, tmp_path / name)
    assert same(model.state_dict(), source)
    torch.save(copied(source), tmp_path / name)
    load_weights(model, str(tmp_path / name))


class Runs:
    """A pickle that makes a folder when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (SENTINEL,)


def no_entry(state: State, key: str) -> State:
    return {name: value for name, value in state.items() if name != key}


WRONG: dict[str, tuple[Callable[[State, Path], object], str]] = {
    "empty": (lambda s, p: p.write_bytes(b""), "is empty"),
    "web page": (
        lambda s, p: p.write_text("\n<!DOCTYPE html><html>..."),
        "is a web page, not weights",
    ),
    "xml": (lambda s, p: p.write_text("<?xml version='1.0'?>"), "web page"),
    "lfs": (
        lambda s, p: p.write_text("version https://git-lfs.github.com/spec/v1\n"),
        "git-lfs pointer",
    ),
    "text": (lambda s, p: p.write_text("hello"), "is no weights file"),
    "zip": (lambda s, p: zip_with(p, "a.txt"), "damaged"),
    "code": (lambda s, p: torch.save({"model": s, "x": Runs()}, p), "could run code"),
    "code, legacy": (
        lambda s, p: torch.save(
            {"model": s, "x": Runs()}, p, _use_new_zipfile_serialization=False
        ),
        "could run code",
    ),
    "code, pickle": (lambda s, p: p.write_bytes(pickle.dumps(Runs())), "run code"),
    "code, old pickle": (
        lambda s, p: p.write_bytes(pickle.dumps(Runs(), protocol=0)),
        "is no weights file",
    ),
    "numpy pickle": (
        lambda s, p: p.write_bytes(pickle.dumps({"a": np.zeros(3)})),
        "run code",
    ),
    "whole module": (lambda s, p: torch.save(torch.nn.Linear(2, 2), p), "run code"),
    "script": (
        lambda s, p: torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), p),
        "TorchScript",
    ),
    "namespace": (
        lambda s, p: torch.save({"model": s, "args": types.SimpleNamespace()}, p),
        "types.SimpleNamespace",
    ),
    "list": (lambda s, p: torch.save([1, 2], p), "holds a list"),
    "tensor": (lambda s, p: torch.save(torch.zeros(3), p), "holds a Tensor"),
    "no tensors": (lambda s, p: torch.save({"model": {}}, p), "holds no tensors"),
    "numbers": (lambda s, p: torch.save({"model": {"a": 1}}, p), "no state dict: its"),
    "trainer": (
        lambda s, p: torch.save({"epoch": 1, "net": s}, p),
        "no state dict: its entry 'epoch' is a int",
    ),
    "integer names": (
        lambda s, p: torch.save({1: torch.zeros(2)}, p),
        "no state dict",
    ),
    "integers": (
        lambda s, p: torch.save({k: v.int() for k, v in s.items()}, p),
        "torch.int32",
    ),
    "sparse": (
        lambda s, p: torch.save({k: v.to_sparse() for k, v in s.items()}, p),
        "sparse_coo",
    ),
    "no data": (
        lambda s, p: torch.save({k: v.to("meta") for k, v in s.items()}, p),
        "with data",
    ),
    "one missing": (
        lambda s, p: torch.save({"model": no_entry(s, "no_mem_embed")}, p),
        r"1 missing \(no_mem_embed\). The nearest registered model is micro",
    ),
    "one more": (
        lambda s, p: torch.save({"model": s | {"lora.weight": torch.zeros(2)}}, p),
        r"1 unexpected \(lora.weight\)",
    ),
    "one reshaped": (
        lambda s, p: torch.save(s | {"no_mem_embed": torch.zeros(1, 1, 65)}, p),
        r"1 of another shape \(no_mem_embed \[1, 1, 65\] instead of \[1, 1, 64\]\)",
    ),
    "missing below a prefix": (
        lambda s, p: torch.save(
            {f"module.{k}": v for k, v in no_entry(s, "no_mem_embed").items()}, p
        ),
        r"network: 1 missing \(no_mem_embed\)",
    ),
    "transformers": (
        lambda s, p: torch.save({"vision_encoder.neck.weight": torch.zeros(2)}, p),
        "transformers library",
    ),
    "nothing alike": (
        lambda s, p: torch.save({"conv.weight": torch.zeros(2)}, p),
        "fit no registered model",
    ),
    "safetensors": (
        lambda s, p: save_file({"conv.weight": torch.zeros(2)}, p),
        "fit no registered model",
    ),
}


def zip_with(path: Path, name: str) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(name, "x")


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_refused_is_told_and_changes_nothing(
    tmp_path: Path,
    model: Sam2,
    source: State,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pt"
    write, message = WRONG[kind]
    write(source, path)
    before = copied(model.state_dict())
    with pytest.raises(CheckpointError, match=message) as raised:
        load_weights(model, path)
    assert str(path) in str(raised.value)
    assert same(model.state_dict(), before)
    assert not Path(SENTINEL).exists()


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_files_that_end_too_early(
    tmp_path: Path, model: Sam2, source: State, kind: str
) -> None:
    path = tmp_path / "weights"
    if kind == "safetensors":
        save_file(source, path)
    else:
        legacy = kind == "legacy"
        torch.save(source, path, _use_new_zipfile_serialization=not legacy)
    whole = path.read_bytes()
    before = copied(model.state_dict())
    for length in (9, 60, 1000, len(whole) // 2, len(whole) - 30, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            load_weights(model, path)
    assert same(model.state_dict(), before)


def test_files_that_are_no_files(tmp_path: Path, model: Sam2) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        load_weights(model, tmp_path / "absent.pt")
    with pytest.raises(CheckpointError, match="it is a folder"):
        load_weights(model, tmp_path)


def test_the_registered_model_that_weights_fit_is_named(
    tmp_path: Path, model: Sam2
) -> None:
    torch.save({"model": micro(1, "sam2_hiera_tiny").state_dict()}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match="They fit sam2_hiera_tiny: build that"):
        load_weights(model, tmp_path / "w.pt")
