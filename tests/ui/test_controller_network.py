"""The controller with the smallest real network."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam2 import Prompt, VideoPredictor
from napari_sam2.ui.controller import Controller
from napari_sam2.ui.jobs import InlineLane
from napari_sam2.ui.models import make_predictor, model_choices
from napari_sam2.ui.records import ModelRequest, ModelStage
from sessions import SCENE


def inline_controller(viewer, micro):
    """A controller whose lanes work at once, with the network of the tests."""
    return Controller(
        viewer,
        lane=InlineLane(),
        beside=InlineLane(),
        files=InlineLane(),
        make=lambda request, options, progress: VideoPredictor(micro, options),
    )


@pytest.fixture
def controller(micro):
    """A controller on the scene of the engine's tests, with its network."""
    viewer = ViewerModel()
    controller = inline_controller(viewer, micro)
    controller.set_image(viewer.add_image(SCENE.frames, rgb=True))
    controller.load_model(ModelRequest("micro"))
    yield controller
    controller.close()


def test_a_model_s_own_options_hold_until_others_are_chosen(micro, monkeypatch):
    monkeypatch.setattr(micro, "predictor_options", {"fill_hole_area": 8})
    viewer = ViewerModel()  # whose end would be the controller's
    controller = inline_controller(viewer, micro)
    controller.load_model(ModelRequest("micro"))
    assert controller.options.fill_holes == 8
    controller.set_options(replace(controller.options, fill_holes=3))
    controller.load_model(ModelRequest("micro", device="cpu"))
    assert controller.options.fill_holes == 3
    controller.close()


def test_labels_are_those_of_the_engine(controller, predictor):
    session = predictor.start(SCENE.frames)
    for object_id, frame in ((1, 4), (2, 9)):
        x, y = SCENE.xy(object_id, frame)
        prompt = Prompt([[x, y]])
        predictor.add_prompt(session, frame=frame, object_id=object_id, prompt=prompt)
        controller.select_object(object_id)
        controller.go_to(frame)
        controller.add_point(y, x)
    for _ in predictor.propagate(session, direction="both"):
        pass
    controller.propagate("both")
    expected = [session.masks(f).labels() for f in range(session.num_frames)]
    np.testing.assert_array_equal(controller.labels(), expected)
    done = [row.frames_done for row in controller.objects]
    assert done == [len(session.done(1)), len(session.done(2))] == [24, 24]


def test_models_are_built_from_a_yaml_and_a_checkpoint(tmp_path):
    from safetensors.torch import save_file

    from napari_sam2 import PredictorOptions, build_model

    save_file(build_model("micro", checkpoint=None).state_dict(), tmp_path / "w.st")
    (tmp_path / "w.st").rename(tmp_path / "w.safetensors")
    request = ModelRequest("micro", tmp_path / "w.safetensors", device="cpu")
    predictor = make_predictor(request, PredictorOptions(), lambda done, total: None)
    assert (
        predictor.model.image_size == build_model("micro", checkpoint=None).image_size
    )


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (ModelRequest("nothing"), "neither a registered model"),
        (ModelRequest("micro", "missing.safetensors"), "missing.safetensors"),
        (ModelRequest("micro", None, device="cuda:7"), "not available"),
        (ModelRequest("micro", None, overrides=("image_size=x",)), "image_size"),
    ],
)
def test_models_that_cannot_be_loaded_say_why(request_, reason):
    viewer = ViewerModel()
    controller = Controller(viewer, lane=InlineLane(), beside=InlineLane())
    said = []
    controller.message.connect(lambda message: said.append(message.text))
    controller.load_model(request_)
    assert controller.model.stage == ModelStage.FAILED
    assert reason in said[0]
    controller.close()


def test_downloads_are_told_with_their_size(monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_SAM2_CACHE", str(tmp_path))
    choices = {choice.name: choice for choice in model_choices()}
    tiny = choices["sam2.1_hiera_tiny"]
    assert not tiny.ready
    assert tiny.bytes_to_download == 156_008_466
    assert "156 MB" in tiny.title
    assert [c.ready for c in model_choices()] == sorted(
        (c.ready for c in model_choices()), reverse=True
    )


def test_without_a_request_the_built_in_model_is_loaded():
    viewer = ViewerModel()
    controller = Controller(viewer, lane=InlineLane(), beside=InlineLane())
    assert controller.models()[0].name == "nano"
    assert controller.models()[0].ready
    controller.load_model()
    assert controller.model.stage == ModelStage.READY
    assert controller.model.text.startswith("nano on ")
    controller.close()


def test_the_interface_loads_without_torch():
    folder = Path(sys.modules["napari_sam2.ui.controller"].__file__).parent
    names = [path.stem for path in sorted(folder.glob("*.py"))]
    modules = ", ".join(f"napari_sam2.ui.{name}" for name in names if name[0] != "_")
    code = f"import sys, {modules}\nprint('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["False"]
