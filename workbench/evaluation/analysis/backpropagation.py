"""Gradients written out: backpropagation from its equations, who is to blame, the finite-difference check.

For layers l = 1 … L with z^l = W^l a^{l-1} + b^l and a^l = g(z^l), where the last layer is linear and the
loss C takes its outputs z^L (sigmoid and softmax belong to the loss):

    δ^L = ∂C/∂z^L,    δ^l = (W^{l+1}ᵀ δ^{l+1}) ∘ g'(z^l),    ∂C/∂W^l = δ^l a^{l-1}ᵀ,    ∂C/∂b^l = δ^l

Training uses automatic differentiation; this is what it is held against, and what explains it.

Source: *Neural networks, really understood*, *Perceptron to MLP*, *Understanding neural networks*;
Rumelhart, Hinton & Williams 1986.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from workbench.core import vocabulary
from workbench.core.errors import InputError
from workbench.core.types import Array
from workbench.nn import models
from workbench.nn.activations import LEAK, activate, at_layer
from workbench.nn.models import MODELS, embeddings
from workbench.nn.models.base import Params
from workbench.nn.models.layers import layer_rooms, layer_widths, normalizes
from workbench.nn.recipe import Hyperparameters, Recipe

#: Directions of the finite-difference check that are evaluated at once.
CHUNK = 64
#: α and λ of SELU: the fixed point of mean 0 and variance 1.
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


@dataclass(frozen=True, eq=False)
class Blame:
    """How the error of one example goes back through a multilayer perceptron; padding is cut off.

    activities  a^0 (the input), a^1, …, z^L (the outputs): [F], [H], …, [K]
    weights     W^1 … W^L, each [out, in]
    errors      δ^1 … δ^L, each [out]: by how much the loss grows with a neuron's z
    """

    activities: tuple[Array, ...]
    weights: tuple[Array, ...]
    errors: tuple[Array, ...]

    def contributions(self, layer: int) -> Array:
        """w_ji a_i, what upstream neuron i adds to z_j: [out, in]; layers count from 0."""
        product: Array = self.weights[layer] * self.activities[layer][None]
        return product

    def shares(self, layer: int) -> Array:
        """|w_ji a_i| / Σ_i |w_ji a_i|, [out, in]; rows sum to one, or to zero where nothing is active."""
        size = np.abs(self.contributions(layer))
        total = size.sum(axis=1, keepdims=True)
        shares: Array = size / np.where(total > 0.0, total, 1.0)
        return shares

    def gradient(self, layer: int) -> Array:
        """∂C/∂W [out, in]: each weight's is its neuron's error times the upstream activity."""
        product: Array = self.errors[layer][:, None] * self.activities[layer][None]
        return product


def backpropagation(
    recipe: Recipe, hyper: Hyperparameters, params: Params, x: jax.Array, y: jax.Array
) -> Params:
    """The gradient of the loss of one example, a tree like `params`. x [*F], y as the loss takes it.

    Without penalties and dropped units, in the precision of `params`. Raises InputError if the family is not
    mlp, or for a loss or activation whose derivative is not written here.
    """
    layers, activities, errors = _passes(recipe, hyper, params, x, y)
    return {
        name: {"weight": error[:, None] * activity[None], "bias": error}
        for name, activity, error in zip(layers, activities, errors, strict=False)
    }


def blame(recipe: Recipe, hyper: Hyperparameters, params: Params, x: Any, y: Any) -> Blame:
    """Who is to blame for the error of one example. Raises InputError as `backpropagation` does."""
    layers, activities, errors = _passes(recipe, hyper, params, jnp.asarray(x), jnp.asarray(y))
    depth, widths = int(hyper.depth), [int(width) for width in layer_widths(recipe, hyper)]
    used = [layer for layer in range(len(layers)) if layer < depth or layer == len(layers) - 1]
    ends = [*widths[: len(used) - 1], recipe.outputs]
    begins = [len(activities[0]), *ends[:-1]]
    weights = [np.asarray(params[layers[layer]]["weight"]) for layer in used]
    return Blame(
        activities=tuple(
            np.asarray(activities[layer])[:size]
            for layer, size in zip([*used, -1], [*begins, ends[-1]], strict=True)
        ),
        weights=tuple(w[:out, :into] for w, out, into in zip(weights, ends, begins, strict=True)),
        errors=tuple(np.asarray(errors[layer])[:size] for layer, size in zip(used, ends, strict=True)),
    )


def finite_differences(
    recipe: Recipe, hyper: Hyperparameters, params: Params, x: Any, y: Any, *, step: float = 1e-6
) -> float:
    """The largest relative difference between automatic gradients and central differences.

    Over all parameters of any registered model. The loss is the mean over rows x [N, *F] and y [N, ...] (over
    rows and steps, for outputs of every step), in evaluation mode and float64 on the CPU whatever the rest
    runs in. A difference is taken relative to the larger of the two, or to a thousandth of the largest
    gradient, below which the rounding of the differences would speak. Costs two passes for every parameter.
    """
    with jax.enable_x64(True), jax.default_device(jax.local_devices(backend="cpu")[0]):
        hyper, params, x, y = jax.tree.map(_wide, (hyper, params, x, y))
        flat, unravel = ravel_pytree(params)
        model = MODELS[recipe.family]

        def objective(flat: jax.Array) -> jax.Array:
            out, targets = jax.vmap(lambda row: model.apply(recipe, hyper, unravel(flat), row))(x), y
            if not model.several:
                out, targets = out.reshape(-1, out.shape[-1]), y.reshape(-1, *y.shape[out.ndim - 1 :])
            each = jax.vmap(partial(models.loss, recipe), in_axes=(0, 0, None))
            return each(out, targets, hyper.label_smoothing).mean()

        def slope(i: jax.Array) -> jax.Array:
            h = step * jnp.maximum(1.0, jnp.abs(flat[i]))
            return (objective(flat.at[i].add(h)) - objective(flat.at[i].add(-h))) / (2.0 * h)

        automatic = np.asarray(jax.jit(jax.grad(objective))(flat))
        numeric = np.asarray(
            jax.jit(lambda i: jax.lax.map(slope, i, batch_size=CHUNK))(jnp.arange(flat.size))
        )
    size = np.maximum(np.abs(automatic), np.abs(numeric))
    floor = max(1e-3 * float(size.max()), np.finfo(np.float64).tiny)
    return float(np.max(np.abs(automatic - numeric) / np.maximum(size, floor)))


def _passes(
    recipe: Recipe, hyper: Hyperparameters, params: Params, x: jax.Array, y: jax.Array
) -> tuple[list[str], list[jax.Array], list[jax.Array]]:
    """The layers' names, the activities a^0 … z^L and the errors δ^1 … δ^L, padding included."""
    if recipe.family != "mlp":
        raise InputError(f"family {recipe.family!r}: backpropagation is written out for the family mlp alone")
    if embeddings.embeds(recipe):
        raise InputError(
            "backpropagation is not written out for embedded numbers; use automatic differentiation"
        )
    if normalizes(recipe):
        raise InputError("backpropagation is not written out for norms; use automatic differentiation")
    unknown = [
        name for names in recipe.activations for name in vocabulary.by_layer(names) if name not in DERIVATIVES
    ]
    if unknown or recipe.loss not in OUTPUT_ERRORS:
        raise InputError(
            f"the derivative of {unknown[0] if unknown else recipe.loss!r} is not written out; "
            "use automatic differentiation"
        )
    names = sorted(params)
    sizes = zip(layer_rooms(recipe), layer_widths(recipe, hyper), strict=True)
    actives = [jnp.arange(room) < width for room, width in sizes]
    in_use = [jnp.asarray(layer == 0) | (layer < jnp.asarray(hyper.depth)) for layer in range(recipe.depth)]

    activities, sums = [x.ravel()], []
    for layer, (name, used) in enumerate(zip(names, in_use, strict=False)):
        z = params[name]["weight"] @ activities[-1] + params[name]["bias"]
        a = activate(recipe.activations, hyper.activation, z, layer=layer, active=actives[layer])
        sums.append(z)
        activities.append(a if len(sums) == 1 else jnp.where(used, a, activities[-1]))
    outputs = params[names[-1]]["weight"] @ activities[-1] + params[names[-1]]["bias"]

    smoothing = jnp.asarray(hyper.label_smoothing).astype(outputs.dtype)
    errors = [OUTPUT_ERRORS[recipe.loss](outputs, y, smoothing)]
    back = params[names[-1]]["weight"].T @ errors[0]
    for layer in reversed(range(len(sums))):
        name, used = names[layer], in_use[layer]
        error = jnp.where(used, _through(recipe, hyper, layer, sums[layer], back, actives[layer]), 0.0)
        back = jnp.where(used, params[name]["weight"].T @ error, back) if name != names[0] else back
        errors.insert(0, error)
    return names, [*activities, outputs], errors


def _through(
    recipe: Recipe, hyper: Hyperparameters, layer: int, z: jax.Array, back: jax.Array, active: jax.Array
) -> jax.Array:
    """The error back ∘ g'(z) of the lane's activation; softmax, which couples units, has a matrix for g'."""
    back = jnp.where(active, back, 0.0)
    branches = [
        _through_softmax(z, back, active) if name == "softmax" else back * DERIVATIVES[name](z)
        for name in at_layer(recipe.activations, layer)
    ]
    chosen = (
        branches[0]
        if len(branches) == 1
        else jax.lax.select_n(jnp.asarray(hyper.activation).astype(jnp.int32), *branches)
    )
    return jnp.where(active, chosen, 0.0)


def _through_softmax(z: jax.Array, back: jax.Array, active: jax.Array) -> jax.Array:
    """∂a_i/∂z_j = a_i ([i = j] - a_j)."""
    a = activate(("softmax",), jnp.int32(0), z, active=active)
    return a * (back - jnp.sum(a * back))


def _logistic(z: jax.Array) -> jax.Array:
    return 0.5 * (1.0 + jnp.tanh(0.5 * z))


def _gelu_slope(z: jax.Array) -> jax.Array:
    """Φ(z) + z φ(z)."""
    below: jax.Array = 0.5 * jax.lax.erfc(-z * math.sqrt(0.5))
    return below + z * jnp.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)


def _mish_slope(z: jax.Array) -> jax.Array:
    """With s = tanh(log(1 + e^z)): s + z (1 - s²) sigmoid(z)."""
    s = jnp.tanh(jnp.logaddexp(z, 0.0))
    return s + z * (1.0 - jnp.square(s)) * _logistic(z)


def _selu_slope(z: jax.Array) -> jax.Array:
    """λ above zero, λ α e^z at and below it."""
    below = jnp.exp(jnp.minimum(z, 0.0)) * SELU_ALPHA
    return SELU_SCALE * jnp.where(z > 0.0, 1.0, below)


#: g'(z) of the pointwise activations; at a kink the value that training uses.
DERIVATIVES: dict[str, Callable[[jax.Array], jax.Array]] = {
    "linear": jnp.ones_like,
    "relu": lambda z: (z > 0.0).astype(z.dtype),
    "leaky_relu": lambda z: jnp.where(z >= 0.0, jnp.ones_like(z), LEAK),
    "tanh": lambda z: 1.0 - jnp.square(jnp.tanh(z)),
    "sigmoid": lambda z: _logistic(z) * _logistic(-z),
    "silu": lambda z: _logistic(z) * (1.0 + z * _logistic(-z)),
    "gelu": _gelu_slope,
    "mish": _mish_slope,
    "selu": _selu_slope,
    "softmax": jnp.zeros_like,  # not pointwise: see _through_softmax
    "step": jnp.zeros_like,
}


def _codes(y: jax.Array, outputs: jax.Array, smoothing: jax.Array) -> jax.Array:
    classes = outputs.shape[0]
    hot = (jnp.arange(classes, dtype=y.dtype) == y).astype(outputs.dtype)
    return (1.0 - smoothing) * hot + smoothing / classes


def _missed(quantile: float, outputs: jax.Array, y: jax.Array, smoothing: jax.Array) -> jax.Array:
    del smoothing
    return ((outputs > y).astype(outputs.dtype) - quantile) / outputs.shape[0]


#: ∂C/∂z^L: (outputs [K], y, smoothing) -> [K].
OUTPUT_ERRORS: dict[str, Callable[[jax.Array, jax.Array, jax.Array], jax.Array]] = {
    "sum_squared_error": lambda out, y, s: 2.0 * (out - y),
    "mse": lambda out, y, s: 2.0 * (out - y) / out.shape[0],
    "half_mse": lambda out, y, s: (out - y) / out.shape[0],
    "huber": lambda out, y, s: jnp.clip(out - y, -1.0, 1.0) / out.shape[0],
    "pinball": partial(_missed, 0.5),
    "binary_cross_entropy": lambda out, y, s: (
        (_logistic(out) - ((1.0 - s) * y.astype(out.dtype) + 0.5 * s)) / out.shape[0]
    ),
    "cross_entropy": lambda out, y, s: jnp.exp(out - jax.nn.logsumexp(out)) - _codes(y, out, s),
    "perceptron": lambda out, y, s: (out > 0.0).astype(out.dtype) - y.astype(out.dtype),
}
OUTPUT_ERRORS = vocabulary.AtQuantiles(OUTPUT_ERRORS, lambda quantile: partial(_missed, quantile))


def _wide(leaf: Any) -> jax.Array:
    """64 bits, for whole numbers too: what is made within is wide as well, and strict types do not mix."""
    return jnp.asarray(leaf, jnp.float64 if np.asarray(leaf).dtype.kind == "f" else jnp.int64)
