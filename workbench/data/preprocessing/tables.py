"""A table by its columns: float64 for numbers and truth values, datetime64 for dates, categories of text.

What the columns are is inferred in `kinds`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from workbench.core.errors import DataError
from workbench.core.formatting import nearest, toml
from workbench.core.types import Array
from workbench.data.preprocessing import cells, dates, numerals
from workbench.data.preprocessing.numerals import PLAIN, Form
from workbench.data.preprocessing.oddities import worded

Kind = Literal["numeric", "boolean", "date", "category"]


@dataclass(frozen=True)
class Column:
    """A column that is a feature.

    form   how its numbers or dates are written: the words of a `numerals.Form`, or a format of dates
    words  cells that say that there is no value, beside those that say so everywhere
    """

    name: str
    kind: Kind
    form: str = ""
    words: tuple[str, ...] = ()


def conform(
    rows: pa.Table | pd.DataFrame | Array,
    columns: Sequence[Column],
    where: str,
    *,
    strict: bool = True,
    same: bool = False,
    places: Array | None = None,
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The columns of `rows`, read as what they are, and remarks on cells that could not be read.

    Such cells count as blank, unless `strict`. Reading twice changes nothing. Other columns are left out. An
    array [N, F] holds the columns in their order. A file that writes numbers in another form than the columns
    were written in is read in its own.

    same    the rows are of the file whose columns these are, and written as it is
    places  [N] the rows of the file that these are

    Raises DataError if a column is missing, or a cell unreadable.
    """
    if isinstance(rows, np.ndarray):
        if rows.ndim != 2 or rows.shape[1] != len(columns):
            raise DataError(
                f"{where}: has the shape {rows.shape}, but {len(columns)} columns are needed, [N, F]"
            )
        rows = pd.DataFrame(rows, columns=[column.name for column in columns])
    names = [
        str(name).strip() for name in (rows.columns if isinstance(rows, pd.DataFrame) else rows.column_names)
    ]
    place = {name: j for j, name in enumerate(names)}
    if len(place) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{where}: the column {toml(twice)} stands there twice; rename one")
    wanted = {column.name for column in columns}
    missing = [column.name for column in columns if column.name not in place]
    if missing:
        raise DataError(f"{where}: {_lacks(missing, [name for name in names if name not in wanted])}")
    raws = {
        column.name: rows.iloc[:, place[column.name]]
        if isinstance(rows, pd.DataFrame)
        else rows.column(place[column.name])
        for column in columns
    }
    read: dict[str, Any] = {}
    remarks: list[str] = []
    for column in _loosely(columns) if same else _as_written(raws, columns):
        raw = raws[column.name]
        values, unread = _read(raw, column)
        read[column.name] = values
        if unread is not None and unread.any():
            row = int(np.flatnonzero(unread)[0])
            cell = cells.as_arrow(raw)[row].as_py()
            told = f"{where}: column {toml(column.name)} holds {toml(str(cell))} in "
            told += f"row {(row if places is None else int(places[row])) + 1}, {_not(cell, column)}"
            if strict:
                raise DataError(f"{told}; mend it or leave it empty")
            n = int(unread.sum())
            remarks.append(f"{told}; {'it counts' if n == 1 else f'{n:,} such cells count'} as blank.")
    index = rows.index if isinstance(rows, pd.DataFrame) else pd.RangeIndex(rows.num_rows)
    return pd.DataFrame(read, index=index), tuple(remarks)


def _lacks(missing: Sequence[str], others: Sequence[str]) -> str:
    """Which columns a table lacks, and which of its others may be meant."""
    some = ", ".join(map(toml, missing[:5])) + (f" and {len(missing) - 5:,} more" if len(missing) > 5 else "")
    close = {name: other for name in missing if (other := nearest(name, others))}
    pairs = [f"{toml(other)} by {toml(name)}" for name, other in list(close.items())[:3]]
    remedy = f"did you mean {', '.join(pairs)}?" if pairs else "add what is missing"
    return f"lacks the column{'s' if len(missing) > 1 else ''} {some}; {remedy}"


_NOUN = {
    "numeric": "a number",
    "boolean": "yes or no",
    "date": "a date like the others",
    "category": "a label",
}


def _not(cell: Any, column: Column) -> str:
    """What a cell is not."""
    form = Form.of(column.form) if column.kind == "numeric" else PLAIN
    if numerals.measure(form.unit) and form.unit not in str(cell):
        return f"where numbers in training are in {form.unit}"
    if form.thousands == numerals.UNSURE and numerals.two_readings(str(cell)):
        return "which may have decimals or thousands, and nothing in the file decides"
    return f"not {_NOUN[column.kind]}"


def _as_written(raws: Mapping[str, Any], columns: Sequence[Column]) -> Iterator[Column]:
    """The columns in the form that another file has them in.

    What decides is what the file shows; where it shows nothing, it is written as in training. Cells that have
    two readings then are read only if training had the one.
    """
    found = {
        column.name: numerals.census(cells.texts(cells.as_arrow(raws[column.name])))
        for column in columns
        if column.kind == "numeric" and _textual(raws[column.name])
    }
    shown = {"," if each.comma else "." for each in found.values() if bool(each.comma) != bool(each.point)}
    usual = (
        ","
        if any(Form.of(column.form).decimal == "," for column in columns if column.kind == "numeric")
        else "."
    )
    for column in columns:
        if column.name not in found:
            yield column
            continue
        trained, seen = Form.of(column.form), found[column.name]
        own = {"," if seen.comma else "."} if bool(seen.comma) != bool(seen.point) else shown
        decimal = next(iter(own)) if len(own) == 1 else usual if trained == PLAIN else trained.decimal
        grouped, mark = (seen.points, ".") if decimal == "," else (seen.commas, ",")
        sure = len(own) == 1 or not grouped or trained.thousands == mark
        thousands = numerals.ANY if sure else numerals.UNSURE
        yield replace(column, form=trained._replace(decimal=decimal, thousands=thousands).words)


def _loosely(columns: Sequence[Column]) -> Iterator[Column]:
    """The columns, with any mark between thousands, which rows of the same file may have."""
    for column in columns:
        form = Form.of(column.form)._replace(thousands=numerals.ANY).words
        yield replace(column, form=form) if column.kind == "numeric" else column


def _textual(raw: Any) -> bool:
    if isinstance(raw, pd.Series):
        return not isinstance(raw.dtype, np.dtype) or raw.dtype.kind not in "iufbM"  # text, or mixed
    return bool(pa.types.is_string(raw.type))


def _read(raw: Any, column: Column) -> tuple[Any, Array | None]:
    """The values of one column, and where a cell could not be read."""
    typed = isinstance(raw, pd.Series)
    if column.kind == "category":
        if typed and isinstance(raw.dtype, pd.CategoricalDtype):
            codes = np.asarray(raw.cat.codes)
            known, levels = cells.labels(pa.array([str(level) for level in raw.cat.categories], pa.string()))
            return _categories(np.append(known, -1)[codes], levels), None
        codes, levels = cells.labels(cells.as_arrow(raw))
        return _categories(codes, levels), None
    if (
        typed
        and column.kind in ("numeric", "boolean")
        and isinstance(raw.dtype, np.dtype)
        and raw.dtype.kind in "iuf"
    ):
        values = raw.to_numpy(np.float64, copy=True)
        values[~np.isfinite(values)] = np.nan
        unread = ~np.isin(values, (0.0, 1.0)) & ~np.isnan(values) if column.kind == "boolean" else None
        return values, unread
    array = cells.as_arrow(raw)
    if column.kind == "numeric":
        _, values, unread = cells.numbers(array, column.form or "plain")
        if unread.any() and column.words:
            unread &= ~worded(cells.texts(array), column.words)
        return values, unread
    if column.kind == "boolean":
        return cells.booleans(array)
    _, values, unread = cells.moments(array, column.form or "ISO8601")
    if unread.any() and column.words:
        unread &= ~worded(cells.texts(array), column.words)
    return dates.without(values, column.words), unread


def _categories(codes: Array, levels: Sequence[str]) -> pd.Categorical[str]:
    return pd.Categorical.from_codes(codes, pd.Index(list(levels), dtype=object))
