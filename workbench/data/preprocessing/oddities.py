"""Cells that are no numbers in a column of numbers: a total, a word for a value that is not there, "<0.1".

They count as blank if they are few, or say that there is no value. What decides are development rows.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.core.types import Array
from workbench.data.preprocessing.numerals import LEAST

#: Words for a value that is not there, in lower case, beside `cells.BLANKS`.
MISSING = (
    *("-", "--", "---", "—", "–", ".", "..", "...", "*", "x", "n.d.", "n.d", "nd", "n.a.", "n.a", "k.a."),
    *("k. a.", "s/d", "s.d.", "tbd", "missing", "unknown", "unbekannt", "blank", "(blank)", "undefined"),
    *("not available", "not known", "no data", "error", "total", "sum", "keine angabe", "nicht bekannt"),
    *("non disponible", "inconnu", "no disponible", "desconocido", "sin datos", "#nv"),
)
#: What programs write where a number cannot be worked out: #DIV/0! and #WERT! of spreadsheets, 1.#IND.
_FAILED = r"^(#[^ ]+[!?]|[+-]?1\.#(QNAN|SNAN|IND|INF))$"
#: A number of which only a limit is known: <0.1, >= 300.
CENSORED = r"^([<>≤≥]|<=|>=) ?[+-]?[0-9.,]"
#: Words that are no number may fill so much of a column; strange cells so much, and in columns of few
#: different numbers, which may be codes of classes, so much, if they hold no digit.
MOST_MISSING, MOST_STRANGE, FEW_STRANGE = 0.5, 0.1, 0.01
#: From so many different numbers on a column counts amounts.
MANY = 20


def oddities(text: pa.Array, values: Array, unread: Array) -> dict[str, int] | None:
    """The cells that are no numbers and how often, if the column is one of numbers nonetheless.

    text  [N] trimmed, null where blank; its values [N] and what of it is not a number [N]
    """
    if not unread.any():
        return {}
    different = len(np.unique(values[~np.isnan(values)]))
    if different < LEAST:
        return None
    counted = text.filter(pa.array(unread)).value_counts()
    words, counts = counted.field(0), counted.field(1).to_numpy(zero_copy_only=False)
    missing = _mask(pc.is_in(pc.utf8_lower(words), value_set=pa.array(MISSING)))
    for pattern in (CENSORED, _FAILED):
        missing |= _mask(pc.match_substring_regex(words, pattern))
    n, strange = len(text) - text.null_count, int(counts[~missing].sum())
    if different > MANY:
        few = strange <= MOST_STRANGE * n
    else:
        digits = _mask(pc.match_substring_regex(words, r"\d")) & ~missing
        few = not digits.any() and (strange <= FEW_STRANGE * n or (strange == 1 and n >= MANY))
    if not few or counts.sum() > MOST_MISSING * n:
        return None
    order = np.argsort(-counts, kind="stable")
    return {words[int(j)].as_py(): int(counts[j]) for j in order}


def missing(text: pa.Array) -> Array:
    """Which cells [N] of a column of dates say that there is none."""
    found = _mask(pc.is_in(pc.utf8_lower(text), value_set=pa.array(MISSING)))
    found |= _mask(pc.match_substring_regex(text, r"^0+[-/.]0+[-/.]0+"))
    return found


def worded(text: pa.Array, words: Collection[str]) -> Array:
    """Which cells [N] say what training rows said where they had no number."""
    found = _mask(pc.is_in(text, value_set=pa.array(list(words), pa.string())))
    if pc.any(pc.match_substring_regex(pa.array(list(words), pa.string()), CENSORED)).as_py():
        found |= _mask(pc.match_substring_regex(text, CENSORED))
    return found


def _mask(cells: pa.Array) -> Array:
    mask: Array = pc.fill_null(cells, False).to_numpy(zero_copy_only=False).copy()
    return mask
