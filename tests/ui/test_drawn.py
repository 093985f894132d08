from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam2.ui.drawn import CroppedMask

IDS = [1, 2, 7, 300]


@given(
    hnp.arrays(np.uint16, (8, 11), elements=st.sampled_from([0, *IDS])),
    st.sets(st.sampled_from([*IDS, 9])),
)
def test_masks_of_many_objects_are_those_of_each(labels, wanted):
    found = CroppedMask.crop_each(labels, wanted)
    assert found.keys() == wanted
    for object_id, mask in found.items():
        alone = CroppedMask.crop(labels == object_id)
        assert (mask.y0, mask.x0, mask.empty) == (alone.y0, alone.x0, alone.empty)
        np.testing.assert_array_equal(mask.whole(), labels == object_id)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint32, np.int64])
def test_labels_of_any_integer_type(dtype):
    largest = min(np.iinfo(dtype).max, 2**31)
    labels = np.zeros((6, 9), dtype)
    labels[2:4, 3:8] = largest
    labels[0, 0] = 3
    found = CroppedMask.crop_each(labels[:, ::-1], [3, int(largest)])
    np.testing.assert_array_equal(found[3].whole(), labels[:, ::-1] == 3)
    np.testing.assert_array_equal(found[largest].whole(), labels[:, ::-1] == largest)
