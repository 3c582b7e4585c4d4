"""Features that are zero or one: labels, one feature each.

Labels that few training rows have share the feature `other`, and so does a label that no training row had;
without such a feature an unseen label is all zeros. Blank cells have a feature of their own if training rows
had any. scikit-learn: OneHotEncoder(min_frequency, max_categories, handle_unknown="infrequent_if_exist").
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from workbench.types import Array

__all__ = ["MOST_LEVELS", "RARE", "Levels", "fit_levels", "level_names", "one_hot"]

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


def one_hot(column: pd.Series, levels: Levels, out: Array) -> None:
    """Write ones into `out`, [N, features] of zeros."""
    place = {name: j for j, name in enumerate(levels.names)}
    other = len(place) if levels.other else -1
    blank = len(place) + levels.other if levels.blank else -1
    codes = np.array([*(place.get(name, other) for name in column.cat.categories), blank])
    feature = codes[np.asarray(column.cat.codes)]
    rows = np.flatnonzero(feature >= 0)
    out[rows, feature[rows]] = 1.0
