"""The search loop on a small problem: budgets, fusion, and resuming as if nothing had happened."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.problems import blobs
from workbench.core.errors import StoreError
from workbench.core.records import TrialRecord, decode_trial, encode_trial
from workbench.core.types import Choice, Range, Settings
from workbench.study.config.schema import SETTINGS as KEYS
from workbench.training import devices
from workbench.training.checkpoints import Store
from workbench.training.engine import Engine
from workbench.tuning import jobs, space
from workbench.tuning.lane_plan import LanePlan
from workbench.tuning.loop import Search
from workbench.tuning.samplers import Suggester
from workbench.tuning.scheduler import Scheduler
from workbench.tuning.space import OWN, Problem

EPOCHS, TRIALS = 20, 30
SETTINGS: Settings = {name: key.default for name, key in KEYS.items()} | {
    "scale": "standardize", "degree": 1, "family": "mlp", "loss": "auto", "class_weight": "none",
    "depth": Range(1, 2, integer=True), "width": Range(2, 8, log=True, integer=True),
    "activation": Choice(("relu", "tanh")), "initializer": "auto", "init_scale": 0.05,
    "optimizer": Choice(("adam", "momentum")), "learning_rate": Range(1e-4, 1e24, log=True),
    "momentum": 0.9, "beta2": 0.999, "schedule": "cosine", "warmup": 0.0, "clip": float("inf"), "l1": 0.0,
    "l2": Range(1e-6, 1e-2, log=True), "weight_decay": 0.0, "dropout": Range(0.0, 0.3),
    "label_smoothing": 0.0, "patience": 4, "min_delta": 0.0, "epochs": EPOCHS, "threshold": 0.5,
    "batch_size": Choice((16, 32)),
}  # fmt: skip


def two_folds(number: int) -> tuple[int, ...]:
    """The folds of every trial."""
    return 1, 2


class Journal:
    """A commit log in memory that fails on purpose once it holds so many events."""

    def __init__(self, events: list[Any] | None = None, room: int = 10**9) -> None:
        self.events = list(events or [])
        self._room = room

    def commit(self, events: list[Any]) -> None:
        if len(self.events) >= self._room:
            raise KeyboardInterrupt
        self.events += events


def search(
    folder: Path,
    journal: Journal,
    trials: int = TRIALS,
    pruner: str = "asha",
    divisions: Callable[[int], tuple[int, ...]] = lambda number: (OWN,),
    enough: Callable[..., str | None] | None = None,
) -> Search:
    data = blobs()
    problem = Problem("classification", (5,), 3, 1, len(data.train.x))
    axes = space.axes(SETTINGS)
    engine = Engine(lambda variant: blobs(seed=variant.division), capacity=EPOCHS, seed=3)
    return Search(
        plan=LanePlan(SETTINGS, lambda variant: problem, "accuracy", (2, 8)),
        divisions=divisions,
        trials=trials,
        scheduler=Scheduler(epochs=EPOCHS, pruner=pruner, parallel=4, lag=1, maximize=True),
        engine=engine,
        train=partial(jobs.submit, engine),
        suggest=Suggester(axes, sampler="tpe", seed=3, direction="maximize").suggest,
        enough=enough,
        commit=journal.commit,
        store=Store(folder),
        recorded=list(journal.events),
    )


def finish(folder: Path, journal: Journal, **options: Any) -> dict[int, TrialRecord]:
    running = search(folder, journal, **options)
    for _ in running.rounds():
        pass
    return running.trials


def comparable(trials: dict[int, TrialRecord]) -> list[dict[str, Any]]:
    """Everything but the clock, bit for bit."""
    clock = {"seconds": 0.0, "finished": 0.0}
    return [encode_trial(trials[number]) | clock for number in sorted(trials)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Search, dict[int, TrialRecord], Journal]:
    journal = Journal()
    running = search(tmp_path_factory.mktemp("whole"), journal)
    for _ in running.rounds():
        pass
    return running, running.trials, journal


def test_the_budget_is_exact_and_every_trial_ends(undisturbed: Any) -> None:
    _, trials, _ = undisturbed
    assert sorted(trials) == list(range(TRIALS))
    assert {trial.state for trial in trials.values()} == {"complete", "pruned"}
    for trial in trials.values():
        assert len(trial.curves.train_loss) == trial.epochs
        if trial.reason == "diverged":
            assert trial.value is None
        elif trial.state == "complete":
            assert trial.value == pytest.approx(trial.curves.validation_score[trial.best_epoch - 1])


def test_learning_rates_that_are_too_high_diverge_and_are_pruned(undisturbed: Any) -> None:
    _, trials, _ = undisturbed
    diverged = [trial for trial in trials.values() if trial.reason == "diverged"]
    assert diverged
    assert all(trial.state == "pruned" for trial in diverged)


def test_trial_zero_is_the_default_configuration(undisturbed: Any) -> None:
    _, trials, _ = undisturbed
    assert trials[0].params == space.default(space.axes(SETTINGS))
    assert trials[0].params["learning_rate"] == pytest.approx(1e10)
    assert trials[0].params["batch_size"] == 16
    assert trials[0].params["width"] == 4
    assert trials[0].state == "complete" or trials[0].reason == "diverged"


def test_one_program_for_the_whole_space(undisturbed: Any) -> None:
    running, trials, _ = undisturbed
    assert running._engine.programs == 2, (
        "two rooms for widths; depth, activation, optimizer, batch are traced"
    )
    assert len({trial.recipe for trial in trials.values()}) == 2


def test_what_blocks_of_rows_say_adds_up_to_the_score(undisturbed: Any) -> None:
    running, trials, _ = undisturbed
    complete = [trial for trial in trials.values() if trial.state == "complete"]
    assert set(running.blocks) == {trial.number for trial in complete}
    for trial in complete:
        assert np.mean(running.blocks[trial.number]) == pytest.approx(trial.value, abs=1e-4)


@pytest.mark.parametrize("room", [0, 1, 20, 45, 60])
def test_interrupted_anywhere_it_ends_the_same(tmp_path: Path, undisturbed: Any, room: int) -> None:
    _, whole, journal = undisturbed
    broken = Journal(room=room)
    with pytest.raises(KeyboardInterrupt):
        finish(tmp_path, broken)
    resumed = Journal(broken.events)
    assert comparable(finish(tmp_path, resumed)) == comparable(whole)
    assert [event["kind"] for event in resumed.events] == [event["kind"] for event in journal.events]


def test_without_checkpoints_lanes_are_trained_again_to_the_same_end(
    tmp_path: Path, undisturbed: Any
) -> None:
    _, whole, _ = undisturbed
    broken = Journal(room=45)
    with pytest.raises(KeyboardInterrupt):
        finish(tmp_path, broken)
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[:-7])
    assert comparable(finish(tmp_path, Journal(broken.events))) == comparable(whole)


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[int, TrialRecord], Journal, Search]:
    """Every trial on two folds."""
    journal = Journal()
    running = search(tmp_path_factory.mktemp("folded"), journal, trials=12, divisions=two_folds)
    for _ in running.rounds():
        pass
    return running.trials, journal, running


def test_folds_are_lanes_of_the_same_programs(folded: Any, undisturbed: Any) -> None:
    trials, _, running = folded
    assert running._engine.programs == undisturbed[0]._engine.programs
    assert sorted(trials) == list(range(12))
    complete = [trial for trial in trials.values() if trial.state == "complete"]
    assert set(running.blocks) == {trial.number for trial in complete}
    for trial in complete:
        assert len(running.blocks[trial.number]) == 2 * 30, "validation rows of both folds"
        assert np.mean(running.blocks[trial.number]) == pytest.approx(trial.value, abs=1e-4)


@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("room", [1, 12, 24])
def test_folds_that_were_interrupted_end_the_same(tmp_path: Path, folded: Any, room: int, torn: bool) -> None:
    whole, journal, _ = folded
    broken = Journal(room=room)
    with pytest.raises(KeyboardInterrupt):
        finish(tmp_path, broken, trials=12, divisions=two_folds)
    for file in tmp_path.iterdir() if torn else ():
        file.write_bytes(file.read_bytes()[:-7])
    resumed = Journal(broken.events)
    assert comparable(finish(tmp_path, resumed, trials=12, divisions=two_folds)) == comparable(whole)
    assert [event["kind"] for event in resumed.events] == [event["kind"] for event in journal.events]


def test_a_replay_trains_nothing(tmp_path: Path, undisturbed: Any) -> None:
    _, whole, journal = undisturbed
    running = search(tmp_path, Journal(journal.events))
    assert all(step.replayed for step in running.rounds())
    assert [encode_trial(trial) for trial in running.trials.values()] == [
        encode_trial(whole[number]) for number in running.trials
    ], "the clock included"
    assert running._engine.programs == 0


def test_a_trial_knows_when_it_ended(undisturbed: Any) -> None:
    _, trials, journal = undisturbed
    launches = [event for event in journal.events if event["kind"] == "launch"]
    ends = [event["finished"] for event in launches]
    assert ends == sorted(ends)
    assert time.time() - 600 < ends[0] <= ends[-1] <= time.time()
    for trial in trials.values():
        last = [event for event in launches if trial.number == event["trial"]][-1]
        assert trial.finished == last["finished"]


def test_a_record_that_does_not_say_when_its_trial_ended(undisturbed: Any) -> None:
    del (record := encode_trial(undisturbed[1][0]))["finished"]
    assert decode_trial(record).finished == 0.0


@pytest.mark.parametrize("events", [3, 17, 40, 61, 80])
def test_any_beginning_of_a_journal_ends_the_same(tmp_path: Path, undisturbed: Any, events: int) -> None:
    _, whole, journal = undisturbed
    while journal.events[events - 1]["kind"] == "trial":  # a record, of the launch that comes with it
        events += 1
    resumed = Journal(journal.events[:events])
    assert comparable(finish(tmp_path, resumed)) == comparable(whole)
    assert [event["kind"] for event in resumed.events] == [event["kind"] for event in journal.events]


def test_a_stopped_search_goes_on_without_the_rule_and_is_replayed(tmp_path: Path) -> None:
    def rule(trials: Any, blocks: Any) -> str | None:
        return "enough" if len(trials) >= 8 else None

    journal = Journal()
    stopped = search(tmp_path, journal, enough=rule)
    assert not any(step.replayed for step in stopped.rounds())
    assert stopped.stopped == "enough"
    assert 8 <= len(stopped.trials) < TRIALS
    assert comparable(finish(tmp_path, Journal(journal.events), enough=rule)) == comparable(stopped.trials)
    onward = Journal(journal.events)
    whole = finish(tmp_path, onward)
    assert sorted(whole) == list(range(TRIALS))
    again = search(tmp_path, Journal(onward.events))
    assert all(step.replayed for step in again.rounds())
    assert comparable(again.trials) == comparable(whole)
    cut = Journal(onward.events[: len(journal.events) + 9])
    assert comparable(finish(tmp_path, cut)) == comparable(whole)


@pytest.mark.parametrize("cores", [1, 5, 16])
def test_devices_decide_nothing(
    tmp_path: Path, undisturbed: Any, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    """Nor does the order in which lanes come back."""
    monkeypatch.setattr(devices, "cores", lambda: cores)
    journal = Journal()
    assert comparable(finish(tmp_path, journal)) == comparable(undisturbed[1])
    kinds = [(event["kind"], event.get("trial")) for event in undisturbed[2].events]
    assert [(event["kind"], event.get("trial")) for event in journal.events] == kinds


def test_a_larger_budget_trains_only_the_difference(tmp_path: Path, undisturbed: Any) -> None:
    _, whole, journal = undisturbed
    running = search(tmp_path, Journal(journal.events), trials=TRIALS + 6)
    fresh = [record.number for step in running.rounds() if not step.replayed for record in step.finished]
    assert sorted(fresh) == list(range(TRIALS, TRIALS + 6))
    kept = {number: trial for number, trial in running.trials.items() if number < TRIALS}
    assert comparable(kept) == comparable(whole)


@pytest.mark.parametrize("lost", ["ask", "launch"])
def test_events_that_contradict_each_other_are_refused(lost: str, tmp_path: Path, undisturbed: Any) -> None:
    events = list(undisturbed[2].events)
    del events[[event["kind"] for event in events].index(lost)]
    with pytest.raises(StoreError, match="lacks lines, or has them out of order"):
        finish(tmp_path, Journal(events))


def test_no_checkpoint_is_left_behind(tmp_path: Path) -> None:
    finish(tmp_path, Journal(), trials=8)
    assert list(tmp_path.iterdir()) == []
