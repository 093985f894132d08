"""Where clips come from, and how their pixels become what the network is shown.

Shapes: ``T`` frames, ``K`` channels (grey, colours, or frames), ``S`` input size.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F

from napari_sam2.training.synthetic import ClipGenerator
from napari_sam2.training.synthetic.fields import log_uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam2.training.settings import AugmentParameters, StageParameters
    from napari_sam2.training.synthetic import SyntheticParameters


@dataclass(frozen=True, slots=True, eq=False)
class DrawnClip:
    """A clip as the network sees it, before flips.

    Attributes
    ----------
    frames : ndarray
        ``(T, K, S, S)`` float32, 0 to 1.
    labels : ndarray
        ``(T, S, S)`` integers, 0 background, an object one number on all frames.
    prompted : ndarray, optional
        Numbers of the objects that may be prompted; all if None.
    """

    frames: NDArray[np.float32] = field(repr=False)
    labels: NDArray[np.integer[Any]] = field(repr=False)
    prompted: NDArray[np.int64] | None = None


class ClipSource(Protocol):
    """Clips by chance; the same chance gives the same clip in every process."""

    def draw(
        self,
        rng: np.random.Generator,
        start: int,
        stage: StageParameters,
        augment: AugmentParameters,
    ) -> DrawnClip:
        """Draw a clip, with objects on its frame `start` if that can be had."""


class SyntheticClips:
    """Clips of synthetic microscopy."""

    def __init__(self, parameters: SyntheticParameters) -> None:
        self.generator = ClipGenerator(parameters)

    def __repr__(self) -> str:
        """Return what decides which clips are drawn."""
        return f"SyntheticClips({self.generator.parameters!r})"

    def draw(
        self,
        rng: np.random.Generator,
        start: int,
        stage: StageParameters,
        augment: AugmentParameters,
    ) -> DrawnClip:
        """Draw a scene, perhaps of another size that is resized to the input's."""
        side = stage.image_size
        if rng.random() < augment.zoom_share:
            side = max(round(side * log_uniform(rng, augment.zoom)), 32)
        seed = int(rng.integers(2**62))
        clip = self.generator.generate(seed, frames=stage.frames, size=side)
        grey = to_grey(rng, clip.images, augment)[:, None]
        size = stage.image_size
        return DrawnClip(resized(grey, size), resized_labels(clip.labels, size))


class MixedClips:
    """Clips of two sources.

    Parameters
    ----------
    most, others : ClipSource
        The sources.
    share : float
        Share of the clips that are from `others`, 0 to 1.
    """

    def __init__(self, most: ClipSource, others: ClipSource, share: float) -> None:
        self.most, self.others, self.share = most, others, share

    def __repr__(self) -> str:
        """Return what decides which clips are drawn."""
        return f"MixedClips({self.most!r}, {self.others!r}, {self.share})"

    def draw(
        self,
        rng: np.random.Generator,
        start: int,
        stage: StageParameters,
        augment: AugmentParameters,
    ) -> DrawnClip:
        """Draw a clip of either source."""
        source = self.others if rng.random() < self.share else self.most
        return source.draw(rng, start, stage, augment)


def with_neighbours(clip: DrawnClip, reach: int, *, whole: bool) -> DrawnClip:
    """Return a grey clip whose channels are each frame and `reach` on either side.

    A `whole` stack keeps its frames, those beyond its ends are its first and last ones;
    of others as many are left out.
    """
    grey = clip.frames.squeeze(axis=1)  # refuses colours
    labels = clip.labels
    if whole:
        grey = np.pad(grey, ((reach, reach), (0, 0), (0, 0)), mode="edge")
    else:
        labels = labels[reach:-reach]
    count = len(labels)
    steps = range(2 * reach + 1)
    frames = np.stack([grey[step : step + count] for step in steps], axis=1)
    return DrawnClip(frames, labels, clip.prompted)


def to_grey(
    rng: np.random.Generator, images: NDArray[np.generic], knobs: AugmentParameters
) -> NDArray[np.float32]:
    """Scale raw grey values ``(T, H, W)`` to 0..1, as a predictor would, or nearly."""
    values = images.astype(np.float32)
    low, high = np.percentile(
        values[:, ::2, ::2],
        [rng.uniform(*knobs.low_percentile), rng.uniform(*knobs.high_percentile)],
    )
    span = max(float(high - low), 1e-6)
    scaled = ((values - float(low)) / span).clip(0, 1)
    curved: NDArray[np.float32] = scaled ** np.float32(log_uniform(rng, knobs.gamma))
    return curved


def resized(frames: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Resize frames ``(T, K, H, W)`` to ``(T, K, S, S)``, as a predictor does."""
    if frames.shape[-2:] == (size, size):
        return frames
    image = torch.from_numpy(frames)
    image = F.interpolate(image, size=(size, size), mode="bilinear", antialias=True)
    out: NDArray[np.float32] = image.clamp(0, 1).numpy()
    return out


def resized_labels(
    labels: NDArray[np.integer[Any]], size: int
) -> NDArray[np.integer[Any]]:
    """Resize labels ``(T, H, W)`` to ``(T, S, S)``, each the nearest pixel."""
    height, width = labels.shape[-2:]
    if (height, width) == (size, size):
        return labels
    middles = (np.arange(size) + 0.5) / size
    rows, columns = (middles * height).astype(int), (middles * width).astype(int)
    return labels[:, rows[:, None], columns[None]]
