"""The ledger: one look per study, whatever is interleaved; errors of its database are one sentence."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.ledger_cases import LOOK, MARKS, book_in, confirm, score_of
from workbench.core.errors import StoreError
from workbench.core.records import Opening
from workbench.storage import ledger
from workbench.storage.ledger import Ledger


@pytest.fixture
def book(tmp_path: Path) -> Ledger:
    return book_in(tmp_path)


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
        (MARKS[:20] + [f"new {n}" for n in range(80)], 2),
        (MARKS[:1] + [f"new {n}" for n in range(99)], 1),  # one row in a hundred
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


def test_shares_of_rows_add_up_over_openings(book: Ledger) -> None:
    for study, first in (("a", 0), ("b", 30), ("c", 60)):
        assert confirm(book, study, seal=f"seal-{study}", marks=MARKS[first : first + 30]).score.look == 1
    assert confirm(book, "d", seal="seal-d").score.look == 2  # 30 % and 30 % and 30 %
    look = ledger.openings(book)[-1]
    assert (look.exposure, look.opening.rows_opened_before) == (pytest.approx(0.9), 90)
    assert (
        confirm(book, "e", seal="seal-e", marks=MARKS[:50]).score.look == 3
    )  # two of three opened them, and d
    assert confirm(book, "f", seal="seal-f", marks=MARKS[90:]).score.look == 2
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
        (lambda rows: np.concatenate([rows[:20], rows[:30] + 9.0]), 2),
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
    monkeypatch.setattr("workbench.storage.database.BUSY_SECONDS", 0.2)
    other = sqlite3.connect(book.url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="database is locked; another process"):
        confirm(book, "b")
    other.close()
    assert confirm(book, "b").score.look == 2
