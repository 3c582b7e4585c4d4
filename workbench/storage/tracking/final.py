"""What the parent run is told when a study is over: plain values drawn from an `Outcome`.

Computed where the study runs; written by the tracker's own process (`deliver`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from workbench.core.records import Outcome
from workbench.storage.tracking.rows import score_key

#: MLflow allows a digest of 36 characters (mlflow.utils.validation).
MAX_DIGEST = 36


@dataclass(frozen=True)
class Final:
    """Everything that is still to be written on the parent run. Plain data, ready for JSON."""

    metric: str
    direction: str
    metrics: Mapping[str, float]
    params: Mapping[str, str]  # the chosen configuration's axes, under the names the children use
    tags: Mapping[str, str]
    note: str  # Markdown, shown as the run's description
    dataset: Mapping[str, str]  # name, digest, source, profile (JSON)
    files: Mapping[str, str]  # path among the artifacts -> path here
    model: str | None  # folder written by `saved_model.save`
    model_name: str
    model_note: str


def final(outcome: Outcome, name: str, files: Mapping[str, Path], model: Path | None) -> Final:
    """The final metrics, tags, note, dataset and files of a study called `name`.

    `files` maps paths among the artifacts ("figures/curves.png") to files that stay where they are until the
    tracker is closed.
    """
    from workbench.evaluation.report.sentences import answer

    return Final(
        metric=outcome.metric,
        direction=outcome.direction,
        metrics=_metrics(outcome),
        params={k: str(v) for k, v in outcome.selection.params.items()} if outcome.selection else {},
        tags=_tags(outcome),
        note=note(outcome),
        dataset=_dataset(outcome),
        files={path: str(file.absolute()) for path, file in files.items()},
        model=None if model is None else str(model.absolute()),
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


def trials_link(experiment: str, run: str, metric: str, direction: str) -> str:
    """The page of MLflow's UI that lists a study's trials flat and best first, below the server's address.

    By default the UI folds children away, a hundred to a page, and opens in its mode for language models.
    """
    query = {
        "searchFilter": f"tags.mlflow.parentRunId = '{run}'",
        "orderByKey": f"metrics.`{score_key(metric)}`",
        "orderByAsc": str(direction == "minimize").lower(),
        "workflowType": "machine_learning",
    }
    return f"#/experiments/{experiment}/runs?{urlencode(query, quote_via=quote)}"


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
