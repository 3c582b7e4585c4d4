"""Where the delivered model is most wrong: single validation rows, and groups of rows that it serves worse.

Validation rows alone are looked at, also when the test set is open: what is learned from mistakes goes into
the next model, and test rows are for judging it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd

from workbench.core.types import Array, Fold
from workbench.data import Dataset
from workbench.evaluation.predictor import (
    Predictor,
    label_probabilities,
    probabilities,
    said_labels,
)

#: Rows and raw columns that are shown.
ROWS, COLUMNS = 8, 6
#: A group has at least so many rows, and its mean error lies so many standard errors above the others'.
LEAST_ROWS, STANDARD_ERRORS = 20, 3.0
#: Numbers are cut into so many groups of about equal size.
PARTS = 4


class Worst(NamedTuple):
    """A row that is predicted badly."""

    row: int  # among the rows of the source that are not under seal, from 0
    truth: str
    said: str
    #: -log of the probability of the true class, or |prediction - truth| in the target's units; of several
    #: targets or labels their mean.
    error: float
    values: tuple[tuple[str, str], ...]  # raw columns and cells


class Slice(NamedTuple):
    """A group of rows whose mean error is far above that of the others."""

    where: str
    rows: int
    error: float
    others: float


def errors(model: Predictor, fold: Fold, estimates: Array | None = None) -> Array:
    """The error of each validation row, [N]: -log p(true class), of labels its mean, or mean |residual|.

    estimates  of the validation rows, here and below; None: the model is asked
    """
    out = model.estimates(np.asarray(fold.validation.x)) if estimates is None else estimates
    y = np.asarray(fold.validation.y)
    if model.task == "regression":
        residual: Array = np.abs(out - y.astype(np.float64)).mean(axis=1)
        return residual
    if model.task == "multilabel":
        share = label_probabilities(np.where(y == 1, out, -out))
        return np.asarray(-np.log(np.maximum(share, 1e-300)).mean(axis=-1))
    share = probabilities(out)[np.arange(len(y)), y]
    surprise: Array = -np.log(np.maximum(share, 1e-300))
    return surprise


def worst_rows(dataset: Dataset, model: Predictor, fold: Fold, estimates: Array | None = None) -> list[Worst]:
    """The rows with the largest errors, the worst first; none for sequences with targets of steps."""
    if model.recipe.each:
        return []
    out = model.estimates(np.asarray(fold.validation.x)) if estimates is None else estimates
    error = errors(model, fold, out)
    found = []
    for i in np.argsort(-error, kind="stable")[:ROWS]:
        y = np.asarray(fold.validation.y)[i]
        if model.task == "regression":
            truth, said = (", ".join(f"{value:.4g}" for value in np.atleast_1d(one)) for one in (y, out[i]))
        elif model.task == "multilabel":
            both = (y == 1, said_labels(out[i], model.threshold) == 1)
            truth, said = (_listed(dataset.outputs, one) for one in both)
        else:
            shares = probabilities(out[i : i + 1])[0]
            truth = str(model.classes[y])
            said = f"{model.classes[int(shares.argmax())]} ({shares.max():.0%})"
        position = int(dataset.validation[i])
        found.append(Worst(position, truth, said, float(error[i]), _cells(dataset, position)))
    return found


def slices(dataset: Dataset, model: Predictor, fold: Fold, estimates: Array | None = None) -> list[Slice]:
    """Groups by the values of one column, the worst first: categories, and quarters of numbers.

    With many columns some group is bad by chance: the bound rises with their number, as Bonferroni's does.
    """
    if model.recipe.each or not isinstance(dataset.rows, pd.DataFrame):
        return []
    error, rows = errors(model, fold, estimates), dataset.rows.iloc[dataset.validation]
    groups = [(name, mask) for column in dataset.columns for name, mask in _groups(column.name, rows)]
    bound = STANDARD_ERRORS + math.sqrt(2 * math.log(max(1, len(groups)))) / 2
    found = []
    for name, mask in groups:
        inside, outside = error[mask], error[~mask]
        if min(len(inside), len(outside)) < LEAST_ROWS:
            continue
        spread = math.sqrt(inside.var(ddof=1) / len(inside) + outside.var(ddof=1) / len(outside))
        if inside.mean() - outside.mean() > bound * spread:
            found.append(Slice(name, len(inside), float(inside.mean()), float(outside.mean())))
    return sorted(found, key=lambda one: one.others - one.error)[:ROWS]


def _groups(name: str, rows: pd.DataFrame) -> list[tuple[str, Array]]:
    values = rows[name]
    if isinstance(values.dtype, pd.CategoricalDtype):
        known = values.astype(object)
        return [(f"{name} = {label}", (known == label).to_numpy()) for label in known.dropna().unique()]
    if pd.api.types.is_datetime64_any_dtype(values) or values.nunique() < 2:
        return []
    if values.nunique() <= PARTS:
        return [(f"{name} = {value:g}", (values == value).to_numpy()) for value in values.dropna().unique()]
    cuts = np.unique(np.nanquantile(values, np.linspace(0.0, 1.0, PARTS + 1)))
    return [
        (f"{name} from {low:.4g} to {high:.4g}", ((values >= low) & (values <= high)).to_numpy())
        for low, high in pairwise(cuts)
    ]


def _cells(dataset: Dataset, position: int) -> tuple[tuple[str, str], ...]:
    """The first raw columns of a row."""
    if not isinstance(dataset.rows, pd.DataFrame):
        return ()
    row = dataset.rows.iloc[position]
    return tuple((str(name), _cell(row[name])) for name in dataset.rows.columns[:COLUMNS])


def _listed(names: Sequence[str], there: Array) -> str:
    """The labels that are there."""
    return ", ".join(name for name, one in zip(names, there, strict=True) if one) or "none"


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)) or value is pd.NaT:
        return "blank"
    return f"{value:.4g}" if isinstance(value, float) else str(value)[:40]
