from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.data.blocks import BlockReader
from napari_sam2.data.image import StackImage, open_image, select_frames
from napari_sam2.errors import ImageError

LENGTHS = {"T": 3, "Z": 5, "C": 2, "Y": 7, "X": 6}


def numbered(axes: str) -> np.ndarray:
    shape = [LENGTHS[letter] for letter in axes]
    return np.arange(np.prod(shape)).reshape(shape)


@given(
    axes=st.permutations("TZCYX").map("".join),
    frame_axis=st.sampled_from("TZ"),
    channels=st.sampled_from([0, 1, (0,), (1, 0), (0, 1), (1, 1), None]),
    backing=st.sampled_from(["numpy", "dask", "zarr"]),
    other=st.integers(0, 2),
)
def test_any_order_of_axes(
    axes: str, frame_axis: str, channels: object, backing: str, other: int
) -> None:
    pixels = numbered(axes)
    data = pixels
    if backing == "dask":
        data = da.from_array(pixels, chunks=2)
    elif backing == "zarr":
        data = zarr.create_array({}, data=pixels, chunks=(2,) * 5)
    fixed_axis = "Z" if frame_axis == "T" else "T"
    frames = select_frames(
        open_image(data, axes=axes),
        frame_axis=frame_axis,
        position={fixed_axis: other},
        channels=channels,
    )
    order = [axes.index(letter) for letter in (frame_axis, fixed_axis, *"YXC")]
    expected = pixels.transpose(order)[:, other]
    if channels is None:
        channels = (0, 1)
    if isinstance(channels, int):
        channels = (channels,)
    expected = expected[..., list(channels)]
    assert len(frames) == LENGTHS[frame_axis]
    assert frames.frame_shape == (7, 6)
    for number, frame in enumerate(frames):
        if len(channels) == 1:
            np.testing.assert_array_equal(frame, expected[number, ..., 0])
        else:
            np.testing.assert_array_equal(frame[..., :2], expected[number])
            assert not frame[..., 2].any()


@pytest.mark.parametrize(
    ("axes", "shape", "frame_axis", "position", "length"),
    [
        ("ZYX", (5, 7, 6), "Z", {}, 5),
        ("TYX", (5, 7, 6), "T", {}, 5),
        ("TZYX", (3, 5, 7, 6), "Z", {"T": 0}, 5),
        ("TZYX", (3, 1, 7, 6), "T", {"Z": 0}, 3),
        ("TZYX", (1, 5, 7, 6), "Z", {"T": 0}, 5),
        ("YX", (7, 6), "Z", {}, 1),
        ("TYX", (1, 7, 6), "T", {}, 1),
    ],
)
def test_default_frame_axis(
    axes: str, shape: tuple[int, ...], frame_axis: str, position: dict, length: int
) -> None:
    frames = select_frames(StackImage(np.zeros(shape), axes=axes))
    assert frames.axes == f"{frame_axis}YX"
    assert frames.position == position
    assert len(frames) == length


def test_middle_of_depth_is_the_default() -> None:
    image = StackImage(numbered("TZYX"), axes="TZYX")
    frames = select_frames(image, frame_axis="T")
    assert frames.position == {"Z": 2}
    np.testing.assert_array_equal(frames[1], numbered("TZYX")[1, 2])


def test_scale_and_units_follow_the_axes() -> None:
    image = StackImage(
        numbered("XYZT"),
        axes="XYZT",
        scale=(0.1, 0.2, 3.0, 60.0),
        units=("micrometer", "micrometer", None, "second"),
    )
    frames = select_frames(image, frame_axis="T")
    assert frames.axes == "TYX"
    assert frames.scale == (60.0, 0.2, 0.1)
    assert frames.units == ("second", "micrometer", "micrometer")


@pytest.mark.parametrize("samples", [3, 4])
def test_colour_pictures_lose_alpha(samples: int) -> None:
    pixels = np.arange(2 * 9 * 8 * samples).reshape(2, 9, 8, samples)
    frames = select_frames(StackImage(pixels, axes="TYXS"))
    assert not frames.composite
    np.testing.assert_array_equal(frames[1], pixels[1, ..., :3])


def test_three_channels_become_colours() -> None:
    pixels = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    frames = select_frames(StackImage(pixels, axes="TCYX"))
    assert frames.composite
    np.testing.assert_array_equal(frames[1], np.moveaxis(pixels[1], 0, 2))


def test_foreign_byte_order_becomes_native() -> None:
    frames = select_frames(StackImage(numbered("ZYX").astype(">u2"), axes="ZYX"))
    assert frames.dtype == frames[0].dtype == np.dtype(np.uint16)
    assert frames.dtype.isnative
    np.testing.assert_array_equal(frames[4], numbered("ZYX")[4])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frame_axis": "Y"}, "must be Z or T"),
        ({"position": {"T": 3}}, "no position on T 3.*from 0 to 2"),
        ({"position": {"T": -1}}, "no position on T -1"),
        ({"position": {"Z": 0}}, "Z is the frame axis"),
        ({"position": {"C": 0}}, "Choose channels by number"),
        ({"position": {"Y": 0}}, "fixed on Z or T"),
        ({"channels": 2}, "no channel 2.*from 0 to 1"),
        ({"channels": -1}, "no channel -1"),
        ({"channels": (0, 1, 0, 1)}, "4 channels are chosen"),
        ({"channels": ()}, "0 channels are chosen"),
    ],
)
def test_wrong_choices(options: dict, message: str) -> None:
    image = StackImage(numbered("TZCYX"), axes="TZCYX")
    with pytest.raises(ImageError, match=message):
        select_frames(image, **options)


def test_missing_frame_axis() -> None:
    image = StackImage(np.zeros((5, 7, 6)), axes="ZYX")
    with pytest.raises(ImageError, match=r"no axis T \(time\): it has Z 5, Y 7, X 6"):
        select_frames(image, frame_axis="T")
    with pytest.raises(ImageError, match="no axis T to fix"):
        select_frames(image, position={"T": 0})


def test_many_channels_need_a_choice() -> None:
    image = StackImage(
        np.zeros((5, 7, 6)), axes="CYX", channel_names=("DAPI", "GFP", "a", "b", "c")
    )
    with pytest.raises(ImageError, match=r"5 channels \(0 DAPI, 1 GFP, .*up to three"):
        select_frames(image)
    assert select_frames(image, channels=[4, 0]).channels == (4, 0)


@pytest.mark.parametrize("frame", [-1, 5])
def test_frames_outside_are_an_index_error(frame: int) -> None:
    frames = select_frames(StackImage(np.zeros((5, 7, 6)), axes="ZYX"))
    with pytest.raises(IndexError, match="of 5 frames"):
        frames[frame]


class CountingArray:
    """An array that counts how many pixels are read from it."""

    def __init__(self, pixels: np.ndarray, chunks: object) -> None:
        self.pixels = pixels
        self.shape = pixels.shape
        self.dtype = pixels.dtype
        self.chunks = chunks
        self.read = 0

    def __getitem__(self, key: object) -> np.ndarray:
        part = self.pixels[key]
        self.read += part.size
        return part


@pytest.mark.parametrize("chunks", [(4, 7, 6), ((4, 4, 2), (7,), (6,))])
def test_chunks_are_decoded_once(chunks: object) -> None:
    pixels = np.arange(10 * 7 * 6).reshape(10, 7, 6)
    data = CountingArray(pixels, chunks)
    frames = select_frames(StackImage(data, axes="ZYX"))
    for number in (0, 5, 3, 1, 4, 9, 8):
        np.testing.assert_array_equal(frames[number], pixels[number])
    assert data.read == pixels.size
    frames[0]
    assert data.read == pixels.size + 4 * 7 * 6


def test_a_frame_may_be_changed() -> None:
    data = CountingArray(np.zeros((4, 7, 6)), (4, 7, 6))
    frames = select_frames(StackImage(data, axes="ZYX"))
    frames[0][:] = 1
    assert not frames[0].any()


def test_large_blocks_are_not_kept() -> None:
    data = CountingArray(np.zeros((4, 7, 6)), (4, 7, 6))
    reader = BlockReader(data, 0, block_bytes=4 * 7 * 6 * 8 - 1)
    reader.read((1, slice(None), slice(None)))
    assert data.read == 7 * 6


def test_damaged_chunk(tmp_path) -> None:
    path = tmp_path / "stack.zarr"
    zarr.create_array(path, data=np.ones((3, 20, 20)), chunks=(1, 20, 20))
    chunk = path / "c" / "1" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:10])
    frames = select_frames(open_image(path))
    assert frames[0].all()
    with pytest.raises(ImageError, match=r"Frame 1 of stack\.zarr cannot be read"):
        frames[1]
