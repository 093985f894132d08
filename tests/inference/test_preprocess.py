"""From frames and prompts to what the network takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2 import Prompt
from napari_sam2.data.contrast import Contrast
from napari_sam2.inference.preprocess import (
    moved_logits,
    preprocess,
    prompt_tensors,
    resize_mask,
    window_of,
)
from napari_sam2.model.records import View

CPU = torch.device("cpu")
MEAN = torch.tensor([0.485, 0.456, 0.406])
DEVIATION = torch.tensor([0.229, 0.224, 0.225])


def restored(image: torch.Tensor) -> torch.Tensor:
    """Undo the normalisation: ``(S, S, 3)`` in 0..1."""
    return image[0].permute(1, 2, 0) * DEVIATION + MEAN


def test_a_frame_of_the_input_size_is_not_resampled() -> None:
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    image = preprocess([frame], Contrast(((0, 255),)), 32, CPU)
    assert image.shape == (1, 3, 32, 32)
    expected = (torch.from_numpy(frame) / 255 - MEAN) / DEVIATION
    torch.testing.assert_close(image[0].permute(1, 2, 0), expected)


def test_grey_fills_all_colours_within_its_contrast() -> None:
    frame = np.array([[100, 200], [150, 900]], np.uint16).repeat(16, 0).repeat(16, 1)
    colours = restored(preprocess([frame], Contrast(((100, 200),)), 32, CPU))
    for y, x, value in ((0, 0, 0.0), (0, 31, 1.0), (31, 0, 0.5), (31, 31, 1.0)):
        torch.testing.assert_close(colours[y, x], torch.full((3,), value))


def test_three_frames_are_a_colour_each() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (3, 32, 32), dtype=np.uint8)
    colours = restored(preprocess(frames, Contrast(((0, 255),)), 32, CPU))
    expected = torch.from_numpy(frames).permute(1, 2, 0) / 255
    torch.testing.assert_close(colours, expected)


def test_more_frames_are_a_channel_each_and_alike() -> None:
    frames = np.full((7, 32, 32), 51, np.uint8)
    image = preprocess(frames, Contrast(((0, 255),)), 32, CPU)
    assert image.shape == (1, 7, 32, 32)
    expected = (0.2 - MEAN.mean()) / DEVIATION.mean()
    torch.testing.assert_close(image, expected.expand(1, 7, 32, 32), atol=2e-3, rtol=0)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_neighbours_in_colours_are_seen_in_grey(channels: int) -> None:
    rng = np.random.default_rng(0)
    shape = (3, 32, 32, channels)
    frames = rng.integers(0, 256, shape, dtype=np.uint8)
    colours = restored(preprocess(frames, Contrast(((0, 255),)), 32, CPU))
    expected = torch.from_numpy(frames).float().mean(-1).permute(1, 2, 0) / 255
    torch.testing.assert_close(colours, expected)


@pytest.mark.parametrize("shape", [(64, 64), (16, 16), (48, 80), (33, 129)])
def test_frames_of_any_size_fill_the_input(shape: tuple[int, int]) -> None:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    frame = (rows + 0.5) / shape[0] + 2 * (columns + 0.5) / shape[1]
    image = restored(preprocess([frame], Contrast(((0, 3),)), 32, CPU))[..., 0]
    centre = (np.arange(32) + 0.5) / 32
    expected = torch.from_numpy((centre[:, None] + 2 * centre) / 3).float()
    inner = slice(2, -2)
    torch.testing.assert_close(
        image[inner, inner], expected[inner, inner], atol=1e-3, rtol=0
    )


def test_points_and_boxes_are_scaled_to_the_input() -> None:
    view = View(y0=10, x0=20, height=50, width=200, input_size=100)
    prompt = Prompt([[20, 10], [220, 60]], [1, 0], box=[30, 20, 120, 35])
    tensors = prompt_tensors(prompt, view, 25, CPU)
    assert tensors.points_xy is not None
    assert tensors.labels is not None
    assert tensors.labels.tolist() == [[2, 3, 1, 0]]
    expected = [[5.0, 20.0], [50.0, 50.0], [0.0, 0.0], [100.0, 100.0]]
    torch.testing.assert_close(tensors.points_xy, torch.tensor([expected]))
    assert tensors.mask is None
    assert tensors.prior is None


def test_a_mask_alone_is_the_mask_and_with_points_a_prior() -> None:
    mask = np.zeros((32, 32), bool)
    mask[8:24, 8:24] = True
    view = View.whole((32, 32), 32)
    alone = prompt_tensors(Prompt(mask=mask), view, 8, CPU)
    assert alone.prior is None
    assert alone.mask is not None
    np.testing.assert_array_equal(alone.mask[0, 0].numpy(), mask)
    prior = prompt_tensors(Prompt([[9, 9]], mask=mask), view, 8, CPU)
    assert prior.mask is None
    assert prior.prior is not None
    assert prior.prior.shape == (1, 1, 8, 8)
    assert prior.prior[0, 0, 4, 4].item() == pytest.approx(10)
    assert prior.prior[0, 0, 0, 0].item() == pytest.approx(-10)


@given(shape=st.tuples(st.integers(1, 300), st.integers(1, 300)), data=st.data())
def test_no_painted_pixel_vanishes(shape: tuple[int, int], data: st.DataObject) -> None:
    y = data.draw(st.integers(0, shape[0] - 1))
    x = data.draw(st.integers(0, shape[1] - 1))
    mask = np.zeros(shape, bool)
    mask[y, x] = True
    resized = resize_mask(mask, View.whole(shape, 32), 32, CPU)[0, 0]
    assert set(resized.unique().tolist()) <= {0.0, 1.0}
    rows, columns = resized.nonzero().float().mul(1 / 32).unbind(1)
    assert len(rows)
    # It lies where the pixel does, give or take one pixel of either grid.
    tolerance = [1 / 32 + 1 / length for length in shape]
    assert abs(rows.mean() + 1 / 64 - (y + 0.5) / shape[0]) <= tolerance[0]
    assert abs(columns.mean() + 1 / 64 - (x + 0.5) / shape[1]) <= tolerance[1]


def test_an_empty_mask_stays_empty() -> None:
    empty = np.zeros((45, 70), bool)
    assert not resize_mask(empty, View.whole((45, 70), 32), 32, CPU).any()


FRAME = np.arange(40 * 60).reshape(40, 60)


@pytest.mark.parametrize("finer", [1, 2, 3])
def test_a_window_is_cut_from_pixels_of_any_resolution(finer: int) -> None:
    pixels = FRAME.repeat(finer, 0).repeat(finer, 1)
    window = window_of(pixels, View(10, 20, 15, 30, 32), FRAME.shape)
    assert window.shape == (15 * finer, 30 * finer)
    np.testing.assert_array_equal(window[::finer, ::finer], FRAME[10:25, 20:50])


def test_a_window_of_coarse_pixels_is_never_empty() -> None:
    coarse = FRAME[::20, ::20]
    assert window_of(coarse, View(21, 3, 4, 4, 32), FRAME.shape).size


def test_logits_move_with_the_window() -> None:
    logits = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    before = View(8, 16, 32, 32, 32)
    same = moved_logits(logits, before, before, 8, -10)
    torch.testing.assert_close(same, logits)
    after = View(16, 12, 32, 32, 32)  # by two samples down and one to the left
    moved = moved_logits(logits, before, after, 8, -10)
    torch.testing.assert_close(moved[..., :6, 1:], logits[..., 2:, :7])
    assert (moved[..., 6:, :] == -10).all()
    assert (moved[..., :, 0] == -10).all()


def test_logits_seen_from_nearer_keep_their_place() -> None:
    logits = torch.full((1, 1, 8, 8), -5.0)
    logits[..., 3:5, 3:5] = 5
    nearer = moved_logits(
        logits, View(0, 0, 64, 64, 32), View(16, 16, 32, 32, 32), 16, -10
    )
    assert (nearer[..., 5:11, 5:11] > 0).all()
    assert (nearer[..., :3, :] < 0).all()
