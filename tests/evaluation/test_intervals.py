"""Intervals against scipy, closed forms and their promise: to cover the true score of simulated studies.

The whole grid of metrics, rows, shares and laws is a benchmark, `experiments/benchmarks/coverage.py`; here
are a few of its cells, the edges, and what follows from the definitions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import f1_score, roc_auc_score

from workbench.core.vocabulary import METRICS as WORDS
from workbench.core.vocabulary import Metric
from workbench.evaluation.evaluate import KNOWN, compare, evaluate, gain_interval, interval
from workbench.evaluation.intervals import (
    auc,
    effective_rows,
    fold_error,
    means,
    mover,
    paired_proportions,
    proportion_interval,
    seed_spread,
    widened,
)
from workbench.evaluation.intervals import classes as intervals_of_classes
from workbench.evaluation.intervals.auc import Ranked
from workbench.evaluation.intervals.classes import Decided

Array = np.ndarray
CLASSWISE = ("accuracy", "balanced_accuracy", "f1", "f1_macro")
LOSSES = ("log_loss", "mse", "mae", "rmse", "r2")


# ── proportions ─────────────────────────────────────────────────────────────────────────────────


@given(st.integers(1, 5000), st.floats(0, 1), st.floats(0.5, 0.999))
def test_shares_have_the_farther_end_of_scipys(n: int, share: float, confidence: float) -> None:
    """Of Wilson's interval and the exact one-sided ones."""
    successes = round(share * n)
    wilson = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    above, below = (
        stats.binomtest(successes, n, alternative=side).proportion_ci(confidence)
        for side in ("greater", "less")
    )
    expected = min(wilson.low, above.low), max(wilson.high, below.high)
    assert proportion_interval(successes, n, confidence) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("confidence", [0.95, 0.975, 0.995])
@pytest.mark.parametrize("n", [60, 250, 1000])
def test_shares_near_one_are_covered(n: int, confidence: float) -> None:
    """Summed over all counts. Wilson's own interval covers 84 % where 0.17 rows are wrong."""
    k = np.arange(n + 1)
    ends = np.array([proportion_interval(int(hits), n, confidence) for hits in k])
    for wrong in (0.01, 0.05, 0.1, 0.17, 0.3, 0.54, 1.0, 2.0, 4.0):
        share = 1 - wrong / n
        held = (ends[:, 0] <= share) & (share <= ends[:, 1])
        assert stats.binom.pmf(k, n, share)[held].sum() >= confidence - 0.02  # of counts, none is exact


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


# ── pairs and sums ──────────────────────────────────────────────────────────────────────────────


def tango_score(first: float, second: float, n: float, difference: float) -> float:
    """The score of a difference, with the share that is right for the second alone found by maximization."""
    shares = np.linspace(max(0.0, -difference) + 1e-9, (1 - difference) / 2 - 1e-9, 200_001)
    rest = 1 - difference - 2 * shares
    with np.errstate(divide="ignore"):
        likelihood = (
            first * np.log(shares + difference)
            + second * np.log(shares)
            + (n - first - second) * np.log(rest)
        )
    q = shares[likelihood.argmax()]
    return (first - second - n * difference) / math.sqrt(n * (2 * q + difference * (1 - difference)))


@pytest.mark.parametrize(("first", "second", "n"), [(9, 3, 40), (1, 4, 100), (30, 12, 400)])
def test_tangos_ends_have_the_score_of_the_quantile(first: int, second: int, n: int) -> None:
    low, high = paired_proportions(first, second, n)
    assert tango_score(first, second, n, low) == pytest.approx(1.96, abs=1e-3)
    assert tango_score(first, second, n, high) == pytest.approx(-1.96, abs=1e-3)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(80, 500), st.floats(0.5, 0.999))
def test_tango_is_never_empty_and_turns_with_the_pair(first: int, second: int, n: int, sure: float) -> None:
    low, high = paired_proportions(first, second, n, sure)
    assert -1 <= low < (first - second) / n + 1e-12
    assert (first - second) / n - 1e-12 < high <= 1
    assert paired_proportions(second, first, n, sure) == pytest.approx((-high, -low), abs=1e-9)


def test_two_models_that_agree_on_every_row_may_differ_on_others() -> None:
    z2 = stats.norm.ppf(0.975) ** 2
    assert paired_proportions(0, 0, 100) == pytest.approx((-z2 / (100 + z2), z2 / (100 + z2)), abs=1e-6)


def test_mover_of_one_share_is_its_own_interval() -> None:
    ends = np.array([[0.1, 0.7]])
    assert mover(np.array([0.3]), ends, np.array([1.0])) == pytest.approx((0.1, 0.7))
    assert mover(np.array([0.3]), ends, np.array([-1.0])) == pytest.approx((-0.7, -0.1))


def test_rows_of_one_cluster_count_as_one() -> None:
    values = np.repeat(np.random.default_rng(0).integers(0, 2, 200), 5).astype(float)
    clusters = np.repeat(np.arange(200), 5)
    assert effective_rows(values, clusters) == pytest.approx(200, rel=0.03)
    assert effective_rows(np.ones(1000), clusters) == 200
    assert effective_rows(values, None) == 1000


def test_fold_error_is_nadeaus_and_bengios() -> None:
    scores = np.array([0.8, 0.9, 0.85, 0.95, 0.7])
    expected = math.sqrt((1 / 5 + 1 / 4) * scores.var(ddof=1))
    assert fold_error(scores, 1 / 4) == pytest.approx(expected)


# ── what metrics promise ────────────────────────────────────────────────────────────────────────


def two_classes(seed: int, n: int, share: float = 0.3, shift: float = 2.0) -> tuple[Array, Array, Array]:
    """Outputs of two models [N, 1], and codes."""
    rng = np.random.default_rng(seed)
    codes = (rng.random(n) < share).astype(np.int32)
    codes[:6], codes[6:12] = 1, 0
    one = (rng.normal(size=n) + shift * codes - shift / 2)[:, None].astype(np.float32)
    return one, one + 0.7 * rng.normal(size=(n, 1)).astype(np.float32), codes


def numbers(seed: int, n: int) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(n, 1)).astype(np.float32)
    one, other = (y + size * rng.normal(size=(n, 1)).astype(np.float32) for size in (0.5, 0.6))
    return one, other, y


@pytest.mark.parametrize("confidence", [0.95, 0.995])
@pytest.mark.parametrize("metric", [*CLASSWISE, "roc_auc", *LOSSES])
def test_an_interval_lies_about_its_score_and_widens(metric: str, confidence: float) -> None:
    one, other, y = (two_classes if metric in (*CLASSWISE, "roc_auc", "log_loss") else numbers)(1, 1600)
    found = evaluate(metric, one, y, confidence=confidence)
    assert found.low < found.value < found.high
    assert not found.note
    wider = evaluate(metric, one, y, confidence=confidence, look=4)
    assert wider.low < found.low < found.high < wider.high
    gain = compare(metric, one, other, y, confidence=confidence)
    back = compare(metric, other, one, y, confidence=confidence)
    assert gain.low < gain.difference < gain.high
    assert (back.difference, back.low, back.high) == pytest.approx(
        (-gain.difference, -gain.high, -gain.low), abs=1e-6
    )


@pytest.mark.parametrize("metric", [*CLASSWISE, "roc_auc"])
def test_models_that_agree_on_every_row_have_no_empty_interval(metric: str) -> None:
    one, _, y = two_classes(2, 100)
    found = compare(metric, one, one, y)
    assert found.low < -0.005
    assert found.high > 0.005


@pytest.mark.parametrize("metric", LOSSES)
def test_losses_that_agree_on_every_row_have_none(metric: str) -> None:
    one, _, y = (two_classes if metric == "log_loss" else numbers)(2, 1600)
    found = compare(metric, one, one, y)
    assert math.isnan(found.low)
    assert "tells the two models apart" in found.note


@pytest.mark.parametrize("metric", [*CLASSWISE, "roc_auc"])
def test_a_perfect_score_is_not_certain(metric: str) -> None:
    codes = np.tile([0, 1], 50).astype(np.int32)
    found = evaluate(metric, (4.0 * codes - 2.0)[:, None].astype(np.float32), codes)
    assert found.value == found.high == 1.0
    assert 0.85 < found.low < 0.995


@pytest.mark.parametrize("metric", ["balanced_accuracy", "f1", "f1_macro", "roc_auc"])
def test_too_few_rows_of_a_class_are_named(metric: str) -> None:
    codes = np.zeros(60, np.int32)
    codes[:3] = 1
    outputs = np.random.default_rng(3).normal(size=(60, 1)).astype(np.float32)
    found = evaluate(metric, outputs, codes, classes=("no", "yes"))
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.note == 'too few rows of class "yes" (3) for an interval; 5 are needed'
    assert math.isnan(compare(metric, outputs, -outputs, codes).low)


def test_few_rows_of_losses_are_warned_and_heavy_tails_get_none() -> None:
    one, other, y = numbers(4, 60)
    found = evaluate("rmse", one, y)
    assert found.low < found.value < found.high
    assert found.note == "too few rows (60) for an interval that rare large errors cannot break"
    assert compare("mae", one, other, y).note == found.note
    one, other, y = numbers(4, 2000)
    one[:3] += 60
    found = evaluate("rmse", one, y)
    assert math.isnan(found.low)
    assert "heavy a tail" in found.note
    assert "too few rows (5)" in evaluate("mae", one[:5], y[:5]).note


def test_outputs_that_are_no_numbers_have_no_interval() -> None:
    one, _, y = numbers(5, 700)
    one[3] = np.nan
    found = evaluate("mse", one, y)
    assert math.isnan(found.value)
    assert math.isnan(found.low)
    assert "no finite number" in found.note


def test_a_metric_that_nobody_told_the_intervals_of_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would have that of the mean squared error, or of F1, and look right."""
    one, other, y = numbers(5, 700)
    monkeypatch.setitem(WORDS, "median", Metric("minimize", "regression"))
    monkeypatch.setitem(WORDS, "kappa", Metric("maximize", "binary", decides=True))
    assert {*KNOWN} == {*CLASSWISE, "roc_auc", *LOSSES, "label_accuracy", "hamming_loss", "nll"}
    for metric in ("median", "kappa"):
        for found in (interval(metric, one, y), gain_interval(metric, one, other, y)):
            assert math.isnan(found.low)
            assert math.isnan(found.high)
            assert f"how {metric} scatters" in found.note


def test_squares_of_normal_errors_have_the_chi_square_interval() -> None:
    """Where the losses' own variance is that of normal errors, 2 σ⁴, the gamma interval is the exact one."""
    errors = np.random.default_rng(6).normal(size=(5000, 1))
    low, high, _ = means.loss_interval("mse", errors, np.zeros_like(errors), None, 0.95)
    total = float((errors**2).sum())
    exact = total / stats.chi2.ppf(0.975, 5000), total / stats.chi2.ppf(0.025, 5000)
    assert (low, high) == pytest.approx(exact, rel=0.01)
    roots = means.loss_interval("rmse", errors, np.zeros_like(errors), None, 0.95)
    assert roots[:2] == pytest.approx((math.sqrt(low), math.sqrt(high)))


def test_f1_is_a_share_of_the_union() -> None:
    truth, said = np.random.default_rng(7).integers(0, 2, (2, 200))
    low, high, _ = intervals_of_classes.interval("f1", Decided(truth, said, 2), 0.95)
    hits, union = int((truth & said).sum()), int((truth | said).sum())
    shares = proportion_interval(hits, union)
    assert (low, high) == pytest.approx(tuple(2 * end / (1 + end) for end in shares))
    assert low < f1_score(truth, said) < high


def test_the_delong_interval_is_that_of_the_pairs() -> None:
    """The variance from places against the sum over all pairs of pairs, for rows with ties."""
    rng = np.random.default_rng(8)
    scores, truth = rng.integers(0, 9, 80).astype(float), rng.integers(0, 2, 80)
    area, influence = auc._area(Ranked(scores, truth))
    assert area == pytest.approx(roc_auc_score(truth, scores))
    kernel = np.sign(scores[truth == 1][:, None] - scores[truth == 0][None, :]) / 2 + 0.5
    m, n = kernel.shape
    expected = kernel.mean(1).var(ddof=1) / m + kernel.mean(0).var(ddof=1) / n
    assert auc._delong(influence, Ranked(scores, truth))[0] == pytest.approx(expected)


@pytest.mark.parametrize("metric", [*CLASSWISE, "roc_auc", *LOSSES])
def test_steps_of_a_sequence_are_not_independent(metric: str) -> None:
    """Every step of a sequence the same: as wide as for the sequences alone, not √5 times narrower."""
    classes = metric in (*CLASSWISE, "roc_auc", "log_loss")
    one, other, y = (two_classes if classes else numbers)(9, 1600)
    steps = np.repeat(one[:, None], 5, axis=1), np.repeat(other[:, None], 5, axis=1)
    targets = np.repeat(y[:, None], 5, axis=1)
    alone, together = interval(metric, one, y), interval(metric, steps[0], targets)
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=0.12)
    alone, together = gain_interval(metric, one, other, y), gain_interval(metric, *steps, targets)
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=0.15)


def test_rows_of_one_group_are_not_independent() -> None:
    """Every patient five times the same: as wide as for the patients alone."""
    one, _, y = two_classes(10, 300)
    groups = np.repeat(np.arange(300), 5)
    alone = evaluate("accuracy", one, y)
    together = evaluate("accuracy", np.repeat(one, 5, axis=0), np.repeat(y, 5), groups=groups)
    assert together.value == pytest.approx(alone.value)
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=0.05)


# ── coverage: a few cells of the benchmark ──────────────────────────────────────────────────────

Draw = Callable[[np.random.Generator], tuple[float, float]]


def covered(truth: float, draw: Draw, studies: int = 1000) -> float:
    ends = np.array([draw(np.random.default_rng(study))[:2] for study in range(studies)])
    given = ends[np.isfinite(ends[:, 0])]
    return float(np.mean((given[:, 0] <= truth) & (truth <= given[:, 1])))


@pytest.mark.parametrize(("n", "share"), [(400, 0.03), (100, 0.1), (40, 0.5)])
@pytest.mark.parametrize("metric", ["balanced_accuracy", "f1", "f1_macro"])
def test_classwise_intervals_cover(metric: str, n: int, share: float) -> None:
    """Recalls of 0.7 and 0.95; what a bootstrap of these rows covers in 27 to 80 %."""

    def draw(rng: np.random.Generator) -> tuple[float, float]:
        truth = (rng.random(n) < share).astype(int)
        said = np.where(rng.random(n) < np.where(truth == 1, 0.7, 0.95), truth, 1 - truth)
        return intervals_of_classes.interval(metric, Decided(truth, said, 2), 0.95)[:2]

    hits, alarms, rejected = share * 0.7, (1 - share) * 0.05, (1 - share) * 0.95
    f1 = [2 * rejected / (2 * rejected + alarms + share - hits), 2 * hits / (hits + alarms + share)]
    truth = {"balanced_accuracy": 0.825, "f1": f1[1], "f1_macro": sum(f1) / 2}[metric]
    assert 0.92 <= covered(truth, draw) <= 0.99


@pytest.mark.parametrize("spread", [1.0, 2.0])
def test_areas_cover(spread: float) -> None:
    def draw(rng: np.random.Generator) -> tuple[float, float]:
        truth = (np.arange(200) < 20).astype(int)
        scores = np.where(truth == 1, 2 + spread * rng.normal(size=200), rng.normal(size=200))
        return auc.interval(Ranked(scores, truth), 0.95)[:2]

    assert 0.92 <= covered(float(stats.norm.cdf(2 / math.hypot(1, spread))), draw, 600) <= 0.99


@pytest.mark.parametrize("metric", ["mse", "rmse"])
def test_means_of_losses_cover_or_are_withheld(metric: str) -> None:
    def draw(rng: np.random.Generator, outliers: float) -> tuple[float, float]:
        errors = rng.normal(size=(1500, 1)) * np.where(rng.random((1500, 1)) < outliers, 10, 1)
        return means.loss_interval(metric, errors, np.zeros_like(errors), None, 0.95)[:2]

    assert 0.93 <= covered(1.0, lambda rng: draw(rng, 0.0)) <= 0.97
    given = [math.isfinite(draw(np.random.default_rng(study), 0.01)[0]) for study in range(300)]
    assert np.mean(given) < 0.03


@pytest.mark.parametrize("outliers", [(0.005, 10.0), (0.005, 5.0)])
def test_few_studies_are_misled_by_rare_large_errors(outliers: tuple[float, float]) -> None:
    """As many rows as an interval without a remark takes, of which one in 200 decides the truth."""
    share, size = outliers
    truth = math.sqrt(1 + share * (size**2 - 1))

    def misled(study: int) -> bool:
        rng, n = np.random.default_rng(study), means.SHOWN_BY
        errors = rng.normal(size=(n, 1)) * np.where(rng.random((n, 1)) < share, size, 1)
        found = means.loss_interval("rmse", errors, np.zeros_like(errors), None, 0.95)
        return found.low > truth or found.high < truth

    assert np.mean([misled(study) for study in range(400)]) < 0.07


def test_gains_in_area_near_one_cover() -> None:
    """Areas of 0.999 and 0.998, which a handful of rows decide: a normal interval alone covers 79 %."""
    apart = (4.5, 4.0)

    def draw(rng: np.random.Generator) -> tuple[float, float]:
        truth, noise = (np.arange(150) < 75).astype(int), rng.normal(size=(3, 150))
        one, other = (
            Ranked(math.sqrt(0.9) * noise[0] + math.sqrt(0.1) * noise[k + 1] + apart[k] * truth, truth)
            for k in (0, 1)
        )
        return auc.paired_interval(one, other, 0.95)[:2]

    areas = [float(stats.norm.cdf(each / math.sqrt(2))) for each in apart]
    assert covered(areas[0] - areas[1], draw, 600) >= 0.93


def test_a_rare_class_without_errors_is_not_taken_for_as_sure_as_the_others() -> None:
    """Ten classes that are nearly always right, and one of ten rows of which a tenth is wrong."""

    def draw(rng: np.random.Generator) -> tuple[float, float]:
        truth = np.where(np.arange(1000) < 10, 0, 1 + np.arange(1000) % 9)
        wrong = rng.random(1000) < np.where(truth == 0, 0.1, 0.001)
        said = np.where(wrong, (truth + rng.integers(1, 10, 1000)) % 10, truth)
        return intervals_of_classes.interval("balanced_accuracy", Decided(truth, said, 10), 0.95)[:2]

    assert covered((0.9 + 9 * 0.999) / 10, draw, 600) >= 0.93


def test_recalls_of_classes_that_share_groups_are_not_independent() -> None:
    """300 groups of four much alike rows, of both classes: with independent recalls it covers 86 %."""
    cut = float(stats.norm.ppf(0.7))

    def draw(rng: np.random.Generator) -> tuple[float, float]:
        group = np.repeat(np.arange(300), 4)
        ease = math.sqrt(0.9) * rng.normal(size=300)[group] + math.sqrt(0.1) * rng.normal(size=1200)
        truth = (rng.random(1200) < 0.5).astype(int)
        said = np.where(ease < cut, truth, 1 - truth)
        return intervals_of_classes.interval("balanced_accuracy", Decided(truth, said, 2, group), 0.95)[:2]

    assert covered(0.7, draw, 500) >= 0.93


def test_few_groups_are_warned() -> None:
    one, other, y = two_classes(3, 600)
    few, many = np.arange(600) // 6, np.arange(600) // 2
    assert evaluate("accuracy", one, y, groups=many).note == ""
    found = evaluate("accuracy", one, y, groups=few)
    assert math.isfinite(found.low)
    assert found.note == "too few groups of rows that belong together (100) to rely on an interval"
    assert compare("accuracy", one, other, y, groups=few).note == found.note


# ── seeds and looks ─────────────────────────────────────────────────────────────────────────────


def test_seed_spread() -> None:
    spread = seed_spread(np.array([0.9, 0.92, 0.97]))
    low, high = stats.t.interval(0.95, 2, 0.93, stats.sem([0.9, 0.92, 0.97]))
    assert (spread.mean, spread.low, spread.high) == pytest.approx((0.93, low, high))
    assert math.isnan(seed_spread(np.array([0.9])).deviation)


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
