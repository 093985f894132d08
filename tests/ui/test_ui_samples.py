from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from npe2 import PluginManifest


def test_the_installed_manifest_is_found_and_valid():
    manifest = PluginManifest.from_distribution("napari-sam2")
    keys = [sample.key for sample in manifest.contributions.sample_data]
    assert keys == ["zstack", "timelapse"]


@pytest.mark.parametrize("key", ["zstack", "timelapse"])
def test_napari_opens_the_sample(key, npe2pm):
    npe2pm.register(PluginManifest.from_distribution("napari-sam2"))
    viewer = ViewerModel()
    (layer,) = viewer.open_sample("napari-sam2", key)
    assert layer.data.ndim == 3
    assert layer.data.dtype == np.uint16
    assert layer.data.max() > layer.data.min()
