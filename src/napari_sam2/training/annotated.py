"""Annotated stacks to learn from: opened, checked, and split."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.data.contrast import Contrast, estimate_contrast
from napari_sam2.data.frames import select_frames
from napari_sam2.data.image import open_image
from napari_sam2.data.label_check import EmptyLabelsError, ObjectTable, index_labels
from napari_sam2.data.labels import read_labels_of
from napari_sam2.data.pairs import SINGLE_FRAMES, StackPair, find_pairs
from napari_sam2.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_sam2.data.frames import StackFrames
    from napari_sam2.data.label_reader import LabelStack

_log = logging.getLogger(__name__)

# Objects on fewer frames say little about tracking.
_LEAST_FRAMES = 5


@dataclass(frozen=True, slots=True)
class Reading:
    """How images are read.

    Attributes
    ----------
    axes : str, optional
        Letters that take the place of those in the files.
    frame_axis : str, optional
        "Z" or "T", as in `select_frames`.
    channels : tuple of int or str
        Channels that are shown, by number or name; all if empty.
    position : tuple of (str, int)
        Where the axes that are none of frames, rows, columns and channels are fixed.
    """

    axes: str | None = None
    frame_axis: str | None = None
    channels: tuple[int | str, ...] = ()
    position: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedStack:
    """A stack with labels, known but not loaded.

    Attributes
    ----------
    pair : StackPair
        Its files.
    reading : Reading
        How they are read.
    num_frames : int
        Frames T.
    frame_shape : tuple of int
        (H, W) in pixels.
    contrast : Contrast
        That of a predictor.
    objects : ObjectTable
        The objects that may be prompted.
    """

    pair: StackPair
    reading: Reading
    num_frames: int
    frame_shape: tuple[int, int]
    contrast: Contrast = field(repr=False)
    objects: ObjectTable = field(repr=False)

    def open(self) -> tuple[StackFrames, LabelStack]:
        """Open image and labels; frames are read when indexed."""
        return _open(self.pair, self.reading)

    def only(self, ids: Sequence[int]) -> AnnotatedStack:
        """Return the stack with some of its objects to be prompted."""
        table = self.objects
        rows = np.isin(table.ids, ids)
        objects = ObjectTable(
            table.frames[rows], table.ids[rows], table.areas[rows], table.boxes[rows]
        )
        return replace(self, objects=objects)

    @property
    def ids(self) -> list[int]:
        """The objects that may be prompted."""
        found: list[int] = np.unique(self.objects.ids).tolist()
        return found


@dataclass(frozen=True, slots=True)
class Split:
    """What is learned from, and what is kept back to measure.

    Attributes
    ----------
    shown, held_out : tuple of AnnotatedStack
        Stacks; the second may be empty.
    by_object : bool
        Whether both are objects of one stack.
    """

    shown: tuple[AnnotatedStack, ...]
    held_out: tuple[AnnotatedStack, ...]
    by_object: bool = False


def open_annotated(
    data: Path, labels: Path | None = None, reading: Reading | None = None
) -> tuple[AnnotatedStack, ...]:
    """Open all stacks of a folder that can be learned from.

    Those that cannot are told in a warning each, and left out. An image with depth and
    time is a stack for each index of the axis that its frames do not go along; of
    these, those without labels are left out in silence.

    Parameters
    ----------
    data, labels
        Folders, as in `find_pairs`.
    reading
        How images are read.

    Raises
    ------
    ImageError
        If there is none.
    """
    search = find_pairs(data, labels)
    for sentence in search.unmatched:
        _log.warning("%s", sentence)
    stacks: list[AnnotatedStack] = []
    for pair in search.pairs:
        try:
            stacks += _stacks_of(pair, reading or Reading())
        except ImageError as error:
            _log.warning("%s is left out: %s", pair.name, error)
    if not stacks:
        raise ImageError(
            f"None of the {len(search.pairs)} stacks in {data} can be learned from; the"
            " warnings say why."
        )
    if len(stacks) > 1 and all(stack.num_frames == 1 for stack in stacks):
        _log.warning("%s", SINGLE_FRAMES)
    return tuple(stacks)


def split_stacks(
    stacks: Sequence[AnnotatedStack], share: float, seed: int = 0
) -> Split:
    """Keep back a share of the files, or of what there is in a single one.

    That is its stacks, where it has depth and time, or else its objects.

    Parameters
    ----------
    stacks
        One or more.
    share
        What is kept back, 0 to 1; at least one if above 0, and never all.
    seed
        Of the choice.
    """
    rng = np.random.default_rng(seed)
    if share <= 0:
        return Split(tuple(stacks), ())
    files = list(dict.fromkeys(stack.pair.image for stack in stacks))
    if len(files) > 1:
        chosen = _chosen(rng, len(files), share)
        kept = {i for i, s in enumerate(stacks) if files.index(s.pair.image) in chosen}
        return _split_at(stacks, kept)
    if len(stacks) > 1:
        kept = _chosen(rng, len(stacks), share)
        _log.warning(
            "There is one file, so %d of its %d stacks are kept back to measure. They "
            "are like the others: scores on other files may be lower.",
            len(kept),
            len(stacks),
        )
        return _split_at(stacks, kept)
    (stack,) = stacks
    ids = stack.ids
    if len(ids) == 1:
        _log.warning(
            "There is one stack with one object: nothing can be kept back to measure."
        )
        return Split((stack,), ())
    seen = np.array([(stack.objects.ids == one).sum() for one in ids])
    long = np.flatnonzero(seen >= _LEAST_FRAMES)
    worth = long if len(long) > 1 else np.arange(len(ids))
    away = {ids[worth[i]] for i in _chosen(rng, len(worth), share)}
    _log.warning(
        "There is one stack, so %d of its %d objects are kept back to measure. They "
        "are seen in training, though never prompted: scores on other stacks may be "
        "lower.",
        len(away),
        len(ids),
    )
    return Split(
        (stack.only([one for one in ids if one not in away]),),
        (stack.only(sorted(away)),),
        by_object=True,
    )


def _split_at(stacks: Sequence[AnnotatedStack], kept: set[int]) -> Split:
    """Keep back the stacks at some places."""
    return Split(
        tuple(one for i, one in enumerate(stacks) if i not in kept),
        tuple(one for i, one in enumerate(stacks) if i in kept),
    )


def _chosen(rng: np.random.Generator, count: int, share: float) -> set[int]:
    """Draw a share of `count` numbers, at least one and not all."""
    wanted = min(max(round(share * count), 1), count - 1)
    chosen: list[int] = rng.permutation(count)[:wanted].tolist()
    return set(chosen)


def _open(pair: StackPair, reading: Reading) -> tuple[StackFrames, LabelStack]:
    """Open the files of a pair."""
    frames = select_frames(
        open_image(pair.image, axes=reading.axes),
        frame_axis=reading.frame_axis,
        position=dict(reading.position),
        channels=reading.channels or None,
    )
    return frames, read_labels_of(frames, pair.labels)


def _stacks_of(pair: StackPair, reading: Reading) -> list[AnnotatedStack]:
    """Open all stacks of a pair that have labels: one, but for depth and time.

    Raises
    ------
    ImageError
        If one of them cannot be learned from, or none has labels.
    """
    frames, labels = _open(pair, reading)
    others = [axis for axis in frames.position if labels.image.length(axis) > 1]
    if not others:
        return [_known(pair, reading)]
    (axis,) = others
    found = []
    for index in range(frames.image.length(axis)):
        one = replace(pair, name=f"{pair.name} {axis}{index}")
        here = replace(reading, position=((axis, index),))
        try:
            found.append(_known(one, here))
        except EmptyLabelsError:
            if not found and index == frames.image.length(axis) - 1:
                raise
    return found


def _known(pair: StackPair, reading: Reading) -> AnnotatedStack:
    """Open a pair and find its objects, contrast, and any damage."""
    frames, labels = _open(pair, reading)
    objects = index_labels(labels, frames)
    for _ in frames:  # what is damaged shall show now, not hours later
        pass
    return AnnotatedStack(
        pair=pair,
        reading=reading,
        num_frames=len(frames),
        frame_shape=frames.frame_shape,
        contrast=estimate_contrast(frames),
        objects=objects,
    )
