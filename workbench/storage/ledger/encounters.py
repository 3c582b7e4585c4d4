"""What earlier openings and the rows of a new test set have in common.

    rows = known(marks, table)                  of the new test set and of the rows that were trained on
    meeting = encounter(rows, earlier opening)  the share of the new test set that it opened
    summary = together(rows, meetings)          of all of them

An opening of the same seal opened all rows. Else rows are recognized one by one by their sketches
(`data.met`), and whole files by the marks of whole rows (`data.marks`), which alone are known of openings of
earlier versions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa

from workbench.core.types import Array
from workbench.data import sketches
from workbench.data.met import Table, comparable, met
from workbench.data.sketches import Sketch
from workbench.storage.ledger import chain
from workbench.storage.ledger.looks import Look, shared_rows

#: A single row may be met by chance, and makes no look.
_ALONE = 1.5
#: Share of the rows whose whole marks must agree that a file is known by them, where it is sketched as well.
_WHOLE = 0.5
#: Share of the rows that equal others of their own table from which whole marks tell no row from another.
_ALIKE = 0.05


class Rows(NamedTuple):
    """The rows of a new test set.

    marks   [C, N], of whole rows
    others  [C, M], of as many rows of its own table that are others: what they have in common is chance
    table   sketches of test and development rows; None: rows that nothing but marks is known of
    """

    marks: Array
    others: Array | None = None
    table: Table | None = None

    @property
    def n(self) -> int:
        """N."""
        return int(self.marks.shape[1])


class Encounter(NamedTuple):
    """With one earlier opening: the share of the test rows, which, and how many of these by chance.

    reused  the same of development rows, [D] bool
    """

    share: float
    rows: Array
    chance: float = 0.0
    reused: Array | None = None
    reused_share: float = 0.0
    reused_chance: float = 0.0


class Summary(NamedTuple):
    """Of all earlier openings."""

    exposure: float  # how often a row of this test set was opened before, on average
    before: int  # rows of this test set that were opened before
    reused: int  # development rows that were opened before


def encounter(rows: Rows, marks: Array, sketch: Sketch | None) -> Encounter:
    """With an opening of which the marks of whole rows [C, M] and perhaps a sketch are known."""
    whole, which = shared_rows(rows.marks, marks)
    if rows.table is None or sketch is None:
        return Encounter(whole, which)
    found = met(rows.table.test, sketch, rows.table)
    again = met(rows.table.development, sketch, rows.table)
    best = Encounter(found.share, found.rows, found.chance, again.rows, again.share, again.chance)
    if whole < _WHOLE or whole <= found.share:
        return best
    by_chance = 0.0 if rows.others is None else shared_rows(rows.marks, rows.others)[0]
    if by_chance > _ALIKE:
        return best
    return best._replace(share=whole, rows=which, chance=by_chance)


def meetings(
    connection: sa.Connection | None,
    looks: Sequence[Look],
    mine: Look,
    rows: Rows,
    *,
    counted: Callable[[Look], bool],
) -> list[tuple[Look, Encounter]]:
    """The openings that have something in common with the rows of one's own.

    counted  whether an opening of the same seal comes before one's own
    """
    found = []
    for look in looks:
        if look.opening.seal == mine.opening.seal:
            if look.receipt != mine.receipt and counted(look):
                found.append((look, Encounter(1.0, np.ones(rows.n, bool))))
        elif connection is not None and look.marks is not None and _related(rows, look):
            each = encounter(rows, *_fetched(connection, look))
            if each.share > 0 or each.reused_share > 0:
                found.append((look, each))
    return found


def together(rows: Rows, encounters: Sequence[Encounter]) -> Summary:
    """All of them; what one opening and another have in common is counted once among the rows."""
    test = [(each.share, each.rows, each.chance) for each in encounters]
    again = [
        (each.reused_share, each.reused, each.reused_chance) for each in encounters if each.reused is not None
    ]
    n_development = 0 if rows.table is None else rows.table.development.rows
    return Summary(
        exposure=float(sum(share for share, _, _ in test if share * rows.n > min(_ALONE, rows.n / 2))),
        before=_union(test, rows.n),
        reused=_union(again, n_development),
    )


def _union(parts: Sequence[tuple[float, Array, float]], n: int) -> int:
    """How many of n rows are in any part, less those that are there by chance."""
    known = [(share, rows, chance) for share, rows, chance in parts if share > 0]
    if not known or not n:
        return 0
    found = float(np.mean(np.logical_or.reduce([rows for _, rows, _ in known])))
    chance = 1 - float(np.prod([1 - chance for _, _, chance in known]))
    share = (found - chance) / (1 - chance) if chance < 1 else 0.0
    least, most = max(share for share, _, _ in known), min(1.0, sum(share for share, _, _ in known))
    return round(n * min(max(share, least), most))


def _related(rows: Rows, look: Look) -> bool:
    """Whether the rows of an opening may be among these: whether they are worth fetching."""
    if rows.table is None or not look.head:
        return True
    return look.rows == rows.n or comparable(rows.table.test.columns, sketches.read_head(look.head))


def _fetched(connection: sa.Connection, look: Look) -> tuple[Array, Sketch | None]:
    """Marks [C, M] and sketch of an opening's rows; of no rows where somebody removed them."""
    stored = chain.load_blob(connection, look.marks or "") or b""
    marks = np.frombuffer(stored, "<u8").reshape(look.kinds, -1)
    codes = chain.load_blob(connection, look.codes) if look.codes else None
    return marks, None if codes is None else sketches.read(look.head, codes, marks.shape[1])
