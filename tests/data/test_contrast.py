from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam2.data.contrast import Contrast, estimate_contrast
from napari_sam2.data.image import StackImage, select_frames
from napari_sam2.data.source import as_frame_source
from napari_sam2.errors import ImageError

REAL_TYPES = [
    "?",
    *("i1", "i2", "i4", "i8"),
    *("u1", "u2", "u4", "u8", ">u2", ">i2"),
    *("f2", "f4", "f8"),
]


@given(
    st.sampled_from(REAL_TYPES).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=2, max_dims=2))
    ),
    st.tuples(st.floats(-1e308, 1e308), st.floats(-1e308, 1e308)).map(sorted),
)
def test_apply_any_type(frame: np.ndarray, limits: list[float]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scaled = Contrast(((limits[0], limits[1]),)).apply(frame)
    assert scaled.dtype == np.float32
    assert scaled.shape == (*frame.shape, 3)
    assert ((scaled >= 0) & (scaled <= 1)).all()
    assert (scaled == scaled[..., :1]).all()


@given(
    hnp.arrays("i2", (3, 5)),
    st.integers(-40000, 40000),
    st.integers(1, 70000),
)
def test_apply_is_linear_between_limits(frame: np.ndarray, low: int, span: int) -> None:
    scaled = Contrast(((low, low + span),)).apply(frame)[..., 0]
    expected = np.clip((frame.astype(float) - low) / span, 0, 1)
    np.testing.assert_allclose(scaled, expected, atol=1e-6)
    as_float = Contrast(((low, low + span),)).apply(frame.astype(np.float32))
    np.testing.assert_allclose(as_float[..., 0], expected, atol=1e-6)


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 2), (4, 6, 3)])
def test_grey_is_the_mean_of_the_colours(dtype: str, shape: tuple[int, ...]) -> None:
    frame = np.random.default_rng(0).uniform(0, 120, shape).astype(dtype)
    contrast = Contrast(((0, 100), (10, 90), (20, 50))[: shape[-1]])
    colours = contrast.apply(frame)
    if frame.ndim == 3:
        colours = colours[..., : shape[-1]]
    grey = contrast.apply_grey(frame)
    assert grey.dtype == np.float32
    np.testing.assert_allclose(grey, colours.mean(axis=-1), atol=1e-6)


def test_a_filled_up_channel_is_no_part_of_the_grey() -> None:
    frame = np.full((4, 5, 3), 10.0, np.float32)
    frame[..., 2] = 0
    contrast = Contrast(((0, 10), (0, 20)))
    assert np.all(contrast.apply_grey(frame) == np.float32(0.75))
    assert np.array_equal(
        contrast.apply_grey(frame[..., :2]), contrast.apply_grey(frame)
    )


def test_apply_special_values() -> None:
    frame = np.array([[np.nan, -np.inf, np.inf, 5.0]], np.float32)
    assert Contrast((0, 10)).apply(frame)[0, :, 0].tolist() == [0, 0, 1, 0.5]


@pytest.mark.parametrize("dtype", REAL_TYPES)
def test_constant_image_is_black(dtype: str) -> None:
    source = as_frame_source(np.ones((4, 6, 5), dtype))
    contrast = estimate_contrast(source)
    assert not contrast.apply(source[0]).any()


def test_8_bit_colour_is_left_alone() -> None:
    frames = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    source = as_frame_source(frames)
    scaled = estimate_contrast(source).apply(source[0])
    np.testing.assert_array_equal(scaled, frames[0].astype(np.float32) / 255)


def test_16_bit_colour_shares_limits() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(100, 3000, (4, 40, 50, 3)).astype(np.uint16)
    contrast = estimate_contrast(as_frame_source(frames))
    expected = np.percentile(frames, (0.5, 99.9))
    np.testing.assert_allclose(contrast.limits, [expected])


@pytest.mark.parametrize("channels", [(0, 1), (2, 0, 1)])
def test_composites_have_limits_per_channel(channels: tuple[int, ...]) -> None:
    frames = np.zeros((5, 3, 20, 20), np.uint8)
    frames[:, :, :10] = np.array([10, 100, 200])[:, None, None]
    image = StackImage(frames, axes="ZCYX")
    source = select_frames(image, channels=channels)
    contrast = estimate_contrast(source)
    brightest = [(10, 100, 200)[channel] for channel in channels]
    assert contrast.limits == tuple((0, value) for value in brightest)
    scaled = contrast.apply(source[0])
    assert (scaled[:10, :, : len(channels)] == 1).all()
    assert not scaled[..., len(channels) :].any()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_one_pair_of_limits_is_for_the_channels_that_there_are(count: int) -> None:
    frames = np.full((5, 3, 20, 20), 50, np.int16)
    source = select_frames(StackImage(frames, axes="ZCYX"), channels=range(count))
    contrast = estimate_contrast(source, limits=(-50, 150))
    grey = contrast.apply_grey(source[0])
    np.testing.assert_allclose(grey, 0.5)
    if count == 2:  # the third, which fills the colours up, is black
        assert not contrast.apply(source[0])[..., 2].any()


def test_percentiles_run_over_the_whole_stack() -> None:
    frames = np.arange(8, dtype=np.float32)[:, None, None] * np.ones((8, 10, 10))
    contrast = estimate_contrast(as_frame_source(frames), percentiles=(0, 100))
    assert contrast.limits == ((0, 7),)


def test_sparse_objects_are_seen() -> None:
    frames = np.zeros((10, 100, 100), np.uint16)
    frames[:, 5, 5] = 900
    assert estimate_contrast(as_frame_source(frames)).limits == ((0, 900),)


def test_nan_and_infinity_do_not_count() -> None:
    frames = np.linspace(0, 1, 2000, dtype=np.float32).reshape(5, 20, 20)
    frames[0] = np.nan
    frames[1, :3] = np.inf
    low, high = estimate_contrast(as_frame_source(frames), percentiles=(0, 100)).limits[
        0
    ]
    assert 0 < low < high == 1


def test_all_nan_is_black() -> None:
    source = as_frame_source(np.full((3, 8, 8), np.nan))
    assert not estimate_contrast(source).apply(source[0]).any()


class CountingSource:
    """Large frames that are made when asked for, and counted."""

    def __init__(self, frames: int, side: int) -> None:
        self.frames = frames
        self.frame_shape = (side, side)
        self.asked: list[int] = []

    def __len__(self) -> int:
        return self.frames

    def __getitem__(self, frame: int) -> np.ndarray:
        self.asked.append(frame)
        return np.broadcast_to(np.uint16(frame), self.frame_shape)


@pytest.mark.parametrize(
    ("frames", "side", "most"), [(10000, 64, 32), (10000, 20000, 2), (1, 64, 1)]
)
def test_few_frames_are_looked_at(frames: int, side: int, most: int) -> None:
    source = CountingSource(frames, side)
    contrast = estimate_contrast(source, percentiles=(0, 100))
    assert len(source.asked) <= most
    assert contrast.limits == ((0, frames - 1),)
    assert contrast == estimate_contrast(source, percentiles=(0, 100))


@pytest.mark.parametrize("limits", [(10, 20), [(10, 20)], ((10, 20),)])
def test_given_limits_win(limits: object) -> None:
    source = as_frame_source(np.zeros((2, 8, 8, 3), np.uint8))
    assert estimate_contrast(source, limits=limits).limits == ((10, 20),)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ((20, 10), "low before high"),
        ((10, 10), "low before high"),
        ((0, math.inf), "finite"),
        ((math.nan, 1), "finite"),
        ((1, 2, 3), "must be \\(low, high\\)"),
        ([(0, 1)] * 4, "up to three"),
        ([(0, 1)] * 2, "2 pairs of contrast limits are given for 1"),
    ],
)
def test_given_limits_are_checked(limits: object, message: str) -> None:
    source = as_frame_source(np.zeros((2, 8, 8)))
    with pytest.raises(ImageError, match=message):
        estimate_contrast(source, limits=limits)


def test_percentiles_are_checked() -> None:
    with pytest.raises(ValueError, match="must rise"):
        estimate_contrast(as_frame_source(np.zeros((8, 8))), percentiles=(90, 10))


@pytest.mark.parametrize("shape", [(8,), (8, 8, 4), (2, 8, 8, 3)])
def test_apply_refuses_other_frames(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="A frame is"):
        Contrast((0, 1)).apply(np.zeros(shape))
