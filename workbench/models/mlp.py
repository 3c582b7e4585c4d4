"""Multilayer perceptron: a^l = g(W^l a^{l-1} + b^l), any depth and width.

A lane may use fewer layers and narrower ones than the program has room for. Units beyond the lane's width
are held at zero, so their weights get zero gradients and stay zero; layers beyond its depth pass their
input on. Initial values do not depend on the room, so padding changes nothing but rounding.

Source: all four articles; equations (a^l, W^l, b^l) as in *Neural networks, really understood*.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from workbench.activations import activate
from workbench.initializers import weights
from workbench.models.base import Model, Params
from workbench.recipe import Hyperparameters, Recipe
from workbench.regularizers import drop

__all__ = ["MODEL", "apply", "init", "n_parameters"]


def init(recipe: Recipe, hyper: Hyperparameters, *, key: jax.Array) -> Params:
    """One dict for each layer: weight [out, in], bias [out]; zero beyond the lane's width."""
    features, width = math.prod(recipe.inputs), hyper.width
    active = jnp.arange(recipe.width) < width
    params: Params = {}
    for layer in range(recipe.depth + 1):
        first, last = layer == 0, layer == recipe.depth
        shape = (recipe.outputs if last else recipe.width, features if first else recipe.width)
        fan_in, fan_out = (features if first else width), (recipe.outputs if last else width)
        weight = weights(
            recipe.initializers, hyper.initializer, hyper.init_scale, shape, fan_in, fan_out,
            key=jax.random.fold_in(key, _stream(layer, last=last)),
        )  # fmt: skip
        if not last:
            weight = jnp.where(active[:, None], weight, 0.0)
        if not first:
            weight = jnp.where(active[None, :], weight, 0.0)
        params[_name(layer, last=last)] = {"weight": weight, "bias": jnp.zeros(shape[0], jnp.float32)}
    return params


def apply(
    recipe: Recipe, hyper: Hyperparameters, params: Params, x: jax.Array, *, key: jax.Array | None = None
) -> jax.Array:
    """X [*F] -> [K]. `key` draws the dropped units, the same for every lane."""
    active = jnp.arange(recipe.width) < hyper.width
    h = x.ravel()
    for layer in range(recipe.depth):
        z = params[_name(layer)]["weight"] @ h + params[_name(layer)]["bias"]
        a = activate(recipe.activations, hyper.activation, z, active=active)
        if recipe.dropout and key is not None:
            a = drop(a, hyper.dropout, key=jax.random.fold_in(key, layer))
        h = a if layer == 0 else jnp.where(layer < hyper.depth, a, h)
    out = params[_name(recipe.depth, last=True)]
    return out["weight"] @ h + out["bias"]


def n_parameters(inputs: tuple[int, ...], outputs: int, *, depth: int, width: int, **settings: Any) -> int:
    """(F + 1) H + (L - 1) (H + 1) H + (H + 1) K."""
    del settings
    return (math.prod(inputs) + 1) * width + (depth - 1) * (width + 1) * width + (width + 1) * outputs


def _name(layer: int, *, last: bool = False) -> str:
    """Sorts in the order of computation: hidden_00, hidden_01, …, out."""
    return "out" if last else f"hidden_{layer:02d}"


def _stream(layer: int, *, last: bool) -> int:
    """The random stream of a layer; the last layer's does not depend on the room for depth."""
    return 1_000_000 if last else layer


MODEL = Model(init, apply, n_parameters)
