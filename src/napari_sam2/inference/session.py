"""A session: a stack of frames, its objects, and what was found and approved."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_sam2.errors import PromptError
from napari_sam2.inference.masks import FrameMasks, MaskCleaning
from napari_sam2.inference.memory import MemoryBank, MemoryRules
from napari_sam2.inference.object_track import ObjectTrack
from napari_sam2.inference.preprocess import resize_mask
from napari_sam2.inference.prompt import Prompt
from napari_sam2.inference.recent_frames import RecentFrames
from napari_sam2.inference.results import FrameResult, ResultStore
from napari_sam2.inference.spool import Spool
from napari_sam2.model.sam2 import PROMPTED_LOGIT, prompted_logits, resize

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_sam2.data.contrast import Contrast
    from napari_sam2.data.source import FrameSource
    from napari_sam2.inference.features import FeatureCache
    from napari_sam2.inference.views import ViewRules
    from napari_sam2.model.records import View

_LARGEST_ID = 2**32 - 1


class Session:
    """A stack of frames in work; made by `VideoPredictor.start`.

    Attributes
    ----------
    frames : FrameSource
        The stack.
    recent_frames : RecentFrames
        The same, the last ones kept.
    contrast : Contrast
        How its values become 0 to 1.
    views : ViewRules
        What windows of the frames are seen.
    """

    def __init__(
        self,
        frames: FrameSource,
        contrast: Contrast,
        *,
        views: ViewRules,
        logits_size: int,
        rules: MemoryRules,
        cleaning: MaskCleaning,
        features: FeatureCache,
        neighbours: int = 0,
    ) -> None:
        self.frames = frames
        self.recent_frames = RecentFrames(frames, neighbours)
        self.contrast = contrast
        self.num_frames = len(frames)
        self.frame_shape = views.frame_shape
        self.views = views
        self.features = features
        self._logits_size = logits_size
        self._rules = rules
        self._cleaning = cleaning
        self._spool = Spool()
        self._tracks: dict[int, ObjectTrack] = {}

    def __repr__(self) -> str:
        height, width = self.frame_shape
        return (
            f"<Session of {self.num_frames} frames, {width} x {height}, "
            f"{len(self._tracks)} objects>"
        )

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids of all objects, in the order they were added."""
        return tuple(self._tracks)

    def prompts(self, object_id: int) -> dict[int, Prompt]:
        """Return the prompts of an object, by frame."""
        return dict(self.track(object_id).prompts)

    def approved(self, object_id: int) -> list[int]:
        """Return the approved frames of an object, sorted."""
        return sorted(self.track(object_id).approved)

    def done(self, object_id: int) -> list[int]:
        """Return the frames with a result that still stands, sorted."""
        track = self.track(object_id)
        frames = set(track.results.frames()) | track.pending.keys()
        return sorted(frames - track.stale)

    def stale(self, object_id: int) -> list[int]:
        """Return the frames to compute again, sorted.

        They were tracked before a prompt that bears on them was added, changed or
        removed. Prompted and approved frames are never among them.
        """
        return sorted(self.track(object_id).stale)

    def approve(
        self,
        frames: int | Iterable[int],
        object_ids: int | Iterable[int] | None = None,
    ) -> None:
        """Approve the masks of frames as they are: nothing will change them.

        Parameters
        ----------
        frames : int or iterable of int
            Frames to approve.
        object_ids : int or iterable of int, optional
            Objects, all that have a mask on the frame if absent.

        Raises
        ------
        PromptError
            If a frame has no result to approve; then nothing is approved.
        """
        tracks = self.tracks(object_ids)
        approvals: dict[int, list[int]] = {}
        for frame in self._frame_list(frames):
            found = [t.object_id for t in tracks if t.result(frame) is not None]
            lacking = [t.object_id for t in tracks if t.result(frame) is None]
            if not found or (object_ids is not None and lacking):
                whose = f"object {lacking[0]}" if lacking else "any object"
                raise PromptError(
                    f"Frame {frame} has no mask of {whose} to approve: propagate to "
                    "it, or add a prompt there."
                )
            approvals[frame] = found
        for frame, found in approvals.items():
            masks = self.masks(frame).each_mask(found)
            for object_id, mask in zip(found, masks, strict=True):
                self._tracks[object_id].approve(frame, mask)

    def unapprove(
        self,
        frames: int | Iterable[int],
        object_ids: int | Iterable[int] | None = None,
    ) -> None:
        """Let propagation write frames again; see `approve` for the parameters."""
        tracks = self.tracks(object_ids)
        for frame in self._frame_list(frames):
            for track in tracks:
                if frame in track.approved:
                    track.release(frame)

    def import_labels(
        self,
        frame: int,
        labels: NDArray[np.integer],
        object_ids: int | Iterable[int] | None = None,
        *,
        approve: bool = True,
    ) -> None:
        """Take masks made elsewhere as results.

        Parameters
        ----------
        frame : int
            Where they lie.
        labels : ndarray
            ``(H, W)`` integers, object ids.
        object_ids : int or iterable of int, optional
            Objects of the session to take, all if absent; one without a pixel is
            taken as absent from the frame. Prompted frames stay as they are.
        approve : bool
            Whether nothing shall change them; if not, they are as if tracked: the next
            prompt there refines them.

        Raises
        ------
        PromptError
            If the labels do not fit the frame, or there are no such objects.
        """
        frame = self.check_frame(frame)
        labels = np.asarray(labels)
        if labels.dtype.kind not in "iu":
            raise PromptError(
                f"The label image holds {labels.dtype}: give integers, one for each "
                "object and 0 beside them."
            )
        if labels.shape != self.frame_shape:
            raise PromptError(
                f"The label image has shape {labels.shape}, the frame "
                f"{self.frame_shape} (rows, columns): give labels of the same shape."
            )
        if not self._tracks:
            raise PromptError(
                "The session has no objects to take masks of: add a prompt for each "
                "first."
            )
        for track in self.tracks(object_ids):
            if frame in track.prompts:
                continue
            if frame in track.approved:
                track.release(frame)
            mask = labels == track.object_id
            score = PROMPTED_LOGIT if mask.any() else -PROMPTED_LOGIT
            size = (self._logits_size, self._logits_size)
            # An object that is absent is looked for where it was seen last.
            near = track.nearest_result(frame)
            seen = None if near is None else track.results.summary(near).view
            (view,) = self.views.for_prompt(Prompt(mask=mask), seen)
            result = FrameResult(
                logits=_mask_logits(mask, view, size),
                view=view,
                object_score=score,
                predicted_iou=1.0,
            )
            track.write(frame, result)
            track.bank.forget([frame])  # that of another mask
            if approve:
                track.approve(frame, mask)
                track.note_change(frame)

    def masks(
        self,
        frame: int,
        object_ids: int | Iterable[int] | None = None,
        *,
        missing_as_absent: bool = False,
    ) -> FrameMasks:
        """Return what is known of a frame.

        Parameters
        ----------
        frame : int
            Index of the frame.
        object_ids : int or iterable of int, optional
            Objects wanted, all if absent; those without a result are left out.
        missing_as_absent : bool
            Give objects without a result as absent ones instead.
        """
        frame = self.check_frame(frame)
        found = [(t.object_id, t.result(frame)) for t in self.tracks(object_ids)]
        if not missing_as_absent:
            found = [(i, result) for i, result in found if result is not None]
        return FrameMasks(
            frame=frame,
            frame_shape=self.frame_shape,
            object_ids=tuple(i for i, _ in found),
            cleaning=self._cleaning,
            _results=tuple(result for _, result in found),
        )

    def track(self, object_id: int) -> ObjectTrack:
        """Return an object, or raise `PromptError` if there is none of that id."""
        if object_id not in self._tracks:
            known = ", ".join(map(str, self._tracks)) or "none yet"
            raise PromptError(
                f"There is no object {object_id}; the session has: {known}."
            )
        return self._tracks[object_id]

    def tracks(
        self, object_ids: int | Iterable[int] | None = None
    ) -> list[ObjectTrack]:
        """Return the objects of those ids, or all, in the order they were added."""
        if object_ids is None:
            return list(self._tracks.values())
        if isinstance(object_ids, int | np.integer):
            object_ids = (int(object_ids),)
        wanted = {self.track(i).object_id for i in object_ids}
        return [t for t in self._tracks.values() if t.object_id in wanted]

    def new_track(self, object_id: int) -> ObjectTrack:
        """Return a new object that is not yet part of the session."""
        return ObjectTrack(
            object_id,
            bank=MemoryBank(self._rules),
            results=ResultStore(None if self._rules.keep_all else self._spool),
        )

    def add_track(self, track: ObjectTrack) -> None:
        """Make a new object part of the session."""
        self._tracks[track.object_id] = track

    def remove_track(self, object_id: int) -> None:
        """Forget an object."""
        del self._tracks[self.track(object_id).object_id]

    def has_object(self, object_id: int) -> bool:
        """Return whether there is an object of that id."""
        return object_id in self._tracks

    def check_frame(self, frame: int) -> int:
        """Return a frame's index as int, or raise `PromptError` if out of range."""
        index = operator.index(frame)
        if not 0 <= index < self.num_frames:
            raise PromptError(
                f"Frame {frame} does not exist: the stack has {self.num_frames} "
                f"frames, 0 to {self.num_frames - 1}."
            )
        return index

    def check_object_id(self, object_id: int) -> int:
        """Return an object id as int, or raise `PromptError` if it is no label."""
        index = operator.index(object_id)
        if not 1 <= index <= _LARGEST_ID:
            raise PromptError(
                f"Object id {object_id} cannot be a label: use an integer from 1 to "
                f"{_LARGEST_ID} (0 is the background)."
            )
        return index

    def _frame_list(self, frames: int | Iterable[int]) -> list[int]:
        if isinstance(frames, int | np.integer):
            frames = (int(frames),)
        return sorted({self.check_frame(frame) for frame in frames})


def _mask_logits(
    mask: NDArray[np.bool_], view: View, size: tuple[int, int]
) -> NDArray[np.float32]:
    """Return the logits ``(h, w)`` that a mask ``(H, W)`` has at low resolution."""
    binary = resize_mask(mask, view, view.input_size, torch.device("cpu"))
    logits = prompted_logits(binary)
    return resize(logits, size, antialias=True)[0, 0].numpy()
