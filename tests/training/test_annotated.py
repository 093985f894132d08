from __future__ import annotations

import logging
import pickle

import numpy as np
import pytest
import tifffile

from annotated_stacks import scene, write_pair, write_stacks
from napari_sam2.errors import ImageError
from napari_sam2.training.annotated import Reading, open_annotated, split_stacks
from napari_sam2.training.samples import TRAINING, StepSamples
from napari_sam2.training.settings import AugmentParameters, StageParameters
from napari_sam2.training.sources import MixedClips, SyntheticClips
from napari_sam2.training.stack_clips import CropParameters, StackClips, turned_back
from napari_sam2.training.synthetic import SyntheticParameters

STAGE = StageParameters("clips", 4, 64, 4, 2, 2)
WHOLE = CropParameters(crop_share=0.0, contrast_share=0.0)


def names(stacks):
    return [stack.pair.name for stack in stacks]


def test_stacks_are_known_without_being_kept(tmp_path):
    (stack,) = open_annotated(write_stacks(tmp_path, 1))
    assert (stack.num_frames, stack.frame_shape, stack.ids) == (6, (64, 64), [1, 2, 3])
    images, labels = scene(0)
    frames, truth = stack.open()
    assert np.array_equal(frames[5], images[5])
    assert np.array_equal(truth[2], labels[2])


def drawn(clips):
    return clips.draw(np.random.default_rng(0), 0, STAGE, AugmentParameters())


def broken(folder):
    images, labels = scene(9)
    write_pair(folder, "shape", images, labels[:5])
    write_pair(folder, "empty", images, labels * 0)
    write_pair(folder, "binary", images, (labels > 0).astype(np.uint8))
    by_frame = (labels > 0) * np.arange(1, 7, dtype=np.uint8)[:, None, None]
    write_pair(folder, "frames", images, by_frame)
    write_pair(folder, "cut", images, labels)
    path = folder / "images" / "cut.tif"
    path.write_bytes(path.read_bytes()[:5000])
    (folder / "images" / "text.tif").write_text("not an image")
    (folder / "labels" / "text.tif").write_text("no labels")
    write_pair(folder, "lonely", images, labels)
    (folder / "labels" / "lonely.tif").unlink()
    return folder


def test_what_cannot_be_used_is_told_and_the_rest_goes_on(tmp_path, caplog):
    broken(write_stacks(tmp_path, 2))
    with caplog.at_level(logging.WARNING, "napari_sam2"):
        stacks = open_annotated(tmp_path)
    assert names(stacks) == ["s0", "s1"]
    lines = [one.getMessage() for one in caplog.records if "napari" in one.name]
    told = "\n".join(lines)
    assert len(lines) == 7
    for reason in (
        "shape is left out: The labels shape.tif have 5 frames",
        "empty is left out: The labels empty.tif are empty",
        "binary is left out: The labels binary.tif have one number, 1,",
        "frames is left out: In the labels frames.tif no number is on more than one",
        "cut is left out:",
        "text is left out:",
        "lonely.tif has no labels",
    ):
        assert reason in told


def test_nothing_that_can_be_used(tmp_path):
    with pytest.raises(ImageError, match="None of the 6 stacks"):
        open_annotated(broken(tmp_path))


def test_channels_are_chosen(tmp_path):
    images, _ = scene(0)
    folder = write_stacks(tmp_path, 1)
    two = np.stack([images * 0, images], axis=1)  # (Z, C, Y, X)
    path = folder / "images" / "s0.tif"
    tifffile.imwrite(path, two, imagej=True, metadata={"axes": "ZCYX"})
    (stack,) = open_annotated(folder, reading=Reading(channels=(1,)))
    assert np.array_equal(stack.open()[0][3], images[3])
    metadata = {"axes": "ZCYX", "Labels": None, "Channel": {"Name": ["dark", "seen"]}}
    tifffile.imwrite(path.with_suffix(".ome.tif"), two, metadata=metadata)
    path.unlink()
    (stack,) = open_annotated(folder, reading=Reading(channels=("Seen",)))
    assert np.array_equal(stack.open()[0][3], images[3])
    (both,) = open_annotated(folder)
    clip = drawn(StackClips([both], WHOLE))
    assert clip.frames.shape == (4, 3, 64, 64)
    # The third colour of the network's input, black here, has no part in the grey.
    grey = drawn(pickle.loads(pickle.dumps(StackClips([both], WHOLE, grey=True))))
    assert grey.frames.shape == (4, 1, 64, 64)
    assert np.allclose(grey.frames[:, 0], clip.frames[:, :2].mean(axis=1), atol=1e-6)


def test_single_frames_are_told(tmp_path, caplog):
    images, labels = scene(0)
    for kind, stack in (("images", images), ("labels", labels)):
        (tmp_path / kind).mkdir()
        for frame in (3, 4):
            tifffile.imwrite(tmp_path / kind / f"{frame}.tif", stack[frame])
    assert [one.num_frames for one in open_annotated(tmp_path)] == [1, 1]
    assert "images/NAME" in caplog.text


@pytest.mark.parametrize(
    ("count", "share", "kept"),
    [(5, 0.2, 1), (5, 0.5, 2), (2, 0.01, 1), (2, 0.99, 1), (5, 0.0, 0)],
)
def test_whole_stacks_are_kept_back(tmp_path, count, share, kept):
    stacks = open_annotated(write_stacks(tmp_path, count))
    split = split_stacks(stacks, share)
    assert len(split.held_out) == kept
    assert sorted(names(split.shown + split.held_out)) == names(stacks)
    assert not split.by_object
    assert split == split_stacks(stacks, share)


def test_objects_of_a_single_stack_are_kept_back(tmp_path, caplog):
    split = split_stacks(open_annotated(write_stacks(tmp_path, 1)), 0.3)
    (shown,), (held_out,) = split.shown, split.held_out
    assert split.by_object
    assert len(held_out.ids) == 1
    assert sorted(shown.ids + held_out.ids) == [1, 2, 3]
    assert "1 of its 3 objects are kept back" in caplog.text
    clips = StackClips([shown])
    for seed in range(10):
        clip = clips.draw(np.random.default_rng(seed), 1, STAGE, AugmentParameters())
        assert clip.prompted.tolist() == shown.ids


def moving(folder, name, empty=()):
    """Write a scene that is there at four time points, and its labels."""
    images, labels = scene(0)
    there = np.array([t not in empty for t in range(4)])[:, None, None, None]
    for kind, pixels in (("images", images), ("labels", labels)):
        path = folder / kind / f"{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = pixels[None] * (there if kind == "labels" else np.ones_like(there))
        if kind == "images":
            axes = {"axes": "TZYX"}
            tifffile.imwrite(path, pixels.astype(np.uint16), imagej=True, metadata=axes)
        else:
            tifffile.imwrite(path, pixels.astype(np.uint16), photometric="minisblack")
    return folder


def test_time_points_with_labels_are_stacks(tmp_path, caplog):
    stacks = open_annotated(moving(tmp_path, "m", empty=(0, 2)))
    assert names(stacks) == ["m T1", "m T3"]
    assert not caplog.records
    frames, labels = stacks[1].open()
    assert frames.position == {"T": 3}
    np.testing.assert_array_equal(labels[2], scene(0)[1][2])
    split = split_stacks(stacks, 0.5)
    assert [len(split.shown), len(split.held_out)] == [1, 1]
    assert "There is one file, so 1 of its 2 stacks" in caplog.text
    moving(tmp_path, "n")
    split = split_stacks(open_annotated(tmp_path), 0.5)
    files = [{one.pair.image for one in part} for part in (split.shown, split.held_out)]
    assert not files[0] & files[1]


def test_time_points_without_any_labels(tmp_path, caplog):
    moving(write_stacks(tmp_path, 1), "m", empty=range(4))
    assert names(open_annotated(tmp_path)) == ["s0"]
    assert "m is left out: The labels m.tif are empty" in caplog.text


def test_one_object_cannot_be_split(tmp_path, caplog):
    images, labels = scene(0)
    write_pair(tmp_path, "one", images, labels * (labels == 2))
    split = split_stacks(open_annotated(tmp_path), 0.5)
    assert not split.held_out
    assert "one stack with one object" in caplog.text


def test_whole_frames_are_shown_as_a_predictor_shows_them(tmp_path):
    (stack,) = open_annotated(write_stacks(tmp_path, 1))
    images, labels = scene(0)
    clip = StackClips([stack], WHOLE).draw(
        np.random.default_rng(3), 2, STAGE, AugmentParameters()
    )
    shown = {labels[t].tobytes(): t for t in range(6)}
    numbers = [shown[frame.astype(np.uint16).tobytes()] for frame in clip.labels]
    assert abs(np.diff(numbers)).tolist() == [1, 1, 1]
    for frame, number in zip(clip.frames, numbers, strict=True):
        assert np.array_equal(frame[0], stack.contrast.apply(images[number])[..., 0])


def test_windows_around_objects_are_shown_as_networks_see_them(tmp_path):
    (stack,) = open_annotated(write_stacks(tmp_path, 1, side=200))
    knobs = CropParameters(around_share=1.0, around=(1.0, 1.0), contrast_share=0.0)
    shares = []
    for seed in range(12):
        clip = StackClips([stack], knobs).draw(
            np.random.default_rng(seed), 1, STAGE, AugmentParameters()
        )
        shown = clip.labels[1]
        extents = [
            max(np.ptp(np.nonzero(shown == number), axis=1) + 1)
            for number in np.unique(shown)[1:]
        ]
        shares.append(max(extents) / len(shown))
    # A third of the window, unless another object is larger or the window is least.
    assert np.median(shares) == pytest.approx(1 / 3, abs=0.1)
    assert min(shares) > 0.2


@pytest.mark.parametrize("seed", range(12))
def test_clips_show_an_object_on_their_start(tmp_path_factory, seed):
    folder = tmp_path_factory.mktemp("stacks")
    stacks = open_annotated(write_stacks(folder, 2, frames=5, side=80))
    rng = np.random.default_rng(seed)
    clip = StackClips(stacks).draw(rng, seed % 4, STAGE, AugmentParameters())
    assert clip.frames.shape == (4, 1, 64, 64)
    assert 0 <= clip.frames.min() <= clip.frames.max() <= 1
    assert np.bincount(clip.labels[seed % 4].ravel())[1:].max() >= 12


def test_small_objects_in_large_frames_are_cut_out(tmp_path):
    images = np.zeros((4, 900, 1100), np.uint16)
    images[:, 500:505, 800:806] = 500
    write_pair(tmp_path, "spot", images, (images > 0).astype(np.uint8))
    clips = StackClips(open_annotated(tmp_path), WHOLE)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        clip = clips.draw(rng, 0, STAGE, AugmentParameters(least_area=40))
        assert np.count_nonzero(clip.labels[0]) >= 40


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_stacks_shorter_than_a_clip(tmp_path, frames):
    write_stacks(tmp_path, 1, frames=frames)
    clips = StackClips(open_annotated(tmp_path))
    for start in range(4):
        rng = np.random.default_rng(start)
        clip = clips.draw(rng, start, STAGE, AugmentParameters())
        assert clip.labels[start].any()


def test_frames_turn_back_at_the_ends():
    frames = np.arange(-5, 8)
    assert turned_back(frames, 4).tolist() == [1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]
    assert turned_back(frames, 1).tolist() == [0] * 13


def test_samples_of_stacks_are_the_same_in_every_process(tmp_path, clips):
    source = StackClips(open_annotated(write_stacks(tmp_path, 2)))
    first = StepSamples(clips, clips.stages[0], TRAINING, source)[5]
    copied = pickle.loads(pickle.dumps(source))
    again = StepSamples(clips, clips.stages[0], TRAINING, copied)[5]
    assert first.images.equal(again.images)
    assert first.masks.equal(again.masks)
    assert repr(source) == repr(copied)


def test_synthetic_clips_are_mixed_in(tmp_path):
    stacks = StackClips(open_annotated(write_stacks(tmp_path, 1)))
    mixed = MixedClips(stacks, SyntheticClips(SyntheticParameters()), 0.5)
    drawn = [
        mixed.draw(np.random.default_rng(seed), 0, STAGE, AugmentParameters())
        for seed in range(20)
    ]
    synthetic = sum(clip.prompted is None for clip in drawn)
    assert 3 <= synthetic <= 17
