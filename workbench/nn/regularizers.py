"""What holds weights and gradients down: penalties, decay masks, clipping, dropout, norms.

Parameters are nested dictionaries. A leaf is a weight when its last dictionary key starts with "weight";
anything else (biases, scales) is free of penalties and decay.

Source: *Regression to neural networks* (L2 on weights, never on biases), *Perceptron to MLP* (weight decay);
Pascanu et al., arXiv:1211.5063 (clipping); Srivastava et al. 2014 (dropout).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import DictKey

from workbench.nn import prng

Params = Any


def penalty(params: Params, l1: jax.Array | float, l2: jax.Array | float) -> jax.Array:
    """l1 Σ|w| + l2/2 Σ w² over the weights; biases are free. Float32 scalar.

    It is added to a mean loss. The article's λ/(2m) Σ w² for m rows is l2 = λ/m. The gradient of |w| is 0 at
    0, so that weights which are padding stay there; that of jnp.abs is 1.
    """
    weights = [leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params) if _is_weight(path)]
    absolute = sum((jnp.sum(w * jax.lax.stop_gradient(jnp.sign(w))) for w in weights), start=jnp.float32(0.0))
    squared = sum((jnp.sum(jnp.square(w)) for w in weights), start=jnp.float32(0.0))
    return l1 * absolute + 0.5 * l2 * squared


def decay_mask(params: Params) -> Params:
    """A tree of the same structure: True for weights, False for the rest."""
    return jax.tree_util.tree_map_with_path(lambda path, leaf: _is_weight(path), params)


def clip_by_global_norm(gradients: Params, limit: jax.Array | float) -> Params:
    """Gradients scaled so that their global norm is at most `limit`, which may be traced.

    Below the limit, and always when it is infinite, they come back bit for bit. A norm that overflows float32
    (entries above 1e19) makes finite entries zero, which skips the step; NaN and infinity stay visible.
    """
    norm = global_norm(gradients)
    over = norm > limit
    factor = jnp.where(over, limit / jnp.where(over, norm, 1.0), 1.0)
    return jax.tree.map(lambda g: jnp.where(over, g * factor, g), gradients)


def drop(h: jax.Array, rate: jax.Array | float, *, key: jax.Array, stream: int = 0) -> jax.Array:
    """Inverted dropout: each unit is zero with probability `rate`, the others are divided by 1 - rate.

    `rate` is the probability of DROPPING, may be traced, and lies in [0, 1]; 0 returns h exactly, 1 zeros.
    h [H]: whether unit i is dropped does not depend on H, so not on padding behind it.

    key     of one example in one step
    stream  tells the layers of a model apart
    """
    kept = _noise(key, stream, h.shape[0]) >= rate
    return jnp.where(kept, h / jnp.where(rate < 1.0, 1.0 - rate, 1.0), 0.0)


def norms(params: Params) -> Params:
    """The Euclidean norm of each leaf, in a tree of the same structure."""
    return jax.tree.map(lambda leaf: jnp.sqrt(jnp.sum(jnp.square(leaf))), params)


def global_norm(tree: Params) -> jax.Array:
    """The Euclidean norm of all leaves together."""
    squares = (jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree))
    return jnp.sqrt(sum(squares, start=jnp.float32(0.0)))


def _is_weight(path: tuple[Any, ...]) -> bool:
    names = [str(entry.key) for entry in path if isinstance(entry, DictKey)]
    return bool(names) and names[-1].startswith("weight")


def _noise(key: jax.Array, stream: int, n: int) -> jax.Array:
    """Uniform on [0, 1), [n] float32 in steps of 2^-24.

    The barrier has the numbers made once for all lanes, and not again where the backward pass uses them.
    """
    bits = jax.lax.optimization_barrier(prng.bits(key, stream, n) >> jnp.uint32(8))
    uniform: jax.Array = bits.astype(jnp.float32) * jnp.float32(2.0**-24)
    return uniform
