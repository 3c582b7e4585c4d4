"""The target: which column it is, what task it sets, and its values as codes or numbers.

Steps of sequences have targets y [N, T] or [N, T, K], of which some have none. A step has no target behind
the end of its sequence, and where y says so: NaN in numbers, -1 in whole numbers, an empty text. What is
inferred, encoded and counted is the column of the targets that are there; `spread` puts them back into their
places.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from workbench.core.errors import DataError
from workbench.core.formatting import nearest, toml
from workbench.core.types import Array, DataSpec, Task
from workbench.data.preprocessing import cells
from workbench.data.raw import Source

#: Whole numbers are classes if there are at most so many different ones, with so many rows each on average,
#: and the rarest of three or more with so many: counts, such as goals of a match, have a tail.
MOST_CLASSES, ROWS_PER_CLASS, ROWS_OF_RAREST = 20, 10, 5
#: Text of which a larger share of the rows differs is no target: see `_check_repeated`.
MOST_DIFFERENT = 0.5


def target_name(source: Source, spec: DataSpec) -> str:
    """The column to predict. Raises DataError if it is not named or not there."""
    where = source.name
    if not isinstance(source.rows, pa.Table):
        if source.y is None:
            raise DataError(f"{where}: holds no targets; add the array y")
        if spec.target not in (None, "y"):
            raise DataError(
                f"{where}: [data] target = {toml(spec.target)}, but an archive's target is y; drop the key"
            )
        return "y"
    columns = source.rows.column_names
    name = spec.target or source.target
    if name is None:
        raise DataError(
            f"{where}: [data] target is missing; name the column to predict, such as {toml(columns[-1])}"
        )
    if name not in columns:
        close = nearest(name, columns)
        remedy = f"did you mean {toml(close)}?" if close else f"the columns are {_some(columns)}"
        raise DataError(f"{where}: [data] target = {toml(name)} is not a column; {remedy}")
    return name


def target_column(source: Source, name: str) -> pa.Array | Array:
    """Every row's target: an Arrow array, or [N, K] numbers. Raises DataError if one is blank.

    Where sequences have targets of their steps, every step that has one is a row.
    """
    where = f"{source.name}: target {toml(name)}"
    if isinstance(source.rows, pa.Table):
        column = cells.as_arrow(source.rows[name])
    else:
        y = source.y
        if y is not None and of_steps(source.rows, y):
            y = y[has_target(source.rows, y, where)]
        if y is not None and y.ndim == 2:
            values = y.astype(np.float64)
            return _whole(values, ~np.isfinite(values).all(axis=1), where)
        column = cells.as_arrow(y)
    if pa.types.is_timestamp(column.type):
        raise DataError(f"{where} holds dates; predict a number or a class")
    _whole(column, cells.texts(column).is_null().to_numpy(zero_copy_only=False), where)
    return column


def infer_task(column: pa.Array | Array, declared: Task | None, where: str) -> tuple[Task, str]:
    """The task and, where it was inferred from numbers, a remark that says so.

    Text and truth values are classes. So are whole numbers if there are at most 20 different ones with 10
    rows each on average, and 5 at least if there are more than two. All else is regression, several columns
    of numbers too. Raises DataError if numbers are wanted and text is there, or if the target is always the
    same.
    """
    if isinstance(column, np.ndarray):
        if declared == "classification":
            raise DataError(
                f"{where} has {column.shape[1]} columns, but classes need one; give [N] class codes"
            )
        if (column == column[0]).all():
            raise DataError(f"{where} is {column[0].tolist()} in every row; there is nothing to predict")
        return "regression", ""
    form, values, _ = cells.numbers(column)
    textual = form is None or pa.types.is_boolean(column.type)
    if form is None and declared == "regression":
        _, _, unread = cells.numbers(column, "plain")
        text = column[int(np.flatnonzero(unread)[0])].as_py()
        raise DataError(
            f"{where} holds text such as {toml(str(text).strip())} in {_rows(unread)}, where "
            'task = "regression" needs numbers; mend them or write task = "classification"'
        )
    if declared is None:
        different, counts = np.unique(np.zeros(0) if textual else values, return_counts=True)
        whole = bool((different == np.trunc(different)).all())
        few = len(different) <= min(MOST_CLASSES, len(values) / ROWS_PER_CLASS)
        few = few and (len(different) <= 2 or counts.min() >= ROWS_OF_RAREST)
        task: Task = "classification" if textual or (whole and few) else "regression"
    else:
        task = declared
    if _single(column, values, textual):
        what = "all rows are of one class," if task == "classification" else "the target is constant:"
        raise DataError(
            f"{where}: {what} {toml(str(column[0].as_py()).strip())}; there is nothing to predict"
        )
    if textual and declared is None:
        _check_repeated(column, where)
    if declared is not None or textual or not whole or len(different) > MOST_CLASSES:
        return task, ""
    other = "regression" if task == "classification" else "classification"
    kind = f"{len(different)} different whole numbers among {len(values)}"
    return task, f"{where} holds {kind}, so the task is {task}; write task = {toml(other)} if that is wrong."


def _check_repeated(column: pa.Array, where: str) -> None:
    """Raises DataError if nearly every row would be a class of its own: names, ids, dates."""
    codes, levels = cells.labels(column)
    if len(levels) > max(MOST_CLASSES, MOST_DIFFERENT * len(codes)):
        raise DataError(
            f"{where} holds {len(levels):,} different values in {len(codes):,} rows, such as "
            f"{toml(levels[0])}, which are neither numbers nor classes; name another [data] target, or put "
            "numbers or fewer classes there"
        )


def classes_of(column: pa.Array) -> tuple[Array, tuple[str, ...]]:
    """(codes [N] int32, names of the classes: numbers by size, else by the alphabet).

    A trailing full stop does not make another class where the name without it occurs too.
    """
    codes, names = cells.labels(column)
    known = set(names)
    plain = [name[:-1] if name.endswith(".") and name[:-1] in known else name for name in names]
    kept = [name for name in names if name in set(plain)]
    return np.array([kept.index(name) for name in plain], np.int32)[codes], tuple(kept)


def encode(column: pa.Array | Array, task: Task, classes: tuple[str, ...], where: str) -> Array:
    """int32 codes [N] into `classes`, or float32 [N, K].

    Raises DataError if a class is not among `classes`, or a number is none.
    """
    if task == "classification":
        codes, names = cells.labels(column)
        known = [name if name in classes else name.removesuffix(".") for name in names]
        strange = next((name for name in known if name not in classes), None)
        if strange is not None:
            raise DataError(
                f"{where} holds the class {toml(strange)}, which no development row has (they have "
                f"{_some(list(classes))}); take those rows out or correct them"
            )
        found: Array = np.array([classes.index(name) for name in known], np.int32)[codes]
        return found
    if isinstance(column, np.ndarray):
        numbers, unread = column, np.zeros(len(column), bool)
    else:
        _, values, unread = cells.numbers(column, cells.numbers(column)[0] or "plain")
        numbers = values[:, np.newaxis]
    bad = (
        unread | ~np.isfinite(numbers).all(axis=1) | (np.abs(numbers) > np.finfo(np.float32).max).any(axis=1)
    )
    if bad.any():
        raise DataError(
            f"{where} is no finite number of single precision in {_rows(bad)}, first in "
            f"row {int(np.flatnonzero(bad)[0]) + 1}; mend or drop those rows"
        )
    return numbers.astype(np.float32)


def encode_rows(source: Source, name: str, task: Task, classes: tuple[str, ...], where: str) -> Array:
    """The target of every row: int32 codes [N] or float32 [N, K], of steps [N, T] or [N, T, K].

    A step without a target has the code -1, or NaN. Raises DataError as `encode` does.
    """
    values, y = encode(target_column(source, name), task, classes, where), source.y
    if y is None or not of_steps(source.rows, y):
        return values
    return spread(values, has_target(source.rows, y, where))


def _single(column: pa.Array, values: Array, textual: bool) -> bool:
    """Whether every row has the same target."""
    if textual:
        return len(classes_of(column)[1]) == 1
    return bool((values == values[0]).all())


def _whole(column: pa.Array | Array, blank: Any, where: str) -> pa.Array | Array:
    if blank.any():
        raise DataError(f"{where} is blank in {_rows(blank)} of {len(blank)}; drop those rows")
    return column


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")


def _rows(mask: Any) -> str:
    n = int(mask.sum())
    return f"{n} row{'s' if n > 1 else ''}"


def of_steps(x: Array, y: Array | None) -> bool:
    """Whether y holds a target for every step of the sequences x, not one for each sequence."""
    return y is not None and x.ndim == 3 and y.ndim > 1 and y.shape[1] == x.shape[1]


def has_target(x: Array, y: Array, where: str) -> Array:
    """Which steps have a target, [N, T] bool. Raises DataError if a sequence has none at all."""
    there: Array = ~np.isnan(y) if y.dtype.kind == "f" else y != ("" if y.dtype.kind == "U" else -1)
    if y.ndim == 3:
        there = np.any(there, axis=2)
    if x.dtype.kind == "f":
        there = np.logical_and(there, ~np.isnan(x).all(axis=2))
    empty = ~np.any(there, axis=1)
    if empty.any():
        raise DataError(
            f"{where} is blank at every step of {int(empty.sum())} of {len(empty)} sequences; drop those rows"
        )
    return there


def spread(values: Array, there: Array) -> Array:
    """Codes [M] as [N, T] with -1, or numbers [M, K] as [N, T, K] with NaN, where no target is."""
    blank = np.int32(-1) if values.dtype.kind == "i" else np.float32(np.nan)
    found = np.full((*there.shape, *values.shape[1:]), blank, values.dtype)
    found[there] = values
    return found


def known(target: Array) -> Array:
    """The targets that are there, [M] codes or [M, K] numbers, of a target of rows or of steps."""
    if target.dtype.kind == "i":
        return target[target >= 0]
    flat = target.reshape(-1, target.shape[-1])
    found: Array = flat[~np.isnan(flat).any(axis=1)]
    return found
