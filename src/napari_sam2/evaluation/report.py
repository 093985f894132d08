"""Reports of evaluations: a table to read, JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from napari_sam2.errors import ImageError
from napari_sam2.evaluation.plot import METHOD_NAMES, can_plot, draw_plot
from napari_sam2.evaluation.protocol import TARGETS
from napari_sam2.evaluation.summary import distance_rows, score_rows, target_rows
from napari_sam2.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from napari_sam2.evaluation.records import (
        ObjectScores,
        RoundScores,
        StackEvaluation,
    )

VERSION = 1
"""Of the JSON; a change that breaks readers raises it."""

REPORT = "evaluation.json"
"""The file by which a folder is known to hold a report."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A stack that could not be evaluated, and why."""

    name: str
    error: str


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """All that an evaluation has to say.

    Attributes
    ----------
    network, checkpoint : str
        What was evaluated, and with which weights, as they were asked for.
    stacks : tuple of StackEvaluation
        What was found, at least one.
    failures : tuple of Failure
        What could not be evaluated.
    """

    network: str
    checkpoint: str
    stacks: tuple[StackEvaluation, ...]
    failures: tuple[Failure, ...] = ()

    def as_json(self) -> str:
        """Return it as one JSON object."""
        return json.dumps(self.as_record(), allow_nan=False)

    def as_record(self) -> dict[str, Any]:
        """Return it as numbers, texts, lists and mappings."""
        return {
            "version": VERSION,
            "network": self.network,
            "checkpoint": self.checkpoint,
            "scores": [asdict(row) for row in score_rows(self.stacks)],
            "targets": [asdict(row) for row in target_rows(self.stacks)],
            "distances": [asdict(row) for row in distance_rows(self.stacks)],
            "stacks": [_stack_record(stack) for stack in self.stacks],
            "failures": [asdict(failure) for failure in self.failures],
        }

    def as_table(self) -> str:
        """Return the scores as a table in plain text."""
        rows = [("stack", "method", "after", "IoU", "boundary F", "false presence")]
        for row in score_rows(self.stacks):
            name = METHOD_NAMES[row.method]
            if row.method == "model":
                name = self.network
            after = str(row.interactions) if row.method == "model" else "-"
            rows.append(
                (
                    f"{row.stack} ({row.objects})",
                    name,
                    after,
                    f"{row.mean_iou:.3f}",
                    f"{row.boundary_f:.3f}",
                    _percent(row.false_after),
                )
            )
        return "\n".join([*_aligned(rows), "", *_aligned(self._target_table())])

    def _target_table(self) -> list[list[str]]:
        """Return a row for each stack: what it took to reach the targets, SEG, TRA.

        The last two, after one interaction, are there if any stack has them.
        """
        tracked = {
            stack.name: stack.tracking[0] for stack in self.stacks if stack.tracking
        }
        rows = [["interactions to reach", *(f"{target:.2f}" for target in TARGETS)]]
        if tracked:
            rows[0] += ["SEG", "TRA"]
        for name, targets in groupby(target_rows(self.stacks), lambda row: row.stack):
            row = [name]
            row += [
                f"{each.mean_interactions:.1f} ({each.reached}/{each.objects})"
                for each in targets
            ]
            if name in tracked:
                row += [f"{tracked[name].seg:.3f}", f"{tracked[name].tra:.3f}"]
            rows.append(row + [""] * (len(rows[0]) - len(row)))
        return rows

    def write(self, folder: Path) -> None:
        """Write it into a folder, each file whole or not at all.

        There is a plot only where matplotlib is installed.

        Raises
        ------
        ImageError
            If it cannot be written.
        """
        files = {
            REPORT: json.dumps(self.as_record(), allow_nan=False, indent=1) + "\n",
            "scores.csv": _csv(asdict(row) for row in score_rows(self.stacks)),
            "targets.csv": _csv(asdict(row) for row in target_rows(self.stacks)),
            "distances.csv": _csv(asdict(row) for row in distance_rows(self.stacks)),
            "objects.csv": _csv(_object_rows(self.stacks)),
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in files.items():
                with whole_file(folder / name) as temporary:
                    temporary.write_bytes(text.encode("utf-8"))
            if can_plot():
                with whole_file(folder / "plot.png") as temporary:
                    temporary.write_bytes(draw_plot(self.stacks))
        except OSError as error:
            raise ImageError(
                f"The report cannot be written to {folder}"
                f" ({error.strerror or error}). Choose another folder, or make room."
            ) from error


def _stack_record(stack: StackEvaluation) -> dict[str, Any]:
    height, width = stack.frame_shape
    return {
        "name": stack.name,
        "frames": stack.num_frames,
        "height": height,
        "width": width,
        "seconds": round(stack.seconds, 3),
        "protocol": asdict(stack.protocol),
        "tracking": [asdict(scores) for scores in stack.tracking],
        "methods": [
            {
                "method": scores.method,
                "objects": [_object_record(one) for one in scores.objects],
            }
            for scores in stack.methods
        ],
    }


def _object_record(one: ObjectScores) -> dict[str, Any]:
    return {
        "id": one.object_id,
        "frames": one.frames,
        "mean_area": round(one.mean_area, 3),
        "middle": one.middle,
        "rounds": [_round_record(scores) for scores in one.rounds],
    }


def _round_record(scores: RoundScores) -> dict[str, Any]:
    return {
        "interactions": scores.interactions,
        "mean_iou": scores.mean_iou,
        "boundary_f": scores.mean_boundary_f,
        "iou": [round(value, 4) for value in scores.iou],
        "prompts": [asdict(each) for each in scores.given],
        "before": asdict(scores.before),
        "after": asdict(scores.after),
        "worst_frame": scores.worst.frame,
        "worst_iou": scores.worst.iou,
    }


def _object_rows(stacks: Sequence[StackEvaluation]) -> Iterable[dict[str, Any]]:
    """Yield a row for each object, method and number of interactions."""
    for stack in stacks:
        for method in stack.methods:
            for one in method.objects:
                for scores in one.rounds:
                    yield {
                        "stack": stack.name,
                        "object": one.object_id,
                        "method": method.method,
                        "interactions": scores.interactions,
                        "frames": len(one.frames),
                        "first": one.frames[0],
                        "last": one.frames[-1],
                        "mean_area": round(one.mean_area, 2),
                        "mean_iou": scores.mean_iou,
                        "boundary_f": scores.mean_boundary_f,
                        "frames_after": scores.after.frames,
                        "present_after": scores.after.present,
                        "frames_before": scores.before.frames,
                        "present_before": scores.before.present,
                        "worst_frame": scores.worst.frame,
                        "worst_iou": scores.worst.iou,
                    }


def _csv(rows: Iterable[dict[str, Any]]) -> str:
    """Return rows of the same keys as CSV; an absent number is an empty field."""
    rows = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align columns: those of words to the left, those of numbers to the right."""
    columns = []
    for column in zip(*rows, strict=True):
        width = max(map(len, column))
        words = any(cell[:1].isalpha() for cell in column[1:])
        columns.append(
            [cell.ljust(width) if words else cell.rjust(width) for cell in column]
        )
    return ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]
