"""Which models exist, and where their weights are.

Torch is not needed to ask; only `load_weights` imports it.
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam2.download import download, sha256_of
from napari_sam2.errors import CheckpointError, ConfigError
from napari_sam2.weights import load_weights

if TYPE_CHECKING:
    from napari_sam2.download import Progress

__all__ = [
    "RegisteredModel",
    "cache_folder",
    "config_folder",
    "default_model",
    "ensure_downloaded",
    "find_model",
    "is_downloaded",
    "load_weights",
    "registered_models",
    "remove",
    "verify",
    "weights_path",
]

_PUBLISHED = "https://dl.fbaipublicfiles.com/segment_anything_2"


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A model known by name.

    Attributes
    ----------
    name : str
        As in ``build_model(name)``.
    version : str
        The SAM 2 release whose architecture it has: "2.0" or "2.1".
    url, sha256, size : str, str, int, or None
        Where its weights are published, their hash (64 hexadecimal digits) and
        their length in bytes; all None for a model without published weights.
    built_in : bool
        Whether its weights are part of this package.
    """

    name: str
    version: str
    url: str | None = None
    sha256: str | None = None
    size: int | None = None
    built_in: bool = False

    @property
    def config(self) -> Path:
        """The path of its YAML."""
        return config_folder() / f"{self.name}.yaml"

    @property
    def has_weights(self) -> bool:
        """Whether there are weights, published or built in."""
        return self.built_in or self.url is not None


def _published(name: str, sha256: str, size: int) -> RegisteredModel:
    """Return the record of one of the eight official models."""
    version, folder = ("2.1", "092824") if "2.1" in name else ("2.0", "072824")
    url = f"{_PUBLISHED}/{folder}/{name}.pt"
    return RegisteredModel(name, version, url, sha256, size)


_MODELS = (
    RegisteredModel("nano", "2.1", built_in=True),
    _published(
        "sam2.1_hiera_tiny",
        "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
        156_008_466,
    ),
    _published(
        "sam2.1_hiera_small",
        "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
        184_416_285,
    ),
    _published(
        "sam2.1_hiera_base_plus",
        "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
        323_606_802,
    ),
    _published(
        "sam2.1_hiera_large",
        "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
        898_083_611,
    ),
    _published(
        "sam2_hiera_tiny",
        "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125",
        155_906_050,
    ),
    _published(
        "sam2_hiera_small",
        "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3",
        184_309_650,
    ),
    _published(
        "sam2_hiera_base_plus",
        "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071",
        323_493_298,
    ),
    _published(
        "sam2_hiera_large",
        "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b",
        897_952_466,
    ),
    RegisteredModel("micro", "2.1"),
)

_BY_NAME = {model.name: model for model in _MODELS}

# The names under which the official models go elsewhere: YAML files, checkpoints and
# model hubs spell sizes and separators differently.
_SIZES = {"t": "tiny", "s": "small", "b+": "base_plus", "l": "large"}
_ELSEWHERE = re.compile(
    r"(?:facebook/|checkpoints/|(?:\./)?(?:configs/)?(?:sam2/|sam2\.1/)?)"
    r"sam2(?P<minor>\.[01])?_hiera_"
    r"(?P<size>tiny|t|small|s|base_plus|b\+|large|l)"
    r"(?:\.yaml|\.pt)?"
)


def registered_models() -> tuple[RegisteredModel, ...]:
    """Return all models that go by name, the recommended ones first."""
    return _MODELS


def default_model() -> RegisteredModel:
    """Return the model that is used when none is named."""
    return _BY_NAME["nano"]


def find_model(name: str) -> RegisteredModel:
    """Return the registered model of that name.

    Parameters
    ----------
    name : str
        A registered name, or another spelling of an official one:
        ``sam2.1_hiera_t``, ``configs/sam2.1/sam2.1_hiera_b+.yaml``,
        ``facebook/sam2-hiera-large``, ``sam2_hiera_small.pt``.

    Raises
    ------
    ConfigError
        If there is none; the message lists all names, and the nearest.
    """
    model = _BY_NAME.get(name)
    if model is not None:
        return model
    spelling = _ELSEWHERE.fullmatch(name.lower().replace("-", "_").replace("\\", "/"))
    if spelling is not None:
        minor = spelling["minor"] if spelling["minor"] == ".1" else ""
        size = _SIZES.get(spelling["size"], spelling["size"])
        return _BY_NAME[f"sam2{minor}_hiera_{size}"]
    nearest = difflib.get_close_matches(name, _BY_NAME, 1, 0.5)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    raise ConfigError(
        f"{name!r} is neither a registered model nor the path of a YAML file that "
        f"exists.{hint} Registered are {', '.join(_BY_NAME)}."
    )


def config_folder() -> Path:
    """Return the folder of the configurations that come with the package.

    It is beside the package's modules in an installed wheel, and at the top of the
    repository in an editable installation.
    """
    package = Path(__file__).resolve().parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parents[1] / "configs"


def cache_folder() -> Path:
    """Return the folder of downloaded weights: NAPARI_SAM2_CACHE, or the user's cache.

    It need not exist yet.
    """
    given = os.environ.get("NAPARI_SAM2_CACHE")
    if given:
        return Path(given).expanduser()
    import pooch

    return Path(pooch.os_cache("napari-sam2"))


def weights_path(name: str | RegisteredModel) -> Path:
    """Return where the weights of a model are, or will be once downloaded."""
    model = _record(name)
    if model.built_in:
        package = Path(__file__).resolve().parent
        return package / "built_in" / f"{model.name}.safetensors"
    return cache_folder() / f"{model.name}.pt"


def is_downloaded(name: str | RegisteredModel) -> bool:
    """Return whether the weights of a model are there, in their right length."""
    model = _record(name)
    path = weights_path(model)
    return path.is_file() and model.size in (None, path.stat().st_size)


def ensure_downloaded(
    name: str | RegisteredModel, progress: Progress | None = None
) -> Path:
    """Return the path of a model's verified weights, fetching them if need be.

    Parameters
    ----------
    name : str or RegisteredModel
        A name as for `find_model`, or a record of one's own.
    progress : callable, optional
        Called as ``progress(done, total)`` in bytes while downloading. What it
        raises stops the download, which the next call continues.

    Raises
    ------
    ConfigError
        If no model goes by that name.
    CheckpointError
        If it has no weights or they cannot be fetched; the message says why.
    """
    model = _record(name)
    path = weights_path(model)
    if model.built_in:
        return path
    url, sha256 = _source(model)
    try:
        intact = is_downloaded(model) and sha256_of(path) == sha256
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read: {error.strerror or error}."
        ) from error
    if not intact:
        download(url, path, sha256=sha256, size=model.size, progress=progress)
    return path


def verify(name: str | RegisteredModel) -> Path:
    """Return the path of a model's downloaded weights after hashing them anew.

    Raises
    ------
    CheckpointError
        If they are not there, are not what was published, or are built in.
    """
    model = _record(name)
    _, sha256 = _source(model)
    path = weights_path(model)
    if not path.is_file():
        raise CheckpointError(
            f"The weights of {model.name} are not downloaded: {path} is missing."
        )
    found = sha256_of(path)
    if found != sha256:
        raise CheckpointError(
            f"{path} is damaged: its SHA-256 is {found}, published is {sha256}. "
            f"Remove it and download {model.name} again."
        )
    return path


def remove(name: str | RegisteredModel) -> bool:
    """Delete a model's weights from the cache; return whether there were any.

    What an unfinished download left is deleted too.

    Raises
    ------
    CheckpointError
        If a file cannot be deleted, or the weights are built in.
    """
    model = _record(name)
    path = weights_path(model)
    if model.built_in:
        raise CheckpointError(
            f"{model.name} is part of this package; only downloads can be removed."
        )
    there = path.is_file()
    try:
        for leftover in (path, *path.parent.glob(f"{path.name}.*")):
            leftover.unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be deleted: {error.strerror or error}."
        ) from error
    return there


def _record(name: str | RegisteredModel) -> RegisteredModel:
    """Return the record that a name stands for."""
    return name if isinstance(name, RegisteredModel) else find_model(name)


def _source(model: RegisteredModel) -> tuple[str, str]:
    """Return address and hash of a model's weights."""
    if model.built_in:
        raise CheckpointError(
            f"{model.name} is part of this package; no hash of it is published."
        )
    if model.url is None or model.sha256 is None:
        raise CheckpointError(
            f"There are no published weights for {model.name}. Give the path of a "
            "weights file, or checkpoint=None for a network without trained weights."
        )
    return model.url, model.sha256
