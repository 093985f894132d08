"""The predictor: joins the network, which forgets, and the session, which remembers.

Shapes: ``B`` batch of objects, ``C`` image channels, ``S`` input size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import torch

from napari_sam2.data.contrast import Contrast, estimate_contrast
from napari_sam2.data.source import as_frame_source
from napari_sam2.errors import PromptError
from napari_sam2.inference.features import FeatureCache
from napari_sam2.inference.image import ImagePredictor
from napari_sam2.inference.masks import FrameMasks, MaskCleaning
from napari_sam2.inference.memory import MemoryRules
from napari_sam2.inference.memory_encoding import chunks
from napari_sam2.inference.options import PredictorOptions
from napari_sam2.inference.preprocess import preprocess, window_of
from napari_sam2.inference.prompting import predict_prompt
from napari_sam2.inference.propagation import propagate_published, propagate_spans
from napari_sam2.inference.schedule import Direction
from napari_sam2.inference.session import Session
from napari_sam2.inference.tracking import FrameTracker
from napari_sam2.inference.views import ViewRules
from napari_sam2.model.records import ImageFeatures, View

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np

    from napari_sam2.data.source import FrameSource
    from napari_sam2.data.stack import LazyArray
    from napari_sam2.inference.prompt import Prompt
    from napari_sam2.model.sam2 import Sam2

# Input pixels that are encoded at once, at most (and one view in any case).
_BATCH_PIXELS = 2**19


class VideoPredictor:
    """Carries objects through a stack: prompts in, masks out.

    Holds the network and options, nothing that changes: all that does is the session.

    Parameters
    ----------
    model : Sam2
        The network, as `build_model` gives it.
    options : PredictorOptions, optional
        Defaults, with what the configuration of a published predictor asks for.
    """

    def __init__(self, model: Sam2, options: PredictorOptions | None = None) -> None:
        if options is None:
            options = PredictorOptions.from_published(model.predictor_options)
        self.model = model.eval()
        self.options = options

    def start(
        self,
        frames: FrameSource | LazyArray,
        *,
        contrast: Contrast | tuple[float, float] | None = None,
    ) -> Session:
        """Start a session on a stack.

        Parameters
        ----------
        frames : FrameSource or array
            ``(T, Y, X)``, ``(T, Y, X, 3)`` or one image, as numpy, dask or zarr; or a
            `FrameSource`, whose frames may have another resolution than its
            ``frame_shape``, in which prompts and masks are counted.
        contrast : Contrast or (low, high), optional
            Values that become black and white, on all frames; percentiles of the
            stack if absent, and 0 and 255 for uint8 RGB.

        Raises
        ------
        ImageError
            If the array cannot be frames.
        """
        source = as_frame_source(frames)
        if not isinstance(contrast, Contrast):
            contrast = estimate_contrast(source, limits=contrast)
        options = self.options
        return Session(
            source,
            contrast,
            views=self._view_rules(source.frame_shape),
            logits_size=self.model.logits_size,
            rules=self._memory_rules(),
            cleaning=MaskCleaning(
                options.overlap, options.fill_holes, options.drop_specks
            ),
            features=FeatureCache(options.feature_cache),
            neighbours=self.model.neighbours,
        )

    def add_prompt(
        self, session: Session, *, frame: int, object_id: int, prompt: Prompt
    ) -> FrameMasks:
        """Give an object a prompt on a frame, in place of the one it has there.

        The object is added if the session does not have it. Returns the masks of the
        frame. The frame conditions from then on, and what was tracked between the
        nearest prompted or approved frames on both sides becomes stale.

        Raises
        ------
        PromptError
            If the frame does not exist or the prompt does not fit it; the session is
            as it was.
        """
        frame = session.check_frame(frame)
        object_id = session.check_object_id(object_id)
        prompt.check(session.frame_shape)
        if session.has_object(object_id):
            track = session.track(object_id)
        else:
            track = session.new_track(object_id)
        prompted = predict_prompt(self.tracker(session), track, frame, prompt)
        if not session.has_object(object_id):
            session.add_track(track)
        if prompted.conditions:
            track.set_prompt(frame, prompt)
        if self.options.published_schedule:
            track.pending[frame] = prompted
        else:
            if not prompted.conditions:
                track.open(frame)
            track.write(frame, prompted.result)
            track.bank.forget([frame])
            if prompted.conditions:
                track.bank.set_conditioning(frame, prompted.pointer)
        track.note_change(frame)
        return self._masks(session, frame)

    def remove_prompt(
        self, session: Session, *, frame: int, object_id: int
    ) -> FrameMasks:
        """Take the prompt of an object on a frame back.

        The frame is what it was before it was prompted, approved if it was. What was
        tracked between the nearest prompted or approved frames becomes stale, unless
        the prompt was the last thing that was changed or computed of the object.
        Returns the masks that are left on the frame.

        Raises
        ------
        PromptError
            If there is no such prompt.
        """
        frame = session.check_frame(frame)
        track = session.track(object_id)
        if frame not in track.prompts:
            prompted = ", ".join(map(str, sorted(track.prompts))) or "none"
            raise PromptError(
                f"Object {object_id} has no prompt on frame {frame}; its prompted "
                f"frames: {prompted}."
            )
        track.drop_prompt(frame)
        return self._masks(session, frame)

    def remove_object(self, session: Session, *, object_id: int) -> None:
        """Forget an object with all its prompts, masks and memories."""
        session.remove_track(object_id)

    def propagate(
        self,
        session: Session,
        *,
        direction: Direction = "forward",
        frames: tuple[int, int] | None = None,
        object_ids: int | Iterable[int] | None = None,
    ) -> Iterator[FrameMasks]:
        """Track objects through the stack, yielding each frame when it is done.

        What is missing or stale is computed, from the nearest prompted or approved
        frames; if nothing is, everything in reach is tracked again. Prompted and
        approved frames are never written. The session may be changed between two
        frames, and the iteration may be left at any of them.

        Parameters
        ----------
        session : Session
            With at least one prompt.
        direction : {"forward", "backward", "both"}
            Both is forward, then backward. A frame between two prompted or approved
            ones is due from either: what the second pass finds is merged with what the
            first did, each weighted by its predicted IoU and how far it has come.
        frames : tuple of int, optional
            First and last frame, inclusive: all in it is tracked anew. Forward begins
            at the first, backward at the last.
        object_ids : int or iterable of int, optional
            Objects to track, all if absent.

        Yields
        ------
        FrameMasks
            Every object wanted that has a result there.

        Raises
        ------
        PromptError
            If there is nothing to track, or the range does not exist.
        """
        if direction not in get_args(Direction):
            raise ValueError(
                f"direction must be forward, backward or both, got {direction!r}"
            )
        if object_ids is not None:
            object_ids = tuple(t.object_id for t in session.tracks(object_ids))
        if not any(t.prompts for t in session.tracks(object_ids)):
            raise PromptError("There is nothing to propagate: add a prompt first.")
        span = self._span(session, frames)
        run = (
            propagate_published if self.options.published_schedule else propagate_spans
        )
        return run(
            self.tracker(session),
            direction,
            span,
            object_ids,
            every_frame=frames is not None,
        )

    @torch.no_grad()
    def image(
        self,
        frame: np.ndarray,
        *,
        contrast: Contrast | tuple[float, float] | None = None,
    ) -> ImagePredictor:
        """Encode a single image ``(H, W)`` or ``(H, W, 3)`` to put prompts to.

        Parameters
        ----------
        frame : ndarray
            Any real type; uint8 RGB is taken as it is.
        contrast : Contrast or (low, high), optional
            Values that become black and white; percentiles if absent.
        """
        source = as_frame_source(frame)
        if len(source) != 1:
            raise ValueError(
                f"image takes one image, got {len(source)} frames: use start"
            )
        if not isinstance(contrast, Contrast):
            contrast = estimate_contrast(source, limits=contrast)
        height, width = source.frame_shape
        view = View.whole((height, width), self.model.image_size)
        shown = [source[0]] * len(self._shown(0, 1))
        (features,) = self._encode(shown, contrast, [view], (height, width))
        return ImagePredictor(
            self.model, features, (height, width), self.options.stability()
        )

    def _masks(self, session: Session, frame: int) -> FrameMasks:
        absent = self.options.published_schedule
        return session.masks(frame, missing_as_absent=absent)

    def tracker(self, session: Session) -> FrameTracker:
        """Return what tracks frames of a session, one at a time."""
        near = self.model.neighbours > 0
        frames = session.recent_frames if near else session.frames

        def encode(frame: int, views: Sequence[View]) -> list[ImageFeatures]:
            shown = [frames[n] for n in self._shown(frame, session.num_frames)]
            return self._encode(shown, session.contrast, views, session.frame_shape)

        expecting = self._settled("mask_choice") == "expected_iou"
        return FrameTracker(self.model, self.options, session, encode, expecting)

    def _shown(self, frame: int, num_frames: int) -> list[int]:
        """Return which frames the network sees at once; the ends beside themselves."""
        reach, last = self.model.neighbours, num_frames - 1
        return [min(max(frame + step, 0), last) for step in range(-reach, reach + 1)]

    @torch.no_grad()
    def _encode(
        self,
        shown: Sequence[np.ndarray],
        contrast: Contrast,
        views: Sequence[View],
        frame_shape: tuple[int, int],
    ) -> list[ImageFeatures]:
        """Encode views of a frame, or of it and its neighbours, in batches."""
        model = self.model
        size, device = model.image_size, model.device
        encoded: list[ImageFeatures] = []
        for batch in chunks(views, max(1, _BATCH_PIXELS // size**2)):
            windows = [
                [window_of(pixels, view, frame_shape) for pixels in shown]
                for view in batch
            ]
            images = [preprocess(w, contrast, size, device) for w in windows]
            with model.autocast():
                features = model.encode_image(torch.cat(images), batch)
            encoded += [features.pick([row]) for row in range(len(batch))]
        return encoded

    def _view_rules(self, frame_shape: tuple[int, int]) -> ViewRules:
        height, width = (int(side) for side in frame_shape)
        by_object = self._settled("view") == "object"
        # A published session encodes no memory again, so its window cannot move.
        by_object = by_object and not self.options.published_schedule
        return ViewRules((height, width), self.model.image_size, by_object)

    def _settled(self, option: str) -> object:
        """Return what an option says, or the configuration where that is left to it."""
        value: object = getattr(self.options, option)
        if value == "auto":
            return self.model.predictor_options.get(option)
        return value

    def _memory_rules(self) -> MemoryRules:
        model, options = self.model, self.options
        limit = options.max_conditioning_frames
        if limit is None and model.max_cond_frames_in_attn != -1:
            limit = model.max_cond_frames_in_attn
        return MemoryRules(
            num_maskmem=model.num_maskmem,
            max_conditioning_frames=limit,
            stride=model.memory_temporal_stride_for_eval,
            max_pointers=(
                model.max_obj_ptrs_in_encoder if model.use_obj_ptrs_in_encoder else 0
            ),
            past_pointers_only=model.only_obj_ptrs_in_the_past_for_eval,
            signed_distances=model.use_signed_tpos_enc_to_obj_ptrs,
            keep_all=options.keep_memories == "all",
            keep_stale=options.published_schedule,
        )

    def _span(
        self, session: Session, frames: tuple[int, int] | None
    ) -> tuple[int, int]:
        """Check a range of frames."""
        if frames is None:
            return 0, session.num_frames - 1
        first, last = (session.check_frame(frame) for frame in frames)
        if first > last:
            raise PromptError(
                f"The range of frames {first} to {last} is empty: give the lower "
                "frame first, also backward."
            )
        return first, last
