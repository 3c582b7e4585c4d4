"""What a trained model can be asked for its picture: activations and slopes, filters, passes, its descent.

Everything comes out as NumPy arrays, padding cut off, so that who draws it needs no jax.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from workbench.core import vocabulary
from workbench.core.types import Array, Fold
from workbench.evaluation.analysis import backpropagation
from workbench.evaluation.analysis.backpropagation import Blame
from workbench.nn.activations import ACTIVATIONS
from workbench.nn.losses import LOSSES
from workbench.nn.models import embeddings, predict
from workbench.nn.models.layers import normalizes
from workbench.nn.recipe import Hyperparameters, Recipe
from workbench.training import population

#: Families whose outputs are one affine function of the input.
AFFINE = ("linear", "logistic", "softmax", "perceptron")
#: The layer that sees the input.
_FIRST = {"mlp": "hidden_00", "residual": "embed", "highway": "embed", "cnn": "conv_00"}


def activation_samples(names: Sequence[str], z: Array) -> dict[str, tuple[Array, Array]]:
    """g(z) and g'(z) of each named activation at z [M], [M] each.

    Derivatives are those that training uses, also at a kink. Softmax couples units: shown is the first of the
    two units (z, 0), which is the logistic function.
    """
    functions = {name: jax.vmap(jax.value_and_grad(_scalar(name))) for name in names}
    found = jax.jit(lambda z: {name: both(z) for name, both in functions.items()})(np.float32(z))
    return {name: (np.asarray(found[name][0]), np.asarray(found[name][1])) for name in names}


def first_layer(recipe: Recipe, hyper: Hyperparameters, params: Any) -> Array | None:
    """The weights that see the input: [n, F] of n dense units in use, [n, k, k, C] of kernels; else None."""
    if recipe.family in AFFINE:
        return np.asarray(params["weight"])
    of_steps = recipe.family == "cnn" and len(recipe.inputs) == 2
    if recipe.family not in _FIRST or embeddings.embeds(recipe) or of_steps:
        return None
    weight = np.asarray(params[_FIRST[recipe.family]]["weight"])
    return weight if weight.ndim == 4 else weight[: int(hyper.width)]


def losses_of(recipe: Recipe, hyper: Hyperparameters, params: Any, x: Array, y: Array) -> Array:
    """The loss of each row [N], in evaluation mode; x [N, *F], y as the loss takes it (see `types.Fold`)."""
    loss = LOSSES[recipe.loss].function

    @jax.jit
    def rows(hyper: Hyperparameters, params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        out = jax.vmap(lambda one: predict(recipe, hyper, params, one))(x)
        each: jax.Array = jax.vmap(loss, in_axes=(0, 0, None))(out, y, jnp.float32(0.0))
        return each

    return np.asarray(rows(hyper, params, x, y))


def pointwise_loss(name: str) -> Callable[[Array, Array], Array]:
    """A loss of one output as a function of arrays that broadcast: outputs, targets -> losses."""
    function = LOSSES[name].function
    codes = "regression" not in vocabulary.LOSSES[name]
    batched = jax.jit(
        jax.vmap(
            lambda out, y: function(out[None], y.astype(jnp.int32) if codes else y[None], jnp.float32(0.0))
        )
    )

    def loss(outputs: Array, y: Array) -> Array:
        outputs, y = np.broadcast_arrays(outputs, y)
        flat = batched(outputs.ravel().astype(np.float32), y.ravel().astype(np.float32))
        return np.asarray(flat, np.float64).reshape(outputs.shape)

    return loss


def two_passes(recipe: Recipe, hyper: Hyperparameters, params: Any, x: Array, y: Any) -> Blame | None:
    """Forward and backward of one example: x [*F], y as the loss takes it.

    For a multilayer perceptron whose derivatives are written out in `backpropagation`, or an affine model,
    which has one layer; None for every other.
    """
    if recipe.family in AFFINE:
        weight, bias = (np.asarray(params[name]) for name in ("weight", "bias"))
        outputs = jnp.asarray(weight @ x.ravel() + bias)
        error = jax.grad(LOSSES[recipe.loss].function)(outputs, jnp.asarray(y), jnp.float32(0.0))
        return Blame((x.ravel(), np.asarray(outputs)), (weight,), (np.asarray(error),))
    named = {name for names in recipe.activations for name in vocabulary.by_layer(names)}
    written = named <= set(backpropagation.DERIVATIVES)
    plain = recipe.family == "mlp" and not embeddings.embeds(recipe) and not normalizes(recipe)
    if not plain or not written or recipe.loss not in backpropagation.OUTPUT_ERRORS:
        return None
    return backpropagation.blame(recipe, hyper._replace(label_smoothing=np.float32(0.0)), params, x, y)


def descent(recipe: Recipe, hyper: Hyperparameters, fold: Fold, *, epochs: Sequence[int], seed: int) -> Array:
    """The weight and the bias of an affine model of one feature and one output, [len(epochs), 2] float64.

    After so many epochs each, rising; 0 is before the first. The training is repeated, with `seed` for the
    order of the rows and everything else as it was, so the path is that of the record up to rounding.
    """
    mesh = population.mesh_of_host()
    places = population.places([0], mesh.size, mesh.size)
    hypers, placed = population.stack([hyper], places), population.place(mesh, fold)
    key = jax.random.key(seed)
    lanes = population.start(recipe, mesh, hypers, key)
    turns = population.in_turn(mesh)
    path, room = [], int(np.diff(epochs, prepend=0).max(initial=1))
    for first, last in pairwise([0, *epochs]):
        if last > first:
            span = jnp.int32(first), jnp.int32(last - first)
            lanes, _ = population.advance(recipe, mesh, room, turns, hypers, lanes, placed, key, *span)
        path.append((float(lanes.params["weight"][0, 0, 0]), float(lanes.params["bias"][0, 0])))
    return np.array(path)


def _scalar(name: str) -> Callable[[jax.Array], jax.Array]:
    function = ACTIVATIONS[name]
    if name == "softmax":
        return lambda z: function(jnp.stack([z, jnp.zeros_like(z)]))[0]
    return function
