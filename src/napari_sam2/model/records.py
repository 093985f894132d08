"""What passes in and out of the network.

Shapes: ``B`` batch (objects, or 1 for an image), ``C`` image channels, ``D`` memory
channels, ``H W`` image embedding, ``S`` input size.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


@dataclass(frozen=True, slots=True)
class View:
    """The window of a frame that the network sees.

    Attributes
    ----------
    y0, x0 : int
        First row and column, in frame pixels.
    height, width : int
        Extent in frame pixels.
    input_size : int
        Side S in pixels of the square input that the window is resized to.
    """

    y0: int
    x0: int
    height: int
    width: int
    input_size: int

    @classmethod
    def whole(cls, frame_shape: tuple[int, int], input_size: int) -> View:
        """Return the view of a whole frame of ``(H, W)``."""
        return cls(0, 0, frame_shape[0], frame_shape[1], input_size)


@dataclass(frozen=True, slots=True, eq=False)
class ImageFeatures:
    """An encoded image.

    Attributes
    ----------
    embedding : Tensor
        ``(B, C, H, W)``, without memory.
    position : Tensor
        Position encoding of the embedding ``(1, C, H, W)``.
    high_res : pair of Tensor, optional
        ``(B, C / 8, 4H, 4W)`` and ``(B, C / 4, 2H, 2W)``, projected for the decoder;
        None for networks that do not use them.
    views : tuple of View
        What part of the frame each of the batch is.
    """

    embedding: Tensor = field(repr=False)
    position: Tensor = field(repr=False)
    high_res: tuple[Tensor, Tensor] | None = field(repr=False)
    views: tuple[View, ...]

    @property
    def nbytes(self) -> int:
        """Bytes held, the shared position encoding not counted."""
        maps = (self.embedding, *(self.high_res or ()))
        return sum(x.element_size() * x.nelement() for x in maps)

    def pick(self, rows: Sequence[int] | Tensor) -> ImageFeatures:
        """Return some of the batch by their places, repeated as they are named."""
        places = rows.tolist() if isinstance(rows, torch.Tensor) else rows
        high_res = self.high_res
        return replace(
            self,
            embedding=self.embedding[rows],
            high_res=high_res and (high_res[0][rows], high_res[1][rows]),
            views=tuple(self.views[place] for place in places),
        )

    @staticmethod
    def join(parts: Sequence[ImageFeatures]) -> ImageFeatures:
        """Return several as one batch."""
        if len(parts) == 1:
            return parts[0]
        fine = [part.high_res for part in parts if part.high_res is not None]
        return replace(
            parts[0],
            embedding=torch.cat([part.embedding for part in parts]),
            high_res=(
                torch.cat([maps[0] for maps in fine]),
                torch.cat([maps[1] for maps in fine]),
            )
            if fine
            else None,
            views=tuple(view for part in parts for view in part.views),
        )


@dataclass(frozen=True, slots=True, eq=False)
class ObjectMasks:
    """The chosen mask of every object of a batch.

    Attributes
    ----------
    logits : Tensor
        ``(B, 1, 4H, 4W)``; -1024 everywhere for an absent object.
    iou : Tensor
        Predicted IoU ``(B,)``.
    object_score : Tensor
        Logit ``(B,)`` that the object is in the frame.
    pointer : Tensor
        Object pointer ``(B, C)``.
    candidates : pair of Tensor, optional
        What the masks were chosen among: logits ``(B, M, 4H, 4W)`` and predicted IoU
        ``(B, M)``; None where nothing was chosen.
    """

    logits: Tensor = field(repr=False)
    iou: Tensor
    object_score: Tensor
    pointer: Tensor = field(repr=False)
    candidates: tuple[Tensor, Tensor] | None = field(default=None, repr=False)

    def each_candidate(self) -> list[ObjectMasks]:
        """Return what was chosen among, each as if it had been chosen."""
        if self.candidates is None:
            return []
        logits, iou = self.candidates
        return [
            replace(self, logits=logits[:, place, None], iou=iou[:, place])
            for place in range(iou.shape[1])
        ]


@dataclass(frozen=True, slots=True, eq=False)
class FrameMemory:
    """What is remembered of one object on one frame.

    Attributes
    ----------
    features : Tensor
        ``(B, D, H, W)``.
    pointer : Tensor
        Object pointer ``(B, C)``.
    views : tuple of View
        The part of the frame that the features of each of the batch lie on.
    """

    features: Tensor = field(repr=False)
    pointer: Tensor = field(repr=False)
    views: tuple[View, ...]
