"""The published implementation (package ``sam2`` 1.1.0), with our weights."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from napari_sam2.checkpoints import find_model, registered_models
from napari_sam2.composition import composed
from napari_sam2.model.prompt_encoder import PADDING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from records import Setting
    from subject import Inputs, Video

    from napari_sam2.model.sam2 import Sam2

# Where the published package keeps the classes of the same name.
_MODULES = {
    "SAM2VideoPredictor": "sam2.sam2_video_predictor",
    "ImageEncoder": "sam2.modeling.backbones.image_encoder",
    "FpnNeck": "sam2.modeling.backbones.image_encoder",
    "Hiera": "sam2.modeling.backbones.hieradet",
    "PositionEmbeddingSine": "sam2.modeling.position_encoding",
    "MemoryAttention": "sam2.modeling.memory_attention",
    "MemoryAttentionLayer": "sam2.modeling.memory_attention",
    "RoPEAttention": "sam2.modeling.sam.transformer",
    "Attention": "sam2.modeling.sam.transformer",
    "MemoryEncoder": "sam2.modeling.memory_encoder",
    "MaskDownSampler": "sam2.modeling.memory_encoder",
    "Fuser": "sam2.modeling.memory_encoder",
    "CXBlock": "sam2.modeling.memory_encoder",
}


def can_time(_ours: Sam2) -> bool:
    """Return whether the package is there; it can be any network that ours can."""
    return importlib.util.find_spec("sam2") is not None


class PublishedSubject:
    """The published network and video predictor; objects run one after another."""

    def __init__(self, setting: Setting, ours: Sam2) -> None:
        import sam2.sam2_video_predictor as published
        from hydra.utils import instantiate

        registered = {model.name for model in registered_models()}
        path = Path(setting.config)
        if setting.config in registered or not path.is_file():
            path = find_model(setting.config).config
        node = _renamed(composed(path, [])["model"])
        node["_target_"] = f"{_MODULES['SAM2VideoPredictor']}.SAM2VideoPredictor"
        node["image_size"] = ours.image_size
        node["binarize_mask_from_pts_for_mem_enc"] = True
        node["sam_mask_decoder_extra_args"] = {
            "dynamic_multimask_via_stability": True,
            "dynamic_multimask_stability_delta": 0.05,
            "dynamic_multimask_stability_thresh": 0.98,
        }
        self._published = published
        self.model = instantiate(node, _convert_="all")
        self.model.load_state_dict(ours.state_dict())
        self.model.to(ours.device).eval()

    def image_encoder(self, inputs: Inputs) -> Callable[[], object]:
        """Encode a frame, high-resolution features projected."""
        return lambda: self.model.forward_image(inputs.image)

    def memory_attention(self, inputs: Inputs) -> Callable[[], object]:
        """Condition a frame on the memories and pointers of each object in turn."""
        pyramid = self._pyramid(inputs)
        embedding = pyramid["vision_features"].flatten(2).permute(2, 0, 1)
        position = pyramid["vision_pos_enc"][-1].flatten(2).permute(2, 0, 1)
        memory = inputs.memory.transpose(0, 1)  # (B, M, D) -> (M, B, D)
        memory_pos = inputs.memory_pos.transpose(0, 1)

        def run() -> None:
            for index in range(memory.shape[1]):
                self.model.memory_attention(
                    curr=embedding,
                    curr_pos=position,
                    memory=memory[:, index : index + 1],
                    memory_pos=memory_pos[:, index : index + 1],
                    num_obj_ptr_tokens=inputs.num_pointer_tokens,
                )

        return run

    def mask_decoder(self, inputs: Inputs) -> Callable[[], object]:
        """Decode the mask of each object in turn, while tracking."""
        model = self.model
        high_res = self._pyramid(inputs)["backbone_fpn"][:-1]
        point = torch.zeros(1, 1, 2, device=model.device)
        label = torch.full((1, 1), PADDING, dtype=torch.int32, device=model.device)
        sparse, dense = model.sam_prompt_encoder((point, label), None, None)
        position = model.sam_prompt_encoder.get_dense_pe()
        multimask = model._use_multimask(False, None)

        def run() -> None:
            for embedding in inputs.conditioned.split(1):
                model.sam_mask_decoder(
                    image_embeddings=embedding,
                    image_pe=position,
                    sparse_prompt_embeddings=sparse,
                    dense_prompt_embeddings=dense,
                    multimask_output=multimask,
                    repeat_image=False,
                    high_res_features=high_res or None,
                )

        return run

    def memory_encoder(self, inputs: Inputs) -> Callable[[], object]:
        """Encode the memory of each object in turn."""
        features = self._pyramid(inputs)["vision_features"]

        def run() -> None:
            for mask in inputs.masks.split(1):
                self.model.memory_encoder(features, mask, skip_mask_sigmoid=True)

        return run

    def frames(self, video: Video) -> Iterator[object]:
        """Prompt all objects on frame 0, then track them, a frame for each step."""
        size, device = self.model.image_size, self.model.device
        images = video.normalised().to(device)
        # It reads JPEG folders and videos alone.
        self._published.load_video_frames = lambda **_: (images, size, size)
        session = self.model.init_state("frames")
        for index, xy in enumerate(video.clicks_xy):
            self.model.add_new_points_or_box(
                session, 0, index + 1, points=xy[None], labels=[1]
            )
        yield from self.model.propagate_in_video(session)

    def _pyramid(self, inputs: Inputs) -> dict[str, Any]:
        pyramid: dict[str, Any] = self.model.forward_image(inputs.image)
        return pyramid


def _renamed(node: Any) -> Any:
    """Name the published classes instead of ours, in a whole tree."""
    if isinstance(node, list):
        return [_renamed(item) for item in node]
    if not isinstance(node, dict):
        return node
    renamed = {key: _renamed(value) for key, value in node.items()}
    name = str(renamed.get("_target_", "")).rpartition(".")[2]
    if name in _MODULES:
        renamed["_target_"] = f"{_MODULES[name]}.{name}"
    return renamed
