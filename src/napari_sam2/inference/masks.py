"""The masks of a frame's objects, made at frame size only when asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.inference.postprocess import (
    Patch,
    clean_mask,
    frame_logits,
    positive_patch,
)
from napari_sam2.inference.results import bounding_box
from napari_sam2.model.sam2 import ABSENT_LOGIT, PROMPTED_LOGIT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from napari_sam2.inference.options import Overlap
    from napari_sam2.inference.results import FrameResult


@dataclass(frozen=True, slots=True, eq=False)
class MaskCleaning:
    """What is done to each mask; see `PredictorOptions`."""

    overlap: Overlap = "highest_logit"
    fill_holes: int = 0
    drop_specks: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class FrameMasks:
    """The objects of one frame.

    Attributes
    ----------
    frame : int
        Index of the frame.
    frame_shape : tuple of int
        ``(H, W)`` of the frame in pixels.
    object_ids : tuple of int
        One id for each of N objects, in the order they were added.
    object_scores : ndarray
        ``(N,)`` float32 logits that the object is in the frame.
    predicted_iou : ndarray
        ``(N,)`` float32, the IoU that the network expects of each mask.
    present : ndarray
        ``(N,)`` bool, whether the object is in the frame.
    """

    frame: int
    frame_shape: tuple[int, int]
    object_ids: tuple[int, ...]
    cleaning: MaskCleaning = field(repr=False)
    _results: tuple[FrameResult | None, ...] = field(repr=False)

    @property
    def object_scores(self) -> NDArray[np.float32]:
        """Logits ``(N,)`` float32 that the object is in the frame."""
        return np.array(
            [ABSENT_LOGIT if r is None else r.object_score for r in self._results],
            np.float32,
        )

    @property
    def predicted_iou(self) -> NDArray[np.float32]:
        """IoU ``(N,)`` float32 that the network expects of each mask."""
        return np.array(
            [0.0 if r is None else r.predicted_iou for r in self._results], np.float32
        )

    @property
    def present(self) -> NDArray[np.bool_]:
        """Whether each object is in the frame: ``(N,)`` bool."""
        return np.array([r is not None and r.present for r in self._results], bool)

    @property
    def logits(self) -> NDArray[np.float32]:
        """Mask logits ``(N, H, W)`` float32 at frame size; the mask is > 0.

        An absent object has -1024 everywhere, a painted or approved one 10 on its
        mask and -10 beside it. Overlaps, holes and specks are as the network left
        them.
        """
        out = np.empty((len(self._results), *self.frame_shape), np.float32)
        for row, result in enumerate(self._results):
            if result is None:
                out[row] = ABSENT_LOGIT
            elif result.exact is not None:
                mask = result.exact.unpack()
                out[row] = np.where(mask, PROMPTED_LOGIT, -PROMPTED_LOGIT)
            else:
                out[row] = frame_logits(result.logits, result.view, self.frame_shape)
        return out

    @property
    def masks(self) -> NDArray[np.bool_]:
        """Masks ``(N, H, W)`` bool, cleaned, overlaps resolved as the options say.

        A painted or approved mask is as it is, also where another lies over it.
        """
        out = np.zeros((len(self._results), *self.frame_shape), bool)
        for row, mask in enumerate(self.each_mask()):
            out[row] = mask
        return out

    def each_mask(
        self, object_ids: Iterable[int] | None = None
    ) -> Iterator[NDArray[np.bool_]]:
        """Yield the masks ``(H, W)`` of objects, or of all, one by one; see `masks`."""
        found = list(self._patches())
        patches = {row: (patch, exact) for row, patch, exact in found}
        resolved = self.cleaning.overlap == "highest_logit"
        owner = self._owners("highest_logit", found) if resolved else None
        rows = {object_id: row for row, object_id in enumerate(self.object_ids)}
        for object_id in self.object_ids if object_ids is None else object_ids:
            row = rows[object_id]
            mask = np.zeros(self.frame_shape, bool)
            if row in patches:
                patch, exact = patches[row]
                inside = patch.logits > 0
                if owner is not None and not exact:
                    inside &= owner[patch.where] == row
                mask[patch.where] = inside
            yield mask

    def labels(self, overlap: Overlap | None = None) -> NDArray[np.unsignedinteger]:
        """Return the label image ``(H, W)``: object ids, 0 beside them.

        Approved masks come first, then painted ones, as they are; then each pixel goes
        to the object of the highest logit, or with ``overlap="keep"`` to the object
        added last. uint16, or uint32 if an id needs it.
        """
        owner = self._owners(overlap or self.cleaning.overlap, self._patches())
        dtype = np.uint16 if max(self.object_ids, default=0) < 2**16 else np.uint32
        ids: NDArray[np.unsignedinteger] = np.array([*self.object_ids, 0], dtype)
        return ids[owner]

    def _owners(
        self, overlap: Overlap, patches: Iterable[tuple[int, Patch, bool]]
    ) -> NDArray[np.int32]:
        """Return the row of the object that each pixel belongs to, -1 for none."""
        owner = np.full(self.frame_shape, -1, np.int32)
        highest = np.zeros(self.frame_shape, np.float32)
        exact = []
        for row, patch, is_exact in patches:
            if is_exact:
                exact.append((row, patch))
                continue
            here, best = owner[patch.where], highest[patch.where]
            wins = patch.logits > (0 if overlap == "keep" else best)
            here[wins] = row
            best[wins] = patch.logits[wins]
        exact.sort(key=lambda found: self._is_approved(found[0]))
        for row, patch in exact:
            owner[patch.where][patch.logits > 0] = row
        return owner

    def _is_approved(self, row: int) -> bool:
        result = self._results[row]
        return result is not None and result.approved is not None

    def _patches(self) -> Iterator[tuple[int, Patch, bool]]:
        """Yield the row, the positive logits, and whether they are exact."""
        for row, result in enumerate(self._results):
            if result is None:
                continue
            if result.exact is not None:
                mask = result.exact.unpack()
                y0, y1, x0, x1 = bounding_box(mask)
                inside = mask[y0:y1, x0:x1]
                logits = np.where(inside, PROMPTED_LOGIT, -PROMPTED_LOGIT)
                yield row, Patch(y0, x0, logits.astype(np.float32)), True
            elif result.present:
                patch = positive_patch(result.logits, result.view)
                yield row, self._clean(patch), False

    def _clean(self, patch: Patch) -> Patch:
        """Fill holes and drop specks of a patch's mask."""
        holes, specks = self.cleaning.fill_holes, self.cleaning.drop_specks
        if not (holes or specks) or not patch.logits.size:
            return patch
        before = patch.logits > 0
        after = clean_mask(before, fill_holes=holes, drop_specks=specks)
        barely = np.float32(1e-3)
        logits = np.where(after & ~before, barely, patch.logits)
        logits = np.where(before & ~after, -barely, logits)
        return Patch(patch.y0, patch.x0, logits)
