"""What models with hidden units are put together from: padded weights, affine maps, the units in use.

A lane may be narrower than its program has room for. The weights beyond are zero from the start, and the
models hold those units at zero, so the gradients there are zero and nothing moves.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from workbench.nn.activations import activate
from workbench.nn.initializers import weights
from workbench.nn.recipe import Hyperparameters, Recipe
from workbench.nn.regularizers import drop

Layer = dict[str, Any]
#: The random stream of the output layer, the same however much room there is for depth.
OUT_STREAM = 1_000_000
#: What is added to the variance of a layer.
EPSILON = 1e-5


def padded(
    recipe: Recipe,
    hyper: Hyperparameters,
    shape: tuple[int, ...],
    used: tuple[jax.Array | int, ...],
    fan_in: jax.Array | int,
    fan_out: jax.Array | int,
    *,
    key: jax.Array,
) -> jax.Array:
    """Initial weights [out, *in] of the lane's initializer, zero beyond `used`.

    shape  padding included
    used   entries in use along each axis, may be traced; the integer of `shape` where nothing is padding
    """
    value = weights(recipe.initializers, hyper.initializer, hyper.init_scale, shape, fan_in, fan_out, key=key)
    for axis, (room, count) in enumerate(zip(shape, used, strict=True)):
        if not (isinstance(count, int) and count == room):
            value = jnp.where(jax.lax.broadcasted_iota(jnp.int32, shape, axis) < count, value, 0.0)
    return value


def dense(
    recipe: Recipe,
    hyper: Hyperparameters,
    out: tuple[int, jax.Array | int],
    into: tuple[int, jax.Array | int],
    *,
    key: jax.Array,
) -> Layer:
    """Weight [out, in] and bias [out] of W h + b; `out` and `into` are (room, units in use)."""
    weight = padded(recipe, hyper, (out[0], into[0]), (out[1], into[1]), into[1], out[1], key=key)
    return {"weight": weight, "bias": jnp.zeros(out[0], jnp.float32)}


def used(layer: Layer, has: jax.Array | bool) -> Layer:
    """A layer of zeros where the lane has none, which penalties, decay and norms then pass over."""
    return jax.tree.map(lambda leaf: jnp.where(has, leaf, 0.0), layer)


def affine(layer: Layer, h: jax.Array) -> jax.Array:
    """W h + b, [out] of [in]."""
    return layer["weight"] @ h + layer["bias"]


def hidden(
    recipe: Recipe,
    hyper: Hyperparameters,
    z: jax.Array,
    active: jax.Array,
    *,
    key: jax.Array | None,
    layer: int = 0,
) -> jax.Array:
    """g(z) of the lane's activation in `layer` over the units in use, some dropped if there is a key."""
    a = activate(recipe.activations, hyper.activation, z, layer=layer, active=active)
    return a if key is None or not recipe.dropout else drop(a, hyper.dropout, key=key, stream=layer)


def norm_init(recipe: Recipe, active: jax.Array) -> Layer:
    """Scale and bias of a layer normalization, [H] each, where a design has one."""
    if not normalizes(recipe):
        return {}
    return {"scale_norm": active.astype(jnp.float32), "bias_norm": jnp.zeros(len(active), jnp.float32)}


def normalized(recipe: Recipe, layer: Layer, z: jax.Array, active: jax.Array) -> jax.Array:
    """γ ∘ (z - mean) / √(variance + ε) + β over the units in use, where a design normalizes; else z."""
    if not normalizes(recipe):
        return z
    count = jnp.maximum(jnp.sum(active.astype(z.dtype)), 1.0)
    centered = jnp.where(active, z - jnp.sum(jnp.where(active, z, 0.0)) / count, 0.0)
    scaled = centered * jax.lax.rsqrt(jnp.sum(jnp.square(centered)) / count + EPSILON)
    return layer["scale_norm"] * scaled + layer["bias_norm"]


def normalizes(recipe: Recipe) -> bool:
    """Whether hidden layers are normalized before their activation."""
    return dict(recipe.options).get("norm", "none") == "layer"


def layers(
    depth: jax.Array | int,
    room: int,
    step: Callable[[int, jax.Array], jax.Array],
    h: jax.Array,
    first: int = 0,
) -> jax.Array:
    """Apply the layers `first` to `room`, each to what the one before gave; those from `depth` on pass it on.

    Where lanes train side by side both branches are computed and one selected. A depth that is no array is
    known to the compiler.
    """
    if isinstance(depth, int):
        for layer in range(first, min(room, depth)):
            h = step(layer, h)
        return h
    for layer in range(first, room):
        h = jax.lax.cond(layer < depth, partial(step, layer), lambda h: h, h)
    return h


def in_use(recipe: Recipe, hyper: Hyperparameters) -> jax.Array:
    """Which of the units that there is room for the lane has: bool [H]."""
    return jnp.arange(recipe.width) < hyper.width


def layer_widths(recipe: Recipe, hyper: Hyperparameters) -> list[Any]:
    """Units in use in each layer that there is room for, int32 scalars, which may taper off or be given."""
    if recipe.widths:
        return list(recipe.widths)
    if not dict(recipe.options).get("tapers"):
        return [hyper.width] * recipe.depth
    found, wide = [], jnp.asarray(hyper.width).astype(jnp.float32)
    for _ in range(recipe.depth):
        found.append(jnp.maximum(jnp.round(wide), 1.0).astype(jnp.int32))
        wide = wide * hyper.taper
    return found


def layer_rooms(recipe: Recipe) -> list[int]:
    """The units that there is room for in each layer: where each has its own number, no more than these."""
    return list(recipe.widths) or [recipe.width] * recipe.depth


def own_depth(recipe: Recipe, hyper: Hyperparameters) -> Any:
    """The layers of a lane: those whose widths are given are known to the compiler, and the same for all."""
    return recipe.depth if recipe.widths else hyper.depth


def last_width(recipe: Recipe, hyper: Hyperparameters) -> Any:
    """Units in use in the last of the lane's own layers."""
    if recipe.widths:
        return recipe.widths[-1]
    if not dict(recipe.options).get("tapers"):
        return hyper.width
    return jnp.stack(layer_widths(recipe, hyper))[hyper.depth - 1]


def given(widths: str) -> list[int]:
    """Of a setting `widths`, the units of each layer."""
    return [int(width) for width in widths.split()]


def tapered(width: int, depth: int, taper: float) -> list[int]:
    """What `layer_widths` gives for numbers that are known, digit by digit the same."""
    found, wide = [], np.float32(width)
    for _ in range(depth):
        found.append(max(1, int(np.round(wide))))
        wide = wide * np.float32(taper)
    return found
