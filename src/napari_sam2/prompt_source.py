"""Prompts on the frames of a stack, out of a prompt file or a label image."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_sam2.data.labels import read_labels_of
from napari_sam2.errors import ImageError, PromptError
from napari_sam2.inference.prompt import Prompt

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_sam2.data.frames import StackFrames
    from napari_sam2.data.labels import LabelStack
    from napari_sam2.prompt_file import FramePrompt, PromptFile


@dataclass(frozen=True, slots=True, eq=False)
class PlacedPrompt:
    """A prompt of one object on one frame, in image pixels."""

    frame: int
    object_id: int
    prompt: Prompt


class PromptSource(Protocol):
    """Prompts in rising order of their frames, made one at a time.

    Attributes
    ----------
    names
        The ids of the objects and what they are called, or None.
    """

    @property
    def names(self) -> dict[int, str | None]:
        """Ids of all objects, with their names."""

    def __len__(self) -> int:
        """Return how many prompts there are."""

    def __iter__(self) -> Iterator[PlacedPrompt]:
        """Yield the prompts, frame by frame."""


@dataclass(frozen=True, slots=True, eq=False)
class FilePrompts:
    """The prompts of a prompt file; see `PromptSource`."""

    names: dict[int, str | None]
    prompts: tuple[PlacedPrompt, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.prompts)

    def __iter__(self) -> Iterator[PlacedPrompt]:
        return iter(self.prompts)


@dataclass(frozen=True, slots=True, eq=False)
class LabelPrompts:
    """The labels of an image as mask prompts; see `PromptSource`.

    Attributes
    ----------
    stack
        The label image.
    where
        For each frame with labels: the frame of the label image, and its ids.
    """

    names: dict[int, str | None]
    stack: LabelStack = field(repr=False)
    where: dict[int, tuple[int, tuple[int, ...]]] = field(repr=False)

    def __len__(self) -> int:
        return sum(len(ids) for _, ids in self.where.values())

    def __iter__(self) -> Iterator[PlacedPrompt]:
        for frame in sorted(self.where):
            source, ids = self.where[frame]
            labels = self.stack[source]
            for number in ids:
                yield PlacedPrompt(frame, number, Prompt(mask=labels == number))


def place_prompts(
    prompts: PromptFile,
    frames: StackFrames,
    *,
    path: str | os.PathLike[str],
    object_ids: tuple[int, ...] = (),
) -> FilePrompts:
    """Put the prompts of a file onto a stack.

    Parameters
    ----------
    prompts
        What the file says.
    frames
        The stack, whose scale and units turn physical numbers into pixels.
    path
        The prompt file; the paths of masks start from its folder.
    object_ids
        Objects wanted, all if empty.

    Raises
    ------
    PromptError
        If a prompt does not fit the stack, two fall on one frame, the image has no
        scale for physical numbers, or an object wanted is not there.
    """
    file = Path(path)
    names = {entry.id: entry.name for entry in prompts.objects}
    wanted = _wanted(names, object_ids, file)
    placing = _Placing.on(frames, prompts, file)
    placed: list[PlacedPrompt] = []
    for number, entry in enumerate(prompts.objects):
        if entry.id not in wanted:
            continue
        taken: set[int] = set()
        for count, prompt in enumerate(entry.prompts):
            place = f"{file}, objects[{number}].prompts[{count}]"
            try:
                frame = placing.frame(prompt)
                if frame in taken:
                    raise PromptError(
                        f"This is a second prompt of object {entry.id} on frame"
                        f" {frame}: put points, box and mask of a frame into one."
                    )
                taken.add(frame)
                placed.append(
                    PlacedPrompt(frame, entry.id, placing.prompt(prompt, frame))
                )
            except (PromptError, ImageError) as error:
                raise PromptError(f"{place}: {error}") from error
    placed.sort(key=lambda one: one.frame)
    return FilePrompts({i: names[i] for i in wanted}, tuple(placed))


def label_prompts(
    path: str | os.PathLike[str],
    frames: StackFrames,
    *,
    prompt_frame: int | None = None,
    object_ids: tuple[int, ...] = (),
) -> LabelPrompts:
    """Take the labels of an image as prompts: every label is an object.

    Parameters
    ----------
    path
        A label image: one frame, or a stack of as many frames as the image.
    frames
        The stack to segment.
    prompt_frame
        The one frame whose labels are taken; all that have labels if absent. An
        image of one frame is put there.
    object_ids
        Labels wanted, all if empty.

    Raises
    ------
    ImageError
        If it cannot be opened or is no label image.
    PromptError
        If it does not fit the stack, or has no labels there.
    """
    file = Path(path)
    stack = read_labels_of(frames, file)
    if stack.frame_shape != frames.frame_shape:
        raise PromptError(
            f"{file} has frames of {_size(stack.frame_shape)} pixels, the image of"
            f" {_size(frames.frame_shape)}. Give labels of the image's own size."
        )
    where: dict[int, tuple[int, tuple[int, ...]]] = {}
    for frame, source in _matched(stack, frames, prompt_frame, file).items():
        found = tuple(int(label) for label in np.unique(stack[source]) if label)
        if found:
            where[frame] = (source, found)
    if not where:
        at = "" if prompt_frame is None else f" on frame {prompt_frame}"
        raise PromptError(
            f"{file} has no labels{at}: every pixel is 0. Give a label image with at"
            " least one object."
        )
    names = dict.fromkeys(sorted({i for _, ids in where.values() for i in ids}))
    wanted = _wanted(names, object_ids, file)
    where = {
        frame: (source, kept)
        for frame, (source, ids) in where.items()
        if (kept := tuple(i for i in ids if i in wanted))
    }
    return LabelPrompts(dict.fromkeys(wanted), stack, where)


def _matched(
    stack: LabelStack, frames: StackFrames, prompt_frame: int | None, file: Path
) -> dict[int, int]:
    """Return the frame of the label image for each frame of the stack."""
    if prompt_frame is not None and not 0 <= prompt_frame < len(frames):
        raise PromptError(
            f"There is no frame {prompt_frame} to take prompts on: the image has"
            f" {_counted(len(frames))}."
        )
    if len(stack) == len(frames):
        if prompt_frame is None:
            return {frame: frame for frame in range(len(frames))}
        return {prompt_frame: prompt_frame}
    if len(stack) > 1:
        raise PromptError(
            f"{file} has {len(stack)} frames, the image {len(frames)} along"
            f" {frames.axes[0]}. Give one frame of labels, or as many as the image."
        )
    if prompt_frame is None:
        raise PromptError(
            f"{file} is a single frame of labels: say with --prompt-frame which of the"
            f" image's {len(frames)} frames it belongs to."
        )
    return {prompt_frame: 0}


@dataclass(frozen=True, slots=True, eq=False)
class _Placing:
    """How a file's numbers become frames and pixels."""

    frames: StackFrames
    steps: tuple[float, float, float]  # of a frame, a row, a column
    folder: Path
    opened: dict[Path, LabelStack]

    @classmethod
    def on(cls, frames: StackFrames, prompts: PromptFile, file: Path) -> _Placing:
        if prompts.units == "pixel":
            return cls(frames, (1.0, 1.0, 1.0), file.parent, {})
        for letter, step, unit in zip(
            frames.axes[1:], frames.scale[1:], frames.units[1:], strict=True
        ):
            if unit is None and step == 1.0:
                raise PromptError(
                    f"{file} is in physical units, but {frames.image.name} does not"
                    f" say how large a pixel is along {letter}. Give the prompts in"
                    " pixels, or save the image with its pixel size."
                )
        depth, height, width = frames.scale
        return cls(frames, (depth, height, width), file.parent, {})

    def frame(self, prompt: FramePrompt) -> int:
        """Return the index of the frame that is meant."""
        count = len(self.frames)
        if prompt.position is None:
            frame = prompt.frame or 0
            if frame >= count:
                raise PromptError(
                    f"There is no frame {frame}: the image has {_counted(count)}."
                )
            return frame
        axis, step, unit = self.frames.axes[0], self.steps[0], self.frames.units[0]
        if unit is None and step == 1.0:
            raise PromptError(
                f"{self.frames.image.name} does not say how far frames are apart along"
                f" {axis}: give 'frame' in place of 'position'."
            )
        index = prompt.position / step
        if not -0.5 <= index <= count - 0.5:
            last = f"{(count - 1) * step:g} {unit or ''}".strip()
            raise PromptError(
                f"The position {prompt.position:g} lies outside: the frames go from 0"
                f" to {last} along {axis}."
            )
        return min(max(round(index), 0), count - 1)

    def prompt(self, prompt: FramePrompt, frame: int) -> Prompt:
        """Return a prompt in pixels, checked against the frame."""
        _, height, width = self.steps
        made = Prompt(
            points=[(x / width, y / height) for x, y in prompt.points] or None,
            labels=prompt.labels,
            box=None
            if prompt.box is None
            else [
                corner / step
                for corner, step in zip(prompt.box, (width, height) * 2, strict=True)
            ],
            mask=self._mask(prompt, frame),
        )
        made.check(self.frames.frame_shape)
        return made

    def _mask(self, prompt: FramePrompt, frame: int) -> NDArray[np.bool_] | None:
        if prompt.mask is None:
            return None
        path = self.folder / prompt.mask
        if path not in self.opened:
            self.opened[path] = read_labels_of(self.frames, path)
        stack = self.opened[path]
        if len(stack) not in (1, len(self.frames)):
            raise PromptError(
                f"{path} has {len(stack)} frames: give a mask of one frame, or of as"
                f" many as the image has ({len(self.frames)})."
            )
        labels = stack[0 if len(stack) == 1 else frame]
        value = prompt.mask_value
        mask: NDArray[np.bool_] = labels != 0 if value is None else labels == value
        if value is not None and not mask.any():
            raise PromptError(
                f"{path} has no pixel of the label {value} on frame"
                f" {frame}. Check mask_value."
            )
        return mask


def _wanted(
    names: dict[int, str | None], object_ids: tuple[int, ...], file: Path
) -> list[int]:
    """Return the ids wanted in the order they stand; all if none are named."""
    missing = [number for number in object_ids if number not in names]
    if missing:
        there = ", ".join(map(str, list(names)[:20]))
        raise PromptError(
            f"{file} has no object {missing[0]}: it has {there}"
            f"{', ...' if len(names) > 20 else ''}."
        )
    return [number for number in names if not object_ids or number in object_ids]


def _size(shape: tuple[int, int]) -> str:
    return f"{shape[1]} x {shape[0]}"


def _counted(count: int) -> str:
    return "one frame, 0" if count == 1 else f"{count} frames, 0 to {count - 1}"
