from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.training.synthetic.annotation import annotate, enlarged
from napari_sam2.training.synthetic.camera import (
    compress,
    count_photons,
    digitise,
    enlarge,
)
from napari_sam2.training.synthetic.geometry import (
    Canvas,
    bent_space,
    capsule_depth,
    ellipsoid_depth,
    random_axes,
)
from napari_sam2.training.synthetic.motion import Behaviour, simulate
from napari_sam2.training.synthetic.moving import draw_tracks
from napari_sam2.training.synthetic.packing import fill, pack
from napari_sam2.training.synthetic.parameters import CameraParameters
from napari_sam2.training.synthetic.solid import Solids
from napari_sam2.training.synthetic.tissue import draw_tissue

SHAPE = (20, 60, 60)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(5))


def _behaviour(**changed: object) -> Behaviour:
    still = {
        "speed": 0.0,
        "persistence": 0.5,
        "drift": (0.0, 0.0),
        "turning": 0.0,
        "wobble": 0.0,
        "wobble_change": 0.0,
        "elongation": 1.0,
        "dividing": 0.0,
        "division_frames": 2.0,
        "condensation": "plate",
        "appearing": 0.0,
        "ending": 0.0,
        "growth": 0.0,
        "size_spread": 0.0,
    }
    return Behaviour(**(still | changed))  # type: ignore[arg-type]


@pytest.mark.parametrize("step", [1.0, 2.5])
def test_ellipsoid_has_its_volume_and_depth(
    rng: np.random.Generator, step: float
) -> None:
    space = bent_space(rng, SHAPE, step=step, amplitude=0.0, wavelength=20.0)
    semi = np.array([11.0, 8.0, 6.0])
    centre = np.array([9.5 * step, 30.0, 29.0])
    drawn = ellipsoid_depth(space, centre, random_axes(rng, 1)[0], semi, margin=2.0)
    assert drawn is not None
    box, depth = drawn
    assert depth.shape == tuple(part.stop - part.start for part in box)
    if step == 2.5:
        volume = (depth > 0).sum() * step
        assert volume == pytest.approx(4 / 3 * np.pi * semi.prod(), rel=0.05)
    assert depth.max() == pytest.approx(np.cbrt(semi.prod()), abs=1.0 + step / 3)
    away = ellipsoid_depth(
        space,
        centre + np.array([500.0, 0.0, 0.0]),
        random_axes(rng, 1)[0],
        semi,
        margin=2.0,
    )
    assert away is None


def test_capsule_depth_is_the_distance_to_its_surface(rng: np.random.Generator) -> None:
    space = bent_space(rng, SHAPE, step=1.0, amplitude=0.0, wavelength=20.0)
    start, end = np.array([10.0, 20.0, 15.0]), np.array([10.0, 20.0, 45.0])
    drawn = capsule_depth(space, start, end, (5.0, 5.0), margin=4.0)
    assert drawn is not None
    box, depth = drawn
    full = np.full(SHAPE, -99.0)
    full[box] = depth
    assert full[10, 20, 30] == pytest.approx(5.0)
    assert full[10, 24, 30] == pytest.approx(1.0)
    assert full[10, 20, 47] == pytest.approx(3.0)


def test_axes_are_orthonormal_and_flat_without_tilt(rng: np.random.Generator) -> None:
    axes = random_axes(rng, 50)
    identity = np.broadcast_to(np.eye(3), (50, 3, 3))
    np.testing.assert_allclose(axes @ axes.transpose(0, 2, 1), identity, atol=1e-5)
    flat = random_axes(rng, 50, 0.0)
    np.testing.assert_allclose(flat[:, 2], np.tile([1, 0, 0], (50, 1)), atol=1e-6)


def test_touching_shapes_share_the_border_halfway() -> None:
    canvas = Canvas((1, 1, 41), walls=True)
    x = np.arange(41, dtype=np.float32)
    box = (slice(0, 1), slice(0, 1), slice(0, 41))
    for number, middle in ((1, 12), (2, 28)):
        canvas.add(box, (10 - np.abs(x - middle))[None, None], number)
    labels, depth, wall = canvas.finish(floor=-5.0)
    assert labels[0, 0, 12] == 1
    assert labels[0, 0, 28] == 2
    assert canvas.finish()[0][0, 0, [0, 1, 39, 40]].tolist() == [0, 0, 0, 0]
    assert set(labels[0, 0, 3:20]) == {1}
    assert set(labels[0, 0, 21:38]) == {2}
    assert wall[0, 0, 20] == 0
    assert depth[0, 0, 17] == wall[0, 0, 17] + 2


def test_packed_spheres_keep_their_distance(rng: np.random.Generator) -> None:
    low, high = np.zeros(3), np.full(3, 100.0)
    centres, radii = pack(rng, rng.uniform(5, 12, 60), low, high, gap=0.9, touching=0.5)
    assert 20 < radii.size <= 60
    offset = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    ratio = offset / (radii[:, None] + radii[None])
    np.fill_diagonal(ratio, np.inf)
    assert ratio.min() >= 0.89
    assert np.mean(ratio.min(1) < 1.1) > 0.3
    assert (centres >= low).all()
    assert (centres <= high).all()


def test_filling_leaves_no_hole(rng: np.random.Generator) -> None:
    seeds = fill(rng, 10.0, np.zeros(3), np.full(3, 60.0))
    points = rng.uniform(5, 55, (400, 3))
    nearest = np.linalg.norm(points[:, None] - seeds[None], axis=-1).min(1)
    assert nearest.max() < 11


@pytest.mark.parametrize("surface", [False, True])
def test_tissue_leaves_no_gap_but_its_outside(
    rng: np.random.Generator, surface: bool
) -> None:
    solids = Solids(22.0, 1.5, 1.5, 0.15, 0.08, 1.0, 0.0, 0.5)
    geometry = draw_tissue(rng, (10, 90, 90), solids, pad=1, surface=surface)
    covered = (geometry.labels > 0).mean()
    if surface:
        assert 0.1 < covered < 0.97
    else:
        assert covered > 0.995
    areas = np.bincount(geometry.labels[5].ravel())
    assert 0.6 * 22**2 < np.quantile(areas[1:][areas[1:] > 0], 0.9) < 2 * 22**2


def test_still_cells_stay_as_they_are(rng: np.random.Generator) -> None:
    tracks = simulate(
        rng,
        frames=4,
        size=(80, 80),
        radius=8.0,
        count=6,
        gap=1.3,
        touching=0.0,
        behaviour=_behaviour(),
    )
    geometry = draw_tracks(rng, tracks, (80, 80))
    assert geometry.labels.any()
    for frame in geometry.labels[1:]:
        np.testing.assert_array_equal(frame, geometry.labels[0])
    areas = np.bincount(geometry.labels[0].ravel())[1:]
    assert areas.max() == pytest.approx(np.pi * 64, rel=0.1)


@pytest.mark.parametrize("condensation", ["plate", "round", "split"])
def test_every_division_replaces_one_cell_by_two(
    rng: np.random.Generator, condensation: str
) -> None:
    tracks = simulate(
        rng,
        frames=12,
        size=(120, 120),
        radius=9.0,
        count=12,
        gap=1.1,
        touching=0.2,
        behaviour=_behaviour(dividing=1.0, condensation=condensation, elongation=3.0),
    )
    cells = tracks.alive.sum(0)
    mothers = tracks.alive[:, 0].sum()
    assert cells[0] == mothers
    assert np.all(np.diff(cells) >= 0)
    assert cells[-1] > 1.5 * mothers
    # Once gone, a cell never comes back.
    ended = np.diff(tracks.alive.astype(int), axis=1) < 0
    assert ended.sum(1).max() == 1
    born = np.diff(tracks.alive.astype(int), axis=1) > 0
    assert born.sum() == 2 * ended.sum()


def test_texture_travels_with_its_cell(rng: np.random.Generator) -> None:
    tracks = simulate(
        rng,
        frames=2,
        size=(100, 100),
        radius=10.0,
        count=1,
        gap=1.2,
        touching=0.0,
        behaviour=_behaviour(drift=(3.0, -2.0)),
    )
    geometry = draw_tracks(rng, tracks, (100, 100))
    moved = np.roll(geometry.fine[0], (3, -2), (0, 1))
    both = (geometry.labels[1] > 0) & (np.roll(geometry.labels[0], (3, -2), (0, 1)) > 0)
    assert both.sum() > 50
    assert np.corrcoef(moved[both], geometry.fine[1][both])[0, 1] > 0.95


def test_annotator_leaves_out_what_is_too_small() -> None:
    labels = np.zeros((4, 20, 20), np.uint16)
    labels[0, :2, :2] = 7
    labels[1:3, :10, :10] = 7
    labels[3, 5:7, 5:6] = 9
    drawn = annotate(labels, least_cut=0.1, least_area=3)
    assert drawn.dtype == np.uint16
    assert not drawn[0].any()
    assert not drawn[3].any()
    np.testing.assert_array_equal(drawn[1:3], labels[1:3] // 7)
    assert not annotate(np.zeros_like(labels), least_cut=0.1, least_area=3).any()


def test_generous_annotators_draw_beyond_surfaces_but_not_over_others() -> None:
    labels = np.zeros((5, 40, 40), np.uint16)
    labels[2, 10:20, 10:20] = 1
    labels[2, 10:20, 22:30] = 2
    drawn = enlarged(labels, pixels=2.0, planes=1.0)
    assert (drawn[labels > 0] == labels[labels > 0]).all()
    assert (drawn[2, 10:20, 8:10] == 1).all()
    assert (drawn[2, 10:20, 30:32] == 2).all()
    assert not drawn[2, 10:20, 32:].any()
    np.testing.assert_array_equal(drawn[1], labels[2])
    assert not drawn[0].any()
    flat = enlarged(labels, pixels=2.0, planes=0.0)
    np.testing.assert_array_equal(flat[2], drawn[2])
    assert not flat[[0, 1, 3, 4]].any()
    assert enlarged(labels, pixels=0.2, planes=1.0) is labels


@pytest.mark.parametrize("expected", [0.3, 1.0, 4.0, 60.0])
def test_photons_have_the_mean_and_variance_of_poisson(
    rng: np.random.Generator, expected: float
) -> None:
    counts = count_photons(rng, np.full((200, 200), expected, np.float32))
    assert counts.min() >= 0
    np.testing.assert_array_equal(counts, np.rint(counts))
    assert counts.mean() == pytest.approx(expected, rel=0.05, abs=0.03)
    assert counts.var() == pytest.approx(expected, rel=0.02, abs=0.3)


def test_enlarging_keeps_the_picture(rng: np.random.Generator) -> None:
    small = np.zeros((2, 16, 16), np.float32)
    small[:, 4:12, 4:12] = 1
    for _ in range(12):
        large = enlarge(rng, small, (48, 40))
        assert large.shape == (2, 48, 40)
        assert large[:, 16:32, 14:26].min() > 0.9
        assert np.abs(large[:, :8]).max() < 0.1
    assert enlarge(rng, small, (16, 16)) is small


def test_compression_changes_little_and_keeps_the_size(
    rng: np.random.Generator,
) -> None:
    y, x = np.mgrid[:50, :37]
    image = np.exp(-((y - 20) ** 2 + (x - 15) ** 2) / 200).astype(np.float32)[None]
    packed = compress(rng, image)
    assert packed.shape == image.shape
    error = np.abs(packed - image)
    assert 0 < error.max() < 0.2


@pytest.mark.parametrize(
    ("share", "dtype"), [(0.0, np.uint8), (1.0, np.uint16)], ids=["8 bit", "16 bit"]
)
def test_grey_levels_keep_their_order(
    rng: np.random.Generator, share: float, dtype: type
) -> None:
    image = np.linspace(-3, 9, 300, dtype=np.float32).reshape(3, 10, 10)
    plain = CameraParameters(
        sixteen_bit_share=share, inverted_share=0, compressed_share=0
    )
    turned = CameraParameters(
        sixteen_bit_share=share, inverted_share=1, compressed_share=0
    )
    for _ in range(5):
        rising = digitise(rng, image, counted=False, camera=plain)
        assert rising.dtype == dtype
        assert np.all(np.diff(rising.ravel().astype(int)) >= 0)
        falling = digitise(rng, image, counted=False, camera=turned)
        assert np.all(np.diff(falling.ravel().astype(int)) <= 0)
        assert falling.max() > falling.min()
