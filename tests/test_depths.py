"""Which depths are compiled."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from workbench.depths import rooms


def test_rooms_by_hand() -> None:
    assert (rooms(2), rooms(8), rooms(12)) == ((1, 2), (1, 2, 4, 8), (1, 2, 4, 8, 12))


@given(st.integers(1, 64))
def test_rooms_hold_every_depth_and_grow_slowly(depth: int) -> None:
    found = rooms(depth)
    assert found[0] == 1
    assert found[-1] == depth
    assert list(found) == sorted(set(found))
    assert all(after <= max(2 * before, before + 1) for before, after in pairwise(found))
    assert len(found) <= 3 + depth.bit_length()
    assert sum(found) < 3 * depth, "what is compiled grows in proportion to the depth"
