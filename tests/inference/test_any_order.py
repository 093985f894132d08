"""Calls on a session in any order: what must hold whatever was done before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from golden import seeded
from napari_sam2 import PredictorOptions, Prompt, VideoPredictor, build_model
from sessions import SCENE, click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_sam2 import FrameMasks, Session

LENGTH = 9
MODEL = seeded.seed_weights(
    build_model("micro", checkpoint=None, device="cpu"), seeded.fill
)
ROWS = np.indices((128, 128))[0]
ids = st.integers(1, 3)
frames = st.integers(0, LENGTH - 1)
masks = st.builds(
    lambda disc, frame, top: SCENE.mask(disc, frame) & (top > ROWS),
    st.integers(0, 4),
    frames,
    st.integers(0, 128),
)
options = st.builds(
    PredictorOptions,
    overlap=st.sampled_from(["highest_logit", "keep"]),
    max_conditioning_frames=st.sampled_from([1, 4, None]),
    stop_after_absent=st.sampled_from([None, None, 1]),
    keep_memories=st.sampled_from(["bounded", "bounded", "all"]),
    feature_cache=st.sampled_from([0, 2**24]),
    drop_specks=st.sampled_from([0, 40]),
)


class AnyOrder(RuleBasedStateMachine):
    """A user who does everything at any time, also while objects are tracked."""

    session: Session

    @initialize(options=options)
    def begin(self, options: PredictorOptions) -> None:
        self.predictor = VideoPredictor(MODEL, options)
        self.session = self.predictor.start(SCENE.frames[:LENGTH])
        self.passed: Iterator[FrameMasks] | None = None
        self.painted: dict[tuple[int, int], np.ndarray] = {}
        self.approved: dict[tuple[int, int], np.ndarray] = {}
        self.displaced: dict[tuple[int, int], np.ndarray] = {}

    def has_prompts(self) -> bool:
        return any(self.session.prompts(i) for i in self.session.object_ids)

    def forget(self, object_id: int, frame: int) -> None:
        self.painted.pop((object_id, frame), None)
        self.approved.pop((object_id, frame), None)

    def displace(self, object_id: int, frame: int) -> None:
        """Note what a prompt takes the place of: an approved mask, or none."""
        known = self.session.has_object(object_id)
        prompted = known and frame in self.session.prompts(object_id)
        if not prompted and (object_id, frame) in self.approved:
            self.displaced[object_id, frame] = self.approved[object_id, frame]
        self.forget(object_id, frame)

    def state(self, object_id: int) -> tuple[object, ...]:
        """Return all that is shown of an object."""
        session = self.session
        shown = [session.masks(f, object_id).masks.tolist() for f in range(LENGTH)]
        return (
            shown,
            session.prompts(object_id).keys(),
            session.done(object_id),
            session.stale(object_id),
            session.approved(object_id),
        )

    @rule(object_id=ids, frame=frames)
    def add_click(self, object_id: int, frame: int) -> None:
        prompt = click(object_id - 1, frame)
        self.displace(object_id, frame)
        found = self.predictor.add_prompt(
            self.session, frame=frame, object_id=object_id, prompt=prompt
        )
        assert object_id in found.object_ids

    @rule(object_id=ids, frame=frames, mask=masks)
    def paint(self, object_id: int, frame: int, mask: np.ndarray) -> None:
        self.displace(object_id, frame)
        self.predictor.add_prompt(
            self.session, frame=frame, object_id=object_id, prompt=Prompt(mask=mask)
        )
        self.painted[object_id, frame] = mask

    @precondition(lambda self: self.has_prompts())
    @rule(data=st.data())
    def remove_prompt(self, data: st.DataObject) -> None:
        prompted = [
            (i, f) for i in self.session.object_ids for f in self.session.prompts(i)
        ]
        object_id, frame = data.draw(st.sampled_from(prompted))
        self.forget(object_id, frame)
        self.predictor.remove_prompt(self.session, frame=frame, object_id=object_id)
        if (object_id, frame) in self.displaced:
            self.approved[object_id, frame] = self.displaced.pop((object_id, frame))

    @precondition(lambda self: self.has_prompts())
    @rule(data=st.data(), frame=frames)
    def change_ones_mind(self, data: st.DataObject, frame: int) -> None:
        object_id = data.draw(st.sampled_from(self.session.object_ids))
        if frame in self.session.prompts(object_id):
            return
        found = self.session.masks(frame, object_id).object_ids
        before = self.state(object_id)
        where = {"frame": frame, "object_id": object_id}
        mask = SCENE.mask(3, frame)
        self.predictor.add_prompt(self.session, prompt=Prompt(mask=mask), **where)
        self.predictor.remove_prompt(self.session, **where)
        if found:
            assert self.state(object_id) == before

    @precondition(lambda self: self.session.object_ids)
    @rule(data=st.data())
    def remove_object(self, data: st.DataObject) -> None:
        object_id = data.draw(st.sampled_from(self.session.object_ids))
        for frame in range(LENGTH):
            self.forget(object_id, frame)
            self.displaced.pop((object_id, frame), None)
        self.predictor.remove_object(self.session, object_id=object_id)

    @rule(frame=frames)
    def approve(self, frame: int) -> None:
        shown = self.session.masks(frame)
        if not shown.object_ids:
            return
        before = dict(zip(shown.object_ids, shown.masks, strict=True))
        self.session.approve(frame)
        for object_id, mask in before.items():
            self.approved[object_id, frame] = mask

    @rule(chosen=st.sets(frames))
    def unapprove(self, chosen: set[int]) -> None:
        self.session.unapprove(chosen)
        for object_id, frame in list(self.approved):
            if frame in chosen:
                del self.approved[object_id, frame]

    @precondition(lambda self: self.session.object_ids)
    @rule(frame=frames, mask=masks, data=st.data())
    def import_labels(self, frame: int, mask: np.ndarray, data: st.DataObject) -> None:
        object_id = data.draw(st.sampled_from(self.session.object_ids))
        labels = np.where(mask, object_id, 0)
        self.session.import_labels(frame, labels, object_id)
        if frame not in self.session.prompts(object_id):
            self.approved[object_id, frame] = mask

    @precondition(lambda self: self.has_prompts())
    @rule(
        direction=st.sampled_from(["forward", "backward", "both"]),
        span=st.none() | st.tuples(frames, frames),
    )
    def set_out(self, direction: str, span: tuple[int, int] | None) -> None:
        if span is not None:
            span = (min(span), max(span))
        self.passed = self.predictor.propagate(
            self.session, direction=direction, frames=span
        )

    @precondition(lambda self: self.passed is not None)
    @rule(steps=st.integers(1, 6))
    def go_on(self, steps: int) -> None:
        assert self.passed is not None
        for _ in range(steps):
            found = next(self.passed, None)
            if found is None:
                self.passed = None
                return
            assert set(found.object_ids) <= set(self.session.object_ids)
            kept = self.session.masks(found.frame, found.object_ids)
            np.testing.assert_array_equal(found.masks, kept.masks)

    @precondition(lambda self: self.has_prompts())
    @rule()
    def finish(self) -> None:
        for _ in self.predictor.propagate(self.session, direction="both"):
            pass
        for object_id in self.session.object_ids:
            if self.session.prompts(object_id):
                assert self.session.stale(object_id) == []
                assert self.session.done(object_id) == [*range(LENGTH)]

    @invariant()
    def what_was_painted_or_approved_stands(self) -> None:
        for (object_id, frame), mask in (self.painted | self.approved).items():
            shown = self.session.masks(frame)
            row = shown.object_ids.index(object_id)
            np.testing.assert_array_equal(shown.masks[row], mask)
            mine = shown.labels() == object_id
            assert not (mine & ~mask).any()
            others = [
                other
                for (i, f), other in (self.painted | self.approved).items()
                if f == frame and i != object_id
            ]
            free = mask & ~np.any(others, axis=0) if others else mask
            assert mine[free].all()

    @invariant()
    def prompted_and_approved_frames_are_done(self) -> None:
        for object_id in self.session.object_ids:
            prompted = set(self.session.prompts(object_id))
            approved = set(self.session.approved(object_id))
            stale = set(self.session.stale(object_id))
            done = set(self.session.done(object_id))
            assert prompted | approved <= done
            assert not stale & done
            assert approved == {f for i, f in self.approved if i == object_id}


AnyOrder.TestCase.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None
)
TestAnyOrder = AnyOrder.TestCase
