"""The ledger under real processes, killed ones among them, on SQLite and PostgreSQL."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.ledger_cases import LOOK, MARKS, book_in, confirm, score_of
from tests.helpers.servers import PASSWORD
from workbench.core.errors import StoreError
from workbench.core.records import Opening
from workbench.storage import ledger
from workbench.storage.ledger import Ledger


@pytest.fixture
def book(tmp_path: Path) -> Ledger:
    return book_in(tmp_path)


def _confirm_slowly(url: str, value: float, results: multiprocessing.Queue[tuple[float, int]]) -> None:
    book = Ledger(url)
    with ledger.opened(book, study="s", **LOOK) as entry:
        if isinstance(entry, Opening):
            time.sleep(0.3)
            entry = ledger.record(book, ledger.meet(book, entry, MARKS), score_of(entry, value))
    results.put((entry.score.value, int(entry.score.value == value)))


def _sixteen_at_once(url: str) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # imported once for all of them
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
from workbench.storage import ledger
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
