"""From settings to lanes: which rules they are trained by, and the schedule of a refit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import workbench as wb
from workbench.core import vocabulary
from workbench.nn.schedules import factor, factor_of
from workbench.tuning import space
from workbench.tuning.lane_plan import LanePlan
from workbench.tuning.space import Problem

EPOCHS = 40
PROBLEM = Problem("classification", (3,), 3, 1, 100)
NAMES = sorted(set(vocabulary.SCHEDULES) - {"plateau"})  # whose factor follows the loss, not the epoch


def plan(rules: int = 2, **settings: Any) -> LanePlan:
    study = wb.vary(wb.read_study("studies/wine-softmax.toml"), family="softmax", epochs=EPOCHS, **settings)
    return LanePlan(study.settings, lambda variant: PROBLEM, "accuracy", (8,), rules)


def values(one: LanePlan) -> dict[str, Any]:
    return one.resolve(space.default(space.axes(one.settings)))


@given(
    st.sampled_from([*NAMES, "constant-cosine"]), st.integers(1, EPOCHS), st.integers(0, 9), st.floats(0, 1)
)
def test_a_refit_has_the_whole_schedule_in_fewer_epochs(
    name: str, epochs: int, warmup: int, share: float
) -> None:
    changes = {"schedule": name, "warmup": float(warmup)}
    one = plan(**changes)
    program, shorter = one.on_all_rows(values(one), 0, epochs)
    recipe, hyper = program.recipe, one.lane(values(one), 0)[1]
    epochs, counted = int(shorter.epochs), epochs
    assert counted <= epochs <= EPOCHS
    whole = factor((name,), np.int32(0), share * EPOCHS, EPOCHS, float(warmup))
    again = factor_of(recipe, shorter._replace(schedule=np.int32(0)), share * epochs)
    near_a_step = name == "piecewise" and min(abs(share * 4 - 2), abs(share * 4 - 3)) < 1e-3
    if not near_a_step:
        np.testing.assert_allclose(again, whole, rtol=1e-3, atol=1e-5)
    assert int(hyper.epochs) == EPOCHS, "the judged model's is as long as it was"


@given(
    st.sampled_from(["constant-cosine", "constant-exponential-cosine"]),
    st.integers(1, EPOCHS),
    st.floats(0, 1),
)
def test_boundaries_of_a_refit_stand_at_the_same_shares(name: str, epochs: int, share: float) -> None:
    ends = (8.0, 25.0)[: name.count("-")]
    one = plan(schedule=name, boundaries=" ".join(map(str, ends)))
    program, shorter = one.on_all_rows(values(one), 0, epochs)
    whole = factor((name,), np.int32(0), share * EPOCHS, EPOCHS, 0.0, boundaries=ends)
    if min(abs(share * EPOCHS - end) for end in ends) > 1e-3:
        again = factor_of(program.recipe, shorter, share * int(shorter.epochs))
        np.testing.assert_allclose(again, whole, rtol=1e-3, atol=1e-5)


def test_a_cosine_ends_at_zero_though_the_refit_is_short() -> None:
    one = plan(schedule="cosine")
    program, hyper = one.on_all_rows(values(one), 0, 3)
    assert float(factor_of(program.recipe, hyper, float(hyper.epochs))) < 1e-6


#: Length of the schedule with the same integral of factors as the first n of E epochs, by hand.
LENGTHS: dict[str, Callable[[float, float], float]] = {
    "constant": lambda n, e: n,
    "plateau": lambda n, e: n,
    "cosine": lambda n, e: n + e / math.pi * math.sin(math.pi * n / e),
    "polynomial": lambda n, e: 2 * n - n * n / e,
    "exponential": lambda n, e: e * (1 - 0.01 ** (n / e)) / (1 - 0.01),
}


@pytest.mark.parametrize("name", LENGTHS)
def test_a_refit_has_the_rates_that_counted(name: str) -> None:
    one = plan(schedule=name)
    for counted in (1, 2, 7, 20, 33, EPOCHS - 1, EPOCHS):
        length = int(one.on_all_rows(values(one), 0, counted)[1].epochs)
        assert abs(length - LENGTHS[name](counted, EPOCHS)) <= 0.51


def test_a_refit_is_no_shorter_than_what_counted() -> None:
    """While a rate rises, its sum lags behind."""
    for changes in ({"schedule": "one_cycle"}, {"schedule": "cosine", "warmup": 30.0}):
        one = plan(**changes)
        assert int(one.on_all_rows(values(one), 0, 5)[1].epochs) == 5


def test_the_rules_of_earlier_studies() -> None:
    """The first of equal epochs, and a schedule that a refit does not reach the end of."""
    now, then = plan(patience=2, schedule="cosine"), plan(1, patience=2, schedule="cosine")
    assert now.lane(values(now), 0)[0].recipe.by_loss
    assert not then.lane(values(then), 0)[0].recipe.by_loss
    program, hyper = then.on_all_rows(values(then), 0, 3)
    assert int(hyper.epochs) == EPOCHS
    assert float(factor_of(program.recipe, hyper, 3.0)) > 0.9
