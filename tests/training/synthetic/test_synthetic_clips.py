from __future__ import annotations

import pickle
from typing import get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_sam2.training.synthetic import (
    FAMILIES,
    CameraParameters,
    Clip,
    ClipGenerator,
    FamilyWeights,
    Kind,
    ObjectParameters,
    OpticsParameters,
    SyntheticParameters,
    sample_timelapse,
    sample_zstack,
)

PAIRS = [(name, kind) for name, family in FAMILIES.items() for kind in family.kinds]
QUIET = CameraParameters(
    contrast_to_noise=(1e3, 1e3),
    background=(0.1, 0.1),
    structure_noise=(1e-4, 1e-4),
    hot_pixel_share=0.0,
    stripe_share=0.0,
    salt_share=0.0,
    sixteen_bit_share=1.0,
    low_count_share=0.0,
    inverted_share=0.0,
    gamma_share=0.0,
    compressed_share=0.0,
)


def _spans(labels: np.ndarray) -> dict[int, np.ndarray]:
    """Return the frames in which every object is seen."""
    return {
        int(number): np.flatnonzero((labels == number).any((1, 2)))
        for number in np.unique(labels)
        if number
    }


def _same(one: Clip, other: Clip) -> bool:
    return (
        np.array_equal(one.images, other.images)
        and np.array_equal(one.labels, other.labels)
        and (one.kind, one.family, one.seed) == (other.kind, other.family, other.seed)
    )


@pytest.mark.parametrize(("family", "kind"), PAIRS)
def test_every_family_makes_objects_in_both_images_and_labels(
    family: str, kind: Kind
) -> None:
    for seed in range(4):
        clip = ClipGenerator().generate(
            seed, frames=6, size=(80, 96), family=family, kind=kind
        )
        assert clip.images.shape == clip.labels.shape == (6, 80, 96)
        assert clip.images.dtype in (np.uint8, np.uint16)
        assert clip.labels.dtype == np.uint16
        assert (clip.family, clip.kind, clip.seed) == (family, kind, seed)
        assert clip.images.max() > clip.images.min()
        numbers = np.unique(clip.labels)
        numbers = numbers[numbers > 0]
        assert numbers.size >= 1
        assert numbers.max() == numbers.size


@pytest.mark.parametrize(("family", "kind"), PAIRS)
def test_clips_are_made_again_in_any_order(family: str, kind: Kind) -> None:
    generator = ClipGenerator()
    first = generator.generate(7, frames=3, size=64, family=family, kind=kind)
    generator.generate(8, frames=5, size=48)
    copied = pickle.loads(pickle.dumps(generator))
    again = copied.generate(7, frames=3, size=64, family=family, kind=kind)
    assert _same(first, again)
    other = generator.generate(9, frames=3, size=64, family=family, kind=kind)
    assert not np.array_equal(first.images, other.images)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**40),
    frames=st.integers(1, 9),
    height=st.integers(32, 100),
    width=st.integers(32, 100),
    kind=st.sampled_from((None, *get_args(Kind))),
)
def test_any_seed_and_size(
    seed: int, frames: int, height: int, width: int, kind: Kind | None
) -> None:
    clip = ClipGenerator().generate(
        seed, frames=frames, size=(height, width), kind=kind
    )
    assert clip.images.shape == clip.labels.shape == (frames, height, width)
    assert clip.labels.any()
    assert kind in (None, clip.kind)


@pytest.mark.parametrize("family", ["nuclei", "shells", "cells", "tomogram"])
def test_bodies_span_the_planes_that_were_asked_for(family: str) -> None:
    parameters = SyntheticParameters(
        objects=ObjectParameters(planes=(9.0, 12.0), diameter=(16.0, 30.0))
    )
    generator = ClipGenerator(parameters)
    complete = []
    for seed in range(6):
        clip = generator.generate(seed, frames=28, size=96, family=family, kind="z")
        for number, frames in _spans(clip.labels).items():
            mask = clip.labels == number
            inside = mask[:, 1:-1, 1:-1].sum() == mask.sum()
            if inside and frames[0] > 0 and frames[-1] < 27:
                complete.append(frames.size)
    assert len(complete) >= 6
    assert np.mean(np.array(complete) >= 5) > 0.85
    assert 5 <= np.median(complete) <= 16


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_number_is_never_used_for_a_second_object(kind: Kind) -> None:
    """An object moves and changes, but does not jump, and has no gap in time."""
    parameters = SyntheticParameters(families=FamilyWeights(phase=0, dic=0, rods=0))
    for seed in range(6):
        clip = ClipGenerator(parameters).generate(
            seed, frames=10, size=96, family="nuclei", kind=kind
        )
        for number, frames in _spans(clip.labels).items():
            centres = np.array(
                [np.argwhere(clip.labels[t] == number).mean(0) for t in frames]
            )
            areas = np.array([(clip.labels[t] == number).sum() for t in frames])
            steps = np.linalg.norm(np.diff(centres, axis=0), axis=1)
            reach = np.sqrt(areas.max()) * 1.5 + 4
            assert np.all(steps <= reach * np.diff(frames))


def test_mothers_end_where_daughters_begin() -> None:
    clip = sample_timelapse()
    spans = _spans(clip.labels)
    births = 0
    for mother, frames in spans.items():
        last = int(frames[-1])
        if last == clip.labels.shape[0] - 1:
            continue
        centre = np.argwhere(clip.labels[last] == mother).mean(0)
        daughters = [
            number
            for number, other in spans.items()
            if other[0] == last + 1
            and np.linalg.norm(
                np.argwhere(clip.labels[last + 1] == number).mean(0) - centre
            )
            < 20
        ]
        births += len(daughters) >= 2
    assert births >= 3


def _light_beyond_the_ends(axial_blur: float, family: str) -> float:
    """Return the light one plane beyond objects over that in their middle."""
    generator = ClipGenerator(
        SyntheticParameters(
            objects=ObjectParameters(
                count=(2, 4), planes=(10.0, 10.0), touching=(0, 0)
            ),
            optics=OpticsParameters(
                axial_blur=(axial_blur, axial_blur),
                haze_share=0.0,
                debris_share=0.0,
                clutter_share=0.0,
                upscaled_share=0.0,
            ),
            camera=QUIET,
        )
    )
    shares = []
    for seed in range(12):
        clip = generator.generate(seed, frames=16, size=64, family=family, kind="z")
        images = clip.images.astype(float)
        dark = np.median(images[clip.labels == 0])
        for number, span in _spans(clip.labels).items():
            middle, beyond = int(np.median(span)), span[-1] + 1
            where = (clip.labels[span[-1]] == number) & (clip.labels == number).any(0)
            if span[0] == 0 or beyond == 16 or (clip.labels[beyond][where] > 0).any():
                continue
            light = images[middle][clip.labels[middle] == number].mean() - dark
            shares.append((images[beyond][where].mean() - dark) / light)
    assert len(shares) > 5
    return float(np.median(shares))


def test_light_of_an_object_reaches_beyond_its_ends() -> None:
    sharp, blurred = (_light_beyond_the_ends(share, "nuclei") for share in (0.0, 0.28))
    assert abs(sharp) < 0.05
    assert 0.3 < blurred < 0.8  # half of it at the pole, of a body that ends there


@pytest.mark.parametrize("family", ["mitochondria", "neuropil", "tomogram"])
def test_sections_show_no_light_of_other_planes(family: str) -> None:
    def pixels(axial_blur: float) -> np.ndarray:
        optics = OpticsParameters(axial_blur=(axial_blur, axial_blur))
        generator = ClipGenerator(SyntheticParameters(optics=optics))
        return generator.generate(3, frames=4, size=64, family=family, kind="z").images

    np.testing.assert_array_equal(pixels(0.0), pixels(0.28))


def test_scale_of_upscaled_frames() -> None:
    """Interpolated frames hold little detail between neighbouring pixels."""

    def roughness(share: float) -> float:
        parameters = SyntheticParameters(
            objects=ObjectParameters(diameter=(40.0, 60.0)),
            optics=OpticsParameters(upscaled_share=share, upscale=(5.0, 8.0)),
        )
        generator = ClipGenerator(parameters)
        values = []
        for seed in range(8):
            clip = generator.generate(
                seed, frames=1, size=128, family="nuclei", kind="z"
            )
            image = clip.images[0].astype(float)
            values.append(np.abs(np.diff(image, 2, axis=1)).mean() / image.std())
        return float(np.median(values))

    assert roughness(1.0) < 0.5 * roughness(0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 0, "size": 64}, "at least one of 32 x 32"),
        ({"frames": 1, "size": (64, 16)}, "64 x 16"),
        ({"frames": 1, "size": 64, "family": "unicorns"}, "family must be one of"),
        ({"frames": 1, "size": 64, "kind": "y"}, "kind must be one of"),
        ({"frames": 1, "size": 64, "family": "dic", "kind": "z"}, "has kinds"),
    ],
)
def test_what_does_not_exist_is_refused(
    arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ClipGenerator().generate(0, **arguments)  # type: ignore[arg-type]


def test_weights_choose_the_families() -> None:
    only = dict.fromkeys(FAMILIES, 0.0) | {"phase": 1.0}
    generator = ClipGenerator(SyntheticParameters(families=FamilyWeights(**only)))
    assert {
        generator.generate(seed, frames=1, size=48).family for seed in range(5)
    } == {"phase"}
    with pytest.raises(ValueError, match="no family with a weight above 0"):
        generator.generate(0, frames=1, size=48, kind="z")


@pytest.mark.parametrize(
    ("sample", "kind", "least"),
    [(sample_zstack, "z", 24), (sample_timelapse, "t", 30)],
)
def test_samples(sample: object, kind: Kind, least: int) -> None:
    assert callable(sample)
    clip = sample()
    assert clip.images.shape == (40, 256, 256)
    assert clip.images.dtype == np.uint16
    assert clip.kind == kind
    spans = _spans(clip.labels)
    assert len(spans) >= least
    assert sum(frames.size >= 5 for frames in spans.values()) >= least
    # Objects are brighter than what surrounds them, in every frame.
    for image, labels in zip(clip.images, clip.labels, strict=True):
        assert image[labels > 0].mean() > 1.5 * image[labels == 0].mean()
    assert _same(clip, sample())


def test_clip_refuses_what_does_not_fit() -> None:
    images = np.zeros((2, 4, 4), np.uint8)
    labels = np.zeros((2, 4, 4), np.uint16)
    with pytest.raises(ValueError, match="one shape"):
        Clip(images, labels[:1], "z", "nuclei", 0)
    with pytest.raises(TypeError, match="uint8 or uint16"):
        Clip(images.astype(np.float32), labels, "z", "nuclei", 0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="labels must be uint16"):
        Clip(images, labels.astype(np.int32), "z", "nuclei", 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="kind"):
        Clip(images, labels, "x", "nuclei", 0)  # type: ignore[arg-type]
