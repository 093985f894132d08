"""One run of ``evaluate``: stack after stack, a report that grows with them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from napari_sam2.cli.console import Progress, note
from napari_sam2.cli.network import (
    build_network,
    check_weights,
    introduce_network,
    network_name,
)
from napari_sam2.data.contrast import estimate_contrast
from napari_sam2.data.frames import select_frames
from napari_sam2.data.image import open_image
from napari_sam2.data.label_reader import read_labels_of
from napari_sam2.data.pairs import SINGLE_FRAMES, StackPair, find_pairs
from napari_sam2.data.source import as_frame_source
from napari_sam2.data.zarr_image import looks_like_zarr
from napari_sam2.devices import telling_full_memory
from napari_sam2.errors import ConfigError, ImageError, Sam2Error
from napari_sam2.evaluation import Protocol, evaluate_stack
from napari_sam2.evaluation.pictures import PICTURE_PATTERN, save_worst_cases
from napari_sam2.evaluation.plot import can_plot
from napari_sam2.evaluation.report import REPORT, Failure, Report
from napari_sam2.evaluation.stack import as_labels
from napari_sam2.evaluation.tracking_scores import can_score_tracks, require_ctcmetrics
from napari_sam2.evaluation.unseen import UnseenStacks
from napari_sam2.inference.predictor import VideoPredictor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from napari_sam2.cli.evaluation_request import EvaluateRequest
    from napari_sam2.data.label_reader import LabelStack
    from napari_sam2.data.source import FrameSource
    from napari_sam2.evaluation import StackEvaluation
    from napari_sam2.model.sam2 import Sam2
    from napari_sam2.training.synthetic import Clip


PICTURES = "worst"
"""The folder of the pictures in that of the report."""


@dataclass(frozen=True, slots=True, eq=False)
class OpenStack:
    """A stack with its labels, ready to be evaluated."""

    name: str
    frames: FrameSource = field(repr=False)
    labels: LabelStack = field(repr=False)
    is_timelapse: bool


def prepare_out(folder: Path, *, overwrite: bool) -> None:
    """Make the folder for the report.

    Raises
    ------
    ImageError
        If it holds a report that is not to be replaced, or cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise ImageError(f"--out {folder} is a file. Give a folder.")
    if (folder / REPORT).exists() and not overwrite:
        raise ImageError(
            f"{folder} holds a report already. Give --overwrite to replace it, or"
            " another folder."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(
            f"--out {folder} cannot be written ({error.strerror or error}). Choose"
            " another folder."
        ) from error
    if not os.access(folder, os.W_OK):
        raise ImageError(f"--out {folder} may not be written. Choose another folder.")


def evaluate_all(request: EvaluateRequest) -> Report:
    """Evaluate every stack of a request, and write the report after each.

    A stack that cannot be evaluated is noted, and the others go on.

    Raises
    ------
    Sam2Error
        If the network cannot be had, or no stack could be evaluated.
    """
    pairs = _pairs(request)
    if request.tracking:
        require_ctcmetrics()
    model = _network(request)
    predictor = VideoPredictor(model)
    introduce_network(request.network, model)
    stacks: list[StackEvaluation] = []
    failures: list[Failure] = []
    lengths = set()
    for name, opened in _sources(request, pairs):
        try:
            with telling_full_memory("evaluate fewer objects (--max-objects)"):
                stack = opened()
                lengths.add(len(stack.frames))
                done = _evaluate(request, predictor, stack, first=not stacks)
            stacks.append(done)
        except KeyboardInterrupt:
            if request.out is not None and stacks:
                note(f"{request.out} has the report of the stacks done.")
            raise
        except ConfigError:
            raise  # of the network or the machine: no other stack would do better
        except Sam2Error as error:
            if len(pairs) + request.synthetic == 1:
                raise
            note(f"{name}: {error}")
            failures.append(Failure(name, str(error)))
            continue
        if request.out is not None:
            _report(request, stacks, failures).write(request.out)
    if not stacks:
        hint = f" {SINGLE_FRAMES}" if lengths == {1} else ""
        raise ImageError(
            f"None of the {len(failures)} stacks could be evaluated.{hint}"
        )
    report = _report(request, stacks, failures)
    if request.out is not None:
        report.write(request.out)
        if not can_plot():
            note(
                "There is no plot: matplotlib is not installed (pip install"
                " 'napari-sam2[evaluation]')."
            )
    return report


def _evaluate(
    request: EvaluateRequest,
    predictor: VideoPredictor,
    opened: OpenStack,
    *,
    first: bool,
) -> StackEvaluation:
    """Evaluate one stack, and picture its worst cases.

    The pictures of a report that is replaced go when the first stack is done.
    """
    if request.tracking and not opened.is_timelapse:
        raise ImageError(
            f"{opened.name} is taken for a z-stack, and SEG and TRA are scores of"
            " time-lapses: name its axes (--axes TYX, --frame-axis T), or leave --ctc"
            " out."
        )
    tracking = opened.is_timelapse and request.tracking is not False
    if tracking and request.tracking is None and not can_score_tracks():
        note(
            f"{opened.name}: SEG and TRA are left out: py-ctcmetrics is not installed"
            " (pip install 'napari-sam2[evaluation]')."
        )
        tracking = False
    contrast = estimate_contrast(opened.frames, limits=request.contrast)
    with Progress(opened.name, total=None, unit="object-frames") as bar:
        done = evaluate_stack(
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
            contrast=contrast,
            name=opened.name,
            baselines=request.baselines,
            tracking=tracking,
            progress=bar.show,
        )
    count = len(done.model.objects)
    note(
        f"{done.name}: {count} object{'' if count == 1 else 's'} in"
        f" {done.seconds:.1f} s; IoU {done.mean_iou(1):.3f} after 1,"
        f" {done.mean_iou(request.interactions):.3f} after {request.interactions}"
    )
    if request.out is not None and first:
        for picture in (request.out / PICTURES).glob(PICTURE_PATTERN):
            picture.unlink()
    if request.out is not None and request.pictures:
        save_worst_cases(
            request.out / PICTURES,
            done,
            opened.frames,
            opened.labels,
            contrast,
            count=request.pictures,
        )
    return done


def _report(
    request: EvaluateRequest,
    stacks: Sequence[StackEvaluation],
    failures: Sequence[Failure],
) -> Report:
    """Sum up what is done."""
    return Report(
        network_name(request.network),
        request.checkpoint,
        tuple(stacks),
        tuple(failures),
    )


def _pairs(request: EvaluateRequest) -> list[StackPair]:
    """Find the stacks and labels of a request."""
    image, labels = request.image, request.labels
    if image is None:
        return []
    for path in (image, labels):
        if path is not None and not path.exists():
            raise ImageError(f"There is no file or folder {path}. Check the path.")
    if labels is None:
        if not image.is_dir() or looks_like_zarr(image):
            raise ImageError(
                f"{image} needs its true labels: give them after it, or give a folder"
                " that holds both."
            )
        found = find_pairs(image)
    else:
        whole = [StackPair(image.name, image, labels)]
        if not all(p.is_dir() and not looks_like_zarr(p) for p in (image, labels)):
            return whole
        try:
            found = find_pairs(image, labels)
        except ImageError:
            # Frames of the Cell Tracking Challenge and their labels differ in name.
            if _are_frames(image, labels):
                return whole
            raise
        if _is_single_frame(found.pairs[0].image) and _are_frames(image, labels):
            return whole
    for sentence in found.unmatched:
        note(sentence)
    return list(found.pairs)


def _are_frames(images: Path, labels: Path) -> bool:
    """Return whether two folders hold a file for each frame of one stack."""
    try:
        stacks = [open_image(folder) for folder in (images, labels)]
    except ImageError:
        return False
    if any(stack.length("Z") > 1 and stack.length("T") > 1 for stack in stacks):
        return False
    one, other = (stack.length("Z") * stack.length("T") for stack in stacks)
    return one == other


def _is_single_frame(path: Path) -> bool:
    """Return whether a file is one frame; not if it cannot be opened."""
    try:
        image = open_image(path)  # by its own axes: those given are of the stack
    except ImageError:
        return False
    return image.length("Z") == image.length("T") == 1


def _sources(
    request: EvaluateRequest, pairs: Sequence[StackPair]
) -> Iterator[tuple[str, Callable[[], OpenStack]]]:
    """Yield the name of each stack, and what opens it."""
    for pair in pairs:
        yield pair.name, partial(_open_pair, request, pair)
    for number, clip in enumerate(UnseenStacks(request.synthetic, seed=request.seed)):
        name = f"synthetic-{number:02d}-{clip.kind}-{clip.family}"
        yield name, partial(_open_clip, name, clip)


def _open_clip(name: str, clip: Clip) -> OpenStack:
    """See a synthetic clip as an opened stack."""
    frames, labels = as_frame_source(clip.images), as_labels(clip.labels)
    return OpenStack(name, frames, labels, clip.kind == "t")


def _open_pair(request: EvaluateRequest, pair: StackPair) -> OpenStack:
    """Open an image as the options say, and its labels at the same place."""
    frames = select_frames(
        open_image(pair.image, axes=request.axes),
        frame_axis=request.frame_axis,
        channels=request.channels or None,
        position=dict(request.positions),
    )
    labels = read_labels_of(frames, pair.labels)
    return OpenStack(pair.name, frames, labels, frames.axes[0] == "T")


def _network(request: EvaluateRequest) -> Sam2:
    """Build the network that a request asks for."""
    check_weights(request.network, request.checkpoint)
    trained = request.checkpoint != "none"
    if not trained:
        note("No checkpoint is loaded: the weights are random (seed 0).")
    return build_network(
        request.network,
        request.checkpoint if trained else None,
        device=request.device,
        precision=request.precision,
        overrides=request.overrides,
        seed=0,
    )
