"""Gradient boosting as the rival of every study: tuned a little, on the same rows, chosen by the same metric.

It is scikit-learn's HistGradientBoosting, which takes the columns as they stand in the table, labels and
blanks among them. A few configurations are tried, each with as many trees as score best on the validation
rows. It is nobody's choice and is not delivered: who could have had it for less should know.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from workbench.core.types import Array
from workbench.core.vocabulary import METRICS, OF_LABEL, quantile_of
from workbench.data import Dataset, preprocessing
from workbench.data.preprocessing import Preprocessor
from workbench.evaluation.evaluate import scores_of
from workbench.evaluation.trees import Boosted, trees_of


class Configuration(NamedTuple):
    """What is tried of gradient boosting; the rest is scikit-learn's default."""

    learning_rate: float
    max_leaf_nodes: int
    min_samples_leaf: int

    @property
    def trees(self) -> int:
        """As many are grown at most: small steps need more of them."""
        return round(30 / self.learning_rate)


#: In the order in which they are tried, scikit-learn's default first.
CONFIGURATIONS = (
    Configuration(0.1, 31, 20),
    Configuration(0.1, 8, 5),
    Configuration(0.2, 16, 20),
    Configuration(0.05, 8, 20),
    Configuration(0.05, 31, 5),
    Configuration(0.05, 64, 20),
)
#: Trees that are grown while the validation loss falls no more.
PATIENCE = 15
#: Reckoned seconds of one core that further configurations may cost together, and that one may cost before
#: rows are thinned out. What is tried must not hang on how quick a machine is, so it is reckoned, not timed.
SECONDS, MOST_SECONDS = 5.0, 60.0
#: Of one tree: for each leaf, each bin of each leaf, each cell and level. Measured.
_PER_LEAF, _PER_BIN, _PER_CELL = 35e-6, 4e-9, 1.2e-9
#: Several threads wait for one another at each node of each tree, which takes ten times as long where
#: anything else runs on the machine; and one thread grows the same trees everywhere, to the bit.
_THREADS = 1
#: Wider rows (of pixels, of time steps) are left out: so many columns are no task for trees.
MOST_COLUMNS = 4096
#: The logit of a class without training rows lies so far below the others.
_NEVER = 20.0


#: Cells [N, C], targets [N], and how much each row counts, [N]; None: all alike.
Weighed = tuple[Array, Array, Array | None]


class _Tuned(NamedTuple):
    fit: Any
    columns: tuple[int, ...]  # the outputs that it gives
    base: Array  # [K] outputs that no tree adds to
    config: Configuration
    trees: int


def why_not(dataset: Dataset) -> str:
    """Why there is no gradient boosting of these data; empty if there is."""
    if dataset.of_steps:
        return "left out: every step of a sequence has a target of its own"
    columns = len(dataset.columns) or math.prod(dataset.rows.shape[1:])
    if columns > MOST_COLUMNS:
        return f"left out: a row has {columns:,} numbers, and trees are grown of at most {MOST_COLUMNS:,}"
    return ""


def fit(dataset: Dataset, metric: str, *, balanced: bool, seed: int, refit: bool = False) -> Boosted:
    """Gradient boosting on the training rows, tuned on the validation rows.

    Args:
        dataset: development rows; `why_not` has nothing against them.
        metric: by which configurations and numbers of trees are compared.
        balanced: whether classes weigh alike, as [training] class_weight = "balanced" says.
        seed: of the study.
        refit: whether what was found best is grown once more on training and validation rows together.

    Returns:
        The model, which takes raw rows.
    """
    fitted, x = _raw(dataset, dataset.train)
    n_classes, n_targets = len(dataset.classes), dataset.target.shape[-1] if not dataset.classes else 1
    if dataset.task == "multilabel":  # each label by itself
        n_classes, metric = 2, OF_LABEL.get(metric, metric)
    rows, width = x.shape
    tried, step = plan(rows, width, (n_classes if n_classes > 2 else 1) * n_targets, _bins(x))
    train = dataset.train[::step]
    if step > 1:
        fitted, x = _raw(dataset, train)
    x_validation = fitted.raw(dataset.pick(dataset.validation))
    more = {"random_state": seed, **_columns(fitted, x)}
    mass, judging = (dataset.weights(rows) for rows in (train, dataset.validation))
    parts = range(n_targets)
    with threadpool_limits(limits=_THREADS, user_api="openmp"):
        tuned = []
        for part in parts:
            y, y_validation = (_target(dataset, rows, part) for rows in (train, dataset.validation))
            found = [
                _tune(
                    config, (x, y, mass), (x_validation, y_validation, judging), metric, n_classes, balanced,
                    more,
                )
                for config in tried
            ]  # fmt: skip
            tuned.append(max(found, key=lambda one: one[0])[1])
        if refit:
            both = np.sort(np.concatenate([dataset.train, dataset.validation]))[::step]
            fitted, x = _raw(dataset, both)
            more |= _columns(fitted, x)
            mass = dataset.weights(both)
            tuned = [
                _grown(one, (x, _target(dataset, both, part), mass), metric, n_classes, balanced, more)
                for part, one in zip(parts, tuned, strict=True)
            ]
    fits = [(one.fit, tuple(part + k for k in one.columns)) for part, one in zip(parts, tuned, strict=True)]
    base = tuned[0].base if dataset.classes else np.zeros(n_targets)
    trees = trees_of(fits, base, [one.trees for one in tuned])
    return Boosted(fitted, trees, _about(tuned, len(tried), metric, step))


def plan(rows: int, columns: int, trees: int, bins: int) -> tuple[tuple[Configuration, ...], int]:
    """What is tried on a table, by what it would cost, and that every n-th row of it is taken.

    Args:
        rows: training rows.
        columns: of the table.
        trees: grown at each step, one for each class of three or more and for each target.
        bins: into which the numbers of a column fall.
    """

    def cost(config: Configuration, rows: int) -> float:
        leaves = max(2.0, min(config.max_leaf_nodes, rows / config.min_samples_leaf))
        of_bins, of_cells = leaves * columns * bins, rows * columns * math.log2(leaves)
        tree = leaves * _PER_LEAF + of_bins * _PER_BIN + of_cells * _PER_CELL
        return config.trees / 2 * trees * tree  # half, since most stop before

    spent = itertools.accumulate(cost(config, rows) for config in CONFIGURATIONS)
    among = tuple(c for c, total in zip(CONFIGURATIONS, spent, strict=True) if total <= SECONDS)
    if among:
        return among, 1
    first = CONFIGURATIONS[0]
    if cost(first, rows) <= MOST_SECONDS:
        return (first,), 1
    cheapest = min(CONFIGURATIONS, key=lambda config: cost(config, rows))
    steps = range(1, max(2, rows // 1000))
    return (cheapest,), next((n for n in steps if cost(cheapest, rows // n) <= MOST_SECONDS), steps[-1])


def _tune(
    config: Configuration,
    train: Weighed,
    validation: Weighed,
    metric: str,
    n_classes: int,
    balanced: bool,
    more: dict[str, Any],
) -> tuple[tuple[float, float, int], _Tuned]:
    """The estimator with the number of trees that scores best, and what is better in it: larger is."""
    (x, y, mass), (x_validation, y_validation, judging) = train, validation
    known = np.isin(y_validation, y) if n_classes else slice(None)
    fit = _estimator(
        config, metric, n_classes, balanced and mass is None,
        more | {"early_stopping": True, "n_iter_no_change": PATIENCE, "max_iter": config.trees},
    )  # fmt: skip
    fit.fit(
        x, y, sample_weight=_balanced(y, mass, balanced),
        X_val=x_validation[known], y_val=y_validation[known],
        sample_weight_val=None if judging is None else judging[known],
    )  # fmt: skip
    columns, base = _places(fit, n_classes)
    sign = 1.0 if METRICS[metric].direction == "maximize" else -1.0
    targets = y_validation if n_classes else y_validation[:, np.newaxis]
    scores = np.concatenate(
        [
            sign * scores_of(metric, part, targets, judging)
            for part in _staged(fit, x_validation, columns, base)
        ]
    )
    keys = [
        (float(score) if np.isfinite(score) else -math.inf, float(minus_loss), -trees)
        for trees, (score, minus_loss) in enumerate(zip(scores, fit.validation_score_[1:], strict=True), 1)
    ]
    best = max(keys)
    return best, _Tuned(fit, columns, base, config, -best[2])


def _grown(
    one: _Tuned, rows: Weighed, metric: str, n_classes: int, balanced: bool, more: dict[str, Any]
) -> _Tuned:
    """The same again on other rows."""
    x, y, mass = rows
    settings = more | {"early_stopping": False, "max_iter": one.trees}
    fit = _estimator(one.config, metric, n_classes, balanced and mass is None, settings)
    fit.fit(x, y, sample_weight=_balanced(y, mass, balanced))
    columns, base = _places(fit, n_classes)
    return one._replace(fit=fit, columns=columns, base=base)


def _balanced(y: Array, mass: Array | None, balanced: bool) -> Array | None:
    """Weights of rows, and of their classes: scikit-learn would count rows that do not count alike."""
    if mass is None or not balanced:
        return mass
    counts = np.bincount(y, weights=mass)
    factors: Array = counts.sum() / (np.count_nonzero(counts) * np.where(counts > 0, counts, 1.0))
    return np.asarray(mass * factors[y])


def _estimator(
    config: Configuration, metric: str, n_classes: int, balanced: bool, more: dict[str, Any]
) -> HistGradientBoostingClassifier | HistGradientBoostingRegressor:
    if n_classes:
        weight = "balanced" if balanced else None
        return HistGradientBoostingClassifier(**config._asdict(), class_weight=weight, **more)
    if (quantile := quantile_of(metric)) is not None:
        return HistGradientBoostingRegressor(loss="quantile", quantile=quantile, **config._asdict(), **more)
    loss = "absolute_error" if metric == "mae" else "squared_error"
    return HistGradientBoostingRegressor(loss=loss, **config._asdict(), **more)


def _places(fit: Any, n_classes: int) -> tuple[tuple[int, ...], Array]:
    """Which outputs an estimator gives, and [K] what those are that it does not give."""
    if n_classes <= 2:
        return (0,), np.zeros(1)
    codes = tuple(int(code) for code in fit.classes_)
    base = np.full(n_classes, -_NEVER)
    base[list(codes)] = 0.0
    return codes if len(codes) > 2 else codes[1:], base  # of two classes one logit, against 0


def _staged(fit: Any, x: Array, columns: tuple[int, ...], base: Array) -> Iterator[Array]:
    """Outputs after each tree, [S, N, K] at a time."""
    stages = fit.staged_decision_function(x) if hasattr(fit, "classes_") else fit.staged_predict(x)
    while part := list(itertools.islice(stages, 32)):
        out = np.tile(base, (len(part), len(x), 1))
        out[..., list(columns)] = np.stack(part).reshape(len(part), len(x), -1)
        yield out


def _raw(dataset: Dataset, rows: Array) -> tuple[Preprocessor, Array]:
    """What reads rows as these are read, and these."""
    picked = dataset.pick(rows)
    fitted = preprocessing.fit(picked, dataset.columns, "none", rare=1, where=dataset.name)
    return fitted, fitted.raw(picked)


def _columns(fitted: Preprocessor, x: Array) -> dict[str, Any]:
    """What an estimator must know of the columns: labels come first."""
    return {"categorical_features": list(range(len(fitted.levels))) or None, "max_bins": _bins(x)}


def _target(dataset: Dataset, rows: Array, part: int) -> Array:
    """Codes [N], or one of the targets [N]."""
    y = dataset.target[rows]
    if dataset.classes:
        found: Array = y
        return found
    return np.asarray(y[:, part].astype(np.int32 if dataset.task == "multilabel" else np.float64))


def _bins(x: Array) -> int:
    """No more than there are different numbers in a column: the same trees, grown sooner."""
    if len(x) > 255 * 20:
        return 255
    return int(np.clip(max(len(np.unique(column)) for column in x.T), 2, 255))


def _about(tuned: list[_Tuned], n_tried: int, metric: str, step: int) -> str:
    """How it was found."""
    some = "one configuration" if n_tried == 1 else f"the best of {n_tried} configurations"
    each = "; ".join(
        f"learning_rate {one.config.learning_rate:g}, {one.config.max_leaf_nodes} leaves, {one.trees} trees"
        for one in tuned[:3]
    )
    more = "; …" if len(tuned) > 3 else ""
    thinned = f", on one training row in {step}" if step > 1 else ""
    return f"{some} by validation {metric.replace('_', ' ')} ({each}{more}){thinned}"
