"""The scheduler on its own.

Budgets, rungs, brackets, replay; scores come from a table instead of from training.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.scheduler import ETA, RECENT, Ask, LaneReport, Launch, Scheduler, rungs_of


def play(
    scheduler: Scheduler, score: dict[int, float], programs: int = 1, stop: frozenset[int] = frozenset()
) -> tuple[list[Launch], dict[int, tuple[str, str]]]:
    """Run to the end. Trials of `stop` stop early in their first rung; a missing score is a divergence."""
    launches, ends, asked = [], {}, 0
    while (step := scheduler.next()) is not None:
        if isinstance(step, Ask):
            scheduler.add((asked + i, f"p{(asked + i) % programs}") for i in range(step.trials))
            asked += step.trials
            continue
        launches.append(step)
        reports = [
            LaneReport("diverged", None)
            if trial not in score
            else LaneReport("stopped" if trial in stop else "running", score[trial])
            for trial in step.trials
        ]
        for verdict in scheduler.judge(step, reports):
            if verdict.state is not None:
                assert verdict.trial not in ends
                ends[verdict.trial] = (verdict.state, verdict.reason)
    return launches, ends


@given(
    total=st.integers(1, 80),
    epochs=st.integers(1, 120),
    pruner=st.sampled_from(["none", "asha", "hyperband", "median"]),
    widths=st.sampled_from([(8,), (16, 4), (1,), (32, 8, 2)]),
    programs=st.integers(1, 4),
    maximize=st.booleans(),
    data=st.data(),
)
def test_every_trial_ends_once_and_no_population_overflows(
    total: int,
    epochs: int,
    pruner: str,
    widths: tuple[int, ...],
    programs: int,
    maximize: bool,
    data: st.DataObject,
) -> None:
    score = {n: data.draw(st.integers(0, 5)) / 5 for n in range(total) if data.draw(st.integers(0, 9)) > 0}
    stop = frozenset(data.draw(st.sets(st.integers(0, total - 1), max_size=5)))
    scheduler = Scheduler(total=total, epochs=epochs, pruner=pruner, widths=widths, maximize=maximize)
    launches, ends = play(scheduler, score, programs, stop)
    assert set(ends) == set(range(total))
    for launch in launches:
        assert len(launch.trials) <= scheduler.width(launch) <= max(widths)
        assert {f"p{trial % programs}" for trial in launch.trials} == {launch.program}
        assert (launch.first, launch.last) == (
            scheduler.rungs[launch.rung - 1] if launch.rung else 0,
            scheduler.rungs[launch.rung],
        )
    per_trial = Counter(trial for launch in launches for trial in launch.trials)
    for trial, (state, reason) in ends.items():
        if reason == "finished":
            assert per_trial[trial] == len(scheduler.rungs)
        if trial not in score:
            assert (state, reason) == ("pruned", "diverged")
        elif trial in stop:
            assert (state, reason) == ("complete", "early stopped")
    if pruner == "none":
        assert all(state == "complete" for trial, (state, _) in ends.items() if trial in score)
    if 0 in score:
        assert ends[0][0] == "complete", "the default configuration is never pruned"


@pytest.mark.parametrize("maximize", [True, False])
def test_halving_keeps_the_best(maximize: bool) -> None:
    total = 81
    score = {n: (n if maximize else -n) / total for n in range(total)}
    scheduler = Scheduler(total=total, epochs=90, pruner="asha", widths=(81,), maximize=maximize)
    launches, ends = play(scheduler, score)
    assert [len(launch.trials) for launch in launches] == [
        81,
        28,
        10,
    ]  # thirds, and the default configuration
    assert {n for n, (state, _) in ends.items() if state == "complete"} == {0, *range(72, 81)}


def test_asha_spends_a_third_of_the_epochs() -> None:
    score = {n: ((n * 37) % 101) / 101 for n in range(200)}
    spent = {}
    for pruner in ("none", "asha", "hyperband", "median"):
        scheduler = Scheduler(total=200, epochs=50, pruner=pruner, widths=(8,), maximize=True)
        launches, _ = play(scheduler, score)
        spent[pruner] = sum((launch.last - launch.first) * len(launch.trials) for launch in launches)
    assert spent["none"] == 200 * 50
    assert spent["asha"] < spent["none"] / 3
    assert spent["asha"] < spent["hyperband"] < spent["none"]
    assert spent["asha"] < spent["median"] < spent["none"]


def test_a_sampler_that_learns_is_held_to_a_third_as_well() -> None:
    drift = {n: n / 400 + ((n * 37) % 101) / 101 for n in range(400)}  # later ones are better
    late = {}
    for recent in (RECENT, 400):
        scheduler = Scheduler(total=400, epochs=50, pruner="asha", widths=(8,), maximize=True, recent=recent)
        launches, _ = play(scheduler, drift)
        begun = {trial for launch in launches if launch.rung == 1 for trial in launch.trials}
        late[recent] = sum(trial >= 200 for trial in begun)
        best = sorted(drift, key=lambda n: -drift[n])[:10]
        assert set(best) <= begun
    assert 200 / 3 * 0.8 < late[RECENT] < 200 / 3 * 1.25
    assert late[400] > 200 / 3 * 1.9, "as studies of earlier versions compare"


def test_survivors_wait_until_a_population_is_full() -> None:
    score = {n: n / 64 for n in range(64)}
    scheduler = Scheduler(total=64, epochs=50, pruner="asha", widths=(8,), maximize=True)
    launches, _ = play(scheduler, score)
    early = [launch for launch in launches if launch.rung > 0][:-2]
    assert all(len(launch.trials) == 8 for launch in early)


def test_replaying_launches_leads_to_the_same_state() -> None:
    score = {n: ((n * 29) % 53) / 53 for n in range(53)}
    whole = Scheduler(total=53, epochs=50, pruner="asha", widths=(8,), maximize=True)
    launches, ends = play(whole, score, programs=2)
    again = Scheduler(total=53, epochs=50, pruner="asha", widths=(8,), maximize=True)
    asked = 0
    for launch in launches:
        while asked <= max(launch.trials):
            again.add([(asked, f"p{asked % 2}")])
            asked += 1
        taken = again.take(launch.program, launch.rung, launch.trials)
        assert taken == launch
        for verdict in again.judge(taken, [LaneReport("running", score[trial]) for trial in taken.trials]):
            if verdict.state is not None:
                assert ends.pop(verdict.trial) == (verdict.state, verdict.reason)
    assert not ends
    assert again.next() is None


@pytest.mark.parametrize(
    ("epochs", "pruner", "rungs"),
    [(50, "asha", (6, 17, 50)), (100, "asha", (12, 34, 100)), (3, "asha", (3,)),
     (1000, "asha", (38, 112, 334, 1000)),
     (8, "none", (2, 4, 6, 8)), (1, "none", (1,))],
)  # fmt: skip
def test_rungs(epochs: int, pruner: str, rungs: tuple[int, ...]) -> None:
    assert rungs_of(epochs, pruner) == rungs
    assert all(b <= ETA * a for a, b in pairwise(rungs))
