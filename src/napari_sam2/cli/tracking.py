"""One run of ``track``: from opened inputs to a label stack, stopped and resumed."""

from __future__ import annotations

import hashlib
import shutil
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.cli.console import Progress, note
from napari_sam2.cli.network import build_network, introduce_network
from napari_sam2.cli.record import FrameScores, RunIdentity, TrackRecord
from napari_sam2.cli.summary import summarise
from napari_sam2.data.label_target import LabelTarget
from napari_sam2.devices import telling_full_memory
from napari_sam2.errors import ImageError, Sam2Error
from napari_sam2.inference.options import PredictorOptions
from napari_sam2.inference.predictor import VideoPredictor
from napari_sam2.inference.schedule import count_due

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_sam2.cli.inputs import TrackInputs
    from napari_sam2.cli.interrupt import StopRequest
    from napari_sam2.cli.request import TrackRequest
    from napari_sam2.cli.summary import TrackSummary
    from napari_sam2.data.labels import LabelWriter
    from napari_sam2.inference.masks import FrameMasks
    from napari_sam2.model.sam2 import Sam2
    from napari_sam2.prompt_source import PlacedPrompt

_DIFFERENCES = {
    "image": "another image, channel, position or contrast",
    "prompts": "other prompts",
    "network": "another network or other weights",
    "options": "another direction, range or other options",
}


def track_objects(
    request: TrackRequest, inputs: TrackInputs, stop: StopRequest
) -> TrackSummary:
    """Track the objects of a request and write their labels.

    Parameters
    ----------
    request, inputs
        What to do, and what with.
    stop
        Ends the run at the next frame.

    Returns
    -------
    TrackSummary
        With ``complete`` False if it was stopped.

    Raises
    ------
    Sam2Error
        If the network cannot be had, or what was given cannot be used.
    """
    model = _network(request)
    with telling_full_memory("track fewer objects at a time (--object)"):
        return _Run(request, inputs, model, stop).run()


class _Run:
    """A session with its predictor, and the files that it is written to."""

    def __init__(
        self,
        request: TrackRequest,
        inputs: TrackInputs,
        model: Sam2,
        stop: StopRequest,
    ) -> None:
        self.request = request
        self.inputs = inputs
        self.stop = stop
        self.predictor = VideoPredictor(model, _options(request, model))
        self.session = self.predictor.start(inputs.frames, contrast=inputs.contrast)

    def run(self) -> TrackSummary:
        """Track, write, finish or leave to be resumed."""
        self._introduce()
        record = self._record(self._add_prompts())
        writer = self.inputs.open_labels(self.request, resume=self.request.resume)
        with _tidied(self.request.out, writer, record), writer, record:
            self.stop.defer()
            self._take_up(writer, record)
            kept = len(record.scores)
            begun = time.perf_counter()
            computed = self._propagate(writer, record)
            stopped = self.stop.requested
            if not stopped:
                computed += self._write_prompted(writer, record)
            seconds = time.perf_counter() - begun
            writer.close(complete=not stopped)
            if not stopped:
                record.remove()
        if stopped:
            note(
                f"Stopped before the end: {writer.path} has labels on"
                f" {len(record.scores)} of {len(self.inputs.frames)} frames and can be"
                " opened as it is. To go on, give the same command with --resume."
            )
        elif kept and not computed:
            note(f"Nothing was left to track: all {kept} frames were done before.")
        else:
            rate = computed / seconds
            note(f"{_counted(computed, 'frame')} in {seconds:.1f} s, {rate:.3g} per s")
        return summarise(
            self.request,
            self.inputs.frames,
            self.inputs.prompts.names,
            record.scores.values(),
            labels=writer.path,
            complete=not stopped,
            seconds=seconds,
            computed=computed,
        )

    def _introduce(self) -> None:
        """Say what is about to be done."""
        frames, model = self.inputs.frames, self.predictor.model
        height, width = frames.frame_shape
        objects = len(self.inputs.prompts.names)
        note(
            f"{frames.image.name}: {_counted(objects, 'object')} through"
            f" {_counted(len(frames), 'frame')} along {frames.axes[0]}, {width} x"
            f" {height} pixels"
        )
        introduce_network(self.request.network, model)
        if not self.request.has_weights:
            note(
                "No checkpoint is loaded: the weights are random (seed"
                f" {self.request.seed or 0}), and the masks mean nothing."
            )

    def _add_prompts(self) -> str:
        """Give all prompts to the session; return their hash."""
        digest = hashlib.sha256()
        prompts = self.inputs.prompts
        with Progress("Prompts", total=len(prompts), unit="prompts") as bar:
            for placed in prompts:
                _digest(placed, digest.update)
                self.predictor.add_prompt(
                    self.session,
                    frame=placed.frame,
                    object_id=placed.object_id,
                    prompt=placed.prompt,
                )
                bar.advance()
        return digest.hexdigest()

    def _record(self, prompts: str) -> TrackRecord:
        """Take up the record of an earlier run, or begin a new one."""
        request, frames = self.request, self.inputs.frames
        identity = RunIdentity(
            image=f"{frames.image.name} {frames.image.sizes} {frames.axes}"
            f" {frames.position} {frames.channels} {self.inputs.contrast.limits}",
            prompts=prompts,
            network=f"{request.network} {request.overrides} {request.checkpoint}"
            f" {request.seed or 0}",
            options=f"{request.direction} {request.frames} {self.predictor.options}",
        )
        path = TrackRecord.path_for(request.out)
        target = LabelTarget(request.out)
        begun = target.partial.exists() or target.record.exists()
        earlier = TrackRecord.load(path) if request.resume and begun else None
        if earlier is None:
            return TrackRecord(path, identity, {})
        differing = identity.differences(earlier.identity)
        if differing:
            raise ImageError(
                f"The unfinished labels of {request.out} were begun with"
                f" {_DIFFERENCES[differing[0]]}. Give the same command as then, or"
                " --overwrite in place of --resume to begin anew."
            )
        return earlier

    def _take_up(self, writer: LabelWriter, record: TrackRecord) -> None:
        """Read back what is done of each object."""
        done = {f: s for f, s in record.scores.items() if f in writer.written}
        record.scores = done
        if not done:
            return
        with Progress("Reading what is done", total=len(done)) as bar:
            for frame, scores in done.items():
                whole = [i for i in scores.object_ids if self._is_whole(i, scores)]
                if whole:
                    labels = writer.read(frame)
                    self.session.import_labels(frame, labels, whole)
                bar.advance()

    def _is_whole(self, object_id: int, scores: FrameScores) -> bool:
        """Return whether no other pass is to come to an object on a frame.

        Between prompts the backward pass is merged with what the forward one found.
        """
        if self.request.direction != "both" or scores.backward:
            return True
        prompted = self.session.prompts(object_id)
        return not min(prompted) < scores.frame < max(prompted)

    def _propagate(self, writer: LabelWriter, record: TrackRecord) -> int:
        """Track and write until the end or a stop; return on how many frames."""
        direction, frames = self.request.direction, self.request.frames
        total = count_due(
            self.session.tracks(),
            direction,
            frames or (0, self.session.num_frames - 1),
            every_frame=frames is not None,
        )
        backward = direction == "backward"
        previous = -1
        computed = set()
        with Progress("Tracking", total=total) as bar:
            for masks in self.predictor.propagate(
                self.session, direction=direction, frames=frames
            ):
                # The backward pass follows the forward one, which only rises.
                backward = backward or masks.frame <= previous
                previous = masks.frame
                self._write(masks, writer, record, backward=backward)
                computed.add(masks.frame)
                bar.advance()
                if self.stop.requested:
                    break
        return len(computed)

    def _write_prompted(self, writer: LabelWriter, record: TrackRecord) -> int:
        """Write the prompted frames that no pass came to; return how many."""
        prompted = {f for t in self.session.tracks() for f in t.prompts}
        missing = sorted(prompted - record.scores.keys())
        for frame in missing:
            self._write(self.session.masks(frame), writer, record, backward=False)
        return len(missing)

    def _write(
        self,
        masks: FrameMasks,
        writer: LabelWriter,
        record: TrackRecord,
        *,
        backward: bool,
    ) -> None:
        # The record comes second: a crash in between has the frame tracked again.
        writer.write(masks.frame, masks.labels())
        scores = FrameScores.of(masks, backward=backward)
        earlier = record.scores.get(masks.frame)
        if earlier is not None:
            # What a resumed run took up is approved: it is no result of this one.
            tracks = self.session.tracks(masks.object_ids)
            taken_up = [t.object_id for t in tracks if masks.frame in t.approved]
            scores = scores.keeping(earlier, taken_up)
        record.add(scores)


def _network(request: TrackRequest) -> Sam2:
    """Build the network that a request asks for."""
    return build_network(
        request.network,
        request.checkpoint if request.has_weights else None,
        device=request.device,
        precision=request.precision,
        overrides=request.overrides,
        seed=request.seed or 0,  # fixed in any case, so that a run can be resumed
    )


def _options(request: TrackRequest, model: Sam2) -> PredictorOptions:
    """Return what the configuration asks for, with what the command asks for."""
    published = getattr(model, "predictor_options", None) or {}
    options = PredictorOptions.from_published(published)
    if request.fill_holes is not None:
        options = replace(options, fill_holes=request.fill_holes)
    if request.drop_specks is not None:
        options = replace(options, drop_specks=request.drop_specks)
    if request.stop_after_absent is not None:
        options = replace(options, stop_after_absent=request.stop_after_absent)
    if request.overlap is not None:
        options = replace(options, overlap=request.overlap)
    return options


def _digest(placed: PlacedPrompt, update: Callable[[bytes], object]) -> None:
    """Hash a prompt."""
    prompt = placed.prompt
    update(f"{placed.frame} {placed.object_id}".encode())
    for name in ("points", "labels", "box", "mask"):
        part = getattr(prompt, name)
        if part is not None:
            update(f"{name} {part.shape}".encode())
            update((np.packbits(part) if name == "mask" else part).tobytes())


@contextmanager
def _tidied(out: Path, writer: LabelWriter, record: TrackRecord) -> Iterator[None]:
    """After an error, remove labels without a frame, or say what is safe."""
    try:
        yield
    except BaseException as error:
        kept = len(record.scores)
        if not writer.written:
            for path in (writer.path, LabelTarget(out).record, record.path):
                _remove(path)
        elif kept and isinstance(error, Sam2Error) and "resume" not in str(error):
            raise type(error)(
                f"{error} {_counted(kept, 'frame')} are safe in {writer.path}: go on"
                " with --resume."
            ) from error
        raise


def _remove(path: Path | None) -> None:
    if path is not None and path.is_dir():
        shutil.rmtree(path)
    elif path is not None:
        path.unlink(missing_ok=True)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
