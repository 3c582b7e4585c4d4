"""Parallel coordinates: every trial a line across all axes to its score (Inselberg 1985)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from workbench.core.records import Outcome, TrialRecord
from workbench.core.types import Array, Axis, Choice
from workbench.evaluation.facts import (
    axis_positions,
    axis_words,
    best_trial,
    complete_trials,
    metric_words,
    trial_score,
)
from workbench.evaluation.plots.style import (
    FAINT,
    INK,
    MUTED,
    SEQUENCE,
    VERMILION,
    WIDE,
    canvas,
    drawn,
    extent,
    number,
    panel,
    shorten,
)


@drawn
def parallel_coordinates(outcome: Outcome) -> Figure:
    """Each complete trial a line through its settings to its score, the best drawn last and darkest.

    Pruned trials are grey and end before the score, since they trained for fewer epochs.
    """
    names = list(outcome.axes)
    ranked = sorted(complete_trials(outcome), key=trial_score, reverse=outcome.direction == "minimize")
    pruned = [trial for trial in outcome.trials if trial.state == "pruned"]
    scores = np.array([trial_score(trial) for trial in ranked])
    low, high = extent(scores, outcome.direction, reach=1.5)
    figure = canvas(
        "Settings of every trial",
        f"{len(ranked)} complete trials colored by validation {metric_words(outcome)}, the chosen one red"
        + (f"; {len(pruned)} pruned in grey" if pruned else ""),
        width=max(WIDE, 0.85 * (len(names) + 1)),
        height=3.5,
    )
    axes = panel(figure, 0.55, 0.32, 0.75, 1.12)
    axes.set_axis_off()
    axes.set_xlim(0, len(names))
    axes.set_ylim(0, 1)
    heights = (np.clip(scores, low, high) - low) / (high - low)
    good = heights if outcome.direction == "maximize" else 1 - heights
    lines = _coordinates(outcome, names, pruned)
    axes.add_collection(
        LineCollection(_lines(lines), colors=MUTED, linewidths=0.5, alpha=0.18, label="pruned"), autolim=False
    )
    lines = np.column_stack([_coordinates(outcome, names, ranked), good])
    colored = LineCollection(
        _lines(lines), linewidths=0.4 + 0.7 * good, cmap=SEQUENCE, label="complete", alpha=0.8
    )
    colored.set_array(good)
    colored.set_clim(0, 1)
    axes.add_collection(colored, autolim=False)
    best = best_trial(outcome)
    winner = [i for i, trial in enumerate(ranked) if trial is best]
    for line in _lines(lines[winner]):
        axes.plot(*line.T, color=VERMILION, lw=1.8, label="chosen", zorder=2.5)
    for i, name in enumerate(names):
        _upright(axes, i, name, outcome.axes[name])
    _score_bar(axes, len(names), outcome, (low, high))
    return figure


def _coordinates(outcome: Outcome, names: Sequence[str], trials: Sequence[TrialRecord]) -> Array:
    """Heights of trials on the upright axes, [trials, axes]."""
    columns = [
        axis_positions(outcome.axes[name], [trial.params.get(name) for trial in trials]) for name in names
    ]
    return np.column_stack(columns) if columns else np.zeros((len(trials), 0))


def _lines(heights: Array) -> list[Array]:
    """A line each, which goes straight past an axis that takes no part in its trial."""
    places = np.arange(heights.shape[1], dtype=float)
    return [np.column_stack([places, line])[~np.isnan(line)] for line in heights]


def _upright(axes: Axes, place: int, name: str, axis: Axis) -> None:
    halo = [withStroke(linewidth=2.2, foreground="white")]
    axes.plot([place, place], [0, 1], color=INK, lw=0.8, zorder=3, clip_on=False)
    lift = 1.12 if place % 2 == 0 else 1.25  # long names do not meet their neighbors
    axes.text(place, lift, shorten(axis_words(name), 22), ha="center", size=8, weight="bold")
    if place % 2:
        axes.plot([place, place], [1.1, 1.22], color=FAINT, lw=0.6, clip_on=False)
    if isinstance(axis, Choice):
        for choice, y in zip(axis.choices, axis_positions(axis, axis.choices), strict=True):
            axes.text(
                place + 0.03, y, shorten(number(choice), 14), size=7, va="center", path_effects=halo, zorder=5
            )
            axes.plot([place], [y], "o", ms=2.5, color=INK, zorder=4, clip_on=False)
        return
    log = " (log)" if axis.log else ""
    axes.text(place, -0.03, number(axis.low), ha="center", va="top", size=7, color=MUTED)
    axes.text(place, 1.03, number(axis.high) + log, ha="center", va="bottom", size=7, color=MUTED)


def _score_bar(axes: Axes, place: int, outcome: Outcome, limits: tuple[float, float]) -> None:
    """The last axis: the score, best on top, in the color of its height."""
    figure = axes.get_figure()
    assert figure is not None
    box = axes.get_position()
    bar = figure.add_axes((box.x1, box.y0, 0.012, box.height), zorder=4)
    bar.imshow(
        np.linspace(0, 1, 64)[:, None], aspect="auto", origin="lower", cmap=SEQUENCE, extent=(0, 1, 0, 1)
    )
    ends = limits if outcome.direction == "maximize" else limits[::-1]
    ticks = np.asarray(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]).tick_values(*limits))
    ticks = ticks[(ticks >= min(limits)) & (ticks <= max(limits))]
    bar.yaxis.tick_right()
    bar.set_yticks(
        (ticks - ends[0]) / (ends[1] - ends[0]), [number(float(f"{t:.10g}")) for t in ticks], size=7
    )
    bar.xaxis.set_visible(False)
    bar.tick_params(axis="y", length=2)
    for spine in bar.spines.values():
        spine.set_visible(False)
    lift = 1.12 if place % 2 == 0 else 1.25
    axes.text(place, lift, metric_words(outcome), ha="center", size=8, weight="bold")
    axes.text(place, 1.03, "best", ha="center", va="bottom", size=7, color=MUTED)
