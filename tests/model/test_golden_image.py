"""The network against the original: encoder, neck and single-image prompts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from golden import seeded
from napari_sam2 import PredictorOptions, Prompt, VideoPredictor, build_model
from napari_sam2.data.contrast import Contrast
from napari_sam2.inference.preprocess import preprocess

GOLDEN = Path(__file__).parents[1] / "golden"
LOGITS, POSITIONS, IOU = 1e-3, 1e-5, 1e-4


@dataclass(frozen=True)
class Case:
    """One golden file, and the network that must give it."""

    file: str
    config: str | Path
    size: int
    seed: int
    stride: int = 1
    hard: bool = False
    overrides: tuple[str, ...] = ()


CASES = [
    Case("micro-11", GOLDEN / "micro.yaml", 128, 11),
    Case("micro-hard-11", "micro", 128, 11, hard=True),
    Case("sam2.1_t-512-9", "sam2.1_hiera_tiny", 512, 9, 8, False, ("image_size=512",)),
    Case("sam2.1_t-5", "sam2.1_hiera_tiny", 1024, 5, 16),
    Case("sam2_t-5", "sam2_hiera_tiny", 1024, 5, 16),
]


def cut(array: np.ndarray, stride: int) -> np.ndarray:
    if stride > 1 and array.ndim >= 3:
        if array.ndim == 4 and array.shape[1] > 16:
            array = array[:, ::7]
        array = array[..., ::stride, ::stride]
    return array


def image_part(case: Case) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The first frame, and all that the network says of it."""
    model = build_model(
        case.config, checkpoint=None, device="cpu", overrides=case.overrides
    )
    seeded.seed_weights(model, seeded.fill_hard if case.hard else seeded.fill)
    frame = seeded.scene(1, case.size, case.seed).frames[0]
    found = {}
    with torch.no_grad():
        image = preprocess([frame], Contrast(((0.0, 255.0),)), case.size, model.device)
        for i, stage in enumerate(model.image_encoder.trunk(image)):
            found[f"trunk{i}"] = stage
        for i, position in enumerate(model.image_encoder(image).positions):
            found[f"pos{i}"] = position
        features = model.encode_image(image)
        assert features.high_res is not None
        for i, level in enumerate((*features.high_res, features.embedding)):
            found[f"fpn{i}"] = level
    arrays = {name: tensor.numpy() for name, tensor in found.items()}

    predictor = VideoPredictor(model, PredictorOptions.reference())
    encoded = predictor.image(frame)
    c = case.size / 2
    click = Prompt(points=[[c, c]])
    box = [c / 2, c / 2, 1.5 * c, 1.25 * c]
    prompts = {
        "point_multi": (click, True),
        "point_single": (click, False),
        "points3": (Prompt([[c, c], [c / 2, c], [c, c / 3]], [1, 0, 1]), False),
        "box": (Prompt(box=box), False),
        "box_point": (Prompt([[c, c]], [0], box), False),
    }
    answers = {
        name: encoded.predict(prompt, multimask=multimask)
        for name, (prompt, multimask) in prompts.items()
    }
    prior = answers["point_single"].low_res_logits[:1]
    answers["refine"] = encoded.predict(click, mask_logits=prior)
    for name, answer in answers.items():
        arrays[f"img/{name}/low"] = answer.low_res_logits
        arrays[f"img/{name}/iou"] = answer.iou
    return frame, arrays


@pytest.mark.timeout(600)
@pytest.mark.official
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.file)
def test_image_part_is_that_of_the_original(case: Case) -> None:
    frame, found = image_part(case)
    with np.load(GOLDEN / f"{case.file}.npz") as golden:
        parts = ("trunk", "fpn", "pos", "img/")
        expected = {k: golden[k] for k in golden.files if k.startswith(parts)}
        frame0 = golden["frame0"]
    step = case.size // len(frame0)
    np.testing.assert_array_equal(frame[::step, ::step], frame0)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        tolerance = (
            POSITIONS if name.startswith("pos") else IOU if "iou" in name else LOGITS
        )
        np.testing.assert_allclose(
            cut(found[name], case.stride), array, rtol=0, atol=tolerance, err_msg=name
        )
