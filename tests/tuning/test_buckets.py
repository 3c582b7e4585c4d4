"""The ladder of widths, against trying every ladder."""

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
from workbench.study.config.reading import read_study
from workbench.study.plan import plan
from workbench.training.costs import COSTS, Costs
from workbench.tuning.buckets import _cheapest, rooms
from workbench.tuning.space import Problem, Variant

CPU = COSTS["cpu"]


def ladder(
    width: Axis | Value, *, lane_epochs: float = 4000.0, costs: Costs = CPU, **changes: Axis | Value
) -> tuple[int, ...]:
    settings = {**SETTINGS, "width": width, **changes}
    return rooms(settings, problem, "accuracy", lane_epochs=lane_epochs, costs=costs)


def problem(variant: Variant) -> Problem:
    return Problem("classification", (64,), 10, 1, 1078)


@given(
    st.lists(st.tuples(st.integers(1, 99), st.floats(0.0, 1.0), st.floats(0.0, 9.0)), min_size=1, max_size=7),
    st.floats(0.01, 9.0),
    st.integers(1, 6),
)
def test_no_ladder_is_cheaper(steps: list[tuple[int, float, float]], compile_: float, most: int) -> None:
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

    found = tuple(candidates.index(room) for room in _cheapest(candidates, shares, seconds, compile_, most))
    every = [
        (*lower, len(candidates) - 1)
        for count in range(most)
        for lower in combinations(range(len(candidates) - 1), count)
    ]
    assert found in every
    assert cost(found) == pytest.approx(min(map(cost, every)), abs=1e-9)


def test_the_last_room_holds_every_width_and_a_fixed_one_has_its_own() -> None:
    assert ladder(100) == (100,)
    assert ladder(Range(3, 5, integer=True))[-1] == 5
    assert ladder(Range(16, 250, integer=True, log=True))[-1] == 250
    assert set(ladder(Choice((100, 20, 300)))) <= {20, 100, 300}
    assert ladder(Choice((100, 20, 300)))[-1] == 300
    assert ladder(Range(8, 5000, integer=True))[-1] == 5000


def test_more_work_pays_for_more_rooms_and_dear_programs_for_fewer() -> None:
    width = Range(16, 256, integer=True, log=True)
    assert len(ladder(width, lane_epochs=10.0)) == 1
    assert 2 <= len(ladder(width)) <= len(ladder(width, lane_epochs=1e6)) == 6
    assert len(ladder(width, costs=CPU._replace(compile=1e6))) == 1
    families = Choice(("mlp", "residual", "highway"))
    assert len(ladder(width, lane_epochs=1e6, family=families)) == 2, "each family needs its own programs"


def test_two_hundred_trials_of_the_benchmark_need_at_most_six_programs(tmp_path: Path) -> None:
    for pruner in ("asha", "none"):
        planned = plan(read_study(study_file(tmp_path, pruner=pruner)), resolve(home=tmp_path))
        assert planned["programs"] <= 6
        assert planned["programs"] == len(planned["rooms"]), "everything but the width is traced"
        assert planned["rooms"][-1] == 256
