"""A small model as a study would deliver it, with everything that a report is drawn from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pandas as pd

from tests.helpers import outcomes
from tests.helpers.families import scattered
from tests.helpers.problems import lane
from workbench import data
from workbench.core.records import Curves, Outcome, SeedRecord
from workbench.core.types import Choice, DataSpec, Fold
from workbench.data import Dataset
from workbench.evaluation.predictor import Predictor
from workbench.nn.models import MODELS
from workbench.nn.recipe import Hyperparameters, Recipe
from workbench.training import population

EPOCHS = 20


class Delivered(NamedTuple):
    outcome: Outcome
    predictor: Predictor
    dataset: Dataset
    fold: Fold


def table(folder: Path, columns: dict[str, np.ndarray], target: np.ndarray) -> Dataset:
    """Development rows of a CSV file with these columns, the last one the target."""
    pd.DataFrame({**columns, "target": target}).to_csv(folder / "rows.csv", index=False)
    return data.load(DataSpec("rows.csv", folder, target="target"))[0]


def images(folder: Path, x: np.ndarray, y: np.ndarray) -> Dataset:
    np.savez(folder / "rows.npz", x=x, y=y)
    return data.load(DataSpec("rows.npz", folder))[0]


def deliver(
    dataset: Dataset, recipe: dict[str, object], *, trained: bool = False, **lane_changes: float
) -> Delivered:
    """A model for `dataset`; `recipe` says the family and what else is not the default.

    Parameters are random, which takes no compiling, unless the model is to be trained for twenty epochs.
    """
    fold, preprocessor = data.prepare(dataset)
    classes = len(dataset.classes)
    loss = {0: "mse", 2: "binary_cross_entropy"}.get(classes, "cross_entropy")
    made = Recipe(
        **{  # type: ignore[arg-type]
            "inputs": fold.train.x.shape[1:],
            "outputs": classes if classes > 2 else 1,
            "loss": loss,
            "metric": "accuracy" if classes else "rmse",
            "optimizers": ("adam",),
            "schedules": ("constant",),
            "batch": 16,
            **recipe,
        }
    )
    hyper = lane(
        **{
            "depth": made.depth, "width": made.width, "epochs": EPOCHS, "learning_rate": 0.05, "dropout": 0.0,
            "l2": 0.0, "seed": 1_000_000, **lane_changes,
        }
    )  # fmt: skip
    params, curves = _trained(made, hyper, fold) if trained else _untrained(made, hyper)
    predictor = Predictor(
        recipe=made, hyper=hyper, params=params, preprocessor=preprocessor, task=dataset.task,
        classes=dataset.classes, threshold=0.5, shift=np.asarray(fold.shift), scale=np.asarray(fold.scale),
        columns=(),
    )  # fmt: skip
    return Delivered(_outcome(dataset, made, curves), predictor, dataset, fold)


def _trained(recipe: Recipe, hyper: Hyperparameters, fold: Fold) -> tuple[dict[str, object], Curves]:
    mesh = population.mesh_of_host()
    locations = population.places([0], mesh.size, mesh.size)
    stacked, placed = population.stack([hyper], locations), population.place(mesh, fold)
    key = jax.random.key(int(hyper.seed))
    lanes = population.start(recipe, mesh, stacked, key)
    span = np.int32(0), np.int32(EPOCHS)
    lanes, record = population.advance(recipe, mesh, EPOCHS, True, stacked, lanes, placed, key, *span)
    return population.unstack(lanes, locations)[0].params, Curves(*population.unstack(record, locations)[0])


def _untrained(recipe: Recipe, hyper: Hyperparameters) -> tuple[dict[str, object], Curves]:
    init = MODELS[recipe.family].init
    shapes = jax.eval_shape(lambda key: init(recipe, hyper, key=key), jax.random.key(0))
    params = scattered(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes))
    return params, Curves(*(np.ones((3, EPOCHS), np.float32)))  # type: ignore[return-value]


def _outcome(dataset: Dataset, recipe: Recipe, curves: Curves) -> Outcome:
    outcome = outcomes.regression(3) if dataset.task == "regression" else outcomes.classification(3)
    assert outcome.selection is not None
    seed = SeedRecord(1_000_000, 0.9, EPOCHS, curves)
    settings = {**outcome.selection.settings, "family": recipe.family}
    axes = {"activation": Choice(recipe.activations)} if len(recipe.activations) > 1 else {}
    return replace(
        outcome,
        axes=axes,
        classes=dataset.classes,
        selection=replace(outcome.selection, seeds=(seed,), settings=settings),
    )
