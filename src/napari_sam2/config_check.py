"""What a configuration may say, checked before anything in it is carried out.

Configurations come from strangers, composing one can call resolvers and import
packages, and instantiating one runs code. So the text of every file is checked before
it is composed, and the composed tree before it is instantiated: plain values, plain
references such as ``${model.image_size}``, and the classes of a given table.
"""

from __future__ import annotations

import collections.abc
import difflib
import inspect
import math
import re
import types
import typing
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import yaml  # type: ignore[import-untyped]

from napari_sam2.config_references import check_reference, join, walk
from napari_sam2.config_sizes import check_sizes
from napari_sam2.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}"
    for kind in ("str", "int", "float", "bool", "null", "map", "seq", "merge", "value")
) | {"tag:yaml.org,2002:timestamp"}  # what looks like a date is read as text

_MOST_CHARACTERS = 1_000_000
_MOST_VALUES = 20_000  # the official files have about a hundred
_HYDRA = re.compile(r"(^|[\s/@.:])hydra([/@.:]|$)")
_PACKAGE = re.compile(r"^\s*#\s*@\s*package\s+(\S+)", re.MULTILINE)


def check_text(text: str, source: str) -> None:
    """Refuse a YAML file whose composing could run code or never end.

    Parameters
    ----------
    text : str
        The content of the file.
    source : str
        What to call it in errors.

    Raises
    ------
    ConfigError
        If it is no YAML, asks for Python objects, calls resolvers, configures Hydra
        itself, or is absurdly large.
    """
    if len(text) > _MOST_CHARACTERS:
        raise ConfigError(f"{source} is too large for a configuration.")
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        size = 0 if root is None else _check_yaml(root, source, {})
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{source} is no valid YAML: {reason[:300]}.") from error
    except RecursionError:
        raise ConfigError(f"{source} is nested too deeply.") from None
    if size > _MOST_VALUES:
        raise ConfigError(f"{source} has {size:,} values: too many for a network.")
    for package in _PACKAGE.findall(text):
        if _HYDRA.search(package):
            raise ConfigError(f"{source} writes into Hydra's own settings: refused.")
    if isinstance(root, yaml.MappingNode):
        for key, value in root.value:
            if key.value == "hydra":
                _check_hydra(value, source)
            elif key.value == "defaults":
                _check_defaults(value, source)


def _check_yaml(node: yaml.Node, source: str, sizes: dict[int, int]) -> int:
    """Check tags and texts of a YAML node; return its size with aliases written out."""
    known = sizes.get(id(node))
    if known is not None:
        return known
    if node.tag not in _TAGS:
        line = node.start_mark.line + 1
        tag = node.tag.removeprefix("tag:yaml.org,2002:")
        raise ConfigError(
            f"{source}, line {line}: the YAML tag {tag!r} is refused; a configuration "
            "has plain values only."
        )
    sizes[id(node)] = _MOST_VALUES + 1  # stays so for what contains itself
    size = 1
    if isinstance(node, yaml.ScalarNode):
        check_reference(node.value, f"{source}, line {node.start_mark.line + 1}")
    elif isinstance(node, yaml.SequenceNode):
        size += sum(_check_yaml(item, source, sizes) for item in node.value)
    else:
        size += sum(_check_yaml(n, source, sizes) for pair in node.value for n in pair)
    sizes[id(node)] = size
    return size


def _check_hydra(node: yaml.Node, source: str) -> None:
    """Refuse settings of Hydra beyond its search path."""
    mapping = isinstance(node, yaml.MappingNode)
    keys = [f"hydra.{key.value}" for key, _ in node.value] if mapping else ["hydra"]
    for key in keys:
        if key != "hydra.searchpath":
            raise ConfigError(
                f"{source} configures Hydra itself ({key}): refused; only "
                "hydra.searchpath may be set."
            )


def _check_defaults(node: yaml.Node, source: str) -> None:
    """Refuse defaults that choose Hydra's launchers, callbacks and the like."""
    if isinstance(node, yaml.ScalarNode):
        if _HYDRA.search(node.value):
            raise ConfigError(
                f"{source}: {node.value!r} in its defaults list configures Hydra "
                "itself: refused."
            )
        return
    for child in node.value:
        for part in child if isinstance(child, tuple) else (child,):
            _check_defaults(part, source)


def check_targets(tree: object, classes: Mapping[str, type], place: str = "") -> None:
    """Refuse a resolved tree in which anything could be run but the known classes.

    Parameters
    ----------
    tree : object
        Dicts, lists and plain values; references are resolved.
    classes : mapping of str to type
        What `_target_` may say, and what that means.
    place : str
        Where the tree stands in the configuration.

    Raises
    ------
    ConfigError
        If a `_target_` is not in the table, or another key that steers
        instantiation (`_args_`, `_partial_`, ...) is used; at any depth.
    """
    for where, value in walk(tree, place):
        if isinstance(value, str) and "$" in value:
            raise ConfigError(f"{where}: {value[:120]!r} is refused.")
        if not isinstance(value, dict):
            continue
        for key in value:
            if not isinstance(key, str):
                raise ConfigError(f"{join(where, key)}: keys must be names.")
            if key.startswith("_") and key != "_target_":
                raise ConfigError(
                    f"{join(where, key)} is refused: of the keys that steer "
                    "instantiation only _target_ is allowed."
                )
        if "_target_" in value:
            _check_target(value["_target_"], classes, join(where, "_target_"))


def _check_target(target: object, classes: Mapping[str, type], place: str) -> None:
    """Refuse what the table of classes does not have."""
    if isinstance(target, str) and target in classes:
        return
    nearest = difflib.get_close_matches(str(target), classes, 1, 0.8)
    hint = f" Did you mean {nearest[0]}?" if nearest else ""
    raise ConfigError(
        f"{place}: {str(target)[:120]!r} is none of the classes that a SAM 2 network "
        f"is made of, and nothing else is called.{hint}"
    )


def check_node(
    node: Mapping[str, Any],
    classes: Mapping[str, type],
    place: str,
    extra: Mapping[str, type],
) -> None:
    """Check the keys and values of a node, and of those in it, by constructor.

    Parameters
    ----------
    node : mapping
        A node with a `_target_`, already passed by `check_targets`.
    classes : mapping of str to type
        What `_target_` means.
    place : str
        Where the node stands in the configuration.
    extra : mapping of str to type
        Parameters that hold keyword arguments for a class, and that class.

    Raises
    ------
    ConfigError
        If a key is no parameter (the nearest one is named), a required one is
        missing, or a value has a type that the parameter does not take.
    """
    kind = classes[node["_target_"]]
    given = {key: value for key, value in node.items() if key != "_target_"}
    _check_arguments(given, kind, classes, place)
    for name, parameter in inspect.signature(kind).parameters.items():
        if parameter.default is inspect.Parameter.empty and name not in given:
            raise ConfigError(f"{place} ({kind.__name__}) needs a value for {name!r}.")
    for key, value in given.items():
        if isinstance(value, dict) and "_target_" in value:
            check_node(value, classes, join(place, key), extra)
        elif isinstance(value, dict) and key in extra:
            _check_arguments(value, extra[key], classes, join(place, key))


def _check_arguments(
    given: Mapping[str, Any], kind: type, classes: Mapping[str, type], place: str
) -> None:
    """Check keyword arguments by name, type and size."""
    check_keys(given, inspect.signature(kind).parameters, kind.__name__, place)
    for key, value in given.items():
        where = join(place, key)
        hint = type_of(kind, key, classes)
        if not _fits(value, hint, classes):
            raise ConfigError(
                f"{where}: {_described(value)} given, {kind.__name__} needs "
                f"{_spelled(hint)}."
            )
        check_sizes(key, value, where)


def check_keys(
    given: Iterable[str], known: Iterable[str], owner: str, place: str
) -> None:
    """Refuse keys that are no parameters, naming the nearest.

    Raises
    ------
    ConfigError
        For the first of `given` that `known` does not have.
    """
    known = list(known)
    for key in given:
        if key not in known:
            nearest = difflib.get_close_matches(key, known, 1, 0.5)
            hint = f"did you mean {nearest[0]!r}?" if nearest else ""
            raise ConfigError(
                f"{join(place, key)}: {owner} has no parameter {key!r}; "
                f"{hint or 'it has ' + ', '.join(known)}"
            )


def type_of(kind: type, parameter: str, classes: Mapping[str, type]) -> Any:
    """Return the type that a constructor parameter is annotated with.

    An annotation with classes that no configuration can name is returned as a text,
    which no value fits.

    Parameters
    ----------
    kind : type
        The class.
    parameter : str
        The name of the parameter.
    classes : mapping of str to type
        Classes that annotations may name besides those that the module of `kind`
        imports at run time.
    """
    names = {
        **vars(collections.abc),
        **vars(typing),
        **{known.__name__: known for known in classes.values()},
        **vars(inspect.getmodule(kind)),
    }
    annotation = inspect.signature(kind).parameters[parameter].annotation
    annotated = types.SimpleNamespace(__annotations__={parameter: annotation})
    try:
        return typing.get_type_hints(annotated, names)[parameter]
    except NameError:
        return annotation


def _fits(value: object, hint: Any, classes: Mapping[str, type]) -> bool:
    """Return whether a value of a YAML can be given where `hint` is asked for."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any or hint is object:
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, option, classes) for option in arguments)
    if origin is Literal:
        return value in arguments
    if hint is None or hint is type(None):
        return value is None
    if hint is bool or hint is str:
        return isinstance(value, hint)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and math.isfinite(typing.cast("float", value))
    if isinstance(value, list):
        return _list_fits(value, origin or hint, arguments, classes)
    if isinstance(value, dict) and "_target_" in value:
        kind = classes[value["_target_"]]
        return isinstance(hint, type) and issubclass(kind, hint)
    if isinstance(value, dict):
        return origin in (dict, collections.abc.Mapping) or hint is dict
    return False


def _list_fits(
    value: list[Any], origin: Any, arguments: tuple[Any, ...], classes: Any
) -> bool:
    """Return whether a list can be given for a list, sequence or tuple type."""
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        pairs = zip(value, arguments, strict=False)
        return len(value) == len(arguments) and all(
            _fits(item, hint, classes) for item, hint in pairs
        )
    sequence = isinstance(origin, type) and issubclass(list, origin)
    if not sequence and origin is not tuple:
        return False
    return not arguments or all(_fits(v, arguments[0], classes) for v in value)


def _described(value: object) -> str:
    """Say what a value is."""
    if isinstance(value, dict):
        return f"a {value['_target_']}" if "_target_" in value else "a mapping"
    return f"{str(value)[:60]!r} ({type(value).__name__})"


def _spelled(hint: Any) -> str:
    """Write a type as a person would."""
    if isinstance(hint, type) and get_origin(hint) is None:
        return hint.__name__
    return re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", str(hint))
