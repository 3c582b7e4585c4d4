"""The winner's curse: how much better than the truth the best of many validation scores is.

Whoever compares T trials on N rows and reports the best score reports the luck of the rows with it. To
measure it, the choice is made again on two thirds of the rows, many times, and looked at on the third that
had no part:

    optimism = E[score of the winner on the third] - E[score on the third of the choice made without it]

The first term holds the luck, the second does not. Both are of the same rows, so what is hard for every
trial cancels out. It is cross-validation of the choice itself (Tsamardinos, Greasidou and Borboudakis 2018,
"Bootstrapping the out-of-sample predictions for efficient and accurate cross-validation"). The usual
bootstrap optimism (Efron 1983) was tried and dropped: where trials are equally good it finds only 0.7 of the
truth, since the world it resamples has winners that are ahead by luck. Choosing on fewer rows is a little
worse, so where trials differ much this estimate is a little high; in simulated searches of 10, 100 and 1,000
trials by less than its stated error.

It is the luck of choosing among the trials that there are. A sampler that follows the validation scores
also steers *where* the trials are by the luck of the rows (in a simulated greedy search that added an
eighth); only rows that the search never saw measure that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from workbench.core.types import Array
from workbench.evaluation.intervals import fold_error, student

#: How often the choice is made again, and the most blocks of rows that a jackknife leaves out.
_SPLITS = 300
#: Normal numbers drawn for `optimism_of_scores`: 32 MB.
_NOISE = 4_000_000
#: The share of a score's variance that is laid over it as noise to choose by.
_SHARE = 0.5
#: How alike a trial's errors at consecutive rungs are taken to be.
RUNGS_ALIKE = 0.9


class Optimism(NamedTuple):
    """How much better than its true score the winner's validation score is expected to be.

    In units of the metric and positive in either direction: subtract it from an accuracy, add it to a loss.
    An estimate of something that is never negative may itself be slightly so.
    """

    estimate: float
    error: float  # standard error of the estimate
    trials: int  # compared


class Gain(NamedTuple):
    """How much better than the default configuration the winner is; positive is better."""

    gain: float  # as measured, less the optimism
    low: float
    high: float
    beats: bool  # by more than noise: low > 0


def optimism(
    scores: Array, *, maximize: bool, winner: int | None = None, seed: int = 0, splits: int = _SPLITS
) -> Optimism:
    """The optimism of the best of T trials.

    scores  [T, N], one per trial and row, whose mean over rows is the trial's score: 1 for a right answer,
            the loss of the row, or jackknife pseudo-values of blocks of rows; one with a NaN is not compared
    winner  the trial that was chosen; None: the best mean
    """
    gains = _oriented(scores, maximize)
    n = gains.shape[1]
    compared = int(np.isfinite(gains[:, 0]).sum())
    if winner is None:
        winner = int(gains.mean(axis=1).argmax())
    if compared < 2 or n < 3:
        return Optimism(0.0, 0.0, compared)
    chosen_on = thirds(n, splits, seed)  # [R, N]
    left_out = 1 - chosen_on
    choices = np.argmax(chosen_on @ np.where(np.isfinite(gains), gains, -1e30).T, axis=1)  # [R]
    # What a row says each time that it was left out, averaged over those times: [N].
    luck = (left_out * (gains[winner][None, :] - gains[choices])).sum(axis=0) / left_out.sum(axis=0).clip(1)
    return Optimism(float(luck.mean()), float(luck.std(ddof=1) / math.sqrt(n)), compared)


def optimism_of_scores(
    scores: Array, error: Array | float, *, maximize: bool, correlation: float = 0.0, seed: int = 0
) -> Optimism:
    """The same from the T scores alone, where no scores of rows were kept.

    error        [T] or one for all: standard error of a score over rows (an accuracy p: √(p (1 - p) / N))
    correlation  between the errors of two trials on the same rows; 0 gives the most that it can be

    Gaussian noise splits the scores into two independent sets, one to choose by and one to look at
    (Oliveira, Lei and Tibshirani 2021, arXiv:2111.09447, the coupled bootstrap, with half the variance as
    noise). The error of the estimate is put at half of a score's own, which is what simulated searches show.
    """
    values = np.asarray(scores, float) * (1 if maximize else -1)
    errors = np.broadcast_to(np.asarray(error, float) * math.sqrt(1 - correlation), values.shape)
    known = np.isfinite(values)
    values, errors = values[known], errors[known]
    if values.size < 2:
        return Optimism(0.0, 0.0, values.size)
    draws = max(500, min(4000, _NOISE // values.size))
    noise = errors * np.random.default_rng(seed).standard_normal((draws, values.size))
    choices = np.argmax(values + math.sqrt(_SHARE) * noise, axis=1)
    # What the other half says of each choice: its score less noise / √_SHARE.
    seen = values[choices] - np.take_along_axis(noise, choices[:, None], 1)[:, 0] / math.sqrt(_SHARE)
    width = float(errors[int(values.argmax())])
    return Optimism(float(values.max() - seen.mean()), width / 2, values.size)


def optimism_of_pruned(
    rungs: Sequence[Mapping[int, float]],
    complete: Sequence[bool],
    error: float,
    *,
    maximize: bool,
    correlation: float = RUNGS_ALIKE,
    seed: int = 0,
) -> Optimism:
    """The optimism of a search that prunes: whoever was let pass at a rung was ahead there, in part by luck.

    rungs        of T trials: epochs trained -> the score that was reported then, as the pruner saw it
    complete     which of them ran to their end
    error        standard error of a score over rows that is not common to the trials: see `own_error`
    correlation  between the errors of one trial at consecutive rungs, which the scores do not tell

    The search is run again with noise on every score, as in `optimism_of_scores`: at every rung as many pass
    as did, and of those that reach the end the best is looked at through the other half of the noise. What a
    pruned trial would have scored later is its last score and the mean step of those that took it. Where
    consecutive rungs are less alike than is supposed, less of the luck lasts, and this estimate is too high.
    """
    sign = 1 if maximize else -1
    epochs = sorted({epoch for one in rungs for epoch in one})
    known = [i for i, one in enumerate(rungs) if one and np.isfinite(list(one.values())).all()]
    if len(known) < 2 or not error > 0:
        return Optimism(0.0, 0.0, len(known))
    seen = np.array([[sign * rungs[i].get(epoch, np.nan) for i in known] for epoch in epochs])  # [R, T]
    ended = np.array([complete[i] for i in known])
    reached = np.isfinite(seen)
    for k in range(1, len(epochs)):
        took = reached[k] & np.isfinite(seen[k - 1])
        step = float(np.mean(seen[k, took] - seen[k - 1, took])) if took.any() else 0.0
        seen[k] = np.where(np.isfinite(seen[k]), seen[k], seen[k - 1] + np.where(ended, 0.0, step))
    first = np.isfinite(seen)  # a trial of a bracket that reports late is there from then on
    rng = np.random.default_rng(seed)
    shape = max(200, min(1500, _NOISE // (len(known) * len(epochs)))), len(known)
    noise, alive = error * rng.standard_normal(shape), np.ones(shape, bool)
    paths = [noise]  # the last rung first: the noise of a rung is like that of the next
    for _ in epochs[1:]:
        fresh = error * rng.standard_normal(shape)
        paths.append(correlation * paths[-1] + math.sqrt(1 - correlation**2) * fresh)
    last = seen[-1]
    for k, path in enumerate(reversed(paths)):
        # As much noise as the scores have themselves, of which each half of the rows would have so much.
        noisy = np.where(alive & first[k], seen[k] + path * math.sqrt(_SHARE), -np.inf)
        if k + 1 == len(epochs):
            break
        passed = int(np.sum(reached[k + 1] | (ended & reached[k])))
        bar = np.partition(noisy, len(known) - passed, axis=1)[:, len(known) - passed, None]
        alive &= (noisy >= bar) | ~first[k]
    choices = noisy.argmax(axis=1)
    later = last[choices] - np.take_along_axis(noise, choices[:, None], 1)[:, 0] / math.sqrt(_SHARE)
    best = float(np.where(ended, last, -np.inf).max())
    return Optimism(max(0.0, best - float(later.mean())), error / 2, len(known))


def own_error(scores: Sequence[Array], *, paired: bool) -> float:
    """Standard error of a trial's score over rows that is not common to all trials.

    scores  of the complete trials, each [N]; `paired`: of the same rows, whose common part cancels out
    """
    if not paired or len(scores) < 2:
        return float(np.median([each.std(ddof=1) / math.sqrt(len(each)) for each in scores]))
    rows = np.stack(scores).astype(np.float64)
    apart = rows - rows.mean(axis=0)
    alone = float(np.sum(np.var(apart, axis=1, ddof=1))) / (len(rows) - 1)
    return math.sqrt(alone / rows.shape[1])


def fold_difference(difference: Array, folds: int) -> float:
    """Standard error of the mean of differences [N] of the rows of so many folds, one after the other."""
    means = np.array([part.mean() for part in np.array_split(difference, folds)])
    return fold_error(means, 1 / (folds - 1))


def beats_default(
    scores: Array,
    *,
    maximize: bool,
    default: int = 0,
    winner: int | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    luck: Optimism | None = None,
    folds: int = 0,
) -> Gain:
    """Whether the search beat the default configuration by more than noise.

    scores   [T, N] as in `optimism`
    default  which trial is the default configuration
    luck     the optimism, where more was compared than has scores of rows; None: that of these scores
    folds    how many folds the rows are of, one after the other; their models share training rows, so the
             difference has the error of `intervals.fold_error`, and Student's quantile

    The gain on the same rows, less the optimism of choosing; its interval joins the error of the difference
    over rows with that of the optimism.
    """
    gains = _oriented(scores, maximize)
    if winner is None:
        winner = int(gains.mean(axis=1).argmax())
    if winner == default:
        return Gain(0.0, 0.0, 0.0, beats=False)
    luck = luck or optimism(scores, maximize=maximize, winner=winner, seed=seed)
    difference = gains[winner] - gains[default]
    if not np.isfinite(difference).all():  # the default diverged: anything finite is better
        return Gain(math.inf, math.inf, math.inf, beats=True)
    gain = float(difference.mean()) - luck.estimate
    error = (
        fold_difference(difference, folds)
        if folds
        else float(difference.std(ddof=1)) / math.sqrt(difference.size)
    )
    quantile = student(folds - 1, confidence) if folds else float(special.ndtri(0.5 + confidence / 2))
    return gain_of(gain, math.hypot(error, luck.error), quantile)


def unpaired(
    scores: Sequence[Array],
    *,
    maximize: bool,
    winner: int,
    default: int | None = None,
    luck: Optimism | None = None,
) -> tuple[Optimism, Gain | None]:
    """Optimism and gain where trials were validated on different rows.

    scores   of T trials, each [N] of its own rows, as in `optimism`
    default  which trial is the default configuration; None: it has no score
    luck     the optimism, where more was compared than has scores of rows

    The optimism is that of independent errors, the most that it can be where hold-outs overlap; the error of
    the difference is that of two scores of different rows.
    """
    values = np.array([each.mean() for each in scores])
    errors = np.array([each.std(ddof=1) / math.sqrt(len(each)) for each in scores])
    luck = luck or optimism_of_scores(values, errors, maximize=maximize)
    if default is None:
        return luck, None
    if winner == default:
        return luck, Gain(0.0, 0.0, 0.0, beats=False)
    gain = (1 if maximize else -1) * float(values[winner] - values[default]) - luck.estimate
    return luck, gain_of(
        gain, math.hypot(errors[winner], errors[default], luck.error), float(special.ndtri(0.975))
    )


def gain_of(gain: float, error: float, quantile: float) -> Gain:
    """A gain whose standard error is known, with its interval of so many errors to each side."""
    half = quantile * error
    return Gain(gain, gain - half, gain + half, beats=gain - half > 0)


# [T, N] with more always better; a trial that cannot be compared is -inf throughout.
def _oriented(scores: Array, maximize: bool) -> Array:
    gains = np.asarray(scores, np.float64) * (1 if maximize else -1)
    return np.where(np.isfinite(gains).all(axis=1, keepdims=True), gains, -np.inf)


def thirds(n: int, splits: int, seed: int) -> Array:
    """float64 [R, N]: ones for two thirds of the rows.

    Three splits share a shuffle, so every row is left out equally often.
    """
    rng = np.random.default_rng(seed)
    shuffles = rng.random((-(-splits // 3), n)).argsort(axis=1)
    third = np.empty_like(shuffles)
    np.put_along_axis(third, shuffles, np.broadcast_to(np.arange(n) * 3 // n, shuffles.shape), axis=1)
    return np.concatenate([third != part for part in range(3)]).astype(np.float64)
