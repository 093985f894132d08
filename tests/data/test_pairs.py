from __future__ import annotations

import pytest

from napari_sam2.data.pairs import find_pairs
from napari_sam2.errors import ImageError


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def found(search, root):
    return [
        (
            pair.name,
            pair.image.relative_to(root).as_posix(),
            pair.labels.relative_to(root).as_posix(),
        )
        for pair in search.pairs
    ]


def test_subfolders(tmp_path):
    touch(tmp_path, "images/b10.tif", "images/b2.ome.tif", "labels/b2.npy")
    touch(tmp_path, "labels/b10_labels.tif", "images/notes.txt", "images/.hidden.tif")
    search = find_pairs(tmp_path)
    assert found(search, tmp_path) == [
        ("b2", "images/b2.ome.tif", "labels/b2.npy"),
        ("b10", "images/b10.tif", "labels/b10_labels.tif"),
    ]
    assert not search.unmatched


def test_labels_beside_their_image(tmp_path):
    touch(tmp_path, "a.tif", "a_labels.tif", "b.ome.tif", "b_masks.ome.tif")
    assert found(find_pairs(tmp_path), tmp_path) == [
        ("a", "a.tif", "a_labels.tif"),
        ("b", "b.ome.tif", "b_masks.ome.tif"),
    ]


def test_two_folders_and_stacks_that_are_folders(tmp_path):
    touch(tmp_path, "raw/a/0.tif", "raw/b.ome.zarr/zarr.json")
    touch(tmp_path, "truth/a/0.tif", "truth/b.tif")
    search = find_pairs(tmp_path / "raw", tmp_path / "truth")
    assert found(search, tmp_path) == [
        ("a", "raw/a", "truth/a"),
        ("b", "raw/b.ome.zarr", "truth/b.tif"),
    ]


def test_files_of_one_name_are_left_out_and_told(tmp_path):
    touch(tmp_path, "images/a.tif", "images/b.tif", "images/b.png", "images/c.tif")
    touch(tmp_path, "images/c/0.tif", "labels/a.tif", "labels/b.tif", "labels/c.tif")
    touch(tmp_path, "labels/a.npy")
    search = find_pairs(tmp_path)
    # A folder beside a file of its name is no stack.
    assert found(search, tmp_path) == [("c", "images/c.tif", "labels/c.tif")]
    told = "\n".join(search.unmatched)
    assert "b.png and b.tif" in told
    assert "a.npy and a.tif" in told


def test_what_has_no_counterpart_is_told(tmp_path):
    touch(tmp_path, "images/a.tif", "images/c.tif", "labels/a.tif", "labels/d.tif")
    search = find_pairs(tmp_path)
    assert [pair.name for pair in search.pairs] == ["a"]
    lonely_image, lonely_labels = search.unmatched
    assert "c.tif has no labels" in lonely_image
    assert "d.tif are labels without an image" in lonely_labels


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([], r"NAME_labels\.\*; there are 0 images \(none\)"),
        (["a.tif", "b.tif"], r"2 images \(a, b\) and 0 label files"),
        (["images/a.tif"], "none called 'labels'.*--labels"),
        (["images/a.tif", "labels/b.tif"], r"labels/NAME\.\*.*1 images \(a\) and 1"),
    ],
)
def test_nothing_that_fits(tmp_path, names, told):
    with pytest.raises(ImageError, match=told):
        find_pairs(touch(tmp_path, *names))


def test_no_folder(tmp_path):
    touch(tmp_path, "a.tif")
    with pytest.raises(ImageError, match="is a file"):
        find_pairs(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="does not exist"):
        find_pairs(tmp_path, tmp_path / "nowhere")
