"""Loss and score against epoch: the delivered model over its seeds, and every trial of the search.

The picture of loss against epoch with the early-stopping point is the one that articles on overfitting draw.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from workbench.core.records import Curves, Outcome
from workbench.core.types import Array
from workbench.evaluation.facts import best_trial, metric_words, score_direction, tally, trial_score
from workbench.evaluation.plots.style import (
    BLUE,
    FAINT,
    INK,
    MUTED,
    ORANGE,
    VERMILION,
    Label,
    canvas,
    drawn,
    extent,
    label_ends,
    log_ticks,
    panel,
    plain_ticks,
)

_LOG_FROM = 30.0  # a loss that falls by more than this is drawn on a log axis


@drawn
def learning_curves(outcome: Outcome) -> Figure:
    """Train and validation loss of the chosen configuration, one pair of lines a seed.

    The delivered model (the first seed) is thick and its best epoch is marked. Before a confirmation
    there are no seeds, and the chosen trial's own curves stand in.
    """
    runs, note = _chosen_runs(outcome)
    figure = canvas("Loss while training the chosen configuration", note)
    axes = panel(figure, 0.55, 0.45, 0.85, 0.78)
    for i, (curves, _) in reversed(list(enumerate(runs))):
        width, alpha = (1.8, 1.0) if i == 0 else (0.8, 0.4)
        for loss, color in ((curves.validation_loss, ORANGE), (curves.train_loss, BLUE)):
            axes.plot(_epochs(loss), _finite(loss), color=color, lw=width, alpha=alpha, zorder=3 - (i > 0))
    losses = np.concatenate([_finite(loss) for curves, _ in runs for loss in curves[:2]])
    _scale(axes, losses)
    delivered, best_epoch = runs[0]
    axes.set_xlim(0.5, max(max(len(curves.train_loss) for curves, _ in runs), 2) + 0.5)
    if 0 < best_epoch <= len(delivered.validation_loss):
        point = delivered.validation_loss[best_epoch - 1]
        axes.plot([best_epoch], [point], "o", color=ORANGE, mec=INK, ms=6, zorder=5)
        axes.annotate(
            f"best epoch {best_epoch}",
            (best_epoch, point),
            xytext=(0, 9),
            textcoords="offset points",
            ha="right" if best_epoch > axes.get_xlim()[1] / 2 else "left",
            color=INK,
        )
    axes.set_xlabel("epoch")
    axes.set_title("loss (mean over rows)", loc="left", color=MUTED)
    ends = (("train", delivered.train_loss, BLUE), ("validation", delivered.validation_loss, "#9a6a00"))
    label_ends(
        axes, [Label(_last(loss), text, color) for text, loss, color in ends if np.isfinite(loss).any()]
    )
    return figure


@drawn
def trial_curves(outcome: Outcome) -> Figure:
    """The validation score of every trial against epoch: where the pruner cut, and who came through."""
    winner = best_trial(outcome)
    scores = np.array([trial_score(trial) for trial in outcome.trials])
    figure = canvas("Every trial's validation score while it trained", tally(outcome.trials))
    axes = panel(figure, 0.55, 0.45, 0.85, 0.78)
    rungs = sorted({rung for trial in outcome.trials for rung in trial.rungs})
    for rung in rungs:
        axes.axvline(rung, color=FAINT, lw=0.7, ls=(0, (2, 2)), zorder=0)
    for cut, color, alpha in ((True, MUTED, 0.35), (False, BLUE, 0.45)):
        lines = [
            np.column_stack([_epochs(trial.curves.validation_score), _finite(trial.curves.validation_score)])
            for trial in outcome.trials
            if (trial.state != "complete") is cut and trial is not winner
        ]
        axes.add_collection(LineCollection(lines, colors=color, linewidths=0.7, alpha=alpha), autolim=False)
    longest = max((len(trial.curves.validation_score) for trial in outcome.trials), default=1)
    axes.set_xlim(0.5, max(longest, 2) + 0.5)
    keep: list[float] = []
    labels: list[Label] = []
    if winner is not None:
        curve = winner.curves.validation_score
        axes.plot(_epochs(curve), _finite(curve), color=VERMILION, lw=2.0, zorder=4)
        keep = [float(score) for score in curve[len(curve) // 4 :]]  # the steep start may leave the picture
        labels = [Label(_last(curve), f"trial {winner.number}", VERMILION)]
    axes.set_ylim(*extent(scores, outcome.direction, keep))
    plain_ticks(axes, "y")
    axes.set_xlabel("epoch" + (f" (dotted: the pruner looked, {len(rungs)} times)" if rungs else ""))
    axes.set_title(f"validation {metric_words(outcome)}, {score_direction(outcome)}", loc="left", color=MUTED)
    label_ends(axes, labels)
    return figure


def _chosen_runs(outcome: Outcome) -> tuple[list[tuple[Curves, int]], str]:
    """Curves and best epoch of the chosen configuration's runs, the delivered one first, and a note."""
    if outcome.selection is not None and outcome.selection.seeds:
        seeds = outcome.selection.seeds
        others = f", thin: {len(seeds) - 1} other seed{'s' * (len(seeds) > 2)}" if len(seeds) > 1 else ""
        return (
            [(seed.curves, seed.best_epoch) for seed in seeds],
            f"thick: the delivered model (seed {seeds[0].seed}){others}; no test row",
        )
    trial = best_trial(outcome)
    if trial is None:
        trial = outcome.trials[0]
    return [
        (trial.curves, trial.best_epoch)
    ], f"trial {trial.number}, as it trained in the search; no test row"


def _scale(axes: Axes, losses: Array) -> None:
    finite = losses[np.isfinite(losses)]
    if not finite.size:
        return
    low, high = float(finite.min()), float(finite.max())
    if low > 0 and high / low > _LOG_FROM:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.3, high * 1.3)
        log_ticks(axes, "y")
        return
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 0.5
    axes.set_ylim(low - margin, high + 2 * margin)
    plain_ticks(axes, "y")


def _epochs(curve: Array) -> Array:
    return np.arange(1, len(curve) + 1)


def _finite(curve: Array) -> Array:
    """Infinity as NaN: a line stops there instead of leaving the picture."""
    return np.where(np.isfinite(curve), curve, np.nan).astype(float)


def _last(curve: Array) -> float:
    finite = curve[np.isfinite(curve)]
    return float(finite[-1]) if finite.size else float("nan")
