"""What MLflow is told of a study and of a trial, before any of its interfaces is chosen.

Plain values, which are pickled on their way to the process that logs, and pure functions that make them of
records; `bulk` and `client` put them into a store. Nothing here imports mlflow.

How a trial is shown
    name      trial-0007, so that names sort
    status    as in MLflow's own Optuna storage (`mlflow.optuna.MlflowStorage`): FINISHED for complete, KILLED
              for pruned, FAILED for failed. A glance at the icons tells the three apart, and
              `attributes.status = "KILLED"` filters them; the tag `state` says the same in words.
              RUNNING while it trains, with its curves so far; written anew when it has ended.
    curves    train_loss, validation_loss, validation_<metric>_by_epoch at step = epoch, from 1
    figures   validation_<metric> (the score the trial is chosen by), best_epoch, epochs, seconds; they have
              names of their own, since MLflow's columns show the last point of a metric, not its best
    NaN, inf  stand in the tag `non_finite` ({"train_loss": {"3": "nan"}}) and are left out of the curves: a
              server turns infinity into 1.8e308, which flattens every chart, and a NaN keeps the run page of
              some servers from opening (mlflow issue 16555).
"""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from workbench.core.addresses import SHARED, VIEW
from workbench.core.provenance import user
from workbench.core.records import Outcome, TrialRecord
from workbench.core.types import Value

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
#: Kinds of databases that may be written without MLflow's own interface.
DATABASES = ("sqlite", "postgresql")
#: Tags that MLflow itself reads start with this.
PREFIX = "mlflow."
#: The description of a run or an experiment.
NOTE = PREFIX + "note.content"
#: MLflow's limits in characters (mlflow.utils.validation); longer values are cut, visibly.
MAX_PARAM, MAX_TAG, MAX_NAME, MAX_DIGEST = 6_000, 8_000, 250, 36
_NAMESPACE = uuid.UUID("6f0c6e0e-6a0b-5f7c-9a53-0d6a1c1f7f55")
_STATUS: dict[str, Status] = {
    "running": "RUNNING",
    "complete": "FINISHED",
    "pruned": "KILLED",
    "failed": "FAILED",
}
#: So many axes are columns of a view; MLflow's own picker adds others.
MOST_COLUMNS = 8


class Metric(NamedTuple):
    """One point of a metric; `timestamp` in milliseconds since 1970."""

    key: str
    value: float
    timestamp: int
    step: int


class RunRow(NamedTuple):
    """One run, complete. Times in milliseconds since 1970."""

    run_id: str
    name: str
    status: Status
    start: int
    end: int | None
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Sequence[Metric]


@dataclass(frozen=True)
class Parent:
    """The study as MLflow shows it: one experiment, one parent run."""

    study: str  # study id; the same id finds the same run again
    name: str  # the study's name; also the name of the registered model
    metric: str  # the score's name, as in `validation_<metric>`
    direction: Literal["maximize", "minimize"]
    question: str = ""
    experiment: str = ""  # default: the study's name
    run_name: str = ""  # default: the study's name
    seed: int = 0
    began: float | None = None  # seconds since 1970; None: now
    axes: tuple[str, ...] = ()  # names of what is searched
    params: Mapping[str, Value] = field(default_factory=dict)  # what is fixed for the whole study
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def experiment_name(self) -> str:
        """The experiment's name."""
        return self.experiment or self.name


@dataclass(frozen=True)
class Final:
    """Everything that is still to be written on the parent run when a study is over."""

    metrics: Mapping[str, float]
    params: Mapping[str, str]  # the chosen configuration's axes, under the names the children use
    tags: Mapping[str, str]
    note: str  # Markdown, shown as the run's description
    dataset: Mapping[str, str]  # name, digest, source, profile (JSON)
    files: Mapping[str, Path]  # path among the artifacts -> file here
    model: Path | None  # folder written by `saved_model.save`
    model_name: str
    model_note: str


# ── what passes between the process that trains and the one that logs ───────────────────────────


class Opening(NamedTuple):
    """Comes first; answered by `Opened`."""

    uri: str
    artifacts: str  # where new experiments keep theirs, unless the store is a server
    parent: Parent
    session: str  # owns the parent run from now on: the one that will end it


class Opened(NamedTuple):
    """The parent run in its store."""

    experiment: str
    run: str
    known: tuple[int, ...]  # numbers of the trials that are there whole


class Job(NamedTuple):
    """Answered by what the store will not take: {trial number, `finish` or `end`: why}, {} for nothing."""

    do: Literal["trials", "running", "model", "finish", "end"]
    what: Any  # trials that have ended, or have not; folder of a model; Final; Status


class Trouble(NamedTuple):
    """Why a job is being tried again; its answer follows later."""

    why: str


# ── runs ────────────────────────────────────────────────────────────────────────────────────────


def parent_id(study: str) -> str:
    """The run id of a study's parent: 32 hexadecimal digits, a function of the study id alone."""
    return uuid.uuid5(_NAMESPACE, study).hex


def child_id(study: str, number: int) -> str:
    """The run id of a trial: 32 hexadecimal digits, a function of the study id and the trial's number."""
    return uuid.uuid5(_NAMESPACE, f"{study}/{number}").hex


def score_key(metric: str) -> str:
    """The name under which a trial's score is found."""
    return f"validation_{metric}"


def by_epoch(metric: str) -> str:
    """The name of a trial's curve of scores."""
    return f"{score_key(metric)}_by_epoch"


def best_key(metric: str) -> str:
    """The metric of a parent run that shows the search's progress."""
    return "best_" + score_key(metric)


def best_so_far(
    parent: Parent, best: float | None, before: int, trials: Sequence[TrialRecord], rows: Sequence[RunRow]
) -> list[Metric]:
    """The best score of a complete trial after each of these, at step = how many have ended by then.

    Args:
        parent: the study.
        best: that of the trials before.
        before: how many these are.
        trials: in the order in which they are counted.
        rows: theirs.
    """
    choose = max if parent.direction == "maximize" else min
    key, points = best_key(parent.metric), []
    for count, (trial, row) in enumerate(zip(trials, rows, strict=True), before + 1):
        if trial.state == "complete" and trial.value is not None and math.isfinite(trial.value):
            best = trial.value if best is None else choose(best, trial.value)
        if best is not None:
            points.append(Metric(key, best, row.end or row.start, count))
    return points


def parent_row(parent: Parent, *, session: str) -> RunRow:
    """The parent run as it starts. `session` names the process that owns it: the one that will end it."""
    note = f"**{parent.question}**\n\nThe search is under way." if parent.question else ""
    tags = {
        "kind": "study",
        "study": parent.study,
        "study_name": parent.name,
        "metric": parent.metric,
        "seed": str(parent.seed),
        "session": session,
        **parent.tags,
        **_authorship(parent.run_name or parent.name),
    }
    if note:
        tags[NOTE] = note
    name = (parent.run_name or parent.name)[:MAX_NAME]
    params = {key: _text(value, MAX_PARAM) for key, value in parent.params.items()}
    start = round((parent.began or time.time()) * 1000)
    return RunRow(parent_id(parent.study), name, "RUNNING", start, None, params, _cut(tags), ())


def child_row(parent: Parent, parent_run: str, record: TrialRecord, *, start: int | None = None) -> RunRow:
    """One trial as a child of `parent_run`: finished, or so far.

    `start` in milliseconds fixes the time axis, which makes a second writing of the same trial equal to the
    first; by default the trial started `seconds` before it finished. One that does not say when finished now.
    """
    length = max(1, round(record.seconds * 1000))
    start = round((record.finished or time.time()) * 1000) - length if start is None else start
    end = start + length
    name = f"trial-{record.number:04d}"
    metrics, odd = _curves(parent, record, start, end)
    running = record.state == "running"
    figures: dict[str, float | None] = {
        score_key(parent.metric): record.value,
        **{score_key(name): value for name, value in record.also.items()},
        "best_epoch": record.best_epoch or None,
        "epochs": record.epochs,
        "seconds": record.seconds,
    }
    for key, value in figures.items():
        if running or value is None:  # they are those of the end
            continue
        if math.isfinite(value):
            metrics.append(Metric(key, float(value), end, 0))
        else:
            odd.setdefault(key, {})["0"] = str(float(value))
    tags = {
        "kind": "trial",
        "study": parent.study,
        "trial": str(record.number),
        "state": record.state,
        "reason": record.reason,
        "recipe": record.recipe,
        "seed": str(record.seed),
        PREFIX + "parentRunId": parent_run,
        **_authorship(name),
    }
    if odd:
        tags["non_finite"] = json.dumps(odd)
    params = {key: _text(value, MAX_PARAM) for key, value in record.params.items()}
    run, status = child_id(parent.study, record.number), _STATUS[record.state]
    return RunRow(run, name, status, start, None if running else end, params, _cut(tags), metrics)


def _curves(
    parent: Parent, record: TrialRecord, start: int, end: int
) -> tuple[list[Metric], dict[str, dict[str, str]]]:
    """The finite points, spread evenly over the trial's time, and the others by curve and epoch."""
    metrics: list[Metric] = []
    odd: dict[str, dict[str, str]] = {}
    names = {"validation_score": by_epoch(parent.metric)}
    for name, curve in record.curves._asdict().items():
        key, n = names.get(name, name), len(curve)
        for epoch, value in enumerate(curve.tolist(), start=1):
            if math.isfinite(value):
                metrics.append(Metric(key, value, start + (end - start) * epoch // n, epoch))
            else:
                odd.setdefault(key, {})[str(epoch)] = str(value)
    return metrics, odd


def _authorship(name: str) -> dict[str, str]:
    """The tags MLflow's own client would set."""
    return {
        PREFIX + "runName": name[:MAX_NAME],
        PREFIX + "source.name": "workbench",
        PREFIX + "source.type": "LOCAL",
        PREFIX + "user": user(),
    }


def _cut(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: _text(value, MAX_TAG) for key, value in tags.items()}


def _text(value: Value, limit: int) -> str:
    text = str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


# ── the end of a study ──────────────────────────────────────────────────────────────────────────


def final(outcome: Outcome, name: str, files: Mapping[str, Path], model: Path | None) -> Final:
    """The final metrics, tags, note, dataset and files of a study called `name`.

    `files` maps paths among the artifacts ("figures/curves.png") to files that stay where they are until the
    tracker is closed.
    """
    from workbench.evaluation.report.sentences import answer

    return Final(
        metrics=_metrics(outcome),
        params={k: str(v) for k, v in outcome.selection.params.items()} if outcome.selection else {},
        tags=_tags(outcome),
        note=note(outcome),
        dataset=_dataset(outcome),
        files={path: file.absolute() for path, file in files.items()},
        model=None if model is None else model.absolute(),
        model_name=name,
        model_note=answer(outcome),
    )


def note(outcome: Outcome) -> str:
    """The run's description in Markdown: question, answer, what was compared, and the chosen settings."""
    # Here, since the process that logs imports this file and draws nothing.
    from workbench.evaluation.report import sentences, tables

    parts = [f"**{outcome.question}**" if outcome.question else None, sentences.answer(outcome)]
    parts.append(sentences.warning(outcome))
    if outcome.selection is not None:
        parts.append(_table(("what", "figure", "remark"), sentences.comparison(outcome)))
        parts.append(_table(("setting", "value", "searched"), tables.settings_rows(outcome)))
    return "\n\n".join(part for part in parts if part)


def experiment_tags(parent: Parent, run: str) -> dict[str, str]:
    """Views of MLflow's UI with columns for scores and axes: by default it shows no metric, and folds trials.

    Args:
        parent: the study.
        run: its run.

    Returns:
        Tags of the experiment: `VIEW` has the studies, their trials folded; the study's id, its trials alone
        and best first. MLflow reads them as it reads the views that its users share.
    """
    score = f"metrics.`{score_key(parent.metric)}`"
    shown = [f"params.`{name}`" for name in parent.axes[:MOST_COLUMNS]]
    ascending = parent.direction == "minimize"
    views = {
        VIEW: {
            "selectedColumns": [f"metrics.`test_{parent.metric}`", score, "attributes.`Duration`", *shown],
        },
        parent.study: {
            "searchFilter": f"tags.mlflow.parentRunId = '{run}'",
            "orderByKey": score,
            "orderByAsc": ascending,
            "selectedColumns": [score, "tags.`state`", "attributes.`Duration`", *shown],
        },
    }
    return {SHARED + name: json.dumps(view) for name, view in views.items()}


def _metrics(outcome: Outcome) -> dict[str, float]:
    metrics: dict[str, float] = {
        f"trials_{state}": sum(trial.state == state for trial in outcome.trials)
        for state in ("complete", "pruned", "failed")
    }
    metrics["programs"] = outcome.programs
    metrics |= {f"seconds_{part}": value for part, value in outcome.seconds.items()}
    chosen, test = outcome.selection, outcome.test
    if chosen is not None:
        metrics[score_key(outcome.metric)] = chosen.validation
        metrics["default_" + score_key(outcome.metric)] = chosen.default
        metrics["optimism"] = chosen.optimism
        metrics["parameters"] = chosen.parameters
    if test is not None:
        metrics[f"test_{test.metric}"] = test.value
        ends = {"low": test.low, "high": test.high}
        metrics |= {f"test_{test.metric}_{end}": at for end, at in ends.items() if math.isfinite(at)}
        metrics["test_rows"] = test.rows
    for name, told in outcome.also.items():
        for part, key in {"value": "", "low": "_low", "high": "_high"}.items():
            if isinstance(value := told[part], float):
                metrics[f"test_{name}{key}"] = value
    for name, figures in outcome.baselines.items():
        metrics |= {
            f"test_{name}_{figure}": value for figure, value in figures.items() if isinstance(value, float)
        }
    return {key: float(value) for key, value in metrics.items() if math.isfinite(value)}


def _tags(outcome: Outcome) -> dict[str, str]:
    status = "confirmed" if outcome.test else "searched"
    tags = {"task": outcome.task, "metric": outcome.metric, "outcome": status}
    tags["tested_model"] = outcome.model if outcome.test else "none"
    if outcome.selection is not None:
        tags["chosen_trial"] = str(outcome.selection.trial)
        tags["chosen"] = json.dumps(dict(outcome.selection.settings), default=str)
    return tags


def _dataset(outcome: Outcome) -> dict[str, str]:
    data = outcome.data
    profile: dict[str, Any] = {key: value for key, value in data.items() if isinstance(value, int | float)}
    return {
        "name": str(data.get("name", outcome.study)),
        "digest": str(data.get("fingerprint", ""))[:MAX_DIGEST],
        "source": str(data.get("source", data.get("name", ""))),
        "profile": json.dumps(profile),
    }


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
