"""Print what a further click does: on its own frame, beside it, and on the rest.

python benchmarks/corrections.py REPORT_FOLDER [REPORT_FOLDER ...]

Reads what `napari-sam2 evaluate --out` wrote. A row is a folder and a kind of click:
on the object or "not this"; on an object's first or last frame, or between. IoU before
and after, as means over clicks.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from evaluated import model_objects

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Correction:
    """A click on an object's worst frame, with IoU by frame before and after.

    Attributes
    ----------
    positive : bool
        Whether it lies on the object.
    place : int
        Its frame, counted from the object's first.
    before, after : tuple of float
        IoU on all frames of the object.
    """

    positive: bool
    place: int
    before: tuple[float, ...]
    after: tuple[float, ...]

    @property
    def kind(self) -> str:
        """What the click is, and where."""
        sign = "on the object" if self.positive else "not this"
        at_end = self.place in (0, len(self.before) - 1)
        return f"{sign}, {'first or last frame' if at_end else 'between'}"

    def places(self) -> tuple[list[int], list[int], list[int]]:
        """Return its own frame, those beside it, and the rest."""
        every = range(len(self.before))
        beside = [k for k in every if abs(k - self.place) == 1]
        return [self.place], beside, [k for k in every if abs(k - self.place) > 1]


def corrections(folder: Path) -> Iterator[Correction]:
    """Yield all clicks after the first interaction."""
    for found in model_objects(folder):
        for before, after in pairwise(found["rounds"]):
            if len(after["prompts"]) <= len(before["prompts"]):
                continue
            ious, worst = tuple(before["iou"]), before["worst_iou"]
            place = min(range(len(ious)), key=lambda k: abs(ious[k] - worst))
            click = after["prompts"][-1]
            yield Correction(click["positive"], place, ious, tuple(after["iou"]))


def main(folders: list[str]) -> None:
    """Print a table of all folders."""
    print("| data | click | clicks | own frame | beside | rest |")
    print("| --- | --- | --- | --- | --- | --- |")
    for folder in map(Path, folders):
        kinds: defaultdict[str, list[Correction]] = defaultdict(list)
        for one in corrections(folder):
            kinds[one.kind].append(one)
        for kind, clicks in sorted(kinds.items()):
            cells = []
            for which in range(3):
                pairs = [
                    (one.before[k], one.after[k])
                    for one in clicks
                    for k in one.places()[which]
                ]
                before, after = (mean(side) for side in zip(*pairs, strict=True))
                cells.append(f"{before:.2f} to {after:.2f}")
            print(f"| {folder.name} | {kind} | {len(clicks)} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main(sys.argv[1:])
