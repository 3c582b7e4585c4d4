"""Initial weights by inverse transform sampling: w = spread(scale, fans) * quantile(u), u uniform on (-1, 1).

One uniform number is drawn for each weight whatever the initializer, so lanes that select different
initializers share the draw and are compared on common random numbers.

Element (i, j, ...) depends on the key and on i, j, ... alone, not on the shape: see `prng`. A padded lane
therefore starts from the weights that it would have without padding. Masking what is padded is the model's
business.

`auto` is in the vocabulary of study files and not here: which initializer suits an activation is known before
anything is traced, and the search layer resolves it.

Source: *Neural networks, really understood* and *Perceptron to MLP* (zeros, uniform, Gaussian, Glorot);
Glorot & Bengio 2010; He et al., arXiv:1502.01852; LeCun et al. 1998. The normal ones are not truncated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from workbench.nn import prng


class Initializer(NamedTuple):
    """A distribution of unit half-range or deviation, and how wide it is to be spread."""

    quantile: Callable[[jax.Array], jax.Array]  # u on (-1, 1) -> a draw of the unit distribution
    spread: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]  # (scale, fan_in, fan_out) -> scalar


def weights(
    names: tuple[str, ...],
    index: jax.Array,
    scale: jax.Array | float,
    shape: tuple[int, ...],
    fan_in: jax.Array | int,
    fan_out: jax.Array | int,
    *,
    key: jax.Array,
) -> jax.Array:
    """Initial weights of the initializer `names[index]`, float32 [out, *in].

    names             keys of INITIALIZERS; with one name nothing is selected
    index             int32 scalar, may be traced
    scale             half-range of `uniform`, deviation of `normal`; the others ignore it
    shape             (out, *in), padding included
    fan_in, fan_out   units in use on either side, may be traced and smaller than `shape`
    """
    chosen = [INITIALIZERS[name] for name in names]
    fans = [jnp.maximum(jnp.asarray(fan).astype(jnp.float32), 1.0) for fan in (fan_in, fan_out)]
    spreads = [entry.spread(jnp.asarray(scale, jnp.float32), *fans) for entry in chosen]
    quantiles = list(dict.fromkeys(entry.quantile for entry in chosen))

    u = _uniform(shape, key)
    draws = [quantile(u) for quantile in quantiles]
    if len(chosen) == 1:
        return spreads[0] * draws[0]
    index = jnp.asarray(index, jnp.int32)
    which = jnp.asarray([quantiles.index(entry.quantile) for entry in chosen], jnp.int32)[index]
    draw = draws[0] if len(draws) == 1 else jax.lax.select_n(which, *draws)
    return jax.lax.select_n(index, *spreads) * draw


def _uniform(shape: tuple[int, ...], key: jax.Array) -> jax.Array:
    """Uniform on (-1, 1), the odd multiples of 2^-23: symmetric, and never where a quantile is infinite."""
    rows = jnp.asarray(_row_numbers(shape[:-1]).ravel().astype(np.uint32))
    whole = (prng.bits(key, rows, shape[-1]) >> jnp.uint32(9)).astype(jnp.float32)  # [0, 2^23)
    u: jax.Array = (2.0 * whole + (1.0 - 2.0**23)) * jnp.float32(2.0**-23)
    return u.reshape(shape)


def _row_numbers(sizes: tuple[int, ...]) -> np.ndarray:
    """A number for each index (i, j, ...), distinct, and the same whatever the sizes are.

    i itself for one index; pair after pair by Cantor's numbering of the plane for more.
    """
    numbers = np.arange(sizes[0] if sizes else 1, dtype=np.int64)
    for size in sizes[1:]:
        column = np.arange(size, dtype=np.int64)
        diagonal = numbers[..., None] + column
        numbers = diagonal * (diagonal + 1) // 2 + column
    return numbers


def _flat(u: jax.Array) -> jax.Array:
    """Uniform on (-1, 1)."""
    return u


def _normal(u: jax.Array) -> jax.Array:
    """Φ⁻¹((u + 1) / 2) = √2 erf⁻¹(u)."""
    return jnp.sqrt(jnp.float32(2.0)) * jax.lax.erf_inv(u)


def _glorot(scale: jax.Array, fan_in: jax.Array, fan_out: jax.Array) -> jax.Array:
    """Deviation √(2 / (fan_in + fan_out))."""
    return jnp.sqrt(2.0 / (fan_in + fan_out))


def _he(scale: jax.Array, fan_in: jax.Array, fan_out: jax.Array) -> jax.Array:
    """Deviation √(2 / fan_in)."""
    return jnp.sqrt(2.0 / fan_in)


def _lecun(scale: jax.Array, fan_in: jax.Array, fan_out: jax.Array) -> jax.Array:
    """Deviation √(1 / fan_in), which SELU needs to keep the variance from layer to layer."""
    return jnp.sqrt(1.0 / fan_in)


def _scale(scale: jax.Array, fan_in: jax.Array, fan_out: jax.Array) -> jax.Array:
    return scale


def _half_range(
    deviation: Callable[[jax.Array, jax.Array, jax.Array], jax.Array],
) -> Callable[[jax.Array, jax.Array, jax.Array], jax.Array]:
    """The half-range √3 s of the uniform distribution whose deviation is s."""
    return lambda scale, fan_in, fan_out: jnp.sqrt(jnp.float32(3.0)) * deviation(scale, fan_in, fan_out)


INITIALIZERS: dict[str, Initializer] = {
    "glorot_uniform": Initializer(_flat, _half_range(_glorot)),
    "glorot_normal": Initializer(_normal, _glorot),
    "he_uniform": Initializer(_flat, _half_range(_he)),
    "he_normal": Initializer(_normal, _he),
    "lecun_uniform": Initializer(_flat, _half_range(_lecun)),
    "lecun_normal": Initializer(_normal, _lecun),
    "uniform": Initializer(_flat, _scale),
    "normal": Initializer(_normal, _scale),
    "zeros": Initializer(jnp.zeros_like, _scale),
}
