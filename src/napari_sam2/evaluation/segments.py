"""Frames cut into segments by Otsu's threshold and watershed, linked by overlap."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from napari_sam2.data.label_check import overlaps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_sam2.data.contrast import Contrast
    from napari_sam2.data.source import FrameSource
    from napari_sam2.evaluation.annotator import Interaction

    Greys = Callable[[int], NDArray[np.float32]]
    Segments = NDArray[np.int32]

_SMOOTHING = 1.0  # pixels
# Centres of neighbouring segments are as far apart as the typical segment is deep.
_LEAST_DEPTH = 2
# IoU of segments on neighbouring frames below which they are not the same object.
_LEAST_OVERLAP = 0.1


def greys_of(frames: FrameSource, contrast: Contrast) -> Greys:
    """Return what gives a frame as smoothed grey values ``(H, W)`` from 0 to 1."""

    def grey(frame: int) -> NDArray[np.float32]:
        colours = contrast.apply(frames[frame])
        smooth: NDArray[np.float32] = ndimage.gaussian_filter(
            colours.mean(-1), _SMOOTHING
        )
        return smooth

    return grey


@dataclass(frozen=True, slots=True, eq=False)
class SegmentedStack:
    """Segments of the frames of a stack, and their successors.

    Made by `SegmentedStack.of`.
    """

    _shape: tuple[int, int]
    _packed: dict[int, bytes] = field(repr=False)
    # By frame: the segment of the next and of the previous frame that overlaps most.
    _next: dict[int, dict[int, int]] = field(repr=False)
    _previous: dict[int, dict[int, int]] = field(repr=False)

    @classmethod
    def of(
        cls,
        greys: Greys,
        frames: range,
        inside: Sequence[tuple[int, float, float]],
    ) -> SegmentedStack:
        """Segment the frames of a range.

        Parameters
        ----------
        greys : callable
            Gives a frame as ``(H, W)`` floats.
        frames : range
            Rising.
        inside : sequence of tuple
            Frame, x, y of points on objects: they say whether objects are the
            bright or the dark side of each frame's threshold.
        """
        votes = [_is_bright(greys(f))[round(y), round(x)] for f, x, y in inside]
        bright = np.mean(votes) >= 0.5
        packed: dict[int, bytes] = {}
        following: dict[int, dict[int, int]] = {}
        previous: dict[int, dict[int, int]] = {}
        before: Segments | None = None
        shape = (0, 0)
        for frame in frames:
            segments = _segment(_is_bright(greys(frame)) == bright)
            if before is not None:
                following[frame - 1] = _best_overlaps(before, segments)
                previous[frame] = _best_overlaps(segments, before)
            packed[frame] = zlib.compress(segments.tobytes(), level=1)
            shape = (segments.shape[0], segments.shape[1])
            before = segments
        return cls(shape, packed, following, previous)

    def segments(self, frame: int) -> Segments:
        """Return the segments of a frame: ``(H, W)`` int32, 0 beside them."""
        data = zlib.decompress(self._packed[frame])
        return np.frombuffer(data, np.int32).reshape(self._shape)

    def chain(self, start: Interaction) -> dict[int, int]:
        """Follow a prompted segment both ways: its numbers by frame.

        Empty if there is no segment where the prompt is.
        """
        segment = self._prompted(start)
        if not segment:
            return {}
        chain = {start.frame: segment}
        for links, step in ((self._next, 1), (self._previous, -1)):
            frame, current = start.frame, segment
            while current := links.get(frame, {}).get(current, 0):
                frame += step
                chain[frame] = current
        return chain

    def _prompted(self, start: Interaction) -> int:
        """Return the segment under a click, or that which fits a box best."""
        segments = self.segments(start.frame)
        if not start.is_box:
            ((x, y),) = start.points
            return int(segments[round(y), round(x)])
        (x0, y0), (x1, y1) = start.points
        box = np.zeros(self._shape, np.int32)
        box[round(y0 + 0.5) : round(y1 + 0.5), round(x0 + 0.5) : round(x1 + 0.5)] = 1
        return _best_overlaps(box, segments).get(1, 0)


def _is_bright(grey: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the pixels ``(H, W)`` above Otsu's threshold."""
    threshold = threshold_otsu(grey)  # type: ignore[no-untyped-call]
    bright: NDArray[np.bool_] = grey > threshold
    return bright


def _segment(objects: NDArray[np.bool_]) -> Segments:
    """Cut a mask ``(H, W)`` where it is narrow."""
    objects = ndimage.binary_fill_holes(objects)
    parts, count = ndimage.label(objects)
    if not count:
        return np.zeros(objects.shape, np.int32)
    depths = ndimage.distance_transform_edt(objects)
    typical = np.median(ndimage.maximum(depths, parts, range(1, count + 1)))
    centres = peak_local_max(  # type: ignore[no-untyped-call]
        ndimage.gaussian_filter(depths, _SMOOTHING),
        min_distance=max(_LEAST_DEPTH, round(float(typical))),
        labels=parts,
        exclude_border=False,
    )
    markers = np.zeros(objects.shape, np.int32)
    markers[tuple(centres.T)] = np.arange(1, len(centres) + 1)
    cut: Segments = watershed(  # type: ignore[no-untyped-call]
        -depths, markers, mask=objects
    )
    return cut.astype(np.int32, copy=False)


def _best_overlaps(segments: Segments, others: Segments) -> dict[int, int]:
    """Return for each segment the other that overlaps most by IoU, if enough."""
    areas, other_areas = np.bincount(segments.ravel()), np.bincount(others.ravel())
    ids, other_ids, shared = overlaps(segments, others)
    iou = shared / (areas[ids] + other_areas[other_ids] - shared)
    enough = np.flatnonzero(iou >= _LEAST_OVERLAP)
    # Rising: what is written last overlaps most.
    order = enough[iou[enough].argsort(kind="stable")]
    return dict(zip(ids[order].tolist(), other_ids[order].tolist(), strict=True))
