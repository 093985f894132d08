"""The model that comes with the package: its names, and that it does its work."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import napari_sam2 as ns
from napari_sam2.evaluation import Protocol, evaluate_stack
from napari_sam2.training.synthetic import sample_timelapse, sample_zstack

GOLDEN_KEYS = Path(__file__).parent / "golden" / "state_dict_keys"


@pytest.fixture(scope="module")
def predictor() -> ns.VideoPredictor:
    return ns.VideoPredictor(ns.build_model(device="cpu"))


def test_names_of_weights_are_the_published_ones(predictor) -> None:
    published = json.loads((GOLDEN_KEYS / "sam2.1_hiera_t.json").read_text())
    own = {
        name
        for name in predictor.model.state_dict()
        # A trunk of fewer blocks changes width in other blocks.
        if not name.startswith("image_encoder.trunk.blocks.")
    }
    assert own < published.keys()


def test_a_click_finds_a_disc_and_memory_follows_it(predictor) -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:128, :128]
    truth = np.stack(
        [(x - 40 - 3 * frame) ** 2 + (y - 64) ** 2 < 15**2 for frame in range(10)]
    )
    other = np.stack(
        [(x - 90) ** 2 + (y - 25 - frame) ** 2 < 12**2 for frame in range(10)]
    )
    grey = 20 + 120 * truth + 100 * other + rng.normal(0, 12, truth.shape)
    session = predictor.start(grey.clip(0, 255).astype(np.uint8))
    click = ns.Prompt(points=[[40 + 3 * 5, 64]], labels=[1])
    predictor.add_prompt(session, frame=5, object_id=1, prompt=click)
    ious = {}
    for masks in predictor.propagate(session, direction="both"):
        found = masks.logits[0] > 0
        true = truth[masks.frame]
        ious[masks.frame] = (found & true).sum() / (found | true).sum()
    assert sorted(ious) == list(range(10))
    assert min(ious.values()) > 0.7


@pytest.mark.parametrize("sample", [sample_zstack, sample_timelapse])
def test_scores_on_the_sample_data(predictor, sample) -> None:
    clip = sample()
    scores = evaluate_stack(
        predictor,
        clip.images[:16],
        clip.labels[:16],
        protocol=Protocol(interactions=1, most_objects=6),
    )
    assert scores.mean_iou(1) > 0.5
