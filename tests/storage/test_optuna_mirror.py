"""The Optuna study that is written behind: against what Optuna itself writes and reads."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import TrialState

from tests.helpers.mirror_cases import (
    BEST,
    DISTRIBUTIONS,
    ENDINGS,
    STUDY,
    Where,
    check_everything,
    in_training,
    load,
    open_study,
    record,
    store,
)
from tests.helpers.servers import wait
from workbench.storage import optuna_mirror


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def test_optuna_reads_back_everything(where: Where) -> None:
    mirror = store(where)
    mirror.put(reversed(ENDINGS))
    assert mirror.close(20) == 0
    check_everything(where)


def test_moments_are_those_of_the_record(where: Where) -> None:
    mirror = store(where)
    mirror.put([record(0, seconds=20.0, finished=1_700_000_000.25), record(1, seconds=3.0, finished=0.0)])
    mirror.close(20)
    first, silent = load(where)
    assert first.datetime_start is not None
    assert first.datetime_complete is not None
    assert first.datetime_start.timestamp() == pytest.approx(1_699_999_980.25)
    assert first.datetime_complete.timestamp() == pytest.approx(1_700_000_000.25)
    assert silent.datetime_complete is not None
    assert time.time() - 60 <= silent.datetime_complete.timestamp() <= time.time() + 1
    assert silent.duration is not None
    assert silent.duration.total_seconds() == pytest.approx(3)


def test_replay_changes_nothing(where: Where) -> None:
    for until in (3, 8, 8):
        mirror = store(where)
        mirror.put(ENDINGS[:until])
        mirror.put(ENDINGS[:until])
        mirror.choose(BEST)
        assert mirror.close(20) == 0
        found = load(where)
        assert [trial.number for trial in found] == list(range(until))
        size = where.stat().st_size if isinstance(where, Path) else 0
    mirror = store(where)
    mirror.put(ENDINGS)
    mirror.choose(BEST)
    assert mirror.close(20) == 0
    again = load(where)
    assert [(t.number, t._trial_id, t.datetime_complete) for t in again] == [
        (t.number, t._trial_id, t.datetime_complete) for t in found
    ]
    assert size == (where.stat().st_size if isinstance(where, Path) else 0)


def test_numbers_hold_when_trials_arrive_in_disorder(where: Where) -> None:
    mirror = store(where)
    for numbers, unwritten in (([9, 3], 2), ([0, 7, 5], 4), ([8], 5), ([1, 2, 4, 6], 0)):
        mirror.put(record(number) for number in numbers)
        assert mirror.flush(20 if unwritten == 0 else 0.7) == unwritten
    mirror.close(20)
    trials = load(where)
    assert [trial.number for trial in trials] == list(range(10))
    assert all(trial.params == dict(record(trial.number).params) for trial in trials)
    study = open_study(where)
    assert study.best_value == max(record(number).value or 0 for number in range(10))
    assert study.ask(DISTRIBUTIONS).number == 10  # Optuna counts on from there


def test_a_gap_holds_back_what_follows(where: Where) -> None:
    mirror = store(where)
    mirror.put([record(0), record(2), record(3)])
    assert mirror.flush(1) == 2
    assert [trial.number for trial in load(where)] == [0]
    mirror.put([record(1)])
    assert mirror.close(20) == 0
    trials = load(where)
    assert [trial.params for trial in trials] == [dict(record(number).params) for number in range(4)]


def test_more_than_a_batch(where: Where) -> None:
    mirror = store(where)
    count = 2 * optuna_mirror.BATCH + 7
    mirror.put(record(number) for number in range(count))
    assert mirror.close(60) == 0
    assert [trial.number for trial in load(where)] == list(range(count))


# ── trials in training ──


def test_trials_in_training_are_seen_with_their_rungs_and_end_as_the_others_do(where: Where) -> None:
    mirror = store(where)
    mirror.put([record(1), record(4)], in_training(0, 2, 3, 5))
    assert mirror.flush(20) == 0
    trials = load(where)
    assert [trial.number for trial in trials if trial.state == TrialState.RUNNING] == [0, 2, 3, 5]
    assert [trial.number for trial in trials if trial.state == TrialState.COMPLETE] == [1, 4]
    assert all(trial.params == dict(record(trial.number).params) for trial in trials)
    assert trials[2].intermediate_values == {6: record(2).rungs[6]}
    mirror.put([record(0)], in_training(2, 3, 5, rungs=2))
    assert mirror.flush(20) == 0
    assert dict(load(where)[3].intermediate_values) == dict([*record(3).rungs.items()][:2])
    mirror.put([record(2), record(3), record(5, state="failed", reason="error", value=None)], {})
    assert mirror.close(20) == 0
    trials = load(where)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 5 + [TrialState.FAIL]
    for trial in trials[:5]:
        source = record(trial.number)
        assert (trial.value, trial.intermediate_values) == (source.value, source.rungs)
        assert trial.user_attrs == optuna_mirror.attributes(source)
        trial._validate()


def test_trials_of_every_ending_that_were_seen_in_training(where: Where) -> None:
    mirror = store(where)
    mirror.put((), in_training(*range(len(ENDINGS)), rungs=0))
    mirror.flush(20)
    assert {trial.state for trial in load(where)} == {TrialState.RUNNING}
    mirror.put(ENDINGS, {})
    assert mirror.close(20) == 0
    check_everything(where)


def test_what_is_in_training_at_the_end_waits_for_the_next_run(where: Where) -> None:
    mirror = store(where)
    mirror.put([record(1)], in_training(0, 2))
    assert mirror.close(20) == 0
    waiting = [TrialState.WAITING, TrialState.COMPLETE, TrialState.WAITING]
    assert [trial.state for trial in load(where)] == waiting
    mirror = store(where)
    mirror.put([record(0), record(1)], in_training(2, rungs=2))
    assert mirror.flush(20) == 0
    assert [trial.state for trial in load(where)] == [TrialState.COMPLETE] * 2 + [TrialState.RUNNING]
    mirror.put([record(2)], {})
    assert mirror.close(20) == 0
    assert [trial.value for trial in load(where)] == [record(number).value for number in range(3)]


def test_trials_that_somebody_else_asked_for_are_left_alone(where: Where) -> None:
    mirror = store(where)
    mirror.put([record(0)], {})
    assert mirror.close(20) == 0
    open_study(where).ask(DISTRIBUTIONS)
    mirror = store(where)
    mirror.put([record(0)], {})
    assert mirror.close(20) == 0
    assert [trial.state for trial in load(where)] == [TrialState.COMPLETE, TrialState.RUNNING]


def test_what_a_killed_process_left_in_training_waits_when_the_next_one_ends(where: Where) -> None:
    killed = store(where)
    killed.put([record(1)], in_training(0, 2))
    assert killed.flush(20) == 0
    mirror = store(where)
    mirror.put([record(1)])
    assert mirror.close(20) == 0
    waiting = [TrialState.WAITING, TrialState.COMPLETE, TrialState.WAITING]
    assert [trial.state for trial in load(where)] == waiting
    killed.put([record(0), record(2)], {})
    assert killed.close(20) == 0


# ── the choice ──


def test_the_chosen_trial_is_named_and_why_it_is_not_the_best_one(where: Where) -> None:
    mirror = store(where)
    mirror.put(ENDINGS)
    mirror.choose(BEST)
    assert mirror.close(20) == 0
    study = open_study(where)
    assert study.best_trial.number == study.user_attrs["chosen trial"] == 4
    assert "Optuna's best" not in study.user_attrs["chosen"]
    mirror = store(where)
    mirror.choose(replace(BEST, trial=7, rule="beyond-noise"))
    assert mirror.close(20) == 0
    study = open_study(where)
    assert study.user_attrs["chosen trial"] == 7
    assert "beyond-noise" in study.user_attrs["chosen"]
    assert "Optuna's best trial is 4" in study.user_attrs["chosen"]


# ── journal files that were damaged, lost or locked by the dead ──


def filled(file: Path) -> None:
    mirror = store(file)
    mirror.put(record(number) for number in range(12))
    assert mirror.close(20) == 0


@pytest.mark.parametrize("bytes_lost", [1, 15, 700])
def test_a_torn_file_is_cut_and_written_again(file: Path, bytes_lost: int) -> None:
    filled(file)
    whole = load(file)
    with file.open("r+b") as log:
        log.truncate(file.stat().st_size - bytes_lost)
    heard: list[str] = []
    mirror = store(file, heard=heard)
    mirror.put(record(number) for number in range(14))
    assert mirror.close(20) == 0
    assert [trial.number for trial in load(file)] == list(range(14))
    assert [trial.params for trial in load(file)[:12]] == [trial.params for trial in whole]
    assert len(heard) == 1
    assert str(file) in heard[0]


@pytest.mark.parametrize("damage", ["a torn line that was written on", "bytes", "an unknown record"])
def test_a_file_that_optuna_cannot_read_is_written_again(file: Path, damage: str) -> None:
    filled(file)
    lines = file.read_bytes().splitlines(keepends=True)
    if damage == "bytes":
        lines[5] = b"\xff\x00" * 20 + b"\n"
    elif damage == "an unknown record":
        lines[5] = b'{"op_code":77,"worker_id":"x"}\n'
    else:
        lines[5] = lines[5][:-15]
    file.write_bytes(b"".join(lines))
    with pytest.raises((ValueError, AssertionError)):
        load(file)
    heard: list[str] = []
    mirror = store(file, heard=heard)
    mirror.put(record(number) for number in range(12))
    assert mirror.close(20) == 0
    assert [trial.params for trial in load(file)] == [dict(record(number).params) for number in range(12)]
    assert "damaged" in heard[0]


@pytest.mark.parametrize("how", ["lost", "torn"])
def test_a_file_that_is_lost_or_torn_while_it_is_written(file: Path, how: str) -> None:
    mirror = store(file)
    mirror.put([record(0), record(1)], in_training(2))
    assert mirror.flush(20) == 0
    if how == "lost":
        file.unlink()
    else:
        with file.open("ab") as log:
            log.write(b'{"op_code":')
    mirror.put([record(2), record(3)], {})
    assert mirror.close(20) == 0
    assert [trial.params for trial in load(file)] == [dict(record(number).params) for number in range(4)]


def test_a_lock_that_the_dead_left_is_broken(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled(file)
    file.with_name("optuna.log.lock").touch()
    mirror = store(file)
    mirror.put(record(number) for number in range(13))
    assert mirror.close(20) == 0
    assert len(load(file)) == 13


# ── databases that are locked or away ──


def test_a_locked_database_holds_up_nothing_and_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optuna_mirror, "BUSY_SECONDS", 0.3)
    url, heard = f"sqlite:///{tmp_path / 'optuna.db'}", []
    mirror = store(url, heard=heard)
    assert mirror.flush(20) == 0
    with sqlite3.connect(tmp_path / "optuna.db", isolation_level=None) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        began = time.perf_counter()
        mirror.put([record(0)])
        assert time.perf_counter() - began < 1.0  # it does not wait for the lock
        assert mirror.flush(2.5) == 1
        wait(lambda: bool(heard), 60)  # Optuna itself tries five times
        lock.execute("ROLLBACK")
    assert mirror.close(60) == 0
    assert len(heard) == 1
    assert "locked" in heard[0]
    assert len(load(url)) == 1


def test_a_database_that_cannot_be_made_yet(tmp_path: Path) -> None:
    heard: list[str] = []
    (tmp_path / "later").touch()  # a file where its folder will be
    mirror = store(f"sqlite:///{tmp_path / 'later' / 'optuna.db'}", heard=heard)
    mirror.put([record(0)])
    assert mirror.flush(0.5) == 1
    (tmp_path / "later").unlink()
    assert mirror.close(20) == 0
    assert len(heard) == 1
    assert len(load(f"sqlite:///{tmp_path / 'later' / 'optuna.db'}")) == 1


def test_a_dead_server_is_told_without_its_password() -> None:
    heard: list[str] = []
    mirror = store("postgresql://me:s3cr3t@127.0.0.1:1/x", heard=heard)
    mirror.put([record(0)])
    began = time.perf_counter()
    assert mirror.close(1.0) == 1
    assert time.perf_counter() - began < 15
    assert len(heard) == 1
    assert "s3cr3t" not in heard[0]
    assert "127.0.0.1" in heard[0]


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql+nodriver://me:s3cr3t@h/x", "postgresql+nodriver://me:s3cr3t@h/x"]
)
def test_an_address_that_can_never_work_is_given_up(url: str) -> None:
    heard: list[str] = []
    mirror = store(url, heard=heard)
    mirror.put([record(0)])
    assert mirror.close(20) == 1
    assert len(heard) == 1
    assert "s3cr3t" not in heard[0]
    assert "\n" not in heard[0]


def test_another_direction_is_told(where: Where) -> None:
    store(where).close(20)
    heard: list[str] = []
    other = store(where, replace(STUDY, direction="minimize"), heard)
    other.put([record(0)])
    assert other.close(20) == 1
    assert "direction maximize" in heard[0]
    assert load(where) == []


def test_tables_of_another_version_are_told(url: str) -> None:
    store(url).close(20)
    with sa.create_engine(url).begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'v9'")
    heard: list[str] = []
    mirror = store(url, heard=heard)
    mirror.put([record(0)])
    assert mirror.close(20) == 1
    assert "no longer compatible" in heard[0]


def test_a_storage_that_optuna_made_is_used(where: Where) -> None:
    theirs = JournalStorage(JournalFileBackend(str(where))) if isinstance(where, Path) else where
    optuna.create_study(storage=theirs, study_name="theirs").ask(DISTRIBUTIONS)
    mirror = store(where)
    mirror.put(ENDINGS)
    assert mirror.close(20) == 0
    check_everything(where)
    assert sorted(optuna.get_all_study_names(theirs)) == ["s", "theirs"]
    assert len(load(where, "theirs")) == 1


def test_attributes_of_the_study_are_brought_up_to_date(where: Where) -> None:
    store(where).close(20)
    open_study(where).set_user_attr("mine", 1)
    store(where, replace(STUDY, question="what?")).close(20)
    assert open_study(where).user_attrs == {"question": "what?", "mine": 1}


def test_frozen_trials_are_valid() -> None:
    for ending in ENDINGS:
        optuna_mirror.frozen(ending, DISTRIBUTIONS)._validate()
