from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_sam2.errors import ImageError
from napari_sam2.evaluation import Protocol, StackEvaluation
from napari_sam2.evaluation.annotator import Interaction
from napari_sam2.evaluation.plot import draw_plot
from napari_sam2.evaluation.records import (
    Beyond,
    MethodScores,
    ObjectScores,
    RoundScores,
    TrackingScores,
    WorstFrame,
)
from napari_sam2.evaluation.report import Failure, Report
from napari_sam2.evaluation.summary import distance_rows, score_rows, target_rows
from napari_sam2.inference.packed_mask import PackedMask

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NOTHING = PackedMask.pack(np.zeros((8, 8), bool))


def scored(
    count: int,
    iou: Sequence[float],
    *,
    prompted: Sequence[int] = (2,),
    after: tuple[int, int] = (0, 0),
) -> RoundScores:
    worst = int(np.argmin(iou))
    return RoundScores(
        interactions=count,
        given=tuple(Interaction(frame, ((1.0, 2.0),)) for frame in prompted),
        iou=tuple(iou),
        boundary_f=tuple(value / 2 for value in iou),
        before=Beyond(0, 0),
        after=Beyond(*after),
        worst=WorstFrame(worst, iou[worst], NOTHING),
    )


def scored_object(number: int, *rounds: RoundScores) -> ObjectScores:
    frames = tuple(range(len(rounds[0].iou)))
    return ObjectScores(number, frames, 30.0, middle=2, rounds=rounds)


def evaluation(
    name: str, *objects: ObjectScores, baseline: float | None = None
) -> StackEvaluation:
    copied = ()
    if baseline is not None:
        one = scored_object(objects[0].object_id, scored(1, [baseline] * 4))
        copied = (MethodScores("copied", (one,)),)
    return StackEvaluation(
        name,
        num_frames=9,
        frame_shape=(8, 8),
        protocol=Protocol(interactions=3),
        model=MethodScores("model", objects),
        baselines=copied,
    )


FIRST = scored_object(
    1,
    scored(1, [0.2, 0.6, 0.8, 0.4], after=(4, 3)),
    scored(2, [0.8, 0.8, 0.8, 0.8], prompted=(2, 0), after=(4, 1)),
    scored(3, [0.9, 0.9, 0.9, 0.9], prompted=(2, 0, 3), after=(4, 0)),
)
# Nothing was left to correct after the first interaction.
SECOND = scored_object(2, scored(1, [1.0] * 8, after=(1, 0)))
STACK = evaluation("a", FIRST, SECOND, baseline=0.3)
OTHER = evaluation("b", scored_object(1, scored(1, [0.0] * 4)))


def test_scores_are_averaged_over_frames_then_objects() -> None:
    rows = score_rows([STACK])
    assert [(r.method, r.interactions) for r in rows] == [
        ("model", 1),
        ("model", 2),
        ("model", 3),
        ("copied", 1),
    ]
    assert [r.mean_iou for r in rows] == pytest.approx([0.75, 0.9, 0.95, 0.3])
    assert [r.boundary_f for r in rows] == pytest.approx([0.375, 0.45, 0.475, 0.15])
    assert [r.false_after for r in rows] == [3 / 5, 1 / 5, 0, None]
    assert [r.false_before for r in rows] == [None] * 4
    assert (rows[0].objects, rows[0].object_frames) == (2, 12)
    assert STACK.mean_iou(2) == rows[1].mean_iou
    assert STACK.model.mean_boundary_f(3) == rows[2].boundary_f


def test_objects_of_all_stacks_are_pooled() -> None:
    rows = {(r.stack, r.method, r.interactions): r for r in score_rows([STACK, OTHER])}
    assert rows["all", "model", 1].mean_iou == pytest.approx(0.5)
    assert rows["all", "model", 1].objects == 3
    assert rows["all", "copied", 1].objects == 1
    assert not any(r.stack == "all" for r in score_rows([STACK]))


def test_interactions_to_a_target() -> None:
    rows = {(r.stack, r.target): r for r in target_rows([STACK, OTHER])}
    assert {key[1] for key in rows} == {0.80, 0.85, 0.90}
    assert FIRST.interactions_to(0.80) == 2
    assert FIRST.interactions_to(0.95) is None
    assert rows["a", 0.80].mean_interactions == pytest.approx((2 + 1) / 2)
    assert rows["a", 0.85].mean_interactions == pytest.approx((3 + 1) / 2)
    # What does not get there counts with all that were allowed.
    assert (rows["b", 0.80].reached, rows["b", 0.80].mean_interactions) == (0, 3)
    assert (rows["all", 0.80].reached, rows["all", 0.80].objects) == (2, 3)


def test_iou_by_distance_from_the_nearest_prompt() -> None:
    rows = {
        (r.interactions, r.distance): (r.object_frames, r.mean_iou)
        for r in distance_rows([evaluation("a", FIRST)])
    }
    assert rows[1, 0] == (1, 0.8)
    assert rows[1, 1] == (2, pytest.approx(0.5))
    assert rows[1, 2] == (1, 0.2)
    assert rows[2, 1] == (2, pytest.approx(0.8))
    assert (2, 2) not in rows


def report(*stacks: StackEvaluation, failures: tuple[Failure, ...] = ()) -> Report:
    return Report("nano", "auto", stacks, failures)


def test_json_holds_everything(tmp_path: Path) -> None:
    whole = report(STACK, OTHER, failures=(Failure("c", "It is broken."),))
    whole.write(tmp_path / "new" / "folder")
    record = json.loads((tmp_path / "new" / "folder" / "evaluation.json").read_text())
    assert record == json.loads(whole.as_json())
    assert (record["version"], record["network"]) == (1, "nano")
    assert record["failures"] == [{"name": "c", "error": "It is broken."}]
    (model, copied) = record["stacks"][0]["methods"]
    assert copied["method"] == "copied"
    first = model["objects"][0]
    assert (first["id"], first["middle"], first["frames"]) == (1, 2, [0, 1, 2, 3])
    assert [r["mean_iou"] for r in first["rounds"]] == pytest.approx([0.5, 0.8, 0.9])
    assert first["rounds"][1]["prompts"][1] == {
        "frame": 0,
        "points": [[1.0, 2.0]],
        "positive": True,
    }


def test_csv_has_a_row_for_each_score(tmp_path: Path) -> None:
    report(STACK).write(tmp_path)
    tables = {}
    for name in ("scores", "targets", "distances", "objects"):
        with (tmp_path / f"{name}.csv").open(newline="") as file:
            tables[name] = list(csv.DictReader(file))
    assert len(tables["scores"]) == 4
    assert tables["scores"][3]["false_after"] == ""
    assert len(tables["targets"]) == 3
    assert [row["object"] for row in tables["objects"]] == ["1", "1", "1", "2", "1"]
    assert float(tables["objects"][2]["mean_iou"]) == pytest.approx(0.9)
    assert not list(tmp_path.glob("*.partial"))


def test_the_table_names_what_is_compared() -> None:
    table = report(STACK, OTHER).as_table()
    head, first, *_ = table.splitlines()
    assert head.split() == [
        "stack",
        "method",
        "after",
        "IoU",
        "boundary",
        "F",
        "false",
        "presence",
    ]
    assert first.split() == ["a", "(2)", "nano", "1", "0.750", "0.375", "60%"]
    assert "middle mask copied" in table
    assert "1.5 (2/2)" in table
    assert "SEG" not in table


def test_the_table_has_seg_and_tra_of_time_lapses() -> None:
    tracked = StackEvaluation(
        **{name: getattr(STACK, name) for name in STACK.__slots__}
        | {"tracking": (TrackingScores(1, 0.5, 0.25), TrackingScores(3, 0.75, 0.5))}
    )
    *_, first, second, _ = report(tracked, OTHER).as_table().splitlines()
    assert first.split()[-2:] == ["0.500", "0.250"]
    assert len(second.split()) == 7


def test_a_report_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageError, match="cannot be written"):
        report(STACK).write(tmp_path / "file" / "folder")


@pytest.mark.parametrize("stacks", [(STACK,), (STACK, OTHER), (OTHER,)])
def test_plots_are_pictures(stacks: tuple[StackEvaluation, ...]) -> None:
    pytest.importorskip("matplotlib")
    assert draw_plot(stacks).startswith(b"\x89PNG")
