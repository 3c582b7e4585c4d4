"""Intervals for scores: Wilson for proportions, the BCa bootstrap for the rest, and paired differences.

A statistic here is a function of row weights, `statistic(weights [R, N]) -> [R]`: see `bootstrap`.

Sources: Wilson 1927, "Probable inference"; Efron 1987, "Better bootstrap confidence intervals"
(bias-corrected and accelerated); Hesterberg 2015, arXiv:1411.5279 (the bootstrap is too narrow in small
samples, and by how much).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import special

from workbench.bootstrap import Statistic, bootstrap, influence
from workbench.types import Array

__all__ = [
    "Comparison",
    "Interval",
    "Spread",
    "bca_interval",
    "paired_bootstrap",
    "proportion_interval",
    "seed_spread",
    "standard_error",
    "widened",
]

#: Resamples that should lie outside each end of an interval, and the most that are drawn for it.
_TAIL_DRAWS, _MOST_DRAWS = 100, 40_000


class Interval(NamedTuple):
    """Both ends of an interval."""

    low: float
    high: float


class Comparison(NamedTuple):
    """How much better `a` scores than `b` on the same rows; positive is better in either direction."""

    difference: float
    low: float
    high: float
    probability: float  # share of resamples in which `a` is not better (ties count half): a one-sided p-value


class Spread(NamedTuple):
    """Scores of one configuration over S seeds: what training adds to the uncertainty of the rows."""

    mean: float
    deviation: float  # sample standard deviation; NaN for one seed
    low: float  # Student's interval of the mean; NaN for one seed
    high: float


def proportion_interval(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval for a share of n rows. Never empty, also for 0 of n and n of n."""
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"{successes} of {n} rows is no proportion")
    # centre ± half = (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)
    z2 = special.ndtri(0.5 + confidence / 2) ** 2
    p = successes / n
    centre = p + z2 / (2 * n)
    half = math.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n)))
    low, high = (centre - half) / (1 + z2 / n), (centre + half) / (1 + z2 / n)
    # Rounding must not move the ends that are known.
    return Interval(0.0 if successes == 0 else low, 1.0 if successes == n else high)


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


def bca_interval(
    statistic: Statistic,
    n: int,
    confidence: float = 0.95,
    *,
    seed: int = 0,
    resamples: int | None = None,
    bounds: tuple[float, float] | None = None,
    effective: int | None = None,
    expand: bool = True,
) -> Interval:
    """The bias-corrected and accelerated bootstrap interval of a statistic of n rows.

    statistic  weights float32 [R, n] -> [R]; NaN where it is undefined (a class that was not drawn)
    resamples  None: enough for a hundred beyond each end, 40,000 at the most
    bounds     lowest and highest value of the metric. A perfect score, which no resample changes, has
    Wilson's
               interval of `effective` rows all right (the smallest class; None: n) if both are finite
    expand     Hesterberg's wider quantiles (√(n/(n-1)) t instead of z), with the degrees of freedom that the
               rows' kurtosis leaves; without, Efron's own, which cover less among few or heavy-tailed rows

    A statistic that is itself undefined has the interval (NaN, NaN); one that is undefined on most resamples
    is known to lie within its bounds, no more.
    """
    score, draws = bootstrap(statistic, n, _enough(confidence, resamples), seed)
    if not math.isfinite(score):
        return Interval(math.nan, math.nan)
    finite = draws[np.isfinite(draws)]
    if finite.size < draws.size / 2:
        return Interval(*bounds) if bounds else Interval(-math.inf, math.inf)
    if np.ptp(finite) <= 1e-7 * max(1.0, abs(score)):
        return _degenerate(score, effective or n, confidence, bounds)
    return _bca(score, finite, influence(statistic, n, seed), n, confidence, expand)


def paired_bootstrap(
    statistic_a: Statistic,
    statistic_b: Statistic,
    n: int,
    confidence: float = 0.95,
    *,
    maximize: bool,
    seed: int = 0,
    resamples: int | None = None,
) -> Comparison:
    """Whether `a` scores better than `b` on the same n rows, by resampling rows with both scores in hand.

    Rows that are hard for both cancel out, so this sees smaller differences than two intervals side by side.
    """
    sign = 1.0 if maximize else -1.0

    def difference(weights: Array) -> Array:
        return np.asarray(sign * np.subtract(statistic_a(weights), statistic_b(weights), dtype=float))

    score, draws = bootstrap(difference, n, _enough(confidence, resamples), seed)
    finite = draws[np.isfinite(draws)]
    if not math.isfinite(score) or finite.size < draws.size / 2:
        return Comparison(score, math.nan, math.nan, math.nan)
    # One tie is added, so no p-value is zero.
    worse = np.append(finite, 0.0)
    probability = float(np.mean((worse < 0) + 0.5 * (worse == 0)))
    if np.ptp(finite) <= 1e-7 * max(1.0, abs(score)):
        return Comparison(score, score, score, probability)
    interval = _bca(score, finite, influence(difference, n, seed), n, confidence, expand=True)
    return Comparison(score, interval.low, interval.high, probability)


def standard_error(statistic: Statistic, n: int, *, seed: int = 0, resamples: int = 400) -> float:
    """The bootstrap's standard error of a statistic of n rows; what `optimism_of_scores` asks for."""
    _, draws = bootstrap(statistic, n, resamples, seed)
    return float(np.std(draws[np.isfinite(draws)], ddof=1))


def seed_spread(scores: Array, confidence: float = 0.95) -> Spread:
    """Mean, deviation and interval over seeds [S]: apart from the sampling of rows, which all seeds share."""
    values = np.asarray(scores, float)
    mean = float(values.mean())
    if values.size < 2:
        return Spread(mean, math.nan, math.nan, math.nan)
    deviation = float(values.std(ddof=1))
    half = float(special.stdtrit(values.size - 1, 0.5 + confidence / 2)) * deviation / math.sqrt(values.size)
    return Spread(mean, deviation, mean - half, mean + half)


def _enough(confidence: float, resamples: int | None) -> int:
    return resamples or min(_MOST_DRAWS, math.ceil(2 * _TAIL_DRAWS / (1 - confidence)))


def _bca(score: float, draws: Array, influence: Array, n: int, confidence: float, expand: bool) -> Interval:
    below = float(np.mean((draws < score) + 0.5 * (draws == score)))
    below = min(max(below, 0.5 / draws.size), 1 - 0.5 / draws.size)
    bias = float(special.ndtri(below))
    # a = Σ d³ / 6 (Σ d²)^1.5
    total = float(np.sum(influence**2))
    acceleration = float(np.sum(influence**3)) / (6 * total**1.5) if total > 0 else 0.0
    tail = (1 - confidence) / 2
    z = float(special.ndtri(tail))
    if expand and total > 0:
        # The variance is estimated too, with 2 / (κ - 1) of the rows' degrees of freedom (Satterthwaite).
        kurtosis = influence.size * float(np.sum(influence**4)) / total**2
        freedom = min(n - 1.0, 2 * influence.size / max(kurtosis - 1, 1e-6))
        z = float(special.stdtrit(freedom, tail)) * math.sqrt(n / (n - 1))
    ends = [bias + side for side in (z, -z)]
    levels = [float(special.ndtr(bias + end / max(1 - acceleration * end, 1e-6))) for end in ends]
    low, high = np.quantile(draws, levels)
    return Interval(float(low), float(high))


# No resample differs: every row is right, or the score is exact. A bounded metric at its end is told like a
# proportion with all rows right; anything else has nothing to tell a width from.
def _degenerate(score: float, rows: int, confidence: float, bounds: tuple[float, float] | None) -> Interval:
    lowest, highest = bounds or (-math.inf, math.inf)
    scale = highest - lowest
    share = (score - lowest) / scale
    if not math.isfinite(scale) or min(abs(share), abs(share - 1)) > 1e-6:
        return Interval(score, score)
    low, high = proportion_interval(round(share) * rows, rows, confidence)
    return Interval(lowest + low * scale, lowest + high * scale)
