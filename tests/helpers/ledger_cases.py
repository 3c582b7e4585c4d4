"""A ledger and its openings, as the tests of the ledger share them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.core.records import Opening, TestScore
from workbench.storage import ledger
from workbench.storage.ledger import Ledger
from workbench.storage.ledger.looks import Recorded

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


def book_in(folder: Path) -> Ledger:
    """An empty ledger with its witness."""
    return Ledger(f"sqlite:///{folder}/home/workbench.db", witness=folder / "home" / "ledger.seen")
