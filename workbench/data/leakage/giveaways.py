"""Columns that give the target away: one alone predicts it almost perfectly.

Each column is learned from training rows and judged on validation rows, and the other way round: numbers by a
small decision tree, labels by a table. A column gives classes away if it avoids nine in ten of the mistakes
that always naming the most frequent class makes, with 95 % confidence (Wilson 1927), and numbers if it
explains 99 % of the variance of their ranks. Honest columns seldom come near: the best one avoids 95 % of 80
mistakes in iris, where nine in ten are not certain yet, and 78 % in breast cancer; income explains 44 % of
the ranks of house values in California.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workbench.core.types import Array

if TYPE_CHECKING:
    from workbench.data.dataset import Dataset


#: What a giveaway leaves: mistakes of those that guessing makes, and variance of ranks.
MISTAKES, VARIANCE = 0.1, 0.01
#: Fewer rows of training or validation say nothing.
LEAST = 20
#: Of the tree over a column of numbers, for each class.
LEAVES = 4
#: Columns are looked at on so many rows first, and on all rows if they stand out there.
_GLANCE = 2000
#: Standard normal deviate of a two-sided 95 % interval.
_Z = 1.959964


def giveaways(dataset: Dataset) -> tuple[str, ...]:
    """The names of such columns; none if there is one column only, since that is meant to predict."""
    columns = list(single_columns(dataset))
    if len(columns) < 2 or min(len(dataset.train), len(dataset.validation)) < LEAST:
        return ()
    parts = dataset.train, dataset.validation
    glance = _spread(parts[0]), _spread(parts[1])
    first, whole = _target(dataset, glance), _target(dataset, parts)
    return tuple(
        name
        for name, labels, values in columns
        if _reveals(dataset, labels, values, first, glance)
        and _reveals(dataset, labels, values, whole, parts)
    )


def single_columns(dataset: Dataset) -> Iterator[tuple[str, bool, Array]]:
    """(name, whether it holds labels, codes [N] or float64 [N]) of tables and rows of numbers."""
    rows = dataset.rows
    if not isinstance(rows, pd.DataFrame):
        if rows.ndim == 2:
            yield from ((f"x_{j}", False, rows[:, j].astype(np.float64)) for j in range(rows.shape[1]))
        return
    for column in dataset.columns:
        if column.kind == "category":
            yield column.name, True, np.asarray(rows[column.name].cat.codes)
        elif column.kind == "date":
            moments = rows[column.name].to_numpy().astype("datetime64[us]")
            days = moments.astype(np.int64) / 86_400e6
            yield column.name, False, np.where(np.isnat(moments), np.nan, days)
        else:
            yield column.name, False, rows[column.name].to_numpy()


def _target(dataset: Dataset, parts: tuple[Array, Array]) -> Array:
    """Codes [N], or the shares of `parts` below each number [N, K]."""
    if dataset.task == "classification":
        return dataset.target
    known = np.sort(dataset.target[np.concatenate(parts)], axis=0)
    ranks = [
        np.searchsorted(known[:, k], y, side) / len(known)
        for k, y in enumerate(dataset.target.T)
        for side in ("left", "right")
    ]
    shares: Array = 0.5 * (np.stack(ranks[::2], axis=1) + np.stack(ranks[1::2], axis=1))
    return shares


def _reveals(
    dataset: Dataset, labels: bool, values: Array, target: Array, parts: tuple[Array, Array]
) -> bool:
    """Whether the column predicts the target of either part from what was learned of the other."""
    guess = _guess_by_label if labels else _guess_by_size
    n_classes = len(dataset.classes)
    truth = target[np.concatenate(parts[::-1])]
    trivial = len(truth) - np.bincount(truth).max() if n_classes else 0
    if n_classes and not labels:  # a bound first: it clears most columns, without the tree and its library
        least = sum(fewest_mistakes(values[part], target[part], LEAVES * n_classes) for part in parts)
        if _upper(least, trivial) > MISTAKES:
            return False
    guessed = np.concatenate([guess(values, target, n_classes, a, b) for a, b in (parts, parts[::-1])])
    if n_classes:
        return _upper(int((guessed != truth).sum()), trivial) <= MISTAKES
    left = np.square(guessed - truth).mean(axis=0)
    return bool((left <= VARIANCE * truth.var(axis=0)).any())


def fewest_mistakes(values: Array, codes: Array, leaves: int) -> int:
    """No tree over this one column [N] with so many leaves makes fewer mistakes in these classes [N].

    Whatever rows it learned from, it names one class between two of its cuts. Divide the sorted rows into
    pieces, never between equal values. In a piece that no cut of the tree falls into, it makes at least the
    mistakes of the piece's most frequent class; those of the pieces with cuts, at worst the most mistaken
    ones, are not counted.
    """
    place = np.where(np.isnan(values), np.inf, _single(values))  # blanks go one way, as equal values do
    order = np.argsort(place, kind="stable")
    new = np.concatenate([[True], place[order][1:] != place[order][:-1]])
    begins = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
    piece = begins // max(1, len(order) // (8 * leaves))
    n_classes = int(codes.max()) + 1
    counts = np.bincount(piece * n_classes + codes[order], minlength=(piece[-1] + 1) * n_classes)
    counts = counts.reshape(-1, n_classes)
    wrong = counts.sum(axis=1) - counts.max(axis=1)
    divisible = wrong[np.bincount(piece[new], minlength=len(wrong)) > 1]
    return int(wrong.sum() - np.sort(divisible)[::-1][: leaves - 1].sum())


def _guess_by_label(values: Array, target: Array, n_classes: int, learn: Array, judge: Array) -> Array:
    """For each label the most frequent class or the mean; the whole part's for a label that it lacks."""
    n = int(values.max()) + 2  # the last one is the blank
    if n_classes:
        counts = np.zeros((n, n_classes))
        np.add.at(counts, (values[learn], target[learn]), 1.0)
        counts[counts.sum(axis=1) == 0] = counts.sum(axis=0)
        common: Array = counts.argmax(axis=1)[values[judge]]
        return common
    total, count = np.zeros((n, target.shape[1])), np.zeros((n, 1))
    np.add.at(total, values[learn], target[learn])
    np.add.at(count, values[learn], 1.0)
    mean: Array = np.where(count > 0, total / np.maximum(count, 1.0), target[learn].mean(axis=0))
    found: Array = mean[values[judge]]
    return found


def _guess_by_size(values: Array, target: Array, n_classes: int, learn: Array, judge: Array) -> Array:
    """A decision tree over the one column, blanks on the side that suits them."""
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    single = _single(values)[:, np.newaxis]
    if n_classes:
        tree = DecisionTreeClassifier(max_leaf_nodes=LEAVES * n_classes, random_state=0)
    else:
        tree = DecisionTreeRegressor(max_leaf_nodes=64, min_samples_leaf=3, random_state=0)
    guessed: Array = tree.fit(single[learn], target[learn]).predict(single[judge])
    return guessed if n_classes else guessed.reshape(len(judge), -1)


def _single(values: Array) -> Array:
    """As the tree sees them."""
    clipped: Array = np.clip(values, -3e38, 3e38).astype(np.float32)
    return clipped


def _upper(mistakes: int, of: int) -> float:
    """The upper end of the interval of a share; one if there was nothing to avoid."""
    if mistakes >= of:
        return 1.0
    share, z2 = mistakes / of, _Z**2
    middle, half = share + z2 / (2 * of), _Z * np.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    return float((middle + half) / (1 + z2 / of))


def _spread(index: Array) -> Array:
    half = _GLANCE // 2
    return index if len(index) <= half else index[np.linspace(0, len(index) - 1, half).astype(np.int64)]
