"""Uniform numbers by an integer hash: the same for the same key and place, whatever stands around them.

Initial weights and dropped units take a number for each weight, unit, layer, example and step. `jax.random`
would spend more time on them than the products of a small network take, and more on compiling than all the
rest of what starts a lane. So a key of `jax.random` is mixed with the number's place by two rounds of a hash;
keys for layers, epochs and examples are drawn from a key in the same way.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

#: Odd steps of the hash's counters, far from each other's multiples: 2^32 over the golden ratio, and √3.
COLUMN_STEP, ROW_STEP = 0x9E3779B9, 0xBB67AE85


def bits(key: jax.Array, rows: jax.Array | int, n: int) -> jax.Array:
    """Uniform uint32 [*R, n]: element (r, i) depends on the key, on the number `rows`[r] and on i alone."""
    first, second = jax.random.key_data(key)
    row = _mix(jnp.asarray(rows, jnp.uint32) * jnp.uint32(ROW_STEP) + second)
    column = _mix(jax.lax.iota(jnp.uint32, n) * jnp.uint32(COLUMN_STEP) + first)
    return _mix(jnp.expand_dims(row, -1) ^ jax.lax.expand_dims(column, range(row.ndim)))


def key_of(key: jax.Array, numbers: jax.Array | int) -> jax.Array:
    """A key for each of `numbers` [*R], which depends on `key` and the number alone."""
    keys: jax.Array = jax.random.wrap_key_data(bits(key, numbers, 2))
    return keys


def permutation(key: jax.Array, n: int) -> jax.Array:
    """0 to n - 1 in random order, int32 [n]."""
    order: jax.Array = jnp.argsort(bits(key, 0, n)).astype(jnp.int32)
    return order


def _mix(x: jax.Array) -> jax.Array:
    """A bijection of uint32 in which every input bit changes every output bit about half of the time.

    The constants are those of the hash "lowbias32" (Wellons, *Prospecting for hash functions*, 2018).
    """
    x = (x ^ (x >> jnp.uint32(16))) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> jnp.uint32(15))) * jnp.uint32(0x846CA68B)
    mixed: jax.Array = x ^ (x >> jnp.uint32(16))
    return mixed
