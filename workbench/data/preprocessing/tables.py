"""What the columns of a table are, and the same table as plain typed columns.

Kinds are inferred from development rows: numeric, boolean, date, category. Long text is refused. A table that
has been read by its columns has float64 for numbers and truth values, datetime64 for dates and pandas
categories of text.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from workbench.core.errors import DataError
from workbench.core.formatting import nearest, toml
from workbench.core.types import Array
from workbench.data.preprocessing import cells

Kind = Literal["numeric", "boolean", "date", "category"]
#: A column of text is a category up to so many different values, or so large a share of them among its cells.
FEW_LEVELS, LEVEL_SHARE = 20, 0.5


@dataclass(frozen=True)
class Column:
    """A column that is a feature."""

    name: str
    kind: Kind
    form: str = ""  # how its numbers or dates are written


def infer(
    table: pa.Table, where: str, *, categorical: Collection[str] = (), keep_constant: bool = False
) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """The columns that are features, in the order of the table, and remarks for the user.

    `categorical` names columns whose numbers are labels. Columns with one value are left out unless
    `keep_constant`.
    Raises DataError if a column is free text, or if no column is left.
    """
    columns: list[Column] = []
    remarks: list[str] = []
    constant: list[str] = []
    free: list[str] = []
    for name in table.column_names:
        column, single, remark = _infer(name, cells.as_arrow(table[name]), name in categorical)
        if single and not keep_constant:
            constant.append(name)
        elif column is None:
            free.append(name)
        else:
            columns.append(column)
            remarks += [f"{where}: {remark}"] if remark else []
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


def free_text(table: pa.Table) -> tuple[str, ...]:
    """The columns of a table that hold text which is mostly different in every row."""
    read = {name: _infer(name, cells.as_arrow(table[name]), labelled=False) for name in table.column_names}
    return tuple(name for name, (column, single, _) in read.items() if column is None and not single)


def conform(
    rows: pa.Table | pd.DataFrame | Array, columns: Sequence[Column], where: str, *, strict: bool = True
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The columns of `rows`, read as what they are, and remarks on cells that could not be read.

    Such cells count as blank, unless `strict`. Reading twice changes nothing. Other columns are left out. An
    array
    [N, F] holds the columns in their order. Raises DataError if a column is missing, or a cell unreadable.
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
    read: dict[str, Any] = {}
    remarks: list[str] = []
    for column in columns:
        j = place[column.name]
        raw = rows.iloc[:, j] if isinstance(rows, pd.DataFrame) else rows.column(j)
        values, unread = _read(raw, column)
        read[column.name] = values
        if unread is not None and unread.any():
            row = int(np.flatnonzero(unread)[0])
            cell = cells.as_arrow(raw)[row].as_py()
            told = f"{where}: column {toml(column.name)} holds {toml(str(cell))} in row {row + 1}"
            told += f", not {_NOUN[column.kind]}"
            if strict:
                raise DataError(f"{told}; mend it or leave it empty")
            remarks.append(f"{told}; {int(unread.sum())} such cells count as blank.")
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


def _infer(name: str, raw: pa.Array, labelled: bool) -> tuple[Column | None, bool, str]:
    """(the column, or None for free text; whether it has one value only; a remark)."""
    if labelled:
        codes, levels = cells.labels(raw)
        return Column(name, "category"), _single(codes.astype(np.float64), codes < 0), ""
    if pa.types.is_boolean(raw.type):
        values, _ = cells.booleans(raw)
        return Column(name, "boolean"), _single(values, np.isnan(values)), ""
    if not pa.types.is_timestamp(raw.type):
        form, values, _ = cells.numbers(raw)
        if form is not None:
            remark = (
                "" if form == "plain" else f"the numbers of {toml(name)} were read as written with {form}."
            )
            remark = remark or _padded(name, raw)
            return Column(name, "numeric", form), _single(values, np.isnan(values)), remark
    form, times, _ = cells.moments(raw)
    if form is not None:
        remark = f"the dates of {toml(name)} were read as month/day." if form.startswith("%m") else ""
        return Column(name, "date", form), _single(times.astype(np.float64), np.isnat(times)), remark
    codes, levels = cells.labels(raw)
    single = _single(codes.astype(np.float64), codes < 0)
    if not cells.booleans(raw)[1].any():
        return Column(name, "boolean"), single, ""
    few = len(levels) <= FEW_LEVELS or len(levels) <= LEVEL_SHARE * int((codes >= 0).sum())
    return Column(name, "category") if few else None, single, ""


def _padded(name: str, raw: pa.Array) -> str:
    """A remark on numbers with leading zeros, as postal codes and other codes have them."""
    if not pa.types.is_string(raw.type):
        return ""
    padded = raw.filter(pc.fill_null(pc.match_substring_regex(raw, r"^\s*0\d+\s*$"), False))
    if not len(padded):
        return ""
    return (
        f"{toml(name)} holds numbers with leading zeros, such as {padded[0].as_py().strip()}, and they count "
        f"as numbers; if they are codes, write [data] categorical = [{toml(name)}]."
    )


def _single(values: Array, blank: Array) -> bool:
    """Whether every row says the same, be it nothing."""
    if blank.all():
        return True
    return not blank.any() and bool((values == values[0]).all())


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
        return values, unread
    if column.kind == "boolean":
        return cells.booleans(array)
    _, values, unread = cells.moments(array, column.form or "ISO8601")
    return values, unread


def _categories(codes: Array, levels: Sequence[str]) -> pd.Categorical[str]:
    return pd.Categorical.from_codes(codes, pd.Index(list(levels), dtype=object))
