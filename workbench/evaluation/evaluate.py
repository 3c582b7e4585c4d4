"""The score of a finished model on whole sets of rows, with its interval.

The same metrics that trained lanes are judged by.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from workbench.core.target_transform import to_training
from workbench.core.types import Array, Fold
from workbench.core.vocabulary import METRICS as WORDS
from workbench.core.vocabulary import quantile_of
from workbench.data.targets import known
from workbench.data.weights import uneven
from workbench.evaluation.baselines import constant, trivial_logits
from workbench.evaluation.intervals import Comparison, Stated, auc, labels, means, widened, withheld
from workbench.evaluation.intervals import classes as intervals_of_classes
from workbench.nn.losses import LOSSES, batch_loss
from workbench.nn.metrics import METRICS, class_logits, predictions, score
from workbench.nn.models.recurrent import steps_as_rows
from workbench.nn.recipe import Recipe
from workbench.training.scoring import per_target

#: The metrics that have an interval; any other has none, rather than that of its neighbour.
KNOWN = (
    *("accuracy", "balanced_accuracy", "f1_macro", "f1", "roc_auc"),
    *("log_loss", "rmse", "mse", "mae", "r2"),  # and pinball at any quantile
    *("label_accuracy", "hamming_loss", "nll"),
)
#: With fewer groups of much alike rows intervals that are called 95 % cover as little as 81 % (of 6 groups)
#: or 90 % (of 100).
_GROUPS = 200
#: Models that `scores_of` scores at once.
_AT_ONCE = 32


class Evaluation(NamedTuple):
    """A score and its interval."""

    value: float
    low: float  # NaN where no interval can be given honestly
    high: float
    rows: int
    note: str = ""  # why there is no interval, or what it does not cover

    @property
    def told(self) -> dict[str, float | str | None]:
        """Value and interval as they are recorded."""
        return as_recorded({"value": self.value, "low": self.low, "high": self.high}, {"note": self.note})


def as_recorded(figures: Mapping[str, float], remarks: Mapping[str, str]) -> dict[str, float | str | None]:
    """Figures that JSON can say, and remarks as far as there are any."""
    found: dict[str, float | str | None] = {
        name: figure if math.isfinite(figure) else None for name, figure in figures.items()
    }
    return found | {name: remark for name, remark in remarks.items() if remark}


def evaluate(
    metric: str,
    outputs: Array,
    targets: Array,
    *,
    threshold: float = 0.5,
    look: int = 1,
    confidence: float = 0.95,
    classes: Sequence[str] = (),
    groups: Array | None = None,
    weight: Array | None = None,
) -> Evaluation:
    """Score outputs [N, K] against targets, [N] class codes or [N, K] numbers in the units of the data.

    Or outputs [N, T, K] against targets of steps, [N, T] or [N, T, K]; N sequences are the rows then, and
    steps of one sequence are taken together, since they are not independent.

    The interval is widened for a further look at the same rows by the rule of `intervals.widened`. `classes`
    are names for its remarks; `groups` [N] says which rows belong together and so are not independent either;
    `weight` [N] how much each counts, where they do not count alike: not for targets of steps.
    """
    weight = uneven(weight)
    value = score_of(metric, outputs, targets, threshold, weight)
    found = interval(
        metric,
        outputs,
        targets,
        threshold=threshold,
        confidence=widened(confidence, look),
        classes=classes,
        groups=groups,
        weight=weight,
    )
    if WORDS[metric].proportion and outputs.ndim == 2 and weight is None:
        value = round(value * len(outputs)) / len(outputs)  # a share, not what float32 makes of it
    low, high = _around(value, found)
    return Evaluation(value, low, high, len(outputs), found.note)


def interval(
    metric: str,
    outputs: Array,
    targets: Array,
    *,
    threshold: float = 0.5,
    confidence: float = 0.95,
    classes: Sequence[str] = (),
    groups: Array | None = None,
    weight: Array | None = None,
) -> Stated:
    """The interval of a score, as `evaluate` gives it."""
    out, y, clusters, mass = _flat(outputs, targets, groups, weight)
    found = _interval(metric, out, y, clusters, mass, threshold, confidence, classes)
    return _of_groups(found, clusters)


def _interval(
    metric: str,
    out: Array,
    y: Array,
    clusters: Array | None,
    weight: Array | None,
    threshold: float,
    confidence: float,
    classes: Sequence[str],
) -> Stated:
    if not np.isfinite(out).all():
        return withheld("the model gives no finite number on some row, so there is no interval")
    if metric not in KNOWN and quantile_of(metric) is None:
        return _unknown(metric)
    word = WORDS[metric]
    if _of_labels(metric, y):
        return labels.interval(metric, labels.Labelled(out, y, threshold, clusters, weight), confidence)
    if word.decides:
        return intervals_of_classes.interval(
            metric, _decided(out, y, threshold, clusters, classes, weight), confidence
        )
    if metric == "roc_auc":
        return auc.interval(_ranked(out, y, clusters, classes, weight), confidence)
    return means.loss_interval(metric, _logits(out, metric), y, clusters, confidence, weight)


def compare(
    metric: str,
    one: Array,
    other: Array,
    targets: Array,
    *,
    thresholds: tuple[float, float] = (0.5, 0.5),
    look: int = 1,
    confidence: float = 0.95,
    classes: Sequence[str] = (),
    groups: Array | None = None,
    weight: Array | None = None,
) -> Comparison:
    """How much better the outputs `one` score than the outputs `other` for the same rows, with its interval.

    Rows that are hard for both cancel out, so this sees smaller differences than two intervals side by side.
    """
    pair, word, weight = (one, other), WORDS[metric], uneven(weight)
    scores = [
        score_of(metric, each, targets, threshold, weight)
        for each, threshold in zip(pair, thresholds, strict=True)
    ]
    gain = (scores[0] - scores[1]) * (1 if word.direction == "maximize" else -1)
    found = gain_interval(
        metric,
        one,
        other,
        targets,
        thresholds=thresholds,
        confidence=widened(confidence, look),
        classes=classes,
        groups=groups,
        weight=weight,
    )
    return Comparison(gain, *_around(gain, found), found.note)


def gain_interval(
    metric: str,
    one: Array,
    other: Array,
    targets: Array,
    *,
    thresholds: tuple[float, float] = (0.5, 0.5),
    confidence: float = 0.95,
    classes: Sequence[str] = (),
    groups: Array | None = None,
    weight: Array | None = None,
) -> Stated:
    """The interval of a gain, as `compare` gives it."""
    mine, y, clusters, mass = _flat(one, targets, groups, weight)
    theirs, *_ = _flat(other, targets, groups, weight)
    found = _gain_interval(metric, mine, theirs, y, clusters, mass, thresholds, confidence, classes)
    return _of_groups(found, clusters)


def _gain_interval(
    metric: str,
    mine: Array,
    theirs: Array,
    y: Array,
    clusters: Array | None,
    weight: Array | None,
    thresholds: tuple[float, float],
    confidence: float,
    classes: Sequence[str],
) -> Stated:
    if not (np.isfinite(mine).all() and np.isfinite(theirs).all()):
        return withheld("a model gives no finite number on some row, so there is no interval")
    if metric not in KNOWN and quantile_of(metric) is None:
        return _unknown(metric)
    if _of_labels(metric, y):
        ours, others = (
            labels.Labelled(out, y, threshold, clusters, weight)
            for out, threshold in zip((mine, theirs), thresholds, strict=True)
        )
        return labels.paired_interval(metric, ours, others, confidence)
    if WORDS[metric].decides:
        first, second = (
            _decided(out, y, threshold, clusters, classes, weight)
            for out, threshold in zip((mine, theirs), thresholds, strict=True)
        )
        return intervals_of_classes.paired_interval(metric, first, second, confidence)
    if metric == "roc_auc":
        a, b = (_ranked(out, y, clusters, classes, weight) for out in (mine, theirs))
        return auc.paired_interval(a, b, confidence)
    mine, theirs = _logits(mine, metric), _logits(theirs, metric)
    return means.gain_interval(metric, mine, theirs, y, clusters, confidence, weight)


def _of_labels(metric: str, y: Array) -> bool:
    """Whether it scores several labels of a row, y [N, K]."""
    return WORDS[metric].suits(("multilabel",)) and y.ndim == 2


def _unknown(metric: str) -> Stated:
    return withheld(f"how {metric} scatters from row to row is not known, so there is no interval")


def _of_groups(found: Stated, clusters: Array | None) -> Stated:
    """The interval, with a remark where few groups of rows tell how alike rows of one group are."""
    if clusters is None or found.note or (n := len(np.unique(clusters))) >= _GROUPS:
        return found
    return found._replace(note=f"too few groups of rows that belong together ({n}) to rely on an interval")


def score_of(
    metric: str, outputs: Array, targets: Array, threshold: float = 0.5, weight: Array | None = None
) -> float:
    """The score alone, in single precision as that of the trained lanes; weight [N], None: all rows alike."""
    out, y = jnp.asarray(outputs, jnp.float32), jnp.asarray(targets)
    if _are_numbers(y):
        y = y.astype(jnp.float32).reshape(out.shape)
    else:
        out, y = class_logits(out), y.astype(jnp.int32)

    return float(_score(metric, _same(metric), float(threshold), out, y, _mass(weight, len(out))))


@partial(jax.jit, static_argnums=(0, 1, 2))
def _score(
    metric: str, same: object, threshold: float, out: jax.Array, y: jax.Array, weight: jax.Array
) -> jax.Array:
    del same
    rows = steps_as_rows(out, y, weight) if out.ndim == 3 else (out, y, weight)
    return score(metric, *rows, threshold)


def _are_numbers(y: jax.Array | Array) -> bool:
    """Whether targets are numbers [N, K], those of labels among them, and not codes of classes."""
    return bool(jnp.issubdtype(y.dtype, jnp.floating))


def _same(metric: str) -> object:
    """What tells a metric from another that took its name; its methods are hashed by whose they are."""
    function: Any = METRICS[metric]
    return function.__call__


def scores_of(metric: str, outputs: Array, targets: Array, weight: Array | None = None) -> Array:
    """The scores of many models on the same rows, outputs [S, N, K] -> [S]; each as `score_of` has it."""
    parts, y = [], jnp.asarray(targets)
    y = y.astype(jnp.float32) if _are_numbers(y) else y.astype(jnp.int32)
    for first in range(0, len(outputs), _AT_ONCE):
        part = np.asarray(outputs[first : first + _AT_ONCE], np.float32)
        room = np.zeros((_AT_ONCE, *part.shape[1:]), np.float32)  # of one shape, so that one is compiled
        room[: len(part)] = part
        parts.append(np.asarray(_scores(metric, _same(metric), room, y, _mass(weight, len(y))))[: len(part)])
    return np.concatenate(parts)


@partial(jax.jit, static_argnums=(0, 1))
def _scores(metric: str, same: object, outputs: jax.Array, y: jax.Array, weight: jax.Array) -> jax.Array:
    del same

    def one(out: jax.Array) -> jax.Array:
        out = out if _are_numbers(y) else class_logits(out)
        return score(metric, out, y, weight)

    return jax.vmap(one)(outputs)


def _mass(weight: Array | None, rows: int) -> jax.Array:
    return jnp.ones(rows, jnp.float32) if weight is None else jnp.asarray(weight, jnp.float32)


def trivial_loss(recipe: Recipe, fold: Fold, own: Array | None = None) -> float:
    """The validation loss of who knows only the class frequencies, or the mean, of the training rows.

    Where training weighs classes, so do the frequencies and the loss, which is held against training losses.

    own  weights of the training rows without those of their classes, [N]; None: all alike
    """
    rows = fold.validation
    weight = np.asarray(rows.weight)
    if WORDS[recipe.metric].task == "regression":
        out = np.zeros(recipe.outputs, np.float32)
        if (quantile := quantile_of(recipe.loss)) is not None:
            out = constant(known(to_training(np.asarray(fold.train.y), fold)), quantile, own)
        y = to_training(np.asarray(rows.y), fold)
    elif recipe.labels:
        y, seen = np.asarray(rows.y), known(np.asarray(fold.train.y))
        out = trivial_logits(seen, own)
    else:
        codes, classes, y = np.asarray(fold.train.y), max(2, recipe.outputs), np.asarray(rows.y)
        each = np.broadcast_to(np.asarray(fold.train.weight)[(..., *[None] * (codes.ndim - 1))], codes.shape)
        counts = np.bincount(
            codes[codes >= 0], weights=None if own is None else own[codes >= 0], minlength=classes
        )
        weighed = np.bincount(codes[codes >= 0], weights=each[codes >= 0], minlength=classes)
        logs = np.log(np.maximum(weighed, 0.5) / weighed.sum())
        out = logs if recipe.outputs > 1 else logs[1:] - logs[:1]
        if codes.ndim == 1:
            weight = weight * (weighed / np.where(counts > 0, counts, 1))[y].astype(np.float32)
    shape = (*y.shape[: 2 if recipe.each else 1], recipe.outputs)
    outputs = np.broadcast_to(out.astype(np.float32), shape)

    return _loss(recipe, outputs, y, weight)


def train_loss(recipe: Recipe, outputs: Array, fold: Fold) -> float:
    """The mean loss of outputs on the training rows, in the units and with the weights of training.

    outputs  of a model in evaluation mode, [N, K] or [N, T, K]; regression in the units of the data
    """
    y = np.asarray(fold.train.y)
    if WORDS[recipe.metric].task == "regression":
        outputs, y = to_training(outputs, fold), to_training(y, fold)
    return _loss(recipe, outputs, y, np.asarray(fold.train.weight))


def _loss(recipe: Recipe, outputs: Array, y: Array, weight: Array) -> float:
    @jax.jit  # one operation after the other, each would be compiled by itself
    def loss(outputs: jax.Array, y: jax.Array, weight: jax.Array) -> jax.Array:
        return batch_loss(LOSSES[recipe.loss], *per_target(recipe, outputs, y, weight))

    return float(loss(jnp.asarray(outputs), jnp.asarray(y), jnp.asarray(weight)))


def as_rows(outputs: Array, targets: Array) -> tuple[Array, Array]:
    """Outputs and targets with a row for each target: of sequences with targets of steps, these steps."""
    if outputs.ndim == 2:
        return outputs, targets
    there = _there(targets)
    return outputs[there], targets[there]


def _there(targets: Array) -> Array:
    """Which steps have a target, [N, T]."""
    return targets >= 0 if targets.ndim == 2 else ~np.isnan(targets).any(axis=2)


def _flat(
    outputs: Array, targets: Array, groups: Array | None, weight: Array | None
) -> tuple[Array, Array, Array | None, Array | None]:
    """Outputs and targets with a row for each target, the group or sequence of each, and its weight.

    Rows that weigh nothing are left out.
    """
    outputs, targets = np.asarray(outputs), np.asarray(targets)
    if outputs.ndim == 2:
        targets = targets.reshape(outputs.shape) if targets.dtype.kind == "f" else targets
        if weight is None or (weight > 0).all():
            return outputs, targets, groups, weight
        there = weight > 0
        return outputs[there], targets[there], None if groups is None else groups[there], weight[there]
    there = _there(targets)
    out, y = as_rows(outputs, targets)
    sequence = np.nonzero(there)[0]
    return out, y, sequence if groups is None else groups[sequence], None


def _logits(outputs: Array, metric: str) -> Array:
    return np.asarray(class_logits(jnp.asarray(outputs))) if metric == "log_loss" else outputs


def _decided(
    outputs: Array,
    codes: Array,
    threshold: float,
    clusters: Array | None,
    classes: Sequence[str],
    weight: Array | None,
) -> intervals_of_classes.Decided:
    said = np.asarray(predictions(jnp.asarray(outputs, jnp.float32), threshold))
    number = max(2, outputs.shape[1])
    return intervals_of_classes.Decided(codes, said, number, clusters, tuple(classes), _mean_one(weight))


def _ranked(
    outputs: Array, codes: Array, clusters: Array | None, classes: Sequence[str], weight: Array | None
) -> auc.Ranked:
    logits = np.asarray(class_logits(jnp.asarray(outputs, jnp.float32)))
    return auc.Ranked(logits[:, 1] - logits[:, 0], codes, clusters, tuple(classes), _mean_one(weight))


def _mean_one(weight: Array | None) -> Array | None:
    return None if weight is None else weight / weight.mean()


def _around(value: float, found: Stated) -> tuple[float, float]:
    """The ends; rounding of a score in single precision must not leave it outside."""
    return min(found.low, value), max(found.high, value)
