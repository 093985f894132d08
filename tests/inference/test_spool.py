"""Bytes put aside come back, and their room is used again."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.inference.spool import Spool

if TYPE_CHECKING:
    from napari_sam2.inference.spool import Extent

LENGTHS = st.integers(0, 5000)


@given(st.lists(st.tuples(LENGTHS, st.integers(0, 9)), max_size=60))
def test_what_is_held_comes_back(puts: list[tuple[int, int]]) -> None:
    spool = Spool()
    held: dict[int, tuple[Extent, bytes]] = {}
    for number, (length, place) in enumerate(puts):
        data = bytes([number % 256]) * length
        held[place] = spool.put(data), data  # whatever had this place is let go
        assert all(extent.read() == expected for extent, expected in held.values())


@pytest.mark.parametrize("length", [1, 700, 100_000])
def test_room_is_used_again(length: int) -> None:
    spool = Spool()
    held = [spool.put(bytes(length))]
    size = spool.size
    assert length <= size <= max(256, 1.25 * length)
    for _ in range(5):
        held.clear()
        gc.collect()
        held.append(spool.put(bytes(length)))
    assert spool.size == size
