"""Small stacks of discs with true labels, for the tests of evaluation."""

from __future__ import annotations

import numpy as np


def discs(
    frames: int = 9, *, drift: float = 1.0, first: int = 1, last: int = 7
) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels ``(T, 40, 48)``: disc 1 on some frames, disc 2 on all."""
    y, x = np.mgrid[:40, :48]
    labels = np.zeros((frames, 40, 48), np.uint16)
    for frame, plane in enumerate(labels):
        if first <= frame <= last:
            plane[(y - 12) ** 2 + (x - 12 - drift * frame) ** 2 < 36] = 1
        plane[(y - 28) ** 2 + (x - 30) ** 2 < 49] = 2
    images = 100 + 900 * (labels > 0)
    noise = np.random.default_rng(0).integers(0, 60, images.shape)
    return (images + noise).astype(np.uint16), labels
