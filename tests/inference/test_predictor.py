"""Starting a session: what goes in, read frame by frame, in bounded memory."""

from __future__ import annotations

import subprocess
import sys
import weakref
from dataclasses import dataclass, field
from typing import Any

import dask.array as da
import numpy as np
import pytest
import torch
import zarr

from napari_sam2 import (
    ImageError,
    PredictorOptions,
    Prompt,
    VideoPredictor,
    build_model,
)
from napari_sam2.inference import recent_frames
from napari_sam2.inference.recent_frames import RecentFrames
from sessions import SCENE, add_click, all_logits, changed, click, run, start

GREY = SCENE.frames[..., 0].astype(np.uint16) * 200


def tracked(predictor: VideoPredictor, frames: object, **options: object) -> dict:
    session = predictor.start(frames, **options)
    add_click(predictor, session, 0)
    run(predictor, session, frames=(0, 4))
    return all_logits(session)


@pytest.mark.parametrize(
    "stored", [da.from_array, zarr.array, lambda a: a.astype(a.dtype.newbyteorder())]
)
@pytest.mark.parametrize("frames", [SCENE.frames, GREY], ids=["RGB", "16 bit"])
def test_arrays_of_any_kind_are_frames(
    predictor: VideoPredictor, frames: np.ndarray, stored: object
) -> None:
    expected = tracked(predictor, frames)
    found = tracked(predictor, stored(frames))
    assert changed(found, expected) == []


def test_colours_of_8_bits_are_not_stretched(predictor: VideoPredictor) -> None:
    session = predictor.start(SCENE.frames // 4)
    assert session.contrast.limits == ((0, 255),)


def test_contrast_is_one_for_the_stack_and_can_be_given(
    predictor: VideoPredictor,
) -> None:
    by_itself = predictor.start(GREY).contrast
    assert len(by_itself.limits) == 1
    low, high = by_itself.limits[0]
    assert GREY.min() <= low < high <= GREY.max()
    given = predictor.start(GREY, contrast=(10, 5000)).contrast
    assert given.limits == ((10, 5000),)
    expected = tracked(predictor, GREY)
    same = tracked(predictor, GREY, contrast=by_itself)
    other = tracked(predictor, GREY, contrast=given)
    assert changed(expected, same) == []
    assert changed(expected, other)


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        (np.zeros((0, 8, 8)), ImageError),
        (np.zeros((2, 2, 2, 2, 8)), ImageError),
        (np.zeros((3, 8, 8), complex), ImageError),
        ([[1, 2]], TypeError),
        ("frames.tif", TypeError),
    ],
    ids=["empty", "five axes", "complex", "list", "path"],
)
def test_what_is_no_stack_is_refused(
    predictor: VideoPredictor, frames: object, error: type[Exception]
) -> None:
    with pytest.raises(error):
        predictor.start(frames)


@dataclass
class Watched:
    """Frames of which it is counted how many are read, and held meanwhile."""

    frame_shape: tuple[int, int] = (128, 128)
    reads: list[int] = field(default_factory=list)
    given: list[weakref.ref] = field(default_factory=list)
    most_held: int = 0

    def __len__(self) -> int:
        return len(SCENE.frames)

    def __getitem__(self, frame: int) -> np.ndarray:
        held = sum(pixels() is not None for pixels in self.given)
        self.most_held = max(self.most_held, held)
        self.reads.append(frame)
        pixels = GREY[frame].copy()
        self.given.append(weakref.ref(pixels))
        return pixels


def test_frames_are_read_one_at_a_time_when_needed(micro: torch.nn.Module) -> None:
    predictor = VideoPredictor(micro, PredictorOptions())
    source = Watched()
    session = predictor.start(source, contrast=(0, 50000))
    assert source.reads == []
    for object_id in (1, 2, 3):
        add_click(predictor, session, 8, object_id)
    assert source.reads == [8]
    run(predictor, session, frames=(8, 12))
    assert source.reads == [8, 9, 10, 11, 12]
    run(predictor, session, direction="both")
    assert sorted(source.reads) == [*range(24)]
    assert source.most_held == 0


def test_frames_are_read_again_when_features_are_not_kept(
    micro: torch.nn.Module,
) -> None:
    predictor = VideoPredictor(micro, PredictorOptions(feature_cache=0))
    source = Watched()
    session = predictor.start(source, contrast=(0, 50000))
    add_click(predictor, session, 0)
    run(predictor, session)
    run(predictor, session, frames=(0, 23))
    assert len(source.reads) <= 24 * 2 + 8
    assert source.most_held == 0


def test_contrast_is_found_frame_by_frame(predictor: VideoPredictor) -> None:
    source = Watched()
    predictor.start(source)
    assert len(source.reads) == len(set(source.reads)) <= 32
    assert source.most_held <= 1


def test_a_predictor_serves_many_sessions(predictor: VideoPredictor) -> None:
    alone = start(predictor, {1: [0]})
    run(predictor, alone)
    sessions = [start(predictor, {1: [0]}), start(predictor, {1: [5]})]
    for _ in zip(*(predictor.propagate(s) for s in sessions), strict=False):
        pass
    run(predictor, sessions[0])
    assert changed(all_logits(sessions[0]), all_logits(alone)) == []


def test_options_come_from_the_configuration_unless_given(
    micro: torch.nn.Module,
) -> None:
    model = build_model(
        "micro",
        checkpoint=None,
        device="cpu",
        overrides=["+fill_hole_area=8", "+non_overlap_masks=false"],
    )
    options = VideoPredictor(model).options
    assert (options.fill_holes, options.overlap) == (8, "keep")
    given = PredictorOptions(fill_holes=2)
    assert VideoPredictor(model, options=given).options == given
    assert VideoPredictor(micro).options == PredictorOptions()


def test_inference_leaves_no_graph_and_the_mode_alone(
    predictor: VideoPredictor,
) -> None:
    assert torch.is_grad_enabled()
    session = start(predictor, {1: [0]})
    for masks in predictor.propagate(session):
        assert torch.is_grad_enabled()
        assert masks.logits.dtype == np.float32
    assert all(p.grad is None for p in predictor.model.parameters())


def test_reduced_precision_gives_nearly_the_same(predictor: VideoPredictor) -> None:
    model = predictor.model
    expected = tracked(predictor, SCENE.frames)
    try:
        model.precision = torch.bfloat16
        found = tracked(predictor, SCENE.frames)
    finally:
        model.precision = torch.float32
    same = [np.mean((found[k] > 0) == (expected[k] > 0)) for k in expected]
    assert min(same) > 0.9
    assert changed(found, expected)


MEASURED = """
import resource, sys
import numpy as np
import torch
from napari_sam2 import Prompt, VideoPredictor, build_model

torch.set_num_threads(1)

class Frames:
    frame_shape = (96, 96)
    def __init__(self, length):
        self.length = length
    def __len__(self):
        return self.length
    def __getitem__(self, frame):
        rng = np.random.default_rng(frame)
        return rng.integers(0, 255, (96, 96, 3), np.uint8)

model = build_model("micro", checkpoint=None, device="cpu", seed=0)
predictor = VideoPredictor(model)
frames = Frames(int(sys.argv[1]))
session = predictor.start(frames)
for object_id in (1, 2):
    prompt = Prompt(box=[10, 10 * object_id, 50, 60])
    predictor.add_prompt(session, frame=0, object_id=object_id, prompt=prompt)
for masks in predictor.propagate(session):
    masks.labels()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(sys.platform == "win32", reason="no getrusage on Windows")
def test_peak_memory_does_not_depend_on_the_number_of_frames() -> None:
    def peak(length: int) -> int:
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, str(length)],
            check=True,
            capture_output=True,
            text=True,
        )
        return int(done.stdout)

    assert peak(2000) < 1.05 * peak(200)


def test_a_long_prompt_list_is_no_matter(predictor: VideoPredictor) -> None:
    session = predictor.start(SCENE.frames)
    points = np.random.default_rng(0).uniform(0, 127, (300, 2))
    prompt = Prompt(points, np.arange(300) % 2, box=SCENE.box(0, 0))
    masks = predictor.add_prompt(session, frame=0, object_id=1, prompt=prompt)
    assert np.isfinite(masks.logits).all()
    assert predictor.add_prompt(
        session, frame=1, object_id=1, prompt=click(0, 1)
    ).object_ids == (1,)


def see_neighbours(
    monkeypatch: pytest.MonkeyPatch, model: torch.nn.Module, neighbours: int
) -> None:
    """Show a network each frame with so many on either side, as its channels."""
    monkeypatch.setattr(model, "predictor_options", {"neighbours": neighbours})
    patches = model.image_encoder.trunk.patch_embed
    own = patches.proj.weight.detach()
    channels = 2 * neighbours + 1 if neighbours else 3
    more = [own[:, number % 3] for number in range(channels)]
    weight = torch.nn.Parameter(torch.stack(more, dim=1))
    monkeypatch.setitem(patches.proj._parameters, "weight", weight)


class Counted:
    """Frames that count how often each is read."""

    def __init__(self, frames: np.ndarray) -> None:
        self.frames = frames
        self.frame_shape = frames.shape[1:3]
        self.read = [0] * len(frames)

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, frame: int) -> np.ndarray:
        self.read[frame] += 1
        return self.frames[frame]


@pytest.mark.parametrize(
    ("neighbours", "touched"),
    [(None, [5]), (0, [5]), (1, [4, 5, 6]), (2, [3, 4, 5, 6, 7])],
)
def test_a_frame_is_seen_with_its_neighbours_where_the_network_is_trained_so(
    monkeypatch: pytest.MonkeyPatch,
    micro: torch.nn.Module,
    neighbours: int | None,
    touched: list[int],
) -> None:
    if neighbours is not None:
        see_neighbours(monkeypatch, micro, neighbours)
    predictor = VideoPredictor(micro)
    other = GREY[:8].copy()
    other[5] = other[5][::-1]

    def prompted(frames: np.ndarray, frame: int) -> np.ndarray:
        session = predictor.start(frames, contrast=(0, 50_000))
        prompt = click(0, frame)
        return predictor.add_prompt(
            session, frame=frame, object_id=1, prompt=prompt
        ).logits

    differing = [
        frame
        for frame in range(8)
        if not np.array_equal(prompted(GREY[:8], frame), prompted(other, frame))
    ]
    assert differing == touched


@pytest.mark.parametrize("neighbours", [1, 3])
@pytest.mark.parametrize(("start", "direction"), [(0, "forward"), (7, "backward")])
def test_neighbours_are_read_once_in_a_pass(
    monkeypatch: pytest.MonkeyPatch,
    micro: torch.nn.Module,
    start: int,
    direction: Any,
    neighbours: int,
) -> None:
    see_neighbours(monkeypatch, micro, neighbours)
    monkeypatch.setattr(recent_frames, "_MOST_FRAMES", 1)
    predictor = VideoPredictor(micro)
    frames = Counted(GREY[:8])
    session = predictor.start(frames, contrast=(0, 50_000))
    add_click(predictor, session, start)
    run(predictor, session, direction=direction)
    assert frames.read == [1] * 8


def test_few_large_frames_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_frames, "_MOST_BYTES", 6 * GREY[0].nbytes)
    frames = Counted(GREY[:20])
    recent = RecentFrames(frames, 1)
    for frame in [*range(20), *range(19, 9, -1)]:
        np.testing.assert_array_equal(recent[frame], GREY[frame])
    assert frames.read == [1] * 10 + [2] * 4 + [1] * 6


def test_a_single_image_is_its_own_neighbour(
    monkeypatch: pytest.MonkeyPatch, micro: torch.nn.Module
) -> None:
    prompt = click(0, 0)
    expected = VideoPredictor(micro).image(GREY[0]).predict(prompt)
    see_neighbours(monkeypatch, micro, 1)
    found = VideoPredictor(micro).image(GREY[0]).predict(prompt)
    np.testing.assert_array_equal(found.low_res_logits, expected.low_res_logits)
