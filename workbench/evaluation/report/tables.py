"""The report's tables: settings of the winner, best trials, data, surroundings, and the checklist.

The checklist asks what the reproducibility checklist of Pineau et al. (JMLR 22, 2021) asks of experiments.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from workbench.core import vocabulary
from workbench.core.addresses import redact
from workbench.core.conditions import asked
from workbench.core.formatting import duration
from workbench.core.records import Outcome, ranked
from workbench.core.types import Axis, Choice
from workbench.core.vocabulary import METRICS
from workbench.evaluation.columns import ColumnImportance
from workbench.evaluation.evaluate import score_of
from workbench.evaluation.facts import axis_words, metric_name, tally, threshold, trial_score
from workbench.evaluation.plots.style import number
from workbench.evaluation.report.sentences import difference, percent, selection_rule

_NOT_RECORDED = "not recorded"
_PARTS = ("train", "validation", "test")


class Setting(NamedTuple):
    """A row of the winner's recipe; `searched` is empty for a fixed value."""

    name: str
    value: str
    searched: str


class Check(NamedTuple):
    """A question of the checklist, its answer, and whether the record has one."""

    question: str
    answer: str
    done: bool


def settings_rows(outcome: Outcome) -> list[Setting]:
    """The settings of the chosen configuration, the searched ones first, then those that it looks at."""
    if outcome.selection is None:
        return []
    params = outcome.selection.params
    drawn = [name for name in outcome.axes if name in params]
    values = {**outcome.selection.settings, **params}
    rows = [
        Setting(axis_words(name), number(value), _axis(outcome.axes[name]) if name in drawn else "")
        for name, value in values.items()
        if name in drawn or (vocabulary.reads(values, name) and _of_task(outcome, name))
    ]
    return sorted(rows, key=lambda row: not row.searched)


def _of_task(outcome: Outcome, setting: str) -> bool:
    """Whether a setting says anything for the task."""
    if outcome.task == "regression":
        return setting not in ("class_weight", "label_smoothing", "threshold")
    if outcome.task == "multilabel":
        return setting not in ("class_weight", "target_transform")
    return setting != "target_transform" and (setting != "threshold" or len(outcome.classes) == 2)


def best_trials(outcome: Outcome, count: int = 10) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a table of the best complete trials."""
    also = dict.fromkeys(name for trial in outcome.trials for name in trial.also)
    head = ["trial", "score", *map(axis_words, also), "epochs", *map(axis_words, outcome.axes)]
    rows = [
        [
            str(trial.number),
            number(trial_score(trial)),
            *(number(trial.also[name]) if name in trial.also else "–" for name in also),
            f"{trial.best_epoch} of {trial.epochs}",
            *(number(trial.params[name]) if name in trial.params else "–" for name in outcome.axes),
        ]
        for trial in ranked(outcome.trials, outcome.direction)[:count]
    ]
    return head, rows


#: Columns that are told.
_MOST_COLUMNS = 15


def column_rows(columns: Sequence[ColumnImportance]) -> list[tuple[str, str]]:
    """The columns that a model leans on most, and what its score loses without each."""
    return [
        (
            one.name,
            difference(one.lost) + ("" if math.isnan(one.spread) else f" ± {difference(one.spread)}"),
        )
        for one in columns[:_MOST_COLUMNS]
    ]


def metric_rows(outcome: Outcome) -> list[tuple[str, str]]:
    """The same predictions by the other metrics of the task, which decided nothing; none where undefined."""
    if not len(outcome.outputs) or not np.isfinite(outcome.outputs).all():
        return []
    kinds = {outcome.task, "binary"} if len(outcome.classes) == 2 else {outcome.task}
    found = []
    if (quantile := vocabulary.quantile_of(outcome.metric)) is not None:
        hit = outcome.targets.reshape(outcome.outputs.shape) <= outcome.outputs
        below = np.average(hit, axis=0, weights=outcome.weights)
        shares = ", ".join(percent(float(share)) for share in below)
        found.append((f"rows at or below their prediction, of {percent(quantile)}", shares))
    for name, word in METRICS.items():
        if name not in (outcome.metric, vocabulary.PINBALL) and word.suits(kinds):
            value = score_of(name, outcome.outputs, outcome.targets, threshold(outcome), outcome.weights)
            if math.isfinite(value):
                found.append((metric_name(name), number(value)))
    return found


def data_rows(outcome: Outcome) -> list[tuple[str, str]]:
    """What is known of the data, in the order it was recorded."""
    return [(axis_words(key), number(value)) for key, value in outcome.data.items()]


def environment_rows(outcome: Outcome) -> list[tuple[str, str]]:
    """Versions, hardware, seconds by part, programs, and where MLflow has the record."""
    rows = [(axis_words(key), value) for key, value in outcome.environment.items()]
    rows += [(f"time, {axis_words(part)}", duration(seconds)) for part, seconds in outcome.seconds.items()]
    rows.append(("compiled programs", str(outcome.programs)))
    rows += [(f"MLflow {axis_words(key)}", redact(value)) for key, value in outcome.mlflow.items()]
    return rows


def checklist(outcome: Outcome, command: str) -> list[Check]:
    """The reproducibility checklist, filled in from the record; what it lacks is said to be missing."""
    selection, test, data = outcome.selection, outcome.test, outcome.data
    splits = ", ".join(f"{number(data[part])} {part}" for part in _PARTS if part in data)
    space = "; ".join(f"{axis_words(name)}: {_axis(axis)}" for name, axis in outcome.axes.items())
    seeds = ", ".join(str(seed.seed) for seed in selection.seeds) if selection else ""
    versions = ", ".join(
        f"{key} {value}" for key, value in outcome.environment.items() if key not in ("hardware", "platform")
    )
    machine = ", ".join(
        outcome.environment[key] for key in ("hardware", "platform") if key in outcome.environment
    )
    answers = {
        "Which data, and how can they be recognized?": _both(data.get("name"), data.get("fingerprint")),
        "How many rows, and how were they split?": _both(splits, data.get("divided")),
        "How were they prepared?": _preparation(outcome),
        "Which settings were searched, in which ranges?": space or "none: every setting is fixed",
        "How many trials, and how did they end?": tally(outcome.trials),
        "By which rule was the configuration chosen?": selection_rule(outcome),
        "What was it compared with?": (
            f"the default configuration, validation {number(selection.default)}" if selection else ""
        ),
        "From which seeds was it trained again?": seeds or "none yet: the search is not confirmed",
        "How often have the test rows been opened?": (
            f"{test.look} time{'s' * (test.look != 1)}, this one included"
            if test
            else outcome.withheld or "never: they are sealed"
        ),
        "How sure is the score?": (
            f"{percent(test.confidence)} interval from {test.rows:,} rows"
            + (f"; {test.note}" if test.note else "")
            if test
            else "no test score yet"
        ),
        "Which versions?": versions,
        "Which hardware?": machine,
        "How long did it take?": duration(outcome.seconds["total"]) if "total" in outcome.seconds else "",
        "With which command?": command,
    }
    return [Check(question, given or _NOT_RECORDED, bool(given)) for question, given in answers.items()]


def _preparation(outcome: Outcome) -> str:
    """What the rows and targets of the chosen model went through."""
    if outcome.selection is None:
        return ""
    settings = outcome.selection.settings
    scale, degree = settings.get("scale"), settings.get("degree", 1)
    transform = settings.get("target_transform", "none")
    said = ["numbers as they are" if scale == "none" else f"numbers scaled: {scale}"]
    said += [f"monomials up to degree {degree}"] if degree != 1 else []
    if settings.get("numbers", "plain") != "plain":
        said.append(f"encoded {settings['numbers']}, in at most {settings['bins']} bins each")
    said += [f"target transformed: {transform}"] if transform != "none" else []
    return f"{'; '.join(said)}; fitted on the rows that it was trained on"


def _axis(axis: Axis) -> str:
    part = f", if {asked(axis.when)}" if axis.when else ""
    if isinstance(axis, Choice):
        return " | ".join(map(number, axis.choices)) + part
    words = f"{number(axis.low)} to {number(axis.high)}"
    if axis.log:
        words += ", log"
    if axis.step is not None:
        words += f", step {number(axis.step)}"
    return words + (", whole" if axis.integer else "") + part


def _both(*parts: str | int | float | None) -> str:
    return ", ".join(number(part) for part in parts if part not in (None, ""))
