"""The ledger of test openings: every look at every sealed test set, written down before it is taken.

    with ledger.opened(book, study=…, name=…, seal=…, rows=…, choice=…) as entry:
        if isinstance(entry, Opening):                         # nobody has scored this study: look
            data = unseal(sealed, opening=entry)
            entry = ledger.meet(book, entry, row_marks(data))  # known rows under another name?
            entry = ledger.record(book, entry, score(data))    # from here on it is Recorded
    entry.score

A look is up to three links of the chain (see `chain`): *opening* is committed before a row is loaded, *rows*
holds marks that recognize the rows, *score* is what came out. A study that was scored gets its record back
and never a second look. Rows that earlier openings met are met again as look 2, 3 … (`looks` says how they
are counted), also when an opening never got its score: whoever opened them may have seen them. A process that
dies between opening and score leaves the opening; the next call with the same choice finishes that look, and
it counts once. What a study says beforehand of its answer is a *declaration*, which belongs to no look.

Every opening is noted in the ledger of the user as well (see `user_ledger`), so that another home, a copy of
this one, or one whose database was deleted does not begin anew.

Several processes at once: one works, under a lock that its death releases; the others wait for the record.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from workbench.core.errors import StoreError
from workbench.core.provenance import user
from workbench.core.records import Declared, Opening, TestScore
from workbench.core.types import Array
from workbench.data.met import Table
from workbench.storage import database
from workbench.storage.ledger import chain, user_ledger
from workbench.storage.ledger.encounters import Rows, meetings, together
from workbench.storage.ledger.looks import (
    DECLARATION,
    LEAST,
    Look,
    Recorded,
    contradictions,
    numbered,
    pack_marks,
    read_declarations,
    read_looks,
    tried,
)
from workbench.storage.ledger.user_ledger import Meeting


@dataclass(frozen=True)
class Ledger:
    """Where the ledger is kept.

    url      `sqlite:///FILE` or `postgresql://…`; the ledger's tables stand beside others there
    witness  a text file outside the database that gets one line per entry; None: no witness
    shared   the witness of earlier versions, into which other ledgers wrote as well; read, and not written
    user     address of the ledger of the user; "off": there is none; None: it is not asked for
    """

    url: str
    witness: Path | None = None
    shared: Path | None = None
    user: str | None = None


@contextmanager
def opened(
    book: Ledger,
    *,
    study: str,
    name: str,
    seal: str,
    rows: int,
    choice: str,
    tries: Mapping[str, Any] | None = None,
    hand: bool = False,
) -> Iterator[Opening | Recorded]:
    """The right to look, committed; or the record of a study that was scored.

    Waits while another living process holds this study's look. `seal` and `choice` are fingerprints of the
    sealed rows and of the frozen choice. A study is the same when its id and its seal are; it gets its record
    back even when the choice has changed since (compare `Recorded.opening.choice`). Raises StoreError.

    tries  what was tried to come to the choice: configurations, seed, metric
    hand   rows that a user had predicted, and not a test set
    """
    engine = database.connect(book.url)
    with database.hold(engine, f"look:{study}"):
        with database.writing(engine) as connection:
            chain.create(connection)
            links = chain.links(connection)
            looks = read_looks(links)
            entry = _known([look for look in looks if _identity(look.opening) == (study, seal)], choice)
            link = None
            if entry is None:
                met = [look.number for look in looks if look.opening.seal == seal]
                lost = _lost(book, links)
                exposure = float(len(met) + _lost_looks(lost, seal))
                entry = Opening(study=study, seal=seal, choice=choice, look=numbered(exposure))
                content = {
                    "study": study,
                    "seal": seal,
                    "choice": choice,
                    "look": entry.look,
                    "name": name,
                    "rows": rows,
                    "met": met,
                    "who": user(),
                    "host": platform.node(),
                    "exposure": exposure,
                    "lost": lost,
                    "tries": dict(tries or {}),
                    "hand": hand,
                }
                link = chain.append(connection, "opening", study, content)
                links = [*links, link]
        _witness(book, link, seal)
        if isinstance(entry, Opening):
            mine = _find(read_looks(links), entry)
            first = next(link for link in links if link.number == mine.number)
            entry = replace(entry, remarks=user_ledger.note(book.user, mine.receipt, first, book.url))
        yield entry


def meet(
    book: Ledger,
    opening: Opening,
    marks: Array | Sequence[str],
    *,
    table: Table | None = None,
    others: Array | None = None,
) -> Opening:
    """The opening, with its look corrected for rows that were met under another seal.

    marks   [N] or [N, C] integers, or N strings: hashes that recognize a row, of C kinds. A row of any kind
            that is met again is met again (`data.marks`: one survives in a part of the rows, one rescaling)
    table   sketches of test and development rows, by which changed rows are recognized one by one
    others  marks of other rows of the same table: what those have in common is chance

    Call it when the rows are loaded and before they are scored. The marks are kept; a second call for the
    same look changes nothing. Raises StoreError.
    """
    rows = Rows(pack_marks(marks), None if others is None else pack_marks(others), table)
    kept = None if table is None else table.test.kept()
    with database.writing(database.connect(book.url)) as connection:
        links = chain.links(connection)
        looks = read_looks(links)
        mine = _find(looks, opening)
        if mine.marks is not None:
            return mine.opening
        lost = json.loads(next(link for link in links if link.number == mine.number).content).get("lost", [])
        own = meetings(connection, looks, mine, rows, counted=lambda look: look.number in mine.met)
        receipts = {look.receipt for look in looks}
        link: chain.Link | None = None

        def content(others: Sequence[Meeting], known: set[str], remark: str) -> dict[str, Any]:
            """What is found out, with what the ledger of the user knows and this one does not."""
            unseen = [entry for entry in lost if entry[0] not in known]
            met = [*own, *others]
            summary = together(rows, [encounter for _, encounter in met])
            again = _lost_looks(unseen, mine.opening.seal)
            exposure = summary.exposure + again
            same = any(seal == mine.opening.seal for _, seal in unseen)
            related = [look for look, each in met if max(each.share, each.reused_share) >= LEAST]
            return {
                "opening": mine.number,
                "look": numbered(exposure),
                "met": sorted(look.number for look, each in own if each.share >= LEAST),
                "whole": sorted(look.number for look, each in own if each.share >= 1 - LEAST),
                "exposure": exposure,
                "rows_opened_before": rows.n if same else summary.before,
                "rows_reused": summary.reused,
                "tried": tried([*related, mine]),
                "remarks": " ".join(filter(None, (remark, _told(lost)))),
                "kinds": len(rows.marks),
                **({} if kept is None else {"head": kept.head()}),
            }

        blobs = {"blob": rows.marks.tobytes()} | ({} if kept is None else {"codes": kept.codes.tobytes()})
        found = user_ledger.meet(book.user, mine, receipts, rows, blobs, content)
        found |= {name: chain.store_blob(connection, data) for name, data in blobs.items()}
        link = chain.append(connection, "rows", opening.study, found)
        met_again = _find(read_looks([*links, link]), opening).opening
    _witness(book, link)
    return met_again


def by_hand(
    book: Ledger, *, study: str, name: str, choice: str, marks: Array, table: Table | None
) -> Opening:
    """Note that a user had rows of a sealed test set predicted, targets in hand. Once for rows and a model.

    Raises StoreError.
    """
    seal = "by hand " + hashlib.sha256(np.sort(marks, axis=None).tobytes()).hexdigest()[:48]
    with opened(book, study=study, name=name, seal=seal, rows=len(marks), choice=choice, hand=True) as entry:
        assert isinstance(entry, Opening)  # such a look is never scored
        return meet(book, entry, marks, table=table)


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


def same_rows(book: Ledger, opening: Opening) -> list[Recorded]:
    """What was recorded of earlier openings that had all rows of this one, oldest first."""
    looks = openings(book)
    whole = set(_find(looks, opening).whole)
    return [look.recorded for look in looks if look.number in whole and look.recorded is not None]


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
            seen = [line for file in (book.witness, book.shared) for line in chain.witness_lines(file)]
            gone = [f"{book.witness}: {len(seen)} entries were seen, but the ledger is gone"] if seen else []
            return gone + user_ledger.verify(book.user, book.url, set())
        links = chain.links(connection)
        found = chain.findings(connection) + chain.unlike_witness(links, book.witness, book.shared)
        found = found or contradictions(links)
        return found + user_ledger.verify(book.user, book.url, {link.hash for link in links})


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


# Number, hash, kind and, of an opening, its seal. Written after the commit: a crash in between leaves a line
# missing, which accuses nobody.
def _witness(book: Ledger, link: chain.Link | None, seal: str = "") -> None:
    if book.witness is None or link is None:
        return
    try:
        book.witness.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(book.witness, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            line = f"{link.number} {link.hash} {link.kind} {seal.replace(' ', '_')}".rstrip()
            os.write(file, f"{line}\n".encode())
        finally:
            os.close(file)
    except OSError as error:
        raise StoreError(f"{book.witness}: {error.strerror}; check that it can be written") from error


def _lost(book: Ledger, links: Sequence[chain.Link]) -> list[list[str]]:
    """Openings that were seen and are in this ledger no more: receipt and seal ("" if unknown)."""
    here = {link.hash for link in links}
    seen = chain.seen_openings(links, book.witness, book.shared)
    seen |= user_ledger.receipts(book.user, book.url)
    return [[receipt, seal] for receipt, seal in sorted(seen.items()) if receipt not in here]


def _lost_looks(lost: Sequence[Sequence[str]], seal: str) -> int:
    """How often rows of this seal were opened by them; all of which nothing is known count once."""
    seals = [each for _, each in lost]
    return seals.count(seal) + ("" in seals)


def _told(lost: Sequence[object]) -> str:
    if not lost:
        return ""
    what = "1 opening that was" if len(lost) == 1 else f"{len(lost)} openings that were"
    return (
        f"This ledger lacks {what} seen before: it was moved or deleted, or an older copy was brought back. "
        "What is known of them is counted."
    )
