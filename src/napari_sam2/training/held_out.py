"""Scores of a model on stacks that it did not learn from."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.errors import ImageError
from napari_sam2.evaluation import Protocol, evaluate_stack
from napari_sam2.evaluation.objects import evenly_spread
from napari_sam2.inference.options import PredictorOptions
from napari_sam2.inference.predictor import VideoPredictor
from napari_sam2.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_sam2.model.sam2 import Sam2
    from napari_sam2.training.annotated import AnnotatedStack, Split

_log = logging.getLogger(__name__)

INTERACTIONS = (1, 3)
"""Prompts of the simulated annotator after which scores are taken."""

MOST_OBJECTS = 16
"""How many objects of a stack are scored, evenly spread over all."""

_PROTOCOL = Protocol(interactions=max(INTERACTIONS), most_objects=MOST_OBJECTS)


@dataclass(frozen=True, slots=True)
class StackScores:
    """How good a model is on one stack.

    Attributes
    ----------
    name : str
        The stack.
    objects : int
        How many were evaluated.
    mean_iou : tuple of float
        Over objects and their frames, one for each of `INTERACTIONS`.
    """

    name: str
    objects: int
    mean_iou: tuple[float, ...]


def score_held_out(
    split: Split,
    model: Sam2,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[StackScores, ...]:
    """Let the simulated annotator work on what was kept back.

    A stack that has no suitable object is told in a warning, and left out.

    Parameters
    ----------
    split : Split
        What was kept back.
    model : Sam2
        In eval mode.
    progress : callable, optional
        Called as ``progress(name, done, total)``.
    """
    predictor = VideoPredictor(model, PredictorOptions())
    scores = []
    for stack in split.held_out:
        name = stack.pair.name

        def tell(done: int, total: int, name: str = name) -> None:
            if progress is not None:
                progress(name, done, total)

        frames, labels = stack.open()
        ids = evenly_spread(stack.ids, MOST_OBJECTS) if split.by_object else ()
        try:
            found = evaluate_stack(
                predictor,
                frames,
                labels,
                protocol=_easiest(stack),
                object_ids=ids,
                contrast=stack.contrast,
                name=name,
                progress=tell,
            )
        except ImageError as error:
            _log.warning("%s is not scored: %s", name, error)
            continue
        ious = tuple(found.mean_iou(count) for count in INTERACTIONS)
        scores.append(StackScores(name, len(found.model.objects), ious))
    return tuple(scores)


def _easiest(stack: AnnotatedStack) -> Protocol:
    """Return the protocol; objects too small or brief count where all are so."""
    table = stack.objects
    _, places, seen = np.unique(table.ids, return_inverse=True, return_counts=True)
    means = np.bincount(places.ravel(), table.areas) / seen
    usual = (seen >= _PROTOCOL.least_frames) & (means >= _PROTOCOL.least_area)
    if usual.any():
        return _PROTOCOL
    return replace(_PROTOCOL, least_frames=1, least_area=0.0)


def mean_score(scores: Sequence[StackScores], interactions: int) -> float:
    """Return the mean IoU over all objects of some stacks, at least one.

    `interactions` is one of `INTERACTIONS`.
    """
    index = INTERACTIONS.index(interactions)
    total = sum(one.mean_iou[index] * one.objects for one in scores)
    return float(total / sum(one.objects for one in scores))


def write_scores(
    path: Path, before: Sequence[StackScores], after: Sequence[StackScores]
) -> None:
    """Write scores as JSON, those after training as far as there are any."""
    later = {one.name: one.mean_iou for one in after}
    rows = [
        {
            "name": one.name,
            "objects": one.objects,
            "before": one.mean_iou,
            "after": later.get(one.name),
        }
        for one in before
    ]
    text = {"measure": "mean IoU", "interactions": INTERACTIONS, "stacks": rows}
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(text, indent=2) + "\n", encoding="utf-8")


def read_scores(path: Path) -> tuple[StackScores, ...]:
    """Return the scores before training that `write_scores` wrote."""
    rows = json.loads(path.read_text(encoding="utf-8"))["stacks"]
    return tuple(
        StackScores(row["name"], row["objects"], tuple(row["before"])) for row in rows
    )
