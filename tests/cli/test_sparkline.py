"""The curve in one line of text."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from workbench.cli.present import spark


def test_low_to_high() -> None:
    assert spark(range(8)) == "▁▂▃▄▅▆▇█"
    assert spark([3, 3, 3]) == "▄▄▄"
    assert spark([1, math.nan, 2, math.inf]) == "▁·█·"
    assert spark([math.nan] * 3) == "···"
    assert spark([]) == ""


def test_a_long_curve_is_averaged() -> None:
    assert spark([0, 0, 1, 1, math.nan, 2], width=3) == "▁▅█"


@given(st.lists(st.floats(width=32)), st.integers(1, 50))
def test_never_wider_than_asked(curve: list[float], width: int) -> None:
    assert len(spark(curve, width)) == min(len(curve), width)
