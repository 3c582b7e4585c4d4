"""Multilayer perceptron: a^l = g(W^l a^{l-1} + b^l), any depth and width.

Layers are of one width, or each a share `taper` of the one before: 256, 128, 64. A lane may use fewer layers
and narrower ones than the program has room for. Units beyond the lane's width
are held at zero, so their weights get zero gradients and stay zero; layers beyond its depth are zero and
passed over. Initial values do not depend on the room, so padding changes nothing but rounding.

Source: all four articles; equations (a^l, W^l, b^l) as in *Neural networks, really understood*.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp

from workbench.nn import prng
from workbench.nn.models import embeddings
from workbench.nn.models.base import Model, Params
from workbench.nn.models.layers import (
    OUT_STREAM,
    affine,
    dense,
    hidden,
    last_width,
    layer_widths,
    layers,
    tapered,
    used,
)
from workbench.nn.recipe import Hyperparameters, Recipe


def init(recipe: Recipe, hyper: Hyperparameters, *, key: jax.Array) -> Params:
    """One dict for each layer: weight [out, in], bias [out]; zero beyond the lane's width and depth."""
    features, widths = (
        (embeddings.size_of(recipe),) * 2,
        [(recipe.width, w) for w in layer_widths(recipe, hyper)],
    )
    keys = [prng.key_of(key, layer) for layer in (*range(recipe.depth), OUT_STREAM)]
    first = {_name(0): dense(recipe, hyper, widths[0], features, key=keys[0])}
    rest = {
        _name(i): dense(recipe, hyper, widths[i], widths[i - 1], key=keys[i]) for i in range(1, recipe.depth)
    }
    rest = {name: used(layer, i < hyper.depth) for i, (name, layer) in enumerate(rest.items(), start=1)}
    last = (recipe.width, last_width(recipe, hyper))
    out = dense(recipe, hyper, (recipe.outputs,) * 2, last, key=keys[-1])
    return {**embeddings.init(recipe, hyper, key=key), **first, **rest, "out": out}


def apply(
    recipe: Recipe, hyper: Hyperparameters, params: Params, x: jax.Array, *, key: jax.Array | None = None
) -> jax.Array:
    """X [*F] -> [K]. `key` draws the dropped units, the same for every lane."""
    widths = layer_widths(recipe, hyper)

    def step(layer: int, h: jax.Array) -> jax.Array:
        z = affine(params[_name(layer)], h)
        return hidden(recipe, hyper, z, jnp.arange(recipe.width) < widths[layer], key=key, layer=layer)

    h = layers(hyper.depth, recipe.depth, step, step(0, embeddings.apply(recipe, params, x)), first=1)
    return affine(params["out"], h)


def n_parameters(
    inputs: tuple[int, ...], outputs: int, *, depth: int, width: int, taper: float = 1.0, **settings: Any
) -> int:
    """Σ (D + 1) D' over the layers from D to D', and what embeds numbers."""
    sizes = [embeddings.size(inputs, **settings), *tapered(width, depth, taper), outputs]
    return embeddings.n_parameters(**settings) + sum((into + 1) * out for into, out in pairwise(sizes))


def _name(layer: int) -> str:
    """Sorts in the order of computation: hidden_00, hidden_01, …, out."""
    return f"hidden_{layer:02d}"


MODEL = Model(init, apply, n_parameters, layered=True)
