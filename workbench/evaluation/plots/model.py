"""Which pictures of the delivered model make sense for a study, and what is drawn in them.

Everything is asked of the model, the training rows and the validation rows; a `Dataset` holds no others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from workbench.core import vocabulary
from workbench.core.records import Outcome
from workbench.core.target_transform import to_training
from workbench.core.types import Array, Choice, Fold
from workbench.data import Dataset
from workbench.evaluation.analysis import landscape, probes
from workbench.evaluation.mistakes import errors
from workbench.evaluation.plots import Figure
from workbench.evaluation.plots.filters import first_layer_filters
from workbench.evaluation.plots.fits import MOST_CLASSES, decision_boundary, fitted_curve
from workbench.evaluation.plots.functions import activation_functions
from workbench.evaluation.plots.landscape import cost_bowl, loss_surface
from workbench.evaluation.plots.mistaken import MOST, mistaken_images
from workbench.evaluation.plots.network import network_diagram
from workbench.evaluation.plots.style import number
from workbench.evaluation.predictor import Predictor, decisions, label_probabilities, probabilities
from workbench.nn.models import embeddings
from workbench.nn.models.layers import normalizes
from workbench.nn.recipe import Recipe

#: What fits into a network diagram: features, units of a layer or outputs, hidden layers.
MOST_INPUTS, MOST_UNITS, MOST_LAYERS = 8, 12, 3
#: Points of the way down the bowl.
MOST_STEPS = 200


def pictures(
    outcome: Outcome, predictor: Predictor, dataset: Dataset, fold: Fold, estimates: Array | None = None
) -> dict[str, Figure]:
    """The pictures by name, in the order in which a report shows them; none before a choice.

    fold       the rows as the delivered model takes them
    estimates  of the validation rows; None: the model is asked

    What shows weights shows those of the first member where the model is an ensemble.

        decision_boundary  two numeric features, up to eight classes
        fitted_curve       one numeric feature; a number to predict, or two classes
        cost_bowl          an affine model of one feature with one output
        network            a small multilayer perceptron or affine model, on the validation row with the
                           greatest loss
        filters            images, or columns that are called pixels and make a square
        mistaken_images    the same, of classes
        loss_surface       hidden layers, unless a plane through the model would take too long
        activations        the activation was searched
    """
    if outcome.selection is None:
        return {}
    one = predictor.member(0)
    drawn: dict[str, Figure | None] = {
        **_fit(predictor, dataset),
        "cost_bowl": _bowl(outcome, one, fold),
        "network": _network(one, dataset, fold),
        "filters": _filters(one, dataset, fold),
        "mistaken_images": _mistaken(predictor, dataset, fold, estimates),
        "loss_surface": _surface(one, fold),
        "activations": _activations(outcome, predictor),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def is_small(predictor: Predictor) -> bool:
    """Whether every neuron of the model can be drawn with its number."""
    recipe = predictor.recipe
    if math.prod(recipe.inputs) > MOST_INPUTS or recipe.outputs > MOST_UNITS:
        return False
    hyper = predictor.hyper
    return recipe.family in probes.AFFINE or (
        not embeddings.embeds(recipe)
        and not normalizes(recipe)
        and int(hyper.width) <= MOST_UNITS
        and int(hyper.depth) <= MOST_LAYERS
        and recipe.family == "mlp"
    )


def image_shape(dataset: Dataset, recipe: Recipe) -> tuple[int, int, int] | None:
    """[H, W, C] of what the model sees, if it is an image: one of an array, or a square of pixel columns."""
    if len(recipe.inputs) == 3:
        return recipe.inputs[0], recipe.inputs[1], recipe.inputs[2]
    n = len(dataset.columns)
    side = math.isqrt(n)
    named = all(
        column.kind == "numeric" and column.name.lower().startswith("pix") for column in dataset.columns
    )
    return (side, side, 1) if named and n >= 16 and side**2 == n and recipe.inputs == (n,) else None


def _fit(predictor: Predictor, dataset: Dataset) -> dict[str, Figure | None]:
    """The decision boundary or the fitted curve: what can be seen in the units of the data."""
    names, x = _numbers(dataset)
    y = np.asarray(dataset.target)
    validation = np.zeros(len(y), bool)
    validation[dataset.validation] = True
    there = np.isfinite(x).all(axis=1)
    x, y, validation = x[there], y[there], validation[there]
    if len(names) not in (1, 2) or not len(x):
        return {}
    ask, classes = _asking(predictor, dataset, names), dataset.classes
    if len(names) == 2 and dataset.task == "classification" and len(classes) <= MOST_CLASSES:
        figure = decision_boundary(
            ask, x, y, validation, classes=classes, features=names, threshold=predictor.threshold
        )
        return {"decision_boundary": figure}
    plain = dataset.task == "regression" and y.reshape(len(y), -1).shape[1] == 1
    if len(names) == 1 and (plain or len(classes) == 2):
        target = dataset.target_name if plain else f"probability of {classes[1]}"
        figure = fitted_curve(
            lambda along: ask(along[:, np.newaxis])[:, -1],
            x[:, 0],
            y.ravel(),
            validation,
            feature=names[0],
            target=target,
        )
        return {"fitted_curve": figure}
    return {}


def _bowl(outcome: Outcome, predictor: Predictor, fold: Fold) -> Figure | None:
    recipe, chosen = predictor.recipe, outcome.selection
    if recipe.family not in probes.AFFINE or recipe.inputs != (1,) or recipe.outputs != 1:
        return None
    if chosen is None or not chosen.seeds or np.ptp(fold.train.weight) > 0:  # weighted rows: another bowl
        return None
    best, last = chosen.seeds[0].best_epoch, len(chosen.seeds[0].curves.train_loss)
    epochs = sorted({best, *np.linspace(0, last, min(last, MOST_STEPS) + 1).astype(int).tolist()})
    path = probes.descent(recipe, predictor.hyper, fold, epochs=epochs, seed=int(predictor.hyper.seed))
    rows = landscape.evenly(fold, len(fold.train.x), regression=predictor.task == "regression")
    loss = probes.pointwise_loss(recipe.loss)
    return cost_bowl(rows.x[:, 0], rows.y.ravel(), path, loss=loss, epochs=epochs, best=best)


def _network(predictor: Predictor, dataset: Dataset, fold: Fold) -> Figure | None:
    if not is_small(predictor):
        return None
    recipe, hyper, params, rows = predictor.recipe, predictor.hyper, predictor.params, fold.validation
    y = np.asarray(rows.y)
    if predictor.task == "regression":
        y = to_training(y, fold).astype(np.float32)
    row = int(np.argmax(probes.losses_of(recipe, hyper, params, np.asarray(rows.x), y)))
    passes = probes.two_passes(recipe, hyper, params, np.asarray(rows.x)[row], y[row])
    if passes is None:
        return None
    names = dataset.classes if predictor.task == "classification" else dataset.outputs
    said = _said(predictor, dataset.classes, np.asarray(rows.x)[row : row + 1], np.asarray(rows.y)[row])
    return network_diagram(
        passes.activities,
        passes.weights,
        passes.errors,
        inputs=predictor.preprocessor.feature_names if len(recipe.inputs) == 1 else (),
        outputs=names[-1:] if recipe.outputs == 1 else names if len(names) == recipe.outputs else (),
        note=f"the validation row with the greatest loss: {said}",
    )


def _filters(predictor: Predictor, dataset: Dataset, fold: Fold) -> Figure | None:
    recipe, shape = predictor.recipe, image_shape(dataset, predictor.recipe)
    weights = probes.first_layer(recipe, predictor.hyper, predictor.params)
    if shape is None or weights is None:
        return None
    if weights.ndim == 4:
        return first_layer_filters(weights, words="kernels") if weights.shape[1] > 1 else None
    silent = np.ptp(np.asarray(fold.train.x), axis=0).ravel() == 0
    pixels = np.where(silent, np.nan, weights).reshape(-1, *shape)
    per_class = recipe.family in probes.AFFINE and len(weights) == len(dataset.classes)
    names: Sequence[str] = dataset.classes if per_class else ()
    return first_layer_filters(pixels, names=names, words="classes" if per_class else "units")


def _mistaken(predictor: Predictor, dataset: Dataset, fold: Fold, estimates: Array | None) -> Figure | None:
    shape = image_shape(dataset, predictor.recipe)
    if shape is None or predictor.task != "classification":
        return None
    outputs = predictor.estimates(np.asarray(fold.validation.x)) if estimates is None else estimates
    truth = np.asarray(fold.validation.y)
    said = decisions(outputs, predictor.threshold)
    wrong = np.flatnonzero(said != truth)
    if not len(wrong):
        return None
    surprise = errors(predictor, fold, outputs)[wrong]
    first = wrong[np.argsort(-surprise, kind="stable")[:MOST]]
    rows: Any = dataset.pick(dataset.validation[first])
    images = np.asarray(rows, np.float64).reshape(-1, *shape)
    names = [[dataset.classes[code] for code in codes[first]] for codes in (truth, said)]
    return mistaken_images(images, *names, of=(len(wrong), len(truth)))


def _surface(predictor: Predictor, fold: Fold) -> Figure | None:
    recipe, hyper, params = predictor.recipe, predictor.hyper, predictor.params
    if not vocabulary.FAMILIES[recipe.family].hidden or recipe.each:
        return None
    most = landscape.affordable_rows(recipe, hyper, params)
    if not most:
        return None
    rows = landscape.evenly(fold, most, regression=predictor.task == "regression")
    steps, losses, n = landscape.surface(recipe, hyper, params, rows)
    weight, bias = landscape.fit_affine(recipe.loss, recipe.outputs, rows)
    plain = landscape.affine_surface(recipe.loss, weight, bias, rows)
    names = (recipe.family, "without hidden layers")
    return loss_surface(steps, losses, plain.losses, names=names, rows=n)


def _activations(outcome: Outcome, predictor: Predictor) -> Figure | None:
    axis, family = outcome.axes.get("activation"), vocabulary.FAMILIES[predictor.recipe.family]
    if not isinstance(axis, Choice) or len(axis.choices) < 2 or "activation" not in family.shaped_by:
        return None
    names = list(dict.fromkeys(name for choice in axis.choices for name in vocabulary.by_layer(str(choice))))
    chosen = vocabulary.by_layer(predictor.recipe.activations[int(predictor.hyper.activation)])
    z = np.linspace(-4.0, 4.0, 401)
    return activation_functions(z, probes.activation_samples(names, z), chosen=chosen)


def _numbers(dataset: Dataset) -> tuple[tuple[str, ...], Array]:
    """Names and values [N, n] of the features if all of them are numbers; else none."""
    rows: Any = dataset.rows
    if isinstance(rows, np.ndarray):
        names = tuple(f"x_{j}" for j in range(rows.shape[1])) if rows.ndim == 2 else ()
        return names, rows.reshape(len(rows), -1)[:, : len(names)].astype(np.float64)
    if any(column.kind != "numeric" for column in dataset.columns):
        return (), np.zeros((len(rows), 0))
    names = tuple(column.name for column in dataset.columns)
    return names, np.stack([rows[name].to_numpy(np.float64) for name in names], axis=1)


def _asking(predictor: Predictor, dataset: Dataset, names: Sequence[str]) -> Callable[[Array], Array]:
    """Points [M, n] in the units of the data -> numbers [M, K] in those units, or probabilities [M, C]."""

    def ask(points: Array) -> Array:
        rows: Any = points
        if not isinstance(dataset.rows, np.ndarray):
            columns: Mapping[str, Array] = {name: points[:, j] for j, name in enumerate(names)}
            rows = dataset.rows.iloc[np.zeros(len(points), np.int64)].assign(**columns)
        outputs = predictor.raw_estimates(rows)
        if predictor.task == "multilabel":
            return label_probabilities(outputs)
        return outputs if predictor.task == "regression" else probabilities(outputs)

    return ask


def _said(predictor: Predictor, classes: Sequence[str], x: Array, y: Array) -> str:
    """What the model says of one row x [1, *F], beside the truth."""
    outputs = predictor.estimates(x)
    if predictor.task == "regression":
        truth, guess = (number(float(f"{float(np.ravel(value)[0]):.4g}")) for value in (y, outputs))
        return f"true {truth}, predicted {guess}"
    if predictor.task == "multilabel":
        chance = label_probabilities(outputs)[0]
        wrong = int(np.argmax(np.abs(chance - y)))
        has = "has" if y[wrong] else "has not"
        return f"it {has} label {wrong + 1} of {len(y)}, to which the model gives {chance[wrong]:.0%}"
    chances = probabilities(outputs)[0]
    best = int(decisions(outputs, predictor.threshold)[0])
    truth = str(classes[int(y)])
    if best == int(y):
        return f"{truth}, and the model says so with {chances[best]:.0%}"
    return f"{truth}, but the model says {classes[best]} with {chances[best]:.0%}"
