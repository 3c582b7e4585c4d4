"""What several pictures and the report read off an outcome: scores, the best trial, words for them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from workbench.core.records import NO_SCORE, Outcome, TrialRecord
from workbench.core.types import Array, Range, Value
from workbench.core.vocabulary import quantile_of
from workbench.evaluation.calibration import moved


def threshold(outcome: Outcome) -> float:
    """Above which probability the delivered model says the second of two classes."""
    if outcome.selection is None:
        return 0.5
    asked, found = float(outcome.selection.settings.get("threshold", 0.5)), outcome.selection.calibration
    return asked if found is None else moved(asked, found.temperature)


def trial_score(trial: TrialRecord) -> float:
    """Validation score of a trial; NaN where it has none."""
    return math.nan if trial.value is None else float(trial.value)


def complete_trials(outcome: Outcome) -> tuple[TrialRecord, ...]:
    """Trials that trained to their end and have a finite score: those among which is chosen."""
    return tuple(
        trial for trial in outcome.trials if trial.state == "complete" and math.isfinite(trial_score(trial))
    )


def best_trial(outcome: Outcome) -> TrialRecord | None:
    """The chosen trial, or before a choice the best complete one; None when there is none."""
    if outcome.selection is not None:
        for trial in outcome.trials:
            if trial.number == outcome.selection.trial:
                return trial
    finished = complete_trials(outcome)
    if not finished:
        return None
    return (max if outcome.direction == "maximize" else min)(finished, key=trial_score)


def best_so_far(outcome: Outcome) -> tuple[Array, Array]:
    """Trial numbers and the best score of a complete trial up to each, both [number of complete trials]."""
    finished = sorted(complete_trials(outcome), key=lambda trial: trial.number)
    scores = np.array([trial_score(trial) for trial in finished])
    running = np.maximum if outcome.direction == "maximize" else np.minimum
    return np.array([trial.number for trial in finished]), running.accumulate(
        scores
    ) if scores.size else scores


def tally(trials: Iterable[TrialRecord]) -> str:
    """How the trials ended, in words: "61 complete, 132 pruned, 5 diverged, 2 failed"."""
    ends = Counter(NO_SCORE.get(trial.reason, trial.state) for trial in trials)
    total = sum(ends.values())
    kinds = ", ".join(
        f"{ends[kind]} {kind}" for kind in ("complete", "pruned", *NO_SCORE.values(), "failed") if ends[kind]
    )
    return f"{total} trial{'s' * (total != 1)}: {kinds}" if total else "no trials"


def metric_words(outcome: Outcome) -> str:
    """The name of the metric that decides, as a person writes it."""
    return metric_name(outcome.metric)


def metric_name(metric: str) -> str:
    """The name of a metric, as a person writes it."""
    if (quantile := quantile_of(metric)) is not None:
        return f"pinball loss at {quantile:g}"
    words = {
        "rmse": "RMSE",
        "mse": "MSE",
        "mae": "MAE",
        "r2": "R²",
        "f1": "F1",
        "roc_auc": "ROC AUC",
        "nll": "NLL",
    }
    return words.get(metric, metric.replace("_", " "))


def score_direction(outcome: Outcome) -> str:
    """Which way is better."""
    return "higher is better" if outcome.direction == "maximize" else "lower is better"


def axis_positions(axis: object, values: Sequence[Value | None]) -> Array:
    """Where values lie on an axis, [N] in 0 … 1: low to high on its own scale, choices evenly spread.

    A value that is missing, or not one of the choices, is NaN.
    """
    if isinstance(axis, Range):
        numbers = np.array([np.nan if value is None else float(value) for value in values])
        low, high = float(axis.low), float(axis.high)
        if axis.log:
            numbers, low, high = np.log(numbers), math.log(low), math.log(high)
        return (numbers - low) / (high - low) if high > low else np.where(np.isnan(numbers), np.nan, 0.5)
    choices = [str(choice) for choice in axis.choices]  # type: ignore[attr-defined]
    places = {choice: i / (len(choices) - 1) if len(choices) > 1 else 0.5 for i, choice in enumerate(choices)}
    return np.array([places.get(str(value), np.nan) for value in values], dtype=float)


def axis_words(name: str) -> str:
    """A setting's key without its underscores."""
    return name.replace("_", " ")
