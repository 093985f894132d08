from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_sam2.errors import ImageError
from napari_sam2.ui.frames import layer_frames, recognise_axes
from napari_sam2.ui.records import AxesChoice


@pytest.mark.parametrize(
    ("shape", "labels", "expected"),
    [
        ((9, 32, 32), None, "ZYX"),
        ((32, 32), None, "YX"),
        ((9, 32, 32), ("time", "y", "x"), "TYX"),
        ((9, 32, 32), ("T", "Y", "X"), "TYX"),
        ((9, 3, 32, 32), None, "ZCYX"),
        ((5, 9, 32, 32), None, "TZYX"),
        ((5, 9, 32, 32), ("z", "t", "y", "x"), "ZTYX"),
        ((5, 2, 9, 32, 32), None, "TCZYX"),
        ((5, 9, 32, 32), ("t", "plane", "row", "column"), "TZYX"),
        ((5, 9, 32, 32), ("what", "z", "y", "x"), "TZYX"),
        ((5, 9, 32, 32), ("z", "z", "y", "x"), "TZYX"),
        ((9, 4, 4), None, "ZYX"),
        ((9, 32, 32), ("z", "x", "y"), "ZYX"),
    ],
)
def test_axes_are_recognised(shape, labels, expected):
    layer = Image(np.zeros(shape), axis_labels=labels)
    assert recognise_axes(layer) == expected


@pytest.mark.parametrize(
    ("shape", "change", "reason"),
    [
        ((2,) * 4 + (8, 8), {}, "axes"),
        ((4, 8, 8), {"axes": "YXZ"}, "last two"),
        ((4, 8, 8), {"axes": "ZZX"}, "twice"),
        ((4, 8, 8), {"axes": "TYX", "frame_axis": "Z"}, "no axis Z"),
        ((4, 5, 8, 8), {"axes": "TZYX", "position": (("T", 9),)}, "no position"),
        ((4, 5, 8, 8), {"channels": (5,)}, "no channel"),
        ((4, 8, 8), {"contrast": ((2, 1),)}, "low before high"),
    ],
)
def test_choices_that_do_not_fit_say_why(shape, change, reason):
    layer = Image(np.zeros(shape))
    choice = AxesChoice("TCZYX"[-len(shape) :], "Z")
    with pytest.raises(ImageError, match=reason):
        layer_frames(layer, replace(choice, **change))


def test_channels_become_colours_in_the_order_chosen():
    pixels = np.zeros((4, 5, 8, 8), np.uint8)
    pixels += np.arange(5, dtype=np.uint8)[:, None, None]
    layer = Image(pixels, axis_labels=("z", "c", "y", "x"))
    assert layer_frames(layer).choice.channels == (0,)
    assert layer_frames(layer, AxesChoice("ZCYX", "Z")).choice.channels == (0,)
    choice = AxesChoice("ZCYX", "Z", channels=(4, 1, 2))
    assert layer_frames(layer, choice).source[3][0, 0].tolist() == [4, 1, 2]


@pytest.mark.parametrize("scale", [(1, 1, 1), (3, 0.5, 0.25), (2, 1, 1)])
def test_frames_are_where_the_sliders_stand(scale):
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((7, 16, 16)), scale=scale, translate=(5, 1, 1))
    frames = layer_frames(layer)
    for frame in (0, 3, 6):
        frames.show(viewer, frame)
        assert frames.current_frame(viewer) == frame
        assert frames.on_screen(viewer, frame)
        assert not frames.on_screen(viewer, frame - 1)
    viewer.dims.ndisplay = 3
    assert frames.on_screen(viewer, 0)


def test_places_and_positions_are_each_other_s_inverse():
    layer = Image(np.zeros((3, 4, 2, 16, 16)), axis_labels=("t", "z", "c", "y", "x"))
    choice = AxesChoice("TZCYX", "Z", position=(("T", 2),), channels=(1,))
    frames = layer_frames(layer, choice)
    (position,) = frames.positions(3, np.array([[4.5, 6.25]]))
    assert position.tolist() == [2, 3, 1, 4.5, 6.25]
    place = frames.place(position)
    assert (place.frame, place.y, place.x) == (3, 4.5, 6.25)
    assert frames.labels_geometry().shape == (1, 4, 1, 16, 16)


@pytest.mark.parametrize(
    ("position", "reason"),
    [
        ((0, 1, 4, 4), "time point 0"),
        ((1, 9, 4, 4), "outside"),
        ((1, 1, -0.6, 4), "outside"),
        ((1, 1, 4, 15.6), "outside"),
    ],
)
def test_positions_on_no_frame_say_so(position, reason):
    layer = Image(np.zeros((3, 4, 16, 16)), axis_labels=("t", "z", "y", "x"))
    frames = layer_frames(layer, AxesChoice("TZYX", "Z", position=(("T", 1),)))
    with pytest.raises(ImageError, match=reason):
        frames.place(np.array(position, float))
