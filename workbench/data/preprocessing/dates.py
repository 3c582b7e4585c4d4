"""How dates are written, and which of them stand for none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from workbench.core.types import Array

First = Literal["day", "month", "either", ""]
#: How days are written, in the order in which they are tried, and the times behind them.
_DAYS = (
    *("%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y.%m.%d", "%d.%m.%y"),
    *("%m/%d/%y", "%d/%m/%y", "%d-%b-%Y", "%d %b %Y", "%d. %b %Y", "%b %d, %Y", "%b %d %Y", "%d-%b-%y"),
)
_TIMES = ("", " %H:%M:%S", " %H:%M", " %I:%M %p", " %I:%M:%S %p", " %H:%M:%S.%f")
#: How moments are written; month/day wins over day/month where both fit, unless the file decides.
FORMS = (
    "ISO8601",
    *(day + time for time in _TIMES for day in _DAYS),
    *("%Y/%m", "%m/%Y", "%b %Y", "%b-%Y", "%b-%y", "%Y-%b"),
    *(f"{day}{time}|{day}" for time in _TIMES[1:] for day in _DAYS),  # midnight without a time
)
#: What a moment looks like, before it is tried.
_SHAPE = (
    r"^(\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T]\d|$)"
    r"|\d{4}[-/]\d{1,2}$|\d{1,2}/\d{4}$"
    r"|\d{1,2}\.?[- /][^-\d\s/.,:]{3,10}\.?[- /,]+\d{2,4}( \d|$)"
    r"|[^-\d\s/.,:]{3,10}\.? \d{1,2},? \d{4}( \d|$)"
    r"|[^-\d\s/.,:]{3,10}\.?[- ]\d{2,4}$|\d{4}-[^-\d\s/.,:]{3,10}$)"
)
#: A day written with two numbers before its year.
_TWO_NUMBERS = r"^\s*\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}"
#: How the names of months begin in languages of Latin letters, January first.
_MONTHS = (
    *("jan ene gen janv", "feb fev fév févr", "mar mär mrz maa", "apr avr abr", "may mai mei mag"),
    *(
        "jun juin giu",
        "jul juil lug",
        "aug aoû ago",
        "sep set",
        "oct okt ott out",
        "nov",
        "dec dez dic déc dés",
    ),
)
_ENGLISH = {word: names.split()[0] for names in _MONTHS for word in names.split()}
_WORD = re.compile(r"[^\W\d_]{3,}\.?")
#: Different texts that are asked before all are.
FEW = 50
#: Days that stand for no date in many data bases …
SENTINELS = ("0001-01-01", "1753-01-01", "1900-01-01", "1970-01-01", "2099-12-31", "2999-12-31", "9999-12-31")
#: … if they lie further from all others than these among each other, and so far at least.
_FAR = np.timedelta64(3650, "D")


def form_of(levels: Sequence[str], *, day_first: bool) -> str | None:
    """The form that fits all of some different texts.

    day_first  01/02/2024 is in February; without it, in January
    """
    return next(_forms(levels, day_first), None)


def first(levels: Sequence[str]) -> First:
    """What comes first in texts such as 01/02/2024: "either" where they do not tell; "" for other texts."""
    found = {
        "day" if form[1] == "d" else "month"
        for form in _forms(levels, False)
        if form[1] + form[4:5] in _ORDERS
    }
    return "either" if len(found) == 2 else "day" if "day" in found else "month" if found else ""


_ORDERS = ("dm", "md")


def numbered(some: pa.Array) -> bool:
    """Whether some cells hold days written with two numbers before the year."""
    return bool(pc.any(pc.match_substring_regex(some, _TWO_NUMBERS), min_count=0).as_py())


def read(levels: Sequence[str], form: str) -> Array:
    """datetime64[us] of texts [L] in one form; NaT for what is none. Times with a zone become UTC."""
    plain = [_WORD.sub(_in_english, level) for level in levels] if "%b" in form else levels
    texts = pd.Series(plain, dtype=object)
    found, *others = (
        pd.to_datetime(texts, format=each, errors="coerce", utc=True).dt.tz_localize(None).to_numpy()
        for each in form.split("|")
    )
    for other in others:
        found = np.where(np.isnat(found), other, found)
    return found.astype("datetime64[us]")


def sentinels(moments: Array) -> tuple[str, ...]:
    """Which of the dates [N] stand for none."""
    known = np.unique(moments[~np.isnat(moments)].astype("datetime64[D]"))
    named = np.isin(known, np.array(SENTINELS, "datetime64[D]"))
    rest = known[~named]
    if not named.any() or len(rest) < 2:
        return ()
    span = max(rest[-1] - rest[0], _FAR)
    far = (known < rest[0] - span) | (known > rest[-1] + span)
    return tuple(str(day) for day in known[named & far])


def without(moments: Array, days: Sequence[str]) -> Array:
    """Moments [N], NaT on those of some days that stand for none."""
    named = [day for day in days if day in SENTINELS]
    if not named:
        return moments
    these = np.isin(moments.astype("datetime64[D]"), np.array(named, "datetime64[D]"))
    return np.where(these, np.datetime64("NaT"), moments)


def _forms(levels: Sequence[str], day_first: bool) -> Iterator[str]:
    """The forms that fit all of some different texts."""
    for part in (levels[:FEW], levels):
        if not part or not pc.all(pc.match_substring_regex(pa.array(part, pa.string()), _SHAPE)).as_py():
            return
    forms = sorted(FORMS, key=lambda form: form.startswith("%m")) if day_first else FORMS
    for form in forms:
        if _reads(levels[0], form) and not any(
            np.isnat(read(part, form)).any() for part in (levels[:FEW], levels)
        ):
            yield form


def _reads(level: str, form: str) -> bool:
    """Whether a form is worth trying, by one text: in Python's way, which takes no time to start."""
    if form == FORMS[0]:
        return True
    plain = _WORD.sub(_in_english, level) if "%b" in form else level
    for each in form.split("|"):
        with suppress(ValueError):
            datetime.strptime(plain, each)
            return True
    return False


def _in_english(word: re.Match[str]) -> str:
    """The month of a word; other words stay."""
    text = word.group().rstrip(".").lower()
    return next((_ENGLISH[text[:n]] for n in (4, 3) if text[:n] in _ENGLISH), word.group())
