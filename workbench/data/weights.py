"""How much rows count: a column of weights, read and checked, and what it is worth.

A weight of 2 counts as two such rows in the loss of a batch, Σ w l / Σ w, and in every score. Only ratios
matter: all weights times ten change nothing, and weights that are all alike say nothing at all.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from workbench.core.errors import DataError
from workbench.core.formatting import toml
from workbench.core.types import Array, DataSpec
from workbench.data.preprocessing import cells
from workbench.data.preprocessing.numerals import Written
from workbench.data.raw import Source
from workbench.data.targets import form_of, of_steps

#: The array of an archive that holds them.
ARRAY = "weight"


def row_weights(source: Source, spec: DataSpec, written: Written | None = None) -> Array | None:
    """The weight of every row, [N] float64; None where the study names no column.

    written  how the file writes numbers

    Raises DataError for a weight that is missing, no number, below zero or infinite.
    """
    if spec.weight is None:
        return None
    where = f"{source.name}: [data] weight = {toml(spec.weight)}"
    if isinstance(source.rows, pa.Table):
        values = _of_column(source.rows, spec.weight, where, written or Written())
    else:
        values = _of_archive(source, where)
    for wrong, what in (
        (~np.isfinite(values), "is blank or no finite number"),
        (values < 0, "is below zero"),
    ):
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            raise DataError(
                f"{where} {what} in {int(wrong.sum())} of {len(values)} rows, first in row {first + 1}; a "
                "weight is a number of at least 0: mend them or drop those rows"
            )
    return values


def check_parts(weight: Array | None, parts: dict[str, Array], where: str) -> None:
    """Raises DataError if all rows of a part, positions by its name, weigh nothing."""
    for name, index in parts.items():
        if weight is not None and len(index) and not weight[index].any():
            raise DataError(
                f"{where}: all {len(index)} {name} rows have a weight of 0, so nothing can be said by them; "
                "drop rows that do not count, or take another column"
            )


def relative(weight: Array) -> Array:
    """Weights whose mean is one, [N] float32: exactly one where all are alike."""
    scaled = weight / weight.max()
    found: Array = (scaled / scaled.mean()).astype(np.float32)
    return found


def uneven(weight: Array | None) -> Array | None:
    """The weights as `relative` has them; None where there are none, or all rows count alike."""
    if weight is None or not len(weight) or np.ptp(weight) == 0:
        return None
    return relative(weight)


def effective(weight: Array) -> float:
    """How many rows of equal weight know a mean as well, (Σ w)² / Σ w² (Kish 1965, "Survey sampling")."""
    scaled = np.asarray(weight, np.float64) / np.max(weight)
    return float(scaled.sum() ** 2 / np.sum(scaled**2))


def _of_column(table: pa.Table, name: str, where: str, written: Written) -> Array:
    if name not in table.column_names:
        raise DataError(f"{where} is not a column; its columns are {', '.join(table.column_names[:12])}")
    column = cells.as_arrow(table[name])
    if pa.types.is_timestamp(column.type) or pa.types.is_boolean(column.type):
        raise DataError(f"{where} holds no numbers; a weight is a number of at least 0")
    _, values, unread = cells.numbers(column, form_of(column, written) or "plain")
    if len(values) and unread.all():
        raise DataError(f"{where} holds text; a weight is a number of at least 0")
    return np.where(unread, np.nan, values.astype(np.float64))


def _of_archive(source: Source, where: str) -> Array:
    if source.weight is None:
        raise DataError(f"{where}: the archive has no array {ARRAY} that holds a number for each row; add it")
    if of_steps(source.rows, source.y):
        raise DataError(f"{where} weighs whole rows, but every step of a sequence has a target; drop the key")
    return source.weight.astype(np.float64)
