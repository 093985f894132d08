"""Short words for what the tests of sessions do all the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from golden.seeded import scene
from napari_sam2 import Prompt

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_sam2 import Session, VideoPredictor

SCENE = scene(24, 128, 11)
"""24 frames of 128 x 128 RGB with five drifting discs."""


def click(disc: int, frame: int, *beside: int) -> Prompt:
    """A click on a disc, and negative ones on the discs `beside`."""
    points = [SCENE.xy(d, frame) for d in (disc, *beside)]
    return Prompt(points, [1] + [0] * len(beside))


def start(predictor: VideoPredictor, clicked: Mapping[int, Iterable[int]]) -> Session:
    """A session where objects, by id, are clicked on frames; object 1 is disc 0."""
    session = predictor.start(SCENE.frames)
    for object_id, frames in clicked.items():
        for frame in frames:
            add_click(predictor, session, frame, object_id)
    return session


def add_click(
    predictor: VideoPredictor,
    session: Session,
    frame: int,
    object_id: int = 1,
) -> None:
    """Click on the disc of an object."""
    prompt = click((object_id - 1) % 5, frame)
    predictor.add_prompt(session, frame=frame, object_id=object_id, prompt=prompt)


def run(predictor: VideoPredictor, session: Session, **options: Any) -> list[int]:
    """Propagate; return the frames in the order they came."""
    return [masks.frame for masks in predictor.propagate(session, **options)]


def all_logits(session: Session) -> dict[tuple[int, int], np.ndarray]:
    """Everything found: logits by object and frame.

    The store cuts logits off below -6, far from any mask; so does this.
    """
    found = {}
    for frame in range(session.num_frames):
        masks = session.masks(frame)
        for object_id, logits in zip(masks.object_ids, masks.logits, strict=True):
            found[object_id, frame] = logits.clip(-6)
    return found


def changed(
    before: dict[tuple[int, int], np.ndarray],
    after: dict[tuple[int, int], np.ndarray],
    object_id: int = 1,
) -> list[int]:
    """Frames whose logits of an object are not what they were, to the last bit."""
    frames = {f for i, f in before.keys() | after.keys() if i == object_id}
    return [
        f
        for f in sorted(frames)
        if (object_id, f) not in before
        or (object_id, f) not in after
        or not np.array_equal(before[object_id, f], after[object_id, f])
    ]


def largest_difference(
    first: dict[tuple[int, int], np.ndarray], second: dict[tuple[int, int], np.ndarray]
) -> float:
    """How far apart two sessions are."""
    assert first.keys() == second.keys()
    return max(float(np.abs(first[key] - second[key]).max()) for key in first)


def everything(session: Session) -> dict[str, object]:
    """All that a session shows of itself, to compare."""
    ids = session.object_ids
    return {
        "ids": ids,
        "prompts": {i: dict(session.prompts(i)) for i in ids},
        "approved": {i: session.approved(i) for i in ids},
        "stale": {i: session.stale(i) for i in ids},
        "done": {i: session.done(i) for i in ids},
        "labels": [
            session.masks(f).labels().tobytes() for f in range(session.num_frames)
        ],
    }
