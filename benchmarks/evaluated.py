"""What `napari-sam2 evaluate --out` wrote of a model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def model_objects(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a report that the model, not a baseline, found."""
    report = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    for stack in report["stacks"]:
        for method in stack["methods"]:
            if method["method"] == "model":
                yield from method["objects"]
