"""Options: defaults, what is refused, and the published names."""

from __future__ import annotations

import logging

import pytest

from napari_sam2 import PredictorOptions

REFUSED = [
    ("overlap", "first"),
    ("keep_memories", "some"),
    ("mask_choice", "best"),
    ("max_conditioning_frames", 0),
    ("stop_after_absent", 0),
    ("fill_holes", -1),
    ("drop_specks", -1),
    ("feature_cache", -1),
]


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_impossible_options_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        PredictorOptions(**{name: value})


def test_options_by_default() -> None:
    options = PredictorOptions()
    assert options.corrections_condition
    assert options.exact_mask_prompts
    assert options.overlap == "highest_logit"
    assert options.keep_memories == "bounded"
    assert options.max_conditioning_frames == 4
    assert options.stop_after_absent is None
    assert options.stability() == (0.05, 0.98)


def test_dynamic_multimask_can_be_off() -> None:
    assert PredictorOptions(dynamic_multimask=False).stability() is None


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, {}),
        ({"view": "object"}, {"view": "auto"}),
        ({"mask_choice": "expected_iou"}, {"mask_choice": "auto"}),
        ({"neighbours": 3}, {}),
        ({"fill_hole_area": 8}, {"fill_holes": 8}),
        ({"non_overlap_masks": True}, {"overlap": "highest_logit"}),
        ({"non_overlap_masks": False}, {"overlap": "keep"}),
        (
            {"add_all_frames_to_correct_as_cond": False},
            {"corrections_condition": False},
        ),
    ],
)
def test_published_keys_become_options(
    caplog: pytest.LogCaptureFixture,
    keys: dict[str, object],
    expected: dict[str, object],
) -> None:
    assert PredictorOptions.from_published(keys) == PredictorOptions(**expected)
    assert not caplog.records


def test_a_published_key_without_effect_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "napari_sam2"):
        options = PredictorOptions.from_published(
            {"clear_non_cond_mem_around_input": True}
        )
    assert options == PredictorOptions()
    assert "clear_non_cond_mem_around_input=True" in caplog.text
