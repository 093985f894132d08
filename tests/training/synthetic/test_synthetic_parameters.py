from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from napari_sam2.errors import ConfigError
from napari_sam2.training.synthetic import FAMILIES, FamilyWeights, SyntheticParameters

CONFIG = Path(__file__).parents[3] / "configs" / "training" / "synthetic.yaml"


def _plain() -> dict[str, Any]:
    plain = OmegaConf.to_container(OmegaConf.load(CONFIG))
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def test_yaml_holds_every_knob_with_its_default() -> None:
    assert SyntheticParameters.from_mapping(_plain()) == SyntheticParameters()
    for name, group in asdict(SyntheticParameters()).items():
        if isinstance(group, dict):
            assert set(_plain()[name]) == set(group)


def test_yaml_comments_every_line() -> None:
    lines = CONFIG.read_text(encoding="ascii").splitlines()
    groups = ("objects:", "motion:", "optics:", "camera:")
    for line in lines:
        assert not line.strip() or line in groups or "#" in line, line


def test_every_family_has_a_weight() -> None:
    assert set(asdict(FamilyWeights())) == set(FAMILIES)


def test_missing_keys_keep_their_defaults() -> None:
    parameters = SyntheticParameters.from_mapping({"objects": {"count": [3, 9]}})
    assert parameters.objects.count == (3, 9)
    assert parameters.camera == SyntheticParameters().camera


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"colour": 1}, r"synthetic\.colour is not a known setting.*camera"),
        ({"optics": {"blurr": [1, 2]}}, r"synthetic\.optics\.blurr is not a known"),
        ({"families": {"unicorns": 1.0}}, r"families\.unicorns is not a known"),
        ({"optics": 3}, r"synthetic\.optics is 3; a mapping"),
        ({"optics": {"blur": 3}}, r"optics\.blur is 3; 2 numbers"),
        ({"optics": {"blur": [1, 2, 3]}}, r"optics\.blur has 3 values; 2 are needed"),
        ({"optics": {"blur": [2, 1]}}, r"blur is \[2.0, 1.0\].*in order"),
        ({"optics": {"blur": "1, 2"}}, r"2 numbers are needed"),
        ({"optics": {"haze_share": 1.5}}, r"haze_share is 1.5.*from 0.0 to 1.0"),
        ({"objects": {"count": [1.5, 3]}}, r"count is 1.5; a whole number"),
        ({"objects": {"planes": [0.5, 3]}}, r"planes is \[0.5, 3.0\]"),
        ({"objects": {"largest_share": True}}, r"a finite number is needed"),
        ({"camera": {"read_noise": [0, float("nan")]}}, r"a finite number is needed"),
        ({"motion": {"drift": -1}}, r"drift is -1.0"),
        ({"families": dict.fromkeys(FAMILIES, 0)}, r"All family weights are 0"),
    ],
)
def test_wrong_settings_are_refused_by_name(
    mapping: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        SyntheticParameters.from_mapping(mapping)
