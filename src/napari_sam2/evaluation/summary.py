"""Tables of what was found: over frames, then over objects, then over stacks."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.evaluation.protocol import TARGETS, reported

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from napari_sam2.evaluation.records import (
        Beyond,
        Method,
        ObjectScores,
        RoundScores,
        StackEvaluation,
    )

ALL = "all"
"""What the rows over the objects of all stacks are called."""


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """A method after a number of interactions.

    Attributes
    ----------
    stack : str
        Its name, or `ALL`.
    method : str
        As in `MethodScores`.
    interactions : int
        Prompts given to each object; 1 for a baseline.
    objects, object_frames : int
        How many objects there are, and frames of them.
    mean_iou, boundary_f : float
        Over the frames of each object, then over objects.
    false_after, false_before : float, optional
        Share of the frames just after the last or before the first one of an object
        on which it was found all the same; None if there are no such frames.
    """

    stack: str
    method: Method
    interactions: int
    objects: int
    object_frames: int
    mean_iou: float
    boundary_f: float
    false_after: float | None
    false_before: float | None


@dataclass(frozen=True, slots=True)
class TargetRow:
    """How many interactions it took to reach a mean IoU.

    Attributes
    ----------
    stack, method : str
        As in `ScoreRow`.
    target : float
        The mean IoU over the frames of an object.
    objects, reached : int
        How many objects there are, and how many of them reached it.
    mean_interactions : float
        Over objects; one that did not reach it counts with all that were allowed.
    """

    stack: str
    method: Method
    target: float
    objects: int
    reached: int
    mean_interactions: float


@dataclass(frozen=True, slots=True)
class DistanceRow:
    """IoU at a distance from the nearest prompted frame.

    Attributes
    ----------
    stack, method : str
        As in `ScoreRow`.
    interactions : int
        As in `ScoreRow`.
    distance : int
        In frames; 0 on prompted frames.
    object_frames : int
        How many there are.
    mean_iou : float
        Over them.
    """

    stack: str
    method: Method
    interactions: int
    distance: int
    object_frames: int
    mean_iou: float


def score_rows(stacks: Sequence[StackEvaluation]) -> list[ScoreRow]:
    """Tabulate scores by stack, method and interactions, then over all stacks."""
    rows = []
    for name, method, objects, most in _groups(stacks):
        for count in _reported(method, most):
            rounds = [one.after(count) for one in objects]
            rows.append(
                ScoreRow(
                    stack=name,
                    method=method,
                    interactions=count,
                    objects=len(objects),
                    object_frames=sum(len(one.frames) for one in objects),
                    mean_iou=_mean(r.mean_iou for r in rounds),
                    boundary_f=_mean(r.mean_boundary_f for r in rounds),
                    false_after=_share(rounds, lambda r: r.after),
                    false_before=_share(rounds, lambda r: r.before),
                )
            )
    return rows


def target_rows(stacks: Sequence[StackEvaluation]) -> list[TargetRow]:
    """Tabulate the interactions to reach each target, of the network alone."""
    rows = []
    for name, method, objects, most in _groups(stacks):
        if method != "model":
            continue
        for target in TARGETS:
            needed = [one.interactions_to(target) for one in objects]
            rows.append(
                TargetRow(
                    stack=name,
                    method=method,
                    target=target,
                    objects=len(objects),
                    reached=sum(count is not None for count in needed),
                    mean_interactions=_mean(
                        most if count is None else count for count in needed
                    ),
                )
            )
    return rows


def distance_rows(stacks: Sequence[StackEvaluation]) -> list[DistanceRow]:
    """Tabulate IoU by the distance from the nearest prompted frame."""
    rows = []
    for name, method, objects, most in _groups(stacks):
        for count in _reported(method, most):
            by_distance: dict[int, list[float]] = defaultdict(list)
            for one in objects:
                scores = one.after(count)
                prompted = {each.frame for each in scores.given} or {one.middle}
                for frame, iou in zip(one.frames, scores.iou, strict=True):
                    nearest = min(abs(frame - each) for each in prompted)
                    by_distance[nearest].append(iou)
            rows += [
                DistanceRow(
                    stack=name,
                    method=method,
                    interactions=count,
                    distance=distance,
                    object_frames=len(by_distance[distance]),
                    mean_iou=_mean(by_distance[distance]),
                )
                for distance in sorted(by_distance)
            ]
    return rows


def _groups(
    stacks: Sequence[StackEvaluation],
) -> Iterator[tuple[str, Method, list[ObjectScores], int]]:
    """Yield the objects of each stack and method, then those of all stacks.

    With each goes its name, the method, and the interactions allowed.
    """
    pooled: dict[Method, list[ObjectScores]] = defaultdict(list)
    most = 1
    for stack in stacks:
        most = max(most, stack.protocol.interactions)
        for scores in stack.methods:
            pooled[scores.method] += scores.objects
            yield (
                stack.name,
                scores.method,
                list(scores.objects),
                stack.protocol.interactions,
            )
    if len(stacks) > 1:
        for method, objects in pooled.items():
            yield ALL, method, objects, most


def _reported(method: Method, most: int) -> list[int]:
    """Return the numbers of interactions that a method is reported after."""
    return reported(most) if method == "model" else [1]


def _share(
    rounds: Sequence[RoundScores], end: Callable[[RoundScores], Beyond]
) -> float | None:
    """Return the share of frames beyond an end with the object all the same."""
    frames = sum(end(r).frames for r in rounds)
    return sum(end(r).present for r in rounds) / frames if frames else None


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
