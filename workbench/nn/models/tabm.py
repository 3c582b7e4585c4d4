"""Batch ensembles: M members that share the weights of one multilayer perceptron.

    tabm       a_m^l = g(s_m^l ∘ W^l (r_m^l ∘ a_m^{l-1}) + b_m^l)
    tabm_mini  a_m^l = g(W^l a_m^{l-1} + b^l),  a_m^0 = r_m ∘ x

Each member m has an output layer of its own, and what stands with an m: adapters r, s and biases of every
layer, or one adapter before the first. The first r are random signs, every other adapter starts at one, so
members begin alike but for the signs of their inputs and their output layers. Adapters are free of penalties
and decay, as biases are. What is trained is the mean of the members' losses, never the loss of their mean;
what is judged and delivered is the average of what they say, as of an ensemble. Each drops units of its own.

A member costs as many operations as a perceptron and next to no parameters. All see the same minibatches.
Numbers may be embedded, alike for all. Narrower and shallower lanes are padded as those of the multilayer
perceptron are.

Source: Gorishniy, Kotelnikov & Babenko, arXiv:2410.24210 (TabM, TabM-mini); Wen, Tran & Ba, arXiv:2002.06715
(batch ensembles).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp

from workbench.nn import prng
from workbench.nn.models import embeddings
from workbench.nn.models.base import Model, Params
from workbench.nn.models.layers import (
    OUT_STREAM,
    Layer,
    affine,
    dense,
    given,
    hidden,
    last_width,
    layer_rooms,
    layer_widths,
    layers,
    own_depth,
    padded,
    tapered,
    used,
)
from workbench.nn.recipe import Hyperparameters, Recipe

#: The random stream of the signs, beyond those of the layers.
SIGN_STREAM = OUT_STREAM + 1


def _model(*, mini: bool) -> Model:
    def init(recipe: Recipe, hyper: Hyperparameters, *, key: jax.Array) -> Params:
        """Layers hidden_00, hidden_01, …, out; what every member has of its own has a leading axis M."""
        sizes = [
            (embeddings.size_of(recipe),) * 2,
            *zip(layer_rooms(recipe), layer_widths(recipe, hyper), strict=True),
        ]
        members = _members(recipe)
        keys = [prng.key_of(key, layer) for layer in range(recipe.depth)]
        found = {
            _name(i): used(_adapted(recipe, hyper, *sizes[i : i + 2], mini=mini, key=one), i < hyper.depth)
            for i, one in enumerate(keys)
        }
        signs = prng.bits(prng.key_of(key, SIGN_STREAM), jnp.arange(members), sizes[0][0]) & jnp.uint32(1)
        found[_name(0)]["scale_in"] = 2.0 * signs.astype(jnp.float32) - 1.0
        last, key_out = last_width(recipe, hyper), prng.key_of(key, OUT_STREAM)
        shape, in_use = (members, recipe.outputs, sizes[-1][0]), (members, recipe.outputs, last)
        out = padded(recipe, hyper, shape, in_use, last, recipe.outputs, key=key_out)
        return {
            **embeddings.init(recipe, hyper, key=key),
            **found,
            "out": {"weight": out, "bias": jnp.zeros(shape[:2], jnp.float32)},
        }

    return Model(init, apply, _counter(mini=mini), layered=True, several=True)


def apply(
    recipe: Recipe, hyper: Hyperparameters, params: Params, x: jax.Array, *, key: jax.Array | None = None
) -> jax.Array:
    """X [*F] -> [M, K], what each member says. `key` draws the dropped units, the same for every lane."""
    widths, rooms, members = layer_widths(recipe, hyper), layer_rooms(recipe), _members(recipe)
    keys = None if key is None else prng.key_of(key, jnp.arange(members))

    def step(layer: int, h: jax.Array) -> jax.Array:
        z, active = _adapted_affine(params[_name(layer)], h), jnp.arange(rooms[layer]) < widths[layer]
        if keys is None:
            return hidden(recipe, hyper, z, active, key=None, layer=layer)
        return jax.vmap(lambda z, key: hidden(recipe, hyper, z, active, key=key, layer=layer))(z, keys)

    x = embeddings.apply(recipe, params, x)
    h = jnp.broadcast_to(x, (members, x.size))
    return jax.vmap(affine)(
        params["out"], layers(own_depth(recipe, hyper), recipe.depth, step, step(0, h), first=1)
    )


def _adapted(
    recipe: Recipe,
    hyper: Hyperparameters,
    into: tuple[int, jax.Array | int],
    out: tuple[int, jax.Array | int],
    *,
    mini: bool,
    key: jax.Array,
) -> Layer:
    """A hidden layer whose adapters, if it has any, are one for the units in use."""
    layer, members = dense(recipe, hyper, out, into, key=key), _members(recipe)
    if mini:
        return layer
    ones = {
        f"scale_{end}": jnp.broadcast_to((jnp.arange(room) < count).astype(jnp.float32), (members, room))
        for end, (room, count) in (("in", into), ("out", out))
    }
    return {**layer, **ones, "bias": jnp.zeros((members, out[0]), jnp.float32)}


def _adapted_affine(layer: Layer, h: jax.Array) -> jax.Array:
    """S ∘ W (r ∘ h) + b for every member: [M, out] of [M, in]."""
    z = layer.get("scale_out", 1.0) * ((layer.get("scale_in", 1.0) * h) @ layer["weight"].T)
    return z + jnp.broadcast_to(layer["bias"], z.shape)


def _counter(*, mini: bool) -> Callable[..., int]:
    """Σ D D' over hidden layers from D to D', M (D + 1) K, what embeds numbers, and what members have.

    That is M (D + 2 D') of each layer, or M F and one bias of D' for all.
    """

    def n_parameters(
        inputs: tuple[int, ...],
        outputs: int,
        *,
        depth: int,
        width: int,
        members: int,
        taper: float = 1.0,
        widths: str = "",
        **settings: Any,
    ) -> int:
        sizes = [embeddings.size(inputs, **settings), *(given(widths) or tapered(width, depth, taper))]
        pairs = list(pairwise(sizes))
        shared = sum(before * after for before, after in pairs)
        if mini:
            own = members * sizes[0] + sum(sizes[1:])
        else:
            own = members * sum(before + 2 * after for before, after in pairs)
        return embeddings.n_parameters(**settings) + shared + own + members * (sizes[-1] + 1) * outputs

    return n_parameters


def _members(recipe: Recipe) -> int:
    return int(recipe.option("members"))


def _name(layer: int) -> str:
    """Sorts in the order of computation: hidden_00, hidden_01, …, out."""
    return f"hidden_{layer:02d}"


TABM = _model(mini=False)
TABM_MINI = _model(mini=True)
