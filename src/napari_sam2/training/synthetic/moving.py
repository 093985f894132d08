"""Drawing of tracks: what cells cover at every moment of a time-lapse."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_sam2.training.synthetic.fields import smooth_field
from napari_sam2.training.synthetic.geometry import FAR, Canvas, Geometry
from napari_sam2.training.synthetic.motion import ANGLES, Tracks

if TYPE_CHECKING:
    from napari_sam2.training.synthetic.arrays import Array, Vector

Outline = Literal["polar", "capsule"]

# Pixels of texture beyond what one cell needs: cells differ.
_SPARE = 64


def _polar_depth(
    y: Array, x: Array, semi: tuple[float, float], turn: float, outline: Array
) -> Array:
    """Return the depth in an ellipse whose radius is modulated by angle."""
    cosine, sine = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    u = (x * cosine + y * sine) * np.float32(1 / semi[0])
    v = (y * cosine - x * sine) * np.float32(1 / semi[1])
    radius = np.sqrt(u * u + v * v)
    index = (np.arctan2(v, u) * np.float32(ANGLES / (2 * np.pi))).astype(np.int32)
    depth: Array = np.take(outline, index, mode="wrap") - radius
    depth *= np.float32(np.sqrt(semi[0] * semi[1]))
    return depth


def _capsule_depth(
    y: Array, x: Array, semi: tuple[float, float], turn: float, bend: float
) -> Array:
    """Return the depth in a rod with round ends, slightly bent."""
    cosine, sine = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    u = x * cosine + y * sine
    v = y * cosine - x * sine
    v = v + np.float32(bend / semi[0]) * u * u
    straight = np.float32(max(semi[0] - semi[1], 0.0))
    beyond = np.clip(np.abs(u) - straight, 0, None)
    depth: Array = np.float32(semi[1]) - np.sqrt(beyond * beyond + v * v)
    return depth


def draw_tracks(
    rng: np.random.Generator,
    tracks: Tracks,
    size: tuple[int, int],
    *,
    outline: Outline = "polar",
    covering: bool = False,
    margin: float = 2.0,
    floor: float = 0.0,
    fine: float = 2.5,
    coarse: float = 8.0,
    nucleus: float = 0.0,
) -> Geometry:
    """Return the geometry of a time-lapse.

    Parameters
    ----------
    rng : Generator
        Source of chance for textures and nuclei.
    tracks : Tracks
        N cells over T frames.
    size : tuple of int
        (H, W).
    outline : str
        ``"polar"``: ellipses with the outline of the track; ``"capsule"``: rods.
    covering : bool
        Later cells lie over earlier ones; else touching cells share a border.
    margin : float
        Pixels outside a cell where its depth is known.
    floor : float
        Depth in pixels above which a pixel belongs to a cell.
    fine, coarse : float
        Pixels between independent values of the two textures.
    nucleus : float
        Radius of the nucleus over that of the cell; 0 for none.
    """
    height, width = size
    cells, frames = tracks.alive.shape
    shape = (frames, height, width)
    canvas = Canvas(shape, walls=floor < 0)
    textures = np.zeros((2, *shape), np.float32)
    inner = np.full(shape, FAR, np.float32)
    reach_all = tracks.semi[..., 0].max(initial=1.0) * (
        1.0 if outline == "capsule" else tracks.outline.max(initial=1.0)
    )
    most = math.ceil(reach_all + margin) + 2
    tile_side = 2 * most + _SPARE
    tile = np.concatenate(
        [
            smooth_field(rng, (1, tile_side, tile_side), (1, step, step))
            for step in (fine, coarse)
        ]
    )
    # Where in the tile a cell has its middle.
    offsets = rng.integers(most, most + _SPARE, (cells, 2))
    nucleus_place: Vector = rng.normal(0, 0.12, (cells, 2))
    nucleus_shape = rng.uniform(0.85, 1.2, size=(cells,))
    bends = rng.normal(0, 0.12, size=(cells,))
    for t in range(frames):
        for cell in np.flatnonzero(tracks.alive[:, t]):
            cy, cx = tracks.centre[cell, t]
            semi = (
                max(float(tracks.semi[cell, t, 0]), 1.0),
                max(float(tracks.semi[cell, t, 1]), 1.0),
            )
            shape_now = tracks.outline[cell, t]
            bulge = 1.0 if outline == "capsule" else float(shape_now.max())
            reach = max(semi) * bulge + margin
            y0, y1 = max(int(cy - reach), 0), min(int(cy + reach) + 2, height)
            x0, x1 = max(int(cx - reach), 0), min(int(cx + reach) + 2, width)
            if y0 >= y1 or x0 >= x1:
                continue
            y = (np.arange(y0, y1, dtype=np.float32) - np.float32(cy))[:, None]
            x = (np.arange(x0, x1, dtype=np.float32) - np.float32(cx))[None, :]
            turn = float(tracks.angle[cell, t])
            if outline == "polar":
                depth = _polar_depth(y, x, semi, turn, shape_now)
            else:
                depth = _capsule_depth(y, x, semi, turn, float(bends[cell]))
            box = (slice(t, t + 1), slice(y0, y1), slice(x0, x1))
            add = canvas.cover if covering else canvas.add
            wins = add(box, depth[None], int(cell) + 1)
            # The texture travels with the cell: its corner of the tile is fixed.
            ty = offsets[cell, 0] + y0 - math.floor(cy)
            tx = offsets[cell, 1] + x0 - math.floor(cx)
            patch = tile[:, None, ty : ty + y1 - y0, tx : tx + x1 - x0]
            np.copyto(textures[(slice(None), *box)], patch, where=wins)
            if nucleus and tracks.condensed[cell, t] < 0.7:
                share = nucleus * nucleus_shape[cell]
                ny, nx = nucleus_place[cell] * semi[1]
                core = _polar_depth(
                    y - np.float32(ny),
                    x - np.float32(nx),
                    (semi[0] ** 0.5 * semi[1] ** 0.5 * share * 1.1, semi[1] * share),
                    turn,
                    np.ones(ANGLES, np.float32),
                )
                np.copyto(inner[box], core[None], where=wins)
    labels, depth_all, wall = canvas.finish(floor=floor)
    row = np.zeros((1, frames))
    light = tracks.brightness.clip(0.3)
    radius = np.sqrt(tracks.semi[..., 0] * tracks.semi[..., 1])
    usual = np.where(tracks.alive, radius, 0).max(1, initial=1.0)
    return Geometry(
        labels=labels,
        depth=depth_all,
        wall=wall,
        inner=inner,
        fine=textures[0],
        coarse=textures[1],
        radius=np.concatenate([[1.0], usual]).astype(np.float32),
        brightness=np.concatenate([row, light]).astype(np.float32),
        condensed=np.concatenate([row, tracks.condensed]).astype(np.float32),
        pad=0,
    )
