"""Hashes that recognize a row in another file.

A test set can come back under another name, with its columns renamed or in another order, its rows shuffled,
its numbers rescaled. The ledger compares marks to see that. Each row has two:

    value   from the cells themselves: survives when only some of the rows come back
    place   from where each cell stands among the test rows: survives when numbers are rescaled, by any
    function
            that only rises or only falls, and when labels are renamed

A mark is the sum (modulo 2^64) of hashes of its cells, so the order of columns does not matter. Columns that
are constant say nothing and do not count. An image or a sequence is taken as it is for its value; its place
is each channel between its own smallest and largest number, in some 141 steps.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pyarrow as pa

from workbench.core.types import Array
from workbench.data.preprocessing import cells

#: Columns with more different values than this are placed by rank, others by how frequent a value is.
FEW = 32
#: Steps between the smallest and the largest number of a channel: irrational, so that no ratio of whole
#: numbers lies where rounding could go either way.
_STEPS = 100.0 * np.sqrt(2.0)


def row_marks(rows: pa.Table | pd.DataFrame | Array) -> Array:
    """[N, 2] uint64: the value mark and the place mark of each row, over all columns."""
    if isinstance(rows, np.ndarray):
        if rows.ndim > 2:
            return _of_channels(rows)
        columns = [pa.array(rows[:, j].astype(np.float64)) for j in range(rows.shape[1])]
    else:
        names = rows.columns if isinstance(rows, pd.DataFrame) else rows.column_names
        columns = [cells.as_arrow(rows[name]) for name in names]
    marks = np.zeros((len(rows), 2), np.uint64)
    for column in columns:
        value, place = _of_column(column)
        with np.errstate(over="ignore"):
            marks[:, 0] += value
            marks[:, 1] += place
    return marks


def _of_column(column: pa.Array) -> tuple[Array, Array]:
    """Hashes of one column's cells [N]; zeros if all are alike."""
    n = len(column)
    nothing = np.zeros(n, np.uint64)
    form, numbers, _ = (None, None, None) if pa.types.is_timestamp(column.type) else cells.numbers(column)
    if form is not None and numbers is not None:
        levels, codes = np.unique(numbers, return_inverse=True)
        value = mix(as_single(numbers).view(np.uint32).astype(np.uint64))
    else:
        coded, names = cells.labels(column)
        codes = np.unique(coded, return_inverse=True)[1]
        levels = np.array([0, *range(len(names))]) if (coded < 0).any() else np.arange(len(names))
        value = np.array([*(of_text(name) for name in names), 1], np.uint64)[coded]
    if len(levels) <= 1:
        return nothing, nothing
    counts = np.bincount(codes)
    if form is None or len(levels) <= FEW:
        return value, mix(counts[codes].astype(np.uint64) + np.uint64(2**34))
    # Ranks in the middle of ties, so that rows that rounding makes equal move nobody else; folded, so that
    # rising and falling order are the same. Blanks, which NumPy sorts last, stand aside.
    counts[np.isnan(levels)] = 0
    below = np.cumsum(counts) - counts
    place = np.abs(2 * below + counts - counts.sum()) + 1
    place[np.isnan(levels)] = 0
    return value, mix(place[codes].astype(np.uint64) + np.uint64(2**33))


def _of_channels(x: Array) -> Array:
    """Marks of images and sequences [N, ..., C]."""
    flat = x.reshape(len(x), -1, x.shape[-1])
    marks = np.empty((len(x), 2), np.uint64)
    step = max(1, 2**21 // max(1, flat[0].size if len(x) else 1))
    for start in range(0, len(x), step):
        part = flat[start : start + step].astype(np.float64)
        known = np.isfinite(part)
        low = np.where(known, part, np.inf).min(axis=1, keepdims=True)
        high = np.where(known, part, -np.inf).max(axis=1, keepdims=True)
        spread = np.where(high > low, high - low, 1.0)
        with np.errstate(invalid="ignore"):
            steps = np.where(known, np.rint((part - low) / spread * _STEPS), 2**15)
        single = np.ascontiguousarray(as_single(part)).astype(np.float32)
        for row, (values, places) in enumerate(zip(single, steps.astype(np.uint16), strict=True), start):
            marks[row] = _bytes(values.tobytes()), _bytes(places.tobytes())
    return marks


def as_single(numbers: Array) -> Array:
    """Numbers in single precision, so that a file saved in it is recognized; one zero, one blank."""
    with np.errstate(over="ignore"):
        single = numbers.astype(np.float32)
    single = np.where(single == 0, np.float32(0), single)
    found: Array = np.where(np.isfinite(single), single, np.float32(np.nan))
    return found


def of_text(text: str) -> int:
    """The hash of a label; of one that differs in its case alone, the same."""
    return _bytes(text.casefold().encode())


def _bytes(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def mix(z: Array) -> Array:
    """The finalizer of splitmix64: neighbors become strangers, so that sums do not collide."""
    with np.errstate(over="ignore"):
        z = z + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Array = z ^ (z >> np.uint64(31))
    return mixed
