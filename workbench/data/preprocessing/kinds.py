"""What the columns of a table are, inferred from development rows: numeric, boolean, date, category.

Long text is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.core.errors import DataError
from workbench.core.formatting import toml
from workbench.core.types import Array
from workbench.data.preprocessing import cells, dates, numerals
from workbench.data.preprocessing.numerals import PLAIN, Census, Form, Written, judge
from workbench.data.preprocessing.oddities import MANY, missing, oddities
from workbench.data.preprocessing.tables import Column

#: A column of text is a category up to so many different values, or so large a share of them among its cells.
FEW_LEVELS, LEVEL_SHARE = 20, 0.5
#: Digits of a code whose leading zeros tell that it is none of the shorter numbers; labels that are asked.
CODE, _SOME = 5, 200
#: Numbers by which many programs say that there is none.
_NINES = re.compile(r"^-?9{2,}(\.9+)?$")


def infer(
    table: pa.Table,
    where: str,
    *,
    categorical: Collection[str] = (),
    keep_constant: bool = False,
    written: Written | None = None,
    places: Array | None = None,
) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """The columns that are features, in the order of the table, and remarks for the user.

    `categorical` names columns whose numbers are labels. Columns with one value are left out unless
    `keep_constant`.

    written  how the file writes numbers; judged by these columns where it is not given
    places   [N] the rows of the file that these are

    Raises DataError if a column is free text, or if no column is left.
    """
    raws = {name: cells.as_arrow(table[name]) for name in table.column_names}
    if written is None:
        written = judge(censuses(table).values())
    day_first = days_first(raws[name] for name in raws if name not in categorical) or written.decimal == ","
    columns: list[Column] = []
    remarks: list[str] = []
    constant: list[str] = []
    free: list[str] = []
    mixed: dict[str, tuple[str, ...]] = {}
    told: dict[str, list[str]] = {}
    for name, raw in raws.items():
        found = _infer(name, raw, name in categorical, written, day_first, places)
        if found.single and not keep_constant and not found.large:
            constant.append(name)
        elif found.single and found.large and not keep_constant:
            remarks.append(
                f"{where}: left out because its whole numbers are too large to be told apart as numbers: "
                f"{toml(name)}; if they are labels, write [data] categorical = [{toml(name)}]."
            )
        elif found.column is None:
            free.append(name)
            mixed |= {name: found.units} if found.units else {}
        else:
            columns.append(found.column)
            remarks += [f"{where}: {remark}" for remark in found.remarks]
            if found.column.kind == "numeric" and found.column.form not in ("", "plain"):
                told.setdefault(found.column.form, []).append(name)
    for form, names in told.items():
        listed = ", ".join(map(toml, names[:10])) + (", …" if len(names) > 10 else "")
        remarks.append(f"{where}: the numbers of {listed} were read as written with {form}.")
    if mixed:
        name, units = next(iter(mixed.items()))
        listed = ", ".join(map(toml, units))
        raise DataError(
            f"{where}: the column {toml(name)} holds numbers in different units, {listed}; "
            f"bring them to one, or write [data] drop = [{toml(name)}], or categorical for labels"
        )
    if free:
        listed = ", ".join(toml(name) for name in free)
        raise DataError(
            f"{where}: {'the columns' if len(free) > 1 else 'the column'} {listed} "
            f"{'hold' if len(free) > 1 else 'holds'} free text, mostly different in every row; "
            f"write [data] drop = [{listed}], or categorical for labels"
        )
    if constant:
        listed = ", ".join(constant[:10]) + (", …" if len(constant) > 10 else "")
        remarks.append(f"{where}: left out because every row holds the same: {listed}.")
    if not columns:
        raise DataError(f"{where}: no column is left to predict from; name other [data] features")
    return tuple(columns), tuple(remarks)


def censuses(table: pa.Table, index: Array | None = None) -> dict[str, Census]:
    """What the columns of text show of how the file writes numbers, in the rows at these positions."""
    rows = np.arange(table.num_rows) if index is None else index

    def asked(raw: pa.Array) -> Census:
        return numerals.census_of(len(rows), lambda some: cells.texts(raw.take(pa.array(rows[some]))))

    return {
        name: asked(cells.as_arrow(table[name]))
        for name in table.column_names
        if pa.types.is_string(table[name].type)
    }


def days_first(columns: Iterable[pa.Array]) -> bool:
    """Whether 01/02/2024 is in February, because days come first wherever that can be seen."""
    firsts = {cells.day_or_month(column) for column in columns}
    return "day" in firsts and "month" not in firsts


def free_text(table: pa.Table) -> tuple[str, ...]:
    """The columns of a table that hold text which is mostly different in every row."""
    written = judge(censuses(table).values())
    read = {
        name: _infer(name, cells.as_arrow(table[name]), False, written, False, None)
        for name in table.column_names
    }
    return tuple(name for name, found in read.items() if found.column is None and not found.single)


class _Found(NamedTuple):
    """What a column is: None for free text; whether it has one value only, or only as a number.

    units  of numbers that are not of one
    """

    column: Column | None
    single: bool
    remarks: tuple[str, ...] = ()
    large: bool = False
    units: tuple[str, ...] = ()


def _infer(
    name: str, raw: pa.Array, labelled: bool, written: Written, day_first: bool, places: Array | None
) -> _Found:
    if labelled:
        codes, levels = cells.labels(raw)
        return _Found(
            Column(name, "category"), _single(codes.astype(np.float64), codes < 0), _alike(name, levels)
        )
    if pa.types.is_boolean(raw.type):
        values, _ = cells.booleans(raw)
        return _Found(Column(name, "boolean"), _single(values, np.isnan(values)))
    textual = pa.types.is_string(raw.type)
    if not _compact(raw) and not (textual and _coded(raw)):
        if textual:
            number = _number(name, cells.texts(raw), written, places)
            if number is not None:
                return number
        elif not pa.types.is_timestamp(raw.type):
            _, values, _ = cells.numbers(raw)
            single = _single(values, np.isnan(values))
            large = single and pc.count_distinct(raw).as_py() > 1
            return _Found(Column(name, "numeric", "plain"), single, _nines(name, values), large)
    form, times, _ = cells.moments(raw, day_first=day_first)
    words, known = (), raw
    if form is None and textual:
        text = cells.texts(raw)
        odd = missing(text)
        if odd.any() and 2 * odd.sum() < len(text) - text.null_count:
            known = pc.if_else(pa.array(odd), None, text)
            form, times, _ = cells.moments(known, day_first=day_first)
            words = tuple(text.filter(pa.array(odd)).unique().to_pylist())
    if form is not None:
        return _date(name, known, form, times, words)
    codes, levels = cells.labels(raw)
    single = _single(codes.astype(np.float64), codes < 0)
    if not cells.booleans(raw)[1].any():
        return _Found(Column(name, "boolean"), single)
    remarks, units = _alike(name, levels), numerals.mixed(pa.array(levels[:_SOME], pa.string()))
    if textual and _coded(raw):
        remarks += (
            f"{toml(name)} holds codes with leading zeros, such as {levels[0]}, which are taken for labels.",
        )
    elif units:
        listed = ", ".join(map(toml, units))
        remarks += (f"the numbers of {toml(name)} have different units, {listed}, and are taken for labels.",)
    column = Column(name, "category") if _few(len(levels), int((codes >= 0).sum())) else None
    return _Found(column, single, remarks, units=units)


def _few(labels: int, cells: int) -> bool:
    """Whether a column of so many different labels is a category."""
    return labels <= max(FEW_LEVELS, LEVEL_SHARE * cells)


def _coded(raw: pa.Array) -> bool:
    """Whether text is codes such as 01067: digits, all of one length, some with zeros in front.

    Shorter ones are hours, days or months, and more different ones may be amounts that a program padded. A
    few cells are asked first.
    """
    for part in (raw[:100], raw):
        text = cells.texts(part).drop_null()
        length = pc.utf8_length(text)
        if not len(text) or pc.min(length).as_py() < CODE or pc.min(length) != pc.max(length):
            return False
        if not pc.all(pc.utf8_is_digit(text)).as_py():
            return False
    return bool(pc.any(pc.starts_with(text, "0")).as_py()) and _few(len(text.unique()), len(text))


def _compact(raw: pa.Array) -> bool:
    """Whether whole numbers are days without marks between their parts. A few cells are asked first."""
    if not len(raw) or not (pa.types.is_string(raw.type) or pa.types.is_integer(raw.type)):
        return False
    return all(dates.compact(cells.texts(part)) for part in (raw[:100], raw))


def _number(name: str, text: pa.Array, written: Written, places: Array | None) -> _Found | None:
    """A column of text as numbers, or None if it is none."""
    found = numerals.form_of(text, written)
    if found is None:
        return None
    form, values, unread = found
    odd = oddities(text, values, unread)
    if odd is None:
        return None
    remarks: tuple[str, ...] = ()
    if odd:
        quoted = ", ".join(map(toml, list(odd)[:5])) + (", …" if len(odd) > 5 else "")
        first = int(np.flatnonzero(unread)[0])
        row = (first if places is None else int(places[first])) + 1
        n = int(unread.sum())
        such = (
            f"{n} cells hold {quoted}, the first in row {row}, and count"
            if n > 1
            else f"row {row} holds {quoted}, which counts"
        )
        remarks += (f"the column {toml(name)} holds numbers; {such} as blank.",)
    remarks += _padded(name, text) if form == PLAIN else ()
    remarks += doubtful(toml(name), text, form, written)
    single = _single(values, np.isnan(values))
    distinct = single and bool(pc.count_distinct(text).as_py() > 1) and not odd
    remarks += _nines(name, values)
    return _Found(Column(name, "numeric", form.words, tuple(odd)), single, remarks, large=distinct)


def doubtful(name: str, text: pa.Array, form: Form, written: Written) -> tuple[str, ...]:
    """That numbers have two readings and nothing in the file decided, if that is so."""
    if written.sure:
        return ()
    seen = numerals.census(text)
    if seen.point or seen.comma or not (seen.points or seen.commas):
        return ()
    return (numerals.both_readings(name, text, form),)


def _date(name: str, raw: pa.Array, form: str, times: Array, odd: tuple[str, ...]) -> _Found:
    """A column of dates, and the words in it that say that there is none."""
    remarks: tuple[str, ...] = ()
    if cells.day_or_month(raw) == "either":
        first = "day/month" if form.startswith("%d") else "month/day"
        remarks = (f"the dates of {toml(name)} were read as {first}.",)
    elif form.startswith("%m") and "%d" in form:
        remarks = (f"the dates of {toml(name)} were read as month/day.",)
    if odd:
        remarks += (f"the column {toml(name)} holds dates; {', '.join(map(toml, odd[:5]))} count as blank.",)
    words = dates.sentinels(times)
    if words:
        remarks += (f"the dates {', '.join(words)} of {toml(name)} stand for no date and count as blank.",)
        times = dates.without(times, words)
    return _Found(
        Column(name, "date", form, (*odd, *words)),
        _single(times.astype(np.float64), np.isnat(times)),
        remarks,
    )


def _alike(name: str, levels: Sequence[str]) -> tuple[str, ...]:
    told = cells.alike(levels)
    said = f"the labels of {toml(name)} differ in case or spaces alone, and are taken for different: {told}."
    return (said,) if told else ()


def _padded(name: str, text: pa.Array) -> tuple[str, ...]:
    """A remark on numbers with leading zeros, as postal codes and other codes have them."""
    padded = text.filter(pc.fill_null(pc.match_substring_regex(text, r"^0\d+$"), False))
    if not len(padded):
        return ()
    return (
        f"{toml(name)} holds numbers with leading zeros, such as {padded[0].as_py()}, and they count as "
        f"numbers; if they are codes, write [data] categorical = [{toml(name)}].",
    )


def _nines(name: str, values: Array) -> tuple[str, ...]:
    """A remark on -999 and the like, where it comes again and lies further off than all others apart."""
    known, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    if len(known) < MANY:
        return ()
    ends = ((0, known[2:], known[1] - known[0]), (-1, known[:-2], known[-1] - known[-2]))
    found = [
        f"{toml(name)} holds {known[end]:.10g} in {counts[end]} rows, far from its other numbers; if it "
        "stands for no value, leave those cells empty."
        for end, rest, gap in ends
        if counts[end] > 1 and _NINES.match(f"{known[end]:.10g}") and gap > np.ptp(rest)
    ]
    return tuple(found)


def _single(values: Array, blank: Array) -> bool:
    """Whether every row says the same, be it nothing."""
    if blank.all():
        return True
    return not blank.any() and bool((values == values[0]).all())
