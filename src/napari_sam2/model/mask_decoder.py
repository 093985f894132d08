"""The mask decoder: masks, their predicted IoU, and an object score.

Shapes: ``B`` batch of objects, ``N`` prompt tokens, ``M`` masks, ``C`` channels,
``H W`` image embedding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from napari_sam2.model.layers import MLP, LayerNorm2d, Linear

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam2.model.transformer import TwoWayTransformer


class DecodedMasks(NamedTuple):
    """What the decoder says of a batch of objects.

    Attributes
    ----------
    logits : Tensor
        Mask logits ``(B, M, 4H, 4W)``.
    iou : Tensor
        Predicted IoU ``(B, M)``.
    tokens : Tensor
        Output tokens ``(B, M or 1, C)`` that object pointers are made of.
    object_score : Tensor
        Logit ``(B, 1)`` that the object is in the frame.
    """

    logits: Tensor
    iou: Tensor
    tokens: Tensor
    object_score: Tensor


class Stability(NamedTuple):
    """When the single mask is replaced by the best of three ("dynamic multimask").

    A mask is stable if the area above `delta` is at least `threshold` of the area
    above ``-delta``.
    """

    delta: float
    threshold: float


class MaskDecoder(nn.Module):
    """Decodes masks from an image embedding and prompts (SAM 2, sec. 4 and app. D).

    Published as ``sam2.modeling.sam.mask_decoder.MaskDecoder``.

    Parameters
    ----------
    transformer_dim : int
        Width of tokens and embedding.
    transformer : TwoWayTransformer
        Attention between tokens and image.
    num_multimask_outputs : int
        Masks for an ambiguous prompt, beside the single one.
    activation : callable
        Makes the upscaling's activation.
    iou_head_depth, iou_head_hidden_dim : int
        Of the MLP that predicts IoU.
    use_high_res_features : bool
        Add the two larger feature maps while upscaling.
    iou_prediction_use_sigmoid : bool
        Predicted IoU through a sigmoid.
    dynamic_multimask_via_stability : bool
        Accepted, without effect; `forward` is told, by `PredictorOptions`.
    dynamic_multimask_stability_delta, dynamic_multimask_stability_thresh : float
        The same.
    pred_obj_scores, pred_obj_scores_mlp : bool
        Predict an object score, by an MLP instead of a linear layer.
    use_multimask_token_for_obj_ptr : bool
        Return the tokens of the masks chosen from, not that of the single mask.
    """

    def __init__(
        self,
        transformer_dim: int,
        transformer: TwoWayTransformer,
        num_multimask_outputs: int = 3,
        activation: Callable[[], nn.Module] = nn.GELU,
        iou_head_depth: int = 3,
        iou_head_hidden_dim: int = 256,
        use_high_res_features: bool = False,
        iou_prediction_use_sigmoid: bool = False,
        dynamic_multimask_via_stability: bool = False,
        dynamic_multimask_stability_delta: float = 0.05,
        dynamic_multimask_stability_thresh: float = 0.98,
        pred_obj_scores: bool = False,
        pred_obj_scores_mlp: bool = False,
        use_multimask_token_for_obj_ptr: bool = False,
    ) -> None:
        super().__init__()
        dim = transformer_dim
        self.transformer = transformer
        self.num_mask_tokens = num_multimask_outputs + 1
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(self.num_mask_tokens, dim)
        self.pred_obj_scores = pred_obj_scores
        if pred_obj_scores:
            self.obj_score_token = nn.Embedding(1, dim)
        self.use_multimask_token_for_obj_ptr = use_multimask_token_for_obj_ptr
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, kernel_size=2, stride=2),
            LayerNorm2d(dim // 4),
            activation(),
            nn.ConvTranspose2d(dim // 4, dim // 8, kernel_size=2, stride=2),
            activation(),
        )
        self.use_high_res_features = use_high_res_features
        if use_high_res_features:
            self.conv_s0 = nn.Conv2d(dim, dim // 8, kernel_size=1)
            self.conv_s1 = nn.Conv2d(dim, dim // 4, kernel_size=1)
        self.output_hypernetworks_mlps = nn.ModuleList(
            MLP(dim, dim, dim // 8, 3) for _ in range(self.num_mask_tokens)
        )
        self.iou_prediction_head = MLP(
            dim,
            iou_head_hidden_dim,
            self.num_mask_tokens,
            iou_head_depth,
            sigmoid_output=iou_prediction_use_sigmoid,
        )
        if pred_obj_scores:
            self.pred_obj_score_head: nn.Module = (
                MLP(dim, dim, 1, 3) if pred_obj_scores_mlp else Linear(dim, 1)
            )

    def forward(
        self,
        embedding: Tensor,
        position: Tensor,
        sparse: Tensor,
        dense: Tensor,
        high_res: tuple[Tensor, Tensor] | None,
        *,
        multimask: bool,
        stability: Stability | None,
    ) -> DecodedMasks:
        """Decode the masks of a batch of objects.

        Parameters
        ----------
        embedding : Tensor
            Image embedding ``(B or 1, C, H, W)``.
        position : Tensor
            Its position encoding ``(1, C, H, W)``.
        sparse, dense : Tensor
            Prompts ``(B, N, C)`` and ``(B, C, H, W)``.
        high_res : pair of Tensor, optional
            ``(B or 1, C / 8, 4H, 4W)`` and ``(B or 1, C / 4, 2H, 2W)``.
        multimask : bool
            Return the masks for an ambiguous prompt instead of the single one.
        stability : Stability, optional
            In inference, replace an unstable single mask by the best of the others.
        """
        decoded = self._decode_all(embedding, position, sparse, dense, high_res)
        if multimask:
            logits, iou = decoded.logits[:, 1:], decoded.iou[:, 1:]
        elif stability is not None and not self.training:
            logits, iou = stable_or_best(decoded.logits, decoded.iou, stability)
        else:
            logits, iou = decoded.logits[:, :1], decoded.iou[:, :1]
        # Memory always takes the single mask's token when one mask is asked for, also
        # when stability chose another mask: so the pointers were trained.
        several = multimask and self.use_multimask_token_for_obj_ptr
        tokens = decoded.tokens[:, 1:] if several else decoded.tokens[:, :1]
        return DecodedMasks(logits, iou, tokens, decoded.object_score)

    def _decode_all(
        self,
        embedding: Tensor,
        position: Tensor,
        sparse: Tensor,
        dense: Tensor,
        high_res: tuple[Tensor, Tensor] | None,
    ) -> DecodedMasks:
        """Decode the single mask, first, and the masks for an ambiguous prompt."""
        output_tokens = [self.iou_token.weight, self.mask_tokens.weight]
        if self.pred_obj_scores:
            output_tokens.insert(0, self.obj_score_token.weight)
        fixed = torch.cat(output_tokens)
        tokens = torch.cat([fixed.expand(len(sparse), -1, -1), sparse], dim=1)

        image = embedding + dense  # (B, C, H, W)
        height, width = image.shape[-2:]
        hidden, image = self.transformer(image, position, tokens)
        if self.pred_obj_scores:
            score = self.pred_obj_score_head(hidden[:, 0])
            hidden = hidden[:, 1:]
        else:
            # Taken as present, with the logit the published code gives.
            score = hidden.new_full((len(hidden), 1), 10.0)
        iou_token, mask_tokens = hidden[:, 0], hidden[:, 1 : 1 + self.num_mask_tokens]

        image = image.transpose(1, 2).unflatten(2, (height, width))
        upscaled = self._upscale(image, high_res)
        weights = torch.stack(
            [
                mlp(mask_tokens[:, index])
                for index, mlp in enumerate(self.output_hypernetworks_mlps)
            ],
            dim=1,
        )  # (B, M, C / 8)
        logits = (weights @ upscaled.flatten(2)).view(
            *weights.shape[:2], *upscaled.shape[-2:]
        )
        iou = self.iou_prediction_head(iou_token)
        return DecodedMasks(logits, iou, mask_tokens, score)

    def _upscale(self, image: Tensor, high_res: tuple[Tensor, Tensor] | None) -> Tensor:
        """Upscale ``(B, C, H, W)`` to ``(B, C / 8, 4H, 4W)``."""
        if not self.use_high_res_features:
            out: Tensor = self.output_upscaling(image)
            return out
        assert high_res is not None, "this decoder needs high-resolution features"
        up_1, norm, act_1, up_2, act_2 = self.output_upscaling
        x = act_1(norm(up_1(image) + high_res[1]))
        out = act_2(up_2(x) + high_res[0])
        return out


def stable_or_best(
    logits: Tensor, iou: Tensor, stability: Stability
) -> tuple[Tensor, Tensor]:
    """Return the single mask where it is stable, else the best of the others.

    Parameters
    ----------
    logits : Tensor
        ``(B, M, H, W)``, the single mask first.
    iou : Tensor
        Predicted IoU ``(B, M)``.
    stability : Stability
        What counts as stable.

    Returns
    -------
    logits, iou : Tensor
        ``(B, 1, H, W)`` and ``(B, 1)``.
    """
    single = logits[:, 0].flatten(1)
    inner = (single > stability.delta).sum(1).float()
    outer = (single > -stability.delta).sum(1).float()
    score = torch.where(outer > 0, inner / outer, 1.0)
    best = 1 + iou[:, 1:].argmax(1)
    chosen = torch.where(score >= stability.threshold, 0, best)
    rows = torch.arange(len(chosen), device=chosen.device)
    return logits[rows, chosen][:, None], iou[rows, chosen][:, None]
