"""Nets with shortcuts past every block of hidden units, which lets them be deep.

    residual  h + V g(W h + b)
    highway   t ∘ g(W h + b) + (1 - t) ∘ h,  t = sigmoid(U h + d)

Both begin with an affine map of the input to the width of the blocks and end with an affine output. A block
starts close to the identity: the highway's gates start at sigmoid(-2) = 0.12, mostly carrying, and V is
drawn 1/√L times as wide as the initializer says, so that L blocks together multiply the variance by a
constant and not by a power of L.

With `norm = "layer"` what goes into g is normalized first, as in the multilayer perceptron. As there, a lane
may use fewer blocks and narrower ones than there is room for.

Source: *Regression to neural networks*; He et al., arXiv:1512.03385 (residual); Srivastava et al.,
arXiv:1505.00387 (highway, the negative gate bias); Hayou et al., arXiv:2010.12859 (1/√L).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

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
    in_use,
    layers,
    norm_init,
    normalized,
    padded,
    used,
)
from workbench.nn.recipe import Hyperparameters, Recipe

#: Where the gate bias d starts.
CARRY = -2.0


#: z -> a: the activation over the units in use, with dropout in training.
Units = Callable[[jax.Array], jax.Array]


class _Block(NamedTuple):
    """One block, which maps h [H] to [H]."""

    init: Callable[[Recipe, Hyperparameters, jax.Array], Params]  # (recipe, hyper, key)
    apply: Callable[[Params, jax.Array, Units], jax.Array]  # (params, h, g)
    n_parameters: Callable[[int], int]  # (H)


def _model(block: _Block) -> Model:
    def init(recipe: Recipe, hyper: Hyperparameters, *, key: jax.Array) -> Params:
        """Layers embed, hidden_00, hidden_01, …, out, which sort in the order of computation."""
        features, width = embeddings.size_of(recipe), (recipe.width, hyper.width)
        key_embed, key_blocks, key_out = (prng.key_of(key, i) for i in (0, 1, OUT_STREAM))
        keys = prng.key_of(key_blocks, jnp.arange(recipe.depth))
        norm = norm_init(recipe, in_use(recipe, hyper))
        blocks = jax.vmap(lambda one: block.init(recipe, hyper, one))(keys)  # drawn at once: quick to compile
        return {
            **embeddings.init(recipe, hyper, key=key),
            "embed": dense(recipe, hyper, width, (features, features), key=key_embed),
            **{
                _name(layer): used(
                    {**{name: leaf[layer] for name, leaf in blocks.items()}, **norm}, layer < hyper.depth
                )
                for layer in range(recipe.depth)
            },
            "out": dense(recipe, hyper, (recipe.outputs, recipe.outputs), width, key=key_out),
        }

    def apply(
        recipe: Recipe, hyper: Hyperparameters, params: Params, x: jax.Array, *, key: jax.Array | None = None
    ) -> jax.Array:
        """Outputs [K] of x [*F]. `key` draws the dropped units of each block's g, the same for every lane."""
        active = in_use(recipe, hyper)
        h = jnp.where(active, affine(params["embed"], embeddings.apply(recipe, params, x)), 0.0)

        def step(layer: int, h: jax.Array) -> jax.Array:
            own = params[_name(layer)]

            def units(z: jax.Array) -> jax.Array:
                z = normalized(recipe, own, z, active)
                return hidden(recipe, hyper, z, active, key=key, layer=layer)

            return block.apply(own, h, units)

        return affine(params["out"], layers(hyper.depth, recipe.depth, step, h))

    def n_parameters(
        inputs: tuple[int, ...], outputs: int, *, depth: int, width: int, **settings: Any
    ) -> int:
        """(F + 1) H + L block + (H + 1) K; a normalization has 2 H, and embedded numbers are more than F."""
        first, embedded = embeddings.size(inputs, **settings), embeddings.n_parameters(**settings)
        each = block.n_parameters(width) + (2 * width if settings.get("norm", "none") == "layer" else 0)
        return embedded + (first + 1) * width + depth * each + (width + 1) * outputs

    return Model(init, apply, n_parameters, layered=True)


def _name(layer: int) -> str:
    return f"hidden_{layer:02d}"


def _residual_init(recipe: Recipe, hyper: Hyperparameters, key: jax.Array) -> Params:
    key_in, key_back = prng.key_of(key, jnp.arange(2))
    width = (recipe.width, hyper.width)
    shape, used = (recipe.width, recipe.width), (hyper.width, hyper.width)
    back = padded(recipe, hyper, shape, used, hyper.width, hyper.width, key=key_back)
    blocks = jnp.maximum(jnp.asarray(hyper.depth).astype(jnp.float32), 1.0)
    return {**dense(recipe, hyper, width, width, key=key_in), "weight_back": back / jnp.sqrt(blocks)}


def _residual_apply(params: Params, h: jax.Array, g: Units) -> jax.Array:
    return h + params["weight_back"] @ g(affine(params, h))


def _highway_init(recipe: Recipe, hyper: Hyperparameters, key: jax.Array) -> Params:
    key_in, key_gate = prng.key_of(key, jnp.arange(2))
    width = (recipe.width, hyper.width)
    gate = dense(recipe, hyper, width, width, key=key_gate)
    return {
        **dense(recipe, hyper, width, width, key=key_in),
        "weight_gate": gate["weight"],
        "bias_gate": jnp.where(in_use(recipe, hyper), jnp.float32(CARRY), 0.0),
    }


def _highway_apply(params: Params, h: jax.Array, g: Units) -> jax.Array:
    """Written h + t ∘ (g - h), with one product less."""
    t = jax.nn.sigmoid(params["weight_gate"] @ h + params["bias_gate"])
    return h + t * (g(affine(params, h)) - h)


RESIDUAL = _model(_Block(_residual_init, _residual_apply, lambda width: 2 * width**2 + width))
HIGHWAY = _model(_Block(_highway_init, _highway_apply, lambda width: 2 * (width**2 + width)))
