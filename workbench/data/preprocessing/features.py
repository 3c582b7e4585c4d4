"""Features from columns: dates and numbers, filled and scaled, with their monomials; and labels, one each.

A date becomes days since 1970-01-01, month, weekday (0 is Monday) and hour, as far as these vary on training
rows. Monomials of numeric features up to a degree come in the order of scikit-learn's
PolynomialFeatures(include_bias=False).

Features of labels are zero or one. Labels that few training rows have share the feature `other`, and so does
a label that no training row had; without such a feature an unseen label is all zeros. Blank cells have a
feature of their own if training rows had any. scikit-learn: OneHotEncoder(min_frequency, max_categories,
handle_unknown="infrequent_if_exist"), which adds rare blanks to the rare labels.

Not scikit-learn's, measured as in `scaling` on a million rows. Medians take 0.10 s and 82 MB, SimpleImputer
0.44 s and 220 MB; labels 0.61 s and 311 MB, OneHotEncoder 0.82 s and 306 MB on codes, 2.7 s and 462 MB on
text. PolynomialFeatures is leaner, 0.14 s and 128 MB by blocks against 0.30 s and 149 MB, but extreme numbers
overflow in it, and every prediction would import it (0.6 s, 75 MB).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from workbench.core.errors import DataError
from workbench.core.types import Array
from workbench.data.preprocessing.bins import Bins, fit_bins
from workbench.data.preprocessing.scaling import (
    LARGEST,
    LARGEST_SINGLE,
    Scaling,
    finite,
    fit_scaling,
    rows_of,
    scaled,
)
from workbench.data.preprocessing.tables import Column

DATE_PARTS = ("days", "month", "weekday", "hour")
#: More features than this are refused.
MOST_FEATURES = 20_000
#: Numbers in one block of rows.
_BLOCK = 2**21


def date_part(column: pd.Series, part: str) -> Array:
    """[N] float64, NaN where the date is blank."""
    if part == "days":
        moments = column.to_numpy().astype("datetime64[us]")
        days = moments.astype(np.int64) / 86_400e6
        values: Array = np.where(np.isnat(moments), np.nan, days)
        return values
    found: Array = getattr(column.dt, {"weekday": "day_of_week"}.get(part, part)).to_numpy(np.float64)
    return found


def varying_parts(column: pd.Series) -> tuple[str, ...]:
    """The parts of a date that differ between rows; its days if none do."""
    found = []
    for part in DATE_PARTS:
        values = date_part(column, part)
        values = values[~np.isnan(values)]
        if len(values) and (values != values[0]).any():
            found.append(part)
    return tuple(found) or ("days",)


def monomials(n: int, degree: int, where: str) -> list[tuple[int, ...]]:
    """Which of n features each monomial multiplies, by rising degree. Raises DataError for too many."""
    if n and math.comb(n + degree, degree) - 1 > MOST_FEATURES and degree > 1:
        raise DataError(
            f"{where}: [data] degree = {degree} makes {math.comb(n + degree, degree) - 1:,} features of {n}, "
            f"more than {MOST_FEATURES:,}; lower it or name fewer [data] features"
        )
    return [m for d in range(1, degree + 1) for m in itertools.combinations_with_replacement(range(n), d)]


def monomial_names(names: Sequence[str], terms: Sequence[tuple[int, ...]]) -> list[str]:
    """Such as `age`, `age^2`, `age income`."""
    written = []
    for term in terms:
        powers = [(names[j], term.count(j)) for j in dict.fromkeys(term)]
        written.append(" ".join(name if power == 1 else f"{name}^{power}" for name, power in powers))
    return written


def vectors(frame: pd.DataFrame, columns: Sequence[Column], parts: Sequence[tuple[str, ...]]) -> list[Array]:
    """Numeric columns, then the parts of dates: [N] float64 each."""
    numeric = [frame[column.name].to_numpy() for column in columns if column.kind == "numeric"]
    dates = [column.name for column in columns if column.kind == "date"]
    return numeric + [
        date_part(frame[name], part) for name, known in zip(dates, parts, strict=True) for part in known
    ]


class Encoding(NamedTuple):
    """What numbers become: `kind` is plain, or see `bins`, with `most` bins at most, which tell `target`."""

    kind: str = "plain"
    most: int = 0
    target: Array | None = None  # of the training rows, see `fit_bins`


#: Numbers as they are.
PLAIN = Encoding()


def fit_numbers(
    vectors: Sequence[Array], n_numeric: int, degree: int, scale: str, encoding: Encoding, where: str
) -> tuple[Array, Array, Scaling, Bins | None]:
    """(what stands for a blank [n], whether there are any [n], scaling, bins) of n vectors of training rows.

    The first `n_numeric` are multiplied out to `degree` before scaling. Raises DataError if these are too
    many, or their bins.
    """
    fill, blank = _fills(vectors)
    terms = monomials(n_numeric, degree, where)
    n = len(terms) + len(vectors) - n_numeric
    rows = len(vectors[0]) if vectors else 0

    def blocks() -> Iterator[Array]:
        step = max(1, _BLOCK // max(1, n))
        for start in range(0, rows, step):
            yield _block(vectors, fill, terms, n_numeric, slice(start, start + step))

    def spaced(count: int) -> Array:
        return np.arange(rows) if rows <= count else np.linspace(0, rows - 1, count).astype(np.int64)

    def sample(count: int) -> Array:
        return _block(vectors, fill, terms, n_numeric, spaced(count))

    scaling = fit_scaling(scale, n, blocks, sample)
    if encoding.kind == "plain" or not n:
        return fill, blank, scaling, None
    chosen = spaced(rows_of(n))
    values = _single(scaled(scaling, _block(vectors, fill, terms, n_numeric, chosen)))
    target = None if encoding.target is None else encoding.target[chosen]
    bins = fit_bins(encoding.kind, encoding.most, values, target)
    if bins.features > MOST_FEATURES:
        raise DataError(
            f"{where}: [data] bins = {encoding.most} makes {bins.features:,} features of {n:,} numbers, "
            f"more than {MOST_FEATURES:,}; write fewer bins or name fewer [data] features"
        )
    return fill, blank, scaling, bins


def transform_numbers(
    vectors: Sequence[Array],
    fill: Array,
    terms: Sequence[tuple[int, ...]],
    n_numeric: int,
    scaling: Scaling,
    bins: Bins | None,
    out: Array,
) -> None:
    """Write filled, multiplied, scaled and encoded numbers into `out`, [N, their features] float32."""
    step = max(1, _BLOCK // max(1, out.shape[1]))
    for start in range(0, len(out) if vectors else 0, step):
        part = slice(start, start + step)
        values = _single(scaled(scaling, _block(vectors, fill, terms, n_numeric, part)))
        out[part] = values if bins is None else _single(bins.encoded(values))


def _single(values: Array) -> Array:
    """The same, cut off where float32 ends."""
    cut: Array = np.clip(values, -LARGEST_SINGLE, LARGEST_SINGLE)
    return cut


def _fills(vectors: Sequence[Array]) -> tuple[Array, Array]:
    """The median of each vector, zero if nothing is there, and whether anything is missing."""
    fill, blank = np.zeros(len(vectors)), np.zeros(len(vectors), bool)
    for j, vector in enumerate(vectors):
        there = np.isfinite(vector)
        blank[j] = not there.all()
        known = vector[there] if blank[j] else vector
        fill[j] = np.median(known) if len(known) else 0.0
    return fill, blank


def _block(
    vectors: Sequence[Array],
    fill: Array,
    terms: Sequence[tuple[int, ...]],
    n_numeric: int,
    rows: slice | Array,
) -> Array:
    """[B, features] float64 of some rows, before scaling."""
    numbers = finite(np.stack([vector[rows] for vector in vectors], axis=1), fill)
    if len(terms) == n_numeric:
        return numbers
    out = np.empty((len(numbers), len(terms) + len(vectors) - n_numeric))
    _expand(numbers[:, :n_numeric], terms, out)
    out[:, len(terms) :] = numbers[:, n_numeric:]
    return out


def _expand(block: Array, terms: Sequence[tuple[int, ...]], out: Array) -> None:
    """Write the monomials of each row, within LARGEST, as the block must be. block [B, n], out [B, terms]."""
    n = start = block.shape[1]
    out[:, :n] = block
    for place, term in enumerate(terms):  # monomials that extend the same one by a last factor are neighbors
        if start == len(terms):
            break
        longer = out[:, start : start + n - term[-1]]
        np.multiply(out[:, place, np.newaxis], block[:, term[-1] :], out=longer)
        np.clip(longer, -LARGEST, LARGEST, out=longer)
        start += n - term[-1]


#: A label is rare with fewer training rows than this, or than one in a hundred where that is less.
RARE = 10
#: Labels of one column that get a feature of their own; the rest are rare.
MOST_LEVELS = 200


class Levels(NamedTuple):
    """The features of one column of labels: `names`, then `other` and `blank` if they exist."""

    names: tuple[str, ...]
    other: bool
    blank: bool


def fit_levels(column: pd.Series, rare: int | None = None) -> Levels:
    """The labels of training rows.

    rare  labels with fewer rows are rare; None: `min(RARE, N // 100)`
    """
    names = list(column.cat.categories)
    codes = np.asarray(column.cat.codes)
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    least = max(1, min(RARE, len(codes) // 100) if rare is None else rare)
    common = np.flatnonzero(counts >= least)
    if len(common) > MOST_LEVELS:
        common = np.sort(common[np.argsort(-counts[common], kind="stable")[:MOST_LEVELS]])
    other = int(counts.sum()) > int(counts[common].sum())
    return Levels(tuple(names[code] for code in common), other, bool((codes < 0).any()))


def level_names(column: str, levels: Levels) -> list[str]:
    """The names of the features."""
    names = [f"{column}={name}" for name in levels.names]
    return names + [f"{column} other"] * levels.other + [f"{column} blank"] * levels.blank


def codes(column: pd.Series, levels: Levels) -> Array:
    """Places of labels among `levels.names`, then of the others, [N] float64; NaN for blank and unseen."""
    place = {name: float(j) for j, name in enumerate(levels.names)}
    other = float(len(place)) if levels.other else np.nan
    known = np.array([*(place.get(name, other) for name in column.cat.categories), np.nan])
    found: Array = known[np.asarray(column.cat.codes)]
    return found


def one_hot(column: pd.Series, levels: Levels, out: Array) -> None:
    """Write ones into `out`, [N, features] of zeros."""
    place = {name: j for j, name in enumerate(levels.names)}
    other = len(place) if levels.other else -1
    blank = len(place) + levels.other if levels.blank else -1
    codes = np.array([*(place.get(name, other) for name in column.cat.categories), blank])
    feature = codes[np.asarray(column.cat.codes)]
    rows = np.flatnonzero(feature >= 0)
    out[rows, feature[rows]] = 1.0
