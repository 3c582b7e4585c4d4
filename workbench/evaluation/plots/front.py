"""Score against size: what the best models of each size reach, so that a small one can be had knowingly."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from workbench.core.records import Outcome, TrialRecord
from workbench.evaluation.facts import complete_trials, metric_words, score_direction, trial_score
from workbench.evaluation.plots.style import (
    BLUE,
    MUTED,
    VERMILION,
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
)


def front(outcome: Outcome) -> list[TrialRecord]:
    """The complete trials that no smaller one equals: the Pareto front of size and score, smallest first."""
    sign = 1.0 if outcome.direction == "maximize" else -1.0
    best, found = -np.inf, []
    for trial in sorted(
        _sized(outcome), key=lambda one: (outcome.sizes[one.number], -sign * trial_score(one))
    ):
        if sign * trial_score(trial) > best:
            best = sign * trial_score(trial)
            found.append(trial)
    return found


@drawn
def score_by_size(outcome: Outcome) -> Figure:
    """Validation score of every complete trial against its parameters, and the front of the best."""
    figure = canvas(
        "What size buys", f"{len(_sized(outcome))} complete trials; the line joins the best of each size"
    )
    axes = panel(figure, 0.55, 0.45, 0.95, 0.78)
    trials, best = _sized(outcome), front(outcome)
    sizes, ends = (np.array([outcome.sizes[one.number] for one in some]) for some in (trials, best))
    scores, tops = (np.array([trial_score(one) for one in some]) for some in (trials, best))
    limits = extent(scores, outcome.direction)
    axes.set_ylim(*limits)
    axes.set_xscale("log")
    axes.set_xlim(sizes.min() / 1.15, sizes.max() * 1.15)
    shown, _ = clip(scores, limits)
    axes.plot(sizes, shown, "o", ms=3.6, mfc="white", mec=MUTED, mew=0.6, label="complete", clip_on=False)
    tops, _ = clip(tops, limits)
    axes.step([*ends, sizes.max()], [*tops, tops[-1]], where="post", color=BLUE, lw=1.4, label="front")
    axes.plot(ends, tops, "o", ms=3.6, mfc=BLUE, mec="white", mew=0.6, label="best of its size")
    labels = [Label(float(tops[-1]), f"best {number(tops[-1])}", BLUE)]
    chosen = None if outcome.selection is None else outcome.selection.trial
    for trial in (one for one in trials if one.number == chosen):
        at = clip(np.array([trial_score(trial)]), limits)[0]
        axes.plot([outcome.sizes[trial.number]], at, "o", ms=5, color=VERMILION, label="chosen")
        if at[0] != tops[-1]:
            labels.append(Label(float(at[0]), f"chosen {number(at[0])}", VERMILION))
    plain_ticks(axes, "y")
    log_ticks(axes, "x")
    axes.set_xlabel("parameters")
    axes.set_title(f"validation {metric_words(outcome)}, {score_direction(outcome)}", loc="left", color=MUTED)
    label_ends(axes, labels)
    return figure


def _sized(outcome: Outcome) -> list[TrialRecord]:
    """The complete trials whose size is known."""
    return [trial for trial in complete_trials(outcome) if trial.number in outcome.sizes]
