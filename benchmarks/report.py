"""Measurements as tables on screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from records import SHARED_PARTS
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from records import PeakMemory, Timing

_T = TypeVar("_T")


def times_table(timings: Sequence[Timing]) -> Table:
    """Return the median milliseconds of each part, and ours over each peer's."""
    subjects = _in_order(timing.subject for timing in timings)
    peers = [name for name in subjects if name != "ours"]
    table = Table(
        title="Milliseconds: median (quickest-slowest), and ours over each peer's"
    )
    table.add_column("part", no_wrap=True)
    table.add_column("objects", justify="right")
    for name in subjects:
        table.add_column(name, justify="right", no_wrap=True)
    for name in peers:
        table.add_column(f"over {name}", justify="right")
    taken = {(t.part, t.objects, t.subject): t for t in timings}
    for part, objects in _in_order((t.part, t.objects) for t in timings):
        row = [part, "any" if part in SHARED_PARTS else str(objects)]
        times = {name: taken[part, objects, name] for name in subjects}
        for timing in times.values():
            row.append(_milliseconds(timing))
        row += [f"{times['ours'].median / times[name].median:.2f}" for name in peers]
        table.add_row(*row)
    return table


def _milliseconds(timing: Timing) -> str:
    """Return the median and the range of a timing, and frames a second."""
    median, low, high = (
        1e3 * x for x in (timing.median, min(timing.seconds), max(timing.seconds))
    )
    digits = 0 if median >= 100 else 1
    text = f"{median:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"
    if timing.part == "whole frame":
        text += f"\n{1 / timing.median:.2f} a second"
    return text


def further_objects(timings: Sequence[Timing]) -> dict[str, float]:
    """Return the seconds that each object after the first adds to a frame."""
    frames = {
        (t.subject, t.objects): t.median for t in timings if t.part == "whole frame"
    }
    counts = sorted({objects for _, objects in frames})
    if len(counts) < 2:
        return {}
    few, many = counts[0], counts[-1]
    return {
        name: (frames[name, many] - frames[name, few]) / (many - few)
        for name in _in_order(name for name, _ in frames)
    }


def further_table(seconds: dict[str, float]) -> Table:
    """Return what each further object costs, and ours over each peer's."""
    table = Table(title="Each further object")
    table.add_column("subject")
    table.add_column("ms a frame", justify="right")
    table.add_column("ours / theirs", justify="right")
    for name, value in seconds.items():
        ratio = "" if name == "ours" else f"{seconds['ours'] / value:.2f}"
        table.add_row(name, f"{1e3 * value:.1f}", ratio)
    return table


def memory_table(memories: Sequence[PeakMemory]) -> Table:
    """Return the peak memory of each subject."""
    table = Table(title="Memory in MiB")
    for column in ("subject", "objects", "kind", "before", "peak"):
        table.add_column(column, justify="right" if column != "subject" else "left")
    for memory in memories:
        start, peak = memory.start_bytes / 2**20, memory.peak_bytes / 2**20
        table.add_row(
            memory.subject,
            str(memory.objects),
            memory.kind,
            f"{start:.0f}",
            f"{peak:.0f}",
        )
    return table


def _in_order(items: Iterable[_T]) -> list[_T]:
    """Return what differs, in the order of appearance."""
    return list(dict.fromkeys(items))
