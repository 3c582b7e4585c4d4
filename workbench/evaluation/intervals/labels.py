"""Intervals for scores of several labels of a row.

    accuracy                      whole rows are right or wrong: Wilson's interval of that share, Tango's of a
                                  difference
    log_loss, nll, hamming_loss   means over rows of what the labels of a row lose together: see `means`.
    label_accuracy                Labels of one row need not be independent for that, since rows are

Means over labels of what is no mean over rows (macro F1, macro ROC AUC) get none: labels of one row go
together, in a way that few rows do not show. Each label by itself has its own, as any two classes have.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special

from workbench.core.types import Array
from workbench.evaluation.intervals import Stated, classes, means, withheld


class Labelled(NamedTuple):
    """Logits and zeros and ones of K labels of N rows, [N, K] each; the rest as elsewhere."""

    outputs: Array
    targets: Array
    threshold: float
    clusters: Array | None = None
    weight: Array | None = None

    @property
    def right(self) -> Array:
        """Which labels are right, [N, K]."""
        edge = np.float32(np.log(self.threshold / (1.0 - self.threshold)))
        right: Array = (np.asarray(self.outputs, np.float32) > edge) == (self.targets == 1)
        return right

    @property
    def decided(self) -> classes.Decided:
        """Of whole rows, whether all labels are right."""
        whole = np.asarray(self.right.all(axis=1), np.int64)
        weight = None if self.weight is None else self.weight / self.weight.mean()
        return classes.Decided(np.ones_like(whole), whole, 2, self.clusters, weight=weight)

    def losses(self, metric: str) -> Array:
        """What each row loses, [N]; their mean is the metric, or what it lacks to one."""
        if metric in _SHARES:
            return np.asarray(1.0 - self.right.mean(axis=1))
        z = np.where(self.targets == 1, self.outputs, np.negative(self.outputs)).astype(float)
        each = -special.log_expit(z)
        return np.asarray(each.sum(axis=1) if metric == "nll" else each.mean(axis=1))


_SHARES, _SURPRISES = ("label_accuracy", "hamming_loss"), ("log_loss", "nll")


def interval(metric: str, rows: Labelled, confidence: float) -> Stated:
    """The interval of a score of labels."""
    if metric == "accuracy":
        return classes.interval(metric, rows.decided, confidence)
    if metric not in (*_SHARES, *_SURPRISES):
        return _none(metric)
    found = means.mean_interval(rows.losses(metric), rows.clusters, confidence, rows.weight)
    if metric == "label_accuracy":
        return found._replace(low=1.0 - found.high, high=1.0 - found.low)
    return found


def paired_interval(metric: str, one: Labelled, other: Labelled, confidence: float) -> Stated:
    """The interval of how much better `one` scores than `other`, on the same rows."""
    if metric == "accuracy":
        return classes.paired_interval(metric, one.decided, other.decided, confidence)
    if metric not in (*_SHARES, *_SURPRISES):
        return _none(metric)
    change = other.losses(metric) - one.losses(metric)
    gain = float(np.average(change, weights=one.weight))
    return means.difference_interval(gain, change, one.clusters, confidence, one.weight)


def _none(metric: str) -> Stated:
    return withheld(
        f"labels of one row go together, so {metric} over all labels has no interval; each label has its own"
    )
