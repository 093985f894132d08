"""Prompts given by mouse and key in a real window, computed in real threads."""

from __future__ import annotations

import time

import numpy as np
import pytest
from canvas_mouse import CONTROL, SHIFT, Mouse
from discs import SIZE, DiscPredictor
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_sam2.ui.controller import Controller
from napari_sam2.ui.records import Activity, ModelRequest, ModelStage, Tool

pytestmark = pytest.mark.gui


class SlowDiscs(DiscPredictor):
    """Takes its time for every frame."""

    def propagate(self, *args, **options):
        for masks in super().propagate(*args, **options):
            time.sleep(0.03)
            yield masks


class Window:
    """A viewer with an image that is scaled and moved, and its controller."""

    def __init__(self, viewer, qtbot):
        self.viewer = viewer
        self.qtbot = qtbot
        pixels = np.zeros((20, SIZE, SIZE), np.uint8)
        self.image = viewer.add_image(pixels, scale=(2, 0.5, 0.5), translate=(4, 3, 2))
        self.controller = Controller.of(viewer)
        self.controller._loader._make = lambda r, options, p: SlowDiscs(options=options)
        self.controller.set_image(self.image)
        self.controller.load_model(ModelRequest("discs"))
        qtbot.waitUntil(lambda: self.controller.model.stage == ModelStage.READY)
        self.settle()
        self.controller.go_to(10)
        viewer.reset_view()
        QApplication.processEvents()
        self.mouse = Mouse(viewer, self.image)

    def settle(self):
        idle = Activity.IDLE
        self.qtbot.waitUntil(lambda: self.controller.activity == idle, timeout=20_000)

    def count(self, object_id, frame=10):
        return int((self.controller.labels()[frame] == object_id).sum())

    def centre(self, object_id, frame=10):
        return np.argwhere(self.controller.labels()[frame] == object_id).mean(0)


@pytest.fixture
def window(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1000, 800)
    QApplication.processEvents()
    window = Window(viewer, qtbot)
    yield window
    window.controller.close()


def test_points_and_their_deletion(window):
    window.controller.set_tool(Tool.POINTS)
    window.mouse.click((10, 20, 30))
    window.settle()
    np.testing.assert_allclose(window.centre(1), (20, 30), atol=0.6)
    whole = window.count(1)
    window.mouse.click((10, 20, 40), CONTROL)
    window.settle()
    points = window.viewer.layers["SAM 2 points"]
    assert points.features["positive"].tolist() == [True, False]
    assert 0 < window.count(1) < whole
    window.mouse.key(Qt.Key.Key_Backspace)  # what was added last is selected
    window.settle()
    assert window.count(1) == whole
    points.mode = "select"
    window.mouse.drag((10, 20, 30), (10, 24, 30), (10, 35, 30), (10, 40, 30))
    window.settle()
    np.testing.assert_allclose(window.centre(1), (40, 30), atol=0.6)


def test_a_box_and_a_lasso(window):
    window.controller.set_tool(Tool.BOX)
    window.mouse.drag((10, 40, 10), (10, 44, 12), (10, 47, 17), (10, 50, 20))
    window.settle()
    np.testing.assert_allclose(window.centre(1), (45, 15), atol=0.6)
    window.controller.new_object()
    window.controller.set_tool(Tool.LASSO)
    around = [(10, 10), (10, 16), (13, 20), (20, 20), (20, 12), (14, 9), (11, 10)]
    window.mouse.drag(*((10, y, x) for y, x in around))
    window.settle()
    assert window.count(2) > 50
    assert window.controller.labels()[10, 15, 15] == 2
    assert [row.object_id for row in window.controller.objects] == [1, 2]


def test_painting_with_undo_and_redo(window):
    window.controller.set_tool(Tool.PAINT)
    window.controller.labels_layer.brush_size = 6
    window.mouse.drag((10, 50, 40), (10, 50, 45), (10, 50, 50))
    window.settle()
    painted = window.count(1)
    assert painted > 80
    assert window.controller.row(1).prompts == 1
    window.mouse.key(Qt.Key.Key_Z, CONTROL)
    window.settle()
    assert window.count(1) == 0
    assert window.controller.row(1).prompts == 0
    window.mouse.key(Qt.Key.Key_Z, CONTROL | SHIFT)
    window.settle()
    assert window.count(1) == painted
    assert window.controller.row(1).prompts == 1


def test_a_stroke_is_not_painted_over_while_it_is_drawn(window):
    window.controller.set_tool(Tool.POINTS)
    window.mouse.click((10, 20, 30))
    window.settle()
    window.controller.go_to(12)
    window.controller.set_tool(Tool.PAINT)
    window.controller.labels_layer.brush_size = 4
    window.controller.propagate("forward")
    window.mouse.drag((12, 50, 20), (12, 50, 30), (12, 50, 40), release=False)
    stroke = window.count(1, 12)
    window.qtbot.waitUntil(lambda: window.count(1, 14) > 0, timeout=20_000)
    assert window.count(1, 12) >= stroke > 30
    window.mouse.release((12, 50, 40))
    window.settle()
    assert window.controller.labels()[12, 50, 30] == 1
    assert window.controller.row(1).prompts == 2
    assert [f for f in range(20) if window.count(1, f)] == list(range(10, 20))


def test_the_window_answers_while_frames_are_computed(window):
    window.controller.set_tool(Tool.POINTS)
    window.mouse.click((10, 20, 30))
    window.settle()
    window.controller.propagate("both")
    window.qtbot.waitUntil(lambda: window.controller.progress.done > 2)
    window.mouse.click((10, 40, 20))
    window.qtbot.waitUntil(lambda: window.count(1) > 0 and window.centre(1)[0] > 25)
    assert window.controller.activity == Activity.PROPAGATING
    window.settle()
    assert [f for f in range(20) if window.count(1, f)] == list(range(20))


def test_the_window_closes_while_frames_are_computed(window):
    window.controller.add_point(20, 30)
    window.settle()
    window.controller.propagate("both")
    window.qtbot.waitUntil(lambda: window.controller.progress.done > 1)
    window.viewer.close()
    assert window.controller.image is None
