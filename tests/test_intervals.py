"""Intervals against scipy, closed forms and their promise: to cover the true score of simulated studies."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from workbench import bootstrap as resampled
from workbench.bootstrap import bootstrap
from workbench.intervals import (
    bca_interval,
    paired_bootstrap,
    proportion_interval,
    seed_spread,
    standard_error,
    widened,
)

Array = np.ndarray
Statistic = Callable[[Array], Array]


# ── metrics as functions of row weights, in NumPy ───────────────────────────────────────────────


def mean(values: Array) -> Statistic:
    return lambda weights: (weights @ values) / weights.sum(1)


def root_mean_square(errors: Array) -> Statistic:
    square = mean(errors**2)
    return lambda weights: np.sqrt(square(weights))


def f1(hit: Array, said: Array) -> Statistic:
    return lambda weights: 2 * (weights @ (hit * said)) / (weights @ hit + weights @ said)


def f1_macro(hit: Array, said: Array) -> Statistic:
    return lambda weights: (f1(hit, said)(weights) + f1(1 - hit, 1 - said)(weights)) / 2


def balanced(hit: Array, said: Array) -> Statistic:
    def score(weights: Array) -> Array:
        with np.errstate(invalid="ignore"):
            of_ones = (weights @ (hit * said)) / (weights @ hit)
            return (of_ones + (weights @ ((1 - hit) * (1 - said))) / (weights @ (1 - hit))) / 2

    return score


def area(hit: Array, logit: Array) -> Statistic:
    order = np.argsort(logit)
    ones = hit[order]

    def score(weights: Array) -> Array:
        sorted_ = weights[:, order].astype(float)
        below = np.cumsum(sorted_ * (1 - ones), axis=1)
        with np.errstate(invalid="ignore"):
            return (sorted_ * ones * below).sum(1) / ((sorted_ @ ones) * (sorted_ @ (1 - ones)))

    return score


def r2(target: Array, output: Array) -> Statistic:
    def score(weights: Array) -> Array:
        total = weights.sum(1)
        centre = (weights @ target) / total
        return 1 - (weights @ (target - output) ** 2) / (weights @ target**2 - total * centre**2)

    return score


# ── proportions ─────────────────────────────────────────────────────────────────────────────────


@given(st.integers(1, 5000), st.floats(0, 1), st.floats(0.5, 0.999))
def test_wilson_is_scipys(n: int, share: float, confidence: float) -> None:
    successes = round(share * n)
    expected = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    assert proportion_interval(successes, n, confidence) == pytest.approx(
        (expected.low, expected.high), abs=1e-9
    )


def test_wilson_at_the_ends() -> None:
    assert proportion_interval(0, 50).low == 0.0
    assert proportion_interval(50, 50).high == 1.0
    assert proportion_interval(50, 50).low == pytest.approx(50 / (50 + 1.959964**2), abs=1e-6)
    with pytest.raises(ValueError, match="no proportion"):
        proportion_interval(3, 2)


@pytest.mark.parametrize("share", [0.6, 0.9, 0.97])
def test_wilson_covers(share: float) -> None:
    """20,000 simulated studies of 360 rows, the size of the digits' test set."""
    successes = np.random.default_rng(0).binomial(360, share, 20_000)
    kept = {int(k): proportion_interval(int(k), 360) for k in np.unique(successes)}
    covered = np.mean([kept[int(k)].low <= share <= kept[int(k)].high for k in successes])
    assert 0.93 <= covered <= 0.97


# ── BCa ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("skewed", [False, True])
def test_bca_is_scipys(confidence: float, skewed: bool) -> None:
    rng = np.random.default_rng(3)
    values = rng.lognormal(0, 1, 80) if skewed else rng.normal(size=80)
    resamples = 40_000
    expected = stats.bootstrap(
        (values,), np.mean, confidence_level=confidence, n_resamples=resamples, method="BCa", rng=rng
    ).confidence_interval
    ours = bca_interval(mean(values), 80, confidence, resamples=resamples, expand=False)
    # Both have the Monte Carlo error of a quantile; 0.03 standard errors is some three of its deviations.
    tolerance = (0.03 if confidence < 0.99 else 0.08) * values.std() / math.sqrt(80) * (2 if skewed else 1)
    assert ours == pytest.approx(tuple(expected), abs=tolerance)


def test_bca_of_a_statistic_that_is_no_mean_is_scipys() -> None:
    rng = np.random.default_rng(4)
    target = rng.normal(size=60)
    output = target + 0.5 * rng.normal(size=60)

    def score(y: Array, z: Array, axis: int) -> Array:
        return 1 - ((y - z) ** 2).sum(axis) / ((y - y.mean(axis, keepdims=True)) ** 2).sum(axis)

    expected = stats.bootstrap(
        (target, output), score, paired=True, vectorized=True, n_resamples=20_000, method="BCa", rng=rng
    ).confidence_interval
    ours = bca_interval(r2(target, output), 60, resamples=20_000, expand=False)
    assert ours == pytest.approx(tuple(expected), abs=0.006)


def test_expansion_is_students_interval_for_a_mean() -> None:
    """For normal rows the expanded quantiles make the bootstrap's interval the t interval."""
    values = np.random.default_rng(5).normal(size=12)
    values = np.concatenate([values, -values])  # symmetric: no bias, no acceleration
    exact = stats.t.interval(0.95, 23, 0, stats.sem(values))
    plain = bca_interval(mean(values), 24, resamples=40_000, expand=False)
    ours = bca_interval(mean(values), 24, resamples=40_000)
    assert ours == pytest.approx(exact, rel=0.03)
    assert ours.low < plain.low < plain.high < ours.high


def test_many_rows_use_groups() -> None:
    values = np.random.default_rng(6).exponential(size=20_000)
    calls: list[tuple[int, ...]] = []

    def counted(weights: Array) -> Array:
        calls.append(weights.shape)
        return mean(values)(weights)

    interval = bca_interval(counted, 20_000, resamples=1000)
    half = 1.96 * values.std() / math.sqrt(20_000)
    assert interval == pytest.approx((values.mean() - half, values.mean() + half), abs=half / 5)
    assert len(set(calls)) == 1  # one shape, one compilation
    assert sum(rows for rows, _ in calls) < 2200


def test_many_rows_are_drawn_independently() -> None:
    values = np.random.default_rng(8).exponential(size=12_000)
    seen: list[Array] = []

    def kept(weights: Array) -> Array:
        seen.append(weights.copy())
        return mean(values)(weights)

    score, draws = bootstrap(kept, 12_000, 700, seed=0)
    assert score == pytest.approx(values.mean())
    counts = np.concatenate(seen[1:])
    assert counts.mean() == pytest.approx(1.0, abs=1e-3)
    assert counts.var() == pytest.approx(1.0, abs=5e-3)
    assert np.abs(np.corrcoef(counts[:50, :20].T) - np.eye(20)).max() < 0.7
    assert draws.std() == pytest.approx(values.std() / math.sqrt(12_000), rel=0.1)
    few, _ = bootstrap(mean(values[:9_999]), 9_999, 10, seed=0)
    assert few == pytest.approx(values[:9_999].mean())


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(7).normal(size=50)
    assert bca_interval(mean(values), 50, seed=1) == bca_interval(mean(values), 50, seed=1)
    assert bca_interval(mean(values), 50, seed=1) != bca_interval(mean(values), 50, seed=2)


def test_degenerate_scores() -> None:
    ones, bounds = np.ones(40), (0.0, 1.0)
    perfect = bca_interval(mean(ones), 40, bounds=bounds)
    assert perfect == proportion_interval(40, 40)
    assert bca_interval(mean(0 * ones), 40, bounds=bounds) == proportion_interval(0, 40)
    assert bca_interval(mean(ones), 40, bounds=bounds, effective=5).low < perfect.low
    assert bca_interval(mean(3 * ones), 40) == (3.0, 3.0)
    assert bca_interval(mean(ones), 40, bounds=(-math.inf, 1.0)) == (1.0, 1.0)
    assert all(map(math.isnan, bca_interval(mean(ones * np.nan), 40)))
    with pytest.raises(ValueError, match="at least 2 rows"):
        bca_interval(mean(ones[:1]), 1)


def test_a_class_that_is_hardly_there() -> None:
    """With one row of a class most resamples have none, or one with luck: then only the bounds are known."""
    hit = np.zeros(100)
    hit[0] = 1
    said = hit.copy()
    interval = bca_interval(balanced(hit, said), 100, bounds=(0.0, 1.0), effective=1)
    assert interval.low < 0.3
    assert interval.high == 1.0
    undefined = lambda weights: np.where(weights[:, 0] == 1, 0.5, np.nan)  # noqa: E731
    assert bca_interval(undefined, 100, bounds=(0.0, 1.0)) == (0.0, 1.0)
    assert bca_interval(undefined, 100) == (-math.inf, math.inf)


# ── coverage ────────────────────────────────────────────────────────────────────────────────────


def _classes(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    hit = (rng.random(n) < 0.3).astype(float)
    return hit, 1.5 * rng.normal(size=n) + 2 * hit - 1


def _numbers(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    target = rng.normal(size=n)
    return target, target + rng.standard_t(8, n) * 0.5 + 0.2 * target


METRICS: dict[
    str, tuple[Callable[[np.random.Generator, int], tuple[Array, Array]], Callable[[Array, Array], Statistic]]
]
METRICS = {
    "log_loss": (_classes, lambda y, z: mean(np.logaddexp(0, np.where(y > 0, -z, z)))),
    "balanced_accuracy": (_classes, lambda y, z: balanced(y, (z > 0) * 1.0)),
    "f1": (_classes, lambda y, z: f1(y, (z > 0) * 1.0)),
    "f1_macro": (_classes, lambda y, z: f1_macro(y, (z > 0) * 1.0)),
    "roc_auc": (_classes, area),
    "mse": (_numbers, lambda y, z: mean((y - z) ** 2)),
    "rmse": (_numbers, lambda y, z: root_mean_square(y - z)),
    "mae": (_numbers, lambda y, z: mean(np.abs(y - z))),
    "r2": (_numbers, r2),
}


def _coverage(metric: str, studies: int, rows: int, resamples: int) -> float:
    draw, score = METRICS[metric]
    truth = score(*draw(np.random.default_rng(99), 1_000_000))(np.ones((1, 1_000_000)))[0]
    covered = 0
    for study in range(studies):
        interval = bca_interval(score(*draw(np.random.default_rng(study), rows)), rows, resamples=resamples)
        covered += interval.low <= truth <= interval.high
    return covered / studies


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_bca_covers_in_few_studies(metric: str) -> None:
    """200 studies have a deviation of 1.5 points: this finds a broken interval, the slow one a crooked."""
    assert 0.90 <= _coverage(metric, 200, 100, 400) <= 0.995


@pytest.mark.slow
@pytest.mark.parametrize("rows", [100, 400])
@pytest.mark.parametrize("metric", sorted(METRICS))
def test_bca_covers(metric: str, rows: int) -> None:
    assert 0.93 <= _coverage(metric, 1000, rows, 800) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("metric", sorted(METRICS))
def test_bca_covers_with_independent_counts(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What many rows have, where it would matter more: among 400 the total varies by a twentieth."""
    monkeypatch.setattr(resampled, "_MANY", 100)
    assert 0.93 <= _coverage(metric, 1000, 400, 800) <= 0.97


# ── comparisons, seeds, looks ───────────────────────────────────────────────────────────────────


def test_paired_bootstrap_sees_what_two_intervals_cannot() -> None:
    rng = np.random.default_rng(0)
    hard = rng.exponential(size=300)
    a, b = hard + 0.05 * rng.normal(size=300), hard + 0.03 + 0.05 * rng.normal(size=300)
    better = paired_bootstrap(mean(a), mean(b), 300, maximize=False)
    assert better.difference == pytest.approx(b.mean() - a.mean(), abs=1e-6)
    assert 0 < better.low < better.difference < better.high
    assert better.probability < 0.01
    apart = bca_interval(mean(a), 300), bca_interval(mean(b), 300)
    assert apart[0].high > apart[1].low  # they overlap
    worse = paired_bootstrap(mean(a), mean(b), 300, maximize=True)
    assert worse.difference == -better.difference
    assert worse.probability > 0.99


def test_paired_bootstrap_agrees_with_the_paired_t_test() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(0.15, 1, (2, 200))
    ours = paired_bootstrap(mean(a), mean(b), 200, maximize=True, resamples=20_000)
    theirs = stats.ttest_rel(a, b, alternative="greater")
    both = stats.ttest_rel(a, b).confidence_interval()
    assert ours.probability == pytest.approx(theirs.pvalue, abs=0.015)
    assert (ours.low, ours.high) == pytest.approx(tuple(both), abs=0.02)


def test_paired_bootstrap_of_equals_and_of_the_undefined() -> None:
    values = np.random.default_rng(2).normal(size=30)
    assert paired_bootstrap(mean(values), mean(values), 30, maximize=True) == (0.0, 0.0, 0.0, 0.5)
    assert math.isnan(paired_bootstrap(mean(values * np.nan), mean(values), 30, maximize=True).low)


def test_seed_spread() -> None:
    spread = seed_spread(np.array([0.9, 0.92, 0.97]))
    low, high = stats.t.interval(0.95, 2, 0.93, stats.sem([0.9, 0.92, 0.97]))
    assert (spread.mean, spread.low, spread.high) == pytest.approx((0.93, low, high))
    assert math.isnan(seed_spread(np.array([0.9])).deviation)


def test_standard_error() -> None:
    values = np.random.default_rng(3).normal(size=400)
    assert standard_error(mean(values), 400, resamples=4000) == pytest.approx(stats.sem(values), rel=0.05)


def test_further_looks_widen() -> None:
    assert [widened(0.95, look) for look in (1, 2, 5)] == pytest.approx([0.95, 0.975, 0.9975])
    widths = [proportion_interval(90, 100, widened(0.95, look)) for look in (1, 2, 3, 10)]
    assert all(a.low > b.low and a.high < b.high for a, b in pairwise(widths))
    with pytest.raises(ValueError, match="numbered from 1"):
        widened(0.95, 0)


def test_widened_intervals_hold_together() -> None:
    """The best of five equal models, looked at one after the other on the same rows."""
    rng = np.random.default_rng(4)
    scores = rng.binomial(300, 0.9, (4000, 5))
    best = scores.max(1)
    picked = {int(k): proportion_interval(int(k), 300, widened(0.95, 5)) for k in np.unique(best)}
    naive = {int(k): proportion_interval(int(k), 300) for k in np.unique(best)}
    assert np.mean([picked[int(k)].low <= 0.9 <= picked[int(k)].high for k in best]) >= 0.95
    assert np.mean([naive[int(k)].low <= 0.9 <= naive[int(k)].high for k in best]) < 0.93


@pytest.mark.parametrize(("share", "apart"), [(0.9, 0.0), (0.9, 0.02), (0.6, 0.0)])
def test_the_best_of_ten_seeds_is_covered(share: float, apart: float) -> None:
    """Ten seeds of one study, each a further look at the same rows; the best one is quoted.

    Seeds agree on most rows; some are truly better by `apart`.
    """
    rng, n = np.random.default_rng(6), 300
    truth = share + apart * rng.normal(size=(2000, 10)).clip(-2, 2)
    easy = rng.random((2000, 1, n))
    own = rng.random((2000, 10, n))
    scores = (np.where(rng.random((2000, 10, n)) < 0.7, easy, own) < truth[:, :, None]).sum(2)
    levels = [widened(0.95, look) for look in range(1, 11)]
    best = scores.argmax(1)
    covered = [
        interval.low <= truth[k, j] <= interval.high
        for k, j in enumerate(best)
        for interval in [proportion_interval(int(scores[k, j]), n, levels[j])]
    ]
    assert np.mean(covered) >= 0.93


def test_all_further_looks_hold_together() -> None:
    """The risks of all further looks add up to that of one interval."""
    risks = [1 - widened(0.95, look) for look in range(2, 2000)]
    assert 0.0499 < sum(risks) < 0.05
