"""The boxes of the widget: what they show, and what they ask the controller for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_controller import FakeController, make_row, make_timeline
from napari.components import ViewerModel
from napari.layers import Image, Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMessageBox

from napari_sam2.ui.connections import Connections
from napari_sam2.ui.image_box import ImageBox
from napari_sam2.ui.model_box import ModelBox
from napari_sam2.ui.next_step import next_step
from napari_sam2.ui.object_box import ObjectBox
from napari_sam2.ui.prompt_box import PromptBox
from napari_sam2.ui.propagate_box import PropagateBox, duration_text, progress_text
from napari_sam2.ui.records import (
    Activity,
    AxesChoice,
    ImageFacts,
    Mark,
    ModelRequest,
    ModelStage,
    ModelStatus,
    ObjectStatus,
    Progress,
    Tool,
)
from napari_sam2.ui.review_box import ReviewBox
from napari_sam2.ui.save_dialog import ask_and_export, with_suffix
from napari_sam2.ui.theme import ThemeColours


@pytest.fixture
def controller():
    image = Image(np.zeros((40, 64, 64), np.uint16), name="Nuclei")
    return FakeController(image)


@pytest.fixture
def show(qtbot):
    """Show a box that follows its controller."""

    def shown(box):
        qtbot.addWidget(box)
        box.connect_controller(Connections())
        box.show()
        return box

    return shown


def with_objects(controller, *rows):
    frames = controller.facts.num_frames
    timeline = make_timeline(len(rows), frames)
    controller.show_objects(rows, timeline)


class TestImageBox:
    @pytest.fixture
    def box(self, controller, show):
        return show(ImageBox(controller, []))

    def open(self, box):
        box.fold.setChecked(True)
        return box

    def five_axes(self, controller):
        controller.axes = AxesChoice("TZCYX", "T", (("Z", 4),), (0, 1))
        controller.facts = ImageFacts(
            name="Movie",
            lengths=(("T", 30), ("Z", 9), ("C", 3)),
            num_frames=30,
            frame_shape=(64, 64),
            rgb=False,
            text="T, 30 time points of 64 x 64",
        )
        controller.image_changed.emit()

    def test_it_says_how_the_image_is_seen(self, box):
        assert box.layer.currentText() == "Nuclei"
        assert box.facts.text() == "Z, 40 slices of 64 x 64"
        assert not box.details.isVisible()

    def test_what_a_stack_does_not_have_is_not_asked(self, box):
        self.open(box)
        assert not box.channel_row.isVisible()
        assert not box.position.isVisible()
        assert not box.limits.isVisible()
        assert not box.frame_axis.isEnabled()

    def test_another_frame_axis_fixes_the_one_before(self, box, controller):
        self.open(box)
        self.five_axes(controller)
        box.frame_axis.setCurrentIndex(box.frame_axis.findData("Z"))
        box.frame_axis.activated.emit(0)
        name, layer, axes = controller.calls[-1]
        assert (name, layer) == ("set_image", controller.image)
        assert axes.frame_axis == "Z"
        assert axes.position == (("T", 0),)

    def test_the_place_on_the_other_axis(self, box, controller):
        self.open(box)
        self.five_axes(controller)
        assert box.position.value() == 4
        assert box.position.maximum() == 8
        box.position.setValue(7)
        assert controller.calls[-1][2].position == (("Z", 7),)

    def test_channels_go_to_colours(self, box, controller):
        self.open(box)
        self.five_axes(controller)
        assert [b.currentText() for b in box.channels] == ["0", "1", "-"]
        box.channels[2].setCurrentIndex(3)
        box.channels[2].activated.emit(3)
        assert controller.calls[-1][2].channels == (0, 1, 2)

    def test_renamed_axes_start_from_their_defaults(self, box, controller):
        self.open(box)
        self.five_axes(controller)
        box.axes.setText("ztcyx")
        box.axes.editingFinished.emit()
        axes = controller.calls[-1][2]
        assert axes.axes == "ZTCYX"
        assert axes.position == axes.channels == ()

    def test_planes_that_are_moments_are_followed_along_time(self, box, controller):
        self.open(box)
        box.axes.setText("tyx")
        box.axes.editingFinished.emit()
        axes = controller.calls[-1][2]
        assert (axes.axes, axes.frame_axis) == ("TYX", "T")

    @pytest.mark.parametrize(
        ("limits", "decimals"),
        [((0.0, 4000.0), 0), ((0.0, 50.0), 4), ((2e-5, 4.7e-5), 8)],
    )
    def test_limits_have_digits_enough(self, box, limits, decimals):
        box._show_limits(*limits)
        assert box.low.decimals() == decimals
        assert box.high.value() == pytest.approx(limits[1], rel=1e-2)

    def test_what_was_refused_is_shown_as_it_is(self, box, controller):
        self.open(box)
        box.axes.setText("QQQ")
        box.axes.editingFinished.emit()
        assert box.axes.text() == "ZYX"

    def test_contrast_as_displayed_then_typed(self, box, controller):
        self.open(box)
        controller.image.contrast_limits = (10, 900)
        box.contrast.setCurrentIndex(1)
        box.contrast.activated.emit(1)
        axes = controller.calls[-1][2]
        assert axes.contrast == ((10.0, 900.0),)
        controller.axes = axes
        controller.image_changed.emit()
        assert box.limits.isVisible()
        box.low.setValue(50)
        assert controller.calls[-1][2].contrast == ((50.0, 900.0),)
        assert box.contrast.currentText() == "Fixed"

    def test_the_preview_is_asked_for_only_while_it_is_seen(
        self, qtbot, box, controller
    ):
        controller.go_to(5)
        qtbot.wait(250)
        assert ("request_preview",) not in controller.calls
        self.open(box)
        qtbot.waitUntil(lambda: ("request_preview",) in controller.calls)

    def test_the_preview_keeps_its_proportions(self, box, controller):
        picture = np.zeros((20, 40, 3), np.uint8)
        picture[..., 0] = 255
        controller.preview_ready.emit(picture)
        image = box.preview.pixmap().toImage()
        assert image.width() == pytest.approx(2 * image.height(), abs=2)
        middle = image.pixelColor(image.width() // 2, image.height() // 2)
        assert middle.getRgb()[:3] == (255, 0, 0)

    def test_without_an_image_it_says_so(self, controller, show):
        box = show(ImageBox(FakeController(), []))
        assert box.layer.placeholderText() == "No image yet"
        assert not box.layer.isEnabled()
        assert not box.details.isEnabled()

    def test_the_first_image_that_comes_is_worked_on(self, qtbot, show):
        controller = FakeController()
        box = show(ImageBox(controller, []))
        image = Image(np.zeros((4, 8, 8)))
        controller.list_images(image)
        qtbot.waitUntil(lambda: len(controller.calls) > 0)
        assert controller.calls == [("set_image", image), ("set_tool", Tool.POINTS)]
        assert box.layer.isEnabled()

    def test_the_selected_image_is_preferred(self, qtbot):
        controller = FakeController()
        first, second = Image(np.zeros((4, 8, 8))), Image(np.zeros((4, 8, 8)))
        controller.list_images(first, second)
        box = ImageBox(controller, [], lambda: first)
        qtbot.addWidget(box)
        box.connect_controller(Connections())
        box.choose_image()
        assert controller.calls[0] == ("set_image", first)

    def test_after_an_image_is_removed_the_user_chooses(self, qtbot, controller, show):
        box = show(ImageBox(controller, []))
        other = Image(np.zeros((4, 8, 8)), name="other")
        controller.image = controller.axes = controller.facts = None
        controller.list_images(other)
        qtbot.wait(20)
        assert controller.calls == []
        assert box.layer.currentIndex() == -1
        box.layer.setCurrentIndex(0)
        box.layer.activated.emit(0)
        assert controller.calls[0] == ("set_image", other)


class TestModelBox:
    @pytest.fixture
    def box(self, controller, show):
        return show(ModelBox(controller, []))

    def choose(self, box, index):
        box.model.setCurrentIndex(index)
        box.model.activated.emit(index)

    def test_it_lists_what_is_ready_and_what_costs_a_download(self, box):
        titles = [box.model.itemText(n) for n in range(box.model.count())]
        assert titles == ["nano: small, quick", "tiny (download)"]

    def test_what_is_ready_is_loaded_when_the_window_is_up(self, box, controller):
        box.load_if_ready()
        assert controller.calls == [("load_model", ModelRequest("nano"))]
        box.load_if_ready()
        assert len(controller.calls) == 1
        assert box.status.text() == "nano on cpu"
        assert not box.load.isEnabled()

    def test_nothing_is_downloaded_unasked(self, box, controller):
        self.choose(box, 1)
        assert controller.calls[:-1] == []
        assert box.load.text() == "Download 156 MB"
        box.load.click()
        assert controller.calls[-1] == ("load_model", ModelRequest("sam2.1_hiera_tiny"))

    def test_a_download_shows_how_far_it_is_and_can_be_stopped(self, box, controller):
        controller.model_changed.emit(
            ModelStatus(
                ModelStage.DOWNLOADING, None, "Downloading", 39_000_000, 156_000_000
            )
        )
        assert box.bar.isVisible()
        assert box.bar.value() == pytest.approx(0.25 * box.bar.maximum())
        assert box.bar.format() == "39 of 156 MB"
        box.stop.click()
        assert controller.calls[-1] == ("cancel_loading",)

    def test_a_failure_says_why_and_can_be_tried_again(self, box, controller):
        controller.model = ModelStatus(
            ModelStage.FAILED, ModelRequest("nano"), "The disk is full."
        )
        controller.model_changed.emit(controller.model)
        assert box.status.text() == "The disk is full."
        assert not box.bar.isVisible()
        assert box.load.isEnabled()

    def test_files_overrides_device_and_precision_are_asked_for(self, box):
        box.checkpoint.setText("/data/my.pt")
        box.config.setText("/data/my.yaml")
        box.overrides.setText("image_size=512  model.x=1")
        box.device.setCurrentIndex(box.device.findData("cuda"))
        box.precision.setCurrentIndex(box.precision.findData("bfloat16"))
        assert box.request() == ModelRequest(
            "/data/my.yaml",
            "/data/my.pt",
            "cuda",
            "bfloat16",
            ("image_size=512", "model.x=1"),
        )

    def test_own_weights_for_a_named_network_need_no_download(self, box):
        self.choose(box, 1)
        box.checkpoint.setText("/data/my.pt")
        assert box.load.text() == "Load"
        assert box.request().config == "sam2.1_hiera_tiny"

    def test_a_yaml_of_ones_own_is_not_taken_without_weights(self, box):
        box.config.setText("/data/my.yaml")
        assert box.request().checkpoint == "auto"  # which is refused, not random

    def test_a_model_that_came_is_listed_as_ready(self, box, controller):
        ready = replace(
            controller.choices[1], title="tiny", ready=True, bytes_to_download=0
        )
        controller.choices = (controller.choices[0], ready)
        controller.load_model(ModelRequest("sam2.1_hiera_tiny"))
        assert box.model.itemText(1) == "tiny"


class TestPromptBox:
    @pytest.fixture
    def box(self, controller, show):
        self.viewer = ViewerModel()
        return show(PromptBox(controller, self.viewer))

    @pytest.mark.parametrize("tool", Tool)
    def test_tools(self, box, controller, tool):
        box.tools[tool].click()
        assert controller.calls[-1] == ("set_tool", tool)
        controller.tool = tool
        controller.tool_changed.emit(tool)
        assert [t for t, button in box.tools.items() if button.isChecked()] == [tool]

    def test_no_tool_is_pressed_while_clicks_are_no_prompts(self, box, controller):
        for armed in (False, True):
            controller.armed = armed
            controller.armed_changed.emit(armed)
            assert box.tools[Tool.POINTS].isChecked() == armed
        box.tools[Tool.POINTS].click()
        assert box.tools[Tool.POINTS].isChecked()

    def test_a_key_turns_negative_on_and_the_button_shows_it(self, box, controller):
        controller.set_negative(True)
        assert box.negative.isChecked()
        box.negative.click()
        assert controller.calls[-1] == ("set_negative", False)
        assert len(controller.calls) == 2

    def test_buttons(self, box, controller):
        box.new_object.click()
        box.clear.click()
        assert controller.calls == [("new_object",), ("clear_prompts",)]

    def test_the_last_prompts_are_cleared_only_after_a_question(self, box, controller):
        controller.lost = 30
        box.clear.click()
        question = box.findChild(QMessageBox)
        assert "30 other frames" in question.text()
        assert controller.calls == []
        question.button(QMessageBox.StandardButton.Yes).click()
        assert controller.calls == [("clear_prompts",)]

    def test_labels_of_other_layers_become_prompts(self, box, controller):
        theirs = self.viewer.add_labels(np.zeros((4, 8, 8), int), name="cellpose")
        controller.labels_layer = Labels(np.zeros((4, 8, 8), int), name="result")
        self.viewer.add_layer(controller.labels_layer)
        self.viewer.add_image(np.zeros((4, 8, 8)))
        box.labels_menu.aboutToShow.emit()
        entries = {a.text(): a for a in box.labels_menu.actions()}
        assert list(entries) == ["cellpose: this frame", "cellpose: all frames"]
        entries["cellpose: all frames"].trigger()
        assert controller.calls == [("use_labels", theirs, ("all_frames", True))]

    def test_without_labels_the_menu_says_what_to_do(self, box):
        box.labels_menu.aboutToShow.emit()
        (entry,) = box.labels_menu.actions()
        assert not entry.isEnabled()

    def test_without_an_image_there_is_nothing_to_prompt(self, show):
        box = show(PromptBox(FakeController(), ViewerModel()))
        assert not box.isEnabled()


class TestObjectBox:
    @pytest.fixture
    def box(self, controller, show):
        box = show(ObjectBox(controller))
        with_objects(controller, make_row(1), make_row(2), make_row(3))
        return box

    def test_row_and_current_object_are_one_thing(self, box, controller):
        controller.select_object(2)
        assert box.table.selected_ids() == (2,)
        box.table.selectRow(2)
        assert controller.selected == 3

    def test_news_of_some_rows(self, box, controller):
        controller.objects = (
            make_row(1),
            make_row(2, frames_done=9),
            make_row(3, frames_done=9),
        )
        controller.objects_changed.emit((2,))
        assert box.table.objects.row(2).frames_done == 9
        assert box.table.objects.row(3).frames_done == 1
        controller.objects_changed.emit(None)
        assert box.table.objects.row(3).frames_done == 9

    def test_an_object_that_is_new_in_the_news_gets_a_row(self, box, controller):
        controller.objects = (*controller.objects, make_row(8))
        controller.objects_changed.emit((8,))
        assert 8 in box.table.objects.object_ids

    def test_going_to_an_object_shows_its_prompt(self, box, controller):
        box.go_to_object(2)
        assert controller.calls[-1] == ("go_to", 40 // 3, 2)

    @pytest.mark.parametrize(
        ("action", "call"),
        [
            ("hide", ("set_visible", (1, 2), False)),
            ("show", ("set_visible", (1, 2), True)),
            ("lock", ("set_locked", (1, 2), True)),
            ("unlock", ("set_locked", (1, 2), False)),
            ("rerun", ("rerun", (1, 2))),
            ("delete", ("delete_objects", (1, 2))),
        ],
    )
    def test_actions(self, box, controller, action, call):
        box.act(action, (1, 2))
        assert controller.calls[-1] == call

    def test_much_work_is_deleted_only_after_a_question(self, box, controller):
        controller.objects = (make_row(1, frames_done=30), *controller.objects[1:])
        box.act("delete", (1,))
        question = box.findChild(QMessageBox)
        assert "30 frames" in question.text()
        assert not any(call[0] == "delete_objects" for call in controller.calls)
        question.button(QMessageBox.StandardButton.Yes).click()
        assert controller.calls[-1] == ("delete_objects", (1,))

    def test_renaming_in_the_table(self, box, controller):
        table = box.table
        index = table.model().index(0, 1)
        table.model().setData(index, "Mother", Qt.ItemDataRole.EditRole)
        assert controller.calls[-1] == ("rename", 1, "Mother")
        assert table.model().index(0, 1).data() == "Mother"


class TestReviewBox:
    @pytest.fixture
    def box(self, controller, show):
        box = show(ReviewBox(controller, ThemeColours.of("dark")))
        with_objects(controller, make_row(1), make_row(2))
        return box

    def test_a_click_on_the_timeline_goes_there(self, box, controller):
        box.timeline.cell_chosen.emit(2, 9)
        assert controller.calls[-1] == ("go_to", 9, 2)
        box.timeline.frame_chosen.emit(4)
        assert controller.calls[-1] == ("go_to", 4, None)

    def test_buttons(self, box, controller):
        for button in (box.doubtful, box.approve, box.approve_span):
            button.click()
        names = [call[0] for call in controller.calls]
        assert names == ["next_doubtful", "approve", "approve_span"]

    def test_an_approval_can_be_taken_back(self, box, controller):
        controller.timeline.marks[0, 0] = Mark.APPROVED
        controller.timeline_changed.emit(None)
        assert "back" in box.approve.text()
        box.approve.click()
        assert controller.calls[-1] == ("unapprove",)
        controller.go_to(3)
        assert box.approve.text().startswith("Approve")

    def test_what_has_no_mask_cannot_be_approved(self, box, controller):
        controller.select_object(77)
        assert not box.approve.isEnabled()
        assert not box.approve_span.isEnabled()


class TestPropagateBox:
    @pytest.fixture
    def box(self, controller, show):
        self.selected = (2,)
        box = show(PropagateBox(controller, lambda: self.selected))
        with_objects(controller, make_row(1), make_row(2))
        return box

    @pytest.mark.parametrize("direction", ["backward", "both", "forward"])
    def test_directions(self, box, controller, direction):
        getattr(box, direction).click()
        assert controller.calls == [("propagate", direction, None, None)]

    def test_range_and_selected_objects(self, box, controller):
        box.ranged.setChecked(True)
        box.first.setValue(20)
        box.last.setValue(5)
        box.scope.setCurrentIndex(1)
        box.forward.click()
        assert controller.calls == [("propagate", "forward", (5, 20), (2,))]

    def test_without_prompts_there_is_nothing_to_propagate(self, box, controller):
        controller.show_objects((), make_timeline(0, 40))
        assert not box.both.isEnabled()

    def test_pause_go_on_cancel(self, box, controller):
        controller.show_activity(Activity.PROPAGATING)
        assert box.running.isVisible()
        assert not box.both.isVisible()
        box.pause.click()
        controller.show_activity(Activity.PAUSED)
        assert box.pause.text() == "Go on"
        box.pause.click()
        box.cancel.click()
        assert controller.calls == [("pause",), ("resume",), ("cancel",)]
        controller.show_activity(Activity.IDLE)
        assert box.both.isVisible()

    def test_a_key_does_not_start_a_second_one(self, box, controller):
        controller.show_activity(Activity.PROPAGATING)
        box.start("both")
        assert controller.calls == []

    def test_progress_is_told(self, box, controller):
        controller.progress_changed.emit(Progress(12, 60, 11, 3.21, 15.2))
        assert box.bar.value() == 12
        assert box.bar.maximum() == 60
        assert box.text.text() == "12 of 60 frames, 3.2 a second, 16 s left"
        controller.progress_changed.emit(None)

    def test_the_range_is_that_of_the_image(self, box, controller):
        assert (box.first.value(), box.last.value()) == (0, 39)
        controller.show_frames(7)
        controller.image_changed.emit()
        assert (box.first.maximum(), box.last.value()) == (6, 6)


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress(0, 60, 0, 0.0, np.nan), "0 of 60 frames"),
        (Progress(3, 60, 3, 0.25, 228), "3 of 60 frames, 4.0 s each, 4 min left"),
        (Progress(3, 60, 3, 2.0, 28, paused=True), "3 of 60 frames, paused"),
    ],
)
def test_progress_in_words(progress, text):
    assert progress_text(progress) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (99, "99 s"), (101, "2 min"), (7500, "2 h 5 min")],
)
def test_durations_in_words(seconds, text):
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("a", "a.tif"),
        ("a.b", "a.b.tif"),
        ("a.TIF", "a.TIF"),
        ("a.zarr", "a.zarr"),
        ("cells 2.5 um", "cells 2.5 um.tif"),
    ],
)
def test_a_suffix_is_added_where_it_is_missing(path, written):
    assert with_suffix(Path(path), ".tif") == Path(written)


class TestSaving:
    @pytest.fixture
    def choose(self, monkeypatch):
        def choose(path, kind="TIFF for Fiji, OME (*.tif)", answer="Yes"):
            monkeypatch.setattr(
                "qtpy.QtWidgets.QFileDialog.getSaveFileName",
                lambda *_, **__: (str(path), kind),
            )
            button = getattr(QMessageBox.StandardButton, answer)
            monkeypatch.setattr(QMessageBox, "question", lambda *_, **__: button)

        return choose

    def test_a_new_file(self, controller, choose, tmp_path):
        choose(tmp_path / "cells")
        ask_and_export(controller, None)
        expected = ("export", tmp_path / "cells.tif", ("overwrite", False))
        assert controller.calls == [expected]

    def test_a_zarr(self, controller, choose, tmp_path):
        choose(tmp_path / "cells", "OME-Zarr (*.zarr)")
        ask_and_export(controller, None)
        assert controller.calls[0][1] == tmp_path / "cells.zarr"

    @pytest.mark.parametrize(("answer", "calls"), [("No", 0), ("Yes", 1)])
    def test_a_folder_is_replaced_only_after_a_question(
        self, controller, choose, tmp_path, answer, calls
    ):
        (tmp_path / "cells.zarr").mkdir()
        choose(tmp_path / "cells.zarr", answer=answer)
        ask_and_export(controller, None)
        assert len(controller.calls) == calls

    @pytest.mark.parametrize(("answer", "calls"), [("No", []), ("Yes", [True])])
    def test_what_an_export_has_left_is_replaced_after_a_question(
        self, controller, choose, tmp_path, answer, calls
    ):
        (tmp_path / "cells.partial.tif").write_bytes(b"II*")
        choose(tmp_path / "cells.tif", answer=answer)
        ask_and_export(controller, None)
        assert [call[2][1] for call in controller.calls] == calls

    def test_cancelled(self, controller, choose):
        choose("")
        ask_and_export(controller, None)
        assert controller.calls == []


@pytest.mark.parametrize(
    ("stage", "activity", "rows", "says"),
    [
        (ModelStage.LOADING, Activity.IDLE, (), "on its way"),
        (ModelStage.FAILED, Activity.IDLE, (), "Load a model"),
        (ModelStage.READY, Activity.IDLE, (), "Click on an object"),
        (ModelStage.READY, Activity.IDLE, (ObjectStatus.PROMPTED,), "propagate"),
        (ModelStage.READY, Activity.IDLE, (ObjectStatus.STALE,), "striped"),
        (ModelStage.READY, Activity.IDLE, (ObjectStatus.DONE,), "doubtful"),
        (ModelStage.READY, Activity.PROPAGATING, (ObjectStatus.PARTIAL,), "while"),
        (ModelStage.READY, Activity.PAUSED, (ObjectStatus.PARTIAL,), "Paused"),
    ],
)
def test_the_hint_fits_what_there_is(controller, stage, activity, rows, says):
    controller.model = ModelStatus(stage)
    controller.activity = activity
    controller.objects = tuple(
        make_row(n, status=status) for n, status in enumerate(rows, 1)
    )
    assert says in next_step(controller)


def test_without_an_image_the_hint_says_how_to_get_one():
    assert "Open an image" in next_step(FakeController())
