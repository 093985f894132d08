"""The memory bank: what is remembered of one object, and what a frame attends to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from torch import Tensor

    from napari_sam2.model.records import FrameMemory, View


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRules:
    """What a network may attend to; names as in its YAML where not said otherwise.

    Attributes
    ----------
    num_maskmem : int
        Spatial memories besides conditioning frames, plus one.
    max_conditioning_frames : int, optional
        Conditioning frames attended to, at most; None: all.
    stride : int
        ``memory_temporal_stride_for_eval``.
    max_pointers : int
        ``max_obj_ptrs_in_encoder``; 0 where pointers are not used.
    past_pointers_only : bool
        ``only_obj_ptrs_in_the_past_for_eval``.
    signed_distances : bool
        ``use_signed_tpos_enc_to_obj_ptrs``.
    keep_all : bool
        Nothing is forgotten, and memories of either direction are read.
    keep_stale : bool
        Memories older than a correction that bears on them are read as well.
    """

    num_maskmem: int
    max_conditioning_frames: int | None
    stride: int = 1
    max_pointers: int = 16
    past_pointers_only: bool = True
    signed_distances: bool = True
    keep_all: bool = False
    keep_stale: bool = False


class MemoryChoice(NamedTuple):
    """A spatial memory: its frame, and its temporal position (0: conditioning)."""

    frame: int
    position: int


class PointerChoice(NamedTuple):
    """An object pointer: its frame, and its distance in frames, perhaps signed."""

    frame: int
    distance: int


class Selection(NamedTuple):
    """What a frame attends to."""

    memories: tuple[MemoryChoice, ...]
    pointers: tuple[PointerChoice, ...]


def nearest_conditioning(
    frame: int, conditioning: Collection[int], limit: int | None
) -> list[int]:
    """Return at most `limit` conditioning frames: one on each side, then the nearest.

    "Each side" is the nearest before `frame`, and the nearest at or after it.
    """
    if limit is None or len(conditioning) <= limit:
        return list(conditioning)
    before = max((f for f in conditioning if f < frame), default=None)
    after = min((f for f in conditioning if f >= frame), default=None)
    chosen = [f for f in (before, after) if f is not None]
    if len(chosen) > limit:
        chosen = [min(chosen, key=lambda f: abs(f - frame))]
    rest = sorted(
        (f for f in conditioning if f not in chosen), key=lambda f: abs(f - frame)
    )
    return chosen + rest[: limit - len(chosen)]


def earlier_frames(frame: int, *, backward: bool, rules: MemoryRules) -> list[int]:
    """Return the frames that fill the spatial slots, farthest first.

    The last is the frame just before; the others lie on multiples of the stride.
    """
    sign, stride = (1, rules.stride) if backward else (-1, rules.stride)
    frames = []
    for back in range(rules.num_maskmem - 1, 0, -1):
        if back == 1:
            frames.append(frame + sign)
        elif backward:
            frames.append(-(-(frame + 2) // stride) * stride + (back - 2) * stride)
        else:
            frames.append((frame - 2) // stride * stride - (back - 2) * stride)
    return frames


def select_memories(
    frame: int,
    *,
    backward: bool,
    conditioning: Collection[int],
    features: Collection[int],
    pointers: Collection[int],
    num_frames: int,
    rules: MemoryRules,
) -> Selection:
    """Return which memories and pointers a frame attends to.

    Parameters
    ----------
    frame : int
        The frame in work.
    backward : bool
        Whether the pass goes to lower frames.
    conditioning : collection of int
        Frames whose memory conditions.
    features, pointers : collection of int
        Other frames whose spatial memory, or pointer, is at hand.
    num_frames : int
        Length of the stack.
    rules : MemoryRules
        Limits.
    """
    chosen = nearest_conditioning(frame, conditioning, rules.max_conditioning_frames)
    ordinary = set(conditioning) - set(chosen)
    memories = [MemoryChoice(f, 0) for f in chosen]
    for position, f in enumerate(
        earlier_frames(frame, backward=backward, rules=rules), start=1
    ):
        if f in features or f in ordinary:
            memories.append(MemoryChoice(f, position))
    if not rules.max_pointers:
        return Selection(tuple(memories), ())

    sign = -1 if backward else 1
    picked = []
    for f in chosen:
        distance = (frame - f) * sign
        if distance >= 0 or not rules.past_pointers_only:
            picked.append(
                PointerChoice(f, distance if rules.signed_distances else abs(distance))
            )
    for back in range(1, min(num_frames, rules.max_pointers)):
        f = frame - back * sign
        if not 0 <= f < num_frames:
            break
        if f in pointers or f in ordinary:
            picked.append(PointerChoice(f, back))
    return Selection(tuple(memories), tuple(picked))


@dataclass(slots=True)
class MemoryBank:
    """What is remembered of one object.

    Attributes
    ----------
    rules : MemoryRules
        What may be attended to.
    conditioning : dict
        Object pointer ``(1, C)`` of each conditioning frame.
    conditioning_memories : dict
        Memories of conditioning frames, those at hand.
    recent : dict
        Memories of frames around the one in work.
    pointers : dict
        Object pointers ``(1, C)`` of frames around the one in work.
    backward : bool
        Direction of the pass that wrote the recent ones.
    """

    rules: MemoryRules
    conditioning: dict[int, Tensor] = field(default_factory=dict)
    conditioning_memories: dict[int, FrameMemory] = field(default_factory=dict)
    recent: dict[int, FrameMemory] = field(default_factory=dict)
    pointers: dict[int, Tensor] = field(default_factory=dict)
    backward: bool = False

    def begin(self, *, backward: bool) -> None:
        """Start a pass: what another direction remembered is not read."""
        if backward != self.backward and not self.rules.keep_all:
            self.forget_recent()
        self.backward = backward

    def select(self, frame: int, *, backward: bool, num_frames: int) -> Selection:
        """Return which memories and pointers `frame` attends to, itself excepted.

        With ``keep_all`` a conditioning frame attends to its own earlier memory, as
        published.
        """
        own = frame if self.rules.keep_all else None
        return select_memories(
            frame,
            backward=backward,
            conditioning=[f for f in self.conditioning if f != frame or f == own],
            features=self.recent.keys(),
            pointers=self.pointers.keys(),
            num_frames=num_frames,
            rules=self.rules,
        )

    def memory(self, frame: int) -> FrameMemory:
        """Return the spatial memory of a selected frame."""
        if frame in self.conditioning:
            return self.conditioning_memories[frame]
        return self.recent[frame]

    def pointer(self, frame: int) -> Tensor:
        """Return the object pointer ``(1, C)`` of a selected frame."""
        if frame in self.conditioning:
            return self.conditioning[frame]
        return self.pointers[frame]

    def knows(self, frame: int) -> bool:
        """Return whether the spatial memory of `frame` is at hand."""
        return frame in self.conditioning_memories or frame in self.recent

    def set_conditioning(self, frame: int, pointer: Tensor) -> None:
        """Make a frame a conditioning one, whose memory is still to be encoded."""
        self.conditioning[frame] = pointer
        self.forget([frame])

    def drop_conditioning(self, frame: int) -> None:
        """Let a frame condition no longer."""
        self.conditioning.pop(frame, None)
        self.conditioning_memories.pop(frame, None)

    def keep_conditioning(self, frame: int, chosen: Collection[int]) -> None:
        """Forget the memories of conditioning frames far from `frame`, not chosen."""
        limit = self.rules.max_conditioning_frames
        if self.rules.keep_all or limit is None:
            return
        others = [f for f in self.conditioning_memories if f not in chosen]
        others.sort(key=lambda f: abs(f - frame))
        for far in others[limit:]:
            del self.conditioning_memories[far]

    def remember(self, frame: int, memory: FrameMemory) -> None:
        """Keep a tracked frame's memory, forgetting those out of reach from there."""
        self.recent[frame] = memory
        self.pointers[frame] = memory.pointer
        if self.rules.keep_all:
            return
        reach = self.rules.num_maskmem * self.rules.stride
        for far in [f for f in self.recent if abs(f - frame) >= reach]:
            del self.recent[far]
        reach = self.rules.max_pointers
        for far in [f for f in self.pointers if abs(f - frame) >= reach]:
            del self.pointers[far]

    def forget(self, frames: Iterable[int]) -> None:
        """Drop the memories of frames whose masks changed or are to change."""
        for f in frames:
            self.conditioning_memories.pop(f, None)
            self.recent.pop(f, None)
            self.pointers.pop(f, None)

    def forget_other_views(self, view: View) -> None:
        """Drop the spatial memories of other windows than that of the frame in work."""
        for kept in (self.conditioning_memories, self.recent):
            for f in [f for f, memory in kept.items() if memory.views != (view,)]:
                del kept[f]

    def forget_recent(self) -> None:
        """Drop all but the memories of conditioning frames."""
        self.recent.clear()
        self.pointers.clear()
