"""Weights from a file into a network, strictly and without running what is in it."""

from __future__ import annotations

import pickle
import pickletools
import re
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam2.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch
    from torch import nn

    StateDict = dict[str, torch.Tensor]
    Shapes = Mapping[str, tuple[int, ...]]

# Where trainers put the weights beside optimiser and schedule.
_WRAPPERS = ("model", "state_dict", "model_state", "model_state_dict")

# What torch.load raises on files that are damaged or made by someone hostile.
_UNREADABLE = (
    RuntimeError,
    pickle.UnpicklingError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
    struct.error,
)

_SAVE = (
    "Save the state dict of the network alone, with "
    "torch.save({'model': network.state_dict()}, path)."
)

_SHOWN = 4  # names that an error lists before it only counts


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Fill a network with the weights of a file; all of them, or none.

    Parameters
    ----------
    model : nn.Module
        The network, of any float dtype and on any device; weights are cast to it.
    path : str or Path
        A file of ``torch.save`` or safetensors. It holds a state dict with the
        official keys: bare, or under "model", "state_dict" or the like; a prefix
        that all keys share ("module.") is dropped where that makes them fit.

    Raises
    ------
    CheckpointError
        If the file cannot be read safely, or holds the weights of another network:
        the message names what is missing, unexpected or of another shape, and the
        registered model that it would fit. The network is then as it was.
    """
    path = Path(path)
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    weights = _renamed(read_state_dict(path), expected)
    _check_fit(path, {n: tuple(w.shape) for n, w in weights.items()}, expected)
    model.load_state_dict(weights, strict=True)


def read_state_dict(path: Path) -> StateDict:
    """Return the tensors of a weights file by name, on the CPU.

    Raises
    ------
    CheckpointError
        If there is no such file, if it is damaged, if it is something else than
        weights, or if loading it would run code.
    """
    content = _read(path)
    for wrapper in _WRAPPERS:
        inner = content.get(wrapper)
        if isinstance(inner, Mapping):
            content = inner
            break
    return _tensors(path, content)


def _read(path: Path) -> Mapping[Any, object]:
    """Return what a weights file holds, by the format that its first bytes show."""
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "no regular file"
        raise CheckpointError(f"The weights file {path} cannot be read: it is {kind}.")
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except FileNotFoundError:
        raise CheckpointError(f"The weights file {path} does not exist.") from None
    except OSError as error:
        raise CheckpointError(
            f"The weights file {path} cannot be read: {error.strerror or error}."
        ) from error
    text = head.lstrip().lower()
    if not head:
        raise CheckpointError(f"{path} is empty: download or copy it again.")
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise CheckpointError(
            f"{path} is a web page, not weights: the download led to a log-in or "
            "error page. Open the address in a browser and save the file itself."
        )
    if text.startswith(b"version https://git-lfs"):
        raise CheckpointError(
            f"{path} is a git-lfs pointer, not the weights: fetch the file itself "
            "with 'git lfs pull'."
        )
    if head[8:9] == b"{":
        return _read_safetensors(path)
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return _read_torch(path, zipped=head.startswith(b"PK"))
    raise CheckpointError(
        f"{path} is no weights file: it was made neither by torch.save nor by "
        "safetensors."
    )


def _read_safetensors(path: Path) -> Mapping[Any, object]:
    """Return the tensors of a safetensors file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, *_UNREADABLE) as error:
        raise _damaged(path, error) from error


def _read_torch(path: Path, *, zipped: bool) -> Mapping[Any, object]:
    """Return what torch.save wrote, refusing to run code."""
    import torch

    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            # Of pickle protocols and TorchScript; what is not weights is refused below.
            warnings.simplefilter("ignore")
            # torch.load goes by the suffix where it is given a path, which mapping
            # the file into memory needs.
            mapped = zipped and path.suffix != ".safetensors"
            content = torch.load(
                path if mapped else file,
                map_location="cpu",
                weights_only=True,
                mmap=mapped,
            )
    except (OSError, *_UNREADABLE) as error:
        forbidden = _forbidden(path, error)
        if forbidden:
            raise CheckpointError(
                f"{path} holds more than weights ({forbidden}): refused, since loading "
                f"it could run code. {_SAVE}"
            ) from error
        if "torchscript" in str(error).lower():
            raise CheckpointError(
                f"{path} is a TorchScript program, not weights. {_SAVE}"
            ) from error
        raise _damaged(path, error) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}, needed is a state dict: "
            "tensors by name, or those under 'model'."
        )
    return content


def _forbidden(path: Path, error: Exception) -> str:
    """Return what a refused pickle would call; nothing if it is just damaged."""
    named = re.search(r"GLOBAL ([\w.]+\w)", str(error))
    if named:
        return named[1]
    with path.open("rb") as file:
        try:
            calls = {operation.name for operation, _, _ in pickletools.genops(file)}
        except (ValueError, LookupError, OverflowError, MemoryError):
            return ""
    return ", ".join(sorted(calls & {"GLOBAL", "STACK_GLOBAL", "REDUCE", "INST"}))


def _damaged(path: Path, error: Exception) -> CheckpointError:
    """Say that a file cannot be read."""
    # The first sentence says it; torch appends advice to its developers.
    reason = str(error).strip().split("\n")[0].split(". ")[0].rstrip(".")
    told = re.search(r"WeightsUnpickler error: (.+)", str(error))
    reason = told[1].strip() if told else reason or type(error).__name__
    return CheckpointError(
        f"{path} is damaged, not complete, or no weights file ({reason[:160]}): "
        "download or copy it again."
    )


def _tensors(path: Path, content: Mapping[Any, object]) -> StateDict:
    """Return the entries of a state dict, which must all be plain float tensors."""
    import torch

    weights: StateDict = {}
    for name, value in content.items():
        if not isinstance(value, torch.Tensor) or not isinstance(name, str):
            raise CheckpointError(
                f"{path} is no state dict: its entry {str(name)[:80]!r} is a "
                f"{type(value).__name__}, needed are tensors by name (bare, or under "
                f"{', '.join(map(repr, _WRAPPERS))})."
            )
        if value.device.type != "cpu" or value.layout != torch.strided:
            raise CheckpointError(
                f"{path} cannot be used: its entry {name!r} is a {value.layout} "
                f"tensor on {value.device.type!r}, needed is a dense one with data."
            )
        if not value.is_floating_point():
            raise CheckpointError(
                f"{path} cannot be used: its entry {name!r} is {value.dtype}, needed "
                "are floating-point weights that are not quantised."
            )
        weights[name] = value
    if not weights:
        raise CheckpointError(f"{path} holds no tensors.")
    return weights


def _renamed(weights: StateDict, expected: Shapes) -> StateDict:
    """Drop what wrappers put before every name, where that makes names fit."""
    # torch.compile puts this wherever a compiled part begins.
    plain = {name.replace("_orig_mod.", ""): w for name, w in weights.items()}
    if len(plain) < len(weights):
        plain = weights
    readings = [plain]
    first = next(iter(plain))
    for end, letter in enumerate(first, start=1):
        if letter == "." and all(name.startswith(first[:end]) for name in plain):
            readings.append({name[end:]: w for name, w in plain.items()})
    return max(readings, key=lambda reading: len(reading.keys() & expected.keys()))


def _check_fit(path: Path, found: Shapes, expected: Shapes) -> None:
    """Raise an error that names every kind of difference, if there is any."""
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    reshaped = [
        f"{name} {list(found[name])} instead of {list(shape)}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    parts = [
        f"{len(names)} {kind} ({_some(names)})"
        for kind, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", reshaped),
        )
        if names
    ]
    if parts:
        raise CheckpointError(
            f"The weights in {path} do not fit this network: "
            f"{'; '.join(parts)}. {_advice(found)}"
        )


def _some(names: Iterable[str]) -> str:
    """List the first few names."""
    names = list(names)
    more = ", ..." if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _advice(found: Shapes) -> str:
    """Say which registered model weights of these names and shapes are for."""
    if any(name.startswith("vision_encoder.") for name in found):
        return (
            "They have the layout of the transformers library: use the checkpoint in "
            "the original layout, a .pt file with the same weights."
        )
    from napari_sam2.build import registered_shapes

    nearest, share = "", 0.0
    for name, shapes in registered_shapes().items():
        same = sum(found.get(key) == shape for key, shape in shapes.items())
        agreement = same / max(len(shapes), len(found))
        if agreement > share:
            nearest, share = name, agreement
    if share == 1.0:
        return f"They fit {nearest}: build that model with this file."
    if share > 0.5:
        return (
            f"The nearest registered model is {nearest}, of which they match "
            f"{share:.0%}: give the YAML that they were trained with."
        )
    return "They fit no registered model: give the YAML that they were trained with."
