"""Options of a predictor: everything that can change without another network."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_sam2.model.mask_decoder import Stability

_log = logging.getLogger(__name__)

Overlap = Literal["highest_logit", "keep"]
_View = Literal["frame", "object"]
_MaskChoice = Literal["predicted_iou", "expected_iou"]
ViewChoice = Literal["auto", _View]
MaskChoice = Literal["auto", _MaskChoice]

CONFIGURED = {"view": get_args(_View), "mask_choice": get_args(_MaskChoice)}
"""What a configuration may say of an option that is "auto"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorOptions:
    """How prompts, memories and masks are treated.

    Attributes
    ----------
    corrections_condition : bool
        A prompt on a tracked frame makes it a conditioning frame. Published: False,
        and the next pass overwrites the correction.
    max_conditioning_frames : int, optional
        Conditioning frames attended to, at most, at least 1; None: as the YAML says.
    exact_mask_prompts : bool
        A mask prompt comes back pixel for pixel.
    obey_clicks : bool
        A click counts in any case: where the network's mask leaves one out, or covers
        one that says "not this", all its logits are raised or lowered until it does
        not, unless clicks contradict each other. An object that is clicked or boxed is
        there, also if the network finds none. Published: False.
    overlap : {"highest_logit", "keep"}
        A pixel belongs to the object of the highest logit, or to all whose logit is
        positive (in a label image, to the object added last).
    fill_holes : int
        Holes of a mask up to that many frame pixels are filled; 0: none.
    drop_specks : int
        Separate parts of a mask below that many frame pixels are dropped, the largest
        part excepted; 0: none.
    stop_after_absent : int, optional
        After that many frames in a row without the object, a pass gives it up until
        the next prompted frame.
    dynamic_multimask : bool
        An unstable single mask is replaced by the best of three.
    dynamic_multimask_delta, dynamic_multimask_threshold : float
        Stability: area above delta over area above -delta, at least the threshold.
    binarize_prompted_masks : bool
        Prompted frames are remembered by mask, not by probability.
    keep_memories : {"bounded", "all"}
        Keep the memories of conditioning frames and of the frames around the one in
        work, encoding others again when needed; or keep every memory, which grows
        with frames and objects, and read it whatever pass wrote it.
    feature_cache : int
        Bytes of image features kept, at most (and never more than 32 frames).
    view : {"auto", "frame", "object"}
        What the network sees for an object: whole frames, or a window around it, so
        that small objects of large frames are seen closer; "auto": as the
        configuration says, which is whole frames unless it names another. A window
        costs an encoding for each object. With `published_schedule`: whole frames.
    mask_choice : {"auto", "predicted_iou", "expected_iou"}
        Which mask of several, of the decoder and of windows of one frame, counts: the
        one of highest predicted IoU, as published, or the one that is expected to
        overlap most with whichever of them is right (`inference.expectation`); "auto":
        as the configuration says, which is as published unless it names another.
    published_schedule : bool
        Track every object on every frame of a call, from the earliest conditioning
        frame, as published; False: only what is missing or stale, each object from
        its own prompts.
    """

    corrections_condition: bool = True
    max_conditioning_frames: int | None = 4
    exact_mask_prompts: bool = True
    obey_clicks: bool = True
    overlap: Overlap = "highest_logit"
    fill_holes: int = 0
    drop_specks: int = 0
    stop_after_absent: int | None = None
    dynamic_multimask: bool = True
    dynamic_multimask_delta: float = 0.05
    dynamic_multimask_threshold: float = 0.98
    binarize_prompted_masks: bool = True
    keep_memories: Literal["bounded", "all"] = "bounded"
    feature_cache: int = 256 * 2**20
    view: ViewChoice = "auto"
    mask_choice: MaskChoice = "auto"
    published_schedule: bool = False

    def __post_init__(self) -> None:
        _choice("overlap", self.overlap, get_args(Overlap))
        _choice("keep_memories", self.keep_memories, ("bounded", "all"))
        _choice("view", self.view, get_args(ViewChoice))
        _choice("mask_choice", self.mask_choice, get_args(MaskChoice))
        for name in ("max_conditioning_frames", "stop_after_absent"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be 1 or more, or None; got {value}")
        for name in ("fill_holes", "drop_specks", "feature_cache"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")

    @classmethod
    def reference(cls) -> PredictorOptions:
        """Return the behaviour of the published video predictor, for comparison."""
        return cls(
            corrections_condition=False,
            max_conditioning_frames=None,
            exact_mask_prompts=False,
            obey_clicks=False,
            overlap="keep",
            keep_memories="all",
            view="frame",
            mask_choice="predicted_iou",
            published_schedule=True,
        )

    @classmethod
    def from_published(cls, keys: Mapping[str, object]) -> PredictorOptions:
        """Return the options that a published predictor's YAML keys ask for.

        Keys without a counterpart are ignored with a warning in the log.
        """
        options = cls()
        for key, value in keys.items():
            if key in CONFIGURED or key == "neighbours":
                continue  # what "auto" stands for; what the network was trained on
            if key == "fill_hole_area" and isinstance(value, int):
                options = replace(options, fill_holes=value)
            elif key == "non_overlap_masks":
                overlap: Overlap = "highest_logit" if value else "keep"
                options = replace(options, overlap=overlap)
            elif key == "add_all_frames_to_correct_as_cond":
                options = replace(options, corrections_condition=bool(value))
            else:
                _log.warning("The configuration's %s=%r has no effect here", key, value)
        return options

    def stability(self) -> Stability | None:
        """Return when a single mask is replaced by the best of three, or None."""
        # Here, so that options can be made without torch.
        from napari_sam2.model.mask_decoder import Stability

        if not self.dynamic_multimask:
            return None
        return Stability(self.dynamic_multimask_delta, self.dynamic_multimask_threshold)


def _choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")
