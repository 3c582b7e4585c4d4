"""Intervals for scores of predicted classes, from the counts of their classes.

    accuracy            Wilson; of two models, Tango's interval of the rows that are right for one alone
    balanced accuracy   recalls are shares of different rows, so independent: MOVER. For more than two classes
                        it may be too narrow, and Wilson's for as many rows as would know the mean as well is
                        so where a rare class shows no error: the farther end of the two
    F1                  2 J / (1 + J) of J = TP / (TP + FP + FN), a share of the rows that are of the class or
                        predicted as it: Wilson's interval of J, transformed
    macro F1            the same two ways as balanced accuracy, with the correlation of the classes' F1 by the
                        delta method (Takahashi, Yamamoto, Kuchiba and Koyama 2022, arXiv:2105.13440, whose
                        normal intervals need many rows of every class)

Gains of class-wise scores have normal intervals after a few rows more on which the models differ, so that no
interval is empty (Bonett and Price 2012, "Adjusted Wald confidence interval for a difference of binomial
proportions based on paired data"). A class with very few rows gets none: its share may be nearly anything.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import special

from workbench.core.formatting import toml
from workbench.core.types import Array
from workbench.data.weights import effective
from workbench.evaluation.intervals import (
    Stated,
    counted,
    effective_counts,
    effective_rows,
    mover,
    paired_proportions,
    proportion_interval,
    student,
    told,
    withheld,
)

#: No class that a score averages over may have fewer rows, and rows that belong together no fewer groups.
FEWEST = 5
#: Rows that are added for each model on which it alone is right, over all classes.
_PSEUDO = 2.0


class Decided(NamedTuple):
    """Class codes of N rows.

    truth, said   [N] integers below `classes`
    clusters      [N] integers, rows that belong together; None: all are independent
    names         of the classes, for sentences; empty: their codes
    weight        [N] about a mean of one, how much each row counts, above zero; None: all alike
    """

    truth: Array
    said: Array
    classes: int
    clusters: Array | None = None
    names: tuple[str, ...] = ()
    weight: Array | None = None

    def part(self, mask: Array) -> tuple[Array | None, Array | None]:
        """Clusters and weights of some rows."""
        clusters, weight = (None if each is None else each[mask] for each in (self.clusters, self.weight))
        return clusters, weight

    @property
    def mass(self) -> Array:
        """The weights, [N] float64."""
        return np.ones(len(self.truth)) if self.weight is None else self.weight.astype(float)


def interval(metric: str, rows: Decided, confidence: float) -> Stated:
    """The interval of accuracy, balanced accuracy, F1 or macro F1."""
    if note := too_few(metric, rows):
        return withheld(note)
    hit = rows.truth == rows.said
    if metric == "accuracy":
        right, n = effective_counts(hit, rows.clusters, confidence, rows.weight)
        return Stated(*proportion_interval(right, n, confidence))
    if metric == "balanced_accuracy":
        masks = [rows.truth == code for code in np.unique(rows.truth)]
        counts = _counts(hit, masks, rows, confidence)
        shares, sizes = counts[:, 0] / counts[:, 1], counts[:, 1]
        alike = None
        if rows.clusters is not None:
            alike = _by_clusters(_recall_changes(hit * 1.0, rows), rows.clusters)
        found = mover(shares, _ends(counts, confidence), np.full(len(masks), 1 / len(masks)), alike)
        if len(masks) > 2:
            smooth = (counts[:, 0] + 0.5) / (sizes + 1)
            found = _farther(found, _as_share(shares, smooth * (1 - smooth) / sizes, sizes, confidence))
        return _within(found)
    codes = _judged(metric, rows)
    masks = [(rows.truth == code) | (rows.said == code) for code in codes]
    counts = _counts(hit, masks, rows, confidence)
    shares, ends = counts[:, 0] / counts[:, 1], _ends(counts, confidence)
    f1 = 2 * shares / (1 + shares)
    weights = np.full(len(codes), 1 / len(codes))
    alike = _correlation(rows, codes)
    if rows.clusters is not None:
        alike = np.maximum(alike, _by_clusters(_influence(rows, codes), rows.clusters))
    found = mover(f1, 2 * ends / (1 + ends), weights, alike)
    if len(codes) > 2:
        change = _together(_influence(rows, codes).mean(axis=1), rows.clusters)
        variance = float(np.sum(change**2)) + float(np.sum(_one_row(rows, codes))) / 2
        variances = np.full(len(codes), variance * len(codes))
        found = _farther(found, _as_share(f1, variances, counts[:, 1], confidence))
    return _within(found)


def paired_interval(metric: str, one: Decided, other: Decided, confidence: float) -> Stated:
    """The interval of the score of `one` less that of `other`, on the same rows."""
    for rows in (one, other):
        if note := too_few(metric, rows):
            return withheld(note)
    first, second = one.truth == one.said, other.truth == other.said
    if metric == "accuracy":
        rows_alone = _alone(first, second, one.clusters, confidence, one.weight)
        return Stated(*paired_proportions(*rows_alone, confidence))
    if metric == "balanced_accuracy":
        gain, variance, codes = 0.0, 0.0, np.unique(one.truth)
        for code in codes:
            mask = one.truth == code
            clusters, weight = one.part(mask)
            mine, theirs, n = _alone(first[mask], second[mask], clusters, confidence, weight)
            gain += (mine - theirs) / n / len(codes)
            more = _PSEUDO / len(codes)
            differing, apart = (mine + theirs + 2 * more) / (n + 2 * more), (mine - theirs) / (n + 2 * more)
            variance += (differing - apart**2) / n / len(codes) ** 2
        if one.clusters is not None:  # which the classes share
            gains = np.subtract(first, second, dtype=float)
            change = _together(_recall_changes(gains, one).mean(axis=1), one.clusters)
            variance = max(variance, float(np.sum(change**2)) * len(change) / (len(change) - 1))
        half = float(special.ndtri(0.5 + confidence / 2)) * math.sqrt(variance)
        return _within((gain - half, gain + half), -1.0)
    scores, changes, more = [], [], 0.0
    for rows in (one, other):
        codes = _judged(metric, rows)
        scores.append(_score(metric, rows))
        changes.append(_influence(rows, codes).mean(axis=1))
        more += float(np.sum(_one_row(rows, codes))) / 2
    change = _together(changes[0] - changes[1], one.clusters)
    groups = len(change) if one.weight is None else effective(_together(one.mass, one.clusters))
    quantile = student(groups - 1.0, confidence)
    half = quantile * math.sqrt(float(np.sum(change**2)) * len(change) / (len(change) - 1) + more)
    gain = scores[0] - scores[1]
    return _within((gain - half, gain + half), -1.0)


def too_few(metric: str, rows: Decided) -> str:
    """Why these rows do not suffice for an interval; empty if they do."""
    if rows.clusters is not None and (n := len(np.unique(rows.clusters))) < FEWEST:
        return f"too few groups of rows that belong together ({n}) for an interval; {FEWEST} are needed"
    if metric == "accuracy":
        return ""
    counts = counted(rows.truth, rows.classes, rows.weight)
    codes = (1,) if metric == "f1" else range(rows.classes)
    code = min(codes, key=lambda code: counts[code])
    if counts[code] >= FEWEST:
        return ""
    name = toml(rows.names[code]) if rows.names else str(code)
    return f"too few rows of class {name} ({told(counts[code])}) for an interval; {FEWEST} are needed"


def _judged(metric: str, rows: Decided) -> Array:
    """The classes whose F1 counts: of macro F1 those that occur or are predicted."""
    return np.array([1]) if metric == "f1" else np.union1d(rows.truth, rows.said)


def _totals(rows: Decided, codes: Array) -> tuple[Array, Array]:
    """Of each class: rows that are of it and predicted as it; both kinds together, at least one. [K] each."""
    hit = rows.truth == rows.said
    true, said, hits = (
        np.bincount(each, mass, rows.classes)[codes]
        for each, mass in (
            (rows.truth, rows.mass), (rows.said, rows.mass), (rows.truth[hit], rows.mass[hit])
        )
    )  # fmt: skip
    return hits, np.maximum(true + said, 1)


def _score(metric: str, rows: Decided) -> float:
    hits, total = _totals(rows, _judged(metric, rows))
    return float(np.mean(2 * hits / total))


def _counts(hit: Array, masks: list[Array], rows: Decided, confidence: float) -> Array:
    """Hits and rows of each mask, [K, 2], as if rows were independent and counted alike."""
    found = []
    for mask in masks:
        clusters, weight = rows.part(mask)
        found.append(effective_counts(hit[mask], clusters, confidence, weight))
    return np.array(found)


def _ends(counts: Array, confidence: float) -> Array:
    return np.array([proportion_interval(hits, rows, confidence) for hits, rows in counts])


def _recall_changes(gains: Array, rows: Decided) -> Array:
    """What each row [N] does to the recall of its class, or to the gain in it: [N, K]."""
    shares = [np.where(rows.truth == code, rows.mass, 0.0) for code in np.unique(rows.truth)]
    return np.stack(
        [share * (gains - np.average(gains, weights=share)) / share.sum() for share in shares], axis=1
    )


def _by_clusters(changes: Array, clusters: Array) -> Array:
    """The correlation of scores of K classes whose rows [N, K] share clusters, [K, K].

    Where scores seem to cancel out, that may be chance, and is not relied on.
    """
    each = np.stack([_together(change, clusters) for change in changes.T])
    sums = each @ each.T
    scale = np.sqrt(np.outer(np.diag(sums), np.diag(sums)))
    found = np.divide(sums, scale, out=np.eye(len(sums)), where=scale > 0)
    return np.asarray(np.maximum(found, 0.0))


def _farther(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return min(one[0], other[0]), max(one[1], other[1])


def _as_share(shares: Array, variances: Array, sizes: Array, confidence: float) -> tuple[float, float]:
    """Wilson's interval of the mean of K shares, for as many rows as would give a share its variance."""
    k, mean = len(shares), float(shares.mean())
    alike = k**2 / float(np.sum(1 / sizes))  # rows, if the shares were all the same
    most = float(np.sum(sizes))
    rows = alike if mean in (0.0, 1.0) else min(most, mean * (1 - mean) * k**2 / float(np.sum(variances)))
    return proportion_interval(min(mean * rows, rows), rows, confidence)


def _together(change: Array, clusters: Array | None) -> Array:
    """What rows do to a score, [N]; or clusters, [G]."""
    if clusters is None:
        return change
    _, cluster = np.unique(clusters, return_inverse=True)
    return np.bincount(cluster, change)


def _alone(
    first: Array, second: Array, clusters: Array | None, confidence: float, weight: Array | None
) -> tuple[float, float, float]:
    """Rows that are right for the one model alone, for the other alone, and all, as if independent."""
    gain = np.subtract(first, second, dtype=float)
    n = effective_rows(gain, clusters, confidence, weight)
    mine, theirs = (float(np.average(each, weights=weight)) * n for each in (gain > 0, gain < 0))
    return mine, theirs, n


def _influence(rows: Decided, codes: Array) -> Array:
    """What each row does to the F1 of each class, [N, K]: w (2 TP - F1 (true + predicted)) / total."""
    true, said = (each[:, None] == codes[None, :] for each in (rows.truth, rows.said))
    either = true.astype(float) + said
    hits, total = _totals(rows, codes)
    return np.asarray(rows.mass[:, None] * (2.0 * (true & said) - 2 * hits / total * either) / total)


def _correlation(rows: Decided, codes: Array) -> Array:
    """Between the F1 of the classes, [K, K], from the confusion matrix with one more error spread over it."""
    k = len(codes)
    if k == 1:
        return np.eye(1)
    place = np.searchsorted(codes, np.stack([rows.truth, rows.said]))
    confused: Array = np.bincount(place[0] * k + place[1], rows.mass, k * k).reshape(k, k)
    confused += (1 - np.eye(k)) / (k * (k - 1))
    hits, total = np.diag(confused), confused.sum(axis=0) + confused.sum(axis=1)
    f1 = 2 * hits / total
    variance = hits * (2 - 2 * f1) ** 2 + f1**2 * (total - 2 * hits)
    covariance = np.outer(f1, f1) * (confused + confused.T)
    np.fill_diagonal(covariance, variance)
    scale = np.sqrt(np.where(variance > 0, variance, 1.0))
    matrix = covariance / np.outer(scale, scale)
    np.fill_diagonal(matrix, 1.0)
    return np.asarray(matrix)


def _one_row(rows: Decided, codes: Array) -> Array:
    """The square of what one more wrong row of each class does to the mean F1, [K]."""
    hits, total = _totals(rows, codes)
    return np.asarray(((2 - 2 * hits / total) / total / len(codes)) ** 2)


def _within(ends: tuple[float, float], lowest: float = 0.0) -> Stated:
    return Stated(max(lowest, ends[0]), min(1.0, ends[1]))
