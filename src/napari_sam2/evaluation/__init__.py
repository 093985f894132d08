"""How good a model is on labelled stacks: a simulated annotator, scores, baselines."""

from __future__ import annotations

from napari_sam2.evaluation.protocol import REPORTED, TARGETS, Protocol
from napari_sam2.evaluation.records import (
    MethodScores,
    ObjectScores,
    RoundScores,
    StackEvaluation,
)
from napari_sam2.evaluation.stack import evaluate_stack

__all__ = [
    "REPORTED",
    "TARGETS",
    "MethodScores",
    "ObjectScores",
    "Protocol",
    "RoundScores",
    "StackEvaluation",
    "evaluate_stack",
]
