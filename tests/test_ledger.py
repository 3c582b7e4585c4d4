"""The ledger: one look per study whatever is interleaved, killed or tampered with; real processes."""

from __future__ import annotations

import multiprocessing
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.servers import PASSWORD
from workbench import ledger
from workbench.errors import StoreError
from workbench.ledger import Ledger, Recorded
from workbench.types import Opening, TestScore

MARKS = [f"row {number}" for number in range(100)]
LOOK = {"name": "digits", "seal": "seal-a", "rows": 100, "choice": "choice-a"}


def score_of(opening: Opening, value: float = 0.9) -> TestScore:
    return TestScore("accuracy", value, value - 0.05, value + 0.05, 100, opening.look)


def confirm(book: Ledger, study: str, value: float = 0.9, marks: Any = None, **changed: object) -> Recorded:
    """What `workbench confirm` does, less the model."""
    with ledger.opened(book, study=study, **{**LOOK, **changed}) as entry:
        if isinstance(entry, Recorded):
            return entry
        entry = ledger.meet(book, entry, MARKS if marks is None else marks)
        return ledger.record(book, entry, score_of(entry, value), {"value": value})


@pytest.fixture
def book(tmp_path: Path) -> Ledger:
    return Ledger(f"sqlite:///{tmp_path}/home/workbench.db", witness=tmp_path / "home" / "ledger.seen")


# ── what counts as a look ───────────────────────────────────────────────────────────────────────


def test_nothing_is_made_by_reading(book: Ledger, tmp_path: Path) -> None:
    assert ledger.openings(book) == []
    assert ledger.scored(book, "s") is None
    assert ledger.verify(book) == []
    assert list(tmp_path.iterdir()) == []


def test_the_same_study_gets_its_record_back(book: Ledger) -> None:
    first = confirm(book, "s", 0.9)
    again = confirm(book, "s", 0.7)
    assert first == again == ledger.scored(book, "s")
    assert (first.score.value, first.score.look, first.extra) == (0.9, 1, {"value": 0.9})
    assert len(ledger.openings(book)) == 1
    assert ledger.verify(book) == []


def test_a_changed_choice_of_a_scored_study_gets_the_old_record(book: Ledger) -> None:
    confirm(book, "s", 0.9)
    again = confirm(book, "s", 0.7, choice="choice-b")
    assert again.opening.choice == "choice-a"
    assert again.score.value == 0.9


def test_another_study_on_the_same_rows_is_a_further_look(book: Ledger) -> None:
    looks = [confirm(book, study).score.look for study in ("a", "b", "c", "a", "b")]
    assert looks == [1, 2, 3, 1, 2]
    assert [look.met for look in ledger.openings(book)] == [(), (1,), (1, 4)]
    assert ledger.verify(book) == []


def test_an_opening_without_a_score_counts(book: Ledger) -> None:
    with ledger.opened(book, study="a", **LOOK):
        pass
    assert confirm(book, "b").score.look == 2


def test_an_unfinished_look_is_finished_with_the_same_choice_and_numbered_with_another(book: Ledger) -> None:
    with ledger.opened(book, study="a", **LOOK) as entry:
        assert entry == Opening("a", "seal-a", "choice-a", 1)
    assert confirm(book, "a").score.look == 1
    with ledger.opened(book, study="b", **{**LOOK, "seal": "seal-b"}):
        pass
    assert confirm(book, "b", seal="seal-b", choice="choice-b", marks=["other"]).score.look == 2


@pytest.mark.parametrize(
    ("marks", "look"),
    [
        (MARKS[::-1], 2),  # reordered
        (MARKS[:50] + [f"new {n}" for n in range(50)], 2),
        (MARKS[:49] + [f"new {n}" for n in range(51)], 1),
        (MARKS[:7], 2),  # a part of the rows
        (["row 0"] * 100, 1),  # one known row repeated is not a hundred known rows
        ([f"new {n}" for n in range(100)], 1),
        ([], 1),
    ],
)
def test_rows_are_recognized_under_another_seal(book: Ledger, marks: list[str], look: int) -> None:
    confirm(book, "a")
    assert confirm(book, "b", seal="seal-b", marks=marks).score.look == look
    assert ledger.verify(book) == []


def test_a_look_is_counted_once_by_two_that_overlap_in_time(book: Ledger) -> None:
    with (
        ledger.opened(book, study="a", **LOOK) as a,
        ledger.opened(book, study="b", **{**LOOK, "seal": "z"}) as b,
    ):
        assert isinstance(a, Opening)
        assert isinstance(b, Opening)
        assert ledger.meet(book, b, MARKS).look == 1
        assert ledger.meet(book, a, MARKS).look == 2
        assert ledger.meet(book, a, MARKS).look == 2
    assert len({look.opening.look for look in ledger.openings(book)}) == 2


def test_integer_marks(book: Ledger) -> None:
    marks = np.arange(100, dtype=np.int64) - 50
    with ledger.opened(book, study="a", **LOOK) as entry:
        assert isinstance(entry, Opening)
        ledger.meet(book, entry, marks)
    with ledger.opened(book, study="b", **{**LOOK, "seal": "seal-b"}) as entry:
        assert isinstance(entry, Opening)
        assert ledger.meet(book, entry, marks[::-1]).look == 2


@pytest.mark.parametrize(
    ("changed", "look"),
    [
        (lambda rows: rows[:40], 2),  # a part of the rows: every place is another one
        (lambda rows: rows[::-1] * 2.54 + 32.0, 2),  # other units: every value is another one
        (lambda rows: rows[:, ::-1], 2),
        (lambda rows: np.concatenate([rows[:20], rows[:30] + 9.0]), 1),
        (lambda rows: np.random.default_rng(7).normal(size=rows.shape), 1),
    ],
)
def test_marks_of_two_kinds_recognize_by_either(
    book: Ledger, changed: Callable[[np.ndarray], np.ndarray], look: int
) -> None:
    from workbench.data.marks import row_marks  # here: the processes below import this file

    rows = np.random.default_rng(0).normal(size=(100, 3))
    confirm(book, "a", marks=row_marks(rows))
    assert confirm(book, "b", seal="seal-b", marks=row_marks(changed(rows))).score.look == look
    assert [look.kinds for look in ledger.openings(book)] == [2, 2]
    assert ledger.verify(book) == []


def test_marks_of_one_kind_meet_marks_of_two(book: Ledger) -> None:
    from workbench.data.marks import row_marks

    marks = row_marks(np.random.default_rng(0).normal(size=(100, 3)))
    looks = [
        confirm(book, study, seal=f"seal-{study}", marks=given).score.look
        for study, given in (("a", marks[:, 0]), ("b", marks), ("c", marks[::-1, :1]), ("d", marks[:0]))
    ]
    assert looks == [1, 2, 3, 1]


def test_the_first_score_stands_and_its_look_must_be_the_ledgers(book: Ledger) -> None:
    with ledger.opened(book, study="a", **LOOK) as entry:
        assert isinstance(entry, Opening)
        with pytest.raises(ValueError, match="look 3"):
            ledger.record(book, entry, replace(score_of(entry), look=3))
        first = ledger.record(book, entry, score_of(entry, 0.9))
        assert ledger.record(book, entry, score_of(entry, 0.8)) == first
    with pytest.raises(StoreError, match="no such opening"):
        ledger.record(book, replace(entry, study="never opened"), score_of(entry))


def test_scores_that_are_not_finite_are_kept(book: Ledger) -> None:
    value = confirm(book, "a", float("nan")).score.value
    assert np.isnan(value)
    kept = ledger.scored(book, "a")
    assert kept is not None
    assert np.isnan(kept.score.value)


# ── processes ───────────────────────────────────────────────────────────────────────────────────


def _confirm_slowly(url: str, value: float, results: multiprocessing.Queue[tuple[float, int]]) -> None:
    book = Ledger(url)
    with ledger.opened(book, study="s", **LOOK) as entry:
        if isinstance(entry, Opening):
            time.sleep(0.3)
            entry = ledger.record(book, ledger.meet(book, entry, MARKS), score_of(entry, value))
    results.put((entry.score.value, int(entry.score.value == value)))


def _sixteen_at_once(url: str) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    values = [number / 16 for number in range(16)]
    processes = [context.Process(target=_confirm_slowly, args=(url, value, results)) for value in values]
    for process in processes:
        process.start()
    got = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    assert len({value for value, _ in got}) == 1
    assert sum(own for _, own in got) == 1
    looks = ledger.openings(Ledger(url))
    assert [look.opening.look for look in looks] == [1]
    assert ledger.verify(Ledger(url)) == []


KILLED = """
import sys, time
from workbench import ledger
book = ledger.Ledger(sys.argv[1])
with ledger.opened(book, study="s", name="digits", seal="seal-a", rows=100, choice="choice-a") as entry:
    print(entry.look, flush=True)
    time.sleep(600)
"""


def _killed_between_opening_and_score(url: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=10)
    process.stdout.close()
    start = time.monotonic()
    recorded = confirm(Ledger(url), "s")
    assert time.monotonic() - start < 10  # nothing waits for a lease to run out
    assert recorded.score.look == 1
    assert [look.opening.look for look in ledger.openings(Ledger(url))] == [1]
    assert confirm(Ledger(url), "t").score.look == 2
    assert ledger.verify(Ledger(url)) == []


def test_sixteen_processes_make_one_opening(book: Ledger) -> None:
    _sixteen_at_once(book.url)


def test_a_killed_look_is_finished_and_counted_once(book: Ledger) -> None:
    _killed_between_opening_and_score(book.url)


@pytest.mark.slow
def test_postgres_sixteen_processes_make_one_opening(database: str) -> None:
    _sixteen_at_once(database)


@pytest.mark.slow
def test_postgres_a_killed_look_is_finished_and_counted_once(database: str) -> None:
    _killed_between_opening_and_score(database)


@pytest.mark.slow
def test_postgres_looks_tampering_and_refusal(database: str) -> None:
    import sqlalchemy as sa

    book = Ledger(database)
    assert ledger.openings(book) == []
    assert [confirm(book, study).score.look for study in ("a", "b", "a")] == [1, 2, 1]
    assert confirm(book, "c", seal="seal-c", marks=MARKS[::-1]).score.look == 3
    assert ledger.verify(book) == []
    engine = sa.create_engine(database, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        for statement in (
            "UPDATE workbench_ledger SET study = 'x'",
            "DELETE FROM workbench_ledger",
            "TRUNCATE workbench_ledger",
        ):
            with pytest.raises(sa.exc.DBAPIError, match="append-only"):
                connection.exec_driver_sql(statement)
        connection.exec_driver_sql("ALTER TABLE workbench_ledger DISABLE TRIGGER ALL")
        connection.exec_driver_sql("UPDATE workbench_ledger SET study = 'x' WHERE number = 2")
    assert ledger.verify(book) == ["entry 2: its content is not what was written"]


@pytest.mark.slow
def test_postgres_errors_are_sentences_without_the_password(postgres: str) -> None:
    wrong = postgres.replace(PASSWORD, "wrong-word")
    with pytest.raises(StoreError, match="password authentication failed") as caught:
        ledger.verify(Ledger(f"{wrong}/postgres"))
    assert "wrong-word" not in str(caught.value)


# ── tampering ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    folder = tmp_path_factory.mktemp("ledger")
    book = Ledger(f"sqlite:///{folder}/workbench.db", witness=folder / "ledger.seen")
    for number, study in enumerate("abc"):
        confirm(book, study, 0.5 + number / 10)
    confirm(book, "d", seal="seal-d", marks=["x", "y"])
    return book


def _tampered(whole: Ledger, statements: list[tuple[str, tuple[object, ...]]]) -> list[str]:
    source = Path(whole.url.removeprefix("sqlite:///"))
    copy = source.with_name("tampered.db")
    shutil.copy(source, copy)
    connection = sqlite3.connect(copy, isolation_level=None)
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    for statement, values in statements:
        connection.execute(statement, values)
    connection.close()
    return ledger.verify(Ledger(f"sqlite:///{copy}"))


COLUMNS = {
    "workbench_ledger": ("number", "kind", "study", "time", "content", "previous", "hash"),
    "workbench_ledger_head": ("id", "number", "hash"),
    "workbench_ledger_blobs": ("digest", "data"),
}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_single_change_of_any_stored_value_is_found(whole: Ledger, data: st.DataObject) -> None:
    table = data.draw(st.sampled_from(sorted(COLUMNS)))
    column = data.draw(st.sampled_from(COLUMNS[table]))
    connection = sqlite3.connect(whole.url.removeprefix("sqlite:///"))
    stored = connection.execute(f"SELECT rowid, {column} FROM {table}").fetchall()
    connection.close()
    row, old = data.draw(st.sampled_from(stored))
    new: object
    if isinstance(old, int):
        new = data.draw(st.integers(-3, 50).filter(lambda value: value not in {old, *(v for _, v in stored)}))
    else:
        place = data.draw(st.integers(0, len(old) - 1))
        other = data.draw(st.integers(1, 126))
        if isinstance(old, bytes):
            new = old[:place] + bytes([old[place] ^ other]) + old[place + 1 :]
        else:
            new = old[:place] + chr(other) + old[place + 1 :]
        if new == old:
            new = old + old[:1]
    assert _tampered(whole, []) == []
    assert _tampered(whole, [(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (new, row))])


@pytest.mark.parametrize(
    "statements",
    [
        ["DELETE FROM workbench_ledger WHERE number = 1"],
        ["DELETE FROM workbench_ledger WHERE number = 5"],
        ["DELETE FROM workbench_ledger WHERE number = (SELECT max(number) FROM workbench_ledger)"],
        ["DELETE FROM workbench_ledger"],
        ["DELETE FROM workbench_ledger_head"],
        ["DELETE FROM workbench_ledger_blobs"],
        ["INSERT INTO workbench_ledger_head SELECT 2, number, hash FROM workbench_ledger_head"],
        ["INSERT INTO workbench_ledger_blobs VALUES ('00', x'00')"],
        ["INSERT INTO workbench_ledger SELECT 99, kind, study, time, content, previous, hash "
         "FROM workbench_ledger WHERE number = 3"],
        # Two entries change places, and those after one that is removed are renumbered.
        ["UPDATE workbench_ledger SET number = 99 WHERE number = 4", "UPDATE workbench_ledger SET number = 4 "
         "WHERE number = 5", "UPDATE workbench_ledger SET number = 5 WHERE number = 99"],
        ["DELETE FROM workbench_ledger WHERE number = 6"]
        + [f"UPDATE workbench_ledger SET number = {n} WHERE number = {n + 1}" for n in range(6, 12)],
    ],
)  # fmt: skip
def test_removed_inserted_and_reordered_entries_are_found(whole: Ledger, statements: list[str]) -> None:
    assert _tampered(whole, [(statement, ()) for statement in statements])


def test_an_older_copy_of_the_database_is_seen_by_the_witness(book: Ledger, tmp_path: Path) -> None:
    file = Path(book.url.removeprefix("sqlite:///"))
    confirm(book, "a")
    shutil.copy(file, tmp_path / "old.db")
    confirm(book, "b")
    assert ledger.verify(book) == []
    shutil.copy(tmp_path / "old.db", file)
    assert len(ledger.verify(book)) == 3
    assert ledger.verify(Ledger(book.url)) == []  # what cannot be seen without a witness
    file.unlink()
    assert "gone" in ledger.verify(book)[0]


def test_the_database_itself_refuses_to_forget(whole: Ledger) -> None:
    connection = sqlite3.connect(whole.url.removeprefix("sqlite:///"))
    for statement in ("DELETE FROM workbench_ledger", "UPDATE workbench_ledger SET study = 'x'"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    connection.close()


def test_whole_links_that_tell_an_impossible_story(book: Ledger) -> None:
    from workbench import chain, database

    first = confirm(book, "a")
    engine = database.connect(book.url)
    content = {"opening": 1, "score": vars(first.score), "extra": {}}
    with database.writing(engine) as connection:
        chain.append(connection, "score", "a", content)
    assert ledger.verify(book) == ["entry 4: opening 1 has its score twice"]
    with database.writing(engine) as connection:
        chain.append(connection, "score", "a", {**content, "opening": 77})
    assert "entry 5" in ledger.verify(book)[0]
    with pytest.raises(StoreError, match="entry 5 cannot be read"):
        confirm(book, "z")


# ── storage errors ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "cannot keep the ledger"),
        ("sqlite:///:memory:", "cannot keep the ledger"),
        ("mysql://me:secret-word@host/db", "cannot keep the ledger"),
        ("nonsense secret", "not a database address"),
        ("postgresql://me:secret-word@127.0.0.1:1/db", "check that it can be reached"),
        ("postgresql://127.0.0.1:1/db?user=me&password=secret-word", "check that it can be reached"),
        ("postgresql://me:secret@word@[::1/db", "://"),
    ],
)
def test_an_address_that_cannot_serve_is_one_sentence(url: str, words: str) -> None:
    with pytest.raises(StoreError) as caught:
        confirm(Ledger(url), "s")
    assert words in str(caught.value)
    assert "secret-word" not in str(caught.value)
    assert "secret@word" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database_and_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is not a database, it is a text of some length " * 20)
    with pytest.raises(StoreError, match="not a database; restore"):
        confirm(Ledger(f"sqlite:///{tmp_path}/text.db"), "s")
    with pytest.raises(StoreError, match="check that it can be"):
        confirm(Ledger(f"sqlite:///{tmp_path}/text.db/below/workbench.db"), "s")


def test_a_database_that_stays_locked(book: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    confirm(book, "a")
    monkeypatch.setattr("workbench.database.BUSY_SECONDS", 0.2)
    other = sqlite3.connect(book.url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="database is locked; another process"):
        confirm(book, "b")
    other.close()
    assert confirm(book, "b").score.look == 2
