"""The prompt encoder: points, boxes as corner points, and mask logits.

Shapes: ``B`` batch of objects, ``N`` points, ``C`` channels, ``S`` input size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from napari_sam2.model.layers import LayerNorm2d
from napari_sam2.model.position_encoding import PositionEmbeddingRandom

if TYPE_CHECKING:
    from collections.abc import Callable

PADDING, NEGATIVE, POSITIVE, BOX_FIRST, BOX_LAST = -1, 0, 1, 2, 3
"""Point labels; a box is its first (top left) and last (bottom right) corner."""


class PromptEncoder(nn.Module):
    """Turns prompts into sparse tokens and a dense map (SAM 2, sec. 4).

    Published as ``sam2.modeling.sam.prompt_encoder.PromptEncoder``.

    Parameters
    ----------
    embed_dim : int
        Width of tokens and map.
    image_embedding_size : pair of int
        ``(H, W)`` of the image embedding.
    input_image_size : pair of int
        ``(H, W)`` of the network's input; points are in its pixels.
    mask_in_chans : int
        Hidden width of the mask branch.
    activation : callable
        Makes the mask branch's activation.
    """

    def __init__(
        self,
        embed_dim: int,
        image_embedding_size: tuple[int, int],
        input_image_size: tuple[int, int],
        mask_in_chans: int,
        activation: Callable[[], nn.Module] = nn.GELU,
    ) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.image_embedding_size = image_embedding_size
        self.input_image_size = input_image_size
        height, width = image_embedding_size
        self.mask_input_size = (4 * height, 4 * width)
        self.pe_layer = PositionEmbeddingRandom(embed_dim // 2)
        self.point_embeddings = nn.ModuleList(
            nn.Embedding(1, embed_dim) for _ in range(4)
        )
        self.not_a_point_embed = nn.Embedding(1, embed_dim)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, mask_in_chans // 4, kernel_size=2, stride=2),
            LayerNorm2d(mask_in_chans // 4),
            activation(),
            nn.Conv2d(mask_in_chans // 4, mask_in_chans, kernel_size=2, stride=2),
            LayerNorm2d(mask_in_chans),
            activation(),
            nn.Conv2d(mask_in_chans, embed_dim, kernel_size=1),
        )
        self.no_mask_embed = nn.Embedding(1, embed_dim)

    def dense_pe(self) -> Tensor:
        """Return the position encoding of the image embedding: ``(1, C, H, W)``."""
        encoding: Tensor = self.pe_layer(self.image_embedding_size)
        return encoding[None]

    def forward(
        self, points_xy: Tensor, labels: Tensor, mask_logits: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Encode the prompts of a batch of objects.

        Parameters
        ----------
        points_xy : Tensor
            ``(B, N, 2)`` float32 in input pixels, pixel (0, 0) having its corner at 0.
        labels : Tensor
            ``(B, N)`` integers, -1 (padding) to 3.
        mask_logits : Tensor, optional
            ``(B, 1, 4H, 4W)`` for an embedding of H x W.

        Returns
        -------
        sparse : Tensor
            ``(B, N + 1, C)``: a padding point always follows.
        dense : Tensor
            ``(B, C, H, W)``.
        """
        sparse = self._encode_points(points_xy, labels)
        if mask_logits is None:
            dense = self.no_mask_embed.weight[:, :, None, None].expand(
                len(points_xy), -1, *self.image_embedding_size
            )
        else:
            dense = self.mask_downscaling(mask_logits)
        return sparse, dense

    def _encode_points(self, points_xy: Tensor, labels: Tensor) -> Tensor:
        centred = torch.cat(
            [points_xy + 0.5, points_xy.new_zeros(len(points_xy), 1, 2)], dim=1
        )
        labels = torch.cat([labels, labels.new_full((len(labels), 1), PADDING)], dim=1)
        height, width = self.input_image_size
        position = self.pe_layer.encode(centred / centred.new_tensor([width, height]))
        embeddings = (self.not_a_point_embed, *self.point_embeddings)
        kinds = torch.cat([embedding.weight for embedding in embeddings])
        real = (labels != PADDING)[..., None]
        return torch.where(real, position, 0.0) + kinds[labels + 1]
