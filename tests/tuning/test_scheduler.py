"""The scheduler on its own.

Budgets, rungs, brackets, replay; scores come from a table instead of from training.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.tuning.scheduler import (
    ETA,
    RECENT,
    Ask,
    Await,
    LaneReport,
    Launch,
    Scheduler,
    expected_epochs,
    lag_of,
    parallel_of,
    rungs_of,
)

Ends = dict[int, tuple[str, str]]


def scheduler(
    total: int, epochs: int = 50, pruner: str = "asha", parallel: int = 8, lag: int = 2, **options: object
) -> Scheduler:
    return Scheduler(
        total=total, epochs=epochs, pruner=pruner, parallel=parallel, lag=lag,
        **({"maximize": True} | options),  # type: ignore[arg-type]
    )  # fmt: skip


def play(
    machine: Scheduler,
    score: dict[int, float],
    stop: frozenset[int] = frozenset(),
    cost: Callable[[int], float] = lambda trial: 1.0,
) -> tuple[list[Launch], Ends]:
    """Run to the end. Trials of `stop` stop early in their first rung; a missing score is a divergence."""
    launches: list[Launch] = []
    ends: Ends = {}
    while (step := machine.next()) is not None:
        if isinstance(step, Ask):
            first = machine.asked
            machine.add(cost(first + i) for i in range(step.trials))
        elif isinstance(step, Launch):
            launches.append(step)
        else:
            trial = step.launch.trial
            report = (
                LaneReport("diverged", None)
                if trial not in score
                else LaneReport("stopped" if trial in stop else "running", score[trial])
            )
            verdict = machine.judge(report)
            assert verdict.trial == trial
            if verdict.state is not None:
                assert verdict.reason is not None
                assert trial not in ends
                ends[trial] = (verdict.state, verdict.reason)
    return launches, ends


@given(
    total=st.integers(1, 80),
    epochs=st.integers(1, 120),
    pruner=st.sampled_from(["none", "asha", "hyperband", "median"]),
    parallel=st.integers(1, 40),
    lag=st.integers(0, 10),
    maximize=st.booleans(),
    data=st.data(),
)
def test_every_trial_ends_once_and_no_more_train_than_may(
    total: int, epochs: int, pruner: str, parallel: int, lag: int, maximize: bool, data: st.DataObject
) -> None:
    score = {n: data.draw(st.integers(0, 5)) / 5 for n in range(total) if data.draw(st.integers(0, 9)) > 0}
    stop = frozenset(data.draw(st.sets(st.integers(0, total - 1), max_size=5)))
    machine = scheduler(total, epochs, pruner, parallel, lag, maximize=maximize)
    at_a_time = []

    def cost(trial: int) -> float:
        at_a_time.append(len(machine._training))
        return 1.0 + trial % 3

    launches, ends = play(machine, score, stop, cost)
    assert set(ends) == set(range(total))
    assert max(at_a_time) <= parallel
    for launch in launches:
        first = machine.rungs[launch.rung - 1] if launch.rung else 0
        assert (launch.first, launch.last) == (first, machine.rungs[launch.rung])
    per_trial = Counter(launch.trial for launch in launches)
    for trial, (state, reason) in ends.items():
        if reason == "finished":
            assert per_trial[trial] == len(machine.rungs)
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
    score = {n: (n * 37 % total if maximize else -(n * 37 % total)) / total for n in range(total)}
    _, ends = play(scheduler(total, epochs=90, maximize=maximize), score)
    best = sorted(range(total), key=lambda n: n * 37 % total)[-4:]
    complete = {n for n, (state, _) in ends.items() if state == "complete"}
    assert set(best) <= complete
    assert len(complete) <= total / ETA**2 * 1.5


def test_asha_spends_a_third_of_the_epochs() -> None:
    score = {n: ((n * 37) % 101) / 101 for n in range(200)}
    spent = {}
    for pruner in ("none", "asha", "hyperband", "median"):
        launches, _ = play(scheduler(200, pruner=pruner), score)
        spent[pruner] = sum(launch.last - launch.first for launch in launches)
    assert spent["none"] == 200 * 50
    assert spent["asha"] < spent["none"] / 3
    assert spent["asha"] < spent["hyperband"] < spent["none"]
    assert spent["asha"] < spent["median"] < spent["none"]
    assert spent["asha"] / 200 == pytest.approx(expected_epochs(50, "asha"), rel=0.25)


def test_a_sampler_that_learns_is_held_to_a_third_as_well() -> None:
    drift = {n: n / 400 + ((n * 37) % 101) / 101 for n in range(400)}  # later ones are better
    late = {}
    for recent in (RECENT, 400):
        launches, _ = play(scheduler(400, recent=recent), drift)
        begun = {launch.trial for launch in launches if launch.rung == 1}
        late[recent] = sum(trial >= 200 for trial in begun)
        best = sorted(drift, key=lambda n: -drift[n])[:10]
        assert set(best) <= begun
    assert 200 / 3 * 0.8 < late[RECENT] < 200 / 3 * 1.25
    assert late[400] > 200 / 3 * 1.9, "a window that never closes lets most of the later ones pass"


def test_what_may_go_on_does_so_before_new_ones_are_asked_for() -> None:
    machine = scheduler(64, parallel=4, lag=0, pruner="none")
    first = machine.next()
    assert first == Ask(4)
    machine.add([1.0, 2.0, 3.0, 4.0])
    assert [machine.next() for _ in range(4)] == [Launch(trial, 0, 0, 12) for trial in range(4)]
    assert machine.next() == Await(Launch(0, 0, 0, 12)), "the cheapest is over first"
    machine.judge(LaneReport("running", 0.5))
    assert machine.next() == Launch(0, 1, 12, 25)
    assert machine.next() == Await(Launch(1, 0, 0, 12)), "and the second of equals in the order of launches"
    machine.judge(LaneReport("diverged", None))
    assert machine.next() == Ask(1)


def test_launches_are_judged_in_the_order_of_the_clock_and_a_few_later() -> None:
    costs = [5.0, 1.0, 4.0, 2.0]
    machine = scheduler(6, parallel=4, lag=2, epochs=3)
    assert machine.next() == Ask(4)
    machine.add(costs)
    for _ in range(4):
        assert isinstance(machine.next(), Launch)
    assert machine.next() == Ask(1), "a slot is free, and nobody had to wait for what left it"
    machine.add([9.0])
    assert isinstance(machine.next(), Launch)
    assert machine.next() == Ask(1)
    machine.add([9.0])
    assert isinstance(machine.next(), Launch)
    order = []
    while (step := machine.next()) is not None:
        assert isinstance(step, Await)
        order.append(step.launch.trial)
        machine.judge(LaneReport("running", 0.5))
    assert order == [1, 3, 2, 0, 4, 5]


def test_a_larger_budget_goes_on_where_the_smaller_one_ended() -> None:
    score = {n: ((n * 29) % 53) / 53 for n in range(53)}
    machine = scheduler(40)
    _, ends = play(machine, score)
    assert set(ends) == set(range(40))
    machine.total = 53
    _, more = play(machine, score)
    assert set(more) == set(range(40, 53))


@pytest.mark.parametrize("trials", [1, 20, 60, 200, 1000])
def test_a_sampler_that_learns_has_some_fifteen_looks(trials: int) -> None:
    parallel = parallel_of(trials, "tpe")
    assert parallel == 2 or trials / parallel >= 15
    assert parallel_of(trials, "random") >= parallel
    assert lag_of(parallel) < parallel


@pytest.mark.parametrize(
    ("epochs", "pruner", "rungs"),
    [(50, "asha", (6, 17, 50)), (100, "asha", (12, 34, 100)), (3, "asha", (3,)),
     (1000, "asha", (38, 112, 334, 1000)),
     (8, "none", (2, 4, 6, 8)), (1, "none", (1,))],
)  # fmt: skip
def test_rungs(epochs: int, pruner: str, rungs: tuple[int, ...]) -> None:
    assert rungs_of(epochs, pruner) == rungs
    assert all(b <= ETA * a for a, b in pairwise(rungs))
