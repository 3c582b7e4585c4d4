"""Targets of the steps of sequences: y [N, T] or [N, T, K], of which some steps have none.

A step has no target behind the end of its sequence, and where y says so: NaN in numbers, -1 in whole numbers,
an empty text. What is inferred, encoded and counted is the column of the targets that are there; `spread`
puts them back into their places.
"""

from __future__ import annotations

import numpy as np

from workbench.errors import DataError
from workbench.types import Array

__all__ = ["has_target", "known", "of_steps", "spread"]


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
