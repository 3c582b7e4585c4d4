"""The target: which column it is, what task it sets, and its values as codes or numbers.

Steps of sequences have targets y [N, T] or [N, T, K], of which some have none. A step has no target behind
the end of its sequence, and where y says so: NaN in numbers, -1 in whole numbers, an empty text. What is
inferred, encoded and counted is the column of the targets that are there; `spread` puts them back into their
places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from workbench.core.errors import DataError
from workbench.core.formatting import nearest, toml
from workbench.core.types import Array, DataSpec, Task
from workbench.data.labels import are_labels, check_labels, encode_labels
from workbench.data.preprocessing import cells, numerals
from workbench.data.preprocessing.oddities import MANY, oddities
from workbench.data.raw import Source

#: Whole numbers are classes if there are at most so many different ones, with so many rows each on average,
#: and the rarest of three or more with so many: counts, such as goals of a match, have a tail.
MOST_CLASSES, ROWS_PER_CLASS, ROWS_OF_RAREST = 20, 10, 5
#: Words that are blank among numbers, and the name of a class among names.
CLASS_WORDS = ("none", "na", "n/a", "null")
#: Text of which a larger share of the rows differs is no target: see `_check_repeated`.
MOST_DIFFERENT = 0.5


def target_names(source: Source, spec: DataSpec) -> tuple[str, ...]:
    """The columns to predict, mostly one. Raises DataError if they are not named or not there."""
    where = source.name
    if not isinstance(source.rows, pa.Table):
        if source.y is None:
            raise DataError(f"{where}: holds no targets; add the array y")
        names = source.targets or ("y",)
        if spec.target not in (None, "y", names):
            raise DataError(
                f"{where}: [data] target = {toml(spec.target)}, but an archive's target is y; drop the key"
            )
        return names
    columns = source.rows.column_names
    given = spec.target or source.target
    if given is None:
        raise DataError(
            f"{where}: [data] target is missing; name the column to predict, such as {toml(columns[-1])}"
        )
    names = (given,) if isinstance(given, str) else given
    for name in names:
        if name not in columns:
            close = nearest(name, columns)
            remedy = f"did you mean {toml(close)}?" if close else f"the columns are {_some(columns)}"
            raise DataError(f"{where}: [data] target = {toml(name)} is not a column; {remedy}")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"{where}: [data] target names {toml(twice)} twice; drop one")
    return names


def target_columns(source: Source, names: Sequence[str]) -> list[pa.Array | Array]:
    """`target_column` of each column; the targets of an archive are one array, whatever they are called."""
    return [target_column(source, name) for name in names[: _parts(source, names)]]


def _parts(source: Source, names: Sequence[str]) -> int:
    return len(names) if isinstance(source.rows, pa.Table) else 1


def target_column(source: Source, name: str, classes: tuple[str, ...] = ()) -> pa.Array | Array:
    """Every row's target: an Arrow array, or [N, K] numbers. Raises DataError if one is blank.

    Where sequences have targets of their steps, every step that has one is a row. Classes may be known.
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
    blanks = _blanks(classes) if classes else _blanks_of(column)
    _whole(column, cells.texts(column, blanks).is_null().to_numpy(zero_copy_only=False), where)
    return column


def class_words(column: pa.Array | Array, classes: tuple[str, ...]) -> str:
    """That classes have names which elsewhere mean that nothing is there; "" if none has."""
    named = [name for name in classes if name.lower() in CLASS_WORDS]
    if not named or not isinstance(column, pa.Array):
        return ""
    n = int(np.isin(cells.texts(column, ()).to_numpy(zero_copy_only=False).astype(str), named).sum())
    listed = ", ".join(map(toml, named))
    return f"{listed} in {n} rows is taken for a class; leave cells empty that have none."


def _blanks(classes: tuple[str, ...]) -> tuple[str, ...]:
    """What is blank beside these classes."""
    names = {name.lower() for name in classes}
    return tuple(word for word in cells.BLANKS if word not in names)


def _blanks_of(column: pa.Array) -> tuple[str, ...]:
    """What is blank in a target: among names, no word that may be the name of a class."""
    if not pa.types.is_string(column.type):
        return cells.BLANKS
    text = cells.texts(column)
    if not text.null_count or text.null_count == len(text) or numerals.census(text).numeric:
        return cells.BLANKS
    return tuple(word for word in cells.BLANKS if word not in CLASS_WORDS)


def form_of(column: pa.Array | Array, written: numerals.Written) -> str | None:
    """How a target of a file that writes so writes its numbers; None if it is text."""
    if isinstance(column, np.ndarray) or not pa.types.is_string(column.type):
        return "plain"
    found = numerals.form_of(cells.texts(column), written)
    return None if found is None or found[2].any() else found[0].words


def infer_task(
    column: pa.Array | Array, declared: Task | None, where: str, written: numerals.Written | None = None
) -> tuple[Task, str]:
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
    if form is not None and written is not None:
        form, values, _ = cells.numbers(column, form_of(column, written) or form)
    textual = form is None or pa.types.is_boolean(column.type)
    if form is None and declared == "regression":
        _, _, unread = cells.numbers(column, "plain")
        text = column[int(np.flatnonzero(unread)[0])].as_py()
        raise DataError(
            f"{where} holds text such as {toml(str(text).strip())} in {_rows(unread)}, where "
            'task = "regression" needs numbers; mend them or write task = "classification"'
        )
    if declared is None and form is None:
        _refuse_odd(column, where)
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


def infer_tasks(
    columns: Sequence[pa.Array | Array],
    names: Sequence[str],
    declared: Task | None,
    where: str,
    written: numerals.Written | None = None,
) -> tuple[Task, str]:
    """`infer_task` of one target, or of several columns: labels if all hold yes and no, else numbers.

    Raises DataError also if several hold text, or classes are wanted of them.
    """
    if declared == "multilabel":
        check_labels(columns, names, where)
        return "multilabel", ""
    if declared is None and are_labels(columns):
        check_labels(columns, names, where)
        return "multilabel", (
            f"{where}: the targets {_some([toml(name) for name in names])} hold yes and no, so the task is "
            'multilabel; write task = "regression" if that is wrong.'
        )
    if len(columns) == 1:
        return infer_task(columns[0], declared, f"{where}: target {toml(names[0])}", written)
    if declared == "classification":
        raise DataError(
            f"{where}: [data] target names {len(names)} columns, but classes need one; name one of "
            f"{_some([toml(name) for name in names])}"
        )
    for name, column in zip(names, columns, strict=True):
        form, _, _ = cells.numbers(column)
        if form is None:
            _, _, unread = cells.numbers(column, "plain")
            text = column[int(np.flatnonzero(unread)[0])].as_py()
            raise DataError(
                f"{where}: target {toml(name)} holds text such as {toml(str(text).strip())} in "
                f"{_rows(unread)}, but several targets are numbers; mend them, or name one [data] target"
            )
        infer_task(column, "regression", f"{where}: target {toml(name)}", written)
    return "regression", ""


def _refuse_odd(column: pa.Array, where: str) -> None:
    """Raises DataError for a target of many numbers with some cells that are none."""
    text = cells.texts(column)
    found = numerals.form_of(text, numerals.Written())
    odd = None if found is None else oddities(text, found[1], found[2])
    if found is not None and odd and len(np.unique(found[1])) > MANY:
        first = int(np.flatnonzero(found[2])[0]) + 1
        raise DataError(
            f"{where} holds numbers, but {toml(next(iter(odd)))} in row {first} and no number in "
            f'{_rows(found[2])}; drop those rows, or write task = "classification"'
        )


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
    codes, names = cells.labels(column, _blanks_of(column))
    known = set(names)
    plain = [name[:-1] if name.endswith(".") and name[:-1] in known else name for name in names]
    kept = [name for name in names if name in set(plain)]
    return np.array([kept.index(name) for name in plain], np.int32)[codes], tuple(kept)


def encode(
    column: pa.Array | Array,
    task: Task,
    classes: tuple[str, ...],
    where: str,
    form: str = "",
    places: Array | None = None,
) -> Array:
    """int32 codes [N] into `classes`, or float32 [N, K].

    form    how numbers are written, if it is known
    places  [N] the rows of the file that these are

    Raises DataError if a class is not among `classes`, or a number is none.
    """
    if task == "classification":
        codes, names = cells.labels(column, _blanks(classes))
        known = [name if name in classes else name.removesuffix(".") for name in names]
        strange = next((name for name in known if name not in classes), None)
        if strange is not None:
            raise DataError(
                f"{where} holds the class {toml(strange)}, which no development row has (they have "
                f"{_some(list(classes))}); take those rows out or correct them"
            )
        found: Array = np.array([classes.index(name) for name in known], np.int32)[codes]
        return found
    if task == "multilabel":
        return encode_labels(column, where)
    if isinstance(column, np.ndarray):
        numbers, unread = column, np.zeros(len(column), bool)
    else:
        _, values, unread = cells.numbers(column, form or cells.numbers(column)[0] or "plain")
        numbers = values[:, np.newaxis]
    bad = (
        unread | ~np.isfinite(numbers).all(axis=1) | (np.abs(numbers) > np.finfo(np.float32).max).any(axis=1)
    )
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"{where} is no finite number of single precision in {_rows(bad)}, first in "
            f"row {(first if places is None else int(places[first])) + 1}; mend or drop those rows"
        )
    return numbers.astype(np.float32)


def encode_rows(
    source: Source,
    names: Sequence[str],
    task: Task,
    classes: tuple[str, ...],
    *,
    forms: Sequence[str] = (),
    places: Array | None = None,
    which: str = "",
) -> Array:
    """The targets of every row: int32 codes [N] or float32 [N, K], of steps [N, T] or [N, T, K].

    A step without a target has the code -1, or NaN.

    names  of the columns; those of several stand side by side, as in an archive's y [N, K]
    forms  how the numbers of each are written, as far as that is known
    which  rows these are, for sentences

    Raises DataError as `encode` does.
    """
    y = source.y
    steps = y is not None and of_steps(source.rows, y)
    found = []
    for place, name in enumerate(names[: _parts(source, names)]):
        form = forms[place] if place < len(forms) else ""
        column = target_column(source, name, classes)
        where = f"{source.name}: target {toml(name)}{which}"
        found.append(encode(column, task, classes, where, form, None if steps else places))
    values = found[0] if len(found) == 1 else np.concatenate(found, axis=1)
    if y is None or not steps:
        return values
    return spread(values, has_target(source.rows, y, f"{source.name}: target {toml(names[0])}{which}"))


def _single(column: pa.Array, values: Array, textual: bool) -> bool:
    """Whether every row has the same target."""
    if textual:
        return len(classes_of(column)[1]) == 1
    return bool((values == values[0]).all())


def _whole(column: pa.Array | Array, blank: Any, where: str) -> pa.Array | Array:
    if blank.any():
        first = int(np.flatnonzero(blank)[0]) + 1
        raise DataError(
            f"{where} is blank in {_rows(blank)} of {len(blank)}, first in row {first}; drop those rows"
        )
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
