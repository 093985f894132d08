from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.data.axes import (
    AXES,
    check_axes,
    complete_axes,
    guess_axes,
    unit_name,
)
from napari_sam2.errors import ImageError


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((512, 512), "YX"),
        ((512, 512, 3), "YXS"),
        ((512, 512, 4), "YXS"),
        ((3, 512, 512), "ZYX"),
        ((60, 512, 512), "ZYX"),
        ((60, 512, 512, 3), "ZYXS"),
        ((45, 2, 130, 133), "ZCYX"),
        ((2, 45, 130, 133), "CZYX"),
        ((30, 45, 130, 133), "TZYX"),
        ((2, 3, 130, 133), "TZYX"),
        ((30, 45, 130, 133, 3), "TZYXS"),
        ((30, 2, 45, 130, 133), "TCZYX"),
        ((30, 45, 2, 130, 133), "TZCYX"),
        ((30, 45, 2, 130, 133, 3), "TZCYXS"),
        ((5, 3, 3), "ZYX"),  # a small grey stack, not a picture 3 pixels wide
    ],
)
def test_guess(shape: tuple[int, ...], axes: str) -> None:
    assert guess_axes(shape) == axes


@pytest.mark.parametrize("shape", [(), (7,), (9,) * 6, (9,) * 7])
def test_guess_refuses(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="two to five axes"):
        guess_axes(shape)


@given(st.lists(st.integers(1, 600), min_size=2, max_size=5))
def test_guess_always_fits(shape: list[int]) -> None:
    axes = guess_axes(shape)
    assert check_axes(axes, shape) == axes
    assert axes.rstrip("S").endswith("YX")


@pytest.mark.parametrize(
    ("letters", "shape", "axes"),
    [
        ("??YX", (75, 2, 64, 64), "ZCYX"),
        ("?YX", (9, 64, 64), "ZYX"),
        ("?YXS", (9, 64, 64, 3), "ZYXS"),
        ("?SYX", (9, 3, 64, 64), "ZSYX"),
        ("?ZYX", (9, 5, 64, 64), "TZYX"),
        ("?ZYX", (3, 5, 64, 64), "CZYX"),
        ("Z?YX", (5, 2, 64, 64), "ZCYX"),
        ("???", (9, 64, 64), "ZYX"),
        ("ZYX", (9, 64, 64), "ZYX"),
    ],
)
def test_complete(letters: str, shape: tuple[int, ...], axes: str) -> None:
    assert complete_axes(letters, shape) == axes


def test_complete_runs_out_of_letters() -> None:
    with pytest.raises(ImageError, match="more than T, Z, C, Y and X"):
        complete_axes("?TZCYX", (2, 2, 2, 2, 8, 8))


@pytest.mark.parametrize(
    ("axes", "shape", "message"),
    [
        ("ZYQ", (3, 4, 5), "contain 'Q'"),
        ("ZYY", (3, 4, 5), "name Y twice"),
        ("YX", (3, 4, 5), "name 2 axes, but the image has 3"),
        ("TZC", (3, 4, 5), "lack Y and X"),
        ("ZYX", (0, 4, 5), "axis Z has the length 0"),
    ],
)
def test_check_refuses(axes: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        check_axes(axes, shape)


@given(st.permutations(AXES), st.data())
def test_check_accepts_any_order(order: list[str], data: st.DataObject) -> None:
    optional = data.draw(st.sets(st.sampled_from("TZCS")))
    axes = "".join(letter for letter in order if letter in "YX" or letter in optional)
    assert check_axes(axes.lower(), (2,) * len(axes)) == axes


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("um", "micrometer"),
        ("\u00b5m", "micrometer"),
        ("\\u00B5m", "micrometer"),
        ("micron", "micrometer"),
        ("Millimetre", "millimeter"),
        ("sec", "second"),
        ("pixel", None),
        ("", None),
        (None, None),
    ],
)
def test_unit_name(text: str | None, name: str | None) -> None:
    assert unit_name(text) == name
