"""One run of ``evaluate``: stack after stack, a report that grows with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_sam2.build import build_model
from napari_sam2.checkpoints import default_model
from napari_sam2.cli.console import Progress, note
from napari_sam2.cli.options import chosen_frames
from napari_sam2.data.image import open_image
from napari_sam2.data.label_reader import read_labels
from napari_sam2.data.pairs import StackPair, find_pairs
from napari_sam2.errors import ImageError, Sam2Error
from napari_sam2.evaluation import Protocol, evaluate_stack
from napari_sam2.evaluation.heldout import HeldOut
from napari_sam2.evaluation.report import REPORT, Failure, Report
from napari_sam2.inference.predictor import VideoPredictor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_sam2.cli.evaluate import EvaluateRequest
    from napari_sam2.data.label_reader import LabelStack
    from napari_sam2.data.source import FrameSource
    from napari_sam2.data.stack import LazyArray
    from napari_sam2.evaluation import StackEvaluation
    from napari_sam2.model.sam2 import Sam2


@dataclass(frozen=True, slots=True, eq=False)
class OpenStack:
    """A stack with its labels, ready to be evaluated."""

    frames: FrameSource | LazyArray = field(repr=False)
    labels: LabelStack | LazyArray = field(repr=False)
    is_timelapse: bool


def check_out(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder for the report that holds one already, or is none.

    Raises
    ------
    ImageError
        It says what to do.
    """
    if folder.exists() and not folder.is_dir():
        raise ImageError(f"--out {folder} is a file. Give a folder.")
    if (folder / REPORT).exists() and not overwrite:
        raise ImageError(
            f"{folder} holds a report already. Give --overwrite to replace it, or"
            " another folder."
        )


def evaluate_all(request: EvaluateRequest) -> Report:
    """Evaluate every stack of a request, and write the report after each.

    A stack that cannot be evaluated is noted, and the others go on.

    Raises
    ------
    Sam2Error
        If the network cannot be had, or no stack could be evaluated.
    """
    pairs, failures = _pairs(request)
    model = _network(request)
    predictor = VideoPredictor(model)
    name = request.network or default_model().name
    precision = str(model.precision).removeprefix("torch.")
    note(f"{name} on {model.device}, computing in {precision}")
    stacks: list[StackEvaluation] = []
    for title, opened in _opened(request, pairs, failures):
        try:
            with Progress(title, total=None, unit="object-frames") as bar:
                stacks.append(_evaluate(request, predictor, title, opened, bar))
        except Sam2Error as error:
            _fail(failures, title, error)
            continue
        done = stacks[-1]
        note(
            f"{title}: {len(done.model.objects)} objects in {done.seconds:.1f} s, IoU"
            f" {done.mean_iou(1):.3f} after one interaction,"
            f" {done.mean_iou(request.interactions):.3f} after {request.interactions}"
        )
        if request.out is not None:
            Report(name, tuple(stacks), tuple(failures)).write(request.out)
    if not stacks:
        raise ImageError(
            f"None of the {len(failures)} stacks could be evaluated."
            if len(failures) > 1
            else failures[0].error
        )
    return Report(name, tuple(stacks), tuple(failures))


def _evaluate(
    request: EvaluateRequest,
    predictor: VideoPredictor,
    title: str,
    opened: OpenStack,
    bar: Progress,
) -> StackEvaluation:
    """Evaluate one stack."""
    return evaluate_stack(
        predictor,
        opened.frames,
        opened.labels,
        protocol=Protocol(
            interactions=request.interactions,
            first=request.first,
            least_frames=request.least_frames,
            least_area=request.least_area,
            most_objects=request.most_objects,
            beyond=request.beyond,
        ),
        object_ids=request.object_ids,
        contrast=request.contrast,
        name=title,
        baselines=request.baselines,
        tracking=request.tracking and opened.is_timelapse,
        progress=bar.show,
    )


def _pairs(request: EvaluateRequest) -> tuple[list[StackPair], list[Failure]]:
    """Find the stacks and labels of a request, without opening them."""
    image, labels = request.image, request.labels
    if image is None:
        return [], []
    if labels is not None and not (image.is_dir() and labels.is_dir()):
        return [StackPair(image.name, image, labels)], []
    if labels is None and not image.is_dir():
        raise ImageError(
            f"{image} needs its true labels: give them after it, or a folder that"
            " holds both."
        )
    try:
        found = find_pairs(image, labels)
    except ImageError:
        if labels is None:
            raise
        # Two folders of single frames, or zarr stores, are one stack.
        return [StackPair(image.name, image, labels)], []
    failures: list[Failure] = []
    for sentence in found.unmatched:
        note(sentence)
    return list(found.pairs), failures


def _opened(
    request: EvaluateRequest, pairs: list[StackPair], failures: list[Failure]
) -> Iterator[tuple[str, OpenStack]]:
    """Open the stacks one after the other; note those that cannot be opened."""
    for pair in pairs:
        try:
            opened = _open_pair(request, pair)
        except Sam2Error as error:
            _fail(failures, pair.name, error)
            continue
        yield pair.name, opened
    for clip in HeldOut(request.synthetic, seed=request.seed):
        title = f"synthetic-{clip.kind}-{clip.family}"
        yield title, OpenStack(clip.images, clip.labels, clip.kind == "t")


def _open_pair(request: EvaluateRequest, pair: StackPair) -> OpenStack:
    """Open an image as the options say, and its labels along the same axis."""
    frames = chosen_frames(
        open_image(pair.image, axes=request.axes),
        frame_axis=request.frame_axis,
        channels=request.channels,
        positions=request.positions,
    )
    axis = frames.axes[0]
    labels = read_labels(pair.labels, frame_axis=request.frame_axis)
    return OpenStack(frames, labels, axis == "T")


def _fail(failures: list[Failure], name: str, error: Sam2Error) -> None:
    failures.append(Failure(name, str(error)))
    note(f"{name}: {error}")


def _network(request: EvaluateRequest) -> Sam2:
    """Build the network, showing the download of its weights if there is one."""
    with Progress("Downloading weights", total=None, unit="bytes") as bar:
        trained = request.checkpoint != "none"
        if not trained:
            note("No checkpoint is loaded: the weights are random (seed 0).")
        return build_model(
            request.network,
            checkpoint=request.checkpoint if trained else None,
            device=request.device,
            precision=request.precision,
            overrides=request.overrides,
            seed=None if trained else 0,
            progress=bar.show,
        )
