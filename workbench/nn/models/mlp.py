"""Multilayer perceptron: a^l = g(W^l a^{l-1} + b^l), any depth and width.

Layers are of one width, or each a share `taper` of the one before: 256, 128, 64; or each has its own, which
all lanes of the program then have. Else a lane may use fewer layers
and narrower ones than the program has room for. Units beyond the lane's width
are held at zero, so their weights get zero gradients and stay zero; layers beyond its depth are zero and
passed over. Initial values do not depend on the room, so padding changes nothing but rounding.

With `norm = "layer"` z is brought to mean 0 and variance 1 over the layer's units, and scaled and shifted by
what is learned, before g. Batch normalization is not offered: its outputs depend on which rows share a step,
and it keeps running averages beside the parameters. Here a model is a pure function of one example, lanes of
one program differ in their batches, and what is judged is exactly what is delivered.

Source: all four articles; equations (a^l, W^l, b^l) as in *Neural networks, really understood*; Ba, Kiros &
Hinton, arXiv:1607.06450 (layer normalization).
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
    given,
    hidden,
    last_width,
    layer_rooms,
    layer_widths,
    layers,
    norm_init,
    normalized,
    own_depth,
    tapered,
    used,
)
from workbench.nn.recipe import Hyperparameters, Recipe


def init(recipe: Recipe, hyper: Hyperparameters, *, key: jax.Array) -> Params:
    """One dict for each layer: weight [out, in], bias [out]; zero beyond the lane's width and depth."""
    features = (embeddings.size_of(recipe),) * 2
    widths = list(zip(layer_rooms(recipe), layer_widths(recipe, hyper), strict=True))
    keys = [prng.key_of(key, layer) for layer in (*range(recipe.depth), OUT_STREAM)]
    norms = [norm_init(recipe, jnp.arange(room) < width) for room, width in widths]
    first = {_name(0): {**dense(recipe, hyper, widths[0], features, key=keys[0]), **norms[0]}}
    rest = {
        _name(i): {**dense(recipe, hyper, widths[i], widths[i - 1], key=keys[i]), **norms[i]}
        for i in range(1, recipe.depth)
    }
    rest = {name: used(layer, i < hyper.depth) for i, (name, layer) in enumerate(rest.items(), start=1)}
    last = (widths[-1][0], last_width(recipe, hyper))
    out = dense(recipe, hyper, (recipe.outputs,) * 2, last, key=keys[-1])
    return {**embeddings.init(recipe, hyper, key=key), **first, **rest, "out": out}


def apply(
    recipe: Recipe, hyper: Hyperparameters, params: Params, x: jax.Array, *, key: jax.Array | None = None
) -> jax.Array:
    """X [*F] -> [K]. `key` draws the dropped units, the same for every lane."""
    widths, rooms = layer_widths(recipe, hyper), layer_rooms(recipe)

    def step(layer: int, h: jax.Array) -> jax.Array:
        active = jnp.arange(rooms[layer]) < widths[layer]
        z = normalized(recipe, params[_name(layer)], affine(params[_name(layer)], h), active)
        return hidden(recipe, hyper, z, active, key=key, layer=layer)

    first = step(0, embeddings.apply(recipe, params, x))
    h = layers(own_depth(recipe, hyper), recipe.depth, step, first, first=1)
    return affine(params["out"], h)


def n_parameters(
    inputs: tuple[int, ...],
    outputs: int,
    *,
    depth: int,
    width: int,
    taper: float = 1.0,
    widths: str = "",
    **settings: Any,
) -> int:
    """Σ (D + 1) D' over the layers from D to D', 2 D' for a normalization, and what embeds numbers."""
    wide = given(widths) or tapered(width, depth, taper)
    sizes = [embeddings.size(inputs, **settings), *wide, outputs]
    norms = 2 * sum(wide) if settings.get("norm", "none") == "layer" else 0
    return (
        embeddings.n_parameters(**settings) + norms + sum((into + 1) * out for into, out in pairwise(sizes))
    )


def _name(layer: int) -> str:
    """Sorts in the order of computation: hidden_00, hidden_01, …, out."""
    return f"hidden_{layer:02d}"


MODEL = Model(init, apply, n_parameters, layered=True)
