"""Which memories and pointers a frame attends to."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam2.inference.memory import (
    MemoryBank,
    MemoryChoice,
    MemoryRules,
    PointerChoice,
    nearest_conditioning,
    select_memories,
)
from napari_sam2.model.records import FrameMemory, View

RULES = MemoryRules(num_maskmem=7, max_conditioning_frames=None)


def frame_memory() -> FrameMemory:
    return FrameMemory(
        torch.zeros(1, 4, 2, 2), torch.zeros(1, 8), (View.whole((2, 2), 32),)
    )


# The rules said again, slowly and in another way.


def expected_conditioning(frame: int, frames: set[int], limit: int | None) -> int:
    """How far away in all the conditioning frames are that must be chosen."""
    if limit is None or len(frames) <= limit:
        return sum(abs(f - frame) for f in frames)
    before = sorted(f for f in frames if f < frame)[-1:]
    after = sorted(f for f in frames if f >= frame)[:1]
    sides = sorted(before + after, key=lambda f: abs(f - frame))[:limit]
    others = sorted(abs(f - frame) for f in frames - set(sides))
    return sum(abs(f - frame) for f in sides) + sum(others[: limit - len(sides)])


def expected_slots(frame: int, sign: int, rules: MemoryRules) -> dict[int, int]:
    """The frame of each slot, by temporal position."""

    def on_stride() -> object:
        f = frame + 2 * sign
        while True:
            if f % rules.stride == 0:
                yield f
            f += sign

    slots = {rules.num_maskmem - 1: frame + sign} if rules.num_maskmem > 1 else {}
    for back, f in enumerate(islice(on_stride(), max(0, rules.num_maskmem - 2)), 2):
        slots[rules.num_maskmem - back] = f
    return slots


def expected_pointers(
    frame: int,
    sign: int,
    chosen: set[int],
    known: set[int],
    num_frames: int,
    rules: MemoryRules,
) -> list[PointerChoice]:
    pointers = []
    for f in range(num_frames):
        ago = (f - frame) * sign
        if f in chosen:
            if ago >= 0 or not rules.past_pointers_only:
                distance = ago if rules.signed_distances else abs(ago)
                pointers.append(PointerChoice(f, distance))
        elif f in known and 0 < ago < min(num_frames, rules.max_pointers):
            pointers.append(PointerChoice(f, ago))
    return pointers if rules.max_pointers else []


rule_sets = st.builds(
    MemoryRules,
    num_maskmem=st.integers(1, 8),
    max_conditioning_frames=st.none() | st.integers(1, 5),
    stride=st.integers(1, 4),
    max_pointers=st.sampled_from([0, 1, 4, 16]),
    past_pointers_only=st.booleans(),
    signed_distances=st.booleans(),
)


@settings(max_examples=400)
@given(rules=rule_sets, backward=st.booleans(), data=st.data())
def test_selection_follows_the_published_rules(
    rules: MemoryRules, backward: bool, data: st.DataObject
) -> None:
    num_frames = data.draw(st.integers(2, 40))
    some = st.sets(st.integers(0, num_frames - 1))
    frame = data.draw(st.integers(0, num_frames - 1))
    conditioning = data.draw(some) - {frame}
    features = data.draw(some) - conditioning - {frame}
    pointers = data.draw(some) - conditioning - {frame}
    selection = select_memories(
        frame,
        backward=backward,
        conditioning=conditioning,
        features=features,
        pointers=pointers,
        num_frames=num_frames,
        rules=rules,
    )

    sign = 1 if backward else -1
    chosen = {m.frame for m in selection.memories if m.position == 0}
    limit = rules.max_conditioning_frames
    assert chosen <= conditioning
    assert len(chosen) == min(len(conditioning), limit or len(conditioning))
    distance = sum(abs(f - frame) for f in chosen)
    assert distance == expected_conditioning(frame, conditioning, limit)

    left = conditioning - chosen
    slots = expected_slots(frame, sign, rules)
    expected = {(f, p) for p, f in slots.items() if f in features | left}
    assert {(m.frame, m.position) for m in selection.memories if m.position} == expected
    assert len(selection.memories) == len(chosen) + len(expected)

    assert sorted(selection.pointers) == sorted(
        expected_pointers(frame, sign, chosen, pointers | left, num_frames, rules)
    )


@pytest.mark.parametrize(
    ("frame", "frames", "limit", "expected"),
    [
        (10, [0, 5, 9, 11, 30], None, [0, 5, 9, 11, 30]),
        (10, [0, 5, 9, 11, 30], 2, [9, 11]),
        (10, [0, 7, 8, 9, 30], 3, [8, 9, 30]),
        (10, [10, 12, 3], 2, [3, 10]),
        (10, [9, 30], 1, [9]),
        (10, [11, 12, 13], 2, [11, 12]),
        (10, [], 4, []),
    ],
)
def test_the_limit_keeps_one_conditioning_frame_on_each_side(
    frame: int, frames: list[int], limit: int | None, expected: list[int]
) -> None:
    assert sorted(nearest_conditioning(frame, frames, limit)) == expected


def test_a_missing_frame_leaves_its_slot_empty() -> None:
    selection = select_memories(
        10,
        backward=False,
        conditioning=[0],
        features=[9, 7, 4],
        pointers=[9, 2],
        num_frames=20,
        rules=RULES,
    )
    assert set(selection.memories) == {
        MemoryChoice(0, 0),
        MemoryChoice(9, 6),
        MemoryChoice(7, 4),
        MemoryChoice(4, 1),
    }
    assert set(selection.pointers) == {
        PointerChoice(0, 10),
        PointerChoice(9, 1),
        PointerChoice(2, 8),
    }


@pytest.mark.parametrize("backward", [False, True])
def test_a_long_pass_keeps_few_memories(backward: bool) -> None:
    bank = MemoryBank(RULES)
    bank.set_conditioning(500, torch.zeros(1, 8))
    frames = range(999, -1, -1) if backward else range(1000)
    bank.begin(backward=backward)
    for frame in frames:
        bank.remember(frame, frame_memory())
    assert len(bank.recent) <= RULES.num_maskmem
    assert len(bank.pointers) <= RULES.max_pointers
    assert list(bank.conditioning) == [500]


def test_a_pass_does_not_read_what_the_other_direction_wrote() -> None:
    bank = MemoryBank(RULES)
    for frame in range(5):
        bank.remember(frame, frame_memory())
    bank.begin(backward=False)
    assert bank.knows(4)
    bank.begin(backward=True)
    assert not bank.knows(4)


def test_everything_can_be_kept() -> None:
    bank = MemoryBank(replace(RULES, keep_all=True))
    for frame in range(100):
        bank.remember(frame, frame_memory())
    bank.begin(backward=True)
    assert len(bank.recent) == len(bank.pointers) == 100


def test_stale_memories_are_forgotten() -> None:
    bank = MemoryBank(RULES)
    for frame in (3, 4):
        bank.remember(frame, frame_memory())
    bank.forget([2, 3])
    assert [bank.knows(f) for f in (2, 3, 4)] == [False, False, True]
    selection = bank.select(5, backward=False, num_frames=20)
    assert [m.frame for m in selection.memories] == [4]
    assert [p.frame for p in selection.pointers] == [4]


def test_a_frame_does_not_attend_to_its_own_memory() -> None:
    bank = MemoryBank(RULES)
    for frame in (3, 8):
        bank.set_conditioning(frame, torch.zeros(1, 8))
    selection = bank.select(8, backward=False, num_frames=20)
    assert [m.frame for m in selection.memories] == [3]
