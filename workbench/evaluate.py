"""The score of a finished model on whole sets of rows, with its interval.

The same metrics that trained lanes are judged by.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from workbench.bootstrap import Statistic
from workbench.intervals import bca_interval, proportion_interval, widened
from workbench.losses import LOSSES, batch_loss
from workbench.metrics import class_logits, score
from workbench.models.recurrent import steps_as_rows
from workbench.recipe import Recipe
from workbench.scoring import per_target
from workbench.types import Array, Fold
from workbench.units import to_training
from workbench.words import METRICS as WORDS

__all__ = ["Evaluation", "as_rows", "evaluate", "statistic", "trivial_loss"]

#: Where the ends of a metric's scale are.
BOUNDS: dict[str, tuple[float, float]] = {
    "r2": (-np.inf, 1.0),
    **dict.fromkeys(("accuracy", "balanced_accuracy", "f1_macro", "f1", "roc_auc"), (0.0, 1.0)),
    **dict.fromkeys(("log_loss", "rmse", "mse", "mae"), (0.0, np.inf)),
}


class Evaluation(NamedTuple):
    """A score and its interval."""

    value: float
    low: float
    high: float
    rows: int


def evaluate(
    metric: str,
    outputs: Array,
    targets: Array,
    *,
    threshold: float = 0.5,
    look: int = 1,
    confidence: float = 0.95,
) -> Evaluation:
    """Score outputs [N, K] against targets, [N] class codes or [N, K] numbers in the units of the data.

    Or outputs [N, T, K] against targets of steps, [N, T] or [N, T, K]; N sequences are the rows then, and
    steps of one sequence are drawn together, since they are not independent.

    Wilson's interval for proportions of rows, the BCa bootstrap for the rest; widened for a further look at
    the same rows by the rule of `intervals.widened`.
    """
    n = len(outputs)
    score = statistic(metric, outputs, targets, threshold)
    value = float(score(np.ones((1, n), np.float32))[0])
    level = widened(confidence, look)
    if WORDS[metric].proportion and outputs.ndim == 2:
        right = round(value * n)
        value, interval = right / n, proportion_interval(right, n, level)
    else:
        interval = bca_interval(score, n, level, bounds=BOUNDS[metric])
    return Evaluation(value, float(interval.low), float(interval.high), n)


def statistic(metric: str, outputs: Array, targets: Array, threshold: float = 0.5) -> Statistic:
    """The metric as a function of row weights: [R, N] -> [R]. What every bootstrap over these rows needs."""
    out, y = jnp.asarray(outputs, jnp.float32), jnp.asarray(targets)
    if WORDS[metric].task == "regression":
        y = y.astype(jnp.float32).reshape(out.shape)
    else:
        out, y = class_logits(out), y.astype(jnp.int32)

    def one(out: jax.Array, y: jax.Array, weight: jax.Array) -> jax.Array:
        rows = steps_as_rows(out, y, weight) if out.ndim == 3 else (out, y, weight)
        return score(metric, *rows, threshold)

    scored = jax.jit(jax.vmap(one, in_axes=(None, None, 0)))  # arguments: constants would be folded
    return lambda weights: np.asarray(scored(out, y, jnp.asarray(weights, jnp.float32)), np.float64)


def trivial_loss(recipe: Recipe, fold: Fold) -> float:
    """The validation loss of who knows only the class frequencies, or the mean, of the training rows.

    Where training weighs classes, so do the frequencies and the loss, which is held against training losses.
    """
    rows = fold.validation
    weight = np.asarray(rows.weight)
    if WORDS[recipe.metric].task == "regression":
        out = np.zeros(recipe.outputs, np.float32)
        y = to_training(np.asarray(rows.y), fold)
    else:
        codes, classes, y = np.asarray(fold.train.y), max(2, recipe.outputs), np.asarray(rows.y)
        each = np.broadcast_to(np.asarray(fold.train.weight)[(..., *[None] * (codes.ndim - 1))], codes.shape)
        counts = np.bincount(codes[codes >= 0], minlength=classes)
        weighed = np.bincount(codes[codes >= 0], weights=each[codes >= 0], minlength=classes)
        logs = np.log(np.maximum(weighed, 0.5) / weighed.sum())
        out = logs if recipe.outputs > 1 else logs[1:] - logs[:1]
        if codes.ndim == 1:
            weight = weight * (weighed / np.maximum(counts, 1))[y].astype(np.float32)
    shape = (*y.shape[: 2 if recipe.each else 1], recipe.outputs)
    outputs = np.broadcast_to(out.astype(np.float32), shape)

    @jax.jit  # one operation after the other, each would be compiled by itself
    def loss(outputs: jax.Array, y: jax.Array, weight: jax.Array) -> jax.Array:
        return batch_loss(LOSSES[recipe.loss], *per_target(recipe, outputs, y, weight))

    return float(loss(outputs, y, weight))


def as_rows(outputs: Array, targets: Array) -> tuple[Array, Array]:
    """Outputs and targets with a row for each target: of sequences with targets of steps, these steps."""
    if outputs.ndim == 2:
        return outputs, targets
    there = targets >= 0 if targets.ndim == 2 else ~np.isnan(targets).any(axis=2)
    return outputs[there], targets[there]
