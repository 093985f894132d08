"""What is timed: the parts of a network, ours and any peer's, on equal inputs.

Shapes: ``B`` objects, ``T`` frames, ``S`` input size, ``M`` memory tokens, ``C`` image
channels, ``D`` memory channels, ``H W`` image embedding.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from napari_sam2 import Prompt, VideoPredictor
from napari_sam2.inference.options import PredictorOptions
from napari_sam2.inference.preprocess import normalised
from napari_sam2.model.prompt_encoder import PADDING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_sam2.model.sam2 import Sam2


@dataclass(frozen=True, slots=True, eq=False)
class Video:
    """What every subject tracks.

    Attributes
    ----------
    frames : ndarray
        ``(T, S, S, 3)`` uint8.
    clicks_xy : ndarray
        ``(B, 2)`` float32: one positive click on frame 0 for each object.
    """

    frames: NDArray[np.uint8] = field(repr=False)
    clicks_xy: NDArray[np.float32]

    @classmethod
    def seeded(cls, size: int, objects: int, frames: int, seed: int) -> Video:
        """Make so many frames of noise."""
        shape = (frames, size, size, 3)
        pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
        across = size * (np.arange(objects) + 1) / (objects + 1)
        return cls(pixels, np.stack([across, across[::-1]], 1).astype(np.float32))

    def normalised(self) -> Tensor:
        """Return the frames as the network takes them: ``(T, 3, S, S)`` float32."""
        images = torch.from_numpy(self.frames).permute(0, 3, 1, 2) / 255
        return normalised(images).contiguous()


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What the parts of every subject are given, on the network's device.

    Attributes
    ----------
    image : Tensor
        ``(1, K, S, S)``, normalised; K as many channels as the trunk takes.
    memory, memory_pos : Tensor
        ``(B, M, D)``: as many memories and pointers as the network attends to.
    num_pointer_tokens : int
        How many of M are pointers, at the end.
    conditioned : Tensor
        ``(B, C, H, W)``: stands for embeddings conditioned on memory.
    masks : Tensor
        ``(B, 1, S, S)``: stands for scaled masks.
    """

    image: Tensor = field(repr=False)
    memory: Tensor = field(repr=False)
    memory_pos: Tensor = field(repr=False)
    num_pointer_tokens: int
    conditioned: Tensor = field(repr=False)
    masks: Tensor = field(repr=False)

    @classmethod
    def seeded(cls, model: Sam2, objects: int, seed: int) -> Inputs:
        """Make noise for so many objects, in the sizes of a network."""
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator).to(model.device)

        size = model.image_size
        side = size // model.backbone_stride
        pointers = model.max_obj_ptrs_in_encoder if model.use_obj_ptrs_in_encoder else 0
        pointer_tokens = pointers * (model.hidden_dim // model.mem_dim)
        tokens = model.num_maskmem * side**2 + pointer_tokens
        return cls(
            image=normal(
                1, model.image_encoder.trunk.patch_embed.proj.in_channels, size, size
            ),
            memory=normal(objects, tokens, model.mem_dim),
            memory_pos=normal(objects, tokens, model.mem_dim),
            num_pointer_tokens=pointer_tokens,
            conditioned=normal(objects, model.hidden_dim, side, side),
            masks=normal(objects, 1, size, size),
        )


class Subject(Protocol):
    """An implementation of the network; every method returns what runs a part once."""

    def image_encoder(self, inputs: Inputs) -> Callable[[], object]:
        """Encode a frame, high-resolution features projected."""

    def memory_attention(self, inputs: Inputs) -> Callable[[], object]:
        """Condition a frame on the memories and pointers of all objects."""

    def mask_decoder(self, inputs: Inputs) -> Callable[[], object]:
        """Decode the masks of all objects, while tracking."""

    def memory_encoder(self, inputs: Inputs) -> Callable[[], object]:
        """Encode the memories of all objects."""

    def frames(self, video: Video) -> Iterator[object]:
        """Prompt all objects on frame 0, then track them, a frame for each step."""


class OwnSubject:
    """Our network, as `VideoPredictor` uses it."""

    def __init__(self, model: Sam2) -> None:
        self.model = model

    def image_encoder(self, inputs: Inputs) -> Callable[[], object]:
        """Encode a frame, high-resolution features projected."""
        return lambda: self.model.encode_image(inputs.image)

    def memory_attention(self, inputs: Inputs) -> Callable[[], object]:
        """Condition a frame on the memories and pointers of all objects."""
        features = self.model.encode_image(inputs.image)
        return lambda: self.model.memory_attention(
            features.embedding.flatten(2).transpose(1, 2),
            features.position.flatten(2).transpose(1, 2),
            inputs.memory,
            inputs.memory_pos,
            inputs.num_pointer_tokens,
        )

    def mask_decoder(self, inputs: Inputs) -> Callable[[], object]:
        """Decode the masks of all objects, while tracking."""
        model = self.model
        features = model.encode_image(inputs.image)
        count = len(inputs.conditioned)
        points = torch.zeros(count, 1, 2, device=model.device)
        labels = torch.full((count, 1), PADDING, device=model.device)
        sparse, dense = model.sam_prompt_encoder(points, labels, None)
        position = model.sam_prompt_encoder.dense_pe()
        multimask = model.is_ambiguous(0, tracking=True)
        stability = PredictorOptions().stability()
        return lambda: model.sam_mask_decoder(
            inputs.conditioned,
            position,
            sparse,
            dense,
            features.high_res,
            multimask=multimask,
            stability=stability,
        )

    def memory_encoder(self, inputs: Inputs) -> Callable[[], object]:
        """Encode the memories of all objects."""
        features = self.model.encode_image(inputs.image)
        return lambda: self.model.memory_encoder(features.embedding, inputs.masks)

    def frames(self, video: Video) -> Iterator[object]:
        """Prompt all objects on frame 0, then track them, a frame for each step."""
        predictor = VideoPredictor(self.model)
        session = predictor.start(video.frames)
        for index, xy in enumerate(video.clicks_xy):
            prompt = Prompt(points=[xy.tolist()], labels=[1])
            predictor.add_prompt(session, frame=0, object_id=index + 1, prompt=prompt)
        yield from predictor.propagate(session)
