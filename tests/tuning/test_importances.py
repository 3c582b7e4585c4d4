"""Importances: the axis that matters, and no word where trials say nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.suggest_cases import AXES, loss, uniform
from workbench.core.records import Curves, TrialRecord
from workbench.core.types import Value
from workbench.tuning.importances import importances, ranks, why_not


def records(count: int, score: Callable[[Mapping[str, Value]], float]) -> list[TrialRecord]:
    nothing = Curves(*(np.zeros(0, np.float32),) * 3)
    found = []
    for number in range(count):
        params = uniform(AXES, number, 0)
        found.append(
            TrialRecord(number, params, "complete", "finished", score(params), 1, 1, nothing, 0, "", 1.0)
        )
    return found


def test_importances_find_the_axis_that_matters() -> None:
    trials = records(100, lambda params: -abs(math.log10(float(params["learning_rate"]) / 1e-2)))
    trials += [replace(trials[0], number=100, state="pruned", value=None)]
    shares = importances(AXES, trials, "maximize")
    assert set(shares) == set(AXES)
    assert sum(shares.values()) == pytest.approx(1)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert next(iter(shares)) == "learning_rate"
    assert shares["learning_rate"] > 0.5
    assert why_not(trials, "maximize") is None


def test_importances_of_too_little() -> None:
    few = records(7, loss)
    assert importances(AXES, few, "minimize") == {}
    assert why_not(few, "minimize") == "7 trials are too few to say which axes matter; 8 are needed"
    same = records(20, lambda params: 0.5)
    assert importances(AXES, same, "minimize") == {}
    assert "same score" in (why_not(same, "minimize") or "")
    nan = records(20, lambda params: math.nan)
    assert importances(AXES, nan, "minimize") == {}
    assert importances({}, records(20, loss), "minimize") == {}
    ties = records(20, lambda params: float(params["depth"] == 1))
    assert set(importances(AXES, ties, "maximize")) == set(AXES)


def test_an_axis_that_has_trials_stopped_matters() -> None:
    """Whoever went on has a good rate, so among the complete ones alone depth would seem to be all."""
    trials = records(200, lambda params: float(params["depth"]))
    kept = [
        trial
        if (rate := float(trial.params["learning_rate"])) > 1e-2
        else replace(trial, state="pruned", reason="pruned", value=None, rungs={3: rate})
        for trial in trials
    ]
    shares = importances(AXES, kept, "maximize")
    assert shares["learning_rate"] > max(share for name, share in shares.items() if name != "learning_rate")
    alone = importances(AXES, [trial for trial in kept if trial.state == "complete"], "maximize")
    assert next(iter(alone)) == "depth"


def test_who_came_further_stands_higher() -> None:
    one = records(1, loss)[0]
    pruned = [
        replace(one, state="pruned", reason="pruned", value=None, rungs=rungs)
        for rungs in ({1: 9.0}, {1: 8.0, 3: 7.0}, {1: 8.5})
    ]
    others = [
        replace(one, value=5.0),
        replace(one, value=6.0),
        replace(one, value=6.0),
        replace(one, state="failed", reason="diverged", value=None),
        replace(one, state="failed", reason="error", value=None),
    ]
    assert ranks([*pruned, *others], "minimize") == {0: 1, 1: 3, 2: 2, 3: 5, 4: 4, 5: 4, 6: 0}
    assert ranks([*pruned, *others], "maximize") == {0: 2, 1: 3, 2: 1, 3: 4, 4: 5, 5: 5, 6: 0}
