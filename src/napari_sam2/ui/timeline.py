"""The timeline: objects by frames, coloured by confidence.

Shapes: ``N`` objects (rows), ``T`` frames (columns), ``h w`` pixels of the screen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QEvent, QPoint, QRect, QSize, Qt, Signal
from qtpy.QtGui import QColor, QImage, QPainter, QPen
from qtpy.QtWidgets import QAbstractScrollArea, QSizePolicy, QToolTip, QWidget

from napari_sam2.ui.theme import ThemeColours, confidence_colours
from napari_sam2.ui.timeline_cells import CellGrid, ruler_step

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qtpy.QtGui import QHelpEvent, QKeyEvent, QMouseEvent, QPaintEvent, QWheelEvent

_HELP = (
    "Each row is an object, each column a frame. Blue: the network is sure of the "
    "mask. Amber and red: look at this frame. Diamond: your prompt. Bar below: "
    "approved. Striped: to be computed again. Click to go there."
)


class Timeline(QAbstractScrollArea):
    """Shows how sure each mask is, and goes to the cell that is clicked.

    Parameters
    ----------
    theme : str
        A napari theme's name.
    parent : QWidget, optional
        Owner.
    """

    cell_chosen = Signal(int, int)  # object id, frame
    frame_chosen = Signal(int)
