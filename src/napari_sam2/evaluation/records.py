"""What an evaluation found: by interaction and frame, by object, by stack."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from napari_sam2.evaluation.annotator import Interaction
    from napari_sam2.evaluation.protocol import Protocol
    from napari_sam2.inference.packed_mask import PackedMask

Method = Literal["model", "copied", "watershed"]


@dataclass(frozen=True, slots=True)
class Beyond:
    """Frames beyond an end of an object, and on how many it was found all the same."""

    frames: int
    present: int


@dataclass(frozen=True, slots=True, eq=False)
class WorstFrame:
    """The frame on which a mask agrees least with the true one.

    Attributes
    ----------
    frame : int
        Its index.
    iou : float
        The IoU there.
    packed : PackedMask
        What was found.
    """

    frame: int
    iou: float
    packed: PackedMask = field(repr=False)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """What was found: ``(H, W)`` bool."""
        return self.packed.unpack()


@dataclass(frozen=True, slots=True, eq=False)
class RoundScores:
    """An object after a number of interactions, tracked anew.

    Attributes
    ----------
    interactions : int
        Prompts given so far.
    given : tuple of Interaction
        Which they were.
    iou, boundary_f : tuple of float
        0 to 1, on each of the object's frames.
    before, after : Beyond
        False presence before its first frame and after its last one.
    worst : WorstFrame
        Where a further correction is needed most.
    """

    interactions: int
    given: tuple[Interaction, ...] = field(repr=False)
    iou: tuple[float, ...] = field(repr=False)
    boundary_f: tuple[float, ...] = field(repr=False)
    before: Beyond
    after: Beyond
    worst: WorstFrame = field(repr=False)

    @property
    def mean_iou(self) -> float:
        """IoU averaged over the object's frames."""
        return float(np.mean(self.iou))

    @property
    def mean_boundary_f(self) -> float:
        """Boundary F averaged over the object's frames."""
        return float(np.mean(self.boundary_f))


@dataclass(frozen=True, slots=True, eq=False)
class ObjectScores:
    """One object under one method.

    Attributes
    ----------
    object_id : int
        Its label.
    frames : tuple of int
        The frames where it is, rising.
    mean_area : float
        Its mean area in pixels over them.
    middle : int
        The frame of the first prompt.
    rounds : tuple of RoundScores
        One for each interaction; fewer if nothing was left to correct.
    """

    object_id: int
    frames: tuple[int, ...] = field(repr=False)
    mean_area: float
    middle: int
    rounds: tuple[RoundScores, ...] = field(repr=False)

    def after(self, interactions: int) -> RoundScores:
        """Return the scores after so many interactions, or as many as were needed."""
        reached = [r for r in self.rounds if r.interactions <= interactions]
        return reached[-1]

    def interactions_to(self, target: float) -> int | None:
        """Return how many interactions gave a mean IoU of `target`; None if none."""
        for scores in self.rounds:
            if scores.mean_iou >= target:
                return scores.interactions
        return None


@dataclass(frozen=True, slots=True, eq=False)
class MethodScores:
    """All objects of a stack under one method.

    Attributes
    ----------
    method : {"model", "copied", "watershed"}
        The network; or the true middle mask on all frames; or threshold and
        watershed, linked by overlap.
    objects : tuple of ObjectScores
        The objects.
    """

    method: Method
    objects: tuple[ObjectScores, ...] = field(repr=False)

    def mean_iou(self, interactions: int = 1) -> float:
        """Return the IoU over the frames of each object, then over objects."""
        return mean_over(self.objects, lambda o: o.after(interactions).mean_iou)

    def mean_boundary_f(self, interactions: int = 1) -> float:
        """Return the boundary F over the frames of each object, then over objects."""
        return mean_over(self.objects, lambda o: o.after(interactions).mean_boundary_f)


@dataclass(frozen=True, slots=True)
class TrackingScores:
    """Measures of the Cell Tracking Challenge for a time-lapse, 0 to 1.

    Attributes
    ----------
    interactions : int
        Prompts given to each object.
    seg : float
        SEG: mean IoU of true cells with the cells that cover more than half of them.
    tra : float
        TRA: one minus the cost of mending the tracks, relative to drawing them.
    """

    interactions: int
    seg: float
    tra: float


@dataclass(frozen=True, slots=True, eq=False)
class StackEvaluation:
    """What the simulated annotator reached on one stack.

    Attributes
    ----------
    name : str
        What the stack is called.
    num_frames : int
        Its frames.
    frame_shape : tuple of int
        ``(H, W)`` in pixels.
    protocol : Protocol
        How it was done.
    model : MethodScores
        The network.
    baselines : tuple of MethodScores
        What is to be surpassed; empty if not asked for.
    tracking : tuple of TrackingScores
        For time-lapses, if asked for.
    seconds : float
        Time taken by the network and the scoring of its masks.
    """

    name: str
    num_frames: int
    frame_shape: tuple[int, int]
    protocol: Protocol
    model: MethodScores
    baselines: tuple[MethodScores, ...] = ()
    tracking: tuple[TrackingScores, ...] = ()
    seconds: float = 0.0

    @property
    def methods(self) -> tuple[MethodScores, ...]:
        """The network, then the baselines."""
        return (self.model, *self.baselines)

    def mean_iou(self, interactions: int = 1) -> float:
        """Return the network's IoU over object-frames, then over objects."""
        return self.model.mean_iou(interactions)


def mean_over(
    objects: Iterable[ObjectScores], score: Callable[[ObjectScores], float]
) -> float:
    """Average a score over objects."""
    return float(np.mean([score(one) for one in objects]))
