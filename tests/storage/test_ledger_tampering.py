"""The ledger tampered with: any change, removal or older copy is found."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.ledger_cases import book_in, confirm
from workbench.core.errors import StoreError
from workbench.storage import ledger
from workbench.storage.ledger import Ledger


@pytest.fixture
def book(tmp_path: Path) -> Ledger:
    return book_in(tmp_path)


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
    from workbench.storage import database
    from workbench.storage.ledger import chain

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
