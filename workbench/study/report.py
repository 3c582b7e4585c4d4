"""From an outcome to what people read.

Importances, diagnosis, figures, the report, and the files for MLflow.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from workbench.core.locations import Locations
from workbench.core.records import Outcome
from workbench.data import Dataset
from workbench.evaluation import mistakes, plots, saved_model
from workbench.evaluation import report as pages
from workbench.evaluation.diagnosis import diagnose
from workbench.evaluation.facts import metric_words, score_direction
from workbench.evaluation.plots.model import pictures
from workbench.evaluation.plots.sizes import size_curve
from workbench.study import learning_curve
from workbench.study.config import Study
from workbench.study.preparations import Preparations
from workbench.tuning.importances import importances
from workbench.tuning.space import variant


class Written(NamedTuple):
    """The report of a study and what stands in it."""

    html: Path
    markdown: Path
    figures: Mapping[str, Path]
    importances: Mapping[str, float]
    diagnosis: tuple[tuple[str, str], ...]  # finding, advice


def report(
    outcome: Outcome,
    study: Study,
    locations: Locations,
    dataset: Dataset | None,
    preparations: Preparations | None,
) -> Written:
    """Write the report into the folder of the study.

    dataset, preparations  what the delivered model was trained on, for pictures of the model; None: without
    """
    folder = locations.study(study.id)
    mattered = importances(outcome.axes, outcome.trials, outcome.direction)
    findings = _diagnosis(outcome)
    figures = plots.all_figures(outcome, mattered)
    wrong: dict[str, Any] = {}
    if sizes := learning_curve.load(folder):
        figures["size_curve"] = _size_curve(sizes, outcome)
    if dataset is not None and preparations is not None and outcome.selection is not None:
        fold = preparations.fold(variant(outcome.selection.settings))
        model = saved_model.load(saved_model.judged(folder))
        figures |= pictures(outcome, model, dataset, fold)
        wrong = {
            "worst": mistakes.worst_rows(dataset, model, fold),
            "slices": mistakes.slices(dataset, model, fold),
        }
    command = f"workbench run {shlex.quote(str(study.path))}"
    gain = None if outcome.selection is None else outcome.selection.gain
    written = pages.write(
        outcome, figures, mattered, findings, folder, command=command, gain_interval=gain, **wrong
    )
    paths = {name: folder / "figures" / f"{name}.png" for name in figures}
    return Written(written.html, written.markdown, paths, mattered, findings)


def artifacts(written: Written, study: Study) -> dict[str, Path]:
    """Where each file stands among the artifacts of the parent run."""
    files = {f"figures/{path.name}": path for path in written.figures.values()}
    return files | {
        "report/report.html": written.html,
        "report/report.md": written.markdown,
        f"study/{study.path.name}": written.html.parent / "study.toml",
    }


def _size_curve(sizes: Sequence[learning_curve.Size], outcome: Outcome) -> plots.Figure:
    return size_curve(
        np.array([size.rows for size in sizes]),
        np.array([size.train for size in sizes]),
        np.array([size.validation for size in sizes]),
        metric=metric_words(outcome),
        direction=score_direction(outcome),
        note=f"mean of {learning_curve.SEEDS} initializations; bands: 95 % intervals of it",
    )


def _diagnosis(outcome: Outcome) -> tuple[tuple[str, str], ...]:
    chosen = outcome.selection
    if chosen is None or not chosen.trivial_loss > 0:
        return ()
    findings = diagnose(chosen.seeds, chosen.trivial_loss).findings
    return tuple((found.sentence, found.advice) for found in findings)
