"""Which columns the delivered model leans on: what its score loses when the values of one are shuffled.

Permutation importance (Breiman 2001; Fisher, Rudin and Dominici, arXiv:1801.01489) on validation rows. It
says what this model uses, not what is useful: of two columns that tell the same, either may seem to matter
little.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from workbench.core.types import Array
from workbench.core.vocabulary import METRICS
from workbench.data import Dataset
from workbench.evaluation.evaluate import score_of
from workbench.evaluation.predictor import Predictor

#: Rows that are asked, shuffles of a column at most, and of all columns together.
ROWS, REPEATS, CALLS = 500, 5, 60


class ColumnImportance(NamedTuple):
    """A column, and what is lost without it."""

    name: str
    lost: float  # of the score, mean over shuffles; above zero where the score gets worse
    spread: float  # sample standard deviation over the shuffles; NaN for one


def column_importances(
    dataset: Dataset, model: Predictor, metric: str, *, seed: int = 0
) -> list[ColumnImportance]:
    """What the score loses by each column, the most important one first.

    Args:
        dataset: Its validation rows are asked.
        model: One that has not been trained on them.
        metric: That decides.
        seed: Of the shuffles, which are the same for every column.

    Returns:
        Nothing for images and sequences, and for so many columns that asking would take long.
    """
    names = _names(dataset)
    if dataset.of_steps or not names or len(names) > CALLS:
        return []
    n = len(dataset.validation)
    index = dataset.validation[np.linspace(0, n - 1, min(n, ROWS)).astype(int)]
    rows, y, weight = dataset.pick(index), dataset.target[index], dataset.weights(index)
    sign = 1.0 if METRICS[metric].direction == "maximize" else -1.0

    def score(asked: pd.DataFrame | Array) -> float:
        return sign * score_of(metric, model.raw_estimates(asked), y, model.threshold, weight)

    draw = np.random.default_rng(seed)
    orders = [draw.permutation(len(index)) for _ in range(min(REPEATS, max(1, CALLS // len(names))))]
    whole = score(rows)
    found = []
    for place, name in enumerate(names):
        lost = np.array([whole - score(_shuffled(rows, place, order)) for order in orders])
        spread = float(lost.std(ddof=1)) if len(lost) > 1 else float("nan")
        found.append(ColumnImportance(name, float(lost.mean()), spread))
    return sorted(found, key=lambda one: -one.lost)


def _names(dataset: Dataset) -> tuple[str, ...]:
    if isinstance(dataset.rows, np.ndarray):
        return tuple(f"x_{j}" for j in range(dataset.rows.shape[1])) if dataset.rows.ndim == 2 else ()
    return tuple(column.name for column in dataset.columns)


def _shuffled(rows: pd.DataFrame | Array, place: int, order: Array) -> pd.DataFrame | Array:
    """The rows with the values of one column in another order."""
    if isinstance(rows, np.ndarray):
        changed = rows.copy()
        changed[:, place] = rows[order, place]
        return changed
    column = rows.iloc[:, place]
    return rows.assign(**{str(column.name): column.iloc[order].set_axis(rows.index)})
