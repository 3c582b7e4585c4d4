"""What the fit may lack, read from curves, rivals, seeds and sizes, with the advice that may follow.

After the articles on neural networks from scratch and on classification (and Ng, "Machine learning
yearning", 2018, chapters 20 to 27): compare the training loss with what could be hoped for, then the
validation loss with the training loss. All losses are measured in units of the trivial predictor's, the
class frequencies or the mean, so one rule serves every loss and every data set:

    bias         train / trivial       of the trivial loss this much is left on the rows that were trained on
    variance     (validation - train) / trivial
    overfitting  (last validation - best validation) / trivial, while the training loss goes on falling

The weights that are kept are those of the best epoch. Of a net that overfits early its training loss there
is high, which is no bias: it could fit the rows, and does so a few epochs later. Two losses do not tell noise
from what was missed; rivals on the same rows, the seeds and growing parts of the rows tell more. None of it
is proof, so it says "may".

Dropout and label smoothing make the recorded training loss larger than the model's own, so they hide variance
and suggest bias; compare with the loss in evaluation mode where that matters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from workbench.core.records import SeedRecord
from workbench.core.types import Array

#: Of the trivial predictor's loss, more than this is left on the training rows, with no hope stated.
HIGH_BIAS = 0.5
#: Validation loss lies above training loss by more than this share of the trivial predictor's loss.
HIGH_VARIANCE = 0.1
#: After its best epoch the validation loss rises by more than this share of the trivial predictor's loss.
OVERFITTING = 0.02
#: A gap must also exceed so many standard errors over the seeds.
_CERTAIN = 2.0
#: Share of a curve, at its end, whose mean is where it ended: one epoch alone is noise.
_END = 0.1


class Finding(NamedTuple):
    """What was found and what to do about it."""

    sentence: str
    advice: str


class Diagnosis(NamedTuple):
    """What is known of the chosen configuration; `findings` has at least one entry."""

    high_bias: bool
    high_variance: bool
    train: float  # training loss at the best epoch, mean over seeds
    validation: float
    findings: tuple[Finding, ...]
    overfits: bool = False  # validation loss rises after the best epoch while training loss falls


class Rival(NamedTuple):
    """Another model on the same validation rows."""

    name: str  # in words
    value: float  # its score
    gain: float  # by how much the choice scores better
    low: float  # of the 95 % interval of that; NaN where there is none
    high: float


class Growth(NamedTuple):
    """What twice the training rows did to the validation score."""

    rows: int  # after doubling
    before: tuple[float, float, float]  # value and the ends of its 95 % interval over seeds
    after: tuple[float, float, float]
    maximize: bool  # whether a higher score is better


def diagnose(
    seeds: Sequence[SeedRecord],
    trivial: float,
    *,
    hoped: float | None = None,
    rivals: Sequence[Rival] = (),
    growth: Growth | None = None,
) -> Diagnosis:
    """Tell high bias, high variance, overfitting, or nothing of the kind, and what else is known.

    Args:
        seeds: The chosen configuration over seeds; read at each one's best epoch, and after it.
        trivial: Loss of always predicting the class frequencies or the mean, on validation rows, of the same
            kind.
        hoped: A loss that is known to be possible (a person's, another model's): high bias is then a training
            loss nearer to the trivial than to the hoped one. None: HIGH_BIAS.
        rivals: Other models on the same validation rows.
        growth: What more rows did; None: not known.

    Raises:
        ValueError: For no seeds, a trivial loss that is not above zero, and a hope that is no better.
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
    turned = _overfitting(seeds, trivial)
    high = train > (HIGH_BIAS * trivial if hoped is None else (trivial + hoped) / 2)
    high_bias = high and turned is None
    high_variance = float(gaps.mean()) > max(HIGH_VARIANCE * trivial, _CERTAIN * noise)
    better = [rival for rival in rivals if rival.high < 0]
    findings = [turned] if turned else []
    if high_bias:
        findings += [_bias(train, trivial, hoped, bool(rivals) and not better), *_still_improving(seeds)]
    if high_variance:
        findings += [_variance(train, validation, trivial, turned is not None)]
    if not findings:
        findings += [_neither(train, validation, growth is None)]
    findings += [_beaten(rival) for rival in better]
    findings += [] if growth is None else [_grown(growth)]
    return Diagnosis(high_bias, high_variance, train, validation, tuple(findings), turned is not None)


def _at_best(seed: SeedRecord) -> tuple[float, float]:
    curves = seed.curves
    epoch = (seed.best_epoch or len(curves.train_loss)) - 1
    return float(curves.train_loss[epoch]), float(curves.validation_loss[epoch])


def _overfitting(seeds: Sequence[SeedRecord], trivial: float) -> Finding | None:
    """That validation loss rises after its minimum while training loss falls, in most of the seeds."""
    turns = [turn for seed in seeds if (turn := _turn(seed, trivial)) is not None]
    if 2 * len(turns) <= len(seeds):
        return None
    epoch = round(float(np.median([turn[0] for turn in turns])))
    best, last, at_best, at_last = (float(np.mean([turn[1][k] for turn in turns])) for k in range(4))
    return Finding(
        f"Overfitting from epoch {epoch} on: the validation loss rises from {best:.3g} to {last:.3g} while "
        f"the training loss still falls, from {at_best:.3g} to {at_last:.3g}.",
        "The weights of the best epoch are kept, so training longer will not help. More rows may, and so "
        "may more regularization (larger l2, more dropout), a smaller model or a smaller learning rate.",
    )


def _turn(seed: SeedRecord, trivial: float) -> tuple[int, tuple[float, float, float, float]] | None:
    """The epoch, from 1, of the least validation loss, both losses there and at the end; None: no turn."""
    train, validation = (
        np.asarray(curve, np.float64) for curve in (seed.curves.train_loss, seed.curves.validation_loss)
    )
    least = int(np.argmin(validation))
    after, best = _end(validation), float(validation[least])
    falls = _end(train) < float(train[least])
    if not (falls and after - best > OVERFITTING * trivial):
        return None
    return least + 1, (best, after, float(train[least]), _end(train))


def _end(curve: Array) -> float:
    finite = curve[np.isfinite(curve)]
    return float(finite[-max(1, round(_END * len(finite))) :].mean())


def _bias(train: float, trivial: float, hoped: float | None, alone: bool) -> Finding:
    against = "" if hoped is None else f", and {hoped:.3g} is known to be possible"
    share = f"{train / trivial:.0%} of the trivial predictor's {trivial:.3g}"
    if alone and hoped is None:
        return Finding(
            f"High bias, or noise: the training loss {train:.3g} is still {share}, but no rival does better "
            "on the validation rows.",
            "This may be as much as these features tell: other features may help more than a bigger model. "
            "To see, let the search have more layers or units and less regularization.",
        )
    return Finding(
        f"High bias: the training loss {train:.3g} is still {share}{against}.",
        "A bigger model (more layers or units), more features, less regularization (smaller l2, less "
        "dropout) or longer training may help. More rows may not.",
    )


def _variance(train: float, validation: float, trivial: float, said: bool) -> Finding:
    share = f"{(validation - train) / trivial:.0%} of the trivial predictor's"
    return Finding(
        f"High variance: validation loss {validation:.3g} is above training loss {train:.3g} by {share}.",
        "Averaging several nets ([model] ensemble = 5) may help too."
        if said
        else "More rows may help, and so may more regularization (larger l2, more dropout), fewer features, "
        "a smaller model, or the average of several nets ([model] ensemble = 5).",
    )


# The best epoch is the last one in most seeds: the curve had not turned when training ended.
def _still_improving(seeds: Sequence[SeedRecord]) -> list[Finding]:
    last = sum(seed.best_epoch >= len(seed.curves.validation_loss) for seed in seeds)
    if 2 * last <= len(seeds):
        return []
    text = f"In {last} of {len(seeds)} seeds the best epoch is the last one."
    return [Finding(text, "Raise [training] epochs before changing the model.")]


def _neither(train: float, validation: float, unknown: bool) -> Finding:
    tells = "; workbench show STUDY --sizes 5 tells if rows may help" if unknown else ""
    return Finding(
        f"Neither high bias nor high variance: training loss {train:.3g}, validation {validation:.3g}.",
        f"What is left may be noise of the data{tells}.",
    )


def _beaten(rival: Rival) -> Finding:
    ends = f"95 % interval {rival.low:.2g} to {rival.high:.2g}"
    return Finding(
        f"{rival.name[0].upper()}{rival.name[1:]} is better on the same validation rows: {rival.value:.4g}, "
        f"gain of ours {rival.gain:.2g} ({ends}).",
        "There may be more in these features than this net has learned: another scale, more trials or "
        "epochs, an ensemble may find it; or take the rival.",
    )


def _grown(growth: Growth) -> Finding:
    (was, lowest, highest), (now, low, high) = growth.before, growth.after
    text = f"With twice the rows, {growth.rows:,}, the validation score went from {was:.4g} to {now:.4g}"
    if low > highest if growth.maximize else high < lowest:
        return Finding(f"{text}, more than seeds scatter.", "More rows may well help.")
    return Finding(f"{text}, no more than seeds scatter.", "More rows may not help.")
