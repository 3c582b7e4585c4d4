"""One source divided into training, validation and test rows, as the study asks.

The split sees targets, so that classes are spread evenly, and the columns `group` and `time`; of features it
sees a hash, which decides the order of rows and nothing else. Who calls this twice gets the same rows twice:
the seal is opened by dividing again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from workbench.core.errors import DataError
from workbench.core.formatting import nearest, toml
from workbench.core.types import Array, DataSpec, Split, Task
from workbench.data import content
from workbench.data.preprocessing import cells
from workbench.data.preprocessing.kinds import censuses, days_first, doubtful
from workbench.data.preprocessing.numerals import Form, Written, judge
from workbench.data.raw import Source
from workbench.data.splits import split_rows
from workbench.data.targets import (
    class_words,
    classes_of,
    form_of,
    infer_tasks,
    of_steps,
    target_columns,
    target_names,
)
from workbench.data.weights import ARRAY, check_parts, row_weights


class Division(NamedTuple):
    """Row numbers of a source, sorted; with official test rows, `test` is empty.

    group, time    [N] codes, and numbers or moments as numbers, of every row; None where the study names none
    content        [N] uint64, see `content`; None where rows are divided by their numbers
    weight         [N] float64, see `weights`; None where the study names none
    written        how the file writes numbers, by what development rows show
    """

    train: Array
    validation: Array
    test: Array
    targets: tuple[str, ...]
    task: Task
    remarks: tuple[str, ...]
    group: Array | None = None
    time: Array | None = None
    content: Array | None = None
    written: Written = Written()
    forms: tuple[str, ...] = ()  # of each target of numbers
    weight: Array | None = None


def divide(source: Source, spec: DataSpec) -> Division:
    """Divide the rows. Raises DataError if a column is not there or rows do not suffice."""
    where = source.name
    targets = target_names(source, spec)
    _check_names(source, spec, targets)
    columns = target_columns(source, targets)
    declared = spec.task or (source.task if targets == (source.target,) else None)
    task, remark = infer_tasks(columns, targets, declared, where)
    codes, classes = classes_of(columns[0]) if task == "classification" else (None, ())
    if not isinstance(source.rows, pa.Table) and of_steps(source.rows, source.y):
        codes = None  # of steps: there are no classes of rows to spread evenly
    split = spec.split
    if source.official:
        split = Split(split.train, split.validation, 0.0)
    group, time = _keys(source, spec)
    known = content.of_rows(source.rows, source.y) if spec.split_rule == "content" else None
    train, validation, test = split_rows(
        codes,
        len(source.rows),
        split,
        spec.seed if known is None else spec.split_seed,
        stratify=codes is not None,
        group=group,
        time=time,
        content=known,
        classes=classes,
        where=where,
    )
    if codes is not None:
        present = np.bincount(codes[train], minlength=len(classes)) > 0
        if present.sum() < 2:
            raise DataError(
                f"{where}: all training rows are of class {toml(classes[int(present.argmax())])} when "
                f"divided by [data] {'time' if spec.time else 'group'}; take another column"
            )
    written, forms = Written(), ("",) * len(columns)
    if isinstance(source.rows, pa.Table):
        found = censuses(source.rows, np.concatenate([train, validation]))
        written = judge(
            found.values(), decimal=spec.decimal, thousands=spec.thousands, lists=source.separator
        )
        if written.decimal == ",":  # what seemed to be whole may have decimals
            task, remark = infer_tasks(columns, targets, declared, where, written)
        if task == "regression":
            forms = tuple(form_of(column, written) or "" for column in columns)
    weight = row_weights(source, spec, written)
    check_parts(weight, {"training": train, "validation": validation, "test": test}, where)
    remarks: tuple[str, ...] = tuple(
        said
        for target, form, column in zip(targets, forms, columns, strict=False)
        if task != "multilabel"
        for said in _said_of_target(source, target, task, form, column, classes, written)
    )
    remarks += (remark,) if remark else ()
    if known is not None:
        remarks += _divided_copies(known, train, validation, test, where)
    return Division(
        train, validation, test, targets, task, remarks, group, time, known, written, forms, weight
    )


def _said_of_target(
    source: Source,
    target: str,
    task: Task,
    form: str,
    column: pa.Array | Array,
    classes: tuple[str, ...],
    written: Written,
) -> tuple[str, ...]:
    """How the target was read, where that is not plain."""
    where = f"{source.name}: target {toml(target)}"
    if task == "classification":
        same = cells.alike(classes)
        remarks = [f"{where} has classes that differ in case or spaces alone: {same}."] if same else []
        words = class_words(column, classes)
        return (*remarks, *([f"{where}: {words}"] if words else []))
    if not isinstance(column, pa.Array) or not pa.types.is_string(column.type):
        return ()
    said = (f"{where} was read as written with {form}.",) if form != "plain" else ()
    doubt = doubtful(f"target {toml(target)}", cells.texts(column), Form.of(form), written)
    return (*said, *(f"{source.name}: {each}" for each in doubt))


def _divided_copies(
    known: Array, train: Array, validation: Array, test: Array, where: str
) -> tuple[str, ...]:
    """What must be said if copies of training rows are under test: there were too few different rows."""
    ordered = np.sort(known)
    if (ordered[1:] != ordered[:-1]).all():
        return ()
    copies = int(np.isin(known[test], known[np.concatenate([train, validation])]).sum())
    if not copies:
        return ()
    return (
        f"{where}: {copies:,} of {len(test):,} test rows are copies of rows that are trained or selected on, "
        "because some class has too few different rows to keep copies together; take the copies out, if they "
        "are not different cases that look alike.",
    )


def _check_names(source: Source, spec: DataSpec, targets: tuple[str, ...]) -> None:
    """Every column that the study names must be there. Raises DataError."""
    asked = {
        "features": spec.features or (),
        "drop": spec.drop,
        "categorical": spec.categorical,
        "group": (spec.group,) if spec.group else (),
        "time": (spec.time,) if spec.time else (),
        "weight": (spec.weight,) if spec.weight else (),
    }
    if not isinstance(source.rows, pa.Table):
        for key, names in asked.items():
            if names and (key, names) != ("weight", (ARRAY,)):
                raise DataError(
                    f"{source.name}: [data] {key} names {toml(names[0])}, but an archive has none"
                )
        return
    columns = source.rows.column_names
    for key, names in asked.items():
        for name in names:
            if name in targets and key != "categorical":
                raise DataError(
                    f"{source.name}: [data] {key} names the target {toml(name)}; take it out of {key}"
                )
            if name in source.left_out:
                if key == "drop":
                    continue
                raise DataError(
                    f"{source.name}: [data] {key} names {toml(name)}, whose cells are not numbers, text or "
                    "dates; name another column"
                )
            if name not in columns:
                close = nearest(name, columns)
                remedy = (
                    f"did you mean {toml(close)}?" if close else f"the columns are {', '.join(columns[:12])}"
                )
                raise DataError(
                    f"{source.name}: [data] {key} names {toml(name)}, which is not a column; {remedy}"
                )


def _keys(source: Source, spec: DataSpec) -> tuple[Array | None, Array | None]:
    """Groups as numbers [N] and times [N] as float64, where the study names them. Raises DataError."""
    group = time = None
    if spec.group:
        named = cells.as_arrow(source.rows[spec.group])
        group, _ = cells.labels(named)
        _complete(source, "group", spec.group, group < 0)
        if spec.split_rule == "content":  # what stands there, which other groups do not number anew
            group = content.of_cells(named)
    if spec.time:
        raw = cells.as_arrow(source.rows[spec.time])
        form, values, _ = (None, None, None) if pa.types.is_timestamp(raw.type) else cells.numbers(raw)
        if form is None:
            assert isinstance(source.rows, pa.Table)
            others = (cells.as_arrow(column) for column in source.rows.columns)
            first = cells.day_or_month(raw) == "either" and (
                days_first(others) or judge(censuses(source.rows).values()).decimal == ","
            )
            form, moments, _ = cells.moments(raw, day_first=first)
            values = np.where(np.isnat(moments), np.nan, moments.astype(np.int64).astype(np.float64))
        if form is None:
            raise DataError(
                f"{source.name}: [data] time = {toml(spec.time)} holds neither numbers nor dates of one "
                "form; write them as 2024-12-31"
            )
        assert values is not None
        _complete(source, "time", spec.time, np.isnan(values))
        time = values
    return group, time


def _complete(source: Source, key: str, name: str, blank: Array) -> None:
    if blank.any():
        raise DataError(
            f"{source.name}: [data] {key} = {toml(name)} is blank in {int(blank.sum())} rows of "
            f"{len(blank)}; fill them or drop those rows"
        )
