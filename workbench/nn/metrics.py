"""Scores of a whole set of rows, weighted: METRICS[name](outputs, y, weight) -> float32 scalar.

`score` gives those that look at predicted classes the threshold between two classes as well.

    classes     outputs [N, K] logits, y [N] int32 codes; one column z stands for the two logits [0, z]
    labels      outputs [N, K] logits, y [N, K] float32 of zeros and ones
    regression  outputs [N, K] and y [N, K] float32, in the units of the data
    weight      [N]; an integer weight equals so many copies of the row. A row of weight zero is padding and
                has no part in the score whatever stands in it, NaN included

The definitions are scikit-learn's, also of several labels of a row, which some words of classes have a value
for, too: accuracy is that of whole rows, f1_macro, roc_auc and log_loss are means over labels. nll is the sum
of the labels' log losses, the negative log-likelihood of a row, or of a step where each has targets: what
Boulanger-Lewandowski, Bengio and Vincent 2012 (arXiv:1206.6392) report of music, 88 keys a step. A score is
NaN where it is undefined (no rows; roc_auc of a single class) and where the outputs of a counted row are NaN:
a diverged model must not look like one that guesses. Everything can be jitted and mapped; mapped over weights
alone, as a bootstrap does, what belongs to the rows (argmax, sorting) is done once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logit

from workbench.core.errors import InputError
from workbench.core.vocabulary import METRICS as WORDS
from workbench.core.vocabulary import AtQuantiles, Metric
from workbench.nn import words
from workbench.nn.losses import LOSSES, NUMBERS, TASKS

Threshold = jax.Array | float
#: Outputs that a new metric is tried with.
_TRIED = {"regression": (1, 2), "classification": (1, 3), "binary": (1, 2), "multilabel": (2, 3)}


def class_logits(outputs: jax.Array) -> jax.Array:
    """Logits of K >= 2 classes: [N, 1] -> [N, 2], namely [0, z]; others pass through."""
    if outputs.shape[1] > 1:
        return outputs
    return jnp.concatenate([jnp.zeros_like(outputs), outputs], axis=1)


def predictions(outputs: jax.Array, threshold: Threshold = 0.5) -> jax.Array:
    """Class codes [N] int32 from [N, K] outputs.

    Of two classes, 1 where its probability is above `threshold`; of more, the most probable, and the first of
    equals (`threshold` is not looked at).
    """
    logits = class_logits(outputs)
    if logits.shape[1] > 2:
        return jnp.argmax(logits, axis=1).astype(jnp.int32)
    return (logits[:, 1] - logits[:, 0] > logit(jnp.asarray(threshold, jnp.float32))).astype(jnp.int32)


def score(
    metric: str, outputs: jax.Array, y: jax.Array, weight: jax.Array, threshold: Threshold = 0.5
) -> jax.Array:
    """The metric of that name; `threshold` as in `predictions`, if it looks at predicted classes."""
    word = WORDS[metric]
    function = OF_LABELS[metric] if word.labels and y.ndim == 2 else METRICS[metric]
    return function(outputs, y, weight, threshold) if word.decides else function(outputs, y, weight)


def register(
    name: str,
    function: Callable[..., jax.Array],
    *,
    direction: Literal["maximize", "minimize"],
    task: str,
    decides: bool = False,
    replace: bool = False,
) -> None:
    """Add a metric under a name that study files may then use. Its scores have no interval.

        register("medae", lambda outputs, y, weight: jnp.median(jnp.abs(outputs - y)),
                 direction="minimize", task="regression")

    Args:
        name: What `[select] metric` says.
        function: (outputs [N, K], y, weight [N]) -> scalar. outputs are logits and y [N] int32 codes, two
            classes may have one logit; or both are [N, K] float32, in the units of the data, or logits and
            zeros and ones of labels. A row of weight zero is padding.
        direction: "maximize" or "minimize".
        task: "regression", "classification", "binary" or "multilabel".
        decides: Whether it looks at predicted classes; it then takes `threshold` as a fourth argument, the
            probability from which on the second of two classes is said.
        replace: Take the place of a metric of that name; studies that were run with it keep their records, so
            give those that use the new one another name.

    Raises:
        InputError: if the name is taken, or function, direction or task are of another kind.
    """
    words.check_callable("metric", str(name), function, "a function of (outputs, y, weight)")
    if direction not in ("maximize", "minimize"):
        raise InputError(f"metric {name!r}: direction is {direction!r}; it must be 'maximize' or 'minimize'")
    if task not in TASKS:
        raise InputError(f"metric {name!r}: task is {task!r}; it must be one of {', '.join(TASKS)}")
    for columns in _TRIED[task]:
        outputs = words.number((5, columns))
        y = outputs if task in NUMBERS else words.number((5,), np.int32)
        given = (outputs, y, words.number((5,)), *([words.number()] * decides))
        how = f"(outputs [5, {columns}], y {list(y.shape)}, weight [5]{', threshold' * decides})"
        found = words.tried("metric", name, function, *given, how=how)
        if not words.is_scalar(found):
            raise InputError(
                f"metric {name!r}: gives {words.described(found)} for {how}; it must be one number "
                "for all rows"
            )
    words.admit("metric", name, METRICS, replace=replace)
    METRICS[name] = function
    WORDS[name] = Metric(direction, task, decides=decides)


def _accuracy(outputs: jax.Array, y: jax.Array, weight: jax.Array, threshold: Threshold = 0.5) -> jax.Array:
    hit = (predictions(outputs, threshold) == y).astype(jnp.float32)
    return _mean(jnp.where(jnp.isnan(outputs).any(axis=1), jnp.nan, hit), weight)


def _balanced_accuracy(
    outputs: jax.Array, y: jax.Array, weight: jax.Array, threshold: Threshold = 0.5
) -> jax.Array:
    """Mean recall over the classes that occur."""
    true, _, hit = _class_totals(outputs, y, weight, threshold)
    return _mean(hit / true, (true > 0.0).astype(jnp.float32))


def _log_loss(outputs: jax.Array, y: jax.Array, weight: jax.Array) -> jax.Array:
    """Mean of -log softmax(z)_y."""
    each = jax.vmap(LOSSES["cross_entropy"].function, in_axes=(0, 0, None))
    return _mean(each(class_logits(outputs), y, jnp.float32(0.0)), weight)


def _f1_macro(outputs: jax.Array, y: jax.Array, weight: jax.Array, threshold: Threshold = 0.5) -> jax.Array:
    """Mean of 2 TP / (2 TP + FP + FN) over the classes that occur or are predicted."""
    true, predicted, hit = _class_totals(outputs, y, weight, threshold)
    either = true + predicted
    return _mean(2.0 * hit / either, (either > 0.0).astype(jnp.float32))


def _f1(outputs: jax.Array, y: jax.Array, weight: jax.Array, threshold: Threshold = 0.5) -> jax.Array:
    """2 TP / (2 TP + FP + FN) of class 1; zero if it neither occurs nor is predicted."""
    true, predicted, hit = (total[1] for total in _class_totals(outputs, y, weight, threshold))
    either = true + predicted
    return jnp.where(either == 0.0, 0.0, 2.0 * hit / either)


def _roc_auc(outputs: jax.Array, y: jax.Array, weight: jax.Array) -> jax.Array:
    """P(score of a positive > score of a negative), ties counting a half; scores are z_1 - z_0.

    A row's place is how many scores are lower, the same for equal scores. A positive beats the negatives in
    lower places and half of those in its own: one sort instead of all pairs. The mean is taken about 1/2,
    which keeps float32 sums small and so exact to a few units in the last place.
    """
    logits, weight = class_logits(outputs), _clean(weight)
    score = logits[:, 1] - logits[:, 0]
    rank = _sortable(score)
    place = jnp.searchsorted(jax.lax.sort(rank), rank)
    positive, negative = jnp.where(y == 1, weight, 0.0), jnp.where(y == 1, 0.0, weight)
    here = jnp.zeros_like(weight).at[place].add(negative)
    beaten = jnp.cumsum(here) - 0.5 * here
    lead = beaten / negative.sum() - 0.5
    auc = 0.5 + jnp.sum(positive * lead[place]) / positive.sum()
    return jnp.where((jnp.isnan(score) & (weight > 0.0)).any(), jnp.nan, auc)


def _sortable(values: jax.Array) -> jax.Array:
    """Float32 as int32 of the same order: XLA sorts integers on a CPU six times as fast as floats."""
    unsigned_zero = jnp.where(values == 0.0, 0.0, values)
    bits = jax.lax.bitcast_convert_type(unsigned_zero, jnp.int32)
    return jnp.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


def _rmse(outputs: jax.Array, y: jax.Array, weight: jax.Array) -> jax.Array:
    """The root for each output, then the mean over outputs."""
    return jnp.mean(jnp.sqrt(_mean(jnp.square(outputs - y), weight)))


def _mse(outputs: jax.Array, y: jax.Array, weight: jax.Array) -> jax.Array:
    return jnp.mean(_mean(jnp.square(outputs - y), weight))


def _mae(outputs: jax.Array, y: jax.Array, weight: jax.Array) -> jax.Array:
    return jnp.mean(_mean(jnp.abs(outputs - y), weight))


def _r2(outputs: jax.Array, y: jax.Array, weight: jax.Array) -> jax.Array:
    """1 - Σ (y - ŷ)² / Σ (y - ȳ)², the mean over outputs; of a constant y, 1 if it is met and else 0."""
    residual = _mean(jnp.square(outputs - y), weight)
    total = _mean(jnp.square(y - _mean(y, weight)[None, :]), weight)
    constant = jnp.where(jnp.isnan(residual), jnp.nan, (residual == 0.0).astype(jnp.float32))
    return jnp.mean(jnp.where(total == 0.0, constant, 1.0 - residual / jnp.where(total == 0.0, 1.0, total)))


def _pinball(quantile: float, outputs: jax.Array, y: jax.Array, weight: jax.Array) -> jax.Array:
    error = y - outputs
    return jnp.mean(_mean(jnp.maximum(quantile * error, (quantile - 1.0) * error), weight))


def said(outputs: jax.Array, threshold: Threshold = 0.5) -> jax.Array:
    """Which labels are said, [N, K] of 0.0 and 1.0: those whose probability is above the threshold."""
    above = (outputs > logit(jnp.asarray(threshold, jnp.float32))).astype(jnp.float32)
    return jnp.where(jnp.isnan(outputs), jnp.nan, above)


def _right(outputs: jax.Array, y: jax.Array, threshold: Threshold) -> jax.Array:
    """Which labels are right, [N, K]; NaN for NaN outputs."""
    guess = said(outputs, threshold)
    return jnp.where(jnp.isnan(guess), jnp.nan, (guess == y).astype(jnp.float32))


def _subset_accuracy(
    outputs: jax.Array, y: jax.Array, weight: jax.Array, threshold: Threshold = 0.5
) -> jax.Array:
    """The share of rows all of whose labels are right."""
    return _mean(jnp.min(_right(outputs, y, threshold), axis=1), weight)


def _label_accuracy(
    outputs: jax.Array, y: jax.Array, weight: jax.Array, threshold: Threshold = 0.5
) -> jax.Array:
    """The share of labels that are right."""
    return jnp.mean(_mean(_right(outputs, y, threshold), weight))


def _hamming_loss(
    outputs: jax.Array, y: jax.Array, weight: jax.Array, threshold: Threshold = 0.5
) -> jax.Array:
    """The share of labels that are wrong."""
    return jnp.mean(_mean(1.0 - _right(outputs, y, threshold), weight))


def _f1_of_labels(
    outputs: jax.Array, y: jax.Array, weight: jax.Array, threshold: Threshold = 0.5
) -> jax.Array:
    """The mean over labels of 2 TP / (2 TP + FP + FN); of one that neither occurs nor is said it is zero."""
    guess = said(outputs, threshold)
    hit, either = _mean(guess * y, weight), _mean(guess + y, weight)
    return jnp.mean(jnp.where(either == 0.0, 0.0, 2.0 * hit / either))


def _roc_auc_of_labels(outputs: jax.Array, y: jax.Array, weight: jax.Array) -> jax.Array:
    """The mean over labels of the area under each one's ROC curve."""

    def of_one(z: jax.Array, codes: jax.Array) -> jax.Array:
        return _roc_auc(z[:, None], codes, weight)

    return jnp.mean(jax.vmap(of_one, in_axes=1)(outputs, y.astype(jnp.int32)))


def _log_loss_of_labels(outputs: jax.Array, y: jax.Array, weight: jax.Array) -> jax.Array:
    """The mean over labels of -log of the probability of what is so."""
    each = jax.vmap(LOSSES["binary_cross_entropy"].function, in_axes=(0, 0, None))
    return _mean(each(outputs, y, jnp.float32(0.0)), weight)


def _nll(outputs: jax.Array, y: jax.Array, weight: jax.Array) -> jax.Array:
    """The same, summed over labels."""
    return outputs.shape[1] * _log_loss_of_labels(outputs, y, weight)


def _mean(values: jax.Array, weight: jax.Array) -> jax.Array:
    """Weighted mean over the first axis of [N] or [N, K]; NaN if nothing is counted."""
    weight = _clean(weight)
    columns = jnp.expand_dims(weight, tuple(range(1, values.ndim)))
    return jnp.sum(jnp.where(columns > 0.0, columns * values, 0.0), axis=0) / jnp.sum(weight)


def _class_totals(
    outputs: jax.Array, y: jax.Array, weight: jax.Array, threshold: Threshold
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Weight of the rows of a class, of those predicted as it, and of both: [K] each, NaN for NaN outputs."""
    classes, weight = class_logits(outputs).shape[1], _clean(weight)
    guess = predictions(outputs, threshold)
    broken = jnp.isnan(outputs).any(axis=1) & (weight > 0.0)
    weight = jnp.where(broken.any(), jnp.nan, weight)

    def total(members: jax.Array) -> jax.Array:
        return jnp.dot(weight, members, precision=jax.lax.Precision.HIGHEST)

    true, predicted = (jax.nn.one_hot(codes, classes, dtype=jnp.float32) for codes in (y, guess))
    return total(true), total(predicted), total(true * predicted)


def _clean(weight: jax.Array) -> jax.Array:
    weight = jnp.asarray(weight).astype(jnp.float32)
    return jnp.where(weight > 0.0, weight, 0.0)


METRICS: dict[str, Callable[..., jax.Array]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "log_loss": _log_loss,
    "f1_macro": _f1_macro,
    "f1": _f1,
    "roc_auc": _roc_auc,
    "label_accuracy": _label_accuracy,
    "hamming_loss": _hamming_loss,
    "nll": _nll,
    "rmse": _rmse,
    "mse": _mse,
    "mae": _mae,
    "r2": _r2,
    "pinball": partial(_pinball, 0.5),
}
#: What words of classes mean where a row has several labels.
OF_LABELS: dict[str, Callable[..., jax.Array]] = {
    "accuracy": _subset_accuracy,
    "f1_macro": _f1_of_labels,
    "roc_auc": _roc_auc_of_labels,
    "log_loss": _log_loss_of_labels,
}
METRICS = AtQuantiles(METRICS, lambda quantile: partial(_pinball, quantile))
