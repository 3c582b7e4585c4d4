"""The Optuna study that is written behind by several processes, killed ones among them, and on a server."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from tests.helpers.mirror_cases import (
    ENDINGS,
    Where,
    check_everything,
    in_training,
    load,
    record,
    store,
)
from tests.helpers.servers import LEFT_OPEN, wait


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def _work(where: Where, first: int, step: int, count: int, barrier: Any) -> None:
    barrier.wait()
    mirror = store(where)
    for number in range(first, count, step):
        mirror.put([record(number)])
    assert mirror.close(60) == 0


def race(where: Where, processes: int = 3, count: int = 60) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # imported once for all of them
    barrier = context.Barrier(processes)
    workers = [
        context.Process(target=_work, args=(where, i, processes - 1, count, barrier))
        for i in range(processes)
    ]
    for worker in workers:  # the last one repeats trials of the first
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0] * processes
    trials = load(where)
    assert [trial.number for trial in trials] == list(range(count))
    assert all(trial.params == dict(record(trial.number).params) for trial in trials)


def test_processes_that_make_and_write_the_same_study(where: Where) -> None:
    race(where)


def _write_until_killed(file: Path) -> None:
    mirror = store(file)
    for number in range(100_000):
        mirror.put([record(number)], in_training(number + 1, number + 2))
        mirror.flush(60)


def test_a_process_that_is_killed_while_it_writes(where: Where) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # imported once for all of them
    for least in (3, 12, 25):
        writer = context.Process(target=_write_until_killed, args=(where,))
        writer.start()
        wait(lambda least=least: _count(where) >= least, 60)  # type: ignore[misc]
        writer.kill()
        writer.join()
    mirror = store(where)
    there = _count(where)
    mirror.put((record(number) for number in range(there + 5)), {})
    assert mirror.close(60) == 0
    trials = load(where)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * (there + 5)
    for trial in trials:
        source = record(trial.number)
        assert trial.params == dict(source.params)
        assert (trial.value, trial.intermediate_values) == (source.value, source.rungs)


def _count(where: Where) -> int:
    try:
        return len(load(where))
    except (KeyError, optuna.exceptions.StorageInternalError):  # not made yet
        return 0


@pytest.mark.slow
@LEFT_OPEN
def test_postgres(database: str) -> None:
    heard: list[str] = []
    mirror = store(database, heard=heard)
    mirror.put((), in_training(*range(len(ENDINGS)), rungs=0))
    assert mirror.flush(20) == 0
    assert {trial.state for trial in load(database)} == {TrialState.RUNNING}
    for ending in reversed(ENDINGS):
        mirror.put([ending])
        mirror.flush(20)
    mirror.put(ENDINGS)
    unwritten = mirror.close(20)
    assert heard == []
    assert unwritten == 0
    check_everything(database)
    optuna.delete_study(study_name="s", storage=database)
    race(database)


@pytest.mark.slow
@LEFT_OPEN
def test_postgres_and_a_process_that_is_killed(database: str) -> None:
    test_a_process_that_is_killed_while_it_writes(database)
