from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from napari_sam2.evaluation.annotator import (
    Interaction,
    correction,
    deepest_pixel,
    first_interaction,
)

masks = arrays(bool, (9, 11))


def on(mask: np.ndarray, point: tuple[float, float]) -> bool:
    x, y = point
    return bool(mask[int(y), int(x)])


@given(masks.filter(np.any))
def test_the_deepest_pixel_is_that_of_the_whole_frame(mask: np.ndarray) -> None:
    x, y = deepest_pixel(mask)
    depths = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    assert depths[int(y), int(x)] == depths.max()
    assert on(mask, (x, y))


def test_a_disc_is_clicked_in_its_middle() -> None:
    y, x = np.mgrid[:30, :40]
    disc = (y - 11) ** 2 + (x - 25) ** 2 <= 49
    click = first_interaction(4, disc, "point")
    assert click == Interaction(4, ((25.0, 11.0),))
    prompt = click.added_to(None)
    assert prompt.points.tolist() == [[25, 11]]
    assert prompt.labels.tolist() == [1]
    assert prompt.box is None


@pytest.mark.parametrize("pixel", [(0, 0), (4, 6)])
def test_a_box_holds_the_outermost_pixels(pixel: tuple[int, int]) -> None:
    mask = np.zeros((9, 11), bool)
    mask[pixel] = mask[4, 6] = True
    box = first_interaction(0, mask, "box")
    assert box.is_box
    y, x = pixel
    assert box.added_to(None).box.tolist() == [x - 0.5, y - 0.5, 6.5, 4.5]
    box.added_to(None).check(mask.shape)


@given(masks, masks)
def test_corrections_lie_in_the_larger_error(
    found: np.ndarray, true: np.ndarray
) -> None:
    click = correction(3, found, true)
    missed, false = true & ~found, found & ~true
    if click is None:
        np.testing.assert_array_equal(found, true)
        return
    assert on(missed if click.positive else false, click.points[0])
    assert click.positive == (missed.sum() >= false.sum())


def test_clicks_add_to_what_is_there() -> None:
    box = Interaction(2, ((3, 4), (8, 9))).added_to(None)
    beside = Interaction(2, ((1, 1),), positive=False).added_to(box)
    both = Interaction(2, ((5, 6),)).added_to(beside)
    assert both.extends(beside)
    assert both.box.tolist() == [3, 4, 8, 9]
    assert both.points.tolist() == [[1, 1], [5, 6]]
    assert both.labels.tolist() == [0, 1]
