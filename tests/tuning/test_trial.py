"""What a sampler is told of a trial."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.tuning.scheduler import LaneReport
from workbench.tuning.trial import reported

LOSSES = st.floats(0.0, 1e6) | st.just(math.inf)


def figure(score: float, loss: float, sign: float) -> float:
    trial: Any = SimpleNamespace(rungs={2: 0.5, 6: score})
    rungs = reported(trial, LaneReport("running", score, loss), sign)
    assert rungs[2] == 0.5
    assert trial.rungs == {2: 0.5, 6: score}, "the record keeps the score itself"
    return rungs[6]


@given(st.integers(0, 10**6), LOSSES, LOSSES, st.sampled_from([1.0, -1.0]))
def test_a_loss_decides_between_equal_scores_and_never_against_a_row(
    right: int, one: float, other: float, sign: float
) -> None:
    score, better = right / 1e6, (right + 1) / 1e6
    assert figure(score, one, sign) == pytest.approx(score, rel=1e-6)
    assert figure(score, one, sign) < figure(better, other, sign)
    if one < other:
        assert sign * figure(score, one, sign) >= sign * figure(score, other, sign)
    assert sign * figure(0.9, 0.1, sign) > sign * figure(0.9, 0.2, sign)


def test_nothing_is_told_where_there_is_no_score() -> None:
    trial: Any = SimpleNamespace(rungs={})
    assert reported(trial, LaneReport("diverged", None), 1.0) == {}
