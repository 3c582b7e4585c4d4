"""How dates are written, and which of them stand for none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import date, datetime
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
    "%d/%b/%Y",
)
_TIMES = ("", " %H:%M:%S", " %H:%M", " %I:%M %p", " %I:%M:%S %p", " %H:%M:%S.%f", " %H:%M:%S %z")
#: Of moments that are nothing but digits, by their number.
_DIGITS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
#: How moments are written; month/day wins over day/month where both fit, unless the file decides.
FORMS = (
    "ISO8601",
    *(day + time for time in _TIMES for day in _DAYS),
    *("%Y/%m", "%m/%Y", "%b %Y", "%b-%Y", "%b-%y", "%Y-%b"),
    *("%H:%M:%S", "%H:%M", "%I:%M %p", "%I:%M:%S %p", *_DIGITS.values()),
    *(f"{day}{time}|{day}" for time in _TIMES[1:] for day in _DAYS),  # midnight without a time
)
#: What a moment looks like, before it is tried.
_SHAPE = (
    r"^(\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T]\d|$)|(19|20)\d{6}(T?\d{4}(\d\d)?)?$"
    r"|\d{1,2}:\d\d(:\d\d)?( [AaPp][Mm])?$"
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
#: A day, and a time behind it, without marks between their parts.
_COMPACT = r"^(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(([01]\d|2[0-3])[0-5]\d([0-5]\d)?)?$"
#: How weekdays begin in languages of Latin letters, and their names of two letters.
_WEEKDAY = re.compile(
    "mon|tue|wed|thu|fri|sat|sun|die|mit|don|fre|sam|son|lun|mar|mi[ée]|jue|vie|s[áa]b|dom|mer|jeu|ven|dim|gio"
    "|maa|din|woe|vri|zat|zon|seg|ter|qua|qui|sex|(mo|di|mi|do|fr|sa|so)$"
)
#: Moments that are written with numbers alone, and need not be put otherwise.
_NUMBERS = r"^[-0-9/.:+ ]+(T[-0-9/.:+]+)?Z?( [AaPp][Mm])?$"
#: What is put otherwise before a moment is read, in this order; a quarter is its first month, a week its
#: Monday.
_OTHERWISE: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), plain)
    for pattern, plain in (
        (r"[\u00a0\u2009\u202f]", " "),
        (r"^([^\W\d_]{2,})\.?,? +(?=\S+.*\d)", lambda found: "" if _weekday(found) else found[0]),
        (r" (?:del?|of) ", " "),
        (r"(\d)(?:st|nd|rd|th|er|º)\b", r"\1"),
        (
            r"(\d) ?[年년] ?(\d+) ?[月월](?: ?(\d+) ?[日일])?",
            lambda found: "/".join(filter(None, found.groups())),
        ),
        (r" ?\b([ap])\. ?m\.?$", r" \1m"),
        (r"(\d)([ap]m)$", r"\1 \2"),
        (r"(\d),? (?:at |um )?(?=\d{1,2}:)|(?<=\d{4}):(?=\d\d:\d\d:)", lambda found: f"{found[1] or ''} "),
        (r"(:\d\d(?:\.\d+)?) ?(?:uhr|h|utc|gmt|z|[+-]00:?00)$", r"\1"),
        (r"^(\d{4})[-/ ]?[qt]([1-4])$", lambda found: _quarter(found[1], found[2])),
        (r"^[qt]([1-4])[-/ ]?(\d{4})$", lambda found: _quarter(found[2], found[1])),
        (r"^([1-4])\.? ?(?:[qt]|quartal|quarter)[-/ ]?(\d{4})$", lambda found: _quarter(found[2], found[1])),
        (r"^(\d{4})[- ]?w(\d{1,2})$", lambda found: _monday(found[1], found[2]) or found[0]),
        (r"^[kc]?w ?(\d{1,2})[-/ ](\d{4})$", lambda found: _monday(found[2], found[1]) or found[0]),
    )
)
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
    forms = sorted(FORMS, key=lambda form: form.startswith("%m")) if day_first else FORMS
    return next(_forms(levels, forms), None)


def first(levels: Sequence[str]) -> First:
    """What comes first in texts such as 01/02/2024: "either" where they do not tell; "" for other texts."""
    found = {"day" if form[1] == "d" else "month" for form in _forms(levels, _TWO)}
    return "either" if len(found) == 2 else "day" if "day" in found else "month" if found else ""


#: Forms of days that are written with two numbers in front.
_TWO = tuple(form for form in FORMS if form[1] + form[4:5] in ("dm", "md"))


def numbered(some: pa.Array) -> bool:
    """Whether some cells hold days written with two numbers before the year."""
    return bool(pc.any(pc.match_substring_regex(some, _TWO_NUMBERS), min_count=0).as_py())


def read(levels: Sequence[str], form: str) -> Array:
    """datetime64[us] of texts [L] in one form; NaT for what is none. Times with a zone become UTC."""
    return _read(plainly(levels), form)


def _read(levels: Sequence[str], form: str) -> Array:
    if "%b" in form:
        levels = [_WORD.sub(_in_english, level) for level in levels]
    texts = pd.Series(levels, dtype=object)
    found, *others = (
        pd.to_datetime(texts, format=each, errors="coerce", utc=True).dt.tz_localize(None).to_numpy()
        for each in form.split("|")
    )
    for other in others:
        found = np.where(np.isnat(found), other, found)
    return found.astype("datetime64[us]")


def plainly(levels: Sequence[str]) -> Sequence[str]:
    """Moments without weekdays, words between their parts, and other ways to write what has a plain one."""
    text = pa.array(levels, pa.string())
    if pc.all(pc.match_substring_regex(text, _NUMBERS), min_count=0).as_py():
        return levels
    return [_plain(level) for level in levels]


def _plain(level: str) -> str:
    for pattern, plain in _OTHERWISE:
        level = pattern.sub(plain, level)
    return level


def _weekday(first: re.Match[str]) -> bool:
    """Whether the first word of a moment is a weekday: "mar" may be Tuesday, if a month follows, or March."""
    word, rest = first[1].lower(), first.string[first.end() :]
    known = _WEEKDAY.match(word) is not None
    return known and (word[:3] not in _ENGLISH or _WORD.search(rest) is not None)


def _quarter(year: str, number: str) -> str:
    return f"{year}/{3 * int(number) - 2}"


def _monday(year: str, week: str) -> str:
    """The day on which a week of ISO 8601 begins; "" for a week that the year does not have."""
    with suppress(ValueError):
        return str(date.fromisocalendar(int(year), int(week), 1))
    return ""


def compact(cells: pa.Array) -> bool:
    """Whether whole numbers, or text, are all days such as 20240131."""
    text = cells.drop_null().cast(pa.string())
    return bool(pc.all(pc.match_substring_regex(text, _COMPACT)).as_py()) and len(text.unique()) > 2


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


def _forms(levels: Sequence[str], forms: Sequence[str]) -> Iterator[str]:
    """Which of the forms fit all of some different texts."""
    for part in (levels[:FEW], levels):
        part = plainly(part)
        if not part or not pc.all(pc.match_substring_regex(pa.array(part, pa.string()), _SHAPE)).as_py():
            return
    levels = plainly(levels)
    for form in forms:
        if _reads(levels[0], form) and not any(
            np.isnat(_read(part, form)).any() for part in (levels[:FEW], levels)
        ):
            yield form


def _reads(level: str, form: str) -> bool:
    """Whether a form is worth trying, by one text: in Python's way, which takes no time to start."""
    if level.isdigit():
        return form == _DIGITS.get(len(level))
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
