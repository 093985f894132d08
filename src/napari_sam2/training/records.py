"""From the mappings of a YAML to dataclasses, with errors that name the setting."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from napari_sam2.errors import ConfigError

T = TypeVar("T")


def record_from_mapping(cls: type[T], mapping: object, where: str) -> T:
    """Return a dataclass from a mapping, its nested dataclasses too.

    Keys that are left out keep their defaults. Numbers may be written as texts:
    YAML 1.1 reads 4e-4 as one.

    Parameters
    ----------
    cls : type
        Its fields are bool, int, float, str, Literal texts, tuples, dataclasses, or
        one of these or None.
    mapping : object
        Names and values.
    where : str
        What the mapping is called in messages.

    Raises
    ------
    ConfigError
        If a key is unknown or missing, or a value has the wrong type or range.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(
            f"{where} is {mapping!r}; a mapping of names to values is needed."
        )
    hints = get_type_hints(cls)
    for key in mapping:
        if key not in hints:
            raise ConfigError(
                f"{where}.{key} is not a known setting. Known are: "
                f"{', '.join(sorted(hints))}."
            )
    values = {
        key: _typed(hints[key], value, f"{where}.{key}")
        for key, value in mapping.items()
    }
    try:
        return cls(**values)
    except TypeError as error:
        raise ConfigError(f"{where} is not complete: {error}.") from error


def _typed(hint: Any, value: Any, where: str) -> Any:
    """Return a value of the annotated type, or say what is needed."""
    if is_dataclass(hint) and isinstance(hint, type):
        return record_from_mapping(hint, value, where)
    if get_origin(hint) is tuple:
        return _typed_tuple(get_args(hint), value, where)
    if get_origin(hint) is types.UnionType:
        if value is None:
            return None
        kind = next(kind for kind in get_args(hint) if kind is not type(None))
        return _typed(kind, value, where)
    if hint is bool:
        if isinstance(value, bool):
            return value
        raise ConfigError(f"{where} is {value!r}; true or false is needed.")
    if get_origin(hint) is Literal:
        if value in get_args(hint):
            return value
        known = ", ".join(map(repr, get_args(hint)))
        raise ConfigError(f"{where} is {value!r}; it must be one of {known}.")
    if hint is str:
        if isinstance(value, str):
            return value
        raise ConfigError(f"{where} is {value!r}; a text is needed.")
    number = _number(value)
    if number is not None and hint is int and number.is_integer():
        return int(number)
    if number is not None and hint is float:
        return number
    needed = "a whole number" if hint is int else "a finite number"
    raise ConfigError(f"{where} is {value!r}; {needed} is needed.")


def _typed_tuple(kinds: Any, value: Any, where: str) -> tuple[Any, ...]:
    """Return a list as a tuple of the annotated kinds."""
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    if kinds[-1] is Ellipsis:
        if not is_list:
            raise ConfigError(f"{where} is {value!r}; a list is needed.")
        return tuple(
            _typed(kinds[0], one, f"{where}[{index}]")
            for index, one in enumerate(value)
        )
    if not is_list:
        raise ConfigError(f"{where} is {value!r}; {len(kinds)} numbers are needed.")
    if len(value) != len(kinds):
        raise ConfigError(f"{where} has {len(value)} values; {len(kinds)} are needed.")
    return tuple(
        _typed(kind, one, where) for kind, one in zip(kinds, value, strict=True)
    )


def _number(value: object) -> float | None:
    """Return a finite number, also one written as a text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
