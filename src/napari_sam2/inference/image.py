"""Prompts on a single image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_sam2.errors import PromptError
from napari_sam2.inference.postprocess import frame_logits
from napari_sam2.inference.preprocess import prompt_tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam2.inference.prompt import Prompt
    from napari_sam2.model.mask_decoder import Stability
    from napari_sam2.model.records import ImageFeatures
    from napari_sam2.model.sam2 import Sam2

LOGIT_LIMIT = 32.0
"""Low-resolution logits are clamped to plus and minus this before they are reused."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageMasks:
    """What a prompt gives on a single image: M masks, 1 or 3.

    Attributes
    ----------
    masks : ndarray
        ``(M, H, W)`` bool.
    iou : ndarray
        Predicted IoU ``(M,)`` float32.
    low_res_logits : ndarray
        ``(M, h, w)`` float32, -32 to 32; one of them can be given back as
        `mask_logits` to refine it.
    """

    masks: NDArray[np.bool_] = field(repr=False)
    iou: NDArray[np.float32]
    low_res_logits: NDArray[np.float32] = field(repr=False)


class ImagePredictor:
    """An encoded image that prompts are put to; made by `VideoPredictor.image`."""

    def __init__(
        self,
        model: Sam2,
        features: ImageFeatures,
        frame_shape: tuple[int, int],
        stability: Stability | None,
    ) -> None:
        self._model = model
        self._features = features
        self._frame_shape = frame_shape
        self._stability = stability

    @torch.no_grad()
    def predict(
        self,
        prompt: Prompt,
        multimask: bool = False,
        mask_logits: NDArray[np.floating] | None = None,
    ) -> ImageMasks:
        """Predict the masks of one object.

        Parameters
        ----------
        prompt : Prompt
            Points, a box, or a mask as a prior.
        multimask : bool
            Three masks, for a prompt that could mean several things.
        mask_logits : ndarray, optional
            ``(h, w)`` or ``(1, h, w)``: logits of an earlier prediction to refine.
        """
        prompt.check(self._frame_shape)
        model, features = self._model, self._features
        (view,) = features.views
        tensors = prompt_tensors(prompt, view, model.logits_size, model.device)
        prior = tensors.prior
        if tensors.mask is not None:
            prior = tensors.mask * (2 * LOGIT_LIMIT) - LOGIT_LIMIT
        if mask_logits is not None:
            prior = self._given_logits(mask_logits)
        points_xy, labels = tensors.points_xy, tensors.labels
        if points_xy is None or labels is None:
            points_xy = torch.zeros(1, 1, 2, device=model.device)
            labels = torch.full((1, 1), -1, device=model.device)
        with model.autocast():
            decoded = model.decode(
                model.without_memory(features),
                features,
                points_xy,
                labels,
                prior,
                multimask=multimask,
                stability=self._stability,
            )
        logits = decoded.logits[0].float().cpu().numpy()
        masks = [frame_logits(low, view, self._frame_shape) > 0 for low in logits]
        return ImageMasks(
            masks=np.stack(masks),
            iou=decoded.iou[0].float().cpu().numpy(),
            low_res_logits=np.clip(logits, -LOGIT_LIMIT, LOGIT_LIMIT),
        )

    def _given_logits(self, mask_logits: NDArray[np.floating]) -> torch.Tensor:
        logits = np.asarray(mask_logits, np.float32)
        if logits.ndim == 2:
            logits = logits[None]
        if logits.ndim != 3 or len(logits) != 1 or not np.isfinite(logits).all():
            raise PromptError(
                f"mask_logits has shape {np.shape(mask_logits)}; give finite logits "
                "of one mask, (h, w), as low_res_logits[0] of an earlier prediction."
            )
        return torch.from_numpy(logits)[None].to(self._model.device)
