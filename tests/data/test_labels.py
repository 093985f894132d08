from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_sam2.data.image import open_image, select_frames
from napari_sam2.data.labels import (
    LabelWriter,
    object_ids,
    read_labels,
    read_labels_of,
)
from napari_sam2.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (4, 12, 9)
FILES = ["labels.tif", "labels.tiff", "labels.ome.tif", "labels.zarr", "a.b.ome.zarr"]
ON_POSIX = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


def painted(frame: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Make a frame whose every pixel tells its place and frame."""
    _, height, width = shape
    return (np.arange(height * width).reshape(height, width) + 7 * frame) % 300


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", FILES)
def test_written_in_any_order(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with LabelWriter.open(
        path,
        shape=SHAPE,
        max_id=299,
        axes="TYX",
        scale=(30.0, 0.5, 0.25),
        units=("second", "micrometer", "nanometer"),
    ) as writer:
        for frame in (2, 0, 3):
            writer.write(frame, painted(frame))
        writer.write(2, painted(5))
        writer.write(2, painted(2))
        assert writer.written == {0, 2, 3}
        np.testing.assert_array_equal(writer.read(2), painted(2))
        assert not writer.read(1).any()
    assert writer.path == path
    assert names(tmp_path) == [name]
    stack = read_labels(path)
    assert (len(stack), stack.dtype) == (4, np.uint16)
    assert stack.axes == "TYX"
    assert stack.scale == (30.0, 0.5, 0.25)
    assert stack.units == ("second", "micrometer", "nanometer")
    for frame in (0, 2, 3):
        np.testing.assert_array_equal(stack[frame], painted(frame))
    assert not stack[1].any()


@settings(max_examples=25, deadline=None)
@given(
    suffix=st.sampled_from([".tif", ".zarr"]),
    shape=st.tuples(st.integers(1, 5), st.integers(2, 9), st.integers(2, 9)),
    max_id=st.sampled_from([1, 300, 65535, 65536, 2**32 - 1]),
    runs=st.lists(st.lists(st.integers(0, 4), max_size=6), min_size=1, max_size=4),
    seed=st.integers(0, 2**32 - 1),
)
def test_stopped_and_resumed(
    tmp_path_factory: pytest.TempPathFactory,
    suffix: str,
    shape: tuple[int, int, int],
    max_id: int,
    runs: list[list[int]],
    seed: int,
) -> None:
    path = tmp_path_factory.mktemp("labels") / f"labels{suffix}"
    rng = np.random.default_rng(seed)
    dtype = np.uint16 if max_id < 65536 else np.uint32
    expected = np.zeros(shape, dtype)
    done: set[int] = set()
    for number, run in enumerate(runs):
        writer = LabelWriter.open(path, shape=shape, max_id=max_id, resume=number > 0)
        assert writer.written == done
        for wanted in run:
            frame = wanted % shape[0]
            expected[frame] = rng.integers(0, max_id, shape[1:], endpoint=True)
            writer.write(frame, expected[frame])
            done.add(frame)
        last = number == len(runs) - 1
        writer.close(complete=last)
        stack = read_labels(path, frame_axis="Z")
        assert stack.dtype == dtype
        for frame in range(shape[0]):
            np.testing.assert_array_equal(stack[frame], expected[frame])
        assert names(path.parent) == (
            [path.name] if last else [path.name, f"{path.name}.resume.json"]
        )


@pytest.mark.parametrize("name", ["labels.tif", "labels.zarr"])
@pytest.mark.parametrize("stop", [KeyboardInterrupt, ZeroDivisionError])
def test_a_stop_leaves_readable_labels(
    tmp_path: Path, name: str, stop: type[BaseException]
) -> None:
    path = tmp_path / name
    writer = LabelWriter.open(path, shape=SHAPE, max_id=9)

    def stopped_run() -> None:
        with writer:
            writer.write(3, painted(3))
            raise stop

    with pytest.raises(stop):
        stopped_run()
    assert writer.path == path
    np.testing.assert_array_equal(read_labels(path)[3], painted(3))
    with pytest.raises(ImageError, match=r"begun and not finished\. Go on with it"):
        LabelWriter.open(path, shape=SHAPE, max_id=9)
    with LabelWriter.open(path, shape=SHAPE, max_id=9, overwrite=True) as writer:
        assert not writer.written
    assert not read_labels(path)[3].any()


@pytest.mark.parametrize("note", ["", '{"version": 99}'])
@pytest.mark.parametrize("partial", [True, False])
def test_a_note_that_cannot_be_read_loses_no_frames(tmp_path, note, partial) -> None:
    path = tmp_path / "labels.tif"
    writer = LabelWriter.open(path, shape=SHAPE, max_id=9)
    writer.write(3, painted(3))
    writer.close(complete=False)
    if partial:
        path.rename(tmp_path / "labels.partial.tif")
    before = names(tmp_path)
    (tmp_path / "labels.tif.resume.json").write_text(note)
    for resume in (True, False):
        with pytest.raises(ImageError, match=r"labels\.tif\.resume\.json"):
            LabelWriter.open(path, shape=SHAPE, max_id=9, resume=resume)
    assert names(tmp_path) == before
    (left,) = tmp_path.glob("*.tif")
    np.testing.assert_array_equal(read_labels(left)[3], painted(3))
    with LabelWriter.open(path, shape=SHAPE, max_id=9, overwrite=True) as writer:
        assert not writer.written
    assert names(tmp_path) == ["labels.tif"]


@ON_POSIX
@pytest.mark.parametrize("name", ["labels.tif", "labels.zarr"])
def test_a_killed_run_can_be_resumed(tmp_path: Path, name: str) -> None:
    script = f"""
        import os, signal
        import numpy as np
        from napari_sam2.data.labels import LabelWriter
        writer = LabelWriter.open({name!r}, shape={SHAPE}, max_id=9)
        writer.write(2, np.full({SHAPE[1:]}, 5))
        writer.write(0, np.full({SHAPE[1:]}, 4))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=tmp_path, check=False
    )
    assert done.returncode == -signal.SIGKILL
    partial = name.replace("labels", "labels.partial")
    assert names(tmp_path) == sorted([partial, f"{name}.resume.json"])
    with LabelWriter.open(
        tmp_path / name, shape=SHAPE, max_id=9, resume=True
    ) as writer:
        assert writer.written == {0, 2}
    assert names(tmp_path) == [name]
    assert object_ids(read_labels(tmp_path / name)) == [4, 5]


@ON_POSIX
@pytest.mark.parametrize("name", ["labels.tif", "labels.zarr"])
def test_a_full_disk_loses_nothing(tmp_path: Path, name: str) -> None:
    # A limit on the size of files fails as a full disk does, inside one process.
    script = f"""
        import resource
        import numpy as np
        from napari_sam2.data.labels import LabelWriter
        from napari_sam2.errors import ImageError
        noise = np.random.default_rng(0).integers(0, 60000, (2, 256, 256))
        with LabelWriter.open({name!r}, shape=(2, 256, 256), max_id=60000) as writer:
            writer.write(0, noise[0])
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
            writer.write(1, noise[1])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert "ImageError: Frame 1 could not be written" in done.stderr
    assert "1 frames are safe" in done.stderr
    options = {"shape": (2, 256, 256), "max_id": 60000}
    with LabelWriter.open(tmp_path / name, resume=True, **options) as writer:
        assert writer.written == {0}
        assert writer.read(0).any()


@pytest.mark.parametrize("name", ["labels.tif", "labels.zarr"])
def test_a_finished_stack_stays_until_the_end(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    options = {"shape": SHAPE, "max_id": 9}
    with LabelWriter.open(path, **options) as writer:
        writer.write(0, painted(0))
    with pytest.raises(ImageError, match="exists already"):
        LabelWriter.open(path, **options)
    writer = LabelWriter.open(path, overwrite=True, **options)
    writer.write(0, painted(1))
    np.testing.assert_array_equal(read_labels(path)[0], painted(0))
    writer.close(complete=False)
    np.testing.assert_array_equal(read_labels(path)[0], painted(0))
    np.testing.assert_array_equal(read_labels(writer.path)[0], painted(1))
    LabelWriter.open(path, resume=True, **options).close()
    np.testing.assert_array_equal(read_labels(path)[0], painted(1))
    assert names(tmp_path) == [name]


def test_unfinished_labels_that_were_saved_anew_stay(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    options = {"shape": SHAPE, "max_id": 9}
    writer = LabelWriter.open(path, **options)
    writer.write(0, painted(0))
    writer.close(complete=False)
    assert writer.path == path
    corrected = np.stack([painted(1)] * SHAPE[0]).astype(np.uint16)
    tifffile.imwrite(path, corrected, compression="zlib", photometric="minisblack")
    with pytest.raises(ImageError):
        LabelWriter.open(path, resume=True, **options)
    np.testing.assert_array_equal(tifffile.imread(path), corrected)


def test_old_labels_come_back_if_new_ones_cannot_take_their_name(
    tmp_path: Path, monkeypatch
) -> None:
    path = tmp_path / "labels.zarr"
    options = {"shape": SHAPE, "max_id": 9}
    with LabelWriter.open(path, **options) as writer:
        writer.write(0, painted(0))
    writer = LabelWriter.open(path, overwrite=True, **options)
    writer.write(0, painted(1))
    replace = os.replace

    def locked(source, target):
        if "partial" in str(source) and "export" not in str(source):
            raise OSError("locked")
        replace(source, target)

    monkeypatch.setattr(os, "replace", locked)
    with pytest.raises((OSError, ImageError)):
        writer.close()
    np.testing.assert_array_equal(read_labels(path)[0], painted(0))


@pytest.mark.parametrize("name", ["labels.tif", "labels.zarr"])
def test_resuming_a_finished_stack(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    options = {"shape": SHAPE, "max_id": 9, "axes": "TYX", "resume": True}
    with LabelWriter.open(path, **options) as writer:
        writer.write(1, painted(1))
    with LabelWriter.open(path, **options) as writer:
        assert writer.written == {0, 1, 2, 3}
        np.testing.assert_array_equal(writer.read(1), painted(1))
        with pytest.raises(ImageError, match="is finished"):
            writer.write(1, painted(1))
    assert names(tmp_path) == [name]
    with pytest.raises(ImageError, match="12 x 9 uint16; this run needs"):
        LabelWriter.open(path, **{**options, "max_id": 70000})


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_a_finished_stack_saved_anew_is_finished(tmp_path: Path, dtype: type) -> None:
    path = tmp_path / "labels.tif"
    tifffile.imwrite(
        path, np.zeros(SHAPE, dtype), photometric="minisblack", metadata={"axes": "TYX"}
    )
    options = {"shape": SHAPE, "max_id": 9, "axes": "TYX", "resume": True}
    with LabelWriter.open(path, **options) as writer:
        assert writer.written == {0, 1, 2, 3}


def test_numbers_of_a_palette_are_labels(tmp_path: Path) -> None:
    labels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    for frame in range(2):
        picture = Image.fromarray(labels + frame, mode="P")
        picture.putpalette([value % 256 for value in range(3, 3 * 40)])
        picture.save(tmp_path / f"{frame}.png")
    stack = read_labels(tmp_path)
    np.testing.assert_array_equal(stack[1], labels + 1)
    one = read_labels(tmp_path / "0.png")
    np.testing.assert_array_equal(one[0], labels)
    assert open_image(tmp_path / "0.png").shape == (4, 4, 3)


@pytest.mark.parametrize("name", ["labels.tif", "labels.zarr"])
@pytest.mark.parametrize(
    "change", [{"shape": (4, 9, 12)}, {"max_id": 65536}, {"axes": "TYX"}]
)
def test_resuming_another_stack(tmp_path: Path, name: str, change: dict) -> None:
    options = {"shape": SHAPE, "max_id": 9, "axes": "ZYX"}
    writer = LabelWriter.open(tmp_path / name, **options)
    writer.write(1, painted(1))
    writer.close(complete=False)
    with pytest.raises(ImageError, match="this run needs"):
        LabelWriter.open(tmp_path / name, resume=True, **{**options, **change})
    assert LabelWriter.open(tmp_path / name, resume=True, **options).written == {1}


@pytest.mark.parametrize("damage", [b"", b"II*\0nonsense"])
def test_resuming_damaged_labels(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "labels.tif"
    LabelWriter.open(path, shape=SHAPE, max_id=9).close(complete=False)
    path.write_bytes(damage)
    with pytest.raises(ImageError, match="damaged"):
        LabelWriter.open(path, shape=SHAPE, max_id=9, resume=True)


def test_a_partial_file_without_a_note_counts_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    (tmp_path / "labels.partial.tif").write_bytes(b"II*\0")
    with LabelWriter.open(path, shape=SHAPE, max_id=9, resume=True) as writer:
        assert not writer.written
    assert names(tmp_path) == ["labels.tif"]


def test_ome_tiff_is_compressed_and_calibrated(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    with LabelWriter.open(
        path,
        shape=SHAPE,
        max_id=9,
        scale=(2.0, 0.5, 0.25),
        units=("micrometer",) * 3,
        name="cells",
    ) as writer:
        writer.write(1, painted(1))
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome
        assert not tiff.is_bigtiff
        assert tiff.pages[0].compression.name == "ADOBE_DEFLATE"
        assert tiff.series[0].axes == "ZYX"
        assert tiff.series[0].name == "cells"
        assert 'PhysicalSizeZ="2.0" PhysicalSizeZUnit="\u00b5m"' in tiff.ome_metadata
        tags = tiff.pages[0].tags
        assert tags["ResolutionUnit"].value.name == "CENTIMETER"
        assert tags["XResolution"].value == (40000, 1)
        assert tags["YResolution"].value == (20000, 1)


def test_large_stacks_become_bigtiff(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_sam2.data.label_files._CLASSIC_TIFF_BYTES", 100)
    path = tmp_path / "labels.tif"
    with LabelWriter.open(path, shape=SHAPE, max_id=9) as writer:
        with tifffile.TiffFile(writer.path) as tiff:
            assert tiff.is_bigtiff
        writer.write(3, painted(3))
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_bigtiff
    np.testing.assert_array_equal(read_labels(path)[3], painted(3))


@pytest.mark.skipif(os.name != "posix", reason="an open file stays on Windows")
@pytest.mark.parametrize("name", ["labels.tif", "labels.zarr"])
def test_files_that_vanish_are_not_begun_anew(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "drive"
    folder.mkdir()
    writer = LabelWriter.open(folder / name, shape=SHAPE, max_id=299)
    writer.write(0, painted(0))
    shutil.rmtree(folder)
    with pytest.raises(ImageError, match="no longer there"):
        writer.write(1, painted(1))
    with pytest.raises(ImageError, match="no longer there"):
        writer.close()
    writer.discard()
    assert not folder.exists()


def test_ome_zarr_metadata(tmp_path: Path) -> None:
    path = tmp_path / "labels.ome.zarr"
    units = ("second", "micrometer", None)
    LabelWriter.open(
        path, shape=SHAPE, max_id=9, axes="TYX", scale=(3.0, 2.0, 1.0), units=units
    ).close()
    group = zarr.open_group(path, mode="r")
    ome = group.attrs["ome"]
    assert group.metadata.zarr_format == 3
    assert ome["version"] == "0.5"
    assert "image-label" in ome
    assert ome["multiscales"][0]["axes"] == [
        {"name": "t", "type": "time", "unit": "second"},
        {"name": "y", "type": "space", "unit": "micrometer"},
        {"name": "x", "type": "space"},
    ]
    assert group["0"].chunks == (1, 12, 9)
    assert group["0"].metadata.dimension_names == ("t", "y", "x")


@pytest.mark.parametrize("backing", ["numpy", "zarr"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_into_an_array(backing: str, dtype: type) -> None:
    array = np.zeros(SHAPE, dtype)
    if backing == "zarr":
        array = zarr.create_array({}, shape=SHAPE, dtype=dtype)
    with LabelWriter.open(array, shape=SHAPE, max_id=100) as writer:
        writer.write(2, painted(2) % 100)
        assert writer.written == {2}
        assert writer.path is None
        assert writer.dtype == dtype
    np.testing.assert_array_equal(array[2], painted(2) % 100)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 12, 8), np.uint16), r"it must be \(4, 12, 9\)"),
        (np.zeros(SHAPE, np.uint8), "no room for ids up to 300"),
        (np.zeros(SHAPE, np.float32), "holds float32"),
    ],
)
def test_arrays_that_cannot_hold_the_labels(array: np.ndarray, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        LabelWriter.open(array, shape=SHAPE, max_id=300)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("labels.png", "must end in .tif"),
        (".tif", "must end in .tif"),
        ("gone/labels.tif", "no folder"),
        ("folder.tif", "is a folder already"),
        ("file.zarr", "is a file already"),
    ],
)
def test_names_that_cannot_be_written(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.tif").mkdir()
    (tmp_path / "file.zarr").touch()
    with pytest.raises(ImageError, match=message):
        LabelWriter.open(tmp_path / name, shape=SHAPE, max_id=9, overwrite=True)


@pytest.mark.parametrize(
    ("frame", "labels", "error"),
    [
        (4, painted(0), IndexError),
        (-1, painted(0), IndexError),
        (0, painted(0).T, ValueError),
        (0, painted(0).astype(float), TypeError),
        (0, painted(0) - 1, ValueError),
        (0, painted(0) + 65500, ValueError),
    ],
)
def test_frames_that_cannot_be_written(
    tmp_path: Path, frame: int, labels: np.ndarray, error: type[Exception]
) -> None:
    with LabelWriter.open(tmp_path / "a.tif", shape=SHAPE, max_id=9) as writer:
        with pytest.raises(error):
            writer.write(frame, labels)
        assert not writer.written


def test_closed_writers_refuse(tmp_path: Path) -> None:
    writer = LabelWriter.open(tmp_path / "a.tif", shape=SHAPE, max_id=9)
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.write(0, painted(0))


@pytest.mark.parametrize("max_id", [2**32, 2**40])
def test_ids_that_are_too_large(tmp_path: Path, max_id: int) -> None:
    with pytest.raises(ImageError, match="too large"):
        LabelWriter.open(tmp_path / "a.tif", shape=SHAPE, max_id=max_id)


@pytest.mark.parametrize("name", ["labels.tif", "labels.zarr"])
def test_memory_does_not_grow_with_frames(tmp_path: Path, name: str) -> None:
    peaks = []
    for frames in (10, 200):
        path = tmp_path / f"{frames}{name}"
        tracemalloc.start()
        with LabelWriter.open(path, shape=(frames, 128, 128), max_id=9) as writer:
            for frame in range(frames):
                writer.write(frame, np.full((128, 128), 1 + frame % 9))
        assert object_ids(read_labels(path)) == list(range(1, 10))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # 190 more frames hold 6 MB of labels.
    assert peaks[1] - peaks[0] < 2**20


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_reading_labels_of_any_type(tmp_path: Path, dtype: type) -> None:
    labels = np.zeros(SHAPE, dtype)
    labels[1, 2:4] = 1
    np.save(tmp_path / "labels.npy", labels)
    stack = read_labels(tmp_path / "labels.npy")
    assert stack[1].dtype.kind == "u"
    np.testing.assert_array_equal(stack[1], labels[1])
    assert object_ids(stack) == [1]


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (0.5, np.float32, "fractions"),
        (2**32, np.uint64, "ids above 4294967295"),
        (2**40, np.int64, "ids above 4294967295"),
        (2**33, np.float32, "ids above 4294967295"),
        (np.nan, np.float32, "fractions or NaN"),
        (-1.0, np.float32, "negative"),
        (-1, np.int16, "negative"),
        (1e12, np.float64, "ids above"),
    ],
)
@pytest.mark.parametrize("frame", [0, 3])
def test_what_are_no_labels(
    tmp_path: Path, value: float, dtype: type, message: str, frame: int
) -> None:
    labels = np.zeros(SHAPE, dtype)
    labels[frame, 2, 2] = value
    np.save(tmp_path / "labels.npy", labels)
    with pytest.raises(ImageError, match=f"Frame {frame} of .*{message}"):
        object_ids(read_labels(tmp_path / "labels.npy"))


@pytest.mark.parametrize(("shape", "axes"), [((8, 9, 3), "YXS"), ((2, 8, 9), "CYX")])
def test_colours_are_no_labels(shape: tuple[int, ...], axes: str) -> None:
    with pytest.raises(ImageError, match="no label image"):
        read_labels(np.zeros(shape, np.uint8), axes=axes)


@pytest.mark.parametrize(
    ("axes", "shape", "frame_axis", "lengths"),
    [
        ("TYX", (4, 12, 9), None, (4, 12, 9)),
        ("TZYX", (3, 5, 12, 9), "Z", (3, 5, 12, 9)),  # T is short: C by its shape
        ("TZYX", (3, 5, 12, 9), "T", (3, 5, 12, 9)),
        ("TCYX", (4, 2, 12, 9), "T", (4, 12, 9)),
        ("TZYX", (3, 5, 12, 9), "Z", (5, 12, 9)),  # labels of one time point
    ],
)
def test_labels_without_names_take_their_image_s_axes(
    tmp_path: Path,
    axes: str,
    shape: tuple[int, ...],
    frame_axis: str | None,
    lengths: tuple[int, ...],
) -> None:
    image = open_image(np.zeros(shape, np.uint8), axes=axes)
    position = {"ZT"[frame_axis == "Z"]: 1} if axes == "TZYX" else {}
    channels = 0 if "C" in axes else None
    frames = select_frames(
        image, frame_axis=frame_axis, position=position, channels=channels
    )
    pixels = np.arange(np.prod(lengths), dtype=np.uint16).reshape(lengths)
    np.save(tmp_path / "labels.npy", pixels)
    labels = read_labels_of(frames, tmp_path / "labels.npy")
    assert labels.axes[0] == frames.axes[0]
    assert len(labels) == len(frames)
    if len(lengths) == 4:
        pixels = pixels[1] if frame_axis == "Z" else pixels[:, 1]
    np.testing.assert_array_equal(labels[2], pixels[2])


def test_object_ids_of_arrays() -> None:
    labels = np.zeros(SHAPE, np.int32)
    labels[3, 1, 1] = 70000
    labels[0, 1, 1] = 2
    assert object_ids(labels) == [2, 70000]
    assert object_ids(np.zeros((5, 5), np.uint8)) == []
