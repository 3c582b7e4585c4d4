"""What the delivered model gets right and wrong: confusion matrix, residuals, calibration.

Calibration follows the reliability diagram of DeGroot and Fienberg (1983); the expected calibration error is
that of Naeini, Cooper and Hauskrecht (2015), equal-width bins. Bars are Wilson's 95 % intervals (1927).
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from workbench.core.records import Outcome
from workbench.core.types import Array
from workbench.evaluation.facts import threshold
from workbench.evaluation.intervals import proportion_interval
from workbench.evaluation.plots.style import (
    BLUE,
    FAINT,
    INK,
    MUTED,
    SHADES,
    VERMILION,
    WIDE,
    canvas,
    drawn,
    number,
    panel,
    plain_ticks,
    shorten,
)
from workbench.evaluation.predictor import decisions, label_probabilities, probabilities

_MOST_CLASSES = 24  # beyond, counts would not be readable and only shades are drawn
_MOST_DOTS = 4000
_MOST_OUTPUTS = 4
_BINS = 10


@drawn
def confusion_matrix(outcome: Outcome) -> Figure:
    """Counts of true class (rows) against predicted class (columns), shaded by share of the true class."""
    counts = confusion_counts(outcome)
    n = len(counts)
    right = int(np.trace(counts))
    side = 4.8 if n <= 12 else WIDE
    height = side + 0.25 if n > 4 else 2.4 + 0.45 * n
    figure = canvas(
        "What is taken for what",
        f"{right:,} of {counts.sum():,} {_rows(outcome)} right; shade: share of the true class",
        side,
        height,
    )
    longest = max(len(shorten(name, 14)) for name in outcome.classes)
    left = 0.35 + 0.068 * longest
    upright = longest * 0.075 > (side - left - 0.15) / n  # names that would touch stand up
    below = 0.45 + (0.068 * longest if upright else 0.05)
    axes = panel(figure, left, below, 0.15, 0.65)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    axes.imshow(shares, cmap=SHADES, vmin=0, vmax=1, aspect="auto")
    if n <= _MOST_CLASSES:
        size = float(np.clip(90 / n, 6.5, 11))
        for i, j in zip(*np.nonzero(counts), strict=True):
            color = "white" if shares[i, j] > 0.55 else (VERMILION if i != j else INK)
            weight = "bold" if i == j else "normal"
            axes.text(
                j, i, f"{counts[i, j]:,}", ha="center", va="center", size=size, color=color, weight=weight
            )
    every = range(0, n, -(-n // _MOST_CLASSES))
    names = [shorten(outcome.classes[i], 14) for i in every]
    axes.set_yticks(every, names)
    axes.set_xticks(every, names, rotation=90 if upright else 0)
    axes.tick_params(length=0, labelcolor=INK)
    axes.set_xticks(np.arange(n - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(n - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", lw=1)
    axes.tick_params(which="minor", length=0)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.spines[:].set_visible(False)
    return figure


@drawn
def residuals(outcome: Outcome) -> Figure:
    """Predicted against actual values and the histogram of prediction minus actual, in the data's units.

    One row of two panels for each output, four outputs at most.
    """
    predicted = np.asarray(outcome.outputs, dtype=float).reshape(len(outcome.outputs), -1)
    actual = np.asarray(outcome.targets, dtype=float).reshape(len(predicted), -1)
    outputs = min(actual.shape[1], _MOST_OUTPUTS)
    more = f"; first {outputs} of {actual.shape[1]} targets" if outputs < actual.shape[1] else ""
    names = outcome.names if actual.shape[1] > 1 else ()
    unit = "its target" if names else str(outcome.data.get("target", "target"))
    height = 0.65 + 2.75 * outputs
    figure = canvas(
        "Predictions and their errors",
        f"{len(actual):,} {_rows(outcome)}; unit: that of {unit}{more}",
        WIDE,
        height,
    )
    for k in range(outputs):
        top = 0.8 + 2.75 * k
        bottom = height - top - 2.1
        _scatter(figure, bottom, top, actual[:, k], predicted[:, k], names[k] if names else "")
        _histogram(figure, bottom, top, predicted[:, k] - actual[:, k])
    return figure


@drawn
def calibration(outcome: Outcome) -> Figure:
    """Reliability diagram: how often the model is right when it says how sure it is, with counts below."""
    sure, hit, words = _confidence(outcome)
    stated, found, counts, error = reliability(sure, hit)
    what = "labels" if outcome.task == "multilabel" else "rows"
    of = f"{_rows(outcome)} with 95 % intervals" if what == "rows" else "labels, as if independent"
    figure = canvas(
        "Does it know how sure it is?",
        f"{len(sure):,} {of}; expected calibration error {error:.3f}",
        height=3.9,
    )
    axes = panel(figure, 0.55, 1.25, 0.25, 0.8)
    axes.plot([0, 1], [0, 1], color=FAINT, lw=1)
    axes.text(0.98, 0.05, "grey: as often right as sure", ha="right", color=MUTED, transform=axes.transAxes)
    ends = [proportion_interval(round(share * n), n) for share, n in zip(found, counts.tolist(), strict=True)]
    low, high = np.array(ends).reshape(-1, 2).T
    axes.errorbar(
        stated,
        found,
        np.maximum([found - low, high - found], 0.0),  # an end that is a share itself may miss it by rounding
        fmt="o-",
        ms=4.5,
        lw=1.2,
        elinewidth=0.9,
        capsize=2,
        color=BLUE,
    )
    axes.set_ylim(-0.02, 1.04)
    axes.set_title(f"share of {what} where {words[1]}", loc="left", color=MUTED)
    axes.tick_params(labelbottom=False)
    below = panel(figure, 0.55, 0.45, 0.25, 2.75)
    edges = np.linspace(0, 1, _BINS + 1)
    bins = np.histogram(sure, edges)[0]
    below.bar(edges[:-1] + 0.5 / _BINS, bins, width=0.92 / _BINS, color="#7fb8d8")
    for x, count in zip(edges[:-1] + 0.5 / _BINS, bins, strict=True):
        if count:
            below.text(x, count, f"{count:,}", ha="center", va="bottom", size=6.5, color=MUTED)
    below.set_ylim(0, max(bins.max(initial=1), 1) * 1.25)
    below.yaxis.set_major_locator(FixedLocator([]))
    below.spines["left"].set_visible(False)
    below.set_xlabel(f"{words[0]}   (bars: number of {what})")
    low_x = (
        -0.02
        if len(outcome.classes) in (0, 2)
        else max(-0.02, np.floor(10 * sure.min(initial=1)) / 10 - 0.02)
    )
    for each in (axes, below):
        each.set_xlim(low_x, 1.02)
    return figure


def confusion_counts(outcome: Outcome) -> Array:
    """Counts [K, K]: row true class, column predicted class. A tie goes to the first class."""
    predicted = decisions(outcome.outputs, threshold(outcome))
    counts = np.zeros((len(outcome.classes),) * 2, dtype=int)
    np.add.at(counts, (np.asarray(outcome.targets).reshape(-1).astype(int), predicted), 1)
    return counts


def reliability(sure: Array, hit: Array) -> tuple[Array, Array, Array, float]:
    """Mean stated probability, share of hits and count of every bin that holds rows; the calibration error.

    sure  [N] probabilities; hit [N] booleans. Error: sum over bins of count/N * |share - stated|.
    """
    bins = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    counts = np.bincount(bins, minlength=_BINS)
    held = counts > 0
    stated = np.bincount(bins, sure, _BINS)[held] / counts[held]
    found = np.bincount(bins, hit, _BINS)[held] / counts[held]
    return stated, found, counts[held], float((counts[held] / len(sure) * np.abs(found - stated)).sum())


def _confidence(outcome: Outcome) -> tuple[Array, Array, tuple[str, str]]:
    """What the model claims [N], whether it held [N], and both in words."""
    if outcome.task == "multilabel":
        chances, hit = label_probabilities(outcome.outputs), np.asarray(outcome.targets) == 1
        return chances.ravel(), hit.ravel(), ("stated probability of a label", "the label is there")
    chances = probabilities(outcome.outputs)
    targets = np.asarray(outcome.targets).reshape(-1).astype(int)
    if chances.shape[1] == 2:
        name = shorten(outcome.classes[1], 16)
        return chances[:, 1], targets == 1, (f"stated probability of {name}", f"it is {name}")
    return (
        chances.max(axis=1),
        chances.argmax(axis=1) == targets,
        ("stated probability of the predicted class", "the prediction is right"),
    )


def _scatter(
    figure: Figure, bottom: float, top: float, actual: Array, predicted: Array, name: str = ""
) -> None:
    axes = panel(figure, 0.75, bottom, 3.85, top)
    low, high = min(actual.min(), predicted.min()), max(actual.max(), predicted.max())
    margin = 0.04 * (high - low) or 0.5
    axes.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin))
    axes.plot([low, high], [low, high], color=VERMILION, lw=1, zorder=3)
    if len(actual) > _MOST_DOTS:
        axes.hexbin(actual, predicted, gridsize=45, bins="log", cmap=SHADES, mincnt=1, linewidths=0.1)
    else:
        axes.plot(actual, predicted, "o", ms=3, color=BLUE, alpha=0.45, mew=0)
    axes.set_title(f"{shorten(name, 24)}, predicted" if name else "predicted", loc="left", color=MUTED)
    axes.set_xlabel("actual   (red: equal)")
    plain_ticks(axes, "x")
    plain_ticks(axes, "y")


def _histogram(figure: Figure, bottom: float, top: float, errors: Array) -> None:
    axes = panel(figure, 4.2, bottom, 0.25, top)
    axes.hist(
        errors, bins=min(40, max(8, int(np.sqrt(len(errors))))), color="#7fb8d8", edgecolor="white", lw=0.3
    )
    axes.axvline(0, color=VERMILION, lw=1)
    axes.set_title(
        f"rows   (mean error {number(float(errors.mean()))}, sd {number(float(errors.std()))})",
        loc="left",
        color=MUTED,
    )
    axes.set_xlabel("predicted − actual")
    plain_ticks(axes, "x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _rows(outcome: Outcome) -> str:
    return f"{outcome.outputs_on} rows"
