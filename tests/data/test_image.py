from __future__ import annotations

from typing import TYPE_CHECKING

import dask.array as da
import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_sam2.data.image import open_image, select_frames
from napari_sam2.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path

STACK = np.random.default_rng(0).integers(0, 4000, (5, 40, 33)).astype(np.uint16)
HYPERSTACK = (
    np.random.default_rng(1).integers(0, 4000, (3, 5, 2, 20, 17)).astype(np.uint16)
)
COLOUR = np.random.default_rng(2).integers(0, 255, (4, 32, 48, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    "options",
    [
        {"metadata": None},
        {"metadata": None, "bigtiff": True},
        {"metadata": None, "byteorder": ">"},
        {"metadata": None, "tile": (16, 16)},
        {"compression": "lzw"},
        {"compression": "lzw", "predictor": True},
        {"compression": "zlib", "tile": (32, 16)},
        {"compression": "zstd"},
        {"imagej": True, "metadata": {"axes": "ZYX"}},
        {"imagej": True, "metadata": {"axes": "ZYX"}, "compression": "zlib"},
        {"ome": True, "metadata": {"axes": "ZYX"}},
        {"ome": True, "metadata": {"axes": "ZYX"}, "bigtiff": True, "tile": (16, 16)},
        {"metadata": {"axes": "ZYX"}},
    ],
    ids=str,
)
def test_tiff(tmp_path: Path, options: dict) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack", **options)
    image = open_image(path)
    assert (image.axes, image.shape, image.dtype) == ("ZYX", STACK.shape, np.uint16)
    assert image.name == "stack.tif"
    np.testing.assert_array_equal(np.asarray(image.data), STACK)
    frames = select_frames(image)
    np.testing.assert_array_equal(frames[3], STACK[3])
    path.replace(tmp_path / "moved.tif")  # no file is held open


@pytest.mark.parametrize("axes", ["TZCYX", "ZTCYX", "CTZYX"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_ome_hyperstack(tmp_path: Path, axes: str, compression: str | None) -> None:
    path = tmp_path / "stack.ome.tif"
    metadata = {
        "axes": axes,
        "PhysicalSizeX": 0.1,
        "PhysicalSizeXUnit": "\u00b5m",
        "PhysicalSizeY": 200,
        "PhysicalSizeYUnit": "nm",
        "PhysicalSizeZ": 0.5,
        "TimeIncrement": 2.5,
        "TimeIncrementUnit": "min",
        "Channel": {
            "Name": ["a", "b", "c", "d", "e"][: HYPERSTACK.shape[axes.index("C")]]
        },
    }
    tifffile.imwrite(path, HYPERSTACK, compression=compression, metadata=metadata)
    image = open_image(path)
    assert image.axes == axes
    assert image.channel_names[:2] == ("a", "b")
    steps = {letter: (image.step(letter), image.unit(letter)) for letter in "TZYX"}
    assert steps == {
        "T": (2.5, "minute"),
        "Z": (0.5, "micrometer"),
        "Y": (200, "nanometer"),
        "X": (0.1, "micrometer"),
    }
    np.testing.assert_array_equal(np.asarray(image.data), HYPERSTACK)
    np.testing.assert_array_equal(
        np.asarray(image.data[1, ..., 2:5]), HYPERSTACK[1, ..., 2:5]
    )


def test_imagej_hyperstack(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(
        path,
        HYPERSTACK,
        imagej=True,
        resolution=(4, 2),
        metadata={"axes": "TZCYX", "spacing": 0.5, "unit": "um", "finterval": 60.0},
    )
    image = open_image(path)
    assert image.axes == "TZCYX"
    assert image.scale == (60.0, 0.5, 1.0, 0.5, 0.25)
    assert image.units == ("second", "micrometer", None, "micrometer", "micrometer")


def test_imagej_stack_stored_behind_one_directory(tmp_path: Path) -> None:
    # ImageJ writes stacks above 4 GB so: one directory, all planes in a row.
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": "TYX"}, truncate=True)
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.pages) == 1
    image = open_image(path)
    assert image.axes == "TYX"
    np.testing.assert_array_equal(select_frames(image)[4], STACK[4])


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colour_tiff(tmp_path: Path, planar: str) -> None:
    path = tmp_path / "colour.tif"
    pixels = COLOUR if planar == "contig" else np.moveaxis(COLOUR, 3, 1)
    tifffile.imwrite(path, pixels, photometric="rgb", planarconfig=planar)
    frames = select_frames(open_image(path))
    assert not frames.composite
    np.testing.assert_array_equal(frames[2], COLOUR[2])


def test_jpeg_compressed_tiff(tmp_path: Path) -> None:
    path = tmp_path / "colour.tif"
    smooth = np.broadcast_to(np.linspace(0, 250, 48)[:, None], (2, 32, 48, 3))
    smooth = smooth.astype(np.uint8)
    tifffile.imwrite(path, smooth, photometric="rgb", compression="jpeg")
    frame = select_frames(open_image(path))[1]
    np.testing.assert_allclose(frame.astype(int), smooth[1], atol=6)


def test_samples_without_colour_are_channels(tmp_path: Path) -> None:
    path = tmp_path / "channels.tif"
    pixels = np.moveaxis(COLOUR, 3, 1)[:1]
    tifffile.imwrite(
        path, pixels, photometric="minisblack", planarconfig="separate", metadata=None
    )
    frames = select_frames(open_image(path))
    assert frames.channels == (0, 1, 2)
    assert frames.composite


@pytest.mark.parametrize("axes", ["TYX", "CYX", "tyx"])
def test_given_axes_win(tmp_path: Path, axes: str) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": "ZYX"})
    assert open_image(path, axes=axes).axes == axes.upper()


@pytest.mark.parametrize("axes", ["YX", "ZZYX", "ZYXQ", "ZCT"])
def test_wrong_axes(tmp_path: Path, axes: str) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, STACK)
    with pytest.raises(ImageError, match="Axes"):
        open_image(path, axes=axes)


def test_one_page_is_read_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, STACK, compression="zlib", metadata=None)
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[3].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[offset : offset + 8] = b"\xff" * 8
    path.write_bytes(content)
    frames = select_frames(open_image(path))
    np.testing.assert_array_equal(frames[2], STACK[2])
    np.testing.assert_array_equal(frames[4], STACK[4])
    with pytest.raises(ImageError, match=r"Page 3 of .* cannot be decoded"):
        frames[3]


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("imagej", [False, True])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.9, 0.97])
def test_truncated_tiff(
    tmp_path: Path, compression: str | None, imagej: bool, kept: float
) -> None:
    path = tmp_path / "stack.tif"
    options = {"imagej": True} if imagej else {"metadata": None}
    tifffile.imwrite(path, STACK, compression=compression, **options)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ImageError, match="cut short"):
        open_image(path)


def test_dask_and_zarr_arrays() -> None:
    lazy = da.from_array(STACK, chunks=(1, 40, 33))
    assert open_image(lazy).data is lazy
    array = zarr.create_array({}, data=STACK, dimension_names=["t", "y", "x"])
    assert open_image(array).axes == "TYX"
    assert open_image(array, axes="ZYX").axes == "ZYX"


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_array(tmp_path: Path, zarr_format: int) -> None:
    path = tmp_path / "stack.zarr"
    zarr.create_array(path, data=STACK, chunks=(2, 20, 20), zarr_format=zarr_format)
    image = open_image(path)
    assert image.axes == "ZYX"
    np.testing.assert_array_equal(select_frames(image)[3], STACK[3])


def write_ome_zarr(path: Path, version: str) -> None:
    axes = [
        {"name": "t", "type": "time", "unit": "second"},
        {"name": "c", "type": "channel"},
        *({"name": n, "type": "space", "unit": "micrometer"} for n in "yx"),
    ]
    scale = {"type": "scale", "scale": [1.0, 1.0, 0.5, 0.25]}
    datasets = [
        {"path": level, "coordinateTransformations": [scale]} for level in ("s0", "s1")
    ]
    whole = {"type": "scale", "scale": [30.0, 1.0, 1.0, 1.0]}
    metadata = {
        "multiscales": [
            {"axes": axes, "datasets": datasets, "coordinateTransformations": [whole]}
        ],
        "omero": {"channels": [{"label": "DAPI"}, {"label": "GFP"}]},
    }
    attributes = (
        metadata if version == "0.4" else {"ome": {"version": "0.5", **metadata}}
    )
    group = zarr.open_group(
        path, mode="w", zarr_format=2 if version == "0.4" else 3, attributes=attributes
    )
    pixels = HYPERSTACK[:, 0]
    for level, part in (("s0", pixels), ("s1", pixels[..., ::2, ::2])):
        array = group.create_array(level, shape=part.shape, dtype=part.dtype)
        array[:] = part


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr(tmp_path: Path, version: str) -> None:
    path = tmp_path / "image.ome.zarr"
    write_ome_zarr(path, version)
    image = open_image(path)
    assert image.axes == "TCYX"
    assert image.scale == (30.0, 1.0, 0.5, 0.25)
    assert image.units == ("second", None, "micrometer", "micrometer")
    assert image.channel_names == ("DAPI", "GFP")
    np.testing.assert_array_equal(np.asarray(image.data[2]), HYPERSTACK[2, 0])
    assert open_image(path / "s1").shape == (3, 2, 10, 9)


def test_zarr_group_of_several_arrays(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "group.zarr", mode="w")
    group.create_array("raw", shape=STACK.shape, dtype=STACK.dtype)
    assert open_image(tmp_path / "group.zarr").shape == STACK.shape
    group.create_array("labels", shape=STACK.shape, dtype=STACK.dtype)
    with pytest.raises(ImageError, match="it holds labels, raw"):
        open_image(tmp_path / "group.zarr")


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"zarr_format": 3, "node_type": "group"}',
        '{"zarr_format": 3, "node_type": "array"}',
        '{"zarr_format": 3, "node_type": "group",'
        ' "attributes": {"ome": {"multiscales": [{}]}}}',
        '{"zarr_format": 3, "node_type": "group",'
        ' "attributes": {"ome": {"multiscales": [{"datasets": [{"path": "gone"}]}]}}}',
    ],
)
def test_broken_zarr(tmp_path: Path, content: str) -> None:
    (tmp_path / "zarr.json").write_text(content)
    with pytest.raises(ImageError):
        open_image(tmp_path)


def test_npy_is_mapped(tmp_path: Path) -> None:
    path = tmp_path / "stack.npy"
    np.save(path, STACK)
    image = open_image(path)
    assert isinstance(image.data, np.memmap)
    np.testing.assert_array_equal(select_frames(image)[4], STACK[4])


def test_npy_of_objects(tmp_path: Path) -> None:
    path = tmp_path / "objects.npy"
    np.save(path, np.array([[None, "a"]], object), allow_pickle=True)
    with pytest.raises(ImageError, match="holds objects"):
        open_image(path)


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_folder_in_natural_order(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "movie"
    folder.mkdir()
    for number, frame in enumerate(STACK):
        path = folder / f"A--W01.v2--T{number * 5}--Z0{suffix}"
        if suffix == ".png":
            path.write_bytes(imagecodecs.png_encode(frame))
        else:
            tifffile.imwrite(path, frame)
    (folder / "notes.txt").write_text("not a frame")
    (folder / f".hidden{suffix}").write_text("not a frame")
    image = open_image(folder)
    assert (image.axes, image.shape, image.name) == ("TYX", STACK.shape, "movie")
    np.testing.assert_array_equal(np.asarray(image.data), STACK)
    assert open_image(folder, axes="ZYX").axes == "ZYX"


@pytest.mark.parametrize(
    ("names", "axis"),
    [
        (("t1", "t2"), "T"),
        (("cell_time_01", "cell_time_02"), "T"),
        (("frame1", "frame2"), "T"),
        (("z1", "z2"), "Z"),
        (("1", "2"), "Z"),
        (("cat1", "cat2"), "Z"),
    ],
)
def test_axis_of_a_folder(tmp_path: Path, names: tuple[str, str], axis: str) -> None:
    for name in names:
        tifffile.imwrite(tmp_path / f"{name}.tif", STACK[0])
    assert open_image(tmp_path).axes == f"{axis}YX"


def test_folder_of_volumes(tmp_path: Path) -> None:
    for number in range(3):
        tifffile.imwrite(
            tmp_path / f"{number}.tif",
            STACK + number,
            imagej=True,
            metadata={"axes": "ZYX", "spacing": 2.0, "unit": "um"},
        )
    image = open_image(tmp_path)
    assert image.axes == "TZYX"
    assert image.scale == (1.0, 2.0, 1.0, 1.0)
    np.testing.assert_array_equal(
        select_frames(image, position={"T": 2})[4], STACK[4] + 2
    )


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (STACK[0, 1:], "t2.tif is 39 x 33 uint16, t1.tif is 40 x 33 uint16"),
        (STACK[0].astype(np.float32), "t2.tif is 40 x 33 float32"),
        (None, "t2.tif is empty"),
    ],
)
def test_odd_file_in_a_folder(
    tmp_path: Path, odd: np.ndarray | None, message: str
) -> None:
    tifffile.imwrite(tmp_path / "t1.tif", STACK[0])
    tifffile.imwrite(tmp_path / "t10.tif", STACK[1])
    if odd is None:
        (tmp_path / "t2.tif").touch()
    else:
        tifffile.imwrite(tmp_path / "t2.tif", odd)
    with pytest.raises(ImageError, match=message):
        open_image(tmp_path)


def test_mixed_folder(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK[0])
    (tmp_path / "b.png").write_bytes(imagecodecs.png_encode(STACK[0]))
    with pytest.raises(ImageError, match="mixes PNG and TIFF"):
        open_image(tmp_path)


@pytest.mark.parametrize(
    ("pixels", "shape"),
    [
        (COLOUR[0], (32, 48, 3)),
        (COLOUR[0, ..., 0], (32, 48)),
        (STACK[0], (40, 33)),
        (COLOUR[0].astype(np.uint16) * 200, (32, 48, 3)),
        (np.dstack([COLOUR[0], COLOUR[1, ..., 0]]), (32, 48, 3)),
        (COLOUR[0, ..., :2], (32, 48)),
    ],
    ids=["colour", "grey", "16 bit", "16 bit colour", "alpha", "grey with alpha"],
)
def test_png(tmp_path: Path, pixels: np.ndarray, shape: tuple[int, ...]) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels)))
    frame = select_frames(open_image(path))[0]
    assert frame.shape == shape
    expected = pixels[..., : shape[2]] if len(shape) == 3 else pixels
    if len(shape) < pixels.ndim:
        expected = pixels[..., 0]
    np.testing.assert_array_equal(frame, expected)


def test_truncated_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    content = imagecodecs.jpeg_encode(COLOUR[0])
    path.write_bytes(content)
    assert open_image(path).shape == (32, 48, 3)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match="cannot be decoded"):
        open_image(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.tif", b"", "empty"),
        ("empty.npy", b"", "empty"),
        ("page.tif", b"<html><body>404</body></html>", "cannot be read as TIFF"),
        ("text.png", b"hello there", "not a PNG or JPEG"),
        ("text.npy", b"hello there", "cannot be read as .npy"),
        ("header.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': '<u2'(", ".npy"),
        ("stack.zip", b"PK\x03\x04....", "Unpack it"),
        ("stack.npz", b"PK\x03\x04....", "several arrays"),
        ("stack.zarr", b"PK\x03\x04....", "Unpack it"),
        ("notes.txt", b"hello there", "not an image that can be opened"),
        ("half.tif", b"II*\x00", "cannot be read as TIFF"),
    ],
)
def test_what_is_no_image(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=message):
        open_image(tmp_path / name)


def test_the_folder_of_an_ome_tiff_of_several_files_is_one_stack(
    tmp_path: Path,
) -> None:
    frames = np.arange(2 * 6 * 7, dtype=np.uint8).reshape(2, 6, 7)
    ids = (f"urn:uuid:00000000-0000-0000-0000-{t:012d}" for t in range(2))
    files = {f"s{t}.ome.tif": uuid for t, uuid in enumerate(ids)}
    planes = "".join(
        f'<TiffData IFD="0" FirstT="{t}" PlaneCount="1">'
        f'<UUID FileName="{file}">{uuid}</UUID></TiffData>'
        for t, (file, uuid) in enumerate(files.items())
    )
    for frame, (file, uuid) in zip(frames, files.items(), strict=True):
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?><OME xmlns='
            f'"http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuid}">'
            '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" '
            'Type="uint8" SizeX="7" SizeY="6" SizeC="1" SizeZ="1" SizeT="2">'
            '<Channel ID="Channel:0:0" SamplesPerPixel="1"/>'
            f"{planes}</Pixels></Image></OME>"
        )
        tifffile.imwrite(tmp_path / file, frame, description=xml, metadata=None)
    image = open_image(tmp_path)
    assert image.axes == "TYX"
    np.testing.assert_array_equal(np.asarray(image.data), frames)


def test_a_picture_of_too_many_pixels(tmp_path: Path, monkeypatch) -> None:
    Image.new("L", (40, 30)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert open_image(tmp_path / "large.png").shape == (30, 40)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageError, match="Save it as TIFF"):
        open_image(tmp_path / "large.png")


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="There is no file or folder"):
        open_image(tmp_path / "gone.tif")
    with pytest.raises(ImageError, match="holds no TIFF"):
        open_image(tmp_path)
    (tmp_path / "inner").mkdir()
    with pytest.raises(ImageError, match=r"only folders \(inner\)"):
        open_image(tmp_path)


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((3, 8, 8), complex), np.zeros((3, 0, 8)), np.zeros((8,) * 7)],
)
def test_arrays_that_cannot_be_used(pixels: np.ndarray) -> None:
    with pytest.raises(ImageError):
        open_image(pixels)


def test_complex_tiff(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "fourier.tif", STACK.astype(np.complex64))
    with pytest.raises(ImageError, match=r"fourier\.tif holds complex numbers"):
        open_image(tmp_path / "fourier.tif")


def test_neither_path_nor_array() -> None:
    with pytest.raises(TypeError, match="an image is a path or an array"):
        open_image(3)
