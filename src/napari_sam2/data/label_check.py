"""Whether labels say which object is which, and where each of them is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_sam2.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam2.data.label_reader import LabelStack
    from napari_sam2.data.source import FrameSource

# So many separate parts on a frame, and it is no longer one object.
_PARTS = 3
_LEAST_PART = 10  # pixels
# How many of the objects must change their number for it to be no chance.
_RENUMBERED = 0.8
_LEAST_FOLLOWED = 8


class EmptyLabelsError(ImageError):
    """Labels without a single object."""


@dataclass(frozen=True, slots=True, eq=False)
class ObjectTable:
    """The outlines of all objects on all frames, one row for each.

    Attributes
    ----------
    frames, ids, areas : ndarray
        ``(N,)`` int64; areas in pixels. Rows rise by frame, then by id.
    boxes : ndarray
        ``(N, 4)`` int64: first row, first column, row after the last, column after
        the last.
    """

    frames: NDArray[np.int64] = field(repr=False)
    ids: NDArray[np.int64] = field(repr=False)
    areas: NDArray[np.int64] = field(repr=False)
    boxes: NDArray[np.int64] = field(repr=False)


def index_labels(labels: LabelStack, images: FrameSource) -> ObjectTable:
    """Find every object on every frame, one frame in memory at a time.

    Parameters
    ----------
    labels
        Ids; the same object has one id on all frames.
    images
        The frames that they belong to.

    Raises
    ------
    ImageError
        If the labels are of another shape, empty, or do not tell objects apart: one
        label for everything, or other ones on every frame.
    """
    here = (len(labels), *labels.frame_shape)
    there = (len(images), *images.frame_shape)
    if here != there:
        raise ImageError(
            f"The labels {labels.name} have {_sizes(here)}, their image"
            f" {_sizes(there)}. Both must have the same."
        )
    rows: list[NDArray[np.int64]] = []
    parts: list[int] = []
    changed = followed = 0
    before = None
    for frame in range(len(labels)):
        pixels = labels[frame]
        ids, inverse, areas = np.unique(pixels, return_inverse=True, return_counts=True)
        compact = inverse.reshape(pixels.shape)
        if ids[0] != 0:
            compact = compact + 1
        else:
            ids, areas = ids[1:], areas[1:]
        boxes = [box for box in ndimage.find_objects(compact) if box is not None]
        for identity, area, (ys, xs) in zip(ids, areas, boxes, strict=True):
            row = [frame, identity, area, ys.start, xs.start, ys.stop, xs.stop]
            rows.append(np.array(row, np.int64))
        if len(ids) == 1:
            parts.append(_separate_parts(pixels > 0))
        if before is not None:
            moved, all_ = _renumbered(before, pixels)
            changed, followed = changed + moved, followed + all_
        before = pixels
    if not rows:
        raise EmptyLabelsError(
            f"The labels {labels.name} are empty: all pixels are 0. Label objects with"
            " numbers from 1."
        )
    table = np.stack(rows)
    _check_identities(labels, table, parts, changed, followed)
    return ObjectTable(table[:, 0], table[:, 1], table[:, 2], table[:, 3:])


def _check_identities(
    labels: LabelStack,
    table: NDArray[np.int64],
    parts: list[int],
    changed: int,
    followed: int,
) -> None:
    """Refuse labels that do not say which object is which."""
    ids, seen = np.unique(table[:, 1], return_counts=True)
    needed = (
        " Every object needs a number of its own, from 1, and the same on all frames"
        " that it is on."
    )
    if len(ids) == 1 and np.median(parts) >= _PARTS:
        raise ImageError(
            f"The labels {labels.name} have one number, {ids[0]}, for everything, in"
            f" {int(np.median(parts))} separate parts on a frame: a mask, that does"
            f" not tell objects apart.{needed}"
        )
    labelled = len(np.unique(table[:, 0]))
    if len(ids) > 1 and labelled > 1 and seen.max() == 1:
        raise ImageError(
            f"In the labels {labels.name} no number is on more than one frame, though"
            f" {labelled} frames are labelled.{needed}"
        )
    if followed >= _LEAST_FOLLOWED and changed > _RENUMBERED * followed:
        raise ImageError(
            f"The labels {labels.name} are numbered anew on every frame: of"
            f" {followed} outlines that lie on one of the frame before, {changed} have"
            f" another number than it.{needed}"
        )


def _separate_parts(mask: NDArray[np.bool_]) -> int:
    """Count the separate parts of a mask that are no specks."""
    marked, _ = ndimage.label(mask)
    return int((np.bincount(marked.ravel())[1:] >= _LEAST_PART).sum())


def _renumbered(
    before: np.ndarray[Any, Any], after: np.ndarray[Any, Any]
) -> tuple[int, int]:
    """Count the objects of a frame that lie on one of the frame before.

    Returns how many of them lie on one of another number, and all.
    """
    new, old, shared = overlaps(after, before)
    # Rising overlap: the last one of each number is what it mostly lies on.
    order = shared.argsort(kind="stable")
    mostly = dict(zip(new[order].tolist(), old[order].tolist(), strict=True))
    return sum(new != old for new, old in mostly.items()), len(mostly)


def overlaps(
    labels: np.ndarray[Any, Any], others: np.ndarray[Any, Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return which labels above 0 lie on which others, and on how many pixels.

    Parameters
    ----------
    labels, others : ndarray
        ``(H, W)`` whole numbers from 0, up to 32 bits.

    Returns
    -------
    tuple of ndarray
        Label, other label and pixels ``(N,)`` of each pair that shares any.
    """
    both = (labels > 0) & (others > 0)
    # One number for a pair: rows would be sorted twenty times as slowly.
    pairs = labels[both].astype(np.uint64) << np.uint64(32)
    pairs |= others[both].astype(np.uint64)
    found, shared = np.unique(pairs, return_counts=True)
    low = found & np.uint64(2**32 - 1)
    return (found >> np.uint64(32)).astype(np.int64), low.astype(np.int64), shared


def _sizes(shape: tuple[int, int, int]) -> str:
    """Tell a shape in words."""
    return f"{shape[0]} frames of {shape[1]} x {shape[2]} pixels"
