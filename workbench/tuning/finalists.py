"""Which of a few finalists is kept, and what the score that it was kept for is worth.

The best of many single scores is partly luck, of its seed and of the validation rows, and in about one search
in ten it is worse on new rows than the default configuration (Schneider, Bischl and Feurer 2025,
"Overtuning in hyperparameter optimization", arXiv:2506.19540). So the best few trials and the default are
trained again from seeds that had no part in the search, and their means over those trainings decide:

    best          the highest mean; among equal ones the lowest loss
    beyond-noise  the simplest finalist whose mean is within one standard error of the highest: the default
                  where it is among them, else the one of fewest parameters
    keep-default  the default where its mean is within one standard error of the highest, else the highest

The error is that of the difference to the highest mean: of the same rows, whose blocks both were judged on,
and of the same seeds. It is the rule of one standard error (Breiman et al. 1984, *Classification and
Regression Trees*, 3.4.3), paired.

Fresh seeds take the luck of the seeds out of the scores that made a trial a finalist, but validation rows
stay the same. What is left is measured in two parts, by choosing again without a third of the rows:

    optimism = carried * luck of the shortlist + luck of choosing among the finalists

The first part looks at the search's own scores of rows; `carried` is the share of what is peculiar to a trial
on a row that comes back when it is trained from other seeds (the regression of fresh scores of rows on those
of the search, within rows and trials). The second applies the rule itself without a third of the rows *and*
without one of the trainings, and looks at that third and that training. In simulated searches their sum is
0.8 to 1.5 times the truth, and more only where that is small because trials differ much.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy import special

from workbench.core.types import Array
from workbench.evaluation.intervals import fold_error, student
from workbench.evaluation.optimism import Gain, Optimism, gain_of, thirds

Rule = Literal["beyond-noise", "best", "keep-default"]

#: How often the choice among finalists is made again.
_SPLITS = 90


class Field(NamedTuple):
    """K finalists after L trainings each; greater scores are better.

    Of training l of all finalists, `divisions`[l] are the rows and `blocks`[l] what their blocks say.
    """

    scores: Array  # [K, L]
    losses: Array  # [K], the mean over trainings
    parameters: Array  # [K]
    default: int | None  # which of them is the default configuration
    blocks: tuple[Array, ...]  # [K, G] each: see `population.pseudo_values`
    divisions: tuple[int, ...]  # [L]
    folds: int = 0  # of how many folds the divisions are, which train on the same rows for the most part


def field(
    scores: Array,
    losses: Array,
    parameters: Array,
    blocks: Sequence[Array],
    divisions: Sequence[int],
    *,
    default: int | None,
    maximize: bool,
    folds: int = 0,
) -> Field:
    """Finalists with scores and blocks in units of the metric. Blocks that some score lacks are left out."""
    sign, pairs = (1.0 if maximize else -1.0), list(zip(blocks, divisions, strict=True))
    whole = {
        one: np.all([np.isfinite(part).all(axis=0) for part, at in pairs if at == one], axis=0)
        for one in set(divisions)
    }
    known = tuple(sign * part[:, whole[at]].astype(np.float64) for part, at in pairs)
    return Field(sign * scores, losses, parameters, default, known, tuple(divisions), folds)


def choice(finalists: Field, rule: Rule) -> int:
    """Which finalist is kept."""
    means = finalists.scores.mean(axis=1)
    best = int(np.lexsort((finalists.losses, -means))[0])
    if rule == "best":
        return best
    default = finalists.default
    near = [k for k in range(len(means)) if means[best] - means[k] <= _error(finalists, best, k)]
    if default in near:
        assert default is not None
        return default
    if rule == "keep-default":
        return best
    # One that is worse than the default is no simpler answer, however uncertain its own score.
    near = [k for k in near if default is None or means[k] >= means[default]]
    return min(near, key=lambda k: (finalists.parameters[k], -means[k], finalists.losses[k], k))


def luck(
    finalists: Field, rule: Rule, winner: int, shortlist: Optimism, carried: float, *, seed: int = 0
) -> Optimism:
    """The optimism of the winner's mean: see the head of this file.

    shortlist  of the search's scores: `shortlist_luck`
    carried    the share of it that fresh seeds leave: `carried`
    """
    among = _among(finalists, rule, winner, seed)
    return Optimism(
        carried * shortlist.estimate + among.estimate,
        math.hypot(carried * shortlist.error, among.error),
        shortlist.trials,
    )


def shortlist_luck(searched: Array, count: int, *, maximize: bool, seed: int = 0) -> Optimism:
    """How much the best `count` of T trials owe to the rows, on average: [T, N] as in `optimism`.

    Nothing where all of them are taken, or none.
    """
    gains = searched * (1.0 if maximize else -1.0)
    gains = gains[:, np.isfinite(gains).all(axis=0)]
    n = gains.shape[1]
    if not 0 < count < len(gains) or n < 3:
        return Optimism(0.0, 0.0, len(gains))
    chosen_on = thirds(n, _SPLITS, seed)  # [R, N]
    left_out = 1 - chosen_on
    taken = np.argsort(-gains.mean(axis=1), kind="stable")[:count]
    again = np.argsort(-(chosen_on @ gains.T), axis=1, kind="stable")[:, :count]  # [R, count]
    ahead = gains[taken].mean(axis=0) - gains[again].mean(axis=1)  # [R, N]
    rows = (left_out * ahead).sum(axis=0) / left_out.sum(axis=0).clip(1)
    return Optimism(float(rows.mean()), float(rows.std(ddof=1) / math.sqrt(n)), len(gains))


def carried(searched: Array, fresh: Array) -> float:
    """The share of what is peculiar to a trial on a row that other seeds show as well, 0 to 1.

    searched, fresh  [K, N] of the same trials and rows: one training, and the mean over others
    """
    both = np.isfinite(searched).all(axis=0) & np.isfinite(fresh).all(axis=0)
    once, again = (_peculiar(part[:, both]) for part in (searched, fresh))
    total = float((once**2).sum())
    return float(np.clip((once * again).sum() / total, 0.0, 1.0)) if total > 0 else 1.0


def gain(finalists: Field, winner: int, optimism: Optimism) -> Gain | None:
    """How much better than the default the winner is, less the optimism; None where no default is."""
    default = finalists.default
    if default is None:
        return None
    if winner == default:
        return Gain(0.0, 0.0, 0.0, beats=False)
    difference = float((finalists.scores[winner] - finalists.scores[default]).mean())
    error = math.hypot(_error(finalists, winner, default), optimism.error)
    quantile = student(finalists.folds - 1, 0.95) if finalists.folds else float(special.ndtri(0.975))
    return gain_of(difference - optimism.estimate, error, quantile)


def _error(finalists: Field, one: int, other: int) -> float:
    """Standard error of the difference of two means: of rows, and of trainings on the same rows.

    Of folds, whose models share training rows, it is that of their means with the correction for it; of one
    fold alone, which is what leaving out one of two leaves, that of its rows.
    """
    apart = finalists.scores[one] - finalists.scores[other]
    if finalists.folds and len(set(finalists.divisions)) > 1:
        at = np.array(finalists.divisions)
        means = np.array([apart[at == fold].mean() for fold in sorted(set(finalists.divisions))])
        return fold_error(means, 1 / (finalists.folds - 1))
    variance = float(apart.var(ddof=1)) / apart.size if apart.size > 1 else 0.0
    kinds = sorted(set(finalists.divisions))
    for kind in kinds:
        parts = [b for b, d in zip(finalists.blocks, finalists.divisions, strict=True) if d == kind]
        rows = np.mean([part[one] - part[other] for part in parts], axis=0)
        variance += float(rows.var(ddof=1)) / rows.size / len(kinds) ** 2 if rows.size > 1 else 0.0
    return math.sqrt(variance)


def _among(finalists: Field, rule: Rule, winner: int, seed: int) -> Optimism:
    """What the winner owes to the rows and the trainings by which it was kept among the finalists."""
    count = len(finalists.blocks)
    sizes = [part.shape[1] for part in finalists.blocks]
    if len(finalists.scores) < 2 or min(sizes, default=0) < 3:
        return Optimism(0.0, 0.0, len(finalists.scores))
    chosen_on = {size: thirds(size, _SPLITS, seed) > 0 for size in set(sizes)}
    ahead, seen = [np.zeros(size) for size in sizes], [np.zeros(size) for size in sizes]
    for split in range(_SPLITS):
        out = split % count
        kept = [k for k in range(count) if k != out or count == 1]
        parts = tuple(finalists.blocks[k][:, chosen_on[sizes[k]][split]] for k in kept)
        scores = np.stack([part.mean(axis=1) for part in parts], axis=1)
        again = choice(
            finalists._replace(
                scores=scores, blocks=parts, divisions=tuple(finalists.divisions[k] for k in kept)
            ),
            rule,
        )
        rows = ~chosen_on[sizes[out]][split]
        same = [
            part[winner, rows]
            for part, d in zip(finalists.blocks, finalists.divisions, strict=True)
            if d == finalists.divisions[out]
        ]
        ahead[out][rows] += np.mean(same, axis=0) - finalists.blocks[out][again, rows]
        seen[out][rows] += 1
    each = np.concatenate([a / s.clip(1) for a, s in zip(ahead, seen, strict=True)])
    return Optimism(
        float(each.mean()), float(each.std(ddof=1) / math.sqrt(max(sizes))), len(finalists.scores)
    )


def _peculiar(scores: Array) -> Array:
    """[K, N] less what belongs to the row and what belongs to the trial."""
    apart = scores - scores.mean(axis=0)
    return np.asarray(apart - apart.mean(axis=1, keepdims=True))
