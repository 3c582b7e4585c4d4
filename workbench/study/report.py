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
from workbench.core.types import Array
from workbench.data import Dataset
from workbench.evaluation import mistakes, plots, saved_model, trees
from workbench.evaluation import report as pages
from workbench.evaluation.columns import column_importances
from workbench.evaluation.diagnosis import Growth, Rival, diagnose
from workbench.evaluation.evaluate import as_rows, compare, score_of
from workbench.evaluation.facts import metric_words, score_direction
from workbench.evaluation.plots.model import pictures
from workbench.evaluation.plots.sizes import size_curve
from workbench.study import learning_curve
from workbench.study.config import Study
from workbench.study.preparations import Preparations
from workbench.tuning.importances import importances
from workbench.tuning.space import variant


class Content(NamedTuple):
    """What stands in the report of a study."""

    figures: Mapping[str, plots.Figure]
    importances: Mapping[str, float]
    diagnosis: tuple[tuple[str, str], ...]  # finding, advice
    mistakes: Mapping[str, Any]


class Written(NamedTuple):
    """The files of a report."""

    html: Path
    markdown: Path
    figures: Mapping[str, Path]


def content(
    outcome: Outcome,
    study: Study,
    locations: Locations,
    dataset: Dataset | None,
    preparations: Preparations | None,
) -> Content:
    """What is to be reported; nothing is written.

    dataset, preparations  what the delivered model was trained on, for pictures of the model; None: without
    """
    folder = locations.study(study.id)
    mattered = importances(outcome.axes, outcome.trials, outcome.direction)
    figures = plots.all_figures(outcome, mattered)
    wrong: dict[str, Any] = {}
    rivals: Sequence[Rival] = ()
    if sizes := learning_curve.load(folder):
        figures["size_curve"] = _size_curve(sizes, outcome)
    if dataset is not None and preparations is not None and outcome.selection is not None:
        fold = preparations.fold(variant(outcome.selection.settings))
        model = saved_model.load(saved_model.judged(folder))
        said = model.estimates(np.asarray(fold.validation.x))
        if not study.refit:  # then the rivals have seen these rows
            shown = as_rows(said, np.asarray(fold.validation.y))
            rivals = _rivals(outcome, folder, dataset, *shown, model.threshold)
        figures |= pictures(outcome, model, dataset, fold, said)
        wrong = {
            "worst": mistakes.worst_rows(dataset, model, fold, said),
            "slices": mistakes.slices(dataset, model, fold, said),
            "columns": column_importances(dataset, model, outcome.metric),
        }
    return Content(figures, mattered, _diagnosis(outcome, rivals, sizes), wrong)


def report(found: Content, outcome: Outcome, study: Study, locations: Locations) -> Written:
    """Write the report into the folder of the study."""
    folder = locations.study(study.id)
    command = f"workbench run {shlex.quote(str(study.path))}"
    gain = None if outcome.selection is None else outcome.selection.gain
    written = pages.write(
        outcome,
        found.figures,
        found.importances,
        found.diagnosis,
        folder,
        command=command,
        gain_interval=gain,
        **found.mistakes,
    )
    paths = {name: folder / "figures" / f"{name}.png" for name in found.figures}
    return Written(written.html, written.markdown, paths)


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


def _diagnosis(
    outcome: Outcome, rivals: Sequence[Rival], sizes: Sequence[learning_curve.Size]
) -> tuple[tuple[str, str], ...]:
    chosen = outcome.selection
    if chosen is None or not chosen.trivial_loss > 0:
        return ()
    growth = None
    if len(sizes) > 1:
        before, after = sizes[-2:]
        growth = Growth(after.rows, before.validation, after.validation, outcome.direction == "maximize")
    findings = diagnose(chosen.seeds, chosen.trivial_loss, rivals=rivals, growth=growth).findings
    return tuple((found.sentence, found.advice) for found in findings)


#: The frozen baselines that have learned from the features, in words.
_RIVALS = {"linear": "the linear model", trees.NAME: "gradient boosting"}


def _rivals(
    outcome: Outcome, folder: Path, dataset: Dataset, ours: Array, targets: Array, threshold: float
) -> tuple[Rival, ...]:
    """The baselines on the validation rows, as far as they were frozen, against outputs `ours`."""
    raw = dataset.pick(dataset.validation)
    groups = None if dataset.group is None else dataset.group[dataset.validation]
    weight = dataset.weights(dataset.validation)
    found = []
    for name, words in _RIVALS.items():
        place = folder / "baselines" / name
        if not (place / "model.json").exists():
            continue
        other = trees.load(place) if name == trees.NAME else saved_model.load(place)
        theirs = other.raw_estimates(raw)
        against = compare(
            outcome.metric,
            ours,
            theirs,
            targets,
            thresholds=(threshold, 0.5),
            classes=dataset.classes,
            groups=groups,
            weight=weight,
        )
        value = score_of(outcome.metric, theirs, targets, weight=weight)
        found.append(Rival(words, value, against.difference, against.low, against.high))
    return tuple(found)
