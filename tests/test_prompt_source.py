from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from napari_sam2 import ImageError, PromptError
from napari_sam2.data.frames import select_frames
from napari_sam2.data.stack import StackImage
from napari_sam2.prompt_file import FramePrompt, PromptedObject, PromptFile
from napari_sam2.prompt_source import label_prompts, place_prompts

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sam2.data.frames import StackFrames
    from napari_sam2.prompt_source import PlacedPrompt

SHAPE = (5, 20, 30)
MICROMETERS = ("micrometer",) * 3


def stack(**options: Any) -> StackFrames:
    """Five frames of 20 rows and 30 columns."""
    image = StackImage(np.zeros(SHAPE, np.uint8), axes="ZYX", name="a.tif", **options)
    return select_frames(image)


def placed(
    tmp_path: Path,
    *prompts: FramePrompt,
    frames: StackFrames | None = None,
    **keys: Any,
) -> list[PlacedPrompt]:
    """The prompts of one object 7, put on a stack."""
    entry = PromptedObject(id=7, prompts=prompts)
    file = PromptFile(version=1, objects=(entry,), **keys)
    return list(place_prompts(file, frames or stack(), path=tmp_path / "p.json"))


def write_labels(path: Path, labels: np.ndarray) -> Path:
    tifffile.imwrite(path, labels.astype(np.uint16), photometric="minisblack")
    return path


def two_objects() -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint16)
    labels[1, 2:6, 3:8] = 4
    labels[3, 2:6, 3:8] = 4
    labels[3, 10:14, 3:8] = 300
    return labels


def test_prompts_come_frame_by_frame(tmp_path: Path) -> None:
    late, early = (FramePrompt(frame=f, points=((1.0, 2.0),)) for f in (3, 0))
    objects = tuple(
        PromptedObject(id=number, name=name, prompts=(late, early))
        for number, name in ((9, "b"), (2, None))
    )
    found = place_prompts(
        PromptFile(version=1, objects=objects), stack(), path="p.json"
    )
    assert [(p.frame, p.object_id) for p in found] == [(0, 9), (0, 2), (3, 9), (3, 2)]
    assert found.names == {9: "b", 2: None}
    assert len(found) == 4


def test_physical_numbers_become_frames_and_pixels(tmp_path: Path) -> None:
    frames = stack(scale=(2.0, 0.5, 0.25), units=MICROMETERS)
    prompt = FramePrompt(
        position=5.8, points=((1.0, 1.0), (2.0, 3.0)), labels=(1, 0), box=(1, 1, 2, 3)
    )
    (found,) = placed(tmp_path, prompt, frames=frames, units="physical")
    assert found.frame == 3
    np.testing.assert_allclose(found.prompt.points, [[4, 2], [8, 6]])
    np.testing.assert_array_equal(found.prompt.labels, [1, 0])
    assert found.prompt.box is not None
    np.testing.assert_allclose(found.prompt.box, [4, 2, 8, 6])


def test_a_scale_without_units_is_a_scale(tmp_path: Path) -> None:
    frames = stack(scale=(1.0, 0.5, 0.5))
    prompt = FramePrompt(frame=1, points=((1.0, 1.0),))
    (found,) = placed(tmp_path, prompt, frames=frames, units="physical")
    np.testing.assert_allclose(found.prompt.points, [[2, 2]])
    with pytest.raises(PromptError, match="how far frames are apart along Z"):
        placed(
            tmp_path,
            FramePrompt(position=1.0, points=((1.0, 1.0),)),
            frames=frames,
            units="physical",
        )


@pytest.mark.parametrize(
    ("prompt", "frames", "reason"),
    [
        (FramePrompt(frame=5, points=((1.0, 1.0),)), stack(), "5 frames, 0 to 4"),
        (FramePrompt(frame=0, points=((31.0, 1.0),)), stack(), "lies outside"),
        (FramePrompt(frame=0, box=(40.0, 1.0, 50.0, 3.0)), stack(), "lies outside"),
        (FramePrompt(frame=0, mask="none.tif"), stack(), "no file or folder"),
    ],
)
def test_prompts_that_do_not_fit_are_told_by_place(
    prompt: FramePrompt, frames: StackFrames, reason: str, tmp_path: Path
) -> None:
    fitting = FramePrompt(frame=1, points=((1.0, 1.0),))
    with pytest.raises(PromptError, match=reason) as caught:
        placed(tmp_path, fitting, prompt, frames=frames)
    assert "objects[0].prompts[1]" in str(caught.value)


@pytest.mark.parametrize("position", [-1.1, 9.1])
def test_positions_beyond_the_ends_are_refused(position: float, tmp_path: Path) -> None:
    frames = stack(scale=(2.0, 1.0, 1.0), units=MICROMETERS)
    prompt = FramePrompt(position=position, points=((1.0, 1.0),))
    with pytest.raises(PromptError, match="from 0 to 8 micrometer along Z"):
        placed(tmp_path, prompt, frames=frames, units="physical")


def test_physical_units_need_an_image_that_has_them(tmp_path: Path) -> None:
    prompt = FramePrompt(frame=0, points=((1.0, 1.0),))
    with pytest.raises(PromptError, match="how large a pixel is along Y"):
        placed(tmp_path, prompt, units="physical")


def test_two_positions_may_not_fall_on_one_frame(tmp_path: Path) -> None:
    frames = stack(scale=(2.0, 1.0, 1.0), units=MICROMETERS)
    prompts = [FramePrompt(position=z, points=((1.0, 1.0),)) for z in (3.9, 4.1)]
    with pytest.raises(PromptError, match=r"prompts\[1\].*second prompt .* frame 2"):
        placed(tmp_path, *prompts, frames=frames, units="physical")


def test_masks_lie_beside_the_prompt_file(tmp_path: Path) -> None:
    labels = two_objects()
    write_labels(tmp_path / "stack.tif", labels)
    write_labels(tmp_path / "one.tif", labels[3])
    whole, part, single = placed(
        tmp_path,
        FramePrompt(frame=1, mask="stack.tif"),
        FramePrompt(frame=3, mask="stack.tif", mask_value=300),
        FramePrompt(frame=4, mask="one.tif", mask_value=4, points=((4.0, 3.0),)),
    )
    np.testing.assert_array_equal(whole.prompt.mask, labels[1] > 0)
    np.testing.assert_array_equal(part.prompt.mask, labels[3] == 300)
    np.testing.assert_array_equal(single.prompt.mask, labels[3] == 4)
    with pytest.raises(PromptError, match="no pixel of the label 9 on frame 1"):
        placed(tmp_path, FramePrompt(frame=1, mask="stack.tif", mask_value=9))
    write_labels(tmp_path / "short.tif", labels[:3])
    with pytest.raises(PromptError, match="has 3 frames"):
        placed(tmp_path, FramePrompt(frame=1, mask="short.tif"))
    write_labels(tmp_path / "small.tif", labels[0, :9])
    with pytest.raises(PromptError, match=r"shape \(9, 30\)"):
        placed(tmp_path, FramePrompt(frame=1, mask="small.tif"))


def test_only_the_objects_wanted_are_taken(tmp_path: Path) -> None:
    prompts = (FramePrompt(frame=0, points=((1.0, 1.0),)),)
    objects = tuple(PromptedObject(id=i, prompts=prompts) for i in (1, 2, 3))
    file = PromptFile(version=1, objects=objects)
    found = place_prompts(file, stack(), path="p.json", object_ids=(3, 1))
    assert [p.object_id for p in found] == [1, 3]
    with pytest.raises(PromptError, match="no object 4: it has 1, 2, 3"):
        place_prompts(file, stack(), path="p.json", object_ids=(1, 4))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [(1, 4), (3, 4), (3, 300)]),
        ({"prompt_frame": 3}, [(3, 4), (3, 300)]),
        ({"object_ids": (4,)}, [(1, 4), (3, 4)]),
        ({"object_ids": (300,), "prompt_frame": 3}, [(3, 300)]),
    ],
)
def test_every_label_is_an_object(
    options: dict[str, Any], expected: list[tuple[int, int]], tmp_path: Path
) -> None:
    labels = two_objects()
    path = write_labels(tmp_path / "labels.tif", labels)
    found = label_prompts(path, stack(), **options)
    assert [(p.frame, p.object_id) for p in found] == expected
    assert len(found) == len(expected)
    assert list(found.names) == sorted({number for _, number in expected})
    for one in found:
        np.testing.assert_array_equal(
            one.prompt.mask, labels[one.frame] == one.object_id
        )


def test_a_single_frame_of_labels_is_put_where_it_belongs(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "one.tif", two_objects()[3])
    found = label_prompts(path, stack(), prompt_frame=2)
    assert [(p.frame, p.object_id) for p in found] == [(2, 4), (2, 300)]
    with pytest.raises(PromptError, match="--prompt-frame which of the image's 5"):
        label_prompts(path, stack())


@pytest.mark.parametrize(
    ("labels", "options", "error", "reason"),
    [
        (
            two_objects()[:, :10],
            {},
            PromptError,
            "30 x 10 pixels, the image of 30 x 20",
        ),
        (two_objects()[:4], {}, PromptError, "has 4 frames, the image 5 along Z"),
        (two_objects(), {"prompt_frame": 5}, PromptError, "no frame 5"),
        (two_objects(), {"prompt_frame": 0}, PromptError, "no labels on frame 0"),
        (
            two_objects(),
            {"object_ids": (5,)},
            PromptError,
            "no object 5: it has 4, 300",
        ),
        (two_objects() * 0, {}, PromptError, "has no labels: every pixel is 0"),
        (two_objects() - 0.5, {}, ImageError, "no label image"),
    ],
)
def test_labels_that_do_not_fit(
    labels: np.ndarray,
    options: dict[str, Any],
    error: type[Exception],
    reason: str,
    tmp_path: Path,
) -> None:
    path = tmp_path / "labels.npy"
    np.save(path, labels)
    with pytest.raises(error, match=reason):
        label_prompts(path, stack(), **options)


def test_labels_of_4d_stacks_follow_the_place_of_the_image(tmp_path: Path) -> None:
    labels = np.zeros((3, *SHAPE), np.uint16)
    labels[2, 1, 4:8, 4:8] = 5
    path = tmp_path / "labels.ome.tif"
    tifffile.imwrite(path, labels, ome=True, metadata={"axes": "TZYX"})
    image = StackImage(np.zeros((3, *SHAPE), np.uint8), axes="TZYX")
    frames = select_frames(image, frame_axis="Z", position={"T": 2})
    assert [(p.frame, p.object_id) for p in label_prompts(path, frames)] == [(1, 5)]
