"""Intervals for means of losses, and what says that they cannot be trusted.

A mean of losses is taken for a gamma variable of its own mean and variance (Satterthwaite 1946; Box 1954).
That is exact for squares of normal errors, and right in mean, variance and about in skewness for others; its
levels are those of Student's t with the degrees of freedom that the kurtosis of the losses leaves.
Differences of two models' losses, whose skewness nearly cancels, have Student's interval with the same
degrees of freedom.

No interval of a mean is safe whatever the losses are (Bahadur and Savage 1956): one loss in a hundred rows
may be as large as the rest together, and forty rows do not show it two times in three. Two rules say so.
Losses whose kurtosis is too large for their number, of which a handful decide mean and variance, get no
interval. With few rows the interval is given with the remark that it holds for losses such as these rows
show.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from workbench.core.types import Array
from workbench.core.vocabulary import quantile_of
from workbench.evaluation.intervals import Stated, student, withheld

#: Fewer rows get none. Fewer than SHOWN_BY may miss what one row in 200 does: where its errors are five times
#: as large as others, one set of 600 rows in seven shows none that is far out.
FEWEST, SHOWN_BY = 10, 1_500
#: The largest kurtosis: of few rows, and its growth with √rows, which is that of tails without a variance.
_KURTOSIS, _GROWTH = 32.0, 1.6


def loss_interval(
    metric: str,
    outputs: Array,
    targets: Array,
    clusters: Array | None,
    confidence: float,
    weight: Array | None = None,
) -> Stated:
    """The interval of log_loss, mse, mae, rmse, r2 or a pinball loss.

    outputs, targets  [N, K] numbers, or [N, K] logits and [N] codes
    clusters          [N] integers, rows that belong together; None: all are independent
    weight            [N] how much each row counts, above zero; None: all alike
    """
    if metric == "r2":
        ratio, change = _unexplained(outputs, targets, weight)
        values = _by_cluster(change, clusters, 0.0, weight)
        if (found := _refused(values)) is not None:
            return found
        half = _student(values, confidence) * _error(values)
        low, high = 1 - ratio * math.exp(half), 1 - ratio * math.exp(-half)
        return Stated(low, high, _remark(values))
    losses = row_losses(metric, outputs, targets, weight)
    found = mean_interval(losses, clusters, confidence, weight)
    if metric == "rmse":
        mean = float(_by_cluster(losses, clusters, weight=weight).mean())
        return found._replace(low=math.sqrt(mean * found.low), high=math.sqrt(mean * found.high))
    return found


def mean_interval(
    losses: Array, clusters: Array | None, confidence: float, weight: Array | None = None
) -> Stated:
    """The interval of the mean of losses [N], none of them below zero."""
    losses = _by_cluster(losses, clusters, weight=weight)
    if (found := _refused(losses)) is not None:
        return found
    mean, n = float(losses.mean()), len(losses)
    shape = n * mean**2 / float(losses.var(ddof=1))
    tail = float(special.ndtr(-_student(losses, confidence)))
    low = shape * mean / float(special.gammainccinv(shape, tail))
    high = shape * mean / float(special.gammaincinv(shape, tail))
    return Stated(low, high, _remark(losses))


def gain_interval(
    metric: str,
    one: Array,
    other: Array,
    targets: Array,
    clusters: Array | None,
    confidence: float,
    weight: Array | None = None,
) -> Stated:
    """The interval of how much better `one` scores than `other`, both [N, K] outputs for the same rows."""
    if metric == "r2":
        parts = [_unexplained(each, targets, weight) for each in (other, one)]
        change = parts[0][0] * parts[0][1] - parts[1][0] * parts[1][1]
        return _changed(parts[0][0] - parts[1][0], change, clusters, confidence, weight)
    theirs, mine = (row_losses(metric, each, targets, weight) for each in (other, one))
    gain = float(np.average(theirs, weights=weight) - np.average(mine, weights=weight))
    # Of roots the losses are those of the squares over the root, of which half a change is felt.
    change = (theirs - mine) / (2 if metric == "rmse" else 1)
    return difference_interval(gain, change, clusters, confidence, weight)


def difference_interval(
    gain: float, change: Array, clusters: Array | None, confidence: float, weight: Array | None = None
) -> Stated:
    """The interval of a gain, from what each row [N] does to it, about whatever mean."""
    return _changed(gain, change - np.average(change, weights=weight), clusters, confidence, weight)


def _changed(
    gain: float, change: Array, clusters: Array | None, confidence: float, weight: Array | None
) -> Stated:
    if np.ptp(change) == 0 and gain == 0:
        return withheld("no row tells the two models apart, so there is nothing to take an interval from")
    values = _by_cluster(change, clusters, 0.0, weight)
    if (found := _refused(values)) is not None:
        return found
    half = _student(values, confidence) * _error(values)
    return Stated(gain - half, gain + half, _remark(values))


def row_losses(metric: str, outputs: Array, targets: Array, weight: Array | None = None) -> Array:
    """Losses [N] whose mean, by these weights, is the metric."""
    if metric == "log_loss":
        return log_loss_rows(outputs, targets)
    apart = np.subtract(outputs, targets, dtype=float)
    if metric == "mae":
        return np.asarray(np.abs(apart).mean(axis=1))
    if (quantile := quantile_of(metric)) is not None:
        return np.asarray(np.maximum(-quantile * apart, (1 - quantile) * apart).mean(axis=1))
    square = apart**2
    if metric == "rmse":
        roots = np.sqrt(np.average(square, axis=0, weights=weight))
        square = square / np.where(roots > 0, roots, 1.0)
    return np.asarray(square.mean(axis=1))


def log_loss_rows(logits: Array, codes: Array) -> Array:
    """-log softmax(z)_y of each row, [N]."""
    z = np.asarray(logits, float)
    return np.asarray(special.logsumexp(z, axis=1) - z[np.arange(len(z)), codes])


def _unexplained(outputs: Array, targets: Array, weight: Array | None = None) -> tuple[float, Array]:
    """1 - R², and by what share of it each row [N] moves it, before its weight."""
    square = np.subtract(outputs, targets, dtype=float) ** 2
    around = (targets - np.average(targets.astype(float), axis=0, weights=weight)) ** 2
    residual, total = (np.average(each, axis=0, weights=weight) for each in (square, around))
    ratios = residual / total
    change = (square - ratios * around) / total
    mean = float(ratios.mean())
    return mean, np.asarray(change.mean(axis=1)) / (mean or 1.0)


def _by_cluster(
    values: Array, clusters: Array | None, mean: float | None = None, weight: Array | None = None
) -> Array:
    """The values, or for each cluster [G] what its rows say together, about the same mean over all.

    A row of weight w says its distance from the weighted mean w times: what is said has that mean, and its
    error (linearization of a ratio).
    """
    if clusters is None and weight is None:
        return values
    centre = float(np.average(values, weights=weight)) if mean is None else mean
    if weight is not None:
        values = centre + weight / weight.mean() * (values - centre)
    if clusters is None:
        return np.asarray(values)
    _, cluster = np.unique(clusters, return_inverse=True)
    groups = int(cluster.max()) + 1
    return np.asarray(centre + np.bincount(cluster, values - centre) * groups / len(values))


def _refused(values: Array) -> Stated | None:
    """No interval, and why; None if there may be one."""
    n = len(values)
    if n < FEWEST:
        return withheld(f"too few rows ({n}) for an interval; {FEWEST} are needed")
    if np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())):
        return withheld("all rows have the same error, so there is nothing to take an interval from")
    kurtosis, most = _kurtosis(values), max(_KURTOSIS, _GROWTH * math.sqrt(n))
    if kurtosis > most:
        return withheld(
            f"too few rows ({n}) for an interval of errors with so heavy a tail: a few large ones decide it "
            f"(kurtosis {kurtosis:.0f}, where {most:.0f} can be borne)"
        )
    return None


def _remark(values: Array) -> str:
    n = len(values)
    return "" if n >= SHOWN_BY else f"too few rows ({n}) for an interval that rare large errors cannot break"


def _kurtosis(values: Array) -> float:
    apart = values - values.mean()
    return float(len(values) * np.sum(apart**4) / np.sum(apart**2) ** 2)


def _student(values: Array, confidence: float) -> float:
    """Standard errors to either end: the variance has 2 n / (κ - 1) degrees of freedom (Satterthwaite)."""
    n = len(values)
    return student(min(n - 1.0, 2 * n / max(_kurtosis(values) - 1, 1e-6)), confidence)


def _error(values: Array) -> float:
    return float(values.std(ddof=1)) / math.sqrt(len(values))
