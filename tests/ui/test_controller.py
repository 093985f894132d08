from __future__ import annotations

import gc
import math
import time
from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
import torch
from discs import RADIUS, SIZE, Desk, DiscPredictor, DiscTracker
from napari.components import ViewerModel

from napari_sam2 import PredictorOptions
from napari_sam2.errors import CheckpointError
from napari_sam2.ui.controller import Controller
from napari_sam2.ui.jobs import InlineLane
from napari_sam2.ui.records import (
    Activity,
    Mark,
    ModelRequest,
    ModelStage,
    ObjectStatus,
    Tool,
)


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def desk(viewer):
    desk = Desk(viewer)
    desk.open()
    yield desk
    desk.controller.close()


@pytest.fixture
def manual(viewer):
    """A desk whose jobs run when the test says so."""
    desk = Desk(viewer, automatic=False)
    desk.open()
    desk.drain()
    yield desk
    desk.controller.close()


def click(desk, y, x, frame=None, object_id=None, **options):
    if object_id is not None:
        desk.controller.select_object(object_id)
    if frame is not None:
        desk.controller.go_to(frame)
    desk.controller.add_point(y, x, **options)


def test_a_click_shows_a_mask_on_its_frame_alone(desk):
    click(desk, 20, 30, frame=3)
    assert desk.labelled(1) == [3]
    assert desk.centre(1, 3) == (20, 30)
    (row,) = desk.controller.objects
    assert (row.prompts, row.frames_done, row.status) == (1, 1, ObjectStatus.PROMPTED)
    assert desk.said == []


def test_propagation_carries_the_object_both_ways(desk):
    click(desk, 20, 30, frame=3)
    seen = []
    desk.controller.timeline_changed.connect(
        lambda column: seen.append(column.frame) if column is not None else None
    )
    desk.controller.propagate("both")
    assert sorted(set(seen)) == list(range(8))
    assert desk.labelled(1) == list(range(8))
    assert desk.centre(1, 7) == (20, 34)
    assert desk.centre(1, 0) == (20, 27)
    assert desk.controller.row(1).status == ObjectStatus.DONE
    assert desk.controller.activity == Activity.IDLE
    assert desk.controller.progress is None


@pytest.mark.parametrize(
    ("direction", "frames", "expected"),
    [
        ("forward", None, [3, 4, 5, 6, 7]),
        ("backward", None, [0, 1, 2, 3]),
        ("both", (2, 5), [2, 3, 4, 5]),
        ("forward", (4, 6), [3, 4, 5, 6]),
    ],
)
def test_directions_and_ranges(desk, direction, frames, expected):
    click(desk, 20, 30, frame=3)
    desk.controller.propagate(direction, frames)
    assert desk.labelled(1) == expected


def test_several_objects_have_rows_colours_and_scores(desk):
    for object_id, x in ((1, 10), (2, 30), (5, 50)):
        click(desk, 20, x, frame=2, object_id=object_id)
    desk.controller.propagate()
    rows = desk.controller.objects
    assert [row.object_id for row in rows] == [1, 2, 5]
    assert len({row.color for row in rows}) == 3
    layer = desk.controller.labels_layer
    for row in rows:
        np.testing.assert_allclose(row.color, layer.get_color(row.object_id))
        assert 0.85 < row.lowest_score < 0.95
    timeline = desk.controller.timeline
    assert timeline.object_ids == (1, 2, 5)
    assert timeline.confidence.shape == timeline.marks.shape == (3, 8)
    assert (timeline.marks[:, 2] == Mark.PROMPTED).all()


def test_a_negative_point_and_a_removed_one_update_the_preview(desk):
    click(desk, 20, 30, frame=1)
    whole = (desk.controller.labels()[1] == 1).sum()
    click(desk, 20, 33, positive=False)
    smaller = (desk.controller.labels()[1] == 1).sum()
    assert 0 < smaller < whole
    points = desk.viewer.layers["SAM 2 points"]
    points.selected_data = {1}
    points.remove_selected()
    assert (desk.controller.labels()[1] == 1).sum() == whole


def test_moving_a_point_moves_the_mask(desk):
    click(desk, 20, 30, frame=1)
    points = desk.viewer.layers["SAM 2 points"]
    points.data = np.array([[1, 40, 12]])
    assert desk.centre(1, 1) == (40, 12)


def test_removing_the_last_point_takes_the_mask_away(desk):
    click(desk, 20, 30, frame=1)
    desk.controller.propagate()
    desk.controller.go_to(2)
    assert desk.controller.lost_by_clearing() == 0
    desk.controller.clear_prompts()
    assert desk.controller.row(1).prompts == 1
    desk.controller.go_to(1)
    assert desk.controller.lost_by_clearing() == 7
    desk.controller.clear_prompts()
    assert desk.labelled(1) == []
    row = desk.controller.row(1)
    assert (row.prompts, row.frames_done, row.status) == (0, 0, ObjectStatus.NEW)
    assert math.isnan(row.lowest_score)
    assert len(desk.viewer.layers["SAM 2 points"].data) == 0


def test_the_last_frame_is_the_last_one_shown_after_clearing(desk):
    click(desk, 20, 30, frame=1)
    click(desk, 20, 40, frame=5)
    desk.controller.propagate()
    desk.controller.clear_prompts()
    assert desk.controller.row(1).status == ObjectStatus.STALE
    desk.controller.propagate()
    assert desk.centre(1, 5) == (20, 34)
    assert desk.controller.row(1).status == ObjectStatus.DONE


@pytest.mark.parametrize("approved", [True, False])
def test_a_stray_click_that_is_removed_leaves_no_trace(desk, approved):
    click(desk, 20, 30, frame=1)
    desk.controller.propagate()
    if approved:
        desk.controller.approve(5)
    labels = desk.controller.labels().copy()
    marks = desk.controller.timeline.marks.copy()
    click(desk, 50, 10, frame=5)
    assert (desk.controller.labels() != labels).any()
    points = desk.viewer.layers["SAM 2 points"]
    points.selected_data = {1}
    points.remove_selected()
    np.testing.assert_array_equal(desk.controller.labels(), labels)
    np.testing.assert_array_equal(desk.controller.timeline.marks, marks)
    assert desk.controller.row(1).status == ObjectStatus.DONE


def test_undo_of_a_stroke_over_an_approved_mask_approves_it_again(desk):
    click(desk, 20, 30, frame=1)
    desk.controller.propagate()
    desk.controller.approve(5)
    labels = desk.controller.labels().copy()
    paint(desk, 5, 50, 10, 1)
    assert desk.controller.row(1).approved == 0
    desk.controller.labels_layer.undo()
    np.testing.assert_array_equal(desk.controller.labels(), labels)
    row = desk.controller.row(1)
    assert (row.prompts, row.approved, row.status) == (1, 1, ObjectStatus.DONE)


def test_what_an_earlier_session_found_is_stale_until_it_is_computed_again(desk):
    click(desk, 20, 30, frame=1)
    desk.controller.propagate()
    desk.controller.approve(6)
    confidence = desk.controller.timeline.confidence.copy()
    desk.controller.set_options(PredictorOptions(fill_holes=9))
    timeline = desk.controller.timeline
    stale = np.flatnonzero(timeline.marks[0] & Mark.STALE).tolist()
    assert stale == [0, 2, 3, 4, 5, 7]
    np.testing.assert_array_equal(timeline.confidence[0, stale], confidence[0, stale])
    row = desk.controller.row(1)
    assert (row.frames_done, row.status) == (2, ObjectStatus.STALE)
    desk.controller.doubt_below = 1.0
    desk.controller.go_to(3)
    desk.controller.next_doubtful()
    assert desk.controller.frame != 3
    desk.controller.propagate()
    row = desk.controller.row(1)
    assert (row.frames_done, row.status) == (8, ObjectStatus.DONE)


def test_what_an_earlier_session_found_can_be_approved(desk):
    click(desk, 20, 30, frame=1)
    desk.controller.propagate()
    labels = desk.controller.labels().copy()
    desk.controller.set_options(PredictorOptions(fill_holes=9))
    desk.controller.approve(0, 4)
    marks = desk.controller.timeline.marks[0]
    assert np.flatnonzero(marks & Mark.APPROVED).tolist() == [0, 1, 2, 3, 4]
    assert np.flatnonzero(marks & Mark.STALE).tolist() == [5, 6, 7]
    assert "nothing to approve" not in " ".join(desk.said)
    desk.controller.load_model(ModelRequest("others"))
    assert desk.controller.row(1).approved == 5
    np.testing.assert_array_equal(desk.controller.labels(), labels)


@pytest.fixture
def old(manual):
    """A desk whose masks on all frames, but frame 1, are of an earlier session."""
    click(manual, 20, 30, frame=1)
    manual.drain()
    manual.controller.propagate()
    manual.drain()
    manual.controller.set_options(PredictorOptions(fill_holes=9))
    manual.drain()
    return manual


def test_approving_a_correction_of_an_old_mask_approves_the_correction(old):
    click(old, 50, 10, frame=3)
    old.controller.approve(3)
    old.drain()
    assert old.controller.row(1).approved == 1
    assert old.centre(1, 3) == (50, 10)


def test_old_masks_are_approved_once(old):
    old.controller.approve(5)
    click(old, 50, 10, frame=5)
    old.controller.approve(6)
    old.drain()
    marks = old.controller.timeline.marks[0]
    assert np.flatnonzero(marks & Mark.APPROVED).tolist() == [6]
    assert old.centre(1, 5) == (50, 10)


def test_a_correction_voids_an_approval_that_is_on_its_way_to_a_session(old):
    old.controller.approve(3)
    old.drain()
    for holes in (5, 7):
        old.controller.set_options(PredictorOptions(fill_holes=holes))
        old.lane.step()
        if holes == 5:
            click(old, 50, 10, frame=3)
    old.drain()
    assert old.controller.row(1).approved == 0
    assert old.centre(1, 3) == (50, 10)


def test_an_approval_of_a_prompt_that_is_taken_back_is_void(old):
    click(old, 50, 10, frame=3)
    old.controller.approve(3)
    old.controller.set_options(PredictorOptions(fill_holes=5))
    old.controller.go_to(3)
    old.controller.clear_prompts()
    old.drain()
    assert old.controller.row(1).approved == 0


def test_a_stray_click_on_an_old_mask_leaves_no_trace(old):
    labels = old.controller.labels().copy()
    click(old, 50, 10, frame=4)
    old.drain()
    assert old.centre(1, 4) == (50, 10)
    old.controller.clear_prompts()
    old.drain()
    difference = old.controller.labels() != labels
    assert difference.mean() < 1e-3  # through the network's resolution and back


def test_a_point_beside_the_image_takes_no_prompt_of_a_locked_object(desk):
    click(desk, 20, 30, frame=1)
    desk.controller.set_locked([1], True)
    desk.controller.new_object()
    points = desk.viewer.layers["SAM 2 points"]
    points.add((1, -20, -20))
    assert len(points.data) == 1
    assert "outside" in desk.said[-1]
    desk.viewer.dims.ndisplay = 3
    points.add((1, -20, -20))
    assert len(points.data) == 1
    desk.controller.set_locked([1], False)
    assert desk.labelled(1) == [1]


def test_layers_that_are_put_aside_are_shown_when_all_ends(desk):
    click(desk, 20, 30, frame=3)
    drawn = desk.viewer.layers["SAM 2 points"], desk.controller.labels_layer
    drawn[0].visible = False
    desk.open(data=np.zeros((4, 32, 32), np.uint8), name="second")
    desk.controller.close()
    assert [layer.visible for layer in drawn] == [False, True]


def test_clearing_the_only_prompt_takes_labels_of_an_earlier_session_too(desk):
    click(desk, 20, 30, frame=1)
    desk.controller.propagate()
    desk.controller.set_options(PredictorOptions(fill_holes=9))
    assert desk.labelled(1) == list(range(8))
    assert desk.controller.lost_by_clearing() == 7
    desk.controller.clear_prompts()
    assert desk.labelled(1) == []


def test_a_point_removed_while_a_session_starts_takes_all_its_labels(manual):
    click(manual, 20, 30, frame=1)
    manual.drain()
    manual.controller.propagate()
    manual.drain()
    manual.controller.load_model(ModelRequest("others"))
    manual.controller.clear_prompts()
    manual.drain()
    assert manual.labelled(1) == []


def test_boxes_and_outlines_are_prompts(desk):
    shapes = desk.viewer.layers["SAM 2 boxes and outlines"]
    box = [[2, 10, 10], [2, 10, 20], [2, 20, 20], [2, 20, 10]]
    shapes.add(np.array(box), shape_type="rectangle")
    assert desk.centre(1, 2) == (15, 15)
    desk.controller.select_object(2)
    outline = [[2, 40, 40], [2, 40, 50], [2, 50, 50]]
    shapes.add(np.array(outline), shape_type="polygon")
    labels = desk.controller.labels()[2]
    assert labels[42, 47] == 2
    assert labels[48, 41] == 0
    desk.controller.select_object(3)
    corners = [[2, 10, 40], [2, 10, 50], [2, 20, 50], [2, 20, 40]]
    shapes.add(np.array(corners), shape_type="ellipse")
    labels = desk.controller.labels()[2]
    assert labels[15, 45] == 3
    assert labels[10, 40] == 0


@pytest.mark.parametrize(
    ("corners", "kind", "sentence"),
    [
        ([[2, 1, 1], [2, 9, 9]], "line", "encloses nothing"),
        ([[0, 1, 1], [3, 9, 9], [0, 9, 1]], "polygon", "several frames"),
        ([[0, 1.2, 1.2], [0, 1.2, 1.6], [0, 1.6, 1.6]], "polygon", "around no pixel"),
        (
            [[0, 2, -9], [0, 2, -4], [0, 7, -4], [0, 7, -9]],
            "rectangle",
            "beside the image",
        ),
    ],
)
def test_shapes_that_are_no_prompts_go_with_a_sentence(desk, corners, kind, sentence):
    shapes = desk.viewer.layers["SAM 2 boxes and outlines"]
    shapes.add(np.array(corners), shape_type=kind)
    assert len(shapes.data) == 0
    assert sentence in desk.said[-1]
    assert desk.controller.objects == ()


@pytest.mark.parametrize("position", [(2, -5, 10), (2, 10, SIZE + 3), (2, 70, 70)])
def test_points_beside_the_image_go_with_a_sentence(desk, position):
    points = desk.viewer.layers["SAM 2 points"]
    points.add(position)
    assert len(points.data) == 0
    assert "outside" in desk.said[-1]


def test_only_one_box_counts(desk):
    shapes = desk.viewer.layers["SAM 2 boxes and outlines"]
    for at in (10, 30):
        corners = [[2, at, at], [2, at, at + 8], [2, at + 8, at + 8], [2, at + 8, at]]
        shapes.add(np.array(corners), shape_type="rectangle")
    assert desk.centre(1, 2) == (34, 34)


def paint(desk, frame, y, x, label, size=7):
    layer = desk.controller.labels_layer
    desk.controller.go_to(frame)
    layer.brush_size = size
    with layer.block_history():
        layer.paint((frame, y, x), label)


def test_movies_of_stacks_begin_at_the_time_on_screen(desk):
    layer = desk.viewer.add_image(np.zeros((7, 8, 64, 64), np.uint16))
    desk.viewer.dims.set_point(0, 6)
    desk.controller.set_image(layer)
    assert desk.controller.axes.position == (("T", 6),)
    click(desk, 20, 30, frame=3)
    assert desk.labelled(1) == [3]
    desk.controller.image.data = np.zeros((5, 8, 64, 64), np.uint16)
    assert dict(desk.controller.axes.position)["T"] < 5


def test_an_image_that_is_given_other_pixels_leaves_no_empty_layers(desk):
    image, layers = desk.controller.image, len(desk.viewer.layers)
    for value in range(3):
        image.data = np.full((5, 32, 32), value, np.uint8)
    assert len(desk.viewer.layers) == layers
    assert desk.controller.image is image


def test_pixels_that_cannot_be_seen_as_frames_are_told(desk):
    desk.controller.image.data = np.zeros((2,) * 4 + (8, 8), np.uint8)
    assert desk.controller.image is None
    assert "axes" in desk.said[-1]


def test_an_image_that_could_not_be_read_is_read_again(desk):
    start, broken = DiscPredictor.start, [True]

    class Away(DiscPredictor):
        def start(self, frames, *, contrast=None):
            if broken[0]:
                raise OSError("the drive is away")
            return start(self, frames, contrast=contrast)

    desk = Desk(ViewerModel(), make=lambda _, options, __: Away(options=options))
    desk.open()
    assert "the drive is away" in desk.said[-1]
    desk.controller.add_point(20, 30)
    broken[0] = False
    desk.controller.propagate()
    assert "try again" in desk.said[-1]
    desk.controller.propagate()
    assert desk.labelled(1) == list(range(8))
    desk.controller.close()


def test_a_brush_stroke_is_a_mask_prompt_pixel_for_pixel(desk):
    paint(desk, 2, 30, 30, 4)
    painted = desk.controller.labels()[2].copy()
    assert (painted == 4).sum() > 20
    row = desk.controller.row(4)
    assert (row.prompts, row.frames_done) == (1, 1)
    desk.controller.propagate()
    np.testing.assert_array_equal(desk.controller.labels()[2], painted)
    assert desk.labelled(4) == list(range(8))


def test_filled_areas_and_polygons_are_mask_prompts(desk):
    layer = desk.controller.labels_layer
    desk.controller.go_to(4)
    layer.paint_polygon(
        np.array([[4, 40, 40], [4, 40, 50], [4, 50, 50], [4, 50, 40]]), 3
    )
    painted = desk.controller.labels()[4] == 3
    assert painted[45, 45]
    assert desk.controller.row(3).prompts == 1
    layer.fill((4, 45, 45), 2)
    np.testing.assert_array_equal(desk.controller.labels()[4] == 2, painted)
    assert desk.controller.row(2).prompts == 1
    layer.undo()
    layer.undo()
    assert not desk.controller.labels().any()
    assert [row.prompts for row in desk.controller.objects] == [0, 0]
    desk.controller.select_object(2)
    click(desk, 20, 30)
    desk.controller.set_locked([2], True)
    before = desk.controller.labels().copy()
    layer.fill((4, 20, 30), 5)
    np.testing.assert_array_equal(desk.controller.labels(), before)
    assert "locked" in desk.said[-1]


def test_painting_through_several_frames(desk):
    click(desk, 20, 30, frame=3, object_id=1)
    desk.controller.propagate()
    before = desk.controller.labels().copy()
    layer = desk.controller.labels_layer
    layer.n_edit_dimensions = 3
    layer.fill((3, 20, 30), 2)
    np.testing.assert_array_equal(desk.controller.labels(), before * 2)
    assert desk.controller.row(2).prompts == 8
    layer.undo()
    for frame in range(8):
        desk.controller.go_to(frame)
    np.testing.assert_array_equal(desk.controller.labels(), before)
    assert [row.prompts for row in desk.controller.objects] == [1, 0]


def test_a_stroke_takes_the_place_of_points(desk):
    click(desk, 20, 30, frame=2)
    paint(desk, 2, 45, 30, 1)
    assert len(desk.viewer.layers["SAM 2 points"].data) == 0
    labels = desk.controller.labels()[2] == 1
    assert labels[20, 30]
    assert labels[45, 30]


def test_undo_of_a_stroke_brings_points_and_boxes_back(desk):
    click(desk, 20, 30, frame=2)
    desk.controller.add_point(23, 33)
    desk.viewer.layers["SAM 2 boxes and outlines"].add(
        np.array([[2, 10, 20], [2, 10, 42], [2, 32, 42], [2, 32, 20]]),
        shape_type="rectangle",
    )
    before = desk.controller.labels()[2].copy()
    points = desk.viewer.layers["SAM 2 points"]
    kept = points.data.copy()
    paint(desk, 2, 45, 30, 1)
    paint(desk, 2, 48, 30, 1)
    layer = desk.controller.labels_layer
    layer.undo()
    assert len(points.data) == 0
    layer.undo()
    np.testing.assert_array_equal(points.data, kept)
    assert points.features["positive"].tolist() == [True, True]
    assert len(desk.viewer.layers["SAM 2 boxes and outlines"].data) == 1
    np.testing.assert_array_equal(desk.controller.labels()[2], before)
    layer.redo()
    assert len(points.data) == 0
    assert desk.controller.labels()[2][45, 30] == 1
    layer.undo()
    np.testing.assert_array_equal(points.data, kept)


@pytest.mark.parametrize("first", [3, 5])
def test_a_stroke_over_a_painted_neighbour_stays(desk, first):
    second = 8 - first
    paint(desk, 2, 30, 30, first)
    before = desk.controller.labels()[2].copy()
    paint(desk, 2, 36, 30, second)
    painted = desk.controller.labels()[2].copy()
    assert (painted == second).sum() >= (before == first).sum()
    desk.controller.propagate()
    np.testing.assert_array_equal(desk.controller.labels()[2], painted)
    desk.controller.labels_layer.undo()
    np.testing.assert_array_equal(desk.controller.labels()[2], before)


def test_erasing_all_says_that_the_object_is_not_there(desk):
    click(desk, 20, 30, frame=2)
    desk.controller.propagate()
    paint(desk, 5, 20, 33, 0, size=30)
    assert not (desk.controller.labels()[5] == 1).any()
    assert desk.controller.row(1).prompts == 2
    desk.controller.propagate()
    assert not (desk.controller.labels()[5] == 1).any()


def test_undo_of_a_stroke_takes_the_prompt_back(desk):
    paint(desk, 2, 30, 30, 1)
    layer = desk.controller.labels_layer
    layer.undo()
    assert not desk.controller.labels()[2].any()
    assert desk.controller.row(1).prompts == 0
    layer.redo()
    assert (desk.controller.labels()[2] == 1).sum() > 20
    assert desk.controller.row(1).prompts == 1


def test_undo_works_after_results_were_painted(desk):
    paint(desk, 2, 30, 30, 1)
    before = desk.controller.labels()[2].copy()
    paint(desk, 2, 36, 30, 1)
    desk.controller.propagate()
    desk.controller.labels_layer.undo()
    np.testing.assert_array_equal(desk.controller.labels()[2], before)
    assert desk.controller.row(1).prompts == 1


def test_undo_of_a_stroke_on_another_frame_takes_the_prompt_back(desk):
    paint(desk, 2, 30, 30, 1)
    paint(desk, 5, 30, 30, 1)
    desk.controller.go_to(7)
    desk.controller.labels_layer.undo()
    assert desk.controller.row(1).prompts == 1
    desk.controller.propagate()
    assert desk.controller.timeline.marks[0].tolist().count(Mark.PROMPTED) == 1
    desk.controller.labels_layer.redo()
    assert desk.controller.row(1).prompts == 2


@pytest.mark.parametrize("via", ["table", "layer"])
def test_selected_label_and_selected_object_are_one(desk, via):
    click(desk, 10, 10, object_id=1)
    click(desk, 40, 40, object_id=2)
    said = []
    desk.controller.selection_changed.connect(said.append)
    if via == "table":
        desk.controller.select_object(1)
    else:
        desk.controller.labels_layer.selected_label = 1
    assert desk.controller.selected == desk.controller.labels_layer.selected_label == 1
    assert said == [1]
    click(desk, 12, 12)
    assert desk.controller.row(1).prompts == 1
    assert len(desk.controller.objects) == 2


def test_next_previous_and_new(desk):
    for object_id in (2, 4, 9):
        click(desk, 5 * object_id, 10, object_id=object_id)
    controller = desk.controller
    ids = []
    for step in ("next", "next", "previous", "previous", "previous"):
        getattr(controller, f"{step}_object")()
        ids.append(controller.selected)
    assert ids == [2, 4, 2, 9, 4]
    assert controller.new_object() == 10
    controller.delete_objects([9])
    assert controller.new_object() == 10


def test_deleting_removes_labels_on_every_frame(desk):
    click(desk, 20, 30, frame=3, object_id=1)
    click(desk, 40, 30, frame=3, object_id=2)
    desk.controller.propagate()
    desk.controller.delete_objects([1])
    assert desk.labelled(1) == []
    assert desk.labelled(2) == list(range(8))
    assert [row.object_id for row in desk.controller.objects] == [2]
    assert len(desk.viewer.layers["SAM 2 points"].data) == 1


def test_deleting_removes_labels_of_an_earlier_session_too(desk):
    click(desk, 20, 30, frame=3, object_id=1)
    click(desk, 40, 30, frame=3, object_id=2)
    desk.controller.propagate()
    desk.controller.set_options(PredictorOptions(fill_holes=3))
    assert desk.labelled(1) == list(range(8))
    desk.controller.delete_objects([1])
    assert desk.labelled(1) == []
    assert desk.labelled(2) == list(range(8))


def test_a_hidden_object_that_is_deleted_hides_nothing_else(desk):
    click(desk, 20, 30, frame=0, object_id=1)
    click(desk, 40, 30, object_id=2)
    layer = desk.controller.labels_layer
    before = layer.colormap.map(np.array([1, 2, 3])).tolist()
    desk.controller.set_visible([2], False)
    desk.controller.delete_objects([2])
    assert layer.colormap.map(np.array([1, 2, 3])).tolist() == before


def test_not_this_is_told_with_every_image(desk):
    told = []
    desk.controller.set_negative(True)
    desk.controller.negative_changed.connect(told.append)
    desk.viewer.add_image(np.zeros((4, SIZE, SIZE), np.uint8), name="other")
    desk.controller.set_image(desk.viewer.layers["other"])
    assert told[-1] is desk.controller.negative is False


def test_hidden_objects_keep_their_labels_and_colours(desk):
    click(desk, 20, 30, frame=0, object_id=1)
    click(desk, 40, 30, object_id=2)
    before = [row.color for row in desk.controller.objects]
    desk.controller.set_visible([1], False)
    layer = desk.controller.labels_layer
    assert layer.colormap.map(np.array([1, 2]))[:, 3].tolist() == [0, 1]
    assert [row.color for row in desk.controller.objects] == before
    assert desk.labelled(1) == [0]
    click(desk, 10, 10, object_id=3)
    assert layer.colormap.map(np.array([3]))[0, 3] == 1
    desk.controller.set_visible([1], True)
    assert layer.colormap.map(np.array([1]))[0, 3] == 1


def test_a_new_object_has_its_colour_while_another_is_hidden(desk):
    click(desk, 20, 30, object_id=1)
    desk.controller.set_visible([1], False)
    click(desk, 40, 30, object_id=2)
    layer = desk.controller.labels_layer
    np.testing.assert_allclose(
        layer.colormap.map(np.array([2]))[0], desk.controller.row(2).color
    )


def test_other_colours_are_told(desk):
    click(desk, 20, 30, object_id=1)
    told = []
    desk.controller.objects_changed.connect(told.append)
    before = desk.controller.row(1).color
    desk.controller.labels_layer.new_colormap(seed=3)
    assert told == [None]
    assert desk.controller.row(1).color != before


def test_tracking_all_again_knows_how_much_it_is(manual):
    click(manual, 20, 30, frame=3)
    manual.drain()
    for _ in range(2):
        manual.controller.propagate()
        manual.lane.step()
        assert manual.controller.progress.total == 7
        manual.drain()


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        (OSError("gone"), "cannot be read"),
        (MemoryError(), "not enough memory"),
        (torch.OutOfMemoryError(), "graphics card"),
        (RuntimeError("MPS backend out of memory"), "graphics card"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: tried 8 bytes"),
            "not enough memory",
        ),
    ],
)
def test_what_fails_on_the_way_is_told_and_what_is_done_stays(manual, reason, sentence):
    click(manual, 20, 30, frame=0)
    manual.drain()
    track = DiscTracker.track

    def failing(self, tracks, frame, **how):
        if frame == 4:
            raise reason
        track(self, tracks, frame, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DiscTracker, "track", failing)
        manual.controller.propagate()
        manual.drain()
    assert sentence in manual.said[-1]
    assert manual.labelled(1) == [0, 1, 2, 3]
    assert manual.controller.activity == Activity.IDLE
    manual.controller.propagate()
    manual.drain()
    assert manual.labelled(1) == list(range(8))


def test_locking_on_the_way_stops_one_object_and_the_others_go_on(manual):
    for object_id, y in ((1, 15), (2, 45)):
        click(manual, y, 20, frame=0, object_id=object_id)
        manual.drain()
    manual.controller.propagate()
    for _ in range(4):
        manual.lane.step()
    manual.controller.set_locked([1], True)
    computed = manual.labelled(1)
    assert manual.controller.activity == Activity.PROPAGATING
    manual.drain()
    assert manual.labelled(1) == computed != list(range(8))
    assert manual.labelled(2) == list(range(8))
    assert manual.controller.row(1).frames_done == len(computed)
    manual.controller.propagate("both", (0, 7))
    manual.lane.step()
    manual.controller.set_locked([2], True)
    manual.drain()
    assert manual.controller.activity == Activity.IDLE


def test_unlocking_shows_what_was_found_meanwhile(manual):
    for object_id, y in ((1, 15), (2, 45)):
        click(manual, y, 20, frame=0, object_id=object_id)
        manual.drain()
    track = DiscTracker.track

    def locking(self, tracks, frame, **how):
        track(self, tracks, frame, **how)
        if frame == 3:  # while it is computed
            manual.controller.set_locked([1], True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DiscTracker, "track", locking)
        manual.controller.propagate()
        manual.drain()
    assert manual.labelled(1) == [0, 1, 2]
    assert manual.labelled(2) == list(range(8))
    manual.controller.set_locked([1], False)
    manual.drain()
    assert manual.labelled(1) == [0, 1, 2, 3]


def test_a_click_does_not_wait_for_all_that_is_to_be_repainted(manual):
    for object_id, y in ((1, 15), (2, 45)):
        click(manual, y, 20, frame=0, object_id=object_id)
    manual.drain()
    manual.controller.propagate()
    manual.drain()
    manual.controller.delete_objects([1])
    manual.lane.step()  # the deletion
    click(manual, 45, 20, frame=6, object_id=3)
    for _ in range(2):
        manual.lane.step()
    assert manual.labelled(3) == [6]
    assert manual.controller.activity == Activity.PREVIEW
    manual.drain()
    assert manual.labelled(1) == []
    assert manual.controller.activity == Activity.IDLE


def test_locked_objects_do_not_change(desk):
    click(desk, 20, 30, frame=3, object_id=1)
    desk.controller.propagate()
    before = desk.controller.labels() == 1
    desk.controller.set_locked([1], True)
    click(desk, 40, 40)
    assert "locked" in desk.said[-1]
    click(desk, 20, 33, object_id=2)
    paint(desk, 3, 20, 31, 2)
    desk.controller.propagate()
    desk.controller.delete_objects([1])
    desk.controller.go_to(3)
    desk.controller.clear_prompts(1)
    np.testing.assert_array_equal(desk.controller.labels() == 1, before)
    assert desk.controller.row(1).prompts == 1
    desk.controller.rerun([1])
    assert "locked" in desk.said[-1]


def test_what_was_moved_of_a_locked_object_counts_once_it_is_unlocked(desk):
    click(desk, 20, 30, frame=3)
    desk.controller.set_locked([1], True)
    points = desk.viewer.layers["SAM 2 points"]
    points.data = np.array([[3, 40, 12]])
    assert desk.centre(1, 3) == (20, 30)
    click(desk, 50, 50, object_id=2)
    assert sum("locked" in sentence for sentence in desk.said) == 1
    desk.controller.set_locked([1], False)
    assert desk.centre(1, 3) == (40, 12)


def test_locked_objects_come_along_to_another_model(desk):
    click(desk, 20, 30, frame=3)
    desk.controller.propagate()
    desk.controller.set_locked([1], True)
    desk.controller.load_model(ModelRequest("others"))
    assert desk.said == []
    assert desk.controller.row(1).prompts == 1
    assert desk.labelled(1) == list(range(8))


def test_names_and_categories(desk):
    click(desk, 20, 30)
    desk.controller.rename(1, "  mother ")
    desk.controller.set_category(1, "nucleus")
    row = desk.controller.row(1)
    assert (row.name, row.category) == ("mother", "nucleus")
    desk.controller.rename(1, " ")
    assert desk.controller.row(1).name == "Object 1"
    desk.controller.rename(77, "nobody")


def test_approved_frames_never_change(desk):
    click(desk, 20, 30, frame=3)
    desk.controller.propagate()
    desk.controller.approve(5, 6)
    before = desk.controller.labels()[5:7].copy()
    click(desk, 50, 10, frame=3)
    desk.controller.propagate()
    desk.controller.rerun([1])
    np.testing.assert_array_equal(desk.controller.labels()[5:7], before)
    marks = desk.controller.timeline.marks[0]
    assert (marks[5:7] & Mark.APPROVED).all()
    desk.controller.unapprove(5, 6)
    desk.controller.propagate()
    assert not (desk.controller.labels()[5:7] == before).all()


def test_a_prompt_on_an_approved_frame_opens_it_with_a_word(desk):
    click(desk, 20, 30, frame=3)
    desk.controller.propagate()
    desk.controller.approve(5)
    click(desk, 50, 10, frame=5)
    assert "was approved" in desk.said[-1]
    assert desk.controller.row(1).approved == 0
    assert desk.centre(1, 5) == (50, 10)


def test_painting_beside_an_approved_object_takes_none_of_its_pixels(desk):
    click(desk, 20, 30, frame=3, object_id=1)
    desk.controller.approve()
    before = desk.controller.labels()[3] == 1
    paint(desk, 3, 20, 34, 2, size=9)
    np.testing.assert_array_equal(desk.controller.labels()[3] == 1, before)
    assert (desk.controller.labels()[3] == 2).any()


def test_a_correction_tracks_only_the_span_to_the_next_anchors(desk):
    click(desk, 20, 30, frame=0)
    desk.controller.propagate()
    desk.controller.approve(2)
    desk.predictor.tracked.clear()
    click(desk, 24, 40, frame=5)
    marks = desk.controller.timeline.marks[0]
    assert [f for f in range(8) if marks[f] & Mark.STALE] == [3, 4, 6, 7]
    desk.controller.propagate()
    # Between the approved frame and the click from both.
    assert sorted(f for _, f in desk.predictor.tracked) == [3, 3, 4, 4, 6, 7]


def test_approve_span_goes_to_the_next_anchors(desk):
    click(desk, 20, 30, frame=0)
    click(desk, 20, 36, frame=6)
    desk.controller.propagate()
    desk.controller.go_to(3)
    desk.controller.approve_span()
    marks = desk.controller.timeline.marks[0]
    assert [f for f in range(8) if marks[f] & Mark.APPROVED] == [1, 2, 3, 4, 5]


def test_approve_span_on_an_approved_frame_takes_the_span_back(desk):
    click(desk, 20, 30, frame=3)
    desk.controller.propagate()
    desk.controller.approve(0)
    desk.controller.go_to(5)
    desk.controller.approve_span()
    assert desk.controller.row(1).approved == 5
    desk.controller.approve_span()
    assert desk.controller.row(1).approved == 1


def test_a_click_beside_the_object_is_red_at_once(desk):
    click(desk, 20, 30, frame=1)
    click(desk, 20, 33, positive=False)
    points = desk.viewer.layers["SAM 2 points"]
    on, beside = points.face_color
    assert on[1] > on[0]
    assert beside[0] > beside[1]


def test_a_new_object_is_ready_for_its_first_click(desk):
    desk.controller.set_tool(Tool.POINTS)
    desk.viewer.layers.selection.active = desk.controller.image
    assert desk.controller.new_object() == 1
    active = desk.viewer.layers.selection.active
    assert (active.name, active.mode) == ("SAM 2 points", "add")


def test_whether_a_click_is_a_prompt_is_told(desk):
    told = []
    desk.controller.armed_changed.connect(told.append)
    desk.controller.set_tool(Tool.POINTS)
    desk.viewer.layers.selection.active = desk.controller.image
    desk.controller.set_tool(Tool.BOX)
    desk.viewer.layers["SAM 2 boxes and outlines"].mode = "select"
    assert not desk.controller.armed
    desk.viewer.layers["SAM 2 boxes and outlines"].mode = "add_polygon"
    assert told == [True, False, True, False, True]
    desk.controller.set_image(None)
    desk.viewer.layers.selection.active = None
    assert not desk.controller.armed


def test_an_image_that_is_put_aside_hides_its_layers_and_shows_them_again(desk):
    first = desk.controller.image
    click(desk, 20, 30, frame=3)
    drawn = desk.viewer.layers["SAM 2 points"], desk.controller.labels_layer
    second = desk.open(data=np.zeros((4, 32, 32), np.uint8), name="second")
    assert not any(layer.visible for layer in drawn)
    assert first.visible
    desk.controller.set_image(first)
    assert all(layer.visible for layer in drawn)
    assert not second.visible
    second.blending = "additive"
    desk.controller.set_image(second)
    assert second.visible
    desk.controller.set_image(first)
    assert second.visible


def test_a_removed_image_without_objects_leaves_nothing(desk):
    desk.viewer.layers.remove(desk.controller.image)
    assert len(desk.viewer.layers) == 0
    assert "stay" not in desk.said[-1]


def test_labels_of_numbers_in_use_are_told_once(desk):
    for object_id, y in ((1, 10), (2, 50)):
        click(desk, y, 30, frame=3, object_id=object_id)
    desk.controller.propagate()
    desk.controller.approve(4, 6, [1])
    labels = np.zeros((8, SIZE, SIZE), np.uint8)
    labels[2:6, 30:34, 10:14] = 1
    told = len(desk.said)
    desk.controller.use_labels(desk.viewer.add_labels(labels), all_frames=True)
    new = desk.said[told:]
    assert len(new) == 2
    assert "before: 1." in new[0]
    assert "(and 1 more)" in new[1]


def test_a_name_that_is_not_opened_as_labels_is_told(desk, tmp_path):
    click(desk, 20, 30, frame=3)
    desk.controller.export(tmp_path / "result.tif")
    assert "end in 'labels'" in desk.said[-1]
    desk.controller.export(tmp_path / "my-labels.ome.tif")
    assert "end in" not in desk.said[-1]


def test_nothing_to_approve_says_so(desk):
    click(desk, 20, 30, frame=0)
    desk.controller.go_to(4)
    desk.controller.approve()
    assert "nothing to approve" in desk.said[-1]


def test_the_next_doubtful_frame(desk):
    click(desk, 20, 30, frame=0)
    desk.controller.propagate()
    desk.controller.next_doubtful()
    assert "No frame" in desk.said[-1]
    table = desk.controller._work.table
    table._iou[0, [3, 4, 6]] = [0.4, 0.2, 0.3]
    desk.controller.next_doubtful()
    assert desk.controller.frame == 4
    desk.controller.next_doubtful()
    assert desk.controller.frame == 6
    desk.controller.next_doubtful()
    assert desk.controller.frame == 4
    desk.controller.go_to(7)
    desk.controller.next_doubtful(worst=True)
    assert desk.controller.frame == 4


def test_pause_cancel_and_resume_keep_what_is_done(manual):
    click(manual, 20, 30, frame=0)
    manual.drain()
    manual.controller.propagate("forward")
    for _ in range(4):
        manual.lane.step()
    assert manual.controller.activity == Activity.PROPAGATING
    done = manual.labelled(1)
    assert 2 <= len(done) < 6
    manual.controller.pause()
    manual.drain()
    assert manual.controller.activity == Activity.PAUSED
    assert manual.controller.progress.paused
    assert manual.labelled(1) == done
    manual.controller.resume()
    manual.lane.step()
    manual.controller.cancel()
    manual.drain()
    assert manual.controller.activity == Activity.IDLE
    assert len(manual.labelled(1)) == len(done) + 1
    manual.predictor.tracked.clear()
    manual.controller.resume()
    manual.drain()
    assert manual.labelled(1) == list(range(8))
    assert len(manual.predictor.tracked) == 7 - len(done)


def test_a_click_during_propagation_comes_first_and_is_followed(manual):
    click(manual, 20, 30, frame=0)
    manual.drain()
    manual.controller.propagate("forward")
    for _ in range(6):
        manual.lane.step()
    click(manual, 50, 10, frame=2)
    manual.lane.step()
    assert manual.centre(1, 2) == (50, 10)
    assert manual.controller.row(1).status == ObjectStatus.STALE
    assert manual.controller.activity == Activity.PROPAGATING
    manual.drain()
    assert [manual.centre(1, f)[0] for f in range(8)] == [20, 20, *[50] * 6]
    assert manual.controller.row(1).status == ObjectStatus.DONE


def test_a_new_object_during_propagation_is_tracked_too(manual):
    click(manual, 20, 30, frame=0)
    manual.drain()
    manual.controller.propagate("forward")
    for _ in range(5):
        manual.lane.step()
    manual.controller.new_object()
    click(manual, 50, 10, frame=0)
    manual.drain()
    assert manual.labelled(2) == list(range(8))


def test_a_deletion_during_propagation(manual):
    click(manual, 20, 30, frame=0, object_id=1)
    click(manual, 50, 30, frame=0, object_id=2)
    manual.drain()
    manual.controller.propagate("forward")
    for _ in range(5):
        manual.lane.step()
    manual.controller.delete_objects([1])
    manual.drain()
    assert manual.labelled(1) == []
    assert manual.labelled(2) == list(range(8))


def test_waiting_changes_of_one_prompt_become_one(manual):
    click(manual, 20, 30, frame=1)
    points = manual.viewer.layers["SAM 2 points"]
    calls = []
    add = manual.predictor.add_prompt

    def counted(*args, **kwargs):
        calls.append(kwargs["frame"])
        return add(*args, **kwargs)

    manual.predictor.add_prompt = counted
    for x in range(10, 30):
        points.data = np.array([[1, 40, x]])
    manual.drain()
    assert calls == [1]
    assert manual.centre(1, 1) == (40, 29)
    assert manual.controller.activity == Activity.IDLE


@pytest.mark.parametrize("removed", ["image", "labels", "points"])
def test_layers_removed_during_propagation(manual, removed):
    click(manual, 20, 30, frame=0)
    manual.drain()
    manual.controller.propagate("forward")
    for _ in range(4):
        manual.lane.step()
    layer = {
        "image": manual.controller.image,
        "labels": manual.controller.labels_layer,
        "points": manual.viewer.layers["SAM 2 points"],
    }[removed]
    labels = manual.controller.labels()
    manual.viewer.layers.remove(layer)
    manual.drain()
    if removed == "image":
        assert manual.controller.image is None
        assert manual.controller.activity == Activity.IDLE
        assert "removed" in manual.said[-1]
        assert (labels[:2] == 1).any((1, 2)).all()
        assert "SAM 2 labels" in manual.viewer.layers
        manual.controller.propagate()
        manual.controller.add_point(1, 1)
    else:
        assert manual.labelled(1) == list(range(8))
        assert "SAM 2 labels" in manual.viewer.layers
        manual.controller.set_tool(Tool.POINTS)
        assert len(manual.viewer.layers["SAM 2 points"].data) == 1


def test_renaming_layers_does_not_matter(manual):
    click(manual, 20, 30, frame=0)
    manual.drain()
    told = []
    manual.controller.images_changed.connect(lambda: told.append(1))
    for layer in manual.viewer.layers:
        layer.name = f"my {layer.name}"
    assert told
    manual.controller.propagate()
    manual.drain()
    assert manual.labelled(1) == list(range(8))


def test_another_image_and_back(desk):
    first = desk.controller.image
    click(desk, 20, 30, frame=3)
    desk.controller.propagate()
    desk.controller.approve(6)
    second = desk.open(data=np.zeros((4, 32, 32), np.uint8), name="second")
    assert desk.controller.image is second
    assert desk.controller.objects == ()
    click(desk, 10, 10, frame=1)
    assert desk.labelled(1) == [1]
    desk.controller.set_image(first)
    assert desk.labelled(1) == list(range(8))
    (row,) = desk.controller.objects
    assert (row.prompts, row.approved) == (1, 1)
    click(desk, 22, 30, frame=3)
    desk.controller.propagate()
    assert desk.centre(1, 3) == (21, 30)


def test_approvals_of_prompted_frames_outlive_a_change_of_model(desk):
    click(desk, 20, 30, frame=3)
    desk.controller.propagate()
    click(desk, 24, 30, frame=5, positive=False)
    mask = desk.controller.labels()[5] == 1
    desk.controller.go_to(3)
    desk.controller.approve()
    desk.controller.go_to(5)
    desk.controller.approve()
    desk.controller.load_model(ModelRequest("others"))
    row = desk.controller.row(1)
    assert (row.prompts, row.approved) == (2, 2)
    np.testing.assert_array_equal(desk.controller.labels()[5] == 1, mask)
    desk.controller.propagate()
    np.testing.assert_array_equal(desk.controller.labels()[5] == 1, mask)
    assert desk.controller.row(1).approved == 2


def test_approvals_outlive_changes_that_follow_each_other_fast(manual):
    click(manual, 20, 30, frame=3)
    manual.drain()
    manual.controller.propagate()
    manual.drain()
    manual.controller.approve(0, 6)
    manual.drain()
    for name in ("others", "more", "discs"):
        manual.controller.load_model(ModelRequest(name))
        for _ in range(4):  # the session starts, and takes over but a few frames
            manual.lane.step()
    manual.drain()
    assert manual.controller.row(1).approved == 7
    assert manual.labelled(1) == list(range(8))


@pytest.mark.parametrize("change", ["model", "options", "image"])
def test_approvals_that_wait_outlive_a_change(manual, change):
    click(manual, 20, 30, frame=3)
    manual.drain()
    manual.controller.propagate()
    manual.drain()
    manual.controller.approve(5)
    manual.drain()
    image = manual.controller.image
    manual.controller.approve(6, 7)
    manual.controller.unapprove(5)
    if change == "model":
        manual.controller.load_model(ModelRequest("others"))
    elif change == "options":
        manual.controller.set_options(PredictorOptions(fill_holes=9))
    else:
        manual.open(data=np.zeros((4, 32, 32), np.uint8), name="second")
        manual.drain()
        manual.controller.set_image(image)
    manual.drain()
    marks = manual.controller.timeline.marks[0]
    assert np.flatnonzero(marks & Mark.APPROVED).tolist() == [6, 7]


def test_an_approval_taken_back_stays_so_through_two_changes(manual):
    click(manual, 20, 30, frame=3)
    manual.drain()
    manual.controller.approve(3)
    manual.drain()
    manual.controller.unapprove(3)
    for holes in (5, 9):
        manual.controller.set_options(PredictorOptions(fill_holes=holes))
    manual.drain()
    assert manual.controller.row(1).approved == 0


@pytest.mark.parametrize("answered", [True, False])
def test_a_click_that_waits_voids_an_approval_through_a_change(manual, answered):
    click(manual, 20, 30, frame=3)
    manual.drain()
    manual.controller.propagate()
    manual.drain()
    manual.controller.approve(5)
    if answered:
        manual.drain()
    click(manual, 40, 10, frame=5)
    manual.controller.set_options(PredictorOptions(fill_holes=9))
    manual.drain()
    assert manual.controller.row(1).approved == 0
    assert manual.centre(1, 5) == (40, 10)


def test_an_approval_that_waits_for_a_click_outlives_a_change(manual):
    click(manual, 20, 30, frame=3)
    manual.drain()
    click(manual, 40, 10, frame=5)
    manual.controller.approve(5)
    manual.controller.set_options(PredictorOptions(fill_holes=9))
    manual.drain()
    assert manual.controller.row(1).approved == 1
    assert manual.centre(1, 5) == (40, 10)


def test_earlier_labels_stay_while_an_approval_waits(manual):
    click(manual, 20, 30, frame=3)
    manual.drain()
    manual.controller.propagate()
    manual.drain()
    manual.controller.set_options(PredictorOptions(fill_holes=9))
    manual.drain()
    click(manual, 20, 32, frame=5)
    manual.drain()
    manual.controller.approve(5)
    manual.controller.go_to(5)
    manual.controller.clear_prompts()
    manual.controller.go_to(3)
    manual.controller.clear_prompts()
    manual.drain()
    assert manual.labelled(1) == []


@pytest.fixture
def failing():
    """Let what prompts give fail, until undone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DiscPredictor, "add_prompt", _fail)
        yield patch


def test_a_prompt_that_failed_and_is_taken_back_is_gone(desk, failing):
    for object_id, x in ((1, 10), (2, 40)):
        click(desk, 20, x, frame=3, object_id=object_id)
    desk.controller.clear_prompts(1)
    failing.undo()
    desk.controller.propagate()
    assert desk.labelled(1) == []
    assert desk.labelled(2) == list(range(8))


def test_a_prompt_that_failed_twice_is_sent_as_it_is_in_the_end(manual, failing):
    for x in (30, 34):
        click(manual, 20, x, frame=3)
    manual.drain()
    failing.undo()
    points = manual.viewer.layers["SAM 2 points"]
    points.selected_data = {1}
    points.remove_selected()
    manual.drain()
    assert manual.centre(1, 3) == (20, 30)


def test_a_correction_that_failed_says_once_that_it_opens_a_frame(desk):
    click(desk, 20, 30, frame=3)
    desk.controller.approve(3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DiscPredictor, "add_prompt", _fail)
        click(desk, 24, 30, frame=3)
        click(desk, 50, 50, frame=5, object_id=2)
    assert sum("was approved" in text for text in desk.said) == 1
    assert desk.controller.row(1).approved == 1


def _fail(*_args, **_prompt):
    raise OSError("the drive is away")


def test_what_could_not_be_computed_is_computed_with_the_next_change(desk):
    click(desk, 20, 30, frame=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DiscPredictor, "add_prompt", _fail)
        click(desk, 24, 30, frame=3)
        assert "the drive is away" in desk.said[-1]
        click(desk, 50, 50, frame=5, object_id=2)
    assert desk.centre(1, 3) == (20, 30)
    desk.controller.propagate()
    assert desk.centre(1, 3) == (22, 30)
    assert desk.labelled(2) == list(range(8))


def test_a_propagation_that_a_change_of_options_ends_says_so(manual):
    click(manual, 20, 30, frame=0)
    manual.drain()
    manual.controller.propagate()
    for _ in range(4):
        manual.lane.step()
    manual.controller.set_options(PredictorOptions(fill_holes=9))
    assert "propagate again" in manual.said[-1]
    manual.drain()
    assert manual.controller.activity == Activity.IDLE


def test_a_prompt_for_an_image_that_is_put_aside_waits_with_a_word(desk):
    first = desk.controller.image
    click(desk, 20, 30, frame=3)
    points = desk.viewer.layers["SAM 2 points"]
    desk.open(data=np.zeros((4, 32, 32), np.uint8), name="second")
    points.add((5, 40, 40))
    assert repr(first.name) in desk.said[-1]
    assert desk.controller.objects == ()
    told = len(desk.said)
    desk.controller.set_image(first)
    assert desk.centre(1, 5) == (40, 40)
    points.add((5, 42, 40))
    assert len(desk.said) == told


def test_a_prompt_given_while_a_session_starts_opens_an_approved_frame(manual):
    click(manual, 20, 30, frame=3)
    manual.drain()
    manual.controller.approve()
    manual.drain()
    manual.controller.load_model(ModelRequest("others"))
    click(manual, 40, 30, frame=3)
    manual.drain()
    row = manual.controller.row(1)
    assert (row.prompts, row.approved) == (1, 0)
    assert manual.centre(1, 3) == (30, 30)


def test_an_object_deleted_while_a_session_starts_stays_deleted(manual):
    for object_id, x in ((1, 10), (2, 40)):
        click(manual, 20, x, frame=3, object_id=object_id)
        manual.drain()
        manual.controller.approve(3, object_ids=[object_id])
        manual.drain()
    manual.controller.load_model(ModelRequest("others"))
    manual.controller.delete_objects([2])
    manual.drain()
    assert [row.object_id for row in manual.controller.objects] == [1]
    assert manual.labelled(2) == []


def test_corrections_refine_the_same_mask_in_another_session(desk, monkeypatch):
    click(desk, 20, 30, frame=3)
    desk.controller.propagate()
    click(desk, 20, 30, frame=5, positive=False)
    seen = {}
    add_prompt = DiscPredictor.add_prompt

    def spy(self, session, *, frame, object_id, prompt):
        if session.has_object(object_id):
            seen[frame] = session.track(object_id).result(frame)
        return add_prompt(
            self, session, frame=frame, object_id=object_id, prompt=prompt
        )

    monkeypatch.setattr(DiscPredictor, "add_prompt", spy)
    shown = (desk.controller.labels()[5] == 1).sum()
    desk.controller.load_model(ModelRequest("others"))
    assert seen[3] is None  # a first click is answered by the new model alone
    assert (seen[5].logits > 0).sum() == shown
    row = desk.controller.row(1)
    assert (row.prompts, row.approved) == (2, 0)


def test_changes_of_a_session_that_is_gone_are_not_computed(manual, monkeypatch):
    click(manual, 20, 30, frame=3)
    manual.drain()
    asked = []
    add_prompt = DiscPredictor.add_prompt

    def spy(self, session, **given):
        asked.append(self)
        return add_prompt(self, session, **given)

    monkeypatch.setattr(DiscPredictor, "add_prompt", spy)
    before = manual.predictor
    for frame in range(4, 8):
        click(manual, 20, 30, frame=frame)
    manual.controller.load_model(ModelRequest("others"))
    manual.drain()
    assert before not in asked
    assert len(asked) == 5


def test_labels_of_a_layer_leave_prompts_of_locked_objects(desk):
    click(desk, 20, 30, frame=3, object_id=1)
    desk.controller.set_locked([1], True)
    labels = np.zeros((8, SIZE, SIZE), np.uint8)
    labels[3, 40:50, 5:15] = 1
    labels[3, 5:15, 40:50] = 2
    layer = desk.viewer.add_labels(labels, name="cells")
    desk.controller.use_labels(layer)
    assert len(desk.viewer.layers["SAM 2 points"].data) == 1
    desk.controller.set_locked([1], False)
    assert desk.centre(1, 3) == (20, 30)
    assert desk.controller.row(1).prompts == 1
    assert desk.centre(2, 3) == (9.5, 44.5)


def test_tracking_no_object_says_so(desk):
    click(desk, 20, 30, frame=3)
    desk.controller.propagate("both", (0, 7), ())
    assert "select rows" in desk.said[-1]
    assert desk.labelled(1) == [3]


def test_labels_of_an_earlier_model_stay_until_they_are_tracked_anew(desk):
    click(desk, 20, 30, frame=3, object_id=1)
    click(desk, 45, 30, frame=3, object_id=2)
    desk.controller.propagate()
    desk.controller.approve(6, object_ids=[1])
    desk.controller.load_model(ModelRequest("others"))
    for object_id in (1, 2):
        assert desk.labelled(object_id) == list(range(8))
    row = desk.controller.row(1)
    assert (row.prompts, row.approved, row.frames_done) == (1, 1, 2)
    click(desk, 10, 10, frame=5, object_id=3)
    assert desk.labelled(2) == list(range(8))
    desk.controller.propagate()
    assert desk.controller.row(2).status == ObjectStatus.DONE


def test_prompts_before_the_model_is_there_are_kept(viewer):
    desk = Desk(viewer, load=False)
    desk.open()
    click(desk, 20, 30, frame=3)
    assert desk.labelled(1) == []
    desk.controller.propagate()
    assert "model" in desk.said[-1]
    desk.controller.load_model(ModelRequest("discs"))
    assert desk.labelled(1) == [3]
    assert desk.controller.model.stage == ModelStage.READY


def test_a_download_that_fails_says_why_and_the_model_before_stays(viewer):
    fail = []

    def make(request, options, progress):
        if fail:
            progress(10, 100)
            raise CheckpointError("The server cannot be reached.")
        return Desk._make(desk, request, options, progress)

    desk = Desk(viewer, make=make, load=False)
    desk.open()
    desk.controller.load_model(ModelRequest("discs"))
    fail.append(1)
    stages = []
    desk.controller.model_changed.connect(lambda s: stages.append(s.stage))
    desk.controller.load_model(ModelRequest("others"))
    assert stages == [ModelStage.LOADING, ModelStage.DOWNLOADING, ModelStage.READY]
    assert desk.said == ["The server cannot be reached."]
    click(desk, 20, 30, frame=0)
    assert desk.labelled(1) == [0]


def test_a_cancelled_download_says_nothing(viewer):
    def make(request, options, progress):
        progress(10, 100)
        desk.controller.cancel_loading()
        progress(20, 100)
        raise AssertionError("the download went on")

    desk = Desk(viewer, make=make, load=False)
    desk.controller.load_model(ModelRequest("discs"))
    assert desk.controller.model.stage == ModelStage.NONE
    assert desk.said == []


@pytest.mark.parametrize("how", ["closed", "viewer gone"])
def test_a_download_ends_with_its_viewer(how):
    viewers = [ViewerModel()]
    said = []

    def make(request, options, progress):
        progress(10, 100)
        if how == "closed":
            controller.close()
        viewers.clear()
        gc.collect()
        progress(20, 100)
        raise AssertionError("the download went on")

    controller = Controller(viewers[0], beside=InlineLane(), make=make)
    controller.message.connect(lambda message: said.append(message.text))
    controller.load_model(ModelRequest("discs"))
    assert not viewers
    assert said == []


def test_options_change_and_prompts_stay(desk):

    click(desk, 20, 30, frame=3)
    desk.controller.set_options(PredictorOptions(fill_holes=9))
    assert desk.controller.options.fill_holes == 9
    assert desk.controller.row(1).prompts == 1
    desk.controller.propagate()
    assert desk.labelled(1) == list(range(8))


def test_a_labels_layer_as_prompts(desk):
    labels = np.zeros((8, SIZE, SIZE), np.int32)
    labels[2, 10:14, 10:14] = 3
    labels[2, 30:34, 10:14] = 70000
    labels[5, 50:54, 50:54] = 3
    layer = desk.viewer.add_labels(labels)
    desk.controller.go_to(2)
    desk.controller.use_labels(layer)
    assert [row.object_id for row in desk.controller.objects] == [3, 70000]
    np.testing.assert_array_equal(desk.controller.labels()[2], labels[2])
    assert not desk.controller.labels()[5].any()
    desk.controller.use_labels(layer, all_frames=True)
    np.testing.assert_array_equal(desk.controller.labels()[5], labels[5])
    assert desk.controller.row(3).prompts == 2
    desk.controller.propagate()
    assert desk.labelled(70000) == list(range(8))


def test_hundreds_of_labels_as_prompts(viewer):
    desk = Desk(viewer)
    desk.open(data=np.zeros((6, 128, 128), np.uint8))
    labels = np.zeros((6, 128, 128), np.uint16)
    for number in range(400):
        y, x = divmod(number, 20)
        labels[:, 6 * y : 6 * y + 4, 6 * x : 6 * x + 4] = number + 1
    desk.controller.use_labels(viewer.add_labels(labels), all_frames=True)
    np.testing.assert_array_equal(desk.controller.labels(), labels)
    assert len(desk.controller.objects) == 400
    assert all(row.prompts == 6 for row in desk.controller.objects)
    started = time.perf_counter()
    click(desk, 60, 61, frame=2, object_id=1)
    assert time.perf_counter() - started < 2
    desk.controller.delete_objects(range(1, 400))
    assert np.unique(desk.controller.labels()).tolist() == [0, 400]


def test_propagation_waits_for_labels_that_are_read(manual):
    labels = np.zeros((8, SIZE, SIZE), np.uint8)
    labels[2, 10:14, 10:14] = 3
    manual.controller.use_labels(manual.viewer.add_labels(labels), all_frames=True)
    manual.controller.propagate()
    manual.drain()
    assert manual.labelled(3) == list(range(8))


def test_no_labels_on_the_frame_says_so(desk):
    layer = desk.viewer.add_labels(np.zeros((8, SIZE, SIZE), np.uint8), name="none")
    desk.controller.use_labels(layer)
    assert "no labels where these frames lie" in desk.said[-1]
    desk.controller.use_labels(desk.controller.image)
    assert "Labels layer" in desk.said[-1]


def test_labels_that_lie_elsewhere_line_up(viewer):
    desk = Desk(viewer)
    desk.open(scale=(3, 0.5, 0.5), translate=(6, 1, 2))
    # Half the resolution, begun four pixels further.
    labels = np.zeros((4, 20, 20), np.uint8)
    labels[1, 5:8, 5:8] = 1
    layer = viewer.add_labels(labels, scale=(6, 1, 1), translate=(6, 3.25, 4.25))
    desk.controller.use_labels(layer, all_frames=True)
    assert desk.labelled(1) == [1, 2]
    y, x = desk.centre(1, 2)
    world = np.array(desk.controller.image.data_to_world((2, y, x)))
    np.testing.assert_allclose(world[1:], layer.data_to_world((1, 6, 6))[1:], atol=0.3)


IMAGES = {
    "2d": (np.zeros((SIZE, SIZE), np.uint8), {}, 1),
    "rgb": (np.zeros((SIZE, SIZE, 3), np.uint8), {"rgb": True}, 1),
    "rgb stack": (np.zeros((4, SIZE, SIZE, 3), np.uint8), {"rgb": True}, 4),
    "one frame": (np.zeros((1, SIZE, SIZE), np.uint8), {}, 1),
    "dask": (da.zeros((4, SIZE, SIZE), chunks=(1, 32, 32)), {}, 4),
    "nan": (np.full((4, SIZE, SIZE), np.nan, np.float32), {}, 4),
    "bool": (np.zeros((4, SIZE, SIZE), bool), {}, 4),
    "channels": (np.zeros((9, 2, SIZE, SIZE), np.uint16), {}, 9),
    "channels first": (np.zeros((2, 9, SIZE, SIZE), np.uint16), {}, 9),
    "many channels": (np.zeros((9, 4, SIZE, SIZE), np.uint16), {}, 9),
    "t and z": (np.zeros((6, 5, SIZE, SIZE), np.uint16), {}, 5),
    "5d": (np.zeros((6, 2, 7, SIZE, SIZE), np.uint16), {}, 7),
    "multiscale": (
        [np.zeros((4, SIZE, SIZE)), np.zeros((4, SIZE // 2, SIZE // 2))],
        {"multiscale": True},
        4,
    ),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_images_of_every_kind(viewer, kind):
    data, options, count = IMAGES[kind]
    desk = Desk(viewer)
    ndim = len(data[0].shape) if options.get("multiscale") else data.ndim
    ndim -= bool(options.get("rgb"))
    scale = np.linspace(2, 0.5, ndim)
    layer = desk.open(data=data, scale=scale, translate=np.arange(ndim), **options)
    assert desk.said == []
    controller = desk.controller
    assert controller.facts.num_frames == count
    frame = count - 1
    click(desk, 20, 31, frame=frame)
    controller.propagate()
    assert desk.said == []
    assert desk.labelled(1) == list(range(count))
    assert desk.centre(1, frame) == (20, 31)
    result, points = controller.labels_layer, viewer.layers["SAM 2 points"]
    assert controller.frame == frame
    # What is seen at the click is the object, whatever stands before rows and columns.
    world = np.array(layer.data_to_world(points.data[0]))
    np.testing.assert_allclose(points.data_to_world(points.data[0]), world)
    assert result.get_value(world, world=True) == 1
    shown = np.array(viewer.dims.point)
    shown[-2:] = world[-2:]
    assert result.get_value(shown, world=True) == 1


def test_labels_are_seen_at_every_channel(viewer):
    desk = Desk(viewer)
    desk.open(data=np.zeros((9, 2, SIZE, SIZE), np.uint16))
    click(desk, 20, 30, frame=4)
    layer = desk.controller.labels_layer
    for channel in (0, 1):
        assert layer.get_value((4, channel, 20, 30), world=True) == 1


def test_another_time_point_has_labels_of_its_own(viewer):
    desk = Desk(viewer)
    desk.open(data=np.zeros((6, 5, SIZE, SIZE), np.uint16))
    controller = desk.controller
    assert (controller.axes.axes, controller.axes.frame_axis) == ("TZYX", "Z")
    click(desk, 20, 30, frame=1)
    at_3 = replace(controller.axes, position=(("T", 3),))
    controller.set_image(controller.image, at_3)
    assert viewer.dims.point[0] == 3
    assert controller.facts.text.endswith("at time point 3")
    assert controller.objects == ()
    click(desk, 40, 40, frame=2)
    layer = controller.labels_layer
    assert layer.get_value((3, 2, 40, 40), world=True) == 1
    viewer.dims.set_point(0, 0)
    assert not layer.get_value((0, 2, 40, 40), world=True)
    points = [x for x in viewer.layers if "points" in x.name][-1]
    points.add((0, 2, 10, 10))
    assert "time point 0" in desk.said[-1]
    assert len(points.data) == 1
    over_time = replace(controller.axes, frame_axis="T", position=(("Z", 2),))
    controller.set_image(controller.image, over_time)
    assert controller.facts.num_frames == 6


def test_an_image_comes_back_as_it_was_left(viewer):
    desk = Desk(viewer)
    layer = desk.open(data=np.zeros((6, 5, SIZE, SIZE), np.uint16))
    at_3 = replace(desk.controller.axes, position=(("T", 3),))
    desk.controller.set_image(layer, at_3)
    click(desk, 20, 30, frame=1)
    desk.open(data=np.zeros((4, 32, 32), np.uint8), name="second")
    viewer.dims.set_point(0, 0)
    desk.controller.set_image(layer)
    assert desk.controller.axes == at_3
    assert viewer.dims.point[0] == 3
    assert desk.labelled(1) == [1]
    desk.controller.set_image(viewer.layers["second"])
    layer.data = np.zeros((6, 5, SIZE, SIZE), np.uint16)
    viewer.dims.set_point(0, 1)
    desk.controller.set_image(layer)
    assert desk.controller.axes.position == (("T", 1),)
    assert desk.controller.objects == ()


def test_settings_that_were_only_tried_leave_no_layers(viewer):
    desk = Desk(viewer)
    layer = desk.open(data=np.zeros((6, 5, SIZE, SIZE), np.uint16))
    controller = desk.controller
    for time_point in (1, 2):
        choice = replace(controller.axes, position=(("T", time_point),))
        controller.set_image(layer, choice)
        assert len(viewer.layers) == 4
    click(desk, 20, 30)
    controller.set_image(layer, replace(controller.axes, position=(("T", 4),)))
    assert len(viewer.layers) == 7
    controller.set_image(None)
    assert len(viewer.layers) == 4
    controller.set_image(layer, replace(choice, position=(("T", 2),)))
    assert desk.labelled(1) == [controller.frame]
    assert len(viewer.layers) == 4


def test_a_rotated_image(viewer):
    desk = Desk(viewer)
    layer = desk.open(
        data=np.zeros((4, 3, SIZE, SIZE), np.uint16),
        rotate=[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0.8, -0.6], [0, 0, 0.6, 0.8]],
        translate=(1, 2, 3, 4),
        scale=(1, 1, 2, 2),
        axis_labels=("t", "z", "y", "x"),
    )
    click(desk, 20, 30, frame=2)
    world = layer.data_to_world(viewer.layers["SAM 2 points"].data[0])
    assert desk.controller.labels_layer.get_value(world, world=True) == 1


def test_the_layers_follow_the_image(desk):
    click(desk, 20, 30, frame=2)
    image = desk.controller.image
    image.scale = (4, 0.3, 0.3)
    image.translate = (1, 2, 3)
    for layer in desk.viewer.layers:
        np.testing.assert_allclose(layer.scale, image.scale)
        np.testing.assert_allclose(layer.translate, image.translate)
    desk.controller.go_to(2)
    world = image.data_to_world((2, 20, 30))
    assert desk.controller.labels_layer.get_value(world, world=True) == 1


def test_new_pixels_in_the_image_layer_begin_anew(desk):
    click(desk, 20, 30, frame=2)
    desk.controller.image.data = np.zeros((5, 32, 32), np.uint8)
    assert desk.controller.facts.num_frames == 5
    click(desk, 10, 10, frame=4)
    assert desk.labelled(1) == [4]


@pytest.mark.parametrize("kind", ["labels", "points"])
def test_layers_that_are_no_image_say_so(viewer, kind):
    desk = Desk(viewer)
    layer = {
        "labels": lambda: viewer.add_labels(np.zeros((4, 8, 8), int)),
        "points": lambda: viewer.add_points(np.zeros((1, 3))),
    }[kind]()
    desk.controller.set_image(layer)
    assert desk.controller.image is None
    (sentence,) = desk.said
    assert "Image layer is needed" in sentence
    click(desk, 1, 1)
    desk.controller.propagate()
    desk.controller.request_preview()
    assert desk.controller.objects == ()


def test_the_3d_view_is_left_for_prompts(desk):
    desk.viewer.dims.ndisplay = 3
    desk.controller.set_tool(Tool.POINTS)
    assert desk.viewer.dims.ndisplay == 2
    assert "2D" in desk.said[-1]
    desk.viewer.dims.ndisplay = 3
    desk.viewer.layers["SAM 2 points"].add((3, 20, 20))
    assert "2D" in desk.said[-1]
    assert len(desk.viewer.layers["SAM 2 points"].data) == 0
    assert desk.viewer.dims.ndisplay == 2


def test_tools_choose_layer_and_mode(desk):
    chosen = []
    desk.controller.tool_changed.connect(chosen.append)
    for tool, mode in (
        (Tool.BOX, "add_rectangle"),
        (Tool.LASSO, "add_polygon_lasso"),
        (Tool.PAINT, "paint"),
        (Tool.POINTS, "add"),
    ):
        desk.controller.set_tool(tool)
        assert desk.viewer.layers.selection.active.mode == mode
        assert desk.controller.tool == tool
    desk.viewer.layers.selection.active = desk.controller.labels_layer
    assert chosen == [Tool.BOX, Tool.LASSO, Tool.PAINT, Tool.POINTS, Tool.PAINT]


def test_negative_clicks(desk):
    click(desk, 20, 30, frame=1)
    desk.controller.set_negative(True)
    desk.viewer.layers["SAM 2 points"].add((1, 20, 33))
    features = desk.viewer.layers["SAM 2 points"].features
    assert features["positive"].tolist() == [True, False]
    assert 0 < (desk.controller.labels()[1] == 1).sum() < np.pi * RADIUS**2


def test_prompts_of_the_current_object_are_prominent(desk):
    click(desk, 20, 30, object_id=1)
    click(desk, 40, 30, object_id=2)
    points = desk.viewer.layers["SAM 2 points"]
    assert points.face_color[0, 3] < points.face_color[1, 3] == 1
    desk.controller.select_object(1)
    assert points.face_color[1, 3] < points.face_color[0, 3] == 1
    desk.controller.set_visible([2], False)
    assert points.shown.tolist() == [True, False]


def test_two_viewers_know_nothing_of_each_other():
    one, other = Desk(ViewerModel()), Desk(ViewerModel())
    one.open()
    other.open()
    click(one, 20, 30, frame=1)
    click(other, 40, 40, frame=2)
    assert (one.labelled(1), other.labelled(1)) == ([1], [2])


def test_one_controller_for_a_viewer_until_it_is_closed(viewer):
    first = Controller.of(viewer)
    assert Controller.of(viewer) is first
    first.close()
    second = Controller.of(viewer)
    assert second is not first
    second.close()


def test_the_viewer_follows_if_wished(desk):
    click(desk, 20, 30, frame=3)
    desk.controller.set_follow(True)
    desk.controller.propagate("forward")
    assert desk.controller.frame == 7


def test_the_frame_on_screen_is_told(desk):
    frames = []
    desk.controller.frame_changed.connect(frames.append)
    desk.viewer.dims.set_point(0, 5)
    desk.controller.go_to(2, object_id=7)
    assert frames == [5, 2]
    assert desk.controller.selected == 7


def test_preparing_calls_back(desk):
    called = []
    desk.controller.prepare(lambda: called.append(1))
    assert called == [1]


def test_what_the_network_sees(desk):
    seen = []
    desk.controller.preview_ready.connect(seen.append)
    desk.controller.request_preview()
    assert seen[0].shape == (SIZE, SIZE, 3)
    assert seen[0].dtype == np.uint8
