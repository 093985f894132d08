"""What the tables of the built-in model share: reports, and distances from ends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FARTHEST = 6


def end_distance(place: int, frames: int) -> int:
    """Return how far from its nearer end one of an object's frames is, up to 6."""
    return min(place, frames - 1 - place, _FARTHEST)


def end_name(distance: int) -> str:
    """Return what a table calls a distance from an end."""
    return f"{distance} or more" if distance == _FARTHEST else str(distance)


def model_objects(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects that the model, not a baseline, found.

    As `napari-sam2 evaluate --out` wrote them to a folder.
    """
    report = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    for stack in report["stacks"]:
        for method in stack["methods"]:
            if method["method"] == "model":
                yield from method["objects"]
