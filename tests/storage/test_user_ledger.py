"""The ledger of the user beside those of homes: other homes, copies, deleted and older ledgers."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.ledger_cases import LOOK, confirm
from workbench.storage import ledger
from workbench.storage.ledger import Ledger, user_ledger


@pytest.fixture
def user(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/user/openings.db"


def home(folder: Path, name: str, user: str | None) -> Ledger:
    place = folder / name
    place.mkdir(exist_ok=True)
    return Ledger(f"sqlite:///{place}/workbench.db", place / "ledger-home.witness", None, user)


def test_another_home_is_a_further_look(tmp_path: Path, user: str) -> None:
    a, b = (home(tmp_path, name, user) for name in "ab")
    assert [confirm(book, "s").score.look for book in (a, b, a, b)] == [1, 2, 1, 2]
    score = confirm(home(tmp_path, "c", user), "t", seal="seal-c").score
    assert score.look == 3
    assert ledger.openings(home(tmp_path, "c", user))[0].opening.rows_opened_before == 100
    for book in (a, b):
        assert ledger.verify(book) == []
    assert confirm(home(tmp_path, "d", None), "s").score.look == 1


def test_a_copied_home_is_known_by_its_openings(tmp_path: Path, user: str) -> None:
    confirm(home(tmp_path, "a", user), "s")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    copy = home(tmp_path, "b", user)
    assert confirm(copy, "s").score.look == 1  # the record
    assert confirm(copy, "t").score.look == 2
    assert confirm(home(tmp_path, "a", user), "u").score.look == 3
    assert ledger.verify(copy) == []


def test_an_opening_that_was_not_noted_is_noted_when_it_is_finished(tmp_path: Path, user: str) -> None:
    with ledger.opened(home(tmp_path, "a", None), study="s", **LOOK):
        pass  # as if it had died between the two
    assert confirm(home(tmp_path, "a", user), "s").score.look == 1
    assert confirm(home(tmp_path, "b", user), "s").score.look == 2


@pytest.mark.parametrize("noted", [True, False])
def test_a_deleted_ledger_and_an_older_one_are_counted(tmp_path: Path, user: str, noted: bool) -> None:
    book = home(tmp_path, "a", user if noted else None)
    file = tmp_path / "a" / "workbench.db"
    confirm(book, "s")
    shutil.copy(file, tmp_path / "old.db")
    confirm(book, "t")
    shutil.copy(tmp_path / "old.db", file)
    assert ledger.verify(book)
    assert confirm(book, "u").score.look == 3
    assert "lacks 1 opening" in ledger.openings(book)[-1].opening.remarks
    file.unlink()
    assert "gone" in ledger.verify(book)[0]
    assert confirm(book, "v").score.look == 4
    assert "lacks 3 openings" in ledger.openings(book)[-1].opening.remarks
    assert ledger.verify(book)


def test_a_lost_ledger_accuses_no_other_rows(tmp_path: Path) -> None:
    book = home(tmp_path, "a", None)
    confirm(book, "s")
    (tmp_path / "a" / "workbench.db").unlink()
    other = [f"other {n}" for n in range(100)]
    assert confirm(book, "t", seal="seal-t", marks=other).score.look == 1


def test_a_user_ledger_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "text.db").write_text("this is not a database, it is a text of some length " * 20)
    for address, words in (
        ("off", "it is switched off"),
        (f"sqlite:///{tmp_path}/file/below.db", "below.db"),
        (f"sqlite:///{tmp_path}/text.db", "is not a database; WORKBENCH_LEDGER names another"),
    ):
        book = home(tmp_path, f"home-{len(address)}", address)
        confirm(book, "s")
        remark = ledger.openings(book)[0].opening.remarks
        assert remark.startswith("Looks of other homes are not counted")
        assert words in remark
        assert ledger.openings(book)[0].opening.look == 1


def test_rows_seen_by_hand_count_and_are_no_opening_of_the_study(tmp_path: Path, user: str) -> None:
    book = home(tmp_path, "a", user)
    marks = np.arange(100, dtype=np.uint64)[:, None]
    looks = [
        ledger.by_hand(book, study="s", name="rows.csv", choice=choice, marks=marks, table=None).look
        for choice in ("c1", "c1", "c2")
    ]
    assert looks == [1, 1, 2]
    assert [look.hand for look in ledger.openings(book)] == [True, True]
    assert ledger.scored(book, "s") is None
    assert confirm(book, "s", marks=marks).score.look == 3
    assert confirm(home(tmp_path, "b", user), "s", seal="z", marks=marks[:50]).score.look == 4
    assert ledger.verify(book) == []


def test_where_it_lies(tmp_path: Path) -> None:
    assert user_ledger.address({"WORKBENCH_LEDGER": "off"}) == "off"
    assert user_ledger.address({"WORKBENCH_LEDGER": f"{tmp_path}"}) == f"sqlite:///{tmp_path}/openings.db"
    assert user_ledger.address({"WORKBENCH_LEDGER": f"{tmp_path}/x.db"}) == f"sqlite:///{tmp_path}/x.db"
    assert user_ledger.address({"WORKBENCH_LEDGER": "postgresql://h/d"}) == "postgresql://h/d"
    assert user_ledger.address({}).endswith("workbench/openings.db")
