"""The ledger of test openings: every look at every sealed test set, written down before it is taken.

    with ledger.opened(book, study=…, name=…, seal=…, rows=…, choice=…) as entry:
        if isinstance(entry, Opening):                         # nobody has scored this study: look
            data = unseal(sealed, opening=entry)
            entry = ledger.meet(book, entry, row_marks(data))  # known rows under another name?
            entry = ledger.record(book, entry, score(data))    # from here on it is Recorded
    entry.score

A look is up to three links of the chain (see `chain`): *opening* is committed before a row is loaded, *rows*
holds marks that recognize the rows, *score* is what came out. A study that was scored gets its record back
and never a second look. Rows that an earlier opening met are met again as look 2, 3 …, also when that opening
never got its score: whoever opened them may have seen them. A process that dies between opening and score
leaves the opening; the next call with the same choice finishes that look, and it counts once. What a study
says beforehand of its answer is a *declaration*, which belongs to no look.

Several processes at once: one works, under a lock that its death releases; the others wait for the record.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from workbench import chain, database
from workbench.errors import StoreError
from workbench.looks import (
    DECLARATION,
    Look,
    Recorded,
    contradictions,
    pack_marks,
    read_declarations,
    read_looks,
    shared_rows,
)
from workbench.provenance import user
from workbench.types import Array, Declared, Opening, TestScore

__all__ = [
    "SAME_ROWS",
    "Ledger",
    "Look",
    "Recorded",
    "declarations",
    "declare",
    "meet",
    "opened",
    "openings",
    "record",
    "scored",
    "verify",
]

#: Share of a test set's rows that an earlier opening must have met to make this one a further look.
SAME_ROWS = 0.5


@dataclass(frozen=True)
class Ledger:
    """Where the ledger is kept.

    url      `sqlite:///FILE` or `postgresql://…`; the ledger's tables stand beside others there
    witness  a text file outside the database that gets one line per entry; None: no witness
    """

    url: str
    witness: Path | None = None


@contextmanager
def opened(
    book: Ledger, *, study: str, name: str, seal: str, rows: int, choice: str
) -> Iterator[Opening | Recorded]:
    """The right to look, committed; or the record of a study that was scored.

    Waits while another living process holds this study's look. `seal` and `choice` are fingerprints of the
    sealed rows and of the frozen choice. A study is the same when its id and its seal are; it gets its record
    back even when the choice has changed since (compare `Recorded.opening.choice`). Raises StoreError.
    """
    engine = database.connect(book.url)
    with database.hold(engine, f"look:{study}"):
        with database.writing(engine) as connection:
            chain.create(connection)
            looks = read_looks(chain.links(connection))
            entry = _known([look for look in looks if _identity(look.opening) == (study, seal)], choice)
            link = None
            if entry is None:
                met = [look.number for look in looks if look.opening.seal == seal]
                entry = Opening(study=study, seal=seal, choice=choice, look=len(met) + 1)
                origin = {"name": name, "rows": rows, "met": met, "who": user(), "host": platform.node()}
                link = chain.append(connection, "opening", study, {**asdict(entry), **origin})
        _witness(book, link)
        yield entry


def meet(book: Ledger, opening: Opening, marks: Array | Sequence[str]) -> Opening:
    """The opening, with its look corrected for rows that were met under another seal.

    marks  [N] or [N, C] integers, or N strings: hashes that recognize a row, of C kinds. A row of any kind
           that is met again is met again (`data.marks`: one survives in a part of the rows, one rescaling)

    Call it when the rows are loaded and before they are scored. The marks are kept; a second call for the
    same look changes nothing. Raises StoreError.
    """
    with database.writing(database.connect(book.url)) as connection:
        looks = read_looks(chain.links(connection))
        mine = _find(looks, opening)
        if mine.marks is not None:
            return mine.opening
        packed = pack_marks(marks)
        shares = {
            look.number: shared_rows(packed, _marks(connection, look))
            for look in looks
            # One of the same seal was counted at the opening: by this look, or this look by the later one.
            if look.marks is not None and look.opening.seal != opening.seal
        }
        met = sorted({*mine.met, *(number for number, share in shares.items() if share >= SAME_ROWS)})
        content = {
            "opening": mine.number,
            "look": len(met) + 1,
            "met": met,
            "share": max(shares.values(), default=0.0),
            "blob": chain.store_blob(connection, packed.tobytes()),
            "kinds": len(packed),
        }
        link = chain.append(connection, "rows", opening.study, content)
    _witness(book, link)
    return replace(opening, look=len(met) + 1)


def record(
    book: Ledger, opening: Opening, score: TestScore, extra: Mapping[str, Any] | None = None
) -> Recorded:
    """Write the score of an opening. The first one stands: where there is one already, it is returned.

    `extra` is anything that JSON can say: scores per seed, comparisons, a digest of the predictions. Raises
    StoreError, and ValueError for a score whose look is not the opening's.
    """
    with database.writing(database.connect(book.url)) as connection:
        mine = _find(read_looks(chain.links(connection)), opening)
        if mine.recorded is not None:
            return mine.recorded
        if score.look != mine.opening.look:
            raise ValueError(f"the score says look {score.look}, the ledger look {mine.opening.look}")
        content = {"opening": mine.number, "score": asdict(score), "extra": dict(extra or {})}
        link = chain.append(connection, "score", opening.study, content)
    _witness(book, link)
    # Through JSON, so that the first caller and every later one are given the same values.
    return Recorded(mine.opening, score, json.loads(link.content)["extra"], link.time, link.hash)


def scored(book: Ledger, study: str) -> Recorded | None:
    """The latest score of a study; None when it has none. Raises StoreError."""
    records = [look.recorded for look in openings(book) if look.opening.study == study]
    return next((record for record in reversed(records) if record is not None), None)


def declare(
    book: Ledger,
    study: str,
    *,
    question: str,
    rule: str,
    smallest_gain: float | None,
    fingerprint: str,
    trials: int,
) -> tuple[Declared, ...]:
    """Write down what a study says beforehand, if that is new; all that it has said, oldest first.

    A study that never asked for a gain says nothing. Raises StoreError.

    trials  that have finished by now
    """
    known = declarations(book, study)
    if known[-1].fingerprint == fingerprint if known else smallest_gain is None:
        return known
    with database.writing(database.connect(book.url)) as connection:
        chain.create(connection)
        opened = any(look.opening.study == study for look in read_looks(chain.links(connection)))
        said = Declared(question, rule, smallest_gain, fingerprint, trials, opened)
        link = chain.append(connection, DECLARATION, study, asdict(said))
    _witness(book, link)
    return (*known, said)


def declarations(book: Ledger, study: str) -> tuple[Declared, ...]:
    """What a study has said beforehand, oldest first. Raises StoreError."""
    with database.reading(database.connect(book.url)) as connection:
        if connection is None or not chain.exists(connection):
            return ()
        return read_declarations(chain.links(connection), study)


def openings(book: Ledger) -> list[Look]:
    """Every opening, oldest first. Raises StoreError."""
    with database.reading(database.connect(book.url)) as connection:
        if connection is None or not chain.exists(connection):
            return []
        return read_looks(chain.links(connection))


def verify(book: Ledger) -> list[str]:
    """One sentence per sign of tampering; empty when the chain is whole.

    `chain` says what is found and what cannot be. Raises StoreError where the database cannot be read.
    """
    with database.reading(database.connect(book.url)) as connection:
        if connection is None or not chain.exists(connection):
            seen = chain.witness_lines(book.witness)
            return [f"{book.witness}: {len(seen)} entries were seen, but the ledger is gone"] if seen else []
        found = chain.findings(connection) + chain.unlike_witness(connection, book.witness)
        return found or contradictions(chain.links(connection))


def _known(mine: list[Look], choice: str) -> Opening | Recorded | None:
    for look in reversed(mine):
        if look.recorded is not None:
            return look.recorded
    return next((look.opening for look in mine if look.opening.choice == choice), None)


def _find(looks: list[Look], opening: Opening) -> Look:
    for look in looks:
        if (*_identity(look.opening), look.opening.choice) == (*_identity(opening), opening.choice):
            return look
    raise StoreError(f"ledger: study {opening.study} has no such opening, expected one made by `opened`")


def _identity(opening: Opening) -> tuple[str, str]:
    return opening.study, opening.seal


def _marks(connection: sa.Connection, look: Look) -> Array:
    """[C, N], as `pack_marks` made them; of no rows where somebody removed them."""
    stored = chain.load_blob(connection, look.marks or "") or b""
    return np.frombuffer(stored, "<u8").reshape(look.kinds, -1)


# Written after the commit: a crash in between leaves a line missing, which accuses nobody.
def _witness(book: Ledger, link: chain.Link | None) -> None:
    if book.witness is None or link is None:
        return
    try:
        book.witness.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(book.witness, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, f"{link.number} {link.hash}\n".encode())
        finally:
            os.close(file)
    except OSError as error:
        raise StoreError(f"{book.witness}: {error.strerror}; check that it can be written") from error
