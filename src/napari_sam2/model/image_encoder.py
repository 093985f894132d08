"""The image encoder: a trunk and a feature pyramid neck (SAM 2, sec. 4).

Shapes: ``B`` batch, ``C`` channels, ``H W`` feature map, ``S`` input size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam2.model.hiera import Hiera
    from napari_sam2.model.position_encoding import PositionEmbeddingSine


class FeaturePyramid(NamedTuple):
    """Feature maps ``(B, C, H, W)`` and their position encodings, large first."""

    features: tuple[Tensor, ...]
    positions: tuple[Tensor, ...]


class FpnNeck(nn.Module):
    """Projects every trunk stage to one width, deeper ones added to shallower.

    Lin et al. 2017, arXiv 1612.03144, without output convolutions. Published as
    ``sam2.modeling.backbones.image_encoder.FpnNeck``.

    Parameters
    ----------
    position_encoding : PositionEmbeddingSine
        Encodes the positions of every output.
    d_model : int
        Output width.
    backbone_channel_list : sequence of int
        Widths of the trunk's stages, deepest first.
    kernel_size, stride, padding : int
        Of the projecting convolutions.
    fpn_interp_model : str
        ``torch.nn.functional.interpolate`` mode of the top-down path.
    fuse_type : {"sum", "avg"}
        How a level and the upsampled deeper one are joined.
    fpn_top_down_levels : sequence of int, optional
        Levels (0 is the largest map) that take part in the top-down path; all if
        absent.
    """

    def __init__(
        self,
        position_encoding: PositionEmbeddingSine,
        d_model: int,
        backbone_channel_list: Sequence[int],
        kernel_size: int = 1,
        stride: int = 1,
        padding: int = 0,
        fpn_interp_model: str = "bilinear",
        fuse_type: str = "sum",
        fpn_top_down_levels: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if fuse_type not in ("sum", "avg"):
            raise ValueError(f"fuse_type must be 'sum' or 'avg', got {fuse_type!r}")
        self.position_encoding = position_encoding
        self.backbone_channel_list = list(backbone_channel_list)
        self.d_model = d_model
        self.convs = nn.ModuleList()
        for channels in backbone_channel_list:
            level = nn.Sequential()
            level.add_module(
                "conv", nn.Conv2d(channels, d_model, kernel_size, stride, padding)
            )
            self.convs.append(level)
        self.fpn_interp_model = fpn_interp_model
        self.fuse_type = fuse_type
        if fpn_top_down_levels is None:
            fpn_top_down_levels = range(len(self.convs))
        self.fpn_top_down_levels = frozenset(fpn_top_down_levels)

    def forward(self, stages: Sequence[Tensor]) -> FeaturePyramid:
        """Fuse the trunk's stages, large first."""
        fused: list[Tensor] = []
        deepest = len(self.convs) - 1
        deeper: Tensor | None = None
        for level in range(deepest, -1, -1):
            x = self.convs[deepest - level](stages[level])
            if level in self.fpn_top_down_levels and deeper is not None:
                up = F.interpolate(
                    deeper.float(), scale_factor=2.0, mode=self.fpn_interp_model
                )
                x = x + up
                if self.fuse_type == "avg":
                    x = x / 2
            deeper = x
            fused.append(x)
        features = tuple(reversed(fused))
        return FeaturePyramid(features, tuple(map(self.position_encoding, features)))


class ImageEncoder(nn.Module):
    """Trunk and neck; the lowest resolutions are left out.

    Published as ``sam2.modeling.backbones.image_encoder.ImageEncoder``.

    Parameters
    ----------
    trunk : Hiera
        The vision transformer.
    neck : FpnNeck
        The feature pyramid.
    scalp : int
        Number of lowest-resolution maps to drop.
    """

    def __init__(self, trunk: Hiera, neck: FpnNeck, scalp: int = 0) -> None:
        super().__init__()
        if trunk.channel_list != neck.backbone_channel_list:
            raise ValueError(
                f"the trunk's stages have {trunk.channel_list} channels, the neck's "
                f"backbone_channel_list says {neck.backbone_channel_list}"
            )
        self.trunk = trunk
        self.neck = neck
        self.scalp = scalp

    def forward(self, image: Tensor) -> FeaturePyramid:
        """Encode ``(B, K, S, S)`` into maps of width ``d_model``, large first."""
        features, positions = self.neck(self.trunk(image))
        kept = len(features) - self.scalp
        return FeaturePyramid(features[:kept], positions[:kept])
