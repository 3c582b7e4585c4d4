"""Embeddings of numbers: what a network with hidden layers sees in place of each number x.

    periodic  ReLU(W [cos 2πcx, sin 2πcx] + b), 24 numbers; W and b are shared by all inputs ("PLR lite")
    pbld      [V cos(2πcx + φ) + d, x], 4 numbers; V and d of each input

Each input has frequencies c of its own, drawn from a normal distribution of deviation `sigma`, and in `pbld`
phases φ from -π to π; all of it is learned. Embedded are the first inputs, as many as `numbers` says: those
that stand for numbers. Zeros and ones behind them (labels, truth values, what was blank) stay as they are.
Frequencies and phases are free of penalties and decay.

A step function of x is far for an affine map of x and near for one of its waves, which is why tables gain by
it. The right `sigma` belongs to the data, from 0.01 to 1 for numbers that are standardized.

Source: Gorishniy, Rubachev & Babenko, arXiv:2203.05556 (periodic); Holzmüller, Grinsztajn & Steinwart,
arXiv:2407.04491 (PBLD); Rahimi & Recht 2007 (random Fourier features).
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from workbench.nn import prng
from workbench.nn.initializers import weights
from workbench.nn.models.base import Params
from workbench.nn.models.layers import OUT_STREAM, Layer
from workbench.nn.recipe import Hyperparameters, Recipe

#: Numbers that one becomes, by the word of the embedding.
SIZES = {"periodic": 24, "pbld": 4}
#: The name of the layer, and its random stream.
LAYER, STREAM = "embedding", OUT_STREAM + 2


def embeds(recipe: Recipe) -> bool:
    """Whether a design embeds any input."""
    own = dict(recipe.options)
    return own.get("embedding", "none") != "none" and int(own["numbers"]) > 0


def size(inputs: tuple[int, ...], *, embedding: str = "none", numbers: int = 0, **settings: Any) -> int:
    """How many inputs the first layer has."""
    del settings
    return math.prod(inputs) + (SIZES[embedding] - 1) * numbers if embedding != "none" else math.prod(inputs)


def size_of(recipe: Recipe) -> int:
    """How many inputs the first layer of a design has."""
    options: dict[str, Any] = dict(recipe.options)
    return size(recipe.inputs, **options)


def init(recipe: Recipe, hyper: Hyperparameters, *, key: jax.Array) -> Params:
    """The layer by its name, or nothing: frequencies scale [N, n], phases bias_phase [N, n], weight, bias."""
    if not embeds(recipe):
        return {}
    kind, shape = (
        recipe.option("embedding"),
        (int(recipe.option("numbers")), int(recipe.option("frequencies"))),
    )
    keys = [prng.key_of(prng.key_of(key, STREAM), i) for i in range(3)]
    layer: Layer = {"scale": _drawn("normal", hyper.sigma, shape, keys[0])}
    if kind == "pbld":
        layer["bias_phase"] = _drawn("uniform", np.pi, shape, keys[1])
    waves = (shape[0], SIZES["pbld"] - 1, shape[1]) if kind == "pbld" else (SIZES["periodic"], 2 * shape[1])
    layer["weight"] = _drawn("uniform", 1.0 / math.sqrt(waves[-1]), waves, keys[2])
    layer["bias"] = jnp.zeros(waves[:-1], jnp.float32)
    return {LAYER: layer}


def apply(recipe: Recipe, params: Params, x: jax.Array) -> jax.Array:
    """What the first layer sees of x [*F]: [F] as it is, or [D] with its numbers embedded."""
    x = x.ravel()
    if not embeds(recipe):
        return x
    layer, count = params[LAYER], int(recipe.option("numbers"))
    numbers, rest = x[:count, None], x[count:]
    angle = 2.0 * jnp.pi * layer["scale"] * numbers
    if recipe.option("embedding") == "pbld":
        waves = jnp.cos(angle + layer["bias_phase"])
        mixed = jax.vmap(jnp.matmul)(layer["weight"], waves) + layer["bias"]
        embedded = jnp.concatenate([mixed, numbers], axis=1)
    else:
        waves = jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=1)
        embedded = jax.nn.relu(waves @ layer["weight"].T + layer["bias"][None])
    return jnp.concatenate([embedded.ravel(), rest])


def n_parameters(*, embedding: str = "none", frequencies: int = 0, numbers: int = 0, **settings: Any) -> int:
    """Periodic  N n + (2n + 1) D;  pbld  N (2n + (n + 1) (D - 1)); D numbers are what one becomes."""
    del settings
    if embedding == "none" or not numbers:
        return 0
    if embedding == "pbld":
        return numbers * (2 * frequencies + (frequencies + 1) * (SIZES[embedding] - 1))
    return numbers * frequencies + (2 * frequencies + 1) * SIZES[embedding]


def _drawn(name: str, scale: jax.Array | float, shape: tuple[int, ...], key: jax.Array) -> jax.Array:
    return weights((name,), jnp.int32(0), scale, shape, shape[-1], shape[0], key=key)
