"""What the toy runs learn from: one bright and one dark disc, and a small network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.training.sources import DrawnClip

if TYPE_CHECKING:
    from pathlib import Path

# At the full decoder width, since heads of a narrow one learn nothing.
NETWORK = """
model:
  image_size: 64
  num_maskmem: 3
  max_obj_ptrs_in_encoder: 4
  image_encoder:
    trunk:
      _target_: napari_sam2.model.hiera.Hiera
      embed_dim: 16
      num_heads: 1
      stages: [1, 1, 2, 1]
      global_att_blocks: [2, 4]
      window_pos_embed_bkg_spatial_size: [7, 7]
    neck:
      backbone_channel_list: [128, 64, 32, 16]
  memory_encoder:
    fuser:
      num_layers: 1
  memory_attention:
    num_layers: 1
    layer:
      dim_feedforward: 256
      dropout: 0.0
      self_attention: {feat_sizes: [4, 4], dropout: 0.0}
      cross_attention: {feat_sizes: [4, 4], dropout: 0.0}
"""


def write_network(folder: Path, shipped: Path) -> Path:
    """Write the YAML of the network, on top of the shipped one of SAM 2.1."""
    (folder / "network").symlink_to(shipped / "network", target_is_directory=True)
    path = folder / "toy.yaml"
    path.write_text("defaults:\n  - network: sam2.1\n  - _self_\n" + NETWORK)
    return path


class Discs:
    """Clips of two discs that drift, in noise; either may be prompted.

    Whoever cannot tell them apart finds both, at a mean IoU of about 0.48.
    """

    def __repr__(self) -> str:
        return "Discs()"

    def draw(self, rng, start, stage, augment) -> DrawnClip:
        size = stage.image_size
        y, x = np.mgrid[:size, :size]
        frames = rng.normal(0.5, 0.03, (stage.frames, size, size))
        labels = np.zeros(frames.shape, np.uint8)
        for number, side in enumerate(rng.permutation(2)):
            radius = rng.uniform(9, 13)
            middle = rng.uniform(radius, size - radius), (0.25 + 0.5 * side) * size
            speed = rng.uniform(-2, 2, 2)
            for frame in range(stage.frames):
                row, column = middle + speed * (frame - start)
                disc = (y - row) ** 2 + (x - column) ** 2 < radius**2
                frames[frame][disc] += (-0.3, 0.3)[number]
                labels[frame][disc] = number + 1
        return DrawnClip(frames.clip(0, 1).astype(np.float32)[:, None], labels)
