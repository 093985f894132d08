from __future__ import annotations

import sys

import numpy as np
import pytest
from label_scenes import discs

from napari_sam2.errors import ConfigError, ImageError
from napari_sam2.evaluation import Protocol, evaluate_stack, tracking_scores
from napari_sam2.evaluation.tracking_scores import score_tracks

IMAGES, LABELS = discs()


@pytest.fixture
def library() -> None:
    pytest.importorskip("ctc_metrics")


@pytest.mark.usefixtures("library")
def test_what_is_right_scores_one() -> None:
    scores = score_tracks(LABELS, LABELS * 100, interactions=2)
    assert (scores.interactions, scores.seg, scores.tra) == (2, 1, 1)


@pytest.mark.usefixtures("library")
def test_a_gap_is_bridged() -> None:
    labels = LABELS.copy()
    labels[4][labels[4] == 2] = 0
    scores = score_tracks(labels, labels, interactions=1)
    assert (scores.seg, scores.tra) == (1, 1)


@pytest.mark.usefixtures("library")
def test_swapped_identities_cost_tra_alone() -> None:
    found = LABELS.copy()
    found[5:] = np.where(found[5:] > 0, 3 - found[5:], 0)
    scores = score_tracks(LABELS, found, interactions=1)
    assert scores.seg == 1
    assert 0.7 < scores.tra < 1


@pytest.mark.usefixtures("library")
def test_a_missing_object_costs_both() -> None:
    found = np.where(LABELS == 2, LABELS, 0)
    scores = score_tracks(LABELS, found, interactions=1)
    assert scores.seg == pytest.approx(9 / 16)
    assert 0 < scores.tra < 0.6


@pytest.mark.usefixtures("library")
def test_frames_without_background() -> None:
    full = np.ones((5, 8, 8), np.uint8)
    scores = score_tracks(full, full, interactions=1)
    assert (scores.seg, scores.tra) == (1, 1)


@pytest.mark.usefixtures("library")
def test_nothing_found_at_all() -> None:
    scores = score_tracks(LABELS, np.zeros_like(LABELS), interactions=1)
    assert (scores.seg, scores.tra) == (0, 0)


@pytest.mark.usefixtures("library")
def test_time_lapses_are_tracked_to_their_ends(predictor, capsys) -> None:
    evaluation = evaluate_stack(
        predictor,
        IMAGES,
        LABELS,
        protocol=Protocol(interactions=2, beyond=0),
        tracking=True,
    )
    assert evaluation.protocol.to_the_ends
    assert [scores.interactions for scores in evaluation.tracking] == [1, 2]
    for scores in evaluation.tracking:
        assert 0 <= scores.seg <= 1
        assert 0 <= scores.tra <= 1
    assert capsys.readouterr().out == ""


def test_too_many_tracks(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ctc_metrics")
    monkeypatch.setattr(tracking_scores, "_MOST_TRACKS", 1)
    with pytest.raises(ImageError, match="more than 1 tracks"):
        score_tracks(LABELS, LABELS, interactions=1)


def test_a_missing_library_is_told(monkeypatch: pytest.MonkeyPatch, predictor) -> None:
    monkeypatch.setitem(sys.modules, "ctc_metrics", None)
    with pytest.raises(ConfigError, match=r"py-ctcmetrics.*\[evaluation\]"):
        evaluate_stack(predictor, IMAGES, LABELS, tracking=True)
