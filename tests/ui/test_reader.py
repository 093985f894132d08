from __future__ import annotations

import errno

import numpy as np
import pytest
import tifffile
import zarr
from discs import Desk
from napari.components import ViewerModel
from napari.layers import Labels
from npe2 import PluginManifest

from napari_sam2.data.label_target import LabelTarget
from napari_sam2.ui.reader import PATTERNS, get_reader
from napari_sam2.ui.records import Activity


@pytest.fixture
def desk():
    desk = Desk(ViewerModel())
    yield desk
    desk.controller.close()


@pytest.mark.parametrize("name", ["labels.tif", "labels.ome.tif", "labels.zarr"])
@pytest.mark.parametrize("axis", ["z", "t"])
def test_what_is_exported_opens_as_the_labels_it_was(
    name, axis, desk, tmp_path, npe2pm
):
    unit = {"z": "micrometer", "t": "second"}[axis]
    image = desk.open(axis_labels=(axis, "y", "x"))
    desk.controller.go_to(3)
    desk.controller.add_point(20, 30)
    desk.controller.propagate()
    image.scale, image.units = (2.0, 0.25, 0.5), (unit, "micrometer", "micrometer")
    desk.controller.export(tmp_path / name)
    assert desk.said[-1].startswith("Written")
    assert desk.controller.activity == Activity.IDLE
    npe2pm.register(PluginManifest.from_distribution("napari-sam2"))
    (layer,) = ViewerModel().open(str(tmp_path / name), plugin="napari-sam2")
    assert isinstance(layer, Labels)
    np.testing.assert_array_equal(layer.data, desk.controller.labels())
    assert layer.data.dtype == np.uint16
    np.testing.assert_allclose(layer.scale, (2.0, 0.25, 0.5))
    assert [str(u) for u in layer.units] == [unit, "micrometer", "micrometer"]
    assert layer.axis_labels == (axis, "y", "x")
    desk.controller.export(tmp_path / name)
    assert "exists already" in desk.said[-1]
    desk.controller.export(tmp_path / name, overwrite=True)
    assert desk.said[-1].startswith("Written")


@pytest.mark.parametrize("name", ["labels.png", "nowhere/labels.tif"])
def test_a_file_that_cannot_be_written_says_so(name, desk, tmp_path):
    desk.open()
    desk.controller.export(tmp_path / name)
    assert "labels" in desk.said[-1] or "nowhere" in desk.said[-1]
    assert not list(tmp_path.iterdir())


def test_opening_asks_for_no_reader_but_for_labels(tmp_path, npe2pm):
    npe2pm.register(PluginManifest.from_distribution("napari-sam2"))
    for name in ("image.tif", "cells_labels.tif", "cells-labels.ome.tif"):
        pixels = np.ones((4, 8, 8), np.uint16)
        tifffile.imwrite(tmp_path / name, pixels, photometric="minisblack")
        claims = [
            r.plugin_name for r in npe2pm.iter_compatible_readers(tmp_path / name)
        ]
        assert ("napari-sam2" in claims) == ("labels" in name)
    (layer,) = ViewerModel().open(
        str(tmp_path / "cells_labels.tif"), plugin="napari-sam2"
    )
    assert isinstance(layer, Labels)


def test_files_of_others_are_left_to_others(tmp_path):
    tifffile.imwrite(tmp_path / "image.tif", np.zeros((4, 8, 8), np.uint16))
    tifffile.imwrite(tmp_path / "ome.ome.tif", np.zeros((4, 8, 8), np.uint16))
    (tmp_path / "broken.tif").write_bytes(b"II*\0nothing")
    zarr.save_array(tmp_path / "array.zarr", np.zeros((4, 8, 8)))
    (tmp_path / "empty.zarr").mkdir()
    for path in sorted(tmp_path.iterdir()):
        assert get_reader(str(path)) is None, path.name
    assert get_reader([]) is None
    assert get_reader(str(tmp_path / "missing.tif")) is None


def test_movies_of_stacks_open_whole(tmp_path):
    labels = np.arange(3 * 4 * 8 * 8, dtype=np.uint16).reshape(3, 4, 8, 8)
    path = tmp_path / "cells_labels.ome.tif"
    metadata = {"axes": "TZYX", "PhysicalSizeZ": 2.0, "PhysicalSizeZUnit": "µm"}
    tifffile.imwrite(path, labels, ome=True, metadata=metadata)
    ((data, options, kind),) = get_reader(str(path))(str(path))
    np.testing.assert_array_equal(data, labels)
    assert kind == "labels"
    assert options["scale"][1] == 2.0
    assert options["axis_labels"] == ("t", "z", "y", "x")


def test_the_reader_and_the_manifest_mean_the_same_names():
    manifest = PluginManifest.from_distribution("napari-sam2")
    (reader,) = manifest.contributions.readers
    assert tuple(reader.filename_patterns) == PATTERNS


@pytest.mark.parametrize(
    ("name", "warned"),
    [
        ("labels.tif", False),
        ("embryo.ome labels.tif", False),
        ("cells.zarr", False),
        ("cells.tif", True),
        ("labels.v2.tif", True),
    ],
)
def test_names_that_do_not_open_as_labels_are_told(name, warned, desk, tmp_path):
    desk.open()
    desk.controller.export(tmp_path / name)
    assert ("opened as labels" in desk.said[-1]) == warned


@pytest.mark.parametrize("name", ["labels.tif", "labels.zarr"])
@pytest.mark.parametrize("before", [False, True])
def test_an_export_that_fails_leaves_what_was_there(
    name, before, desk, tmp_path, monkeypatch
):
    desk.open()
    if before:
        desk.controller.export(tmp_path / name)
    there = sorted(tmp_path.iterdir())

    def full(self, frame, pixels):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"{LabelTarget.__module__}.TiffLabels.write", full)
    monkeypatch.setattr(f"{LabelTarget.__module__}.ZarrLabels.write", full)
    desk.controller.export(tmp_path / name, overwrite=True)
    assert "No space left" in desk.said[-1]
    assert sorted(tmp_path.iterdir()) == there
