"""Colours of what the plugin paints itself, for napari's dark and light themes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from napari.utils.theme import get_theme

if TYPE_CHECKING:
    from numpy.typing import NDArray

Rgb = tuple[int, int, int]

_FOCUSED = (
    "QPushButton",
    "QToolButton",
    "QComboBox",
    "QLineEdit",
    "QCheckBox",
    "QAbstractSpinBox",
    "QTableView",
)

# Confidence from 0 to 1: vermilion, amber, steel blue. Told apart with every kind of
# colour vision, and legible on dark and light; what is doubtful stands out.
_STOPS = (0.0, 0.5, 0.75, 1.0)
_CONFIDENCE = ((201, 64, 22), (236, 161, 44), (150, 176, 186), (70, 130, 180))


@dataclass(frozen=True, slots=True)
class ThemeColours:
    """What the painting needs of a theme, as red, green and blue of 0 to 255.

    Attributes
    ----------
    background, foreground, text, accent, warning : tuple of int
        Of the theme.
    empty : tuple of int
        Frames without a result.
    """

    background: Rgb
    foreground: Rgb
    text: Rgb
    accent: Rgb
    warning: Rgb
    empty: Rgb

    @classmethod
    def of(cls, theme_id: str) -> ThemeColours:
        """Return the colours of a napari theme.

        Parameters
        ----------
        theme_id : str
            As in ``viewer.theme``: "dark", "light", "system" or a plugin's.
        """
        theme = get_theme(theme_id)

        def rgb(name: str) -> Rgb:
            red, green, blue = getattr(theme, name).as_rgb_tuple()[:3]
            return int(red), int(green), int(blue)

        return cls(
            background=rgb("background"),
            foreground=rgb("foreground"),
            text=rgb("text"),
            accent=rgb("current"),
            warning=rgb("warning"),
            empty=rgb("foreground"),
        )


def focus_style(colours: ThemeColours) -> str:
    """Return a style sheet that shows where the keyboard's focus is.

    napari's own does not, which leaves those without a mouse in the dark.
    """
    red, green, blue = colours.text
    focused = ", ".join(f"{kind}:focus" for kind in _FOCUSED)
    return f"{focused} {{ border: 1px solid rgb({red}, {green}, {blue}); }}"


@lru_cache(maxsize=1)
def confidence_colours() -> NDArray[np.uint8]:
    """Return the colours ``(256, 3)`` of confidence 0 to 1."""
    positions = np.linspace(0, 1, 256)
    channels = np.array(_CONFIDENCE, float).T
    table = np.stack([np.interp(positions, _STOPS, channel) for channel in channels], 1)
    colours = table.round().astype(np.uint8)
    colours.flags.writeable = False
    return colours
