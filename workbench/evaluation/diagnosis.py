"""High bias and high variance, read from training and validation loss, with the advice that follows.

After the articles on neural networks from scratch and on classification (and Ng, "Machine learning
yearning", 2018, chapters 20 to 27): compare the training loss with what could be hoped for, then the
validation loss with the training loss. All losses are measured in units of the trivial predictor's, the
class frequencies or the mean, so one rule serves every loss and every data set:

    bias      train / trivial        of the trivial loss this much is left on the rows that were trained on
    variance  (validation - train) / trivial

Dropout and label smoothing make the recorded training loss larger than the model's own, so they hide variance
and suggest bias; compare with the loss in evaluation mode where that matters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from workbench.core.records import SeedRecord

#: Of the trivial predictor's loss, more than this is left on the training rows, with no hope stated.
HIGH_BIAS = 0.5
#: Validation loss lies above training loss by more than this share of the trivial predictor's loss.
HIGH_VARIANCE = 0.1
#: A gap must also exceed so many standard errors over the seeds.
_CERTAIN = 2.0


class Finding(NamedTuple):
    """What was found and what to do about it."""

    sentence: str
    advice: str


class Diagnosis(NamedTuple):
    """What the losses of the chosen configuration say; `findings` has at least one entry."""

    high_bias: bool
    high_variance: bool
    train: float  # training loss at the best epoch, mean over seeds
    validation: float
    findings: tuple[Finding, ...]


def diagnose(seeds: Sequence[SeedRecord], trivial: float, *, hoped: float | None = None) -> Diagnosis:
    """Tell high bias, high variance, both or neither.

    seeds    the chosen configuration over seeds; read at each one's best epoch
    trivial  loss of always predicting the class frequencies or the mean, on validation rows, of the same kind
    hoped    a loss that is known to be possible (a person's, another model's): high bias is then a training
    loss
             nearer to the trivial than to the hoped one; None: HIGH_BIAS

    Raises ValueError for no seeds, a trivial loss that is not above zero, and a hope that is no better.
    """
    if not seeds:
        raise ValueError("a diagnosis needs the curves of at least one seed")
    if not (math.isfinite(trivial) and trivial > 0):
        raise ValueError(f"trivial = {trivial}: expected the loss of a trivial predictor, above zero")
    if hoped is not None and not hoped < trivial:
        raise ValueError(f"hoped = {hoped}: expected a loss below the trivial predictor's {trivial}")
    losses = np.array([_at_best(seed) for seed in seeds], float)  # [S, 2]
    train, validation = (float(loss) for loss in losses.mean(axis=0))
    if not np.isfinite(losses).all():
        text = "The loss of the chosen configuration is not finite."
        advice = "Lower the learning rate, clip the gradients or scale the features."
        return Diagnosis(True, False, train, validation, (Finding(text, advice),))
    gaps = losses[:, 1] - losses[:, 0]
    noise = float(gaps.std(ddof=1) / math.sqrt(len(gaps))) if len(gaps) > 1 else 0.0
    high_bias = train > (HIGH_BIAS * trivial if hoped is None else (trivial + hoped) / 2)
    high_variance = float(gaps.mean()) > max(HIGH_VARIANCE * trivial, _CERTAIN * noise)
    findings: list[Finding] = []
    if high_bias:
        findings += [_bias(train, trivial, hoped), *_still_improving(seeds)]
    if high_variance:
        findings += [_variance(train, validation, trivial)]
    if not findings:
        findings += [_neither(train, validation)]
    return Diagnosis(high_bias, high_variance, train, validation, tuple(findings))


def _at_best(seed: SeedRecord) -> tuple[float, float]:
    curves = seed.curves
    epoch = (seed.best_epoch or len(curves.train_loss)) - 1
    return float(curves.train_loss[epoch]), float(curves.validation_loss[epoch])


def _bias(train: float, trivial: float, hoped: float | None) -> Finding:
    against = "" if hoped is None else f", and {hoped:.3g} is known to be possible"
    share = f"{train / trivial:.0%} of the trivial predictor's {trivial:.3g}"
    return Finding(
        f"High bias: the training loss {train:.3g} is still {share}{against}.",
        "Take a bigger model (more layers or units), add features, regularize less (smaller l2, less "
        "dropout) or train longer. More rows will not help.",
    )


def _variance(train: float, validation: float, trivial: float) -> Finding:
    share = f"{(validation - train) / trivial:.0%} of the trivial predictor's"
    return Finding(
        f"High variance: validation loss {validation:.3g} is above training loss {train:.3g} by {share}.",
        "Get more rows, regularize more (larger l2, more dropout), use fewer features or a smaller model, or "
        "stop early.",
    )


# The best epoch is the last one in most seeds: the curve had not turned when training ended.
def _still_improving(seeds: Sequence[SeedRecord]) -> list[Finding]:
    last = sum(seed.best_epoch >= len(seed.curves.validation_loss) for seed in seeds)
    if 2 * last <= len(seeds):
        return []
    text = f"In {last} of {len(seeds)} seeds the best epoch is the last one."
    return [Finding(text, "Raise [training] epochs before changing the model.")]


def _neither(train: float, validation: float) -> Finding:
    return Finding(
        f"Neither high bias nor high variance: training loss {train:.3g}, validation {validation:.3g}.",
        "What is left may be noise of the data; workbench show STUDY --sizes 5 tells if rows help.",
    )
