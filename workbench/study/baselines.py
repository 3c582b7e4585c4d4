"""The baselines of a choice, frozen before the test set is opened, so that the test rows can compare them.

    default   the default configuration (trial 0), trained again, averaged and calibrated as the choice was
    linear    the linear model of the task, for rows of features; numbers are not encoded for it
    boosted   gradient boosting, tuned lightly on the same training and validation rows
    trivial   class frequencies, or the mean

They lie beside the delivered model as models of their own. Their fingerprints go into the journal first; a
later call finds them there and trains nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from workbench.core.errors import StoreError, WorkbenchError
from workbench.core.records import Selection
from workbench.core.types import Fold, Value
from workbench.core.vocabulary import quantile_of
from workbench.evaluation import baselines, boosting, trees
from workbench.evaluation.saved_model import fingerprint, load
from workbench.nn.recipe import Recipe
from workbench.study.averaging import averages
from workbench.study.choice import keep
from workbench.study.config import Study
from workbench.study.refitting import Refitted, refitted
from workbench.study.workspace import Workspace
from workbench.tuning.selection import Delivered, retrain
from workbench.tuning.space import ALL_ROWS, OWN, Program, variant


class Frozen(NamedTuple):
    """The folders of the baselines' models by name, and why others are left out."""

    models: dict[str, Path]
    left_out: dict[str, str]


def frozen(
    selection: Selection,
    study: Study,
    here: Workspace,
    default: Mapping[str, Value],
    *,
    opened: bool,
    stage: Callable[[str], None],
) -> Frozen:
    """The baselines, trained now if they were not.

    default  the parameters of trial 0
    opened   whether the test set is open: what was not frozen before is no baseline any more
    """
    model, folder = here.folder / "model", here.folder / "baselines"
    found = _recall(here.journal.records, model, folder)
    if found is None and not opened:
        stage("training the baselines")
        found = _freeze(selection, study, here, default, folder)
        prints = {name: fingerprint(place) for name, place in found.models.items()}
        here.journal.append(
            [
                {
                    "kind": "baselines",
                    "model": fingerprint(model),
                    "baselines": prints,
                    "left_out": found.left_out,
                }
            ]
        )
    return found or Frozen({}, {})


def _freeze(
    selection: Selection, study: Study, here: Workspace, default: Mapping[str, Value], folder: Path
) -> Frozen:
    """Train the baselines and save each in a folder of its own below `folder`.

    A default configuration that diverges, and is no rival then, is left out.
    """
    made: dict[str, Path] = {}
    chosen = load(here.folder / "model")
    again = None if selection.trial == 0 else _default(study, here, default)
    if again is not None:
        made["default"] = keep(folder / "default", here, again.model, calibration=again.calibration)
    of_choice = variant(selection.settings, ALL_ROWS if study.refit else OWN)
    plain = of_choice._replace(numbers="plain", bins=0, class_weight="none")
    fold, classes = here.preparations.fold(plain), len(here.dataset.classes)
    affine = _affine(chosen.recipe, fold.train.x.shape[1:], here.dataset.task, classes)
    fits = {"linear": baselines.linear, "trivial": baselines.trivial}
    for name, fit in fits.items():
        if not chosen.recipe.each and (name == "trivial" or len(affine.inputs) == 1):
            params = (
                baselines.of_labels(fit, _host(fold), affine.outputs)
                if here.dataset.task == "multilabel"
                else fit(_host(fold), affine.outputs, classes, quantile_of(here.metric))
            )
            model = Delivered(Program(affine, plain), chosen.hyper, params)
            made[name] = keep(folder / name, here, model, threshold=0.5)
    if reason := boosting.why_not(here.dataset):
        return Frozen(made, {trees.NAME: reason})
    rival = boosting.fit(
        here.dataset,
        here.metric,
        balanced=of_choice.class_weight == "balanced",
        seed=study.seed,
        refit=study.refit,
    )
    made[trees.NAME] = trees.save(folder / trees.NAME, rival)
    return Frozen(made, {})


def _default(study: Study, here: Workspace, params: Mapping[str, Value]) -> Refitted | None:
    try:
        seeds = study.search.seeds if averages(study, here) else 1
        return refitted(study, here, retrain(here.engine, here.plan, params, seeds=seeds))
    except WorkbenchError:
        return None


def _recall(events: Iterable[Mapping[str, Any]], model: Path, folder: Path) -> Frozen | None:
    """The baselines that were frozen for this model, if all of them are still there; else None."""
    made = [event for event in events if event["kind"] == "baselines"]
    if not made or made[-1]["model"] != fingerprint(model):
        return None
    found = {name: folder / name for name in made[-1]["baselines"]}
    try:
        whole = all(fingerprint(found[name]) == known for name, known in made[-1]["baselines"].items())
    except StoreError:
        return None
    return Frozen(found, dict(made[-1].get("left_out", {}))) if whole else None


def _affine(recipe: Recipe, inputs: tuple[int, ...], task: str, classes: int) -> Recipe:
    """The affine model beside the choice, with these inputs."""
    several = task == "multilabel"
    family = "linear" if task == "regression" else "logistic" if classes == 2 or several else "softmax"
    outputs = recipe.outputs if task != "classification" else 1 if classes == 2 else classes
    loss = {"linear": "mse", "logistic": "binary_cross_entropy"}.get(family, "cross_entropy")
    plain = Recipe(
        family, inputs, outputs, loss, recipe.metric, options=(("labels", True),) if several else ()
    )
    return replace(plain, optimizers=recipe.optimizers)


def _host(fold: Fold) -> Fold:
    """Arrays of NumPy."""
    train = type(fold.train)(*(np.asarray(field) for field in fold.train))
    return fold._replace(train=train, shift=np.asarray(fold.shift), scale=np.asarray(fold.scale))
