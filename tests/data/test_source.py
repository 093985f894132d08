from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr

import napari_sam2
from napari_sam2.data.source import FrameSource, as_frame_source
from napari_sam2.errors import ImageError


@pytest.mark.parametrize(
    ("shape", "frames", "frame"),
    [
        ((5, 8, 9), 5, (8, 9)),
        ((5, 8, 9, 3), 5, (8, 9, 3)),
        ((5, 8, 9, 4), 5, (8, 9, 3)),
        ((8, 9), 1, (8, 9)),
        ((8, 9, 3), 1, (8, 9, 3)),
        ((8, 9, 4), 1, (8, 9, 3)),
    ],
)
@pytest.mark.parametrize("backing", ["numpy", "dask", "zarr"])
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.float32])
def test_arrays(
    shape: tuple[int, ...],
    frames: int,
    frame: tuple[int, ...],
    backing: str,
    dtype: type,
) -> None:
    pixels = (np.arange(np.prod(shape)) % 7).reshape(shape).astype(dtype)
    array = {
        "numpy": lambda: pixels,
        "dask": lambda: da.from_array(pixels, chunks=4),
        "zarr": lambda: zarr.create_array({}, data=pixels, chunks=(4,) * len(shape)),
    }[backing]()
    source = as_frame_source(array)
    assert isinstance(source, FrameSource)
    assert len(source) == frames
    assert source.frame_shape == frame[:2]
    last = source[frames - 1]
    assert type(last) is np.ndarray
    assert last.dtype == dtype
    expected = pixels if frames == 1 else pixels[-1]
    if len(frame) == 3:
        expected = expected[..., :3]
    np.testing.assert_array_equal(last, expected)


def test_memory_map(tmp_path) -> None:
    pixels = np.memmap(tmp_path / "raw", np.uint16, "w+", shape=(4, 5, 6))
    pixels[2] = 7
    assert (as_frame_source(pixels)[2] == 7).all()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 8, 9), complex), "complex"),
        (np.zeros((2, 8, 9), object), "object"),
        (np.full((2, 8, 9), "a"), "<U1"),
        (np.zeros((2, 8, 9), "M8[s]"), "datetime"),
        (np.zeros(8), r"not 8\. .*select_frames"),
        (np.zeros((2, 5, 8, 9)), "not 2 x 5 x 8 x 9. .*select_frames"),
        (np.zeros((2, 5, 8, 9, 3)), "select_frames"),
        (np.zeros((0, 8, 9)), "empty"),
        (np.zeros((2, 0, 9)), "empty"),
    ],
)
def test_arrays_that_cannot_be_used(array: np.ndarray, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        as_frame_source(array)


def test_unknown_dask_shape() -> None:
    array = da.zeros((8, 4, 4))
    with pytest.raises(ImageError, match="compute_chunk_sizes"):
        as_frame_source(array[array[:, 0, 0] > 0])


class Discs:
    """A frame source that is no array."""

    def __init__(self, frames: int = 3, frame_shape: object = (4, 5)) -> None:
        self.frames = frames
        self.frame_shape = frame_shape

    def __len__(self) -> int:
        return self.frames

    def __getitem__(self, frame: int) -> np.ndarray:
        return np.full((4, 5), frame)


def test_a_frame_source_passes_through() -> None:
    source = Discs()
    assert as_frame_source(source) is source
    assert isinstance(source, napari_sam2.FrameSource)


@pytest.mark.parametrize("source", [Discs(0), Discs(2, (4, 5, 3)), Discs(2, (4, 0))])
def test_frame_sources_are_checked(source: Discs) -> None:
    with pytest.raises(ImageError):
        as_frame_source(source)


@pytest.mark.parametrize("other", [None, [1, 2], "image.tif", 3])
def test_neither_array_nor_source(other: object) -> None:
    with pytest.raises(TypeError, match="frames must be"):
        as_frame_source(other)
