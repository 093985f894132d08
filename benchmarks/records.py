"""What is asked of a benchmark, and what it answers: plain data, written as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

PARTS = (
    "image encoder",
    "memory attention",
    "mask decoder",
    "memory encoder",
    "whole frame",
)
SHARED_PARTS = frozenset({"image encoder"})
"""Parts that run once for all objects of a frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is measured, and how.

    Attributes
    ----------
    config : str
        A registered name or the path of a YAML.
    device, precision : str
        As `build_model` takes them.
    image_size : int, optional
        Input side in pixels; as the YAML says if absent.
    threads : int
        Of torch, within one operation.
    objects : tuple of int
        Numbers of objects tracked at once.
    subjects : tuple of str
        ``ours``, and the peers.
    repeats : int
        Timed repeats of each part.
    seed : int
        Of the weights and inputs.
    """

    config: str
    device: str
    precision: str
    image_size: int | None
    threads: int
    objects: tuple[int, ...]
    subjects: tuple[str, ...]
    repeats: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The repeats of one part of one subject.

    Attributes
    ----------
    subject, part : str
        Who, and what.
    objects : int
        How many at once.
    seconds : tuple of float
        One time for each repeat, those of all subjects taken in turn.
    foreign_load : tuple of float
        Processors busy with other programs meanwhile, for each repeat; empty where
        the system does not tell.
    """

    subject: str
    part: str
    objects: int
    seconds: tuple[float, ...]
    foreign_load: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle time in seconds."""
        return median(self.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakMemory:
    """The highest memory of a fresh process that tracks some frames.

    Attributes
    ----------
    subject : str
        Who.
    objects : int
        How many at once.
    start_bytes : int
        Held before the first frame, with the network loaded.
    peak_bytes : int
        The most held until the last.
    kind : str
        "resident" of the process, or "cuda" as torch allocated.
    """

    subject: str
    objects: int
    start_bytes: int
    peak_bytes: int
    kind: str
