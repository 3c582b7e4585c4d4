"""Multilayer perceptron: a^l = g(W^l a^{l-1} + b^l), any depth and width.

A lane may use fewer layers and narrower ones than the program has room for. Units beyond the lane's width
are held at zero, so their weights get zero gradients and stay zero; layers beyond its depth are zero and
passed over. Initial values do not depend on the room, so padding changes nothing but rounding.

Source: all four articles; equations (a^l, W^l, b^l) as in *Neural networks, really understood*.
"""

from __future__ import annotations

from typing import Any

import jax

from workbench.nn import prng
from workbench.nn.models import embeddings
from workbench.nn.models.base import Model, Params
from workbench.nn.models.layers import OUT_STREAM, affine, dense, hidden, in_use, layers, used
from workbench.nn.recipe import Hyperparameters, Recipe


def init(recipe: Recipe, hyper: Hyperparameters, *, key: jax.Array) -> Params:
    """One dict for each layer: weight [out, in], bias [out]; zero beyond the lane's width and depth."""
    features, width = (embeddings.size_of(recipe),) * 2, (recipe.width, hyper.width)
    keys = [prng.key_of(key, layer) for layer in (*range(recipe.depth), OUT_STREAM)]
    first = {_name(0): dense(recipe, hyper, width, features, key=keys[0])}
    rest = {_name(i): dense(recipe, hyper, width, width, key=keys[i]) for i in range(1, recipe.depth)}
    rest = {name: used(layer, i < hyper.depth) for i, (name, layer) in enumerate(rest.items(), start=1)}
    out = dense(recipe, hyper, (recipe.outputs,) * 2, width, key=keys[-1])
    return {**embeddings.init(recipe, hyper, key=key), **first, **rest, "out": out}


def apply(
    recipe: Recipe, hyper: Hyperparameters, params: Params, x: jax.Array, *, key: jax.Array | None = None
) -> jax.Array:
    """X [*F] -> [K]. `key` draws the dropped units, the same for every lane."""
    active = in_use(recipe, hyper)

    def step(layer: int, h: jax.Array) -> jax.Array:
        z = affine(params[_name(layer)], h)
        return hidden(recipe, hyper, z, active, key=key, layer=layer)

    h = layers(hyper.depth, recipe.depth, step, step(0, embeddings.apply(recipe, params, x)), first=1)
    return affine(params["out"], h)


def n_parameters(inputs: tuple[int, ...], outputs: int, *, depth: int, width: int, **settings: Any) -> int:
    """(F + 1) H + (L - 1) (H + 1) H + (H + 1) K, and what embeds numbers, after which F are more."""
    first, embedded = embeddings.size(inputs, **settings), embeddings.n_parameters(**settings)
    return embedded + (first + 1) * width + (depth - 1) * (width + 1) * width + (width + 1) * outputs


def _name(layer: int) -> str:
    """Sorts in the order of computation: hidden_00, hidden_01, …, out."""
    return f"hidden_{layer:02d}"


MODEL = Model(init, apply, n_parameters, layered=True)
