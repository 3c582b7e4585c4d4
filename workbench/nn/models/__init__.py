"""Models: named pairs of pure functions.

    init(recipe, hyper, *, key) -> params                      nested dict; keys: weight…, bias…, scale…
    apply(recipe, hyper, params, x, *, key=None) -> outputs    ONE example: x [*F] -> [K]

`key` is given to `apply` in training when units are dropped, and is None in evaluation. The batch axis is
mapped in `scoring`, the lane axis in `population`, nowhere else. Leaves whose name starts with "weight" are
regularized; biases and scales are free. `start` and `predict` are these functions for what is trained and
delivered, which may be an ensemble of such models; `loss` is what is trained.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from workbench.core import vocabulary
from workbench.core.errors import InputError
from workbench.core.types import Task, Value
from workbench.core.vocabulary import METRICS, Family
from workbench.nn import words
from workbench.nn.losses import LOSSES
from workbench.nn.models import affine, convolution, ensemble, mlp, recurrent, skip, tabm
from workbench.nn.models.base import Model, Params, Work
from workbench.nn.recipe import Hyperparameters, Recipe

__all__ = [
    "MODELS",
    "Model",
    "loss",
    "n_parameters",
    "n_products",
    "predict",
    "register",
    "shapes",
    "start",
    "trimmed",
    "work",
]

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
    "gru": recurrent.GRU,
}


def register(name: str, model: Model, family: Family | None = None, *, replace: bool = False) -> None:
    """Add a model under a name that study files may then use.

    Args:
        name: What `[model] family` says.
        model: The pair of functions.
        family: Which tasks and inputs it takes and which settings shape it. None: any task, rows of features
            [F], and the settings of a multilayer perceptron.
        replace: Take the place of a model of that name; studies that were run with it keep their records, so
            give those that use the new one another name.

    Raises:
        InputError: if the name is taken, or the functions take or give something else than a model's do.
    """
    if not isinstance(model, Model):
        raise InputError(f"model {name!r}: {model!r} is no model; give wb.Model(init, apply)")
    family = family or vocabulary.PLAIN
    if not isinstance(family, Family):
        raise InputError(f"model {name!r}: its family is {family!r}; give a Family, or leave it out")
    _check_model(str(name), model, family)
    words.admit("model", name, MODELS, replace=replace)
    vocabulary.FAMILIES[name] = family
    MODELS[name] = model


#: The shape of one example that a new model is tried with, by its rank; the outputs that it is to give; and
#: the settings that shape it, beside depth and width.
_TRIED: dict[int, tuple[int, ...]] = {1: (6,), 2: (5, 3), 3: (8, 8, 1)}
_OUTPUTS = 2
_OPTIONS: dict[str, Value] = {
    "blocks": 1,
    "channels": 4,
    "kernel": 3,
    "output": "last",
    "padding": "same",
    "pooling": "max",
}


def _check_model(name: str, model: Model, family: Family) -> None:
    """Raises InputError if the functions take other arguments, or give other shapes, than a model's do."""
    calls = {"init": ("recipe, hyper, *, key", 2), "apply": ("recipe, hyper, params, x, *, key=None", 4)}
    for what, (shown, count) in calls.items():
        function = getattr(model, what)
        words.check_callable("model", name, function, f"a function {what}({shown})")
        try:
            signature = inspect.signature(function)
        except ValueError:  # a built-in function, which says nothing
            continue
        try:
            signature.bind(*range(count), key=None)
        except TypeError as error:
            raise InputError(
                f"model {name!r}: its {what} takes {signature}; it must take ({shown}): {error}"
            ) from None
    metric = "rmse" if "regression" in family.tasks else "accuracy"
    shape, options = _TRIED[family.ranks[0]], tuple(_OPTIONS.items())
    recipe = Recipe(name, shape, _OUTPUTS, "mse", metric, depth=1, width=4, options=options)
    blank = _blank()
    try:
        params = jax.eval_shape(lambda key: model.init(recipe, blank, key=key), jax.random.key(0))
        outputs = jax.eval_shape(
            lambda params, x: model.apply(recipe, blank, params, x, key=None), params, words.number(shape)
        )
    except Exception:  # the model may be made for examples of another shape, which the study will show
        return
    if words.described(outputs) != f"float32 {[_OUTPUTS]}":
        raise InputError(
            f"model {name!r}: its apply gives {words.described(outputs)} for one example of shape "
            f"{list(shape)} where recipe.outputs is {_OUTPUTS}; it must give float32 [recipe.outputs]"
        )


def start(recipe: Recipe, hyper: Hyperparameters, *, key: jax.Array) -> Params:
    """Initial parameters of what a recipe trains."""
    return ensemble.init(MODELS[recipe.family], recipe, hyper, key=key)


def predict(recipe: Recipe, hyper: Hyperparameters, params: Params, x: jax.Array) -> jax.Array:
    """Outputs in evaluation mode of ONE example: x [*F] -> [K]; of an ensemble, its members' average."""
    model = MODELS[recipe.family]
    task: Task = "regression" if METRICS[recipe.metric].task == "regression" else "classification"
    task = "multilabel" if recipe.labels else task

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
        own = _shape(recipe, settings)
        return recipe.ensemble * model.n_parameters(recipe.inputs, recipe.outputs, **own)
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes(recipe)))


def n_products(recipe: Recipe, settings: Mapping[str, Value]) -> int:
    """How many products one example takes where every parameter meets it once, or once for each member."""
    return int(dict(recipe.options).get("members", 1)) * n_parameters(recipe, settings)


def work(recipe: Recipe, settings: Mapping[str, Value]) -> Work:
    """What one example costs: kernels count for each place, the weights of a recurrence for each step."""
    model = MODELS[recipe.family]
    if model.work is None:
        return Work(n_products(recipe, settings))
    found = model.work(recipe.inputs, recipe.outputs, **_shape(recipe, settings))
    return Work(*(recipe.ensemble * one for one in found))


def _shape(recipe: Recipe, settings: Mapping[str, Value]) -> dict[str, Value]:
    """What closed formulas are told of a model with these settings."""
    shape = {
        name: settings[name] for name in vocabulary.FAMILIES[recipe.family].shaped_by if name in settings
    }
    return {name: value for name, value in recipe.options if name != "ensemble"} | shape


def trimmed(recipe: Recipe, hyper: Hyperparameters, params: Params) -> tuple[Recipe, Params]:
    """A lane's model without the room that its program had for larger ones.

    Args:
        recipe: Of the program.
        hyper: Scalars of the lane.
        params: Its parameters, without the lane axis.

    Returns:
        The recipe of a model of the lane's own width and depth, and its parameters; what was given where that
        would cut off more than zeros, since a model of a user's own may lay out its room in another way.
    """
    smaller = replace(
        recipe, depth=recipe.depth and int(hyper.depth), width=recipe.width and int(hyper.width)
    )
    try:
        cut = _corner(params, shapes(smaller))
    except (KeyError, TypeError):  # layers of other names, or no dictionary of them
        return recipe, params
    whole, kept = (sum(np.count_nonzero(leaf) for leaf in jax.tree.leaves(tree)) for tree in (params, cut))
    return (smaller, cut) if kept == whole else (recipe, params)


def _corner(params: Params, wanted: Params) -> Params:
    """The entries of padded parameters that stand where those of `wanted` do."""
    if isinstance(wanted, Mapping):
        return {name: _corner(params[name], part) for name, part in wanted.items()}
    return np.asarray(params)[tuple(slice(size) for size in wanted.shape)]


def _blank() -> Hyperparameters:
    """A lane that stands for any: only types are looked at."""
    known = Hyperparameters._field_defaults
    return Hyperparameters(*(known.get(name, np.int32(1)) for name in Hyperparameters._fields))


def shapes(recipe: Recipe) -> Params:
    """What the parameters of a recipe will be, padding included: names, shapes and types, no values."""
    blank = _blank()
    return jax.eval_shape(lambda key: start(recipe, blank, key=key), jax.random.key(0))
