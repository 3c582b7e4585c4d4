"""Models: named pairs of pure functions.

    init(recipe, hyper, *, key) -> params                      nested dict; keys: weight…, bias…, scale…
    apply(recipe, hyper, params, x, *, key=None) -> outputs    ONE example: x [*F] -> [K]

`key` is given to `apply` in training when units are dropped, and is None in evaluation. The batch axis is
mapped in `scoring`, the lane axis in `population`, nowhere else. Leaves whose name starts with "weight" are
regularized; biases and scales are free. `start` and `predict` are these functions for what is trained and
delivered, which may be an ensemble of such models; `loss` is what is trained.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from workbench.core import vocabulary
from workbench.core.errors import InputError
from workbench.core.types import Task, Value
from workbench.core.vocabulary import METRICS, Family
from workbench.nn.losses import LOSSES
from workbench.nn.models import affine, convolution, ensemble, mlp, recurrent, skip, tabm
from workbench.nn.models.base import Model, Params
from workbench.nn.recipe import Hyperparameters, Recipe

__all__ = ["MODELS", "Model", "loss", "n_parameters", "n_products", "predict", "register", "shapes", "start"]

MODELS: dict[str, Model] = {
    "linear": affine.MODEL,
    "logistic": affine.MODEL,
    "softmax": affine.MODEL,
    "perceptron": affine.MODEL,
    "mlp": mlp.MODEL,
    "residual": skip.RESIDUAL,
    "highway": skip.HIGHWAY,
    "tabm": tabm.TABM,
    "tabm_mini": tabm.TABM_MINI,
    "cnn": convolution.MODEL,
    "rnn": recurrent.ELMAN,
    "lstm": recurrent.LSTM,
}


def register(name: str, model: Model, family: Family | None = None) -> None:
    """Add a model under a name that study files may then use.

    Args:
        name: What `[model] family` says.
        model: The pair of functions.
        family: Which tasks and inputs it takes and which settings shape it. None: any task, rows of features
            [F], and the settings of a multilayer perceptron.

    Raises:
        InputError: if the name is taken.
    """
    if name in MODELS:
        raise InputError(f"model {name!r} is registered already; choose another name")
    vocabulary.FAMILIES[name] = family or vocabulary.PLAIN
    MODELS[name] = model


def start(recipe: Recipe, hyper: Hyperparameters, *, key: jax.Array) -> Params:
    """Initial parameters of what a recipe trains."""
    return ensemble.init(MODELS[recipe.family], recipe, hyper, key=key)


def predict(recipe: Recipe, hyper: Hyperparameters, params: Params, x: jax.Array) -> jax.Array:
    """Outputs in evaluation mode of ONE example: x [*F] -> [K]; of an ensemble, its members' average."""
    model = MODELS[recipe.family]
    task: Task = "regression" if METRICS[recipe.metric].task == "regression" else "classification"

    def one(params: Params) -> jax.Array:
        outputs = model.apply(recipe, hyper, params, x)
        return ensemble.average(outputs, task) if model.several else outputs

    outputs = ensemble.each_member(recipe, one)(params)
    return outputs if recipe.ensemble == 1 else ensemble.average(outputs, task)


def loss(recipe: Recipe, outputs: jax.Array, y: jax.Array, smoothing: jax.Array) -> jax.Array:
    """The training loss of ONE example, from what `apply` gives: of several members, their losses' mean."""
    function = LOSSES[recipe.loss].function
    if not MODELS[recipe.family].several:
        return function(outputs, y, smoothing)
    return jnp.mean(jax.vmap(function, in_axes=(0, None, None))(outputs, y, smoothing))


def n_parameters(recipe: Recipe, settings: Mapping[str, Value]) -> int:
    """How many numbers a model with these settings learns, by its closed formula; padding is not counted.

    A model without a formula is counted as it is initialized. All members of an ensemble are counted.
    """
    model = MODELS[recipe.family]
    if model.n_parameters is not None:
        shape = {
            name: settings[name] for name in vocabulary.FAMILIES[recipe.family].shaped_by if name in settings
        }
        own = {name: value for name, value in recipe.options if name != "ensemble"}
        return recipe.ensemble * model.n_parameters(recipe.inputs, recipe.outputs, **(own | shape))
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes(recipe)))


def n_products(recipe: Recipe, settings: Mapping[str, Value]) -> int:
    """How many products one example takes where every parameter meets it once, or once for each member."""
    return int(dict(recipe.options).get("members", 1)) * n_parameters(recipe, settings)


def shapes(recipe: Recipe) -> Params:
    """What the parameters of a recipe will be, padding included: names, shapes and types, no values."""
    blank = Hyperparameters(*(np.int32(1) for _ in Hyperparameters._fields))
    return jax.eval_shape(lambda key: start(recipe, blank, key=key), jax.random.key(0))
