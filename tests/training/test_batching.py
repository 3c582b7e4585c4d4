"""Which depths are compiled."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from workbench.training.batching import compiled


def test_depths_by_hand() -> None:
    assert (compiled(2), compiled(8), compiled(12)) == ((1, 2), (1, 2, 4, 8), (1, 2, 4, 8, 12))


@given(st.integers(1, 64))
def test_every_depth_has_room_and_programs_grow_slowly(depth: int) -> None:
    found = compiled(depth)
    assert found[0] == 1
    assert found[-1] == depth
    assert list(found) == sorted(set(found))
    assert all(after <= max(2 * before, before + 1) for before, after in pairwise(found))
    assert len(found) <= 3 + depth.bit_length()
    assert sum(found) < 3 * depth, "what is compiled grows in proportion to the depth"
