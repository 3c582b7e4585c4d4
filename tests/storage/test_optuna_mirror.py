"""The Optuna study that is written behind: against what Optuna itself writes and reads."""

from __future__ import annotations

import multiprocessing
import sqlite3
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import sqlalchemy as sa
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from tests.helpers.servers import LEFT_OPEN
from workbench.core.errors import StoreError
from workbench.core.records import Curves, TrialRecord
from workbench.core.types import Choice, Range
from workbench.storage.optuna_mirror import Storage, reap
from workbench.storage.optuna_mirror import rows as storage_rows
from workbench.storage.optuna_mirror import trials as storage_trials

AXES = {
    "depth": Range(1, 3, integer=True),
    "width": Range(16, 256, log=True, integer=True),
    "activation": Choice(("relu", "tanh")),
    "batch_size": Choice((32, 64, 128)),
    "bias": Choice((True, False)),
    "learning_rate": Range(1e-4, 1e-1, log=True),
    "dropout": Range(0.0, 0.5, step=0.1),
}
DISTRIBUTIONS = {
    "depth": IntDistribution(1, 3),
    "width": IntDistribution(16, 256, log=True),
    "activation": CategoricalDistribution(("relu", "tanh")),
    "batch_size": CategoricalDistribution((32, 64, 128)),
    "bias": CategoricalDistribution((True, False)),
    "learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
    "dropout": FloatDistribution(0.0, 0.5, step=0.1),
}
NOTHING = Curves(*(np.zeros(0, np.float32),) * 3)


def record(number: int, **changes: Any) -> TrialRecord:
    rng = np.random.default_rng(number)
    fields: dict[str, Any] = {
        "number": number,
        "params": {
            "depth": int(rng.integers(1, 4)),
            "width": int(rng.integers(16, 257)),
            "activation": str(rng.choice(["relu", "tanh"])),
            "batch_size": int(rng.choice([32, 64, 128])),
            "bias": bool(rng.integers(2)),
            "learning_rate": float(np.exp(rng.uniform(np.log(1e-4), np.log(1e-1)))),
            "dropout": round(0.1 * int(rng.integers(6)), 1),
        },
        "state": "complete",
        "reason": "finished",
        "value": float(rng.uniform()),
        "epochs": 50,
        "best_epoch": 31,
        "curves": NOTHING,
        "seed": number,
        "recipe": "a1b2",
        "seconds": 1.5,
        "rungs": {6: float(rng.uniform()), 17: float(rng.uniform()), 50: float(rng.uniform())},
        "finished": 1_700_000_000.0 + number,
    }
    return TrialRecord(**(fields | changes))


#: Every way in which a trial can end, with the values that databases and Optuna find hard.
ENDINGS = [
    record(0),
    record(1, state="pruned", reason="pruned", epochs=6, rungs={6: 0.1}),
    record(2, state="pruned", reason="diverged", value=None, rungs={6: float("nan")}),
    record(3, state="failed", reason="error", value=None, rungs={}),
    record(4, value=float("inf"), rungs={1: float("inf"), 2: float("-inf")}),
    record(5, value=float("nan")),
    record(6, value=None, best_epoch=0),
    record(7, state="complete", reason="early stopped", value=float(np.float32(0.1))),
]
STATES = [
    TrialState.COMPLETE,
    TrialState.PRUNED,
    TrialState.PRUNED,
    TrialState.FAIL,
    TrialState.COMPLETE,
    TrialState.PRUNED,
    TrialState.PRUNED,
    TrialState.COMPLETE,
]


def store(url: str, *, name: str = "s", heard: list[str] | None = None, **attrs: Any) -> Storage:
    return Storage(url, name, "maximize", AXES, attrs, tell=print if heard is None else heard.append)


def load(url: str, name: str = "s") -> list[FrozenTrial]:
    return optuna.load_study(study_name=name, storage=url).get_trials(deepcopy=False)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'optuna.db'}"


@pytest.fixture
def through_optuna(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_rows, "known", lambda: False)


def test_the_installed_optuna_is_the_known_one() -> None:
    assert storage_rows.known()
    assert optuna.storages.RDBStorage("sqlite:///:memory:").get_head_version() == storage_rows.HEAD


def check_everything(url: str) -> None:
    study = optuna.load_study(study_name="s", storage=url)
    assert study.direction.name == "MAXIMIZE"
    assert study.user_attrs == {"question": "why?", "trials": 8}
    trials = study.get_trials(deepcopy=False)
    assert [trial.number for trial in trials] == list(range(len(ENDINGS)))
    assert [trial.state for trial in trials] == STATES
    for trial, source in zip(trials, ENDINGS, strict=True):
        assert trial.params == dict(source.params)
        assert list(trial.params) == list(source.params)
        assert {name: type(value) for name, value in trial.params.items()} == {
            name: type(value) for name, value in source.params.items()
        }
        assert trial.distributions == DISTRIBUTIONS
        assert trial.user_attrs["reason"] == source.reason
        assert (trial.user_attrs["recipe"], trial.user_attrs["seed"]) == ("a1b2", source.number)
        assert trial.user_attrs["best_epoch"] == source.best_epoch
        assert trial.duration is not None
        assert trial.duration.total_seconds() == pytest.approx(1.5)
        np.testing.assert_array_equal(
            list(trial.intermediate_values.items()), [*source.rungs.items()] or np.zeros(0)
        )
        trial._validate()
    assert [trial.value for trial in trials] == [
        ENDINGS[0].value,
        ENDINGS[1].value,
        None,
        None,
        float("inf"),
        None,
        None,
        ENDINGS[7].value,
    ]


def test_optuna_reads_back_everything(url: str) -> None:
    storage = store(url, question="why?", trials=8)
    storage.put(ENDINGS)
    assert storage.close(20) == 0
    check_everything(url)


@pytest.mark.usefixtures("through_optuna")
def test_optuna_reads_back_everything_that_went_through_its_interface(url: str) -> None:
    storage = store(url, question="why?", trials=8)
    storage.put(reversed(ENDINGS))
    assert storage.close(20) == 0
    check_everything(url)


def rows(file: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every table but without the keys that count rows."""
    with sqlite3.connect(file) as connection:
        tables = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        found = {}
        for table in tables:
            cursor = connection.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in cursor.description]
            keep = [i for i, name in enumerate(names) if i > 0 or not name.endswith("_id")]
            found[table] = sorted((tuple(row[i] for i in keep) for row in cursor), key=repr)
    return found


def schema(file: Path) -> dict[str, str]:
    with sqlite3.connect(file) as connection:
        found = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {name: " ".join(sql.split()) for name, sql in found}


def test_rows_and_tables_equal_those_that_optuna_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, known in (("ours", True), ("optunas", False)):
        monkeypatch.setattr(storage_rows, "known", lambda known=known: known)
        storage = store(f"sqlite:///{tmp_path / name}.db", question="why?")
        storage.put(ENDINGS)
        assert storage.close(20) == 0
    assert schema(tmp_path / "ours.db") == schema(tmp_path / "optunas.db")
    assert rows(tmp_path / "ours.db") == rows(tmp_path / "optunas.db")


@pytest.mark.parametrize("known", [True, False])
def test_moments_are_those_of_the_record(url: str, known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_rows, "known", lambda: known)
    storage = store(url)
    storage.put([record(0, seconds=20.0, finished=1_700_000_000.25), record(1, seconds=3.0, finished=0.0)])
    storage.close(20)
    first, silent = load(url)
    assert first.datetime_start is not None
    assert first.datetime_complete is not None
    assert first.datetime_start.timestamp() == pytest.approx(1_699_999_980.25)
    assert first.datetime_complete.timestamp() == pytest.approx(1_700_000_000.25)
    assert silent.datetime_complete is not None
    assert time.time() - 60 <= silent.datetime_complete.timestamp() <= time.time() + 1
    assert silent.duration is not None
    assert silent.duration.total_seconds() == pytest.approx(3)


@pytest.mark.parametrize("known", [True, False])
def test_replay_changes_nothing(url: str, known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_rows, "known", lambda: known)
    for until in (3, 8, 8):
        storage = store(url)
        storage.put(ENDINGS[:until])
        storage.put(ENDINGS[:until])
        assert storage.close(20) == 0
        found = load(url)
        assert [trial.number for trial in found] == list(range(until))
    again = load(url)
    assert [(t.number, t._trial_id, t.datetime_complete) for t in again] == [
        (t.number, t._trial_id, t.datetime_complete) for t in found
    ]


def test_numbers_hold_when_trials_arrive_in_disorder(url: str) -> None:
    storage = store(url)
    for numbers in ([9, 3], [0, 7, 5], [8], [1, 2, 4, 6]):
        storage.put(record(number) for number in numbers)
        assert storage.flush(20) == 0
    storage.close(20)
    trials = load(url)
    assert [trial.number for trial in trials] == list(range(10))
    assert all(trial.params == dict(record(trial.number).params) for trial in trials)
    study = optuna.load_study(study_name="s", storage=url)
    assert study.best_value == max(record(number).value or 0 for number in range(10))
    assert study.ask(DISTRIBUTIONS).number == 10  # Optuna counts on from there


@pytest.mark.usefixtures("through_optuna")
def test_through_optuna_a_gap_holds_back_what_follows(url: str) -> None:
    storage = store(url)
    storage.put([record(0), record(2), record(3)])
    assert storage.flush(1) == 2
    assert [trial.number for trial in load(url)] == [0]
    storage.put([record(1)])
    assert storage.close(20) == 0
    trials = load(url)
    assert [trial.params for trial in trials] == [dict(record(number).params) for number in range(4)]


def test_more_than_a_batch(url: str) -> None:
    storage = store(url)
    count = 2 * storage_rows.BATCH + 7
    storage.put(record(number) for number in range(count))
    assert storage.close(30) == 0
    assert [trial.number for trial in load(url)] == list(range(count))


def test_a_locked_database_holds_up_nothing_and_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_rows, "BUSY_SECONDS", 1.5)
    url, heard = f"sqlite:///{tmp_path / 'optuna.db'}", []
    storage = store(url, heard=heard)
    assert storage.flush(20) == 0
    with sqlite3.connect(tmp_path / "optuna.db", isolation_level=None) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        began = time.perf_counter()
        storage.put([record(0)])
        assert time.perf_counter() - began < 1.0  # it does not wait for the lock
        assert storage.flush(2.5) == 1
        lock.execute("ROLLBACK")
    assert storage.close(30) == 0
    assert len(heard) == 1
    assert "locked" in heard[0]
    assert len(load(url)) == 1


def test_a_database_that_cannot_be_made_yet(tmp_path: Path) -> None:
    heard: list[str] = []
    storage = store(f"sqlite:///{tmp_path / 'later' / 'optuna.db'}", heard=heard)
    storage.put([record(0)])
    assert storage.flush(0.5) == 1
    (tmp_path / "later").mkdir()
    assert storage.close(20) == 0
    assert len(heard) == 1
    assert len(load(f"sqlite:///{tmp_path / 'later' / 'optuna.db'}")) == 1


def test_a_dead_server_is_told_without_its_password() -> None:
    heard: list[str] = []
    storage = store("postgresql://me:s3cr3t@127.0.0.1:1/x", heard=heard)
    storage.put([record(0)])
    began = time.perf_counter()
    assert storage.close(1.0) == 1
    assert time.perf_counter() - began < 15
    assert len(heard) == 1
    assert "s3cr3t" not in heard[0]
    assert "127.0.0.1" in heard[0]


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql+nodriver://me:s3cr3t@h/x", "postgresql+nodriver://me:s3cr3t@h/x"]
)
def test_an_address_that_can_never_work_is_given_up(url: str) -> None:
    heard: list[str] = []
    storage = store(url, heard=heard)
    storage.put([record(0)])
    assert storage.close(20) == 1
    assert len(heard) == 1
    assert "s3cr3t" not in heard[0]
    assert "\n" not in heard[0]


def test_another_direction_is_told(url: str) -> None:
    store(url).close(20)
    heard: list[str] = []
    other = Storage(url, "s", "minimize", AXES, tell=heard.append)
    other.put([record(0)])
    assert other.close(20) == 1
    assert "direction maximize" in heard[0]
    assert load(url) == []


def test_tables_of_another_version_are_left_to_optuna(url: str) -> None:
    store(url).close(20)
    with sa.create_engine(url).begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'v9'")
    heard: list[str] = []
    storage = store(url, heard=heard)
    storage.put([record(0)])
    assert storage.close(20) == 1
    assert "no longer compatible" in heard[0]


def test_a_database_that_optuna_made_is_used(url: str) -> None:
    optuna.create_study(storage=url, study_name="theirs")
    storage = store(url)
    storage.put(ENDINGS)
    assert storage.close(20) == 0
    assert len(load(url)) == len(ENDINGS)
    assert sorted(optuna.get_all_study_names(url)) == ["s", "theirs"]


def test_user_attributes_of_the_study_are_brought_up_to_date(url: str) -> None:
    store(url, a=1, b=[1, 2]).close(20)
    store(url, b="x").close(20)
    assert optuna.load_study(study_name="s", storage=url).user_attrs == {"a": 1, "b": "x"}


def _work(url: str, first: int, step: int, count: int, barrier: Any) -> None:
    barrier.wait()
    storage = store(url)
    for number in range(first, count, step):
        storage.put([record(number)])
    assert storage.close(60) == 0


def race(url: str, processes: int = 3, count: int = 60) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes)
    workers = [
        context.Process(target=_work, args=(url, i, processes - 1, count, barrier)) for i in range(processes)
    ]
    for worker in workers:  # the last one repeats trials of the first
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0] * processes
    trials = load(url)
    assert [trial.number for trial in trials] == list(range(count))
    assert all(trial.params == dict(record(trial.number).params) for trial in trials)


def test_processes_that_make_and_write_the_same_study(url: str) -> None:
    race(url)


def test_reap(url: str) -> None:
    assert reap(url, "s") == 0
    store(url).close(20)
    study = optuna.load_study(study_name="s", storage=url)
    for _ in range(3):
        study.ask(DISTRIBUTIONS)
    study.tell(1, 0.5)
    assert reap(url, "s", keep=[2]) == 1
    assert [trial.state for trial in load(url)] == [TrialState.FAIL, TrialState.COMPLETE, TrialState.RUNNING]
    assert reap(url, "s") == 1
    with pytest.raises(StoreError, match=r"no such|unable to open"):
        reap(url.replace("optuna.db", "no/optuna.db"), "s")


def test_frozen_trials_are_valid() -> None:
    for ending in ENDINGS:
        storage_trials.frozen(ending, DISTRIBUTIONS)._validate()


# ── PostgreSQL ──


@pytest.mark.slow
@LEFT_OPEN
def test_postgres(database: str) -> None:
    heard: list[str] = []
    storage = store(database, heard=heard, question="why?", trials=8)
    for ending in reversed(ENDINGS):
        storage.put([ending])
        storage.flush(20)
    storage.put(ENDINGS)
    unwritten = storage.close(20)
    assert heard == []
    assert unwritten == 0
    check_everything(database)
    optuna.delete_study(study_name="s", storage=database)
    race(database)
    study = optuna.load_study(study_name="s", storage=database)
    study.ask(DISTRIBUTIONS)
    assert reap(database, "s") == 1
