"""Rows as they were found, before anything is known about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from workbench.core.errors import DataError
from workbench.core.formatting import toml
from workbench.core.types import Array, Task


class Source(NamedTuple):
    """Rows as they were found.

    rows      a table with every column, the target among them; or inputs [N, *F] of an archive
    y         archives only: targets [N] or [N, K]; of the steps of sequences [N, T] or [N, T, K]: `targets`
    weight    archives only: [N], see `weights`
    """

    name: str
    rows: pa.Table | Array
    y: Array | None = None
    target: str | None = None  # the column that is the target unless the study names one
    task: Task | None = None
    complete: bool = False  # every column is meant to be there, also one that is constant
    official: bool = False  # official test rows stand beside these
    notes: tuple[str, ...] = ()
    separator: str = ","  # of the cells of a text file
    left_out: tuple[str, ...] = ()  # columns of the file that cannot be used, and are not among the rows
    weight: Array | None = None
    targets: tuple[str, ...] = ()  # archives only: names of the columns of y


def take(source: Source, index: Array) -> Source:
    """The rows at these positions, index [M]."""
    rows = source.rows.take(pa.array(index)) if isinstance(source.rows, pa.Table) else source.rows[index]
    y, weight = (None if each is None else each[index] for each in (source.y, source.weight))
    return source._replace(rows=rows, y=y, weight=weight)


def holds_target(source: Source, target: str) -> bool:
    """Whether the rows come with the target."""
    return target in source.rows.column_names if isinstance(source.rows, pa.Table) else source.y is not None


def joined(parts: Sequence[Source]) -> Source | None:
    """The rows of several sources in one: the columns that all have, as text; None if they are not alike."""
    first = parts[0]
    tables = [part.rows for part in parts if isinstance(part.rows, pa.Table)]
    if len(tables) == len(parts):
        names = [
            name for name in tables[0].column_names if all(name in table.column_names for table in tables)
        ]
        rows = pa.concat_tables(
            [pa.table({name: table[name].cast(pa.string()) for name in names}) for table in tables]
        )
        return Source(first.name, rows)
    arrays = [part.rows for part in parts if not isinstance(part.rows, pa.Table)]
    targets = [part.y for part in parts if part.y is not None]
    alike = len({array.shape[1:] for array in arrays}) == len({y.shape[1:] for y in targets}) == 1
    if not alike or len(arrays) < len(parts) or len(targets) < len(parts):
        return None
    return Source(first.name, np.concatenate(arrays), y=np.concatenate(targets))


def without_others(table: pa.Table) -> tuple[pa.Table, tuple[str, ...]]:
    """The table without columns of lists, tables, bytes, durations and the like, and their names."""
    others = tuple(field.name for field in table.schema if not _is_plain(field.type))
    return (table.drop_columns(list(others)), others) if len(others) < table.num_columns else (table, ())


def _is_plain(kind: pa.DataType) -> bool:
    """Whether `plain_table` reads it."""
    if pa.types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    return any(test(kind) for test in _PLAIN)


_PLAIN = (
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_date,
    pa.types.is_timestamp,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_null,
)


def plain_table(table: pa.Table, name: str) -> pa.Table:
    """Numbers, truth values, moments and text only. Raises DataError for columns of anything else."""
    table = table.rename_columns([str(column).strip() for column in table.column_names])
    twice = [column for column in table.column_names if table.column_names.count(column) > 1]
    if twice:
        raise DataError(f"{name}: the column {toml(twice[0])} stands there twice; rename one")
    columns = {
        column: _plain_column(table[column], f"{name}: column {toml(column)}")
        for column in table.column_names
    }
    return pa.table(columns)


def _plain_column(column: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _plain_column(column.cast(kind.value_type), where)
    if pa.types.is_decimal(kind) or pa.types.is_float16(kind):
        return column.cast(pa.float64())
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp("us"), safe=False)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    if pa.types.is_null(kind):
        return column.cast(pa.string())
    if _is_plain(kind):
        return column
    raise DataError(f"{where} holds {kind}, not numbers, text or dates; take it out of the file")
