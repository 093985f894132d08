"""Cells that move, change shape, divide, enter, leave, appear and end.

Tracks are simulated first, all cells at once and frame by frame; drawing them is
another matter. Lengths are pixels, times are frames, (y, x) order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_sam2.training.synthetic.arrays import Array, Mask, Vector
from napari_sam2.training.synthetic.packing import Points, pack

Table = Vector

# Angles at which the outline of a track is tabulated.
ANGLES = 256


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the cells of one scene live.

    Attributes
    ----------
    speed : float
        Deviation of a cell's step, radii per frame.
    persistence : float
        Share of the last step that is kept, 0 to 1.
    drift : tuple of float
        (y, x) step common to all, pixels per frame.
    turning : float
        Deviation of the change of angle, radians per frame.
    wobble : float
        Deviation of the outline around an ellipse, radii.
    wobble_change : float
        Share of the outline that is new every frame.
    elongation : float
        Largest ratio of the axes.
    dividing : float
        Share of cells that divide within the clip.
    division_frames : float
        Frames from rounding up to metaphase.
    condensation : str
        ``"plate"`` (chromatin condenses to a bright plate), ``"round"`` (the cell
        rounds up), ``"split"`` (a rod halves).
    appearing, ending : float
        Share of cells that fade in, or shrink and end, within the clip.
    growth : float
        Relative growth per frame.
    size_spread : float
        Logarithmic deviation of the radius between cells.
    """

    speed: float
    persistence: float
    drift: tuple[float, float]
    turning: float
    wobble: float
    wobble_change: float
    elongation: float
    dividing: float
    division_frames: float
    condensation: str
    appearing: float
    ending: float
    growth: float
    size_spread: float


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """N cells over T frames; rows of a cell that is not alive mean nothing.

    Attributes
    ----------
    alive : ndarray
        (N, T) bool.
    centre : ndarray
        (N, T, 2) y, x in pixels.
    semi : ndarray
        (N, T, 2) long and short semi-axis in pixels.
    angle : ndarray
        (N, T) direction of the long axis, radians from x towards y.
    outline : ndarray
        (N, T, ANGLES) float32 radius over that of the ellipse, by angle.
    brightness : ndarray
        (N, T), 1 is usual.
    condensed : ndarray
        (N, T), 0 in interphase to 1 in metaphase.
    """

    alive: Mask
    centre: Table
    semi: Table
    angle: Table
    outline: Array
    brightness: Table
    condensed: Table


def _repel(centre: Points, radius: Points, strength: float) -> Points:
    """Return the steps (N, 2) that move overlapping cells apart."""
    offset = centre[:, None, :] - centre[None, :, :]
    distance = np.sqrt((offset * offset).sum(-1)) + 1e-6
    overlap = (radius[:, None] + radius[None, :]) * 0.95 - distance
    np.fill_diagonal(overlap, 0)
    push = np.clip(overlap, 0, None) / distance * strength / 2
    step: Points = (offset * push[..., None]).sum(1)
    return step


def _outlines(
    rng: np.random.Generator, cells: int, frames: int, behaviour: Behaviour
) -> Table:
    """Return (cells, frames, ANGLES) outlines that change slowly, about 1."""
    orders = np.arange(2, 9)
    scale = behaviour.wobble / (orders - 1.0) ** 1.2
    keep = np.sqrt(1 - behaviour.wobble_change**2)
    waves = np.empty((frames, cells, orders.size, 2))
    waves[0] = rng.standard_normal(waves.shape[1:])
    for t in range(1, frames):
        fresh = rng.standard_normal(waves.shape[1:])
        waves[t] = keep * waves[t - 1] + behaviour.wobble_change * fresh
    theta = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    phase = orders[:, None] * theta
    basis = np.stack([np.cos(phase), np.sin(phase)], 1) * scale[:, None, None]
    bumps = waves.reshape(frames * cells, -1) @ basis.reshape(-1, ANGLES)
    outline: Table = np.clip(1 + bumps, 0.45, 1.9).reshape(frames, cells, ANGLES)
    return outline.transpose(1, 0, 2)


def simulate(
    rng: np.random.Generator,
    *,
    frames: int,
    size: tuple[int, int],
    radius: float,
    count: int,
    gap: float,
    touching: float,
    behaviour: Behaviour,
) -> Tracks:
    """Return the tracks of about `count` cells seen in a field of `size` pixels.

    The region simulated is larger than the field by two radii on each side, so that
    cells come in and go out.
    """
    height, width = size
    margin = 2.0 * radius + max(map(abs, behaviour.drift)) * frames
    area = (height + 2 * margin) * (width + 2 * margin) / (height * width)
    wanted = max(round(count * area), 1)
    radii = radius * np.exp(rng.normal(0, behaviour.size_spread, min(wanted, 400)))
    low = np.array([-margin, -margin])
    high = np.array([height + margin, width + margin])
    start, radii = pack(rng, radii, low, high, gap=gap, touching=touching)

    first = start.shape[0]
    divides: Mask = rng.random(size=(first,)) < behaviour.dividing
    dividing = int(np.count_nonzero(divides))
    capacity = first + 2 * dividing
    alive = np.zeros((capacity, frames), bool)
    centre = np.zeros((capacity, frames, 2))
    size_now = np.ones(capacity)
    radii = np.concatenate([radii, np.zeros(capacity - first)])
    base_angle = rng.uniform(0, 2 * np.pi, capacity)
    angle = np.zeros((capacity, frames))
    grown = np.ones((capacity, frames))
    condensed = np.zeros((capacity, frames))
    fading = np.ones((capacity, frames))
    elongation = rng.uniform(1, behaviour.elongation, capacity)
    light = np.exp(rng.normal(0, 0.25, capacity))

    # Frame of metaphase; the mother is last seen one frame before its daughters.
    division = np.full(capacity, np.inf)
    division[:first][divides] = rng.integers(1, max(frames, 2), dividing)
    born = np.full(capacity, -np.inf)
    ends = np.full(capacity, np.inf)
    fate = rng.random(first)
    appear = np.flatnonzero((fate < behaviour.appearing) & ~divides)
    born_late = rng.integers(0, max(frames - 1, 1), appear.size)
    end = np.flatnonzero((fate > 1 - behaviour.ending) & ~divides)
    ends[end] = rng.integers(1, frames + 1, end.size)

    position = np.zeros((capacity, 2))
    velocity = np.zeros((capacity, 2))
    position[:first] = start
    velocity[:first] = rng.normal(0, behaviour.speed, (first, 2)) * radius
    now = np.zeros(capacity, bool)
    now[:first] = True
    now[appear] = born_late == 0
    used = first
    keep = behaviour.persistence
    fresh = np.sqrt(max(1 - keep * keep, 0.0)) * behaviour.speed * radius
    duration = max(behaviour.division_frames, 1.0)
    for t in range(frames):
        now[appear[born_late == t]] = True
        born[appear[born_late == t]] = t
        now &= t < ends
        for mother in np.flatnonzero(now & (division < t)):
            now[mother] = False
            base_angle[used : used + 2] = base_angle[mother]
            along = base_angle[mother]
            if behaviour.condensation != "split":
                along += np.pi / 2
            offset = np.array([np.sin(along), np.cos(along)])
            spread = {"plate": 0.45, "round": 0.7, "split": 0.5}[behaviour.condensation]
            if behaviour.condensation == "split":
                spread *= np.sqrt(elongation[mother]) * size_now[mother]
            for side, child in ((1, used), (-1, used + 1)):
                position[child] = position[mother] + side * offset * (
                    spread * radii[mother]
                )
                velocity[child] = side * offset * 0.25 * radii[mother]
                radii[child] = radii[mother] * rng.uniform(0.74, 0.86)
                elongation[child] = elongation[mother]
                if behaviour.condensation == "split":
                    radii[child] = radii[mother] * 0.72
                    elongation[child] = max(elongation[mother] / 2, 1.2)
                    size_now[child] = size_now[mother]
                light[child] = light[mother]
                born[child] = t
                now[child] = True
            used += 2
        alive[:, t] = now
        centre[:, t] = position
        angle[:, t] = base_angle
        grown[:, t] = size_now
        before = np.clip(1 - (division - t) / duration, 0, 1)
        after = np.clip(1 - (t - born + 1) / duration, 0, 1)
        after[:first] = 0
        condensed[:, t] = np.maximum(np.where(division < np.inf, before, 0), after)
        arrival = np.clip((t - born[:first] + 1) / 3, 0, 1)
        departure = np.clip((ends[:first] - t) / 3, 0, 1)
        fading[:first, t] = np.minimum(arrival, departure)

        live = np.flatnonzero(now)
        push = _repel(position[live], radii[live] * gap, 0.5)
        velocity[live] = keep * velocity[live] + rng.normal(0, fresh, (live.size, 2))
        velocity[live] *= 1 - 0.8 * condensed[live, t, None] * (born[live, None] < t)
        position[live] += velocity[live] + push + np.array(behaviour.drift)
        base_angle += rng.normal(0, behaviour.turning, capacity)
        size_now *= 1 + behaviour.growth * rng.uniform(0.5, 1.5, capacity)

    outline = _outlines(rng, capacity, frames, behaviour)
    long = elongation[:, None] ** 0.5 * np.ones((1, frames))
    short = 1 / long
    if behaviour.condensation == "plate":
        long *= 1 - 0.05 * condensed
        short *= 1 - 0.5 * condensed
        light_now = 1 + 0.9 * condensed
        calm = 1 - 0.7 * condensed
    elif behaviour.condensation == "round":
        long = long * (1 - condensed) + 0.78 * condensed
        short = short * (1 - condensed) + 0.72 * condensed
        light_now = 1 + 0.8 * condensed
        calm = 1 - 0.9 * condensed
    else:
        long = long * grown
        light_now = np.ones_like(condensed)
        calm = np.ones_like(condensed)
    # Cells that end shrink to bright remains; those that appear only fade in.
    shrink = 0.55 + 0.45 * fading
    semi = np.stack([long * shrink, short * shrink], -1) * radii[:, None, None]
    brightness = light[:, None] * light_now * (0.35 + 0.65 * fading)
    outline = 1 + (outline - 1) * calm[..., None]
    return Tracks(
        alive,
        centre,
        semi,
        angle,
        outline.astype(np.float32),
        brightness,
        condensed,
    )
