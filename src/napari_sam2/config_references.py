"""References between the values of a configuration, checked before any is followed.

OmegaConf follows ``${model.image_size}`` to another value, but ``${oc.env:HOME}`` and
``${mine:x}`` call functions, and references to references can grow without bound.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from napari_sam2.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

_REFERENCE = re.compile(r"\$\{([\w\s.\[\]/+-]*)\}")  # holds no other one
_STEP = re.compile(r"\[?([^.\[\]]+)\]?")

_MOST_VALUES = 50_000  # with all references written out; a network has some hundreds

_Place = tuple["str | int", ...]


def check_reference(text: str, place: str) -> None:
    """Refuse a text that refers to anything but another value.

    Raises
    ------
    ConfigError
        If a dollar sign in it is no plain reference such as ``${model.image_size}``:
        ``${oc.env:HOME}`` reads the environment, other resolvers run code.
    """
    rest, replaced = text, 1
    while replaced:
        rest, replaced = _REFERENCE.subn("x", rest)
    if "$" in rest:
        raise ConfigError(
            f"{place}: {text[:120]!r} is refused; only plain references such as "
            "${model.image_size} are allowed, no resolvers."
        )


def check_references(tree: object) -> None:
    """Refuse a composed tree, not yet resolved, that is not safe to resolve.

    Raises
    ------
    ConfigError
        If a text calls a resolver, if a value refers to itself, or if writing out
        all references would give absurdly many values.
    """
    for where, value in walk(tree):
        if isinstance(value, str):
            check_reference(value, where)
    size = _Sizes(tree).of((), tree)
    if size > _MOST_VALUES:
        raise ConfigError(
            f"With its references written out, the configuration has {size:,} values: "
            "too many for a network."
        )


class _Sizes:
    """Counts the values below each place of a tree, references written out."""

    def __init__(self, tree: object) -> None:
        self._tree = tree
        self._known: dict[_Place, int | None] = {}

    def of(self, place: _Place, value: object) -> int:
        """Return the number of values at a place, itself included."""
        if place in self._known:
            size = self._known[place]
            if size is None:
                raise ConfigError(f"{_spelled(place)} refers to itself.")
            return size
        self._known[place] = None
        if isinstance(value, dict):
            size = 1 + sum(self.of((*place, key), item) for key, item in value.items())
        elif isinstance(value, list):
            size = 1 + sum(self.of((*place, i), item) for i, item in enumerate(value))
        elif isinstance(value, str):
            size = 1 + sum(self.of(*target) for target in self._targets(place, value))
        else:
            size = 1
        self._known[place] = size
        return size

    def _targets(self, place: _Place, text: str) -> Iterator[tuple[_Place, object]]:
        """Yield what a text refers to, inner references first."""
        while reference := _REFERENCE.search(text):
            target = self._found(place, reference[1])
            inner = text.rfind("${", 0, reference.start()) > text.rfind(
                "}", 0, reference.start()
            )
            if target is not None:
                yield target
            written = "" if target is None else target[1]
            if inner and (isinstance(written, dict | list) or "$" in str(written)):
                raise ConfigError(
                    f"{_spelled(place)}: {text[:120]!r} is too involved; a reference "
                    "within a reference must lead to a plain value."
                )
            start, end = reference.span()
            text = text[:start] + (str(written) if inner else "x") + text[end:]

    def _found(self, place: _Place, path: str) -> tuple[_Place, object] | None:
        """Return place and value that a reference leads to, if it leads anywhere."""
        name = path.strip()
        up = len(name) - len(name.lstrip("."))
        where: _Place = place[: max(0, len(place) - up)] if up else ()
        steps = [*where, *(step[1] for step in _STEP.finditer(name[up:]))]
        value: Any = self._tree
        where = ()
        for step in steps:
            if isinstance(value, str):
                # The way leads through another reference.
                through = _REFERENCE.fullmatch(value)
                found = self._found(where, through[1]) if through else None
                if found is None:
                    return None
                where, value = found
            if isinstance(value, list) and str(step).lstrip("-").isdigit():
                index = int(step)
                if not -len(value) <= index < len(value):
                    return None
                step = index % len(value)
            elif not isinstance(value, dict) or step not in value:
                return None
            where, value = (*where, step), value[step]
        return where, value


def walk(tree: object, place: str = "") -> Iterator[tuple[str, object]]:
    """Yield every key, value and container of a tree with its place."""
    yield place, tree
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield place, key
            yield from walk(value, join(place, key))
    elif isinstance(tree, list | tuple):
        for index, value in enumerate(tree):
            yield from walk(value, f"{place}[{index}]")


def join(place: str, key: object) -> str:
    """Return the place of a key."""
    return f"{place}.{key}" if place else str(key)


def _spelled(place: _Place) -> str:
    """Write a place as in a reference."""
    return ".".join(map(str, place))
