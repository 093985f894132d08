"""Encoding of distances in time: the golden ones are too short to tell wavelengths."""

from __future__ import annotations

import math

import pytest
import torch

from napari_sam2.model.position_encoding import temporal_sine


@pytest.mark.parametrize("dim", [8, 64, 256])
def test_distances_in_time_are_sines_then_cosines_in_pairs(dim: int) -> None:
    distances = [0.0, 1.0, -1.0, 0.2, 37.0]
    half = dim // 2
    expected = [
        [
            wave(distance / 10000 ** (2 * (channel // 2) / half))
            for wave in (math.sin, math.cos)
            for channel in range(half)
        ]
        for distance in distances
    ]
    found = temporal_sine(torch.tensor(distances), dim)
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-4, rtol=0)
