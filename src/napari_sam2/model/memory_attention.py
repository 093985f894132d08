"""Memory attention: the frame's embedding looks at what was seen before.

Shapes: ``B`` batch of objects, ``N`` image tokens (HW), ``M`` memory tokens, ``C``
image channels, ``D`` memory channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from napari_sam2.model.layers import Linear, activation_function, clones

if TYPE_CHECKING:
    from napari_sam2.model.transformer import Attention, RoPEAttention


class MemoryAttentionLayer(nn.Module):
    """Self-attention, cross-attention to memory, and an MLP, all pre-normalised.

    Published as ``sam2.modeling.memory_attention.MemoryAttentionLayer``.

    Parameters
    ----------
    activation : str
        Of the MLP: ``relu``, ``gelu`` or ``glu``.
    cross_attention : RoPEAttention
        Attention to memory.
    d_model, dim_feedforward : int
        Width, and hidden width of the MLP.
    dropout : float
        In training, on each branch.
    pos_enc_at_attn : bool
        Add the position encoding to the queries and keys of self-attention.
    pos_enc_at_cross_attn_keys, pos_enc_at_cross_attn_queries : bool
        Add it to the keys, and queries, of cross-attention.
    self_attention : RoPEAttention
        Attention within the frame.
    """

    def __init__(
        self,
        activation: str,
        cross_attention: RoPEAttention,
        d_model: int,
        dim_feedforward: int,
        dropout: float,
        pos_enc_at_attn: bool,
        pos_enc_at_cross_attn_keys: bool,
        pos_enc_at_cross_attn_queries: bool,
        self_attention: Attention,
    ) -> None:
        super().__init__()
        self.d_model = d_model
        self.dim_feedforward = dim_feedforward
        self.dropout_value = dropout
        self.self_attn = self_attention
        self.cross_attn_image = cross_attention
        self.linear1 = Linear(d_model, dim_feedforward)
        self.dropout = nn.Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.norm3 = nn.LayerNorm(d_model)
        self.dropout1 = nn.Dropout(dropout)
        self.dropout2 = nn.Dropout(dropout)
        self.dropout3 = nn.Dropout(dropout)
        self.activation = activation_function(activation)
        self.pos_enc_at_attn = pos_enc_at_attn
        self.pos_enc_at_cross_attn_queries = pos_enc_at_cross_attn_queries
        self.pos_enc_at_cross_attn_keys = pos_enc_at_cross_attn_keys

    def forward(
        self,
        image: Tensor,
        image_pos: Tensor,
        memory_keys: Tensor,
        memory: Tensor,
        num_pointer_tokens: int,
    ) -> Tensor:
        """Update image tokens ``(B or 1, N, C)`` with memory: ``(B, N, C)``.

        `memory_keys` is the memory with its position added, where the layer wants it;
        both are ``(B, M, D)`` and end in `num_pointer_tokens` without position.
        Image tokens of batch 1 are shared by all objects up to cross-attention.
        """
        x = self.norm1(image)
        q = x + image_pos if self.pos_enc_at_attn else x
        image = image + self.dropout1(self.self_attn(q, q, x))
        x = self.norm2(image)
        q = x + image_pos if self.pos_enc_at_cross_attn_queries else x
        x = self.cross_attn_image(q, memory_keys, memory, num_pointer_tokens)
        image = image + self.dropout2(x)
        x = self.linear2(self.dropout(self.activation(self.linear1(self.norm3(image)))))
        out: Tensor = image + self.dropout3(x)
        return out


class MemoryAttention(nn.Module):
    """A stack of `MemoryAttentionLayer` (SAM 2, sec. 4 "memory attention").

    Published as ``sam2.modeling.memory_attention.MemoryAttention``. Differs: batch
    first only, and what all objects of a frame share, up to the first
    cross-attention, is computed once.

    Parameters
    ----------
    d_model : int
        Width.
    pos_enc_at_input : bool
        Add a tenth of the position encoding to the input.
    layer : MemoryAttentionLayer
        Copied `num_layers` times.
    num_layers : int
        Number of layers.
    batch_first : bool
        Accepted as published; tensors are batch first here in any case.
    """

    def __init__(
        self,
        d_model: int,
        pos_enc_at_input: bool,
        layer: MemoryAttentionLayer,
        num_layers: int,
        batch_first: bool = True,
    ) -> None:
        super().__init__()
        self.d_model = d_model
        self.layers = clones(layer, num_layers)
        self.num_layers = num_layers
        self.norm = nn.LayerNorm(d_model)
        self.pos_enc_at_input = pos_enc_at_input
        self.batch_first = batch_first

    def forward(
        self,
        image: Tensor,
        image_pos: Tensor,
        memory: Tensor,
        memory_pos: Tensor,
        num_pointer_tokens: int = 0,
    ) -> Tensor:
        """Condition image tokens on memory.

        Parameters
        ----------
        image, image_pos : Tensor
            ``(B or 1, N, C)`` and ``(1, N, C)``.
        memory, memory_pos : Tensor
            ``(B, M, D)``: spatial memories, then pointer tokens.
        num_pointer_tokens : int
            How many of M, at the end, are not rotated.

        Returns
        -------
        Tensor
            ``(B, N, C)``.
        """
        if self.pos_enc_at_input:
            image = image + 0.1 * image_pos
        positioned = memory + memory_pos
        for layer in self.layers:
            keys = positioned if layer.pos_enc_at_cross_attn_keys else memory
            image = layer(image, image_pos, keys, memory, num_pointer_tokens)
        out: Tensor = self.norm(image)
        return out
