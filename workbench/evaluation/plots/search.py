"""The search: its history, the axes that mattered, and the score along each of them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.core.records import Outcome
from workbench.core.types import Array, Range
from workbench.evaluation.facts import (
    axis_positions,
    axis_words,
    best_so_far,
    best_trial,
    metric_words,
    score_direction,
    tally,
    trial_score,
)
from workbench.evaluation.plots.style import (
    BLUE,
    FAINT,
    INK,
    MUTED,
    VERMILION,
    WIDE,
    Label,
    canvas,
    clip,
    drawn,
    extent,
    label_ends,
    log_ticks,
    number,
    panel,
    plain_ticks,
    shorten,
)

_HOW = (
    "hollow: pruned, red: chosen",
    "one dot a trial, hollow: pruned, red: chosen; far scores stand at the edge",
)
_GOLDEN = 0.6180339887  # multiples of it, modulo one, spread evenly


@drawn
def search_history(outcome: Outcome) -> Figure:
    """Validation score against trial number, the best so far, the default, and the test score once opened.

    Scores in the long bad tail stand as triangles at the edge; diverged trials without a score as ticks
    on the ground.
    """
    figure = canvas("The search, trial by trial", tally(outcome.trials))
    axes = panel(figure, 0.55, 0.45, 0.95, 0.78)
    numbers = np.array([trial.number for trial in outcome.trials])
    scores = np.array([trial_score(trial) for trial in outcome.trials])
    complete = np.array([trial.state == "complete" for trial in outcome.trials], dtype=bool)
    default = _default_score(outcome)
    test = None if outcome.test is not None and outcome.test.verdict else outcome.test
    limits = extent(
        scores, outcome.direction, [default, *((test.value, test.low, test.high) if test else ())]
    )
    axes.set_ylim(*limits)
    right = max(int(numbers.max(initial=1)), 1)
    axes.set_xlim(-0.02 * right - 0.5, right * (1.1 if test else 1.02) + 0.5)
    shown, outside = clip(scores, limits)
    for label, these, fill, edge in (
        ("pruned", ~complete, "white", MUTED),
        ("complete", complete, BLUE, "white"),
    ):
        dots = these & ~outside & ~np.isnan(scores)
        axes.plot(numbers[dots], shown[dots], "o", ms=3.6, mew=0.6, label=label, zorder=3, mfc=fill, mec=edge)
    beyond = outside & np.isfinite(shown)
    marker = "v" if outcome.direction == "maximize" else "^"
    axes.plot(
        numbers[beyond],
        shown[beyond],
        marker,
        ms=4,
        mfc=FAINT,
        mec=MUTED,
        mew=0.5,
        clip_on=False,
        label="beyond",
    )
    diverged = np.array([trial.number for trial in outcome.trials if np.isnan(trial_score(trial))])
    axes.plot(diverged, np.full(len(diverged), limits[0]), "|", ms=7, color=VERMILION, label="no score")
    labels = []
    x, best = best_so_far(outcome)
    if best.size:
        ends = np.append(x, right), np.append(best, best[-1])
        axes.step(*ends, where="post", color=BLUE, lw=1.4, label="best so far", zorder=4)
        labels.append(Label(best[-1], f"best {number(best[-1])}", BLUE))
    if np.isfinite(default):
        axes.axhline(default, color=MUTED, lw=0.9, ls=(0, (4, 3)), zorder=1, label="default")
        labels.append(Label(default, f"default {number(default)}", MUTED))
    if test is not None:
        known = math.isfinite(test.low) and math.isfinite(test.high)
        bars = [[test.value - test.low], [test.high - test.value]] if known else None
        axes.errorbar(
            [right * 1.06 + 0.3],
            [test.value],
            bars,
            fmt="D",
            ms=4,
            color=VERMILION,
            capsize=3,
            lw=1.3,
            label="test",
        )
        labels.append(Label(test.value, f"test {number(test.value)}", VERMILION))
    plain_ticks(axes, "y")
    plain_ticks(axes, "x", integer=True)
    axes.set_xlabel(_key(outcome, beyond, diverged))
    axes.set_title(f"validation {metric_words(outcome)}, {score_direction(outcome)}", loc="left", color=MUTED)
    label_ends(axes, labels)
    return figure


@drawn
def importance_bars(outcome: Outcome, importances: Mapping[str, float]) -> Figure:
    """How much each axis sets the best trials apart, largest first, as shares."""
    ranked = sorted(importances.items(), key=lambda item: item[1])
    figure = canvas(
        "Which settings mattered",
        f"share of what sets the best tenth of {len(outcome.trials)} trials apart, by validation "
        f"{metric_words(outcome)}",
        height=0.85 + 0.26 * max(len(ranked), 2),
    )
    axes = panel(figure, 1.65, 0.12, 0.55, 0.62)
    shares = [share for _, share in ranked]
    axes.barh(
        range(len(ranked)),
        shares,
        height=0.62,
        color=[BLUE if s == max(shares) else "#7fb8d8" for s in shares],
    )
    for i, share in enumerate(shares):
        axes.text(share + 0.01 * max([*shares, 1e-9]), i, f"{share:.0%}", va="center", color=INK)
    axes.set_yticks(range(len(ranked)), [shorten(axis_words(name), 24) for name, _ in ranked])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_xlim(0, max([*shares, 1e-9]) * 1.02)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    return figure


@drawn
def slices(outcome: Outcome) -> Figure:
    """Validation score against each axis alone: one small panel an axis, the same height for all."""
    names = list(outcome.axes)
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    width = WIDE if columns > 2 else 4.8
    height = 0.68 + 1.72 * rows
    figure = canvas(
        "Score against each setting",
        f"validation {metric_words(outcome)}, {score_direction(outcome)}; {_HOW[columns > 2]}",
        width,
        height,
    )
    scores = np.array([trial_score(trial) for trial in outcome.trials])
    limits = extent(scores, outcome.direction)
    cell = (width - 0.55 - 0.1) / columns
    for i, name in enumerate(names):
        row, column = divmod(i, columns)
        left, top = 0.55 + column * cell, 0.72 + row * 1.72
        axes = panel(figure, left, height - top - 1.25, width - left - cell + 0.18, top)
        _slice(axes, name, outcome, clip(scores, limits)[0])
        axes.set_ylim(*limits)
        plain_ticks(axes, "y")
        if column:
            axes.tick_params(axis="y", labelleft=False)
    return figure


def _default_score(outcome: Outcome) -> float:
    if outcome.selection is not None:
        return float(outcome.selection.default)
    return next((trial_score(trial) for trial in outcome.trials if trial.number == 0), np.nan)


def _key(outcome: Outcome, beyond: Array, diverged: Array) -> str:
    """What the marks mean, in the place where the reader looks for the unit."""
    marks = ["trial   ● complete"]
    if any(trial.state == "pruned" for trial in outcome.trials):
        marks.append("○ pruned")
    if beyond.any():
        marks.append(f"{'▽' if outcome.direction == 'maximize' else '△'} off the scale")
    if diverged.size:
        marks.append("| no score")
    return "  ".join(marks)


def _slice(axes: Axes, name: str, outcome: Outcome, scores: Array) -> None:
    axis = outcome.axes[name]
    values = [trial.params.get(name) for trial in outcome.trials]
    axes.set_title(shorten(axis_words(name), 24), loc="left", color=INK)
    if isinstance(axis, Range):
        x = np.array([np.nan if value is None else float(value) for value in values])
        if axis.log:
            axes.set_xscale("log")
            axes.set_xlim(
                axis.low / (axis.high / axis.low) ** 0.05, axis.high * (axis.high / axis.low) ** 0.05
            )
            log_ticks(axes, "x")
        else:
            margin = 0.05 * (axis.high - axis.low) or 0.5
            axes.set_xlim(axis.low - margin, axis.high + margin)
            plain_ticks(axes, "x", integer=axis.integer)
    else:
        count = len(axis.choices)
        spread = np.array([(trial.number * _GOLDEN) % 1.0 - 0.5 for trial in outcome.trials])
        x = axis_positions(axis, values) * max(count - 1, 1) + 0.5 * spread
        axes.set_xlim(-0.5, max(count - 1, 1) + 0.5)
        words = [shorten(number(choice), max(4, 27 // count)) for choice in axis.choices]
        axes.set_xticks(range(count) if count > 1 else [0.5], words, size=7 if count < 3 else 6.5)
        axes.tick_params(axis="x", length=0, rotation=0 if count < 5 else 35)
    complete = np.array([trial.state == "complete" for trial in outcome.trials], dtype=bool)
    axes.plot(x[~complete], scores[~complete], "o", ms=2.6, mfc="none", mec=MUTED, mew=0.5, alpha=0.55)
    axes.plot(x[complete], scores[complete], "o", ms=3, color=BLUE, alpha=0.65, mew=0)
    winner = best_trial(outcome)
    chosen = np.array([trial is winner for trial in outcome.trials], dtype=bool)
    axes.plot(x[chosen], scores[chosen], "o", ms=5, color=VERMILION, mec="white", mew=0.8)
