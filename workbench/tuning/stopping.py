"""When a search may end before its budget: as soon as what it can still gain is within noise.

The last doubling of the trials says what the next one may bring at most, since the best of n scores grows
ever more slowly with n. Its gain is taken as the larger of two: what the second half of the trials really
brought, and what it brings on average over all orders of the same trials. The search ends when that is no
more than the standard error of the difference of two good trials' scores: from then on, what the search
prefers is decided by which rows happen to validate (Makarova et al. 2022, "Automatic termination for
hyperparameter optimization", whose rule compares a bound on the regret with the same kind of error).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import numpy as np

from workbench.core.records import TrialRecord, ranked
from workbench.core.types import Array
from workbench.evaluation.optimism import fold_difference

#: No search ends before so many trials have ended, and some of them complete.
LEAST_TRIALS, LEAST_COMPLETE = 40, 6
#: Complete trials that are held against the best for the noise: what a search chooses among in the end.
NEXT_BEST = 10


class Progress(NamedTuple):
    """In units of the metric, positive in either direction."""

    gain: float  # of the second half of the trials
    noise: float  # standard error of the difference of two good trials


def progress(
    trials: Iterable[TrialRecord],
    blocks: Mapping[int, Array],
    direction: Literal["maximize", "minimize"],
    *,
    paired: bool,
    folds: int = 0,
) -> Progress | None:
    """What the second half of the trials that have ended has brought; None while there are too few.

    blocks  [G] of each complete trial: see `population.pseudo_values`
    paired  whether all trials were validated on the same rows
    folds   how many folds these rows are of; their models share training rows
    """
    ended = sorted(trials, key=lambda trial: trial.number)
    complete = [trial for trial in ranked(ended, direction) if trial.number in blocks]
    if len(ended) < LEAST_TRIALS or len(complete) < LEAST_COMPLETE:
        return None
    sign = 1.0 if direction == "maximize" else -1.0
    scores = sign * np.array([trial.value for trial in complete], np.float64)
    middle = ended[len(ended) // 2 - 1].number
    earlier = [score for trial, score in zip(complete, scores, strict=True) if trial.number <= middle]
    observed = scores[0] - earlier[0] if earlier else math.inf
    # The i-th best of all is the best of a random half with probability 2^-(i + 1).
    chance = 0.5 ** np.arange(1, len(scores) + 1)
    expected = scores[0] - float((chance * scores).sum() + chance[-1] * scores[-1])
    best, others = blocks[complete[0].number], [blocks[one.number] for one in complete[1 : NEXT_BEST + 1]]
    noise = float(np.median([_error(best, other, paired=paired, folds=folds) for other in others]))
    return Progress(float(max(observed, expected)), noise)


def enough(found: Progress | None) -> str | None:
    """Why the search may end, as a sentence; None: it goes on."""
    if found is None or not found.gain <= found.noise:
        return None
    return (
        f"the second half of the trials brought {found.gain:.2g} or less, no more than the noise of "
        f"{found.noise:.2g} in the difference of two good trials"
    )


def _error(one: Array, other: Array, *, paired: bool, folds: int) -> float:
    """Standard error of the difference of two scores over validation rows."""
    if folds and len(one) == len(other):
        return fold_difference(one - other, folds)
    if paired and len(one) == len(other):
        return float(np.std(one - other, ddof=1) / math.sqrt(len(one)))
    return math.sqrt(sum(np.var(each, ddof=1) / len(each) for each in (one, other)))
