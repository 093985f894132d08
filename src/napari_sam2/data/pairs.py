"""Images and their labels, found in folders by their names."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_sam2.data.pictures import PICTURE_SUFFIXES, TIFF_SUFFIXES, natural_order
from napari_sam2.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

IMAGE_FOLDER, LABEL_FOLDER = "images", "labels"
SINGLE_FRAMES = (
    "Each file is one frame. If they are the frames of one stack, move them to"
    f" {IMAGE_FOLDER}/NAME and {LABEL_FOLDER}/NAME: a folder of frames is a stack."
)
LABEL_ENDINGS = ("_labels", "_masks")

_SUFFIXES = (*TIFF_SUFFIXES, *PICTURE_SUFFIXES, ".npy", ".zarr")
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class StackPair:
    """An image and its labels.

    Attributes
    ----------
    name : str
        What both are called, without suffix.
    image, labels : Path
        Where they lie.
    """

    name: str
    image: Path
    labels: Path


@dataclass(frozen=True, slots=True)
class PairSearch:
    """What was found in a folder.

    Attributes
    ----------
    pairs : tuple of StackPair
        In the natural order of their names, at least one.
    unmatched : tuple of str
        A sentence for every image without labels and all labels without an image.
    """

    pairs: tuple[StackPair, ...]
    unmatched: tuple[str, ...]


def find_pairs(data: Path, labels: Path | None = None) -> PairSearch:
    """Find images and their labels, without opening any.

    With a folder of labels, or subfolders ``images`` and ``labels`` of `data`, the
    labels of ``images/NAME.tif`` are ``labels/NAME.tif``, or
    ``labels/NAME_labels.tif``. Else the labels of ``NAME.tif`` lie beside it as
    ``NAME_labels.tif`` or ``NAME_masks.tif``. Suffixes are those that `open_image`
    opens and may differ; a folder is an image too.

    Parameters
    ----------
    data
        Folder of images, or with both subfolders.
    labels
        Folder of labels, if it is another one.

    Raises
    ------
    ImageError
        If a folder is missing, or there is no pair; it says what was looked for.
    """
    for folder in (data, labels):
        if folder is not None and not folder.is_dir():
            what = "is a file" if folder.exists() else "does not exist"
            raise ImageError(f"The folder {folder} {what}. Give a folder of stacks.")
    if labels is None and (data / IMAGE_FOLDER).is_dir():
        data, labels = data / IMAGE_FOLDER, data / LABEL_FOLDER
        if not labels.is_dir():
            raise ImageError(
                f"{data.parent} has a folder '{IMAGE_FOLDER}', but none called"
                f" '{LABEL_FOLDER}'. Give the folder of the labels with --labels."
            )
    unmatched: list[str] = []
    entries = _entries(data, unmatched)
    if labels is None:
        beside = {
            name: path for name, path in entries.items() if name.endswith(LABEL_ENDINGS)
        }
        images = {name: path for name, path in entries.items() if name not in beside}
        looked = f"{data}/NAME_labels.*"
    else:
        images, beside = entries, _entries(labels, unmatched)
        looked = f"{labels}/NAME.*"
    pairs, used = [], set()
    for name, image in images.items():
        own = (name,) if labels is not None else ()
        fitting = [
            each
            for each in (*own, *(name + ending for ending in LABEL_ENDINGS))
            if each in beside
        ]
        if fitting:
            pairs.append(StackPair(name, image, beside[fitting[0]]))
            used.add(fitting[0])
        else:
            unmatched.append(f"{image} has no labels: there is no {looked} for it.")
    unmatched += [
        f"{path} are labels without an image of that name in {data}."
        for name, path in beside.items()
        if name not in used
    ]
    if not pairs:
        raise ImageError(
            f"No image with labels was found. For each {data}/NAME.* there should be"
            f" {looked}; there are {len(images)} images ({_some(images)}) and"
            f" {len(beside)} label files ({_some(beside)})."
        )
    return PairSearch(tuple(pairs), tuple(unmatched))


def _entries(folder: Path, left_out: list[str]) -> dict[str, Path]:
    """Return the images of a folder by their names without suffix.

    Several of one name are left out, with a sentence; a folder of files gives way.
    """
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir() or path.suffix.lower() in _SUFFIXES:
            found[_stem(path)].append(path)
    entries = {}
    for name in sorted(found, key=natural_order):
        stacks = [p for p in found[name] if p.suffix.lower() in _SUFFIXES]
        candidates = stacks or found[name]
        if len(candidates) == 1:
            entries[name] = candidates[0]
        else:
            names = " and ".join(path.name for path in candidates)
            left_out.append(
                f"{names} in {folder} have one name, so it is not clear which is "
                "meant: all are left out. Move all but one."
            )
    return entries


def _stem(path: Path) -> str:
    """Return a name without suffix, ``.ome.tif`` and the like being one."""
    name = path.name
    if path.suffix.lower() in _SUFFIXES:
        name = path.stem
        name = name.removesuffix(".ome")
    return name


def _some(names: Iterable[str]) -> str:
    """List the first few names."""
    names = list(names)
    more = ", ..." if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) or "none") + more
