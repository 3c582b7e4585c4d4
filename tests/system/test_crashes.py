"""Processes that are really killed, at moments of every kind, and what the next call makes of it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.end_to_end import Place, Ran, environment, optuna_studies, place, scores, workbench
from workbench.storage import journal

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries that read

Moment = Callable[[list[dict[str, Any]]], bool]


def after(kind: str, count: int = 1) -> Moment:
    """When the journal holds `count` records of a kind."""
    return lambda records: sum(record["kind"] == kind for record in records) >= count


MOMENTS: dict[str, Moment] = {
    "while it compiles": after("ask"),
    "in the middle of the search": after("launch", 3),
    "when the choice is made": after("choice"),
}


@pytest.mark.slow
def test_killed_three_times(finished: tuple[Place, Ran], tmp_path: Path) -> None:
    where = place(tmp_path)
    for moment in MOMENTS.values():
        with start(where) as process:
            strike(process, where, moment, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
    ends_as_if_nothing_had_happened(where, finished[0])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_killed_at_a_random_moment(seed: int, finished: tuple[Place, Ran], tmp_path: Path) -> None:
    where, draw = place(tmp_path), random.Random(seed)
    for _ in range(3):
        with start(where) as process:
            time.sleep(draw.uniform(0.0, 1.1 * finished[1].seconds))
            process.kill()
    ends_as_if_nothing_had_happened(where, finished[0])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_once(number: signal.Signals, finished: tuple[Place, Ran], tmp_path: Path) -> None:
    where = place(tmp_path)
    process = start(where)
    strike(process, where, after("ask"), number)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 130, err
    assert "once more to stop at once" in err
    assert "go on with: workbench run" in out
    assert str(where.file) in out
    assert "Traceback" not in err
    done = len(where.events("trial"))
    assert done < 24
    assert running(where) == []
    ends_as_if_nothing_had_happened(where, finished[0])


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "times"), [(after("ask"), 2), (after("choice"), 1)])
def test_interrupted_at_once(moment: Moment, times: int, finished: tuple[Place, Ran], tmp_path: Path) -> None:
    where = place(tmp_path)
    process = start(where, "--json")
    strike(process, where, moment, signal.SIGINT)
    if times == 2:
        time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 130, err
    assert '"interrupted"' in out
    assert "Traceback" not in err
    assert running(where) == []
    ends_as_if_nothing_had_happened(where, finished[0])


def start(where: Place, *words: str) -> subprocess.Popen[str]:
    """The program, leading a process group as in a terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", "workbench", "run", str(where.file), *words, "--home", str(where.home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )


def strike(process: subprocess.Popen[str], where: Place, moment: Moment, number: signal.Signals) -> None:
    """Send a signal when the moment has come."""
    deadline = time.monotonic() + 200
    while process.poll() is None and time.monotonic() < deadline:
        journals = list(where.home.glob("studies/*/journal"))
        if journals and moment(journal.read(journals[0])):
            os.killpg(process.pid, number)
            return
        time.sleep(0.002)
    raise AssertionError(f"the moment never came: {process.communicate()}")


def ends_as_if_nothing_had_happened(where: Place, undisturbed: Place) -> None:
    ran = where.run()
    assert ran.status == 0, ran.err
    assert scores(where.outcome) == scores(undisturbed.outcome)
    told = workbench("ledger", "--verify", "--home", str(where.home), "--json").result
    assert told["verified"] is True
    assert [opening["look"] for opening in told["openings"]] == [1]
    assert running(where) == []
    assert consistent(where) == (24, 24)
    assert where.run().out == ran.out


def running(where: Place, storage: str = "", tracking: str = "") -> list[str]:
    """What MLflow and Optuna say is still under way."""
    import mlflow
    import optuna

    uri = tracking or f"sqlite:///{where.home}/mlflow.db"
    client = mlflow.MlflowClient(uri, uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = [run.info.run_name for run in client.search_runs(experiments, "attributes.status = 'RUNNING'")]
    shown = optuna_studies(where, storage)
    trials = [
        trial.number
        for name in optuna.get_all_study_names(shown)
        for trial in optuna.load_study(study_name=name, storage=shown).trials
        if trial.state == optuna.trial.TrialState.RUNNING
    ]
    return runs + [f"trial {number}" for number in trials]


def consistent(where: Place, storage: str = "", tracking: str = "") -> tuple[int, int]:
    """How many trials MLflow and Optuna have; each must be the one in the journal."""
    import mlflow
    import optuna

    trials = {trial.number: trial for trial in where.outcome.trials}
    uri = tracking or f"sqlite:///{where.home}/mlflow.db"
    client = mlflow.MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name("small").experiment_id
    children = [
        run
        for run in client.search_runs([experiment], max_results=1_000)
        if "mlflow.parentRunId" in run.data.tags
    ]
    for run in children:
        trial = trials[int(run.data.tags["trial"])]
        assert run.data.tags["state"] == trial.state
        assert run.data.metrics.get("validation_accuracy") == trial.value
    shown = optuna_studies(where, storage)
    study = optuna.load_study(study_name=where.outcome.study, storage=shown)
    for theirs in study.trials:
        assert theirs.state.name.lower() == trials[theirs.number].state
        assert theirs.params == dict(trials[theirs.number].params)
    return len(children), len(study.trials)
