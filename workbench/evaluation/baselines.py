"""What a model has to beat: who knows only frequencies or a mean, and the linear model of the task.

Both are affine models, W x + b of prepared features, so they are saved and asked like any other. The linear
one is scikit-learn's with its defaults (ridge regression, or logistic regression with an L2 penalty): fitted
by a solver, on training rows alone, with nothing to tune.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from workbench.core.target_transform import to_training
from workbench.core.types import Array, Fold
from workbench.data.weights import uneven

#: More training rows than this are thinned out evenly before the linear model is fitted.
MOST_ROWS = 50_000

Params = dict[str, Any]


def trivial(fold: Fold, outputs: int, classes: int, quantile: float | None = None) -> Params:
    """Zero weights; the bias is the log-frequencies of the training rows, or their mean, standardized.

    Rows count here and below as the weights of the fold say. A quantile takes the place of the mean.
    """
    mass = _uneven(fold)
    weight = np.zeros((outputs, int(np.prod(fold.train.x.shape[1:]))), np.float32)
    if not classes:
        y = np.asarray(fold.train.y, np.float64)
        mean = np.average(y, axis=0, weights=mass) if quantile is None else constant(y, quantile, mass)
        return {"weight": weight, "bias": to_training(mean, fold).astype(np.float32)}
    counts = np.maximum(np.bincount(np.asarray(fold.train.y), weights=mass, minlength=classes), 0.5)
    logs = np.log(counts / counts.sum()).astype(np.float32)
    return {"weight": weight, "bias": logs if outputs > 1 else logs[1:] - logs[:1]}


def trivial_logits(labels: Array, mass: Array | None) -> Array:
    """The logits [K] of how often each of K labels [N, K] occurs, by weights of the rows."""
    total = float(len(labels)) if mass is None else float(np.sum(mass))
    there = np.sum(labels if mass is None else labels * mass[:, np.newaxis], axis=0, dtype=np.float64)
    return np.asarray(np.log(np.maximum(there, 0.5) / np.maximum(total - there, 0.5)))


def of_labels(fit: Callable[..., Params], fold: Fold, outputs: int) -> Params:
    """What `fit` makes of each label by itself, a target of two classes, as one model of them all."""
    each = []
    for k in range(outputs):
        one = fold.train._replace(y=np.asarray(fold.train.y)[:, k].astype(np.int32))
        each.append(fit(fold._replace(train=one), 1, 2))
    return {name: np.concatenate([one[name] for one in each]) for name in ("weight", "bias")}


def linear(fold: Fold, outputs: int, classes: int, quantile: float | None = None) -> Params:
    """Weight [K, F], bias [K] of scikit-learn's linear model; targets of a regression are standardized.

    For a quantile the plane is moved until as many training rows lie below it.
    """
    step = -(-len(fold.train.y) // MOST_ROWS)
    x, y = np.asarray(fold.train.x[::step], np.float64), np.asarray(fold.train.y[::step])
    mass = _uneven(fold, step)
    if mass is not None and classes:  # a class that weighs nothing is not there
        x, y, mass = x[mass > 0], y[mass > 0], mass[mass > 0]
    if not classes:
        target = to_training(y.astype(np.float64), fold)
        ridge = Ridge().fit(x, target, sample_weight=mass)
        if quantile is None:
            return _affine(ridge.coef_, ridge.intercept_, outputs)
        missed = target - ridge.predict(x).reshape(target.shape)
        return _affine(ridge.coef_, ridge.intercept_ + constant(missed, quantile, mass), outputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # as good as 200 iterations make it
        found = LogisticRegression(max_iter=200).fit(x, y, sample_weight=mass)
    if outputs == 1 or len(found.classes_) == classes > 2:
        return _affine(found.coef_, found.intercept_, outputs)
    # Some class has no training row, or two classes have two logits: one row for each class that is there.
    weight, bias = found.coef_, found.intercept_
    if len(found.classes_) == 2:
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    all_weights, all_biases = np.zeros((outputs, x.shape[1])), np.full(outputs, bias.min() - 20.0)
    all_weights[found.classes_], all_biases[found.classes_] = weight, bias
    return _affine(all_weights, all_biases, outputs)


def constant(targets: Array, quantile: float, weight: Array | None) -> Array:
    """The quantile of targets [N, K] by their weights, [K]: what lowers the pinball loss most."""
    found: Array = np.quantile(targets, quantile, axis=0, method="inverted_cdf", weights=weight)
    return found


def _uneven(fold: Fold, step: int = 1) -> Array | None:
    """Weights of every so many training rows, [N] float64; None where all count alike."""
    found = uneven(np.asarray(fold.train.weight[::step]))
    return None if found is None else found.astype(np.float64)


def _affine(weight: Any, bias: Any, outputs: int) -> Params:
    return {
        "weight": np.asarray(weight, np.float32).reshape(outputs, -1),
        "bias": np.broadcast_to(np.asarray(bias, np.float32), (outputs,)).copy(),
    }
