from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from napari.components import ViewerModel
from npe2 import PluginManifest

from napari_sam2 import ImageError

SYNTHETIC = ["zstack", "timelapse"]
REAL = ["cells", "nucleus"]


def test_the_installed_manifest_is_found_and_valid():
    manifest = PluginManifest.from_distribution("napari-sam2")
    keys = [sample.key for sample in manifest.contributions.sample_data]
    assert keys == SYNTHETIC + REAL


def test_what_the_manifest_names_is_there():
    manifest = PluginManifest.from_distribution("napari-sam2")
    for command in manifest.contributions.commands:
        module, name = command.python_name.split(":")
        assert callable(getattr(import_module(module), name))


@pytest.mark.parametrize("key", SYNTHETIC)
def test_napari_opens_the_sample(key, npe2pm):
    npe2pm.register(PluginManifest.from_distribution("napari-sam2"))
    viewer = ViewerModel()
    (layer,) = viewer.open_sample("napari-sam2", key)
    assert layer.data.ndim == 3
    assert layer.data.dtype == np.uint16
    assert layer.data.max() > layer.data.min()


@pytest.mark.parametrize(
    ("key", "name", "shape"),
    [
        ("cells", "cells3d", (6, 2, 16, 16)),
        ("nucleus", "protein_transport", (5, 2, 16, 17)),
    ],
)
def test_real_samples_are_two_channels_on_top_of_each_other(
    key, name, shape, npe2pm, monkeypatch
):
    pixels = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    monkeypatch.setattr(f"skimage.data.{name}", lambda: pixels)
    npe2pm.register(PluginManifest.from_distribution("napari-sam2"))
    viewer = ViewerModel()
    first, second = viewer.open_sample("napari-sam2", key)
    np.testing.assert_array_equal(first.data, pixels[:, 0])
    np.testing.assert_array_equal(second.data, pixels[:, 1])
    assert first.blending == second.blending == "additive"
    assert viewer.dims.ndim == 3


def test_without_a_network_there_is_a_sentence(monkeypatch):
    from napari_sam2.ui import samples

    def offline():
        raise ConnectionError("no route")

    monkeypatch.setattr("skimage.data.cells3d", offline)
    with pytest.raises(ImageError, match="Check the connection"):
        samples.cells()
