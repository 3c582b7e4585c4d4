"""The winner's curse in simulated searches, where the true score of every trial is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from workbench.evaluation.optimism import (
    beats_default,
    fold_difference,
    optimism,
    optimism_of_pruned,
    optimism_of_scores,
    own_error,
    unpaired,
)

Array = np.ndarray
Search = Callable[[np.random.Generator, int, int], tuple[Array, Array]]


# Row scores [T, N] and true scores [T]. Rows are hard or easy for all trials at once, as they are in life.
def accuracies(spread: float) -> Search:
    def search(rng: np.random.Generator, trials: int, rows: int) -> tuple[Array, Array]:
        quality = 1.5 - spread * rng.exponential(size=trials)
        margin = quality[:, None] + rng.normal(size=rows) + 0.7 * rng.normal(size=(trials, rows))
        return (margin > 0).astype(np.float32), stats.norm.cdf(quality / math.sqrt(1 + 0.7**2))

    return search


def losses(spread: float) -> Search:
    def search(rng: np.random.Generator, trials: int, rows: int) -> tuple[Array, Array]:
        truth = 1 + spread * rng.exponential(size=trials)
        hard = 0.6 * rng.exponential(size=rows) + 0.4 * rng.exponential(size=(trials, rows))
        return (-truth[:, None] * hard).astype(np.float32), -truth

    return search


SEARCHES = {
    "accuracy, all equal": accuracies(0.0),
    "accuracy, near": accuracies(0.1),
    "accuracy, far apart": accuracies(1.0),
    "loss, all equal": losses(0.0),
    "loss, near": losses(0.05),
    "loss, far apart": losses(0.5),
}


def _unbiased(search: Search, trials: int, studies: int, rows: int = 240) -> None:
    truth, estimate, error = np.empty((3, studies))
    for study in range(studies):
        scores, true = search(np.random.default_rng(study), trials, rows)
        winner = int(scores.mean(axis=1).argmax())
        found = optimism(scores, maximize=True, splits=150)
        truth[study] = scores.mean(axis=1)[winner] - true[winner]
        estimate[study], error[study] = found.estimate, found.error
    difference = estimate - truth
    simulated = difference.std() / math.sqrt(studies)
    stated = math.sqrt(np.mean(error**2))
    assert abs(difference.mean()) < stated + 2 * simulated
    # The stated error is the deviation of the estimate, or on the careful side of it.
    assert 0.6 * estimate.std() < stated < 3 * estimate.std()


@pytest.mark.parametrize("trials", [10, 100, 1000])
@pytest.mark.parametrize("name", ["accuracy, all equal", "accuracy, far apart", "loss, near"])
def test_unbiased_within_the_stated_error(name: str, trials: int) -> None:
    _unbiased(SEARCHES[name], trials, studies=60 if trials < 1000 else 12)


@pytest.mark.slow
@pytest.mark.parametrize("trials", [10, 100, 1000])
@pytest.mark.parametrize("name", sorted(SEARCHES))
def test_unbiased_within_the_stated_error_in_many_studies(name: str, trials: int) -> None:
    _unbiased(SEARCHES[name], trials, studies=1000 if trials < 1000 else 100)


@pytest.mark.parametrize("trials", [10, 100])
def test_trials_of_different_rows(trials: int) -> None:
    """Hold-outs in turn: errors are independent, and equally good trials differ by them alone."""
    luck, found, gains = [], [], []
    for study in range(150):
        rng = np.random.default_rng(study)
        scores = [(rng.random(240) < 0.8).astype(float) for _ in range(trials)]
        winner = int(np.argmax([each.mean() for each in scores]))
        luck.append(scores[winner].mean() - 0.8)
        estimate, gain = unpaired(scores, maximize=True, winner=winner, default=0)
        found.append(estimate.estimate)
        assert gain is not None
        gains.append(gain)
    assert np.mean(found) == pytest.approx(np.mean(luck), rel=0.2)
    assert np.mean([gain.low <= 0.0 <= gain.high for gain in gains]) > 0.93
    assert unpaired(scores, maximize=True, winner=winner)[1] is None
    worse = unpaired([-each for each in scores], maximize=False, winner=winner, default=0)
    assert worse[0].estimate == pytest.approx(found[-1])
    assert worse[1] == gains[-1]


def test_equal_independent_trials_against_the_closed_form() -> None:
    """The optimism of the best of T equal trials is E[max of T normals] times the standard error."""
    rng = np.random.default_rng(0)
    trials, rows = 50, 400
    normals = np.sort(rng.normal(size=(20_000, trials)), axis=1)[:, -1].mean()
    found = [optimism(rng.normal(size=(trials, rows)), maximize=True, seed=n).estimate for n in range(40)]
    assert np.mean(found) == pytest.approx(normals / math.sqrt(rows), rel=0.1)
    scores = rng.normal(size=(200, trials)) / 20
    alone = [optimism_of_scores(row, 0.05, maximize=True, seed=n).estimate for n, row in enumerate(scores)]
    assert np.mean(alone) == pytest.approx(normals * 0.05, rel=0.1)


def test_direction_and_correlation() -> None:
    rows = np.random.default_rng(1).exponential(size=(30, 200))
    low, high = optimism(rows, maximize=False), optimism(-rows, maximize=True)
    assert low == high
    assert low.estimate > 0
    assert optimism_of_scores(rows.mean(1), 0.07, maximize=False) == optimism_of_scores(
        -rows.mean(1), 0.07, maximize=True
    )
    together = optimism_of_scores(rows.mean(1), 0.07, maximize=False, correlation=0.9).estimate
    assert together < optimism_of_scores(rows.mean(1), 0.07, maximize=False).estimate


def test_no_choice_no_optimism() -> None:
    rows = np.random.default_rng(2).normal(size=(1, 100))
    assert optimism(rows, maximize=True) == (0.0, 0.0, 1)
    assert optimism_of_scores(rows[:, 0], 0.1, maximize=True) == (0.0, 0.0, 1)
    clear = np.vstack([rows, rows - 1, rows - 2])  # one is better on every row
    assert optimism(clear, maximize=True)[:2] == (0.0, 0.0)
    assert optimism(clear, maximize=True).trials == 3


def test_diverged_trials_are_not_compared() -> None:
    rows = np.random.default_rng(3).normal(size=(20, 100))
    wild = np.vstack([rows, np.full((2, 100), np.nan), np.full((1, 100), -np.inf)])
    assert optimism(wild, maximize=True) == optimism(rows, maximize=True)
    means = np.append(rows.mean(1), np.nan)
    assert optimism_of_scores(means, 0.1, maximize=True).trials == 20


def row_scores(statistic: Callable[[Array], Array], n: int, *, seed: int = 0) -> Array:
    """Scores of rows for a metric that is not a mean over rows (RMSE, F1, AUC, R²): [T, blocks].

    statistic  weights float32 [R, n] -> [R, T], the scores of all trials

    They are jackknife pseudo-values (Tukey 1958): G score(all) - (G - 1) score(without the block), for G
    random blocks of rows, single rows where there are no more than 400.
    """
    blocks = min(n, 400)
    block = np.random.default_rng(seed).permutation(n) % blocks
    whole = np.asarray(statistic(np.ones((1, n), np.float32)), float)  # [1, T]
    without = np.concatenate([
        np.asarray(statistic((block[None, :] != np.arange(start, start + 16)[:, None]).astype(np.float32)),
        float) for start in range(0, blocks, 16)
    ])[:blocks]  # fmt: skip
    return np.asarray((blocks * whole - (blocks - 1) * without).T)


def test_row_scores_of_a_mean_are_its_rows() -> None:
    rows = np.random.default_rng(4).exponential(size=(7, 60))
    block = np.random.default_rng(0).permutation(60)
    found = row_scores(lambda weights: weights @ rows.T / weights.sum(1, keepdims=True), 60)
    assert found.shape == (7, 60)
    np.testing.assert_allclose(found[:, block], rows, rtol=1e-6)


def test_row_scores_make_the_optimism_of_any_metric() -> None:
    """RMSE: by the delta method its optimism is that of the mean square over twice the RMSE."""
    rng = np.random.default_rng(5)
    errors = rng.normal(size=2000) + 0.5 * rng.normal(size=(40, 2000))
    square = optimism(errors**2, maximize=False).estimate
    blocks = row_scores(lambda weights: np.sqrt(weights @ errors.T**2 / weights.sum(1, keepdims=True)), 2000)
    assert blocks.shape == (40, 400)
    root = optimism(blocks, maximize=False)
    assert root.estimate == pytest.approx(square / (2 * math.sqrt(1.25)), abs=0.5 * root.error)


def test_a_search_among_equals_does_not_beat_the_default() -> None:
    beaten = [
        beats_default(accuracies(0.0)(np.random.default_rng(study), 30, 300)[0], maximize=True).beats
        for study in range(100)
    ]
    naive = [
        stats.ttest_rel(scores[scores.mean(1).argmax()], scores[0], alternative="greater").pvalue < 0.025
        for scores in (accuracies(0.0)(np.random.default_rng(study), 30, 300)[0] for study in range(100))
    ]
    assert np.mean(beaten) <= 0.08
    assert np.mean(naive) > 0.3  # what happens without a correction


def test_a_search_that_is_better_beats_the_default() -> None:
    covered, beaten = [], []
    for study in range(60):
        scores, truth = accuracies(0.3)(np.random.default_rng(study), 30, 400)
        scores[0], truth[0] = accuracies(0.0)(np.random.default_rng(study), 1, 400)[0][0] * 0.8, np.nan
        found = beats_default(scores, maximize=True)
        beaten.append(found.beats)
        winner = scores.mean(1).argmax()
        covered.append(found.low <= truth[winner] - 0.8 * stats.norm.cdf(1.5 / math.sqrt(1.49)) <= found.high)
    assert np.mean(beaten) > 0.95
    assert np.mean(covered) > 0.85


def test_gain_at_the_ends() -> None:
    rows = np.random.default_rng(6).normal(size=(5, 50))
    rows[2] += 1
    assert beats_default(rows, maximize=True, default=2) == (0.0, 0.0, 0.0, False)
    rows[0] = np.nan
    assert beats_default(rows, maximize=True, default=0).beats
    assert not beats_default(rows, maximize=True, default=1, winner=1).beats


def test_pruned_trials_were_compared_as_well() -> None:
    """Equal trials, of which a rung lets the luckiest pass, whose luck lasts: as if all had finished."""
    rng = np.random.default_rng(7)
    found, truth = [], []
    for _ in range(40):
        first = rng.normal(size=60)
        last = 0.95 * first + math.sqrt(1 - 0.95**2) * rng.normal(size=60)
        passed = first >= np.sort(first)[-6]
        rungs = [{4: a, 12: b} if ok else {4: a} for a, b, ok in zip(first, last, passed, strict=True)]
        found.append(optimism_of_pruned(rungs, list(passed), 1.0, maximize=True).estimate)
        truth.append(last[passed].max())
    assert np.mean(found) == pytest.approx(np.mean(truth), rel=0.2)
    turned = [{epochs: -score for epochs, score in one.items()} for one in rungs]
    assert optimism_of_pruned(turned, list(passed), 1.0, maximize=False).estimate == pytest.approx(found[-1])


def test_a_trial_without_a_score_is_not_compared() -> None:
    rungs = [{4: 0.5, 12: 0.6}, {}, {4: math.nan}]
    assert optimism_of_pruned(rungs, [True, False, False], 0.1, maximize=True) == (0.0, 0.0, 1)
    assert optimism_of_pruned([*rungs, {4: 0.4}], [True, False, False, False], 0.1, maximize=True).trials == 2


def test_an_early_stop_counts_with_its_last_score() -> None:
    rungs = [{4: 0.5, 12: 0.6, 36: 0.7}, {4: 0.9}]
    found = optimism_of_pruned(rungs, [True, True], 0.1, maximize=True)
    assert 0 <= found.estimate < 0.1


def test_the_error_that_is_a_trial_s_own() -> None:
    rng = np.random.default_rng(8)
    rows = rng.normal(size=400) + 0.5 * rng.normal(size=(200, 400))
    assert own_error(list(rows), paired=True) == pytest.approx(0.5 / 20, rel=0.05)
    assert own_error(list(rows), paired=False) == pytest.approx(math.sqrt(1.25) / 20, rel=0.1)


def test_folds_share_training_rows() -> None:
    """Nadeau and Bengio's corrected resampled t, where rows taken for independent would promise more."""
    rng = np.random.default_rng(9)
    scores = rng.normal(size=(4, 200)) + np.repeat(rng.normal(size=(4, 5)), 40, axis=1)
    means = (scores[1] - scores[0]).reshape(5, 40).mean(axis=1)
    error = math.sqrt((1 / 5 + 1 / 4) * means.var(ddof=1))
    assert fold_difference(scores[1] - scores[0], 5) == pytest.approx(error)
    alone, folded = (beats_default(scores, maximize=True, winner=1, folds=folds) for folds in (0, 5))
    assert folded.gain == alone.gain
    luck = optimism(scores, maximize=True, winner=1).error
    assert folded.high - folded.gain == pytest.approx(stats.t.ppf(0.975, 4) * math.hypot(error, luck))
    assert folded.high - folded.low > 2 * (alone.high - alone.low)
