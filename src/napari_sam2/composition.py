"""Hydra's part in building: composing a YAML, and calling the classes that it names.

The only module that imports Hydra and OmegaConf. Hydra keeps process-wide objects; they
are set aside meanwhile, so that another library's are as they were afterwards.
"""

from __future__ import annotations

import io
import re
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml  # type: ignore[import-untyped]
from hydra import compose, initialize_config_dir
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.singleton import Singleton
from hydra.core.utils import JobRuntime
from hydra.errors import HydraException, InstantiationException
from hydra.plugins.config_source import ConfigResult
from hydra.utils import instantiate
from hydra.version import VersionBase
from omegaconf import OmegaConf
from omegaconf.basecontainer import BaseContainer
from omegaconf.errors import OmegaConfBaseException

from napari_sam2.config_check import check_text
from napari_sam2.config_references import check_reference, check_references
from napari_sam2.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.core.override_parser.types import Override

_LOCK = threading.RLock()


def composed(path: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Let Hydra compose a YAML file with its defaults list and with overrides.

    Parameters
    ----------
    path : Path
        The file, absolute; its folder is where its defaults are looked for.
    overrides : sequence of str
        In Hydra's grammar. A bare ``image_size=512`` means ``model.image_size=512``
        unless the file has a top-level key of that name.

    Returns
    -------
    dict
        Plain values, references resolved.

    Raises
    ------
    ConfigError
        If a file is missing, is no YAML or is not safe to compose, if an override
        does not apply, or if a reference leads nowhere.
    """
    try:
        with _hydra_to_ourselves():
            initialize_config_dir(str(path.parent), version_base="1.3")
            loader = cast("Any", GlobalHydra.instance().config_loader())
            loader.repository = _CheckedRepository(loader.config_search_path, path)
            cfg = compose(_hydra_name(path), _in_full(path, overrides))
            check_references(OmegaConf.to_container(cfg))
            OmegaConf.resolve(cfg)
            tree = OmegaConf.to_container(cfg, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        cause = error.__cause__ if not str(error).strip() else error
        reason = " ".join(str(cause or error).split())
        # The search path has Hydra's own folders, and the file's, already named.
        reason = reason.split(" Config search path:")[0]
        raise ConfigError(f"{path} cannot be composed: {reason}") from error
    except RecursionError:
        raise ConfigError(f"{path} refers to itself, directly or not.") from None
    except (ValueError, AssertionError, TypeError, LookupError) as error:
        raise ConfigError(f"{path} cannot be composed: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    return cast("dict[str, Any]", tree)


def _hydra_name(path: Path) -> str:
    """Return Hydra's name for a file: its own, unless that means more to Hydra."""
    return path.stem if re.fullmatch(r"[\w.-]+", path.stem) else "configuration"


def _in_full(path: Path, overrides: Sequence[str]) -> list[str]:
    """Write overrides of bare parameters as overrides of the model's."""
    for line in overrides:
        check_reference(line, f"the override {line!r}")
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    folders = [path.parent]
    for override in parsed:
        key = override.key_or_group
        if re.match(r"/?hydra([./@]|$)", key) or re.match(
            "hydra", override.package or ""
        ):
            if key != "hydra.searchpath":
                raise ConfigError(
                    f"the override {override.input_line!r} configures Hydra itself: "
                    "refused; only hydra.searchpath may be set."
                )
            value = override.value()
            searched = value if isinstance(value, list) else []
            folders += [
                Path(str(folder).removeprefix("file://")) for folder in searched
            ]
    choices = [o for o in parsed if _is_choice(o, folders)]
    present: set[Any] = set()
    if any(
        o not in choices and not o.key_or_group.startswith("model.") for o in parsed
    ):
        present = set(compose(_hydra_name(path), [str(o.input_line) for o in choices]))
    return [
        str(o.input_line) if o in choices else _model_override(o, present)
        for o in parsed
    ]


def _is_choice(override: Override, folders: Iterable[Path]) -> bool:
    """Return whether an override concerns the files composed, not a value in them."""
    key = override.key_or_group
    return (
        key == "hydra.searchpath"
        or override.package is not None
        or any((folder / key).is_dir() for folder in folders)
    )


def _model_override(override: Override, present: set[Any]) -> str:
    """Return the override of a value with its full key."""
    key = override.key_or_group
    line = str(override.input_line).strip()
    prefix = re.match(r"[+~]*", line)
    sign = prefix[0] if prefix else ""
    head = re.split(r"[.\[]", key)[0]
    if head != "model" and head in present:
        return line
    # A plain override of a parameter that the file leaves out sets it, too; one that
    # is no parameter is refused afterwards, with the nearest that is.
    full = key if head == "model" else f"model.{key}"
    return (sign or "++") + full + line[len(sign) + len(key) :]


class _CheckedFiles(FileConfigSource):
    """YAML files of a folder, each checked before Hydra sees it."""

    def load_config(self, config_path: str) -> ConfigResult:
        name = self._normalize_file_name(config_path)
        return self._load(Path(self.path, name))

    def _load(self, path: Path) -> ConfigResult:
        """Read, check and parse one file."""
        try:
            with path.open(encoding="utf-8-sig") as file:
                text = file.read(2_000_000)
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"{path} is no text, so no YAML. Weights are given as checkpoint=."
            ) from error
        check_text(text, str(path))
        try:
            config = OmegaConf.load(io.StringIO(text))
        except (yaml.YAMLError, OSError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(f"{path} is no valid YAML: {reason}") from error
        return ConfigResult(
            provider=self.provider,
            path=f"{self.scheme()}://{self.path}",
            config=config,
            header=self._get_header_dict(text[:512]),
        )


class _PrimaryFile(_CheckedFiles):
    """The file that is built from, under a name that needs no escaping."""

    def __init__(self, path: Path) -> None:
        super().__init__("primary", str(path.parent))
        self._file = path

    def load_config(self, config_path: str) -> ConfigResult:
        return self._load(self._file)

    def is_config(self, config_path: str) -> bool:
        return config_path == _hydra_name(self._file)

    def is_group(self, config_path: str) -> bool:
        return config_path == ""


class _CheckedRepository(ConfigRepository):
    """Hydra's sources of configurations, without those that import packages."""

    def __init__(self, search_path: ConfigSearchPath, primary: Path) -> None:
        self._primary = primary
        super().__init__(search_path)

    def initialize_sources(self, config_search_path: ConfigSearchPath) -> None:
        for element in config_search_path.get_path():
            added = str(element.provider).startswith("hydra.searchpath")
            folder = str(element.path).removeprefix("file://")
            if added and not Path(folder).is_dir():
                raise ConfigError(
                    f"hydra.searchpath: {element.path!r} is no folder; only folders "
                    "can be searched for configurations."
                )
        super().initialize_sources(config_search_path)
        # By scheme: Hydra's plugins are loaded apart, so that their classes differ
        # from those that can be imported.
        checked = [
            _CheckedFiles(source.provider, source.path)
            if source.scheme() == "file"
            else source
            for source in self.sources
        ]
        self.sources = [_PrimaryFile(self._primary), *checked]


@contextmanager
def _hydra_to_ourselves() -> Iterator[None]:
    """Set Hydra's process-wide objects aside, and put them back untouched."""
    kinds = (GlobalHydra, HydraConfig, JobRuntime, VersionBase)
    names = ("hydra", "now", "python_version")
    with _LOCK:
        # Both tables are what Hydra's own tests save and restore.
        singletons = cast("dict[Any, Any]", Singleton._instances)
        resolvers = BaseContainer._resolvers
        kept = {kind: singletons.pop(kind) for kind in kinds if kind in singletons}
        known = {name: resolvers[name] for name in names if name in resolvers}
        try:
            yield
        finally:
            for kind in kinds:
                singletons.pop(kind, None)
            for name in names:
                resolvers.pop(name, None)
            singletons.update(kept)
            resolvers.update(known)


def instantiated(node: Mapping[str, Any], classes: Mapping[str, type]) -> Any:
    """Let Hydra call the classes of a checked configuration.

    Parameters
    ----------
    node : mapping
        Plain values; every `_target_` in it is a key of `classes`.
    classes : mapping of str to type
        What is called; nothing is looked up by its dotted name.

    Raises
    ------
    ConfigError
        If a constructor does not accept its parameters; the message says which.
    """
    config = OmegaConf.create(
        with_classes(node, classes), flags={"allow_objects": True}
    )
    try:
        return instantiate(config, _convert_="all")
    except InstantiationException as error:
        key = re.search(r"full_key: (\S+)", str(error))
        place = f"model.{key[1]}" if key else "model"
        reason = str(error.__cause__ or error).strip().rstrip(".")
        raise ConfigError(
            f"{place} cannot be built as configured: {reason}."
        ) from error


def with_classes(value: Any, classes: Mapping[str, type]) -> Any:
    """Copy a tree with the classes themselves in place of their names.

    In order of the keys, so that a seed gives the same weights whatever order a file
    has them in.

    Parameters
    ----------
    value : dict, list or plain value
        Every `_target_` in it is a key of `classes`.
    classes : mapping of str to type
        What `_target_` means.
    """
    if isinstance(value, dict):
        return {
            key: classes[item] if key == "_target_" else with_classes(item, classes)
            for key, item in sorted(value.items())
        }
    if isinstance(value, list):
        return [with_classes(item, classes) for item in value]
    return value
