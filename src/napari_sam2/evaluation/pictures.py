"""Pictures of the worst cases: the frame, and on it the true and the found outline."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from PIL import Image

from napari_sam2.errors import ImageError
from napari_sam2.evaluation.metrics import outline, window_around
from napari_sam2.whole_file import whole_file

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_sam2.data.contrast import Contrast
    from napari_sam2.data.label_reader import LabelStack
    from napari_sam2.data.source import FrameSource
    from napari_sam2.evaluation.records import StackEvaluation, WorstFrame

PICTURE_PATTERN = "*-object*-frame*.png"
"""What the names of pictures of worst cases are like."""

_Pixel = TypeVar("_Pixel", bound=np.generic)

_TRUE = np.array([0, 220, 0], np.uint8)
_FOUND = np.array([255, 0, 220], np.uint8)
_BOTH = np.array([255, 255, 255], np.uint8)
_MARGIN = 0.75  # of the larger mask's sides, around both masks
_LEAST_MARGIN = 6  # pixels
_SIDE = 320  # pixels of a picture's longer side, about
_MOST_ENLARGED = 8
_GAP = 4  # pixels between both halves


@dataclass(frozen=True, slots=True)
class WorstCase:
    """An object at its worst after one interaction.

    Attributes
    ----------
    object_id : int
        Its label.
    worst : WorstFrame
        Where, and what was found there.
    """

    object_id: int
    worst: WorstFrame


def worst_cases(evaluation: StackEvaluation, count: int) -> list[WorstCase]:
    """Return the objects of the lowest IoU on one of their frames, the worst first.

    Of frames that are equally bad it is the object of the lower mean IoU.
    """
    objects = sorted(
        evaluation.model.objects,
        key=lambda one: (one.after(1).worst.iou, one.after(1).mean_iou),
    )
    return [WorstCase(one.object_id, one.after(1).worst) for one in objects[:count]]


def save_worst_cases(
    folder: Path,
    evaluation: StackEvaluation,
    frames: FrameSource,
    truth: LabelStack,
    contrast: Contrast,
    *,
    count: int,
) -> list[Path]:
    """Write a PNG for each of the worst cases of a stack; return where they are.

    To the left the frame around the object, to the right with outlines: green what is
    true, magenta what was found, white where both agree.

    Parameters
    ----------
    folder : Path
        Where to; it is made if need be.
    evaluation : StackEvaluation
        What was found.
    frames, truth, contrast
        The stack, its labels, its contrast.
    count : int
        How many, at most; each is of another object.

    Raises
    ------
    ImageError
        If they cannot be written.
    """
    paths = []
    for case in worst_cases(evaluation, count):
        worst = case.worst
        name = f"{evaluation.name}-object{case.object_id}-frame{worst.frame}.png"
        picture = draw_outlines(
            contrast.apply(frames[worst.frame]),
            truth[worst.frame] == case.object_id,
            worst.mask,
        )
        path = folder / name.replace("/", "_")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as temporary:
                Image.fromarray(picture).save(temporary, format="PNG")
        except OSError as error:
            raise ImageError(
                f"The picture {path} cannot be written ({error.strerror or error})."
                " Choose another folder, or make room."
            ) from error
        paths.append(path)
    return paths


def draw_outlines(
    colours: NDArray[np.float32], true: NDArray[np.bool_], found: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Return a frame twice, side by side, the second time with outlines.

    Parameters
    ----------
    colours : ndarray
        ``(H, W, 3)`` float32, 0 to 1.
    true, found : ndarray
        ``(H, W)`` bool.

    Returns
    -------
    ndarray
        ``(h, w, 3)`` uint8: the surroundings of both masks, enlarged if small.
    """
    window = _surroundings(true | found)
    plain = (colours[window] * 255).round().astype(np.uint8)
    true, found = true[window], found[window]
    times = max(1, min(_MOST_ENLARGED, _SIDE // max(plain.shape[:2])))

    plain = _enlarged(plain, times)
    outlined = plain.copy()
    true_line = outline(_enlarged(true, times))
    found_line = outline(_enlarged(found, times))
    outlined[true_line] = _TRUE
    outlined[found_line] = _FOUND
    outlined[true_line & found_line] = _BOTH
    gap = np.full((len(plain), _GAP, 3), 255, np.uint8)
    return np.concatenate([plain, gap, outlined], axis=1)


def _enlarged(pixels: NDArray[_Pixel], times: int) -> NDArray[_Pixel]:
    return pixels.repeat(times, axis=0).repeat(times, axis=1)


def _surroundings(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the window around a mask ``(H, W)``, the whole frame if it is empty."""
    rows, columns = window_around(mask)
    side = max(rows.stop - rows.start, columns.stop - columns.start)
    if not side:
        return slice(None), slice(None)
    return window_around(mask, margin=max(_LEAST_MARGIN, math.ceil(_MARGIN * side)))
