"""Intervals for scores: what they are made of, and shares of rows.

A metric that is a function of counts has the score intervals of its shares, put together by MOVER; see
`classes`, `auc` and `means` for the metrics. Rows of one cluster (the
steps of a sequence) are not independent, and rows of unequal weight tell less than as many that count alike:
shares of them count as fewer rows, by their design effect. What a weighted row does to a score is its weight
times what it would do without (linearization), and scores scatter by the sum of the squares of that.

Sources: Wilson 1927, "Probable inference"; Tango 1998, "Equivalence test and confidence interval for the
difference in proportions for the paired-sample design"; Zou and Donner 2008, "Construction of confidence
limits about effect measures" (MOVER, the method of variance estimates recovery); Korn and Graubard 1998,
"Confidence intervals for proportions with small expected number of positive counts estimated from survey
data"; Nadeau and
Bengio 2003, "Inference for the generalization error" (folds share their training rows).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import special

from workbench.core.types import Array
from workbench.data.weights import effective

#: Halvings of a range that is at most 2 wide: to the last digits of a float64.
_HALVINGS = 60


class Interval(NamedTuple):
    """Both ends of an interval."""

    low: float
    high: float


class Stated(NamedTuple):
    """Both ends of an interval, NaN where none can be given honestly; and what must be said beside it."""

    low: float
    high: float
    note: str = ""  # why there is none, or what it does not cover


class Comparison(NamedTuple):
    """How much better one model scores than another on the same rows; positive is better."""

    difference: float
    low: float
    high: float
    note: str = ""


class Spread(NamedTuple):
    """Scores of one configuration over S seeds: what training adds to the uncertainty of the rows."""

    mean: float
    deviation: float  # sample standard deviation; NaN for one seed
    low: float  # Student's interval of the mean; NaN for one seed
    high: float


def withheld(note: str) -> Stated:
    """No interval, and why."""
    return Stated(math.nan, math.nan, note)


def proportion_interval(successes: float, n: float, confidence: float = 0.95) -> Interval:
    """Wilson's score interval for a share of n rows. Never empty, also for 0 of n and n of n.

    Both may be fractions, where n rows count as fewer: see `effective_counts`. Near 0 and 1 Wilson's end is
    too near: where one row in 6 n is wrong it covers 84 % for 95, and less for higher confidence. There the
    end of the exact one-sided interval lies farther and counts (Brown, Cai and DasGupta 2001, "Interval
    estimation for a binomial proportion", whose modified interval does so for the first few counts).
    """
    if not 0 <= successes <= n or n <= 0:
        raise ValueError(f"{successes} of {n} rows is no proportion")
    # centre ± half = (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)
    z2 = special.ndtri(0.5 + confidence / 2) ** 2
    p = successes / n
    centre = p + z2 / (2 * n)
    half = math.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n)))
    low, high = (centre - half) / (1 + z2 / n), (centre + half) / (1 + z2 / n)
    # Rounding must not move the ends that are known.
    failures, risk = n - successes, 1 - confidence
    low = 0.0 if successes == 0 else min(low, special.betaincinv(successes, failures + 1, risk))
    high = 1.0 if failures == 0 else max(high, special.betainccinv(successes + 1, failures, risk))
    return Interval(float(low), float(high))


def paired_proportions(first: float, second: float, n: float, confidence: float = 0.95) -> Interval:
    """Tango's score interval for the difference of two shares of the same n rows.

    first, second  rows that are right for the one alone, and for the other alone; rows on which both agree
                   tell nothing but that there are n

    Never empty, also where the two agree on every row.
    """
    if min(first, second) < 0 or first + second > n or n <= 0:
        raise ValueError(f"{first} and {second} of {n} rows are no pair of proportions")
    z = float(special.ndtri(0.5 + confidence / 2))

    def score(difference: float) -> float:
        # The likeliest share that is right for the second alone, q, given the difference.
        b = -first - second + (2 * n - first + second) * difference
        c = -second * difference * (1 - difference)
        q = (math.sqrt(max(0.0, b * b - 8 * n * c)) - b) / (4 * n)
        variance = n * (2 * q + difference * (1 - difference))
        return (first - second - n * difference) / math.sqrt(max(variance, 1e-300))

    def end(low: float, high: float, target: float) -> float:
        for _ in range(_HALVINGS):  # the score falls as the difference grows
            middle = (low + high) / 2
            low, high = (middle, high) if score(middle) > target else (low, middle)
        return (low + high) / 2

    found = (first - second) / n
    return Interval(end(-1.0, found, z), end(found, 1.0, -z))


def effective_counts(
    hits: Array, clusters: Array | None, confidence: float = 0.95, weight: Array | None = None
) -> tuple[float, float]:
    """Successes and rows, as if rows were independent and counted alike, of a share of rows [M] of 0 and 1.

    clusters  [M] integers: rows of one cluster stand or fall together. See `effective_rows`
    """
    n, share = effective_rows(hits, clusters, confidence, weight), float(np.average(hits, weights=weight))
    return min(share * n, n), n


def effective_rows(
    values: Array, clusters: Array | None, confidence: float = 0.95, weight: Array | None = None
) -> float:
    """How many independent rows that count alike would know the mean of these values [M] as well.

    As many as would give the mean the variance that it has between clusters, and fewer where few clusters
    know that variance badly. Values that are all alike show none, and then only clusters count. Rows with
    weights are clusters of their own, and never count as more than Kish's (Σ w)² / Σ w².
    """
    n = float(len(values))
    if clusters is None and weight is None:
        return n
    cluster = np.arange(len(values)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    mass = np.ones(len(values)) if weight is None else np.asarray(weight, float) / np.mean(weight)
    totals = np.bincount(cluster, mass)
    groups, most = float(len(totals)), n
    if weight is not None:
        groups, most = effective(totals), effective(mass)
    apart = np.asarray(values, float) - np.average(values, weights=mass)
    alone = float(np.sum(mass * apart**2))
    if alone == 0 or groups < 2:
        return min(groups, most)
    together = groups / (groups - 1) * float(np.sum(np.bincount(cluster, mass * apart) ** 2))
    wide = (student(groups - 1, confidence) / float(special.ndtri(0.5 + confidence / 2))) ** 2
    return min(most, n * alone / (together * wide)) if together > 0 else most


def counted(codes: Array, classes: int, weight: Array | None = None) -> Array:
    """Rows of each class [C]; with weights as many as would tell as much if they counted alike."""
    if weight is None:
        return np.bincount(codes, minlength=classes)
    sums, squares = (np.bincount(codes, each, classes) for each in (weight, np.square(weight, dtype=float)))
    return np.asarray(np.divide(sums**2, squares, out=np.zeros(classes), where=squares > 0))


def told(count: float) -> str:
    """A number of rows in a sentence."""
    return f"{count:.0f}" if count == int(count) else f"{count:.1f}, as they are weighed"


def mover(
    shares: Array, ends: Array, weights: Array, correlation: Array | None = None
) -> tuple[float, float]:
    """Both ends for Σ weights · shares, from the intervals of the shares.

    shares       [K] estimates
    ends         [K, 2] low and high of each
    weights      [K], of either sign
    correlation  [K, K] of the estimates; None: independent

    Each end lies √(dᵀ R d) from the sum, where d are the distances of the shares from those of their own ends
    that move the sum that way.
    """
    total, sign = float(weights @ shares), np.sign(weights)
    matrix = np.eye(len(shares)) if correlation is None else correlation * np.outer(sign, sign)
    distance = np.abs(weights) * np.abs(shares - ends.T)  # [2, K]: to the low ends, to the high ends
    down = np.where(weights > 0, distance[0], distance[1])
    up = np.where(weights > 0, distance[1], distance[0])
    far = [math.sqrt(max(0.0, float(each @ matrix @ each))) for each in (down, up)]
    return total - far[0], total + far[1]


def widened(confidence: float, look: int) -> float:
    """The confidence to compute the interval of the `look`-th look with.

    The first look has the stated confidence. All further ones share the same risk once more, look k taking
    1 / (k (k - 1)) of it, which sums to one: all intervals of further looks hold together with the stated
    confidence, however many there come to be, and none has to be changed when the next one comes (spending,
    Foster and Stine 2008, "α-investing"). The best look that is quoted flatters at its lower end only, where
    half of each risk lies: first and further ones together miss there as often as one interval does at both
    ends. It does not cover letting each test score decide what to try next; only new rows, or a verdict in
    place of a score, cure that.
    """
    if look < 1:
        raise ValueError(f"look {look}: looks are numbered from 1")
    return 1 - (1 - confidence) / (1 if look == 1 else look * (look - 1))


def student(freedom: float, confidence: float) -> float:
    """How many standard errors either end lies away, with so many degrees of freedom."""
    return float(special.stdtrit(freedom, 0.5 + confidence / 2))


def fold_error(scores: Array, share: float) -> float:
    """Standard error of the mean over k folds [k], which train on the same rows for the most part.

    share  validation rows per training row of a fold: 1 / (k - 1) where every row validates once

    Nadeau and Bengio's correction: √(1/k + share) standard deviations, where independent folds would have
    √(1/k); its interval is Student's with k - 1 degrees of freedom.
    """
    return math.sqrt((1 / len(scores) + share) * float(np.var(scores, ddof=1)))


def seed_spread(scores: Array, confidence: float = 0.95) -> Spread:
    """Mean, deviation and interval over seeds [S]: apart from the sampling of rows, which all seeds share."""
    values = np.asarray(scores, float)
    mean = float(values.mean())
    if values.size < 2:
        return Spread(mean, math.nan, math.nan, math.nan)
    deviation = float(values.std(ddof=1))
    half = student(values.size - 1, confidence) * deviation / math.sqrt(values.size)
    return Spread(mean, deviation, mean - half, mean + half)
