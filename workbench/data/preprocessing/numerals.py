"""How numbers are written: the decimal mark, the mark between thousands, the unit behind them.

The decimal mark is a matter of the whole file: "21.211" is one thing beside "1,85", another beside "0.678".
So each column is asked first what it shows (`census`), then the file is judged (`judge`), and only then is a
column read, in one `Form`. What is asked are the development rows. A cell in another form than its column is
not a number, and never a number of another size.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.core.types import Array

#: The marks by their names; narrow and no-break spaces are spaces, and typographic apostrophes apostrophes.
MARKS = {"comma": ",", "point": ".", "space": " ", "apostrophe": "'", "any": "*", "unsure": "?"}
DECIMALS, THOUSANDS = (".", ","), (".", ",", " ", "'")
#: In place of a mark: any of them; none, because cells that seem to have one may have decimals.
ANY, UNSURE = "*", "?"
#: Signs of one currency.
_SAME = {"USD": "$", "US$": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "円": "¥", "INR": "₹", "Rs": "₹"}
_SIGN = r"US\$|R\$|[$€£¥円₹₩₽₺₫₪฿₴₦₱]|zł|Kč"
_CODE = r"(?:USD|EUR|GBP|JPY|INR|CHF|CAD|AUD|NZD|SEK|NOK|DKK|PLN|CZK|Rs|kr|Fr)"
_BEFORE, _BEHIND = rf"%|{_SIGN}|{_CODE}\.?", rf"%|{_SIGN}|{_CODE}\b\.?"
#: A unit of measure, which stands behind its number: kg, °C, mg/dL; none of the words of a form.
_MEASURE = r"(?!plain$|thousands|decimal comma)(?:[^\W\d_]|[°‰″′\"])(?:[^\W\d_]|[°/·^. -]){0,14}[23]?"
#: A number with everything that may stand around its digits; a minus behind it is how SAP writes.
_DRESSED = re.compile(
    rf"(?P<lead>{_BEFORE})? ?(?P<open>\()?(?P<before>[+-])? ?(?P<unit>{_BEFORE})? ?(?P<inside>[+-])?"
    r"(?P<digits>[0-9.,][0-9., ']*(?:[eE][+-]?[0-9]+)?) ?"
    rf"(?P<behind>{_BEHIND})? ?(?P<after>-)?(?P<close>\))? ?(?P<tail>{_BEHIND}|{_MEASURE})?"
)
_INFINITE = re.compile(r"[+-]?(inf|infinity)", re.IGNORECASE)
#: One with a sign in front at most.
_SIMPLE = r"^[+-]?[0-9.,][0-9., ']*([eE][+-]?\d+)?$"
#: Where no cents are: 1.234,- and 5'000.--
_NO_CENTS = re.compile("([0-9][.,])[-–—]{1,2}")
_APOSTROPHES = str.maketrans("‘’´", "'''")
#: Cells that are asked before all are; fewer different numbers with a unit of measure are labels.
SAMPLE, LEAST = 2000, 3


class Form(NamedTuple):
    """How a column writes its numbers; `unit` is a sign that stands at them."""

    decimal: str = "."
    thousands: str = ""
    unit: str = ""

    @property
    def words(self) -> str:
        """Such as "decimal comma, thousands point, €"; "plain" where nothing has to be said."""
        if self[:2] == (".", ","):
            said = ["thousands"]  # a point between thousands or a comma at decimals is said
        else:
            said = ["decimal comma"] if self.decimal == "," else []
            said += [f"thousands {name}" for name, mark in MARKS.items() if mark == self.thousands]
        return ", ".join([*said, *([self.unit] if self.unit else [])]) or "plain"

    @classmethod
    def of(cls, words: str) -> Self:
        """The inverse of `words`."""
        form = cls()
        for word in words.split(", "):
            if word == "decimal comma":
                form = form._replace(decimal=",")
            elif word.startswith("thousands"):
                form = form._replace(thousands=MARKS[word.removeprefix("thousands").strip() or "comma"])
            elif word not in ("plain", ""):
                form = form._replace(unit=word)
        return form


PLAIN = Form()


class Census(NamedTuple):
    """What the cells of a column show: how many are numbers, and what their marks can mean.

    point, comma    cells in which the point, or the comma, must be the decimal mark
    points, commas  cells such as 1.250, or 1,250, which may be decimals or thousands
    rounded         some of these end in 0, which the shortest way to write decimals does not
    short, long     whole numbers of up to three digits without a mark, and longer ones
    money           they have the sign of a currency
    """

    cells: int = 0
    numbers: int = 0
    point: int = 0
    comma: int = 0
    points: int = 0
    commas: int = 0
    rounded: bool = False
    short: int = 0
    long: int = 0
    money: bool = False

    @property
    def numeric(self) -> bool:
        """Whether most cells are numbers."""
        return 2 * self.numbers > self.cells > 0

    @property
    def grouped(self) -> bool:
        """Whether its marks are hardly decimals: zeros are not left out, and not all have three of them.

        Money has two.
        """
        return self.rounded and (self.money or (self.short > 0 and not self.long))


class Written(NamedTuple):
    """How a file writes numbers; not `sure` where nothing in it decides between two readings."""

    decimal: str = "."
    thousands: str | None = None  # where the study says it
    sure: bool = True


def census(text: pa.Array) -> Census:
    """Of trimmed text, null where blank."""
    return census_of(len(text), lambda index: text.take(pa.array(index)))


def census_of(n: int, take: Callable[[Array], pa.Array]) -> Census:
    """Of n cells, of which a few are taken at first, and all only if those do not decide."""
    few = take(np.linspace(0, n - 1, min(n, SAMPLE)).astype(np.int64))
    found = _census(few)
    if found.point or found.comma or not found.numeric or len(few) == n:
        return found
    text = take(np.arange(n))
    return _census(text) if _marked(text) else found


def _marked(text: pa.Array) -> bool:
    return bool(pc.any(pc.match_substring_regex(text, "[.,]"), min_count=0).as_py())


def _census(text: pa.Array) -> Census:
    bare = _undressed(text)
    digits = pc.if_else(pa.array(_measured(bare.unit) & (bare.unit != _most(bare.unit))), None, bare.digits)
    digits = digits.drop_null()

    def count(pattern: str) -> int:
        return int(_matches(digits, pattern).sum())

    by_point, by_comma = (_matches(digits, _pattern(Form(mark, ANY))) for mark in DECIMALS)
    return Census(
        cells=len(text) - text.null_count,
        numbers=int((by_point | by_comma).sum()),
        point=int((by_point & ~by_comma).sum()),
        comma=int((by_comma & ~by_point).sum()),
        points=count(r"^[1-9]\d{0,2}\.\d{3}$"),
        commas=count(r"^[1-9]\d{0,2},\d{3}$"),
        rounded=count(r"^[1-9]\d{0,2}[.,]\d\d0$") > 0,
        short=count(r"^\d{1,3}$"),
        long=count(r"^\d{4,}$"),
        money=not measure(_most(bare.unit)) and bool((bare.unit != "").any()),
    )


def _matches(text: pa.Array, pattern: str) -> Array:
    found: Array = pc.fill_null(pc.match_substring_regex(text, pattern), False).to_numpy(zero_copy_only=False)
    return found


def judge(
    found: Iterable[Census], *, decimal: str | None = None, thousands: str | None = None, lists: str = ","
) -> Written:
    """How a file writes numbers.

    decimal, thousands  what the study says of it
    lists               what stands between its cells: beside semicolons, the comma is taken for decimals
    """
    if decimal is None and thousands in DECIMALS:
        decimal = "," if thousands == "." else "."
    if decimal is not None:
        return Written(decimal, thousands)
    numeric = [each for each in found if each.numeric]
    point, comma = (
        sum(each.point > each.comma for each in numeric),
        sum(each.comma > each.point for each in numeric),
    )
    if point or comma:
        return Written("," if comma > point else ".", thousands, sure=not (point and comma))
    open_ = [each for each in numeric if each.points or each.commas]
    if any(each.points and each.grouped for each in open_):
        return Written(",", thousands, sure=False)
    free = any(each.commas and not each.grouped for each in open_)
    return Written("," if free and lists == ";" else ".", thousands, sure=not open_)


def form_of(
    text: pa.Array, written: Written, found: Census | None = None
) -> tuple[Form, Array, Array] | None:
    """(the form that reads most of a column, its values [N], what it does not read [N]); None for labels.

    text  trimmed, null where blank
    """
    if written.decimal == "." or not _marked(text):
        plain = _cast(text)
        if plain is not None:
            return PLAIN, plain, np.zeros(len(text), bool)
    found = census(text) if found is None else found
    if not found.numeric:
        return None
    distinct = text.dictionary_encode()
    codes, weight = _codes(distinct)
    bare = _undressed(distinct.dictionary)
    unit = _usual(bare, weight)
    best: tuple[Form, Array, Array] | None = None
    for decimal in (written.decimal, *(mark for mark in DECIMALS if mark != written.decimal)):
        if best is not None and (not weight[best[2]].sum() or (found.point and found.comma)):
            break
        form = Form(decimal, ANY if written.thousands is None else written.thousands, unit)
        values, unread = _values(bare, form)
        if best is None or weight[unread].sum() < weight[best[2]].sum():
            best = form, values, unread
    assert best is not None
    form, values, unread = best
    if measure(form.unit) and len(np.unique(values[~np.isnan(values)])) < LEAST:
        return None
    if form.thousands == ANY:
        form = form._replace(thousands=_mark(bare.digits, form))
    return form, np.append(values, np.nan)[codes], np.append(unread, False)[codes]


def read(text: pa.Array, form: Form) -> tuple[Array, Array]:
    """(values [N], NaN for blanks; what is not a number in this form [N] bool). Text as in `form_of`."""
    if form.decimal == "." and not measure(form.unit):
        plain = _cast(text)
        if plain is not None:
            return plain, np.zeros(len(text), bool)
    coded = text.dictionary_encode()
    codes, _ = _codes(coded)
    values, unread = _values(_undressed(coded.dictionary), form)
    return np.append(values, np.nan)[codes], np.append(unread, False)[codes]


#: A cell that may have decimals or thousands.
_TWO = r"^[+-]?[1-9]\d{0,2}[.,]\d{3}$"


def two_readings(cell: str) -> bool:
    """Whether a cell such as 21.211 may have decimals or thousands."""
    return re.match(_TWO, cell.strip()) is not None


def both_readings(name: str, text: pa.Array, form: Form) -> str:
    """What is said where nothing in a file decides how such cells of a column are read."""
    cell = text.filter(pa.array(_matches(_undressed(text).digits, _TWO)))[0].as_py()
    value = float(read(pa.array([cell]), form)[0][0])
    other = value * 1000 if value != int(value) or abs(value) < 1000 else value / 1000
    return (
        f"the numbers of {name} have two readings, and nothing else in the file decides: {cell} was taken "
        f"for {value:.10g}, and may be {other:.10g}; [data] decimal = "
        f'"{"." if form.decimal == "," else ","}" takes it so.'
    )


# ── cells ───────────────────────────────────────────────────────────────────────────────────────


class _Bare(NamedTuple):
    """Cells without what stands around their digits; null where a cell is no number."""

    digits: pa.Array
    negative: Array
    bracketed: Array
    unit: Array  # of text, "" for none
    infinite: Array


def _undressed(text: pa.Array) -> _Bare:
    """Cells without what stands around their digits; those that have a sign at most are done at once."""
    if not pc.all(pc.string_is_ascii(text), min_count=0).as_py():
        text = pa.array([cell and _in_ascii(cell) for cell in text.to_pylist()], pa.string())
    simple = _matches(text, _SIMPLE)
    digits = pc.utf8_trim_whitespace(pc.utf8_ltrim(pc.if_else(pa.array(simple), text, None), characters="+-"))
    negative = pc.fill_null(pc.starts_with(text, "-"), False).to_numpy(zero_copy_only=False) & simple
    none = np.zeros(len(text), bool)
    bare = _Bare(digits, negative, none, np.full(len(text), "", object), none)
    rest = ~simple & pc.is_valid(text).to_numpy(zero_copy_only=False)
    if not rest.any():
        return bare
    other = _undressed_wholly(text.filter(pa.array(rest)))
    arrays = [array.copy() for array in bare[1:]]
    for array, found in zip(arrays, other[1:], strict=True):
        array[rest] = found
    return _Bare(pc.replace_with_mask(digits, pa.array(rest), other.digits), *arrays)


def _in_ascii(cell: str) -> str:
    """Digits of any script, wide signs, narrow spaces, apostrophes and minus as ASCII has them."""
    plain = unicodedata.normalize("NFKC", cell.translate(_APOSTROPHES))
    return plain if plain.isascii() else plain.translate(_signs())


@cache
def _signs() -> dict[int, str]:
    found = {code: unicodedata.decimal(chr(code), None) for code in range(0x660, 0x10000)}
    digits = {code: str(digit) for code, digit in found.items() if digit is not None}
    return digits | {0x66B: ".", 0x66C: ",", ord("−"): "-", ord("–"): "-"}


def _undressed_wholly(text: pa.Array) -> _Bare:
    digits, *others = zip(*map(_undressed_cell, text.to_pylist()), strict=True)
    negative, bracketed, unit, infinite = map(np.array, others)
    return _Bare(pa.array(digits, pa.string()), negative, bracketed, unit.astype(object), infinite)


@lru_cache(maxsize=2**14)
def _undressed_cell(cell: str) -> tuple[str | None, bool, bool, str, bool]:
    """(digits, negative, bracketed, unit, infinite) of one cell; no digits where it is no number."""
    found = _DRESSED.fullmatch(_NO_CENTS.sub(r"\g<1>00", cell))
    if found is None:
        return None, False, False, "", _INFINITE.fullmatch(cell) is not None
    signs, units = (
        [part for part in found.group(*places) if part]
        for places in (("before", "inside", "after"), ("lead", "unit", "behind", "tail"))
    )
    bracketed, closed = (part is not None for part in found.group("open", "close"))
    if len(signs) + bracketed > 1 or len(units) > 1 or bracketed != closed:
        return None, False, False, "", False
    unit = units[0].rstrip(".") if units else ""
    return found["digits"].strip(), "-" in signs or bracketed, bracketed, _SAME.get(unit, unit), False


def _values(bare: _Bare, form: Form) -> tuple[Array, Array]:
    """Values of distinct cells [L], and which are no numbers in this form."""
    digits = pc.if_else(pa.array(_matches(bare.digits, _pattern(form))), bare.digits, None)
    for mark in _marks(form):
        digits = pc.replace_substring(digits, mark, "")
    digits = pc.replace_substring(digits, form.decimal, ".")
    values = digits.cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
    if bare.bracketed.any() and (bare.bracketed | np.isnan(values)).all():
        values = np.full(len(values), np.nan)  # (1), (2), … are names
    values = np.where(bare.negative, -values, values)
    if measure(form.unit):  # 24 % is not 24
        other = (bare.unit != form.unit) & ((bare.unit != "") | (values != 0))
    else:
        other = (bare.unit != "") & (bare.unit != (form.unit or bare.unit)) | _measured(bare.unit)
    values[other] = np.nan
    unread = np.isnan(values) & ~bare.infinite
    values[~np.isfinite(values)] = np.nan
    return values, unread


def _usual(bare: _Bare, weight: Array) -> str:
    """The unit at most of the numbers that have one, if any: one of measure only where nearly all have it."""
    most = _most(bare.unit, weight)
    numbers = int(weight[pc.is_valid(bare.digits).to_numpy(zero_copy_only=False)].sum())
    return "" if measure(most) and 2 * weight[bare.unit == most].sum() < numbers else most


def _most(unit: Array, weight: Array | None = None) -> str:
    """The unit that most cells have, "" if none has one."""
    counts = {
        each: int((unit == each).sum() if weight is None else weight[unit == each].sum())
        for each in sorted({*unit} - {""})
    }
    return max(counts, key=lambda each: counts[each], default="")


@cache
def measure(unit: str) -> bool:
    """Whether a number without this unit is another one: percent, or kg; not so with money."""
    return unit != "" and not re.fullmatch(rf"{_SIGN}|{_CODE}\.?", unit)


def _measured(unit: Array) -> Array:
    """Which cells [N] have such a unit."""
    return np.isin(unit.astype(str), [each for each in {*unit} if measure(each)])


def mixed(text: pa.Array) -> tuple[str, ...]:
    """The units of a column of numbers that are not of one; none of other columns."""
    bare = _undressed(text)
    numbers = int(pc.is_valid(bare.digits).to_numpy(zero_copy_only=False).sum())
    often = [each for each in sorted({*bare.unit} - {""}) if (bare.unit == each).sum() >= 0.1 * numbers]
    return tuple(often) if len(often) > 1 and 2 * numbers > len(text) else ()


@cache
def _pattern(form: Form) -> str:
    """What the digits of a number match."""
    decimal = rf"\{form.decimal}"
    groups = "".join(f"{_groups(mark)}|" for mark in _marks(form))
    return rf"^(({groups}\d+)({decimal}\d*)?|{decimal}\d+)([eE][+-]?\d+)?$"


def _groups(mark: str) -> str:
    """Thousands between marks; of commas, lakh and crore too."""
    return rf"[1-9]\d{{0,2}}([{mark}]\d{{3}})+" + (r"|[1-9]\d?(,\d{2})+,\d{3}" if mark == "," else "")


def _marks(form: Form) -> tuple[str, ...]:
    marks = THOUSANDS if form.thousands == ANY else (form.thousands,)
    return tuple(mark for mark in marks if mark in THOUSANDS and mark != form.decimal)


def _mark(digits: pa.Array, form: Form) -> str:
    """The first mark that stands between thousands."""
    seen = (mark for mark in _marks(form) if _matches(digits, f"^({_groups(mark)})([.,]|$)").any())
    return next(seen, "")


def _cast(text: pa.Array) -> Array | None:
    """All cells as plain numbers, or None if one is none."""
    try:
        values: Array = text.cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
    except pa.ArrowInvalid:
        return None
    values[~np.isfinite(values)] = np.nan
    return values


def _codes(coded: pa.DictionaryArray) -> tuple[Array, Array]:
    """Codes [N], -1 for blanks, and how often each occurs [L]."""
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return codes, np.bincount(codes[codes >= 0], minlength=len(coded.dictionary))
