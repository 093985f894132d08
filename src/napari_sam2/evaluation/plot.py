"""A plot of an evaluation: scores by interactions, and by distance from the prompt."""

from __future__ import annotations

import io
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from napari_sam2.evaluation.summary import ALL, distance_rows, score_rows, target_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam2.evaluation.records import Method, StackEvaluation

METHOD_NAMES: dict[Method, str] = {
    "model": "network",
    "copied": "middle mask copied",
    "watershed": "threshold and watershed",
}
"""What methods are called in plots."""

_LEAST_FRAMES = 3
_COLOURS: dict[Method, str] = {"model": "C0", "copied": "C1", "watershed": "C2"}


def can_plot() -> bool:
    """Return whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def draw_plot(stacks: Sequence[StackEvaluation]) -> bytes:
    """Return a PNG of the scores over all stacks; it needs matplotlib.

    Distances on fewer than three object-frames are left out.
    """
    # Not pyplot, which would choose a screen for the whole program.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    by_interactions, by_distance, by_target = figure.subplots(1, 3)
    which = ALL if len(stacks) > 1 else stacks[0].name
    _plot_interactions(by_interactions, stacks, which)
    _plot_distances(by_distance, stacks, which)
    _plot_targets(by_target, stacks, which)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=120)
    return data.getvalue()


def _plot_interactions(
    axes: Any, stacks: Sequence[StackEvaluation], which: str
) -> None:
    rows = [row for row in score_rows(stacks) if row.stack == which]
    model = [row for row in rows if row.method == "model"]
    counts = [row.interactions for row in model]
    axes.plot(counts, [row.mean_iou for row in model], "C0o-", label="IoU")
    axes.plot(counts, [row.boundary_f for row in model], "C0s--", label="boundary F")
    for row in rows:
        if row.method != "model":
            axes.axhline(
                row.mean_iou,
                color=_COLOURS[row.method],
                linestyle=":",
                label=f"IoU, {METHOD_NAMES[row.method]}",
            )
    axes.set(xlabel="interactions", ylabel="mean over objects", ylim=(0, 1.02))
    axes.set_xticks(counts)
    axes.legend(fontsize="small", loc="lower right")


def _plot_distances(axes: Any, stacks: Sequence[StackEvaluation], which: str) -> None:
    rows = [
        row
        for row in distance_rows(stacks)
        if row.stack == which
        and row.interactions == 1
        and row.object_frames >= _LEAST_FRAMES
    ]
    for method, name in METHOD_NAMES.items():
        own = [row for row in rows if row.method == method]
        if own:
            axes.plot(
                [row.distance for row in own],
                [row.mean_iou for row in own],
                color=_COLOURS[method],
                label=name,
            )
    axes.set(
        xlabel="frames from the prompt",
        ylabel="IoU after one interaction",
        ylim=(0, 1.02),
    )
    if axes.lines:
        axes.legend(fontsize="small", loc="lower left")


def _plot_targets(axes: Any, stacks: Sequence[StackEvaluation], which: str) -> None:
    rows = [row for row in target_rows(stacks) if row.stack == which]
    shares = [row.reached / row.objects for row in rows]
    bars = axes.bar(
        [f"{row.target:.2f}" for row in rows], shares, color=_COLOURS["model"]
    )
    axes.bar_label(bars, [f"{row.mean_interactions:.1f}" for row in rows])
    axes.set(
        title="interactions to reach an IoU",
        xlabel="mean IoU of an object",
        ylabel="share of objects that reach it",
        ylim=(0, 1.1),
    )
