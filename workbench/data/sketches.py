"""Sketches of rows: by which cell after cell is compared with another file, though no cell can be read.

Of every cell stand five short hashes (8 bits), each of a question that is answered the same where the row
comes back changed:

    exact   the cell itself, in single precision
    near    in which interval of a grid it lies; and of the same grid moved by half an interval. The intervals
            are a power of two, an eighth to a fourth of the column's spread: cells that are less than half
            an interval apart share one of the two
    place   between which quantiles of its column it lies, by the same device: 32 of them, and 32 moved by
            half. It survives a change of units, or any function that rises; of labels it is the rank by
            frequency, which survives new names

Spread and quantiles are those of the whole table, so that every split of it is sketched alike. A wide table
is kept by the columns that tell most, in the order of the file. An image or a sequence, set to zero mean and
unit deviation, is sketched by some numbers of it: sums over its cells with random signs.

    table = sketch(rows, y, target)
    table.take(test)                    of some rows; `met` compares two of them
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
import pyarrow as pa

from workbench.core.types import Array
from workbench.data.marks import FEW, as_single, mix, of_text
from workbench.data.preprocessing import cells

#: Which of the hashes belong to which question.
EXACT, NEAR, PLACE = slice(0, 1), slice(1, 3), slice(3, 5)
KINDS = {"exact": EXACT, "near": NEAR, "place": PLACE}
#: Columns that are compared, and of these that are kept for later; numbers that stand for an image.
_MOST, _KEPT, _SUMS = 128, 24, 24
#: Intervals in a spread, at least; quantiles.
_FINE, _QUANTILES = 4.0, 32
#: Hashes of different cells that tell a column by what it holds.
_SAMPLE = 8
#: Grids begin where neither whole numbers nor decimal ones lie.
_BEGIN = 0.35


class Column(NamedTuple):
    """What is known of a column, beside its cells."""

    name: str  # hashed
    step: int  # the logarithm of its intervals; of labels 9999
    holds: tuple[int, ...]  # the smallest hashes of its cells
    bits: tuple[float, float, float]  # what it tells that a cell agrees: exact, near, place


class Sketch(NamedTuple):
    """Of N rows; the target is the last column.

    codes  [C, 5, N] uint8; 0 where the cell is blank
    """

    columns: tuple[Column, ...]
    codes: Array

    @property
    def rows(self) -> int:
        """N."""
        return int(self.codes.shape[2])

    def take(self, index: Array) -> Self:
        """Of the rows at these positions."""
        return self._replace(codes=np.ascontiguousarray(self.codes[:, :, index]))

    def kept(self) -> Self:
        """Of the columns that tell most, which are kept for later."""
        chosen = [*_most(self.columns[:-1], _KEPT), len(self.columns) - 1]
        columns = tuple(self.columns[j] for j in chosen)
        return self._replace(columns=columns, codes=np.ascontiguousarray(self.codes[chosen]))

    def head(self) -> list[list[Any]]:
        """The columns as JSON."""
        return [[column.name, column.step, list(column.holds), list(column.bits)] for column in self.columns]


def read_head(document: Iterable[Iterable[Any]]) -> tuple[Column, ...]:
    """The inverse of `Sketch.head`."""
    return tuple(Column(name, step, tuple(holds), tuple(bits)) for name, step, holds, bits in document)


def read(head: Iterable[Iterable[Any]], data: bytes, rows: int) -> Sketch:
    """A sketch from its `head` and the bytes of its codes."""
    columns = read_head(head)
    return Sketch(columns, np.frombuffer(data, np.uint8).reshape(len(columns), 5, rows))


def sketch(rows: pa.Table | pd.DataFrame | Array, y: Array | None, target: str) -> Sketch:
    """Of all rows of a table, or of an archive and its targets."""
    known: Mapping[str, Any]
    if isinstance(rows, np.ndarray):
        assert y is not None
        flat = rows if rows.ndim == 2 else _sums(rows)
        known = {str(j): flat[:, j].astype(np.float64) for j in range(flat.shape[1])}
        target = "target"
        known = {**known, target: y if y.ndim == 1 else _means(y)}
    else:
        names = rows.columns if isinstance(rows, pd.DataFrame) else rows.column_names
        known = {str(name): rows[name] for name in names}
    made = {name: _column(name, cells.as_arrow(column)) for name, column in known.items()}
    last = made.pop(target)
    telling = [each for each in made.values() if max(each[0].bits) > 0]
    chosen = [*(telling[j] for j in _most([column for column, _ in telling], _MOST)), last]
    return Sketch(tuple(column for column, _ in chosen), np.stack([codes for _, codes in chosen]))


def _most(columns: Sequence[Column], most: int) -> list[int]:
    """The columns that tell most, in their order."""
    return sorted(sorted(range(len(columns)), key=lambda j: -columns[j].bits[1])[:most])


def _column(name: str, column: pa.Array) -> tuple[Column, Array]:
    """A column and the hashes of its cells [5, N]."""
    timely = pa.types.is_timestamp(column.type)
    form, numbers, _ = (None, np.zeros(0), None) if timely else cells.numbers(column)
    step = 9999
    if form is not None:
        known = ~np.isnan(numbers)
        exact = as_single(numbers).view(np.uint32).astype(np.uint64)
        step, answers = _of_numbers(numbers, known)
    else:
        coded, labels = cells.labels(column)
        known = coded >= 0
        exact = np.array([*(of_text(label) for label in labels), 0], np.uint64)[coded]
        counts = np.bincount(coded[known], minlength=len(labels))
        place = _by_frequency(counts, coded)
        answers = [exact, exact, place, place]
    codes = np.stack([np.where(known, _code(answer), np.uint8(0)) for answer in (exact, *answers)])
    holds = tuple(int(value) for value in np.sort(mix(pd.unique(exact[known])))[:_SAMPLE] >> np.uint64(32))
    bits = tuple(round(_told(codes[kind]), 2) for kind in KINDS.values())
    return Column(f"{of_text(name.strip()):016x}", step, holds, bits), codes  # type: ignore[arg-type]


def _of_numbers(numbers: Array, known: Array) -> tuple[int, list[Array]]:
    """The logarithm of the intervals; and in which intervals and quantiles the numbers [N] lie."""
    nothing = np.zeros(len(numbers), np.int64)
    present = numbers[known]
    # The mean distance from the median, which a few wild cells do not move far.
    spread = 1.25 * float(np.abs(present - np.median(present)).mean()) if present.size else 0.0
    if not np.isfinite(spread) or spread < np.finfo(np.float64).tiny * 2**52:
        return 0, [nothing] * 4
    step = int(np.floor(np.log2(spread / _FINE)))
    with np.errstate(over="ignore"):
        grid = np.clip(np.where(known, numbers, 0.0) / 2.0**step, -(2.0**62), 2.0**62)
    near = [np.floor(grid + begin).astype(np.int64) for begin in (_BEGIN, _BEGIN + 0.5)]
    levels = pd.unique(present)
    if len(levels) <= FEW:
        coded = np.searchsorted(np.sort(levels), np.where(known, numbers, levels.min()))
        return step, [*near, *[_by_frequency(np.bincount(coded[known]), coded)] * 2]
    half = ((np.arange(1, 2 * _QUANTILES) * present.size) // (2 * _QUANTILES)).astype(np.int64)
    edges = np.partition(present, np.unique(half))[half]
    place = [np.searchsorted(edges[first::2], numbers, side="right") + 1000 * first for first in (1, 0)]
    return step, [*near, *place]


def _by_frequency(counts: Array, coded: Array) -> Array:
    """The rank of each cell's level by how often it occurs, apart from places among quantiles."""
    rank = np.argsort(np.argsort(-counts, kind="stable"), kind="stable")
    found: Array = np.append(rank, 0)[coded] + 2000
    return found


def _sums(x: Array) -> Array:
    """[N, ...] -> [N, S]: sums over standardized cells with random signs."""
    flat = x.reshape(len(x), -1)
    signs = np.random.default_rng(0).choice(np.array([-1.0, 1.0], np.float32), (flat.shape[1], _SUMS))
    made = np.empty((len(x), _SUMS), np.float32)
    step = max(1, 2**22 // max(1, flat.shape[1]))
    for start in range(0, len(x), step):
        part = flat[start : start + step].astype(np.float32)
        there = np.isfinite(part)
        count = np.maximum(there.sum(axis=1, keepdims=True), 1)
        part = np.where(there, part, np.float32(0))
        part = np.where(
            there, part - part.sum(axis=1, keepdims=True) / count.astype(np.float32), np.float32(0)
        )
        deviation = np.sqrt((part**2).sum(axis=1, keepdims=True) / count.astype(np.float32))
        made[start : start + step] = (part / np.where(deviation > 0, deviation, np.float32(1))) @ signs
    return made


def _means(y: Array) -> Array:
    """Targets of several columns or of steps [N, ...] as one number each."""
    flat = y.reshape(len(y), -1).astype(np.float64)
    there = np.isfinite(flat)
    mean: Array = np.where(there, flat, 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    return mean


def _code(answers: Array) -> Array:
    """A hash of 8 bits that is never 0."""
    return ((mix(answers.astype(np.uint64)) >> np.uint64(33)) % np.uint64(255) + np.uint64(1)).astype(
        np.uint8
    )


def _told(codes: Array) -> float:
    """How many bits it tells, on average, that a row shares one of these hashes [1 or 2, N] with another."""
    n = max(1, codes.shape[1])
    share = [(np.bincount(code, minlength=256) / n)[code] for code in codes]
    either = share[0]
    if len(codes) == 2:
        both = codes[0].astype(np.int64) * 256 + codes[1]
        either = share[0] + share[1] - (np.bincount(both, minlength=2**16) / n)[both]
    return float(-np.log2(either).mean()) if codes.shape[1] else 0.0
