"""What a run of ``track`` starts from, opened and checked before anything is computed.

Nothing here needs torch, so that mistakes are told at once.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam2.cli.console import note
from napari_sam2.cli.network import check_weights
from napari_sam2.data.contrast import estimate_contrast
from napari_sam2.data.frames import select_frames
from napari_sam2.data.image import open_image
from napari_sam2.data.label_target import LabelTarget
from napari_sam2.data.labels import LabelWriter
from napari_sam2.errors import ImageError, PromptError
from napari_sam2.prompt_file import read_prompt_file
from napari_sam2.prompt_source import label_prompts, place_prompts

if TYPE_CHECKING:
    from napari_sam2.cli.request import TrackRequest
    from napari_sam2.data.contrast import Contrast
    from napari_sam2.data.frames import StackFrames
    from napari_sam2.prompt_file import PromptFile
    from napari_sam2.prompt_source import PromptSource


@dataclass(frozen=True, slots=True, eq=False)
class TrackInputs:
    """The opened inputs of a run.

    Attributes
    ----------
    frames
        The stack.
    contrast
        How its values become 0 to 1.
    prompts
        What is to be tracked.
    finished
        Whether the labels that shall be resumed are finished already.
    """

    frames: StackFrames = field(repr=False)
    contrast: Contrast
    prompts: PromptSource = field(repr=False)
    finished: bool

    def open_labels(self, request: TrackRequest, *, resume: bool) -> LabelWriter:
        """Open the labels that the run writes.

        Raises
        ------
        ImageError
            If they cannot be written, or are those of another image.
        """
        frames = self.frames
        height, width = frames.frame_shape
        depth, row, column = frames.scale
        return LabelWriter.open(
            request.out,
            shape=(len(frames), height, width),
            max_id=max(self.prompts.names),
            axes=frames.axes,
            scale=(depth, row, column),
            units=(frames.units[0], frames.units[1], frames.units[2]),
            resume=resume,
            overwrite=request.overwrite,
        )


def open_inputs(request: TrackRequest) -> TrackInputs:
    """Open image and prompts of a request, and check where its labels shall go.

    Raises
    ------
    Sam2Error
        If anything is missing, cannot be read, or does not fit together.
    """
    check_weights(request.network, request.checkpoint)
    prompt_file = _prompt_file(request)
    axes = request.axes or (prompt_file.axes if prompt_file else None)
    frames = select_frames(
        open_image(request.image, axes=axes),
        frame_axis=request.frame_axis,
        channels=request.channels or None,
        position=dict(request.positions),
    )
    _check_range(request, frames)
    finished = _check_out(request)
    if prompt_file is None:
        prompts: PromptSource = label_prompts(
            request.prompts,
            frames,
            prompt_frame=request.prompt_frame,
            object_ids=request.object_ids,
        )
    else:
        prompts = place_prompts(
            prompt_file, frames, path=request.prompts, object_ids=request.object_ids
        )
    contrast = estimate_contrast(frames, limits=request.contrast)
    inputs = TrackInputs(frames, contrast, prompts, finished)
    if finished:
        # Refuses those of another image.
        inputs.open_labels(request, resume=True).close()
    return inputs


def _prompt_file(request: TrackRequest) -> PromptFile | None:
    """Read the prompt file; None if the prompts are a label image."""
    path = request.prompts
    if not path.exists():
        raise PromptError(f"There is no file {path} with prompts. Check the path.")
    if path.suffix.lower() != ".json" and not _looks_like_json(path):
        return None
    if request.prompt_frame is not None:
        raise PromptError(
            f"--prompt-frame chooses a frame of a label image, but {path} is a prompt"
            " file, which names its frames itself. Leave it out."
        )
    prompts = read_prompt_file(path)
    if prompts.image and Path(prompts.image).name != request.image.name:
        note(f"{path} was made for {prompts.image}, not for {request.image.name}.")
    return prompts


def _looks_like_json(path: Path) -> bool:
    """Return whether a file starts as a JSON object does."""
    try:
        with path.open("rb") as file:
            return file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"
    except OSError:
        return False


def _check_range(request: TrackRequest, frames: StackFrames) -> None:
    """Refuse a range that the stack does not have."""
    if request.frames is None:
        return
    first, last = request.frames
    if not 0 <= first <= last < len(frames):
        raise PromptError(
            f"--frames {first} {last} is no range of this stack: its frames are 0 to"
            f" {len(frames) - 1}, the lower one first."
        )


def _check_out(request: TrackRequest) -> bool:
    """Check where labels shall go; return whether those to resume are finished."""
    out = request.out
    whole = out.resolve()
    for name, path in (("image", request.image), ("prompts", request.prompts)):
        given = path.resolve()
        if whole == given or whole in given.parents:
            raise ImageError(
                f"--out {out} would overwrite the {name}. Choose another name."
            )
    if request.image.is_dir() and whole.parent == request.image.resolve():
        raise ImageError(
            f"--out {out} lies in the folder of the image, which would take it for one"
            " of its frames. Choose another folder."
        )
    target = LabelTarget(out)
    if not os.access(out.absolute().parent, os.W_OK):
        raise ImageError(
            f"The folder {out.absolute().parent} may not be written. Choose another."
        )
    begun = target.partial.exists() or target.record.exists()
    there = begun or target.final.exists()
    if there and not (request.resume or request.overwrite):
        what = "was begun and not finished" if begun else "exists already"
        raise ImageError(
            f"{out} {what}. Give --resume to go on with it, --overwrite to replace it,"
            " or another name."
        )
    return request.resume and not request.overwrite and there and not begun
