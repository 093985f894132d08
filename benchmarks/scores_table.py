"""Print the scores that `napari-sam2 evaluate --out` wrote as a table in Markdown.

python benchmarks/scores_table.py REPORT_FOLDER [REPORT_FOLDER ...]

Every folder is a row of its own, named as the folder is; where a report is of several
stacks, the row is of all of them.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

_AFTER = ("1", "2", "3", "5")
_ALL = "all"


def main(folders: list[str]) -> None:
    """Print mean IoU after interactions, boundary F, and the baselines."""
    print(
        "| data | objects | "
        + " | ".join(f"IoU, {n}" for n in _AFTER)
        + " | F, 1 | middle mask copied | threshold, watershed |"
    )
    print("| --- |" + " --- |" * (len(_AFTER) + 4))
    for folder in map(Path, folders):
        with (folder / "scores.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        names = {row["stack"] for row in rows}
        name = _ALL if _ALL in names else next(iter(names))
        chosen = {
            (row["method"], row["interactions"]): row
            for row in rows
            if row["stack"] == name
        }
        cells = [folder.name, chosen["model", "1"]["objects"]]
        cells += [_number(chosen, "model", n) for n in _AFTER]
        cells.append(_number(chosen, "model", "1", "boundary_f"))
        for method in ("copied", "watershed"):
            cells += [
                f"{float(row['mean_iou']):.2f}"
                for (key, _), row in chosen.items()
                if method in key
            ][:1]
        print("| " + " | ".join(cells) + " |")


def _number(
    rows: dict[tuple[str, str], dict[str, str]],
    method: str,
    interactions: str,
    column: str = "mean_iou",
) -> str:
    """Return a score, or a dash where it was not measured."""
    row = rows.get((method, interactions))
    return "-" if row is None else f"{float(row[column]):.2f}"


if __name__ == "__main__":
    main(sys.argv[1:])
