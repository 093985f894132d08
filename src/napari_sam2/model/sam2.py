"""The SAM 2 network: parts joined, memory an input, nothing remembered.

Shapes: ``B`` batch of objects, ``N`` points, ``n`` memories, ``p`` pointers, ``C``
image channels, ``D`` memory channels, ``H W`` image embedding, ``S`` input size.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2.model.layers import MLP, Linear
from napari_sam2.model.mask_decoder import DecodedMasks, MaskDecoder, Stability
from napari_sam2.model.position_encoding import temporal_sine
from napari_sam2.model.prompt_encoder import PADDING, PromptEncoder
from napari_sam2.model.records import FrameMemory, ImageFeatures, ObjectMasks, View
from napari_sam2.model.transformer import TwoWayTransformer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_sam2.model.image_encoder import ImageEncoder
    from napari_sam2.model.memory_attention import MemoryAttention
    from napari_sam2.model.memory_encoder import MemoryEncoder

ABSENT_LOGIT = -1024.0
"""Mask logit of an object that is not in the frame."""

PROMPTED_LOGIT = 10.0
"""Magnitude of the logits of what a prompt says, by its mask or by being there."""


class Sam2(nn.Module):
    """Segment anything in images and videos (SAM 2, arXiv 2408.00714, sec. 4).

    Published as ``sam2.modeling.sam2_base.SAM2Base``; parameters, defaults and
    state-dict keys are the same. Differs: a pure function of tensors. What is
    remembered of earlier frames comes in as an argument and goes out as a result.

    A tracking step reads::

        features = model.encode_image(image)
        embedding = model.attend(features, memories, positions, pointers, distances)
        masks = model.predict_masks(embedding, features)
        memory = model.encode_memory(features, masks)

    Parameters
    ----------
    image_encoder, memory_attention, memory_encoder : Module
        The parts that YAML describes.
    num_maskmem : int
        Memories attended to, at most, with the frame itself; 0 for images only.
    image_size : int
        Side S of the input in pixels.
    backbone_stride : int
        Input pixels for each pixel of the embedding.
    sigmoid_scale_for_mem_enc, sigmoid_bias_for_mem_enc : float
        Scale and shift of mask probabilities before the memory encoder.
    binarize_mask_from_pts_for_mem_enc : bool
        Accepted, without effect; `encode_memory` is told.
    use_mask_input_as_output_without_sam : bool
        A mask prompt is the mask, not a prior of it.
    max_cond_frames_in_attn : int
        Conditioning frames attended to, at most; -1 for all.
    directly_add_no_mem_embed : bool
        Without memory, add an embedding instead of attending to one.
    use_high_res_features_in_sam : bool
        The decoder uses the two larger feature maps.
    multimask_output_in_sam : bool
        Predict three masks for ambiguous prompts and take the best.
    multimask_min_pt_num, multimask_max_pt_num : int
        Numbers of points that count as ambiguous; a box is two.
    multimask_output_for_tracking : bool
        Do so on tracked frames as well.
    use_multimask_token_for_obj_ptr : bool
        The object pointer comes from the chosen mask's token.
    iou_prediction_use_sigmoid : bool
        Predicted IoU through a sigmoid.
    memory_temporal_stride_for_eval : int
        Distance between the memories attended to, the nearest excepted.
    non_overlap_masks_for_mem_enc : bool
        Accepted, without effect: as published it concerns objects that share a
        batch, and in tracking each is on its own, here and there.
    use_obj_ptrs_in_encoder : bool
        Attend to object pointers as well.
    max_obj_ptrs_in_encoder : int
        Frames back that pointers come from, at most.
    add_tpos_enc_to_obj_ptrs, proj_tpos_enc_in_obj_ptrs : bool
        Encode the pointers' distance in time; project the encoding.
    use_signed_tpos_enc_to_obj_ptrs : bool
        The distance of conditioning frames has a sign.
    only_obj_ptrs_in_the_past_for_eval : bool
        In inference, no pointers of conditioning frames yet to come.
    pred_obj_scores, pred_obj_scores_mlp : bool
        Predict whether the object is in the frame; by an MLP.
    fixed_no_obj_ptr, soft_no_obj_ptr : bool
        An absent object's pointer is a learned one; mixed in by probability.
    use_mlp_for_obj_ptr_proj : bool
        Project pointers by an MLP of three layers.
    no_obj_embed_spatial : bool
        Add a learned embedding to the memory of an absent object.
    sam_mask_decoder_extra_args : mapping, optional
        Further parameters of `MaskDecoder`.
    compile_image_encoder : bool
        Compile the image encoder with ``torch.compile``.
    """

    def __init__(
        self,
        image_encoder: ImageEncoder,
        memory_attention: MemoryAttention,
        memory_encoder: MemoryEncoder,
        num_maskmem: int = 7,
        image_size: int = 512,
        backbone_stride: int = 16,
        sigmoid_scale_for_mem_enc: float = 1.0,
        sigmoid_bias_for_mem_enc: float = 0.0,
        binarize_mask_from_pts_for_mem_enc: bool = False,
        use_mask_input_as_output_without_sam: bool = False,
        max_cond_frames_in_attn: int = -1,
        directly_add_no_mem_embed: bool = False,
        use_high_res_features_in_sam: bool = False,
        multimask_output_in_sam: bool = False,
        multimask_min_pt_num: int = 1,
        multimask_max_pt_num: int = 1,
        multimask_output_for_tracking: bool = False,
        use_multimask_token_for_obj_ptr: bool = False,
        iou_prediction_use_sigmoid: bool = False,
        memory_temporal_stride_for_eval: int = 1,
        non_overlap_masks_for_mem_enc: bool = False,
        use_obj_ptrs_in_encoder: bool = False,
        max_obj_ptrs_in_encoder: int = 16,
        add_tpos_enc_to_obj_ptrs: bool = True,
        proj_tpos_enc_in_obj_ptrs: bool = False,
        use_signed_tpos_enc_to_obj_ptrs: bool = False,
        only_obj_ptrs_in_the_past_for_eval: bool = False,
        pred_obj_scores: bool = False,
        pred_obj_scores_mlp: bool = False,
        fixed_no_obj_ptr: bool = False,
        soft_no_obj_ptr: bool = False,
        use_mlp_for_obj_ptr_proj: bool = False,
        no_obj_embed_spatial: bool = False,
        sam_mask_decoder_extra_args: Mapping[str, Any] | None = None,
        compile_image_encoder: bool = False,
    ) -> None:
        super().__init__()
        if image_size <= 0 or image_size % (2 * backbone_stride):
            raise ValueError(
                f"image_size must be a positive multiple of {2 * backbone_stride} "
                f"(twice the backbone stride), got {image_size}"
            )
        self.image_encoder = image_encoder
        self.memory_attention = memory_attention
        self.memory_encoder = memory_encoder
        self.hidden_dim: int = image_encoder.neck.d_model
        self.mem_dim: int = memory_encoder.out_dim
        if not directly_add_no_mem_embed and self.mem_dim != self.hidden_dim:
            raise ValueError(
                "directly_add_no_mem_embed=False needs memories as wide as the image "
                f"embedding ({self.mem_dim} and {self.hidden_dim} here)"
            )
        if use_obj_ptrs_in_encoder and self.hidden_dim % self.mem_dim:
            raise ValueError(
                f"the width of memories ({self.mem_dim}) must divide that of object "
                f"pointers ({self.hidden_dim})"
            )
        self.image_size = image_size
        self.backbone_stride = backbone_stride
        self.num_maskmem = num_maskmem
        self.sigmoid_scale_for_mem_enc = sigmoid_scale_for_mem_enc
        self.sigmoid_bias_for_mem_enc = sigmoid_bias_for_mem_enc
        self.use_mask_input_as_output_without_sam = use_mask_input_as_output_without_sam
        self.max_cond_frames_in_attn = max_cond_frames_in_attn
        self.directly_add_no_mem_embed = directly_add_no_mem_embed
        self.multimask_output_in_sam = multimask_output_in_sam
        self.multimask_min_pt_num = multimask_min_pt_num
        self.multimask_max_pt_num = multimask_max_pt_num
        self.multimask_output_for_tracking = multimask_output_for_tracking
        self.memory_temporal_stride_for_eval = memory_temporal_stride_for_eval
        self.non_overlap_masks_for_mem_enc = non_overlap_masks_for_mem_enc
        self.use_obj_ptrs_in_encoder = use_obj_ptrs_in_encoder
        self.max_obj_ptrs_in_encoder = max_obj_ptrs_in_encoder
        self.add_tpos_enc_to_obj_ptrs = add_tpos_enc_to_obj_ptrs
        self.proj_tpos_enc_in_obj_ptrs = proj_tpos_enc_in_obj_ptrs
        self.use_signed_tpos_enc_to_obj_ptrs = use_signed_tpos_enc_to_obj_ptrs
        self.only_obj_ptrs_in_the_past_for_eval = only_obj_ptrs_in_the_past_for_eval
        self.pred_obj_scores = pred_obj_scores
        self.fixed_no_obj_ptr = fixed_no_obj_ptr
        self.soft_no_obj_ptr = soft_no_obj_ptr
        # Set by whoever builds the network; neither changes the weights.
        self.precision: torch.dtype = torch.float32
        self.predictor_options: dict[str, object] = {}

        dim = self.hidden_dim
        self.maskmem_tpos_enc = _embedding(num_maskmem, 1, 1, self.mem_dim)
        self.no_mem_embed = _embedding(1, 1, dim)
        self.no_mem_pos_enc = _embedding(1, 1, dim)
        if pred_obj_scores and use_obj_ptrs_in_encoder:
            self.no_obj_ptr = _embedding(1, dim)
        self.no_obj_embed_spatial = (
            _embedding(1, self.mem_dim) if no_obj_embed_spatial else None
        )
        self.obj_ptr_proj: nn.Module = nn.Identity()
        self.obj_ptr_tpos_proj: nn.Module = nn.Identity()
        if use_obj_ptrs_in_encoder:
            # The mask prompt at the prompt encoder's resolution, for its pointer.
            self.mask_downsample = nn.Conv2d(1, 1, kernel_size=4, stride=4)
            self.obj_ptr_proj = (
                MLP(dim, dim, dim, 3) if use_mlp_for_obj_ptr_proj else Linear(dim, dim)
            )
        if proj_tpos_enc_in_obj_ptrs:
            self.obj_ptr_tpos_proj = Linear(dim, self.mem_dim)

        side = image_size // backbone_stride
        self.sam_prompt_encoder = PromptEncoder(
            embed_dim=dim,
            image_embedding_size=(side, side),
            input_image_size=(image_size, image_size),
            mask_in_chans=16,
        )
        self.sam_mask_decoder = MaskDecoder(
            transformer_dim=dim,
            transformer=TwoWayTransformer(
                depth=2, embedding_dim=dim, num_heads=8, mlp_dim=2048
            ),
            num_multimask_outputs=3,
            iou_head_depth=3,
            iou_head_hidden_dim=256,
            use_high_res_features=use_high_res_features_in_sam,
            iou_prediction_use_sigmoid=iou_prediction_use_sigmoid,
            pred_obj_scores=pred_obj_scores,
            pred_obj_scores_mlp=pred_obj_scores_mlp,
            use_multimask_token_for_obj_ptr=use_multimask_token_for_obj_ptr,
            **(sam_mask_decoder_extra_args or {}),
        )
        if compile_image_encoder:
            self.image_encoder.compile(mode="max-autotune", dynamic=False)

    @property
    def device(self) -> torch.device:
        """The device that the weights are on."""
        return self.no_mem_embed.device

    @property
    def logits_size(self) -> int:
        """Side in pixels of low-resolution mask logits."""
        return self.sam_prompt_encoder.mask_input_size[0]

    @property
    def neighbours(self) -> int:
        """Frames on either side that are seen in grey with each; 0: its own colours."""
        return cast("int", self.predictor_options.get("neighbours", 0))

    def autocast(self) -> torch.autocast:
        """Return the context that computes in `precision`."""
        reduced = self.precision != torch.float32
        return torch.autocast(
            self.device.type, dtype=self.precision if reduced else None, enabled=reduced
        )

    def encode_image(
        self, image: Tensor, views: Sequence[View] | None = None
    ) -> ImageFeatures:
        """Encode images; `views` say what part of a frame each is.

        Parameters
        ----------
        image : Tensor
            ``(B, K, S, S)``, normalised; K as many as the trunk takes, 3 as published.
        views : sequence of View, optional
            B of them; the whole frame if None.
        """
        pyramid = self.image_encoder(image)
        decoder = self.sam_mask_decoder
        high_res = None
        if decoder.use_high_res_features:
            fine, middle = pyramid.features[:2]
            high_res = (decoder.conv_s0(fine), decoder.conv_s1(middle))
        size = self.image_size
        return ImageFeatures(
            embedding=pyramid.features[-1],
            position=pyramid.positions[-1],
            high_res=high_res,
            views=tuple(views or [View(0, 0, size, size, size)] * len(image)),
        )

    def without_memory(self, features: ImageFeatures) -> Tensor:
        """Return the embedding ``(B, C, H, W)`` as if nothing had been seen before."""
        if self.num_maskmem == 0:
            return features.embedding
        if self.directly_add_no_mem_embed:
            return features.embedding + self.no_mem_embed.view(1, -1, 1, 1)
        return self._attend_tokens(features, self.no_mem_embed, self.no_mem_pos_enc, 1)

    def attend(
        self,
        features: ImageFeatures,
        memories: Tensor,
        positions: Tensor,
        pointers: Tensor,
        distances: Tensor,
    ) -> Tensor:
        """Condition the embedding on what was seen of each object.

        Parameters
        ----------
        features : ImageFeatures
            Of the frame, batch 1 (or B).
        memories : Tensor
            ``(B, n, D, H, W)``.
        positions : Tensor
            ``(B, n)`` integers, temporal position of each memory: 0 for conditioning
            frames, else ``num_maskmem`` minus the distance in frames.
        pointers : Tensor
            ``(B, p, C)``; p may be 0.
        distances : Tensor
            ``(B, p)`` float, distance in time over the largest one.

        Returns
        -------
        Tensor
            ``(B, C, H, W)``.
        """
        spatial = memories.flatten(3).transpose(2, 3)  # (B, n, HW, D)
        encoded = self.memory_encoder.position(memories[:, 0])
        slots = self.maskmem_tpos_enc[self.num_maskmem - 1 - positions]
        where = encoded.flatten(2).transpose(1, 2)[:, None] + slots[:, :, 0]
        memory = spatial.flatten(1, 2)
        memory_pos = where.flatten(1, 2).to(memory.dtype)
        if not pointers.shape[1]:
            return self._attend_tokens(features, memory, memory_pos, 0)
        tokens = pointers.view(
            *pointers.shape[:2], -1, self.mem_dim
        )  # (B, p, C / D, D)
        pointer_pos = self._pointer_positions(distances)[:, :, None].expand_as(tokens)
        count = tokens.shape[1] * tokens.shape[2]
        memory = torch.cat([memory, tokens.flatten(1, 2).to(memory.dtype)], dim=1)
        memory_pos = torch.cat(
            [memory_pos, pointer_pos.flatten(1, 2).to(memory.dtype)], dim=1
        )
        return self._attend_tokens(features, memory, memory_pos, count)

    def decode(
        self,
        embedding: Tensor,
        features: ImageFeatures,
        points_xy: Tensor,
        labels: Tensor,
        mask_logits: Tensor | None = None,
        *,
        multimask: bool,
        stability: Stability | None,
    ) -> DecodedMasks:
        """Decode prompts on an embedding; the plain image model.

        Parameters
        ----------
        embedding : Tensor
            ``(B or 1, C, H, W)`` of `attend` or `without_memory`.
        features : ImageFeatures
            Of the frame.
        points_xy, labels : Tensor
            ``(B, N, 2)`` in input pixels and ``(B, N)``; see `PromptEncoder`.
        mask_logits : Tensor, optional
            ``(B, 1, h, w)`` prior; resized to ``(4H, 4W)``.
        multimask : bool
            Three masks instead of one.
        stability : Stability, optional
            See `MaskDecoder.forward`.
        """
        if mask_logits is not None:
            size = self.sam_prompt_encoder.mask_input_size
            mask_logits = mask_logits.float()
            if mask_logits.shape[-2:] != size:
                mask_logits = resize(mask_logits, size, antialias=True)
        sparse, dense = self.sam_prompt_encoder(points_xy, labels, mask_logits)
        decoded: DecodedMasks = self.sam_mask_decoder(
            embedding,
            self.sam_prompt_encoder.dense_pe(),
            sparse,
            dense,
            features.high_res,
            multimask=multimask,
            stability=stability,
        )
        return decoded

    def predict_masks(
        self,
        embedding: Tensor,
        features: ImageFeatures,
        points_xy: Tensor | None = None,
        labels: Tensor | None = None,
        mask_logits: Tensor | None = None,
        *,
        tracking: bool = False,
        there: bool = False,
        stability: Stability | None = None,
    ) -> ObjectMasks:
        """Decode prompts, or none, and choose one mask for each object.

        Parameters are as for `decode`; `tracking` says that the embedding is
        conditioned on memory, `there` that the objects are known to be in the frame.
        """
        count = 0 if labels is None else labels.shape[1]
        if points_xy is None or labels is None:
            points_xy = embedding.new_zeros(len(embedding), 1, 2, dtype=torch.float32)
            labels = torch.full_like(points_xy[..., 0], PADDING, dtype=torch.long)
        decoded = self.decode(
            embedding,
            features,
            points_xy,
            labels,
            mask_logits,
            multimask=self.is_ambiguous(count, tracking=tracking),
            stability=stability,
        )
        if there:
            score = decoded.object_score.clamp_min(PROMPTED_LOGIT)
            decoded = decoded._replace(object_score=score)
        return self.empty_absent(self.choose_masks(decoded))

    def choose_masks(self, decoded: DecodedMasks) -> ObjectMasks:
        """Choose the mask of highest predicted IoU for each object.

        The pointer of an object judged absent says so; its mask keeps its logits.
        """
        logits, iou, token = _best(decoded)
        score = decoded.object_score[:, 0].float()
        presence = score.sigmoid() if self.soft_no_obj_ptr else (score > 0).float()
        return ObjectMasks(
            logits=logits.float(),
            iou=iou.float(),
            object_score=score,
            pointer=self._pointer(token, presence),
            candidates=(decoded.logits, decoded.iou),
        )

    def empty_absent(self, masks: ObjectMasks) -> ObjectMasks:
        """Return the masks with nothing where the object is judged absent."""
        if not self.pred_obj_scores:
            return masks
        present = (masks.object_score > 0)[:, None, None, None]
        return replace(masks, logits=torch.where(present, masks.logits, ABSENT_LOGIT))

    def masks_as_output(
        self,
        features: ImageFeatures,
        masks: Tensor,
        stability: Stability | None = None,
    ) -> ObjectMasks:
        """Take given masks as the result.

        Parameters
        ----------
        features : ImageFeatures
            Of the frame.
        masks : Tensor
            ``(B, 1, S, S)``, 0 or 1.
        stability : Stability, optional
            See `MaskDecoder.forward`.
        """
        given = prompted_logits(masks.float())
        logits = resize(given, self.sam_prompt_encoder.mask_input_size, antialias=True)
        present = masks.flatten(1).any(1).float()
        if self.use_obj_ptrs_in_encoder:
            # The pointer is what the decoder makes of the mask as a prompt.
            embedding = features.embedding.expand(len(masks), -1, -1, -1)
            prior = self.mask_downsample(masks.float())
            pointer = self.predict_masks(
                embedding, features, mask_logits=prior, stability=stability
            ).pointer
            if self.pred_obj_scores:
                pointer = self._mix_absent(pointer, present)
        else:
            pointer = logits.new_zeros(len(masks), self.hidden_dim)
        return ObjectMasks(
            logits=logits,
            iou=torch.ones_like(present),
            object_score=prompted_logits(present),
            pointer=pointer,
        )

    def encode_memory(
        self,
        features: ImageFeatures,
        masks: ObjectMasks,
        *,
        binarize: bool = False,
    ) -> FrameMemory:
        """Encode what is to be remembered of a frame's objects.

        Parameters
        ----------
        features : ImageFeatures
            Of the frame, batch 1 (or B).
        masks : ObjectMasks
            Of B objects; logits of any size are resized to the input's.
        binarize : bool
            Remember mask pixels as 0 or 1 (prompted frames) instead of probabilities.
        """
        logits = masks.logits
        size = (self.image_size, self.image_size)
        if logits.shape[-2:] != size:
            logits = resize(logits, size)
        remembered = (logits > 0).float() if binarize else logits.sigmoid()
        remembered = (
            remembered * self.sigmoid_scale_for_mem_enc + self.sigmoid_bias_for_mem_enc
        )
        memory = self.memory_encoder(features.embedding, remembered)
        if self.no_obj_embed_spatial is not None:
            absent = (masks.object_score <= 0).to(memory.dtype)[:, None]
            memory = memory + (absent * self.no_obj_embed_spatial)[..., None, None]
        views = features.views
        if len(views) == 1:
            views *= len(memory)
        return FrameMemory(memory, masks.pointer, views)

    def is_ambiguous(self, num_points: int, *, tracking: bool) -> bool:
        """Return whether three masks are predicted for that many points."""
        return (
            self.multimask_output_in_sam
            and (not tracking or self.multimask_output_for_tracking)
            and self.multimask_min_pt_num <= num_points <= self.multimask_max_pt_num
        )

    def _attend_tokens(
        self,
        features: ImageFeatures,
        memory: Tensor,
        memory_pos: Tensor,
        num_pointer_tokens: int,
    ) -> Tensor:
        """Run memory attention on tokens ``(B, M, D)``: ``(B, C, H, W)``."""
        size = features.embedding.shape[-2:]
        tokens = self.memory_attention(
            features.embedding.flatten(2).transpose(1, 2),
            features.position.flatten(2).transpose(1, 2),
            memory,
            memory_pos,
            num_pointer_tokens,
        )
        out: Tensor = tokens.transpose(1, 2).unflatten(2, size)
        return out

    def _pointer_positions(self, distances: Tensor) -> Tensor:
        """Encode distances in time ``(B, p)``: ``(B, p, D)``."""
        if not self.add_tpos_enc_to_obj_ptrs:
            return distances.new_zeros(*distances.shape, self.mem_dim)
        projected = self.proj_tpos_enc_in_obj_ptrs
        encoded = temporal_sine(
            distances, self.hidden_dim if projected else self.mem_dim
        )
        out: Tensor = self.obj_ptr_tpos_proj(encoded)
        return out

    def _pointer(self, token: Tensor, presence: Tensor) -> Tensor:
        """Turn output tokens ``(B, C)`` into object pointers ``(B, C)``."""
        pointer: Tensor = self.obj_ptr_proj(token).float()
        if self.pred_obj_scores and self.use_obj_ptrs_in_encoder:
            pointer = self._mix_absent(pointer, presence)
        return pointer

    def _mix_absent(self, pointer: Tensor, presence: Tensor) -> Tensor:
        """Bring in the pointer of an absent object by ``1 - presence`` ``(B,)``."""
        presence = presence[:, None]
        if self.fixed_no_obj_ptr:
            pointer = presence * pointer
        return pointer + (1 - presence) * self.no_obj_ptr


def prompted_logits(mask: Tensor) -> Tensor:
    """Return the logits of a given mask of 0 and 1."""
    return mask * (2 * PROMPTED_LOGIT) - PROMPTED_LOGIT


def resize(x: Tensor, size: tuple[int, int], *, antialias: bool = False) -> Tensor:
    """Resize ``(B, C, H, W)`` bilinearly, pixel centres aligned."""
    if antialias and x.device.type == "mps":  # not implemented there
        return resize(x.cpu(), size, antialias=True).to(x.device)
    return F.interpolate(
        x, size=size, mode="bilinear", align_corners=False, antialias=antialias
    )


def _best(decoded: DecodedMasks) -> tuple[Tensor, Tensor, Tensor]:
    """Choose the mask of highest predicted IoU, with its IoU and token."""
    rows = torch.arange(len(decoded.iou), device=decoded.iou.device)
    best = decoded.iou.argmax(1)
    tokens = decoded.tokens
    token = tokens[rows, best] if tokens.shape[1] > 1 else tokens[:, 0]
    return decoded.logits[rows, best][:, None], decoded.iou[rows, best], token


def _embedding(*shape: int) -> nn.Parameter:
    """Return a learned embedding, initialised as published."""
    return nn.Parameter(nn.init.trunc_normal_(torch.zeros(shape), std=0.02))
