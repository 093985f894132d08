"""``Sam2VideoModel`` of transformers, of the same sizes, with weights of its own."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import torch

from napari_sam2.model.hiera import Hiera
from napari_sam2.model.prompt_encoder import PADDING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from records import Setting
    from subject import Inputs, Video
    from torch import Tensor

    from napari_sam2.model.sam2 import Sam2


def can_time(ours: Sam2) -> bool:
    """Return whether the package is there, and can be as large as our network.

    Its widths of embedding and memories are those of the official networks.
    """
    there = importlib.util.find_spec("transformers") is not None
    return there and (ours.hidden_dim, ours.mem_dim) == (256, 64)


class HuggingFaceSubject:
    """The network of transformers; it batches objects in the memory encoder alone."""

    def __init__(self, setting: Setting, ours: Sam2) -> None:
        from transformers import Sam2VideoModel

        torch.manual_seed(setting.seed)
        self.model = Sam2VideoModel(_config(ours)).to(ours.device).eval()
        self._side = ours.image_size // ours.backbone_stride
        self._device = ours.device

    def image_encoder(self, inputs: Inputs) -> Callable[[], object]:
        """Encode a frame, high-resolution features projected."""
        return lambda: self.model.get_image_features(inputs.image)

    def memory_attention(self, inputs: Inputs) -> Callable[[], object]:
        """Condition a frame on the memories and pointers of each object in turn."""
        encoded = self._encoded(inputs)
        memory = inputs.memory.transpose(0, 1)  # (B, M, D) -> (M, B, D)
        memory_pos = inputs.memory_pos.transpose(0, 1)

        def run() -> None:
            for index in range(memory.shape[1]):
                self.model.memory_attention(
                    current_vision_features=encoded.fpn_hidden_states[-1],
                    current_vision_position_embeddings=encoded.fpn_position_encoding[
                        -1
                    ],
                    memory=memory[:, index : index + 1],
                    memory_posision_embeddings=memory_pos[:, index : index + 1],
                    num_object_pointer_tokens=inputs.num_pointer_tokens,
                )

        return run

    def mask_decoder(self, inputs: Inputs) -> Callable[[], object]:
        """Decode the mask of each object in turn, while tracking."""
        model = self.model
        features = self._encoded(inputs).fpn_hidden_states[:2]
        high_res = [
            self._as_map(x, self._side * s)
            for x, s in zip(features, (4, 2), strict=True)
        ]
        point = torch.zeros(1, 1, 1, 2, device=self._device)
        label = torch.full((1, 1, 1), PADDING, dtype=torch.int32, device=self._device)
        sparse, dense = model.prompt_encoder(
            input_points=point, input_labels=label, input_boxes=None, input_masks=None
        )
        position = model.get_image_wide_positional_embeddings()
        multimask = model._use_multimask(False, None)

        def run() -> None:
            for embedding in inputs.conditioned.split(1):
                model.mask_decoder(
                    image_embeddings=embedding,
                    image_positional_embeddings=position,
                    sparse_prompt_embeddings=sparse,
                    dense_prompt_embeddings=dense,
                    multimask_output=multimask,
                    high_resolution_features=high_res,
                )

        return run

    def memory_encoder(self, inputs: Inputs) -> Callable[[], object]:
        """Encode the memories of all objects, as its model does."""
        features = self._as_map(self._encoded(inputs).fpn_hidden_states[-1], self._side)
        features = features.expand(len(inputs.masks), -1, -1, -1)
        return lambda: self.model.memory_encoder(features, inputs.masks)

    def frames(self, video: Video) -> Iterator[object]:
        """Prompt all objects on frame 0, then track them, a frame for each step."""
        from transformers import Sam2VideoInferenceSession

        size = self.model.config.image_size
        session = Sam2VideoInferenceSession(
            video=video.normalised(),
            video_height=size,
            video_width=size,
            inference_device=self._device,
            inference_state_device=self._device,
            dtype=torch.float32,
        )
        for index, xy in enumerate(video.clicks_xy):
            prompt = {
                "point_coords": torch.from_numpy(xy)[None, None, None],
                "point_labels": torch.ones(1, 1, 1, dtype=torch.int32),
            }
            row = session.obj_id_to_idx(index + 1)
            session.add_point_inputs(row, 0, prompt)
            session.obj_with_new_inputs.append(index + 1)
        self.model(session, frame_idx=0)
        yield from self.model.propagate_in_video_iterator(session, start_frame_idx=0)

    def _encoded(self, inputs: Inputs) -> Any:
        return self.model.get_image_features(inputs.image)

    @staticmethod
    def _as_map(tokens: Tensor, side: int) -> Tensor:
        """Turn ``(HW, B, C)`` into ``(B, C, H, W)``."""
        return tokens.permute(1, 2, 0).unflatten(2, (side, side))


def _config(ours: Sam2) -> Any:
    """Return the configuration of a network as large as ours."""
    from transformers import Sam2HieraDetConfig, Sam2VideoConfig, Sam2VisionConfig
    from transformers.models.sam2_video.configuration_sam2_video import (
        Sam2VideoPromptEncoderConfig,
    )

    size = ours.image_size
    trunk = ours.image_encoder.trunk
    assert isinstance(trunk, Hiera)
    ends = trunk.stage_ends
    starts = [0, *[end + 1 for end in ends[:-1]]]
    blocks = [trunk.blocks[end] for end in ends]
    backbone = Sam2HieraDetConfig(
        hidden_size=trunk.channel_list[-1],
        num_attention_heads=blocks[0].attn.num_heads,
        image_size=[size, size],
        window_positional_embedding_background_size=list(trunk.pos_embed.shape[-2:]),
        blocks_per_stage=[
            end + 1 - start for start, end in zip(starts, ends, strict=True)
        ],
        embed_dim_per_stage=trunk.channel_list[::-1],
        num_attention_heads_per_stage=[block.attn.num_heads for block in blocks],
        window_size_per_stage=_windows(trunk),
        global_attention_blocks=[
            index for index, block in enumerate(trunk.blocks) if not block.window_size
        ],
    )
    vision = Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=trunk.channel_list,
        backbone_feature_sizes=[[size // s, size // s] for s in (4, 8, 16)],
    )
    side = size // ours.backbone_stride
    return Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config=Sam2VideoPromptEncoderConfig(image_size=size),
        image_size=size,
        memory_attention_rope_feat_sizes=[side, side],
        enable_occlusion_spatial_embedding=ours.no_obj_embed_spatial is not None,
        enable_temporal_pos_encoding_for_object_pointers=ours.add_tpos_enc_to_obj_ptrs,
    )


def _windows(trunk: Hiera) -> list[int]:
    """Return the window of each stage."""
    windows = []
    for end in trunk.stage_ends:
        # The first block of a stage still uses the windows of the stage before.
        after = (
            trunk.blocks[end + 1] if end + 1 < len(trunk.blocks) else trunk.blocks[end]
        )
        windows.append(after.window_size or 0)
    return windows
