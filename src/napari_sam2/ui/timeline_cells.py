"""The picture of the timeline as an array: cells of objects by frames.

Shapes: ``N`` objects (rows), ``T`` frames (columns), ``h w`` pixels of the screen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.ui.records import Mark
from napari_sam2.ui.theme import confidence_colours

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam2.ui.theme import ThemeColours

_EMPTY = 256  # beside the 256 codes of confidence


@dataclass(frozen=True, slots=True)
class CellGrid:
    """Where the cells lie, in pixels.

    Attributes
    ----------
    rows, columns : int
        ``N`` and ``T``.
    row_height, column_width : float
        Of a cell, gaps included; both at least 1.
    """

    rows: int
    columns: int
    row_height: float
    column_width: float

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of all cells."""
        width = math.ceil(self.columns * self.column_width)
        return width, math.ceil(self.rows * self.row_height)

    def cell_at(self, x: float, y: float) -> tuple[int, int]:
        """Return row and column at a place; they may lie outside the grid."""
        return math.floor(y / self.row_height), math.floor(x / self.column_width)

    def column_span(self, column: int) -> tuple[int, int]:
        """Return where a column begins and how wide it is, in whole pixels."""
        return _span(column, self.column_width)

    def row_span(self, row: int) -> tuple[int, int]:
        """Return where a row begins and how high it is, in whole pixels."""
        return _span(row, self.row_height)


def confidence_codes(confidence: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Return indices of colours: 0 to 255, and 256 where there is no result (NaN)."""
    known = np.isfinite(confidence)
    scaled = np.clip(np.where(known, confidence, 0), 0, 1) * 255
    return np.where(known, scaled.round(), _EMPTY).astype(np.uint16)


def paint_cells(
    codes: NDArray[np.uint16],
    marks: NDArray[np.uint8],
    grid: CellGrid,
    *,
    window: tuple[int, int, int, int],
    colours: ThemeColours,
) -> NDArray[np.uint8]:
    """Paint the part of the cells that a window shows.

    Parameters
    ----------
    codes : ndarray
        ``(N, T)`` as `confidence_codes` gives them.
    marks : ndarray
        ``(N, T)`` of `Mark`.
    grid : CellGrid
        In pixels of the screen.
    window : tuple of int
        x, y, width and height of the part, in the grid's pixels.
    colours : ThemeColours
        Of the theme.

    Returns
    -------
    ndarray
        ``(height, width, 4)``: blue, green, red and 255, as QImage's RGB32 wants
        them on little-endian machines.
    """
    x0, y0, width, height = window
    picture = np.empty((height, width, 4), np.uint8)
    picture[...] = (*_bgr(colours.background), 255)
    x, y = np.arange(x0, x0 + width), np.arange(y0, y0 + height)
    column, row = _cell_of(x, grid.column_width), _cell_of(y, grid.row_height)
    x, column = x[column < grid.columns], column[column < grid.columns]
    y, row = y[row < grid.rows], row[row < grid.rows]
    if not (len(x) and len(y)):
        return picture
    part = np.ix_(row, column)
    shown = _colour_table(colours)[codes[part]]
    flags = marks[part]
    # Distance of each pixel from the left and upper edge of its cell.
    dx = x - np.ceil(column * grid.column_width).astype(int)
    dy = y - np.ceil(row * grid.row_height).astype(int)
    text, background = _bgr(colours.text), _bgr(colours.background)

    stripe = (x[None] + y[:, None]) % 6 < 3
    shown[(flags & Mark.STALE).astype(bool) & stripe] = background
    high = grid.row_height - 1
    bar = max(2, round(0.3 * high))
    low = dy >= high - bar
    shown[(flags & Mark.APPROVED).astype(bool) & low[:, None]] = text
    prompted = (flags & Mark.PROMPTED).astype(bool)
    if prompted.any():
        inner, outer = _diamonds(dx, dy, grid.column_width, high)
        shown[prompted & outer] = background
        shown[prompted & inner] = text
    if high >= 3:
        shown[_cell_of(y + 1, grid.row_height) != row] = background
    if grid.column_width >= 5:
        shown[:, _cell_of(x + 1, grid.column_width) != column] = background
    picture[: len(y), : len(x), :3] = shown
    return picture


def ruler_step(columns: int, column_width: float, room: float) -> int:
    """Return how many frames lie between two numbers of the ruler.

    Parameters
    ----------
    columns : int
        ``T``.
    column_width : float
        Of a frame.
    room : float
        What a number needs, in the same unit.
    """
    step = 1
    while step * column_width < room and step < columns:
        digit = step // 10 ** int(math.log10(step))
        step = step * 5 // 2 if digit == 2 else step * 2
    return step


def _span(cell: int, size: float) -> tuple[int, int]:
    """Return the first pixel that belongs to a cell, and how many do."""
    first, after = (_first_pixel(number, size) for number in (cell, cell + 1))
    return first, max(1, after - first)


def _first_pixel(cell: int, size: float) -> int:
    """Return the first pixel that `CellGrid.cell_at` counts to a cell."""
    pixel = math.ceil(cell * size)
    if math.floor(pixel / size) < cell:
        return pixel + 1
    # The product may be rounded up beyond a whole number.
    return pixel - 1 if math.floor((pixel - 1) / size) >= cell else pixel


def _cell_of(pixels: NDArray[np.integer], size: float) -> NDArray[np.intp]:
    """Return the cell that each pixel belongs to, counted from 0."""
    return np.floor(pixels / size).astype(np.intp)


def _diamonds(
    dx: NDArray[np.integer], dy: NDArray[np.integer], width: float, height: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return where a cell's diamond lies, and with its outline; ``(h, w)`` each."""
    across, down = max(1.5, min(width, height) / 2.6), max(2.0, height / 2.6)
    far = (
        np.abs(dx + 0.5 - width / 2)[None] / across
        + np.abs(dy + 0.5 - height / 2)[:, None] / down
    )
    return far <= 1, far <= 1 + 1.5 / down


def _colour_table(colours: ThemeColours) -> NDArray[np.uint8]:
    """Return blue, green and red ``(257, 3)`` of every code."""
    table = np.empty((_EMPTY + 1, 3), np.uint8)
    table[:_EMPTY] = confidence_colours()[:, ::-1]
    table[_EMPTY] = _bgr(colours.empty)
    return table


def _bgr(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return a colour as QImage stores it."""
    red, green, blue = colour
    return blue, green, red
