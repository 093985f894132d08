"""Axis letters and physical units of images, read, checked and guessed.

An image's axes are written as one letter each, in the order of its array:
``T`` time, ``Z`` depth, ``C`` channel, ``Y`` rows, ``X`` columns, and ``S`` for the
red, green, blue (and alpha) samples of a colour picture.

What is taken for granted where a file does not name its axes (lengths in order;
"few" is at most four):

===================================  =========
shape                                axes
===================================  =========
two axes                             ``YX``
three, the last 3 or 4               ``YXS``
three                                ``ZYX``
four, the last 3 or 4                ``ZYXS``
four, few in the second only         ``ZCYX``
four, few in the first only          ``CZYX``
four                                 ``TZYX``
five, the last 3 or 4                ``TZYXS``
five, few in the second only         ``TCZYX``
five                                 ``TZCYX``
six, the last 3 or 4                 ``TZCYXS``
===================================  =========

An axis of 3 or 4 counts as samples only where rows and columns before it are longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam2.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Sequence

AXES = "TZCYXS"
AXIS_NAMES = {
    "T": "time",
    "Z": "depth",
    "C": "channel",
    "Y": "rows",
    "X": "columns",
    "S": "colour samples",
}
_FEW = 4
_SAMPLES = (3, 4)

_LEADING = {
    (): "",
    (False,): "Z",
    (True,): "Z",
    (True, False): "CZ",
    (False, True): "ZC",
    (False, False): "TZ",
    (True, True): "TZ",
}

# Every unit is kept under its UDUNITS name, which OME-Zarr and pint both know.
_UNITS = {
    "angstrom": ("a", "\u00e5", "\u212b", "angstroms"),
    "picometer": ("pm", "picometre"),
    "nanometer": ("nm", "nanometre", "nanometers", "nanometres"),
    "micrometer": (
        "um",
        "\u00b5m",
        "\u03bcm",
        "\\u00b5m",
        "\\u03bcm",
        "micron",
        "microns",
        "micrometre",
        "micrometers",
        "micrometres",
    ),
    "millimeter": ("mm", "millimetre", "millimeters", "millimetres"),
    "centimeter": ("cm", "centimetre", "centimeters", "centimetres"),
    "meter": ("m", "metre", "meters", "metres"),
    "inch": ("in", "inches"),
    "nanosecond": ("ns", "nanoseconds"),
    "microsecond": ("us", "\u00b5s", "\u03bcs", "microseconds"),
    "millisecond": ("ms", "msec", "milliseconds"),
    "second": ("s", "sec", "secs", "seconds"),
    "minute": ("min", "mins", "minutes"),
    "hour": ("h", "hr", "hours"),
    "day": ("d", "days"),
}
_UNIT_NAMES = {
    alias: name for name, aliases in _UNITS.items() for alias in (name, *aliases)
}
MICROMETERS = {
    "angstrom": 1e-4,
    "picometer": 1e-6,
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
    "inch": 25400.0,
}


def unit_name(text: str | None) -> str | None:
    r"""Give the UDUNITS name of a unit, or None for pixels and unknown units.

    Parameters
    ----------
    text
        A unit as files spell it: ``"um"``, ``"micron"``, ``"\u00B5m"``, ``"sec"``.
    """
    if text is None:
        return None
    return _UNIT_NAMES.get(text.strip().lower())


def check_axes(axes: str, shape: Sequence[int]) -> str:
    """Return the axes in capitals once they are known to fit the shape.

    Parameters
    ----------
    axes
        One letter of ``TZCYXS`` per axis of the array, in its order.
    shape
        The lengths of the array's axes.

    Raises
    ------
    ImageError
        If a letter is unknown or repeated, Y or X is missing, the number of letters
        is not the number of axes, or an axis has the length 0.
    """
    letters = axes.strip().upper()
    lengths = " x ".join(str(length) for length in shape) or "no axes"
    unknown = [letter for letter in letters if letter not in AXES]
    if unknown:
        raise ImageError(
            f"Axes {axes!r} contain {unknown[0]!r}. Use one letter for each axis out"
            " of T (time), Z, C (channel), Y, X and S (red, green, blue)."
        )
    repeated = [letter for letter in letters if letters.count(letter) > 1]
    if repeated:
        raise ImageError(
            f"Axes {axes!r} name {repeated[0]} twice. Every letter may stand once."
        )
    if len(letters) != len(shape):
        raise ImageError(
            f"Axes {axes!r} name {len(letters)} axes, but the image has"
            f" {len(shape)} ({lengths}). Give one letter for each."
        )
    missing = [letter for letter in "YX" if letter not in letters]
    if missing:
        raise ImageError(
            f"Axes {axes!r} lack {' and '.join(missing)}. Rows (Y) and columns (X)"
            " must be among them."
        )
    for letter, length in zip(letters, shape, strict=True):
        if length == 0:
            raise ImageError(
                f"The image is empty: its axis {letter} has the length 0 ({lengths})."
            )
    return letters


def guess_axes(shape: Sequence[int]) -> str:
    """Name the axes of an array from its shape alone, as the module's table says.

    Raises
    ------
    ImageError
        If the array has fewer than two axes, or more than the table knows.
    """
    samples = (
        len(shape) >= 3
        and shape[-1] in _SAMPLES
        and min(shape[-3], shape[-2]) > shape[-1]
    )
    plane = "YXS" if samples else "YX"
    leading = tuple(shape[: len(shape) - len(plane)])
    if len(shape) < 2 or len(leading) > 3:
        lengths = " x ".join(str(length) for length in shape) or "no axes"
        raise ImageError(
            f"An image has two to five axes, this one {len(shape)} ({lengths})."
            " Cut it down to at most T, Z, C, Y and X."
        )
    return _guess_leading(leading, samples=samples) + plane


def _guess_leading(lengths: tuple[int, ...], *, samples: bool) -> str:
    """Name the axes before Y and X."""
    few = tuple(length <= _FEW for length in lengths)
    if len(few) == 3:
        return "TCZ" if few[1] and not few[2] else "TZC"
    if samples and len(few) == 2:
        return "TZ"
    return _LEADING[few]


def complete_axes(letters: str, shape: Sequence[int]) -> str:
    """Name the axes that a file leaves unnamed.

    Parameters
    ----------
    letters
        One letter per axis as the file has it; ``?`` where it names none.
    shape
        The lengths of the axes.

    Raises
    ------
    ImageError
        If more axes are unnamed than letters are free.
    """
    if "?" not in letters:
        return letters
    plane = letters.lstrip("?")
    if not plane:
        return guess_axes(shape)
    unnamed = len(letters) - len(plane)
    if sorted(plane) in (["X", "Y"], ["S", "X", "Y"]) and unnamed <= 3:
        return _guess_leading(tuple(shape[:unnamed]), samples="S" in plane) + plane
    named = list(letters)
    for position, letter in enumerate(named):
        if letter == "?":
            few = shape[position] <= _FEW
            order = "CZTYX" if few else "ZTCYX"
            free = [choice for choice in order if choice not in named]
            if not free:
                raise ImageError(
                    f"The image has {len(shape)} axes, more than T, Z, C, Y and X."
                    " Cut it down to those."
                )
            named[position] = free[0]
    return "".join(named)
