"""Official test rows that stand among the development rows: exactly, or but for noise.

What the model sees is compared, features and target. Rows that are alike need not be the same case: where
columns take few values, rows drawn afresh agree with old ones too. Of a fresh row that has the chance that a
development row is not the only one of its kind (Good 1953, The population frequencies of species), or, where
the development rows may themselves have been copied, what equal pairs among the test rows allow for, if that
is less. Of q rows in n that are met again, when the chance is c, a share of (q / n - c) / (1 - c) was copied.

Noise and rounding leave a copy far closer to one development row than to the tenth-nearest. Fresh rows have
that ratio as small as development rows have it among themselves, however densely they lie; so the two are
compared, and what the test rows have beyond it is copied. Counts are all that leaves this file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.special import ive

from workbench.core.errors import DataError
from workbench.core.types import Array
from workbench.data import content
from workbench.data.leakage.copies import NEIGHBORS, distances, projected, standardized
from workbench.data.preprocessing.tables import conform

if TYPE_CHECKING:
    from workbench.data.dataset import Dataset
    from workbench.data.raw import Source


#: Copied share of the test rows from which the file is refused.
REFUSED = 0.5
#: A near copy's distance to the nearest development row, as a share of that to the tenth, is at most this.
_LARGEST_RATIO = 0.25
#: By how many deviations of their difference two samples' shares of such rows differ, which happens by chance
#: once in 400 files (Smirnov 1939, where near rows are each other's nearest, as on a line), and the least
#: share that is told.
_DEVIATIONS_OF_SHARES, _LEAST_SHARE = 2.6, 0.1
#: Share of the development rows that are unlike all others, from which on distances say something.
_UNLIKE = 0.4
#: Rows of either side that are looked at for near copies, and distances that are reckoned for them.
_SAMPLE, _DISTANCES = 1000, 2**25
#: Deviations, and rows, beyond chance from which anything is said.
_DEVIATIONS, _ROWS = 3.0, 2
#: Two files of as many rows of each kind are one file, if that has at most this chance (its logarithm).
_LOG_CHANCE = float(np.log(1e-6))
#: Equal pairs that may be expected where none was seen, with 95 % confidence (Hanley and Lippman-Hand 1983).
_UNSEEN = 3.0


def overlap(source: Source, dataset: Dataset, test: Source, target: Array) -> str:
    """What must be said of the test rows before they are opened; nothing if they are new.

    source, test  all development rows and all test rows, as found
    target        of the test rows, encoded

    Raises DataError if most of them, or all, are development rows.
    """
    n = len(target)
    mine, theirs = _content(source, dataset, dataset.target), _content(test, dataset, target)
    exact = np.isin(theirs, mine)
    chance, most = _chance(mine, theirs)
    nearly = _near(dataset, test, target, exact, mine)
    met = int(exact.sum()) + round(nearly * int((~exact).sum()))
    expected, most = chance * n, most * n
    same = _same(mine, theirs)
    if not same and not nearly and met <= most + _DEVIATIONS * np.sqrt(most) + _ROWS:
        return ""
    about = "about " if nearly else ""
    how = "" if not nearly else ", exactly or but for noise"
    found = f"{test.name}: {about}{met:,} of {n:,} test rows are also among the training rows{how}"
    if same or (met / n - chance) >= REFUSED * (1 - chance):
        raise DataError(
            f"{found}, so a test would say nothing of new rows; name a file of other rows, or leave out "
            "[data] test and give split a test share"
        )
    by_chance = f" ({round(expected):,} would be by chance)" if round(expected) else ""
    return f"{found}{by_chance}; the score flatters the model by that, so take them out of either file."


def _content(rows: Source, dataset: Dataset, target: Array) -> Array:
    """[N] uint64: features and target."""
    table = rows.rows
    if isinstance(table, pa.Table):
        table = table.select([column.name for column in dataset.columns])
    return content.of_rows(table, target)


def _same(mine: Array, theirs: Array) -> bool:
    """Whether the test rows are the development rows, in whatever order.

    Of few kinds of rows, two samples may hold as many of each by chance, which is then no reason. For counts
    that are about Poisson, each agrees with the chance exp(-2 c) I0(2 c) (Skellam 1946).
    """
    if np.array_equal(mine, theirs):
        return True
    (kinds, counts), others = (np.unique(rows, return_counts=True) for rows in (mine, theirs))
    if not (np.array_equal(kinds, others[0]) and np.array_equal(counts, others[1])):
        return False
    return float(np.log(ive(0, 2 * counts)).sum() - np.log(ive(0, 2 * len(mine)))) < _LOG_CHANCE


def _chance(mine: Array, theirs: Array) -> tuple[float, float]:
    """The chance of a fresh row to equal a development row, and what it is at most, for all that is known."""
    n, pairs_of_rows = len(mine), max(1.0, len(theirs) * (len(theirs) - 1) / 2)
    repeated = float(1.0 - (np.unique(mine, return_counts=True)[1] == 1).sum() / n)
    counts = np.unique(theirs, return_counts=True)[1].astype(np.float64)
    pairs = float((counts * (counts - 1)).sum() / 2)
    most = min(
        repeated + (_DEVIATIONS * np.sqrt(2 * n * repeated) + 2 * _UNSEEN) / n,  # they come in pairs
        n * (pairs + _DEVIATIONS * np.sqrt(pairs) + _UNSEEN) / pairs_of_rows,
        1.0,
    )
    return min(repeated, float(most)), float(most)


def _near(dataset: Dataset, test: Source, target: Array, exact: Array, mine: Array) -> float:
    """Share of the test rows that are no copies which are near copies, so far as it is beyond chance.

    mine  [N] content of the development rows, each of which is compared with once
    """
    _, kept = np.unique(mine, return_index=True)
    most = int(np.clip(_DISTANCES // len(kept), 100, _SAMPLE))
    rest, sample = _spread(np.flatnonzero(~exact), most), _spread(np.arange(len(kept)), most)
    if not len(rest) or len(kept) <= max(NEIGHBORS + 1, _UNLIKE * len(mine)):
        return 0.0
    points = _points(dataset, test, target, kept, rest)
    known, asked = points[: len(kept)], points[len(kept) :]
    of_test = _ratios(distances(known, asked, NEIGHBORS))
    of_mine = _ratios(distances(known, known[sample], NEIGHBORS + 1)[:, 1:])  # the nearest is the row itself
    levels = np.unique(of_test[of_test <= _LARGEST_RATIO])
    if not len(levels):
        return 0.0
    here, there = (
        np.searchsorted(np.sort(ratios), levels, side="right") / len(ratios) for ratios in (of_test, of_mine)
    )
    least = _DEVIATIONS_OF_SHARES * np.sqrt(1 / len(of_test) + 1 / len(of_mine))
    share = float(np.where(here - there > least, (here - there) / np.maximum(1 - there, 1e-9), 0.0).max())
    return share if share >= _LEAST_SHARE else 0.0


def _ratios(rising: Array) -> Array:
    """The distance to the nearest row as a share of that to the last, [M]; one where both are zero."""
    ratios: Array = np.where(rising[:, -1] > 0, rising[:, 0] / np.maximum(rising[:, -1], 1e-12), 1.0)
    return ratios


def _points(dataset: Dataset, test: Source, target: Array, kept: Array, rest: Array) -> Array:
    """[N + M, D] float32: features and target, of these development rows and of these test rows."""
    n = len(kept)
    parts: list[Array] = []
    if isinstance(test.rows, pa.Table):
        found, _ = conform(test.rows.take(pa.array(rest)), dataset.columns, test.name, strict=False)
        assert isinstance(dataset.rows, pd.DataFrame)
        both = pd.concat([dataset.rows.iloc[kept], found], ignore_index=True)
        for column in dataset.columns:
            values = both[column.name]
            if column.kind == "category":
                parts.append(_apart(pd.factorize(values)[0]))
            elif column.kind == "date":
                parts.append(_column(values.to_numpy().astype("datetime64[s]").astype(np.float64), n))
            else:
                parts.append(_column(values.to_numpy(np.float64), n))
    else:
        assert isinstance(dataset.rows, np.ndarray)
        x = np.concatenate([dataset.rows[kept], test.rows[rest]])
        parts.append(projected(x.reshape(len(x), -1), []))
        parts[0] /= max(float(parts[0][:n].std()), 1e-12)
    y = np.concatenate([dataset.target[kept], target[rest]])
    if dataset.task == "classification" and y.ndim == 1:
        parts.append(_apart(y))
    else:
        parts += [_column(values, n) for values in y.reshape(len(y), -1).T.astype(np.float64)]
    return projected(np.concatenate(parts, axis=1), [])


def _column(values: Array, n: int) -> Array:
    """[N + M, 1]: standardized by the first n."""
    return standardized(values, n).astype(np.float32)[:, np.newaxis]


def _apart(codes: Array) -> Array:
    """[N + M, 8]: a point for each code, all about as far from each other as a deviation of a number."""
    draw = np.random.default_rng(0).normal(size=(int(codes.max()) + 2, 8)) / 4
    found: Array = draw[codes].astype(np.float32)
    return found


def _spread(index: Array, most: int) -> Array:
    """At most so many of them, evenly spaced."""
    if len(index) <= most:
        return index
    return index[np.linspace(0, len(index) - 1, most).astype(np.int64)]
