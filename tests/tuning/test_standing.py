"""How a search stands: the same as when all its trials are ranked again at every step."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from tests.helpers import outcomes
from workbench.core.records import TrialRecord, configurations_of
from workbench.tuning.standing import Standing


def trials(count: int, different: int) -> list[TrialRecord]:
    """Some of the same settings, some with the same score, in no order."""
    rng = np.random.default_rng(different)
    made = outcomes.classification(count).trials
    found = []
    for number in rng.permutation(count).tolist():
        trial = made[number % len(made)]
        state: Literal["complete", "pruned"] = "complete" if rng.random() < 0.7 else "pruned"
        value = round(float(rng.random()), 1) if state == "complete" else None
        params = {"width": int(rng.integers(different))}
        found.append(replace(trial, number=number, params=params, state=state, value=value))
    return found


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize("different", [1, 3, 1000])
def test_the_leader_is_the_best_configuration_at_every_step(
    direction: Literal["maximize", "minimize"], different: int
) -> None:
    standing, so_far = Standing(direction), []
    for trial in trials(120, different):
        standing.hear([trial])
        so_far.append(trial)
        assert standing.ended == Counter(one.state for one in so_far)
        best = next(iter(configurations_of(so_far, direction)), None)
        number, score = standing.leader
        if best is None:
            assert (number, score) == (None, None)
        else:
            assert number == best.number
            assert score == pytest.approx(best.value, abs=1e-12)


def test_a_trial_that_goes_on_leads_until_one_is_complete() -> None:
    standing = Standing("maximize")
    standing.hear((), (3, 0.9))
    standing.hear((), (4, 0.8))
    assert standing.leader == (3, 0.9)
    first, second = (replace(one, number=n) for n, one in zip((3, 4), trials(2, 5), strict=True))
    standing.hear([replace(first, state="pruned", value=None)])
    assert standing.leader == (4, 0.8)
    standing.hear([replace(second, state="complete", value=0.5)])
    assert standing.leader == (4, 0.5)
