"""The widths that programs are compiled for, against trying every choice of them."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.benchmarks.digits import study_file
from tests.tuning.test_loop import SETTINGS
from workbench.core.locations import resolve
from workbench.core.types import Axis, Choice, Range, Value
from workbench.study.config import read_study
from workbench.study.plan import plan
from workbench.training.costs import COSTS, Costs
from workbench.tuning.buckets import _cheapest, lane_plan
from workbench.tuning.space import Problem, Variant

CPU = COSTS["cpu"]


def widths(
    width: Axis | Value, *, lane_epochs: float = 4000.0, costs: Costs = CPU, **changes: Axis | Value
) -> tuple[int, ...]:
    settings = {**SETTINGS, "width": width, **changes}
    return lane_plan(settings, problem, "accuracy", lane_epochs=lane_epochs, costs=costs).widths


def problem(variant: Variant) -> Problem:
    return Problem("classification", (64,), 10, 1, 1078)


@given(
    st.lists(st.tuples(st.integers(1, 99), st.floats(0.0, 1.0), st.floats(0.0, 9.0)), min_size=1, max_size=7),
    st.floats(0.01, 9.0),
    st.integers(1, 6),
)
def test_no_other_choice_is_cheaper(
    steps: list[tuple[int, float, float]], compile_: float, most: int
) -> None:
    candidates = [8 * (i + 1) for i in range(len(steps))]
    total = sum(share for _, share, _ in steps) or 1.0
    shares = [sum(share for _, share, _ in steps[: i + 1]) / total for i in range(len(steps))]
    seconds = [sum(more for *_, more in steps[: i + 1]) for i in range(len(steps))]

    def cost(chosen: tuple[int, ...]) -> float:
        below, sum_ = 0.0, 0.0
        for i in chosen:
            sum_ += (shares[i] - below) * seconds[i] + compile_
            below = shares[i]
        return sum_

    found = tuple(candidates.index(width) for width in _cheapest(candidates, shares, seconds, compile_, most))
    every = [
        (*lower, len(candidates) - 1)
        for count in range(most)
        for lower in combinations(range(len(candidates) - 1), count)
    ]
    assert found in every
    assert cost(found) == pytest.approx(min(map(cost, every)), abs=1e-9)


def test_the_last_one_holds_every_width_and_a_fixed_one_has_its_own() -> None:
    assert widths(100) == (100,)
    assert widths(Range(3, 5, integer=True))[-1] == 5
    assert widths(Range(16, 250, integer=True, log=True))[-1] == 250
    assert set(widths(Choice((100, 20, 300)))) <= {20, 100, 300}
    assert widths(Choice((100, 20, 300)))[-1] == 300
    assert widths(Range(8, 5000, integer=True))[-1] == 5000


def test_more_work_pays_for_more_widths_and_dear_programs_for_fewer() -> None:
    width = Range(16, 256, integer=True, log=True)
    assert len(widths(width, lane_epochs=10.0)) == 1
    assert 2 <= len(widths(width)) <= len(widths(width, lane_epochs=1e6)) == 6
    assert len(widths(width, costs=CPU._replace(compile=1e6))) == 1
    families = Choice(("mlp", "residual", "highway"))
    assert len(widths(width, lane_epochs=1e6, family=families)) == 2, "each family needs its own programs"


def test_two_hundred_trials_of_the_benchmark_need_at_most_six_programs(tmp_path: Path) -> None:
    for pruner in ("asha", "none"):
        planned = plan(read_study(study_file(tmp_path, pruner=pruner)), resolve(home=tmp_path))
        assert planned["programs"] <= 6
        assert planned["programs"] == len(planned["rooms"]), "everything but the width is traced"
        assert planned["rooms"][-1] == 256
