"""A small problem for every family of models: what the tests that walk the registry walk with."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tests.helpers.problems import lane
from workbench.core import vocabulary
from workbench.nn.losses import LOSSES
from workbench.nn.models import MODELS
from workbench.nn.recipe import Hyperparameters, Recipe
from workbench.nn.regularizers import penalty
from workbench.tuning.space import PLAIN

ROWS = 8


class Case(NamedTuple):
    """A recipe without padding, the settings it was made of, a lane, and rows whose targets are random."""

    recipe: Recipe
    settings: dict[str, object]
    hyper: Hyperparameters
    x: np.ndarray
    y: np.ndarray


def case(family: str, task: str | None = None, **changes: object) -> Case:
    """The problem of a family; any setting or option may be changed."""
    word = vocabulary.FAMILIES[family]
    task = task or [name for name in word.tasks if name != "multilabel"][-1]
    settings: dict[str, object] = {
        "depth": 2, "width": 5, "blocks": 2, "kernel": 3, "channels": 3, "pooling": "max", "padding": "same",
        "output": "last", "activation": "tanh", "members": 3, "residual_blocks": 0, "global_pooling": "none",
        "bidirectional": False,
    } | changes  # fmt: skip
    shaped = {name: settings[name] for name in word.shaped_by if name in settings}
    options = {name: shaped[name] for name in shaped if name not in ("depth", "width", "activation", "taper")}
    options = {name: value for name, value in options.items() if (name, value) not in PLAIN}
    options |= {"tapers": True} if "taper" in shaped else {}
    options |= {name: changes[name] for name in ("masked", "numbers") if name in changes}
    outputs, loss, metric = {
        "regression": (2, "mse", "rmse"),
        "classification": (3, "cross_entropy", "accuracy"),
        "multilabel": (3, "binary_cross_entropy", "label_accuracy"),
        "binary": (1, "perceptron" if family == "perceptron" else "binary_cross_entropy", "accuracy"),
    }[task]
    recipe = Recipe(
        family=family,
        inputs=tuple(changes.get("inputs", {1: (12,), 2: (6, 4), 3: (8, 7, 2)}[word.ranks[0]])),  # type: ignore[call-overload]
        outputs=outputs,
        loss=loss,
        metric=metric,
        depth=shaped.get("depth", 0),  # type: ignore[arg-type]
        width=shaped.get("width", 0),  # type: ignore[arg-type]
        activations=(str(settings["activation"]),),
        options=tuple(sorted(options.items())),  # type: ignore[arg-type]
    )
    draw = np.random.default_rng(3)
    x = draw.normal(size=(ROWS, *recipe.inputs)).astype(np.float32)
    if settings.get("masked"):
        x[..., -1] = np.arange(recipe.inputs[0]) < draw.integers(1, recipe.inputs[0] + 1, ROWS)[:, None]
    shape = (ROWS, recipe.inputs[0]) if settings["output"] == "each" else (ROWS,)
    if task == "regression":
        y = draw.normal(size=(*shape, outputs)).astype(np.float32)
    elif task == "multilabel":
        y = draw.integers(0, 2, size=(*shape, outputs)).astype(np.float32)
    else:
        y = draw.permuted(np.resize(np.arange(max(2, outputs)), shape)).astype(np.int32)
    taper = float(settings.get("taper", 1.0))  # type: ignore[arg-type]
    hyper = lane(depth=recipe.depth, width=recipe.width, taper=taper, seed=1)
    return Case(recipe, {**shaped}, hyper, x, y)


def scattered(params: object, seed: int = 0) -> object:
    """Parameters with noise on every leaf, so that none is zero."""
    draw = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: np.asarray(leaf) + 0.3 * draw.normal(size=leaf.shape).astype(np.float32), params
    )


@partial(jax.jit, static_argnames="recipe")
def start(recipe: Recipe, hyper: Hyperparameters) -> object:
    """Initial parameters."""
    return MODELS[recipe.family].init(recipe, hyper, key=jax.random.key(5))


@partial(jax.jit, static_argnames="recipe")
def predicted(recipe: Recipe, hyper: Hyperparameters, params: object, x: jax.Array) -> jax.Array:
    """Outputs of all rows; of several members, each its own."""
    return jax.vmap(lambda row: MODELS[recipe.family].apply(recipe, hyper, params, row))(x)


@partial(jax.jit, static_argnames="recipe")
def loss_and_gradients(
    recipe: Recipe, hyper: Hyperparameters, params: object, x: jax.Array, y: jax.Array, l2: float = 0.0
) -> tuple[jax.Array, object]:
    """The mean loss over rows, and over steps where each has its target, with its penalty."""

    def objective(params: object) -> jax.Array:
        outputs, targets = predicted(recipe, hyper, params, x), y
        if MODELS[recipe.family].several:  # each member has the row's target
            targets = jnp.repeat(y[:, None], outputs.shape[1], axis=1)
        rows = outputs.reshape(-1, outputs.shape[-1])
        targets = targets.reshape(-1, *targets.shape[outputs.ndim - 1 :])
        each = jax.vmap(LOSSES[recipe.loss].function, (0, 0, None))(rows, targets, jnp.float32(0.0))
        return each.mean() + penalty(params, 0.0, l2)

    return jax.value_and_grad(objective)(params)
