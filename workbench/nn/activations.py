"""Activation functions g of a = g(z), and the selection of one by a traced index.

Every function is pointwise but softmax, which couples the units of the last axis. All have finite values and
finite gradients at every finite z, so a branch that is computed and not selected leaves no NaN behind: its
cotangent is zero, and zero times a finite derivative is zero.

Source: *Regression to neural networks*, *Neural networks, really understood*, *Perceptron to MLP* (linear,
sigmoid, tanh, ReLU, softmax, step); Maas et al. 2013 (leaky ReLU); Hendrycks & Gimpel, arXiv:1606.08415
(GELU, SiLU); Misra, arXiv:1908.08681 (mish); Klambauer et al., arXiv:1706.02515 (SELU).
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from workbench.core import vocabulary
from workbench.core.errors import InputError
from workbench.nn import words

#: Where a new activation is tried: value and slope must be finite.
_TRIED = (-1e9, -1e4, -1.0, 0.0, 1.0, 1e4, 1e9)

Activation = Callable[[jax.Array], jax.Array]

#: Slope of leaky ReLU below zero.
LEAK = 0.01
#: What softmax sees of a unit that is not in use: it weighs nothing, and its gradient is finite.
LOWEST = float(np.finfo(np.float32).min)


def register(name: str, function: Activation, *, replace: bool = False) -> None:
    """Add an activation under a name that study files may then use, alone and joined with others.

        register("mish", lambda z: z * jnp.tanh(jax.nn.softplus(z)))

    Args:
        name: What `[model] activation` says; without "-", which joins those of several layers.
        function: z [..., H] float32 -> a of the same shape; value and slope are finite at every finite z.
        replace: Take the place of an activation of that name; studies that were run with it keep their
            records, so give those that use the new one another name.

    Raises:
        InputError: if the name is taken or joined, or the function gives another shape or is not finite.
    """
    words.check_callable("activation", str(name), function, "a function of z")
    if isinstance(name, str) and vocabulary.JOIN in name:
        raise InputError(
            f"activation {name!r}: {vocabulary.JOIN!r} joins the activations of several layers; name it "
            f"{name.replace(vocabulary.JOIN, '_')!r}"
        )
    for shape in ((4,), (2, 4)):
        how = f"z {list(shape)}"
        found = words.tried("activation", name, function, words.number(shape), how=how)
        if words.described(found) != f"float32 {list(shape)}":
            raise InputError(
                f"activation {name!r}: gives {words.described(found)} for {how}; it must be float32 of the "
                "same shape"
            )
    z = jnp.asarray(_TRIED, jnp.float32)
    slope = jax.grad(lambda z: function(z).sum())(z)
    for what, values in (("value", function(z)), ("slope", slope)):
        wrong = np.asarray(z)[~np.isfinite(np.asarray(values))]
        if len(wrong):
            raise InputError(
                f"activation {name!r}: its {what} at z = {wrong[0]:g} is not finite; write it so that it "
                "is, by jnp.where or jnp.clip before the function that overflows"
            )
    words.admit("activation", name, ACTIVATIONS, replace=replace)
    if name not in ACTIVATIONS:
        vocabulary.ACTIVATIONS.append(name)
    ACTIVATIONS[name] = function


def activate(
    names: tuple[str, ...],
    index: jax.Array,
    z: jax.Array,
    *,
    layer: int = 0,
    active: jax.Array | None = None,
) -> jax.Array:
    """g(z) for the activation `names[index]`; z [..., H] float32 of any rank, of the same shape out.

    names    keys of ACTIVATIONS, or several of them joined, one for each hidden layer; with one name it is
             called directly and `index` is not looked at
    index    int32 scalar, may be traced; every named function is computed, which is what mapped lanes
             would make of a branch anyway, and costs little beside a product
    layer    which hidden layer z belongs to, from 0; what joined names mean depends on it
    active   bool [H], or None for all: units in use; the others come out as zero, and softmax normalizes
             over the units in use alone
    """
    branches = [_apply(name, z, active) for name in at_layer(names, layer)]
    a = branches[0] if len(branches) == 1 else jax.lax.select_n(jnp.asarray(index, jnp.int32), *branches)
    return a if active is None else jnp.where(jnp.broadcast_to(active, a.shape), a, 0.0)


def at_layer(names: tuple[str, ...], layer: int) -> tuple[str, ...]:
    """What each of the names means in hidden layer `layer`, from 0."""
    return tuple(vocabulary.of_layer(name, layer) for name in names)


def _apply(name: str, z: jax.Array, active: jax.Array | None) -> jax.Array:
    if name == "softmax" and active is not None:
        z = jnp.where(jnp.broadcast_to(active, z.shape), z, LOWEST)
    return ACTIVATIONS[name](z)


def _linear(z: jax.Array) -> jax.Array:
    return z


def _leaky_relu(z: jax.Array) -> jax.Array:
    return jax.nn.leaky_relu(z, LEAK)


def _gelu(z: jax.Array) -> jax.Array:
    """The product z Φ(z) with the exact normal distribution function, not the tanh approximation."""
    return jax.nn.gelu(z, approximate=False)


def _softmax(z: jax.Array) -> jax.Array:
    return jax.nn.softmax(z, axis=-1)


def _step(z: jax.Array) -> jax.Array:
    """1 where z > 0, else 0: the perceptron's output. Its gradient is zero everywhere."""
    return (z > 0.0).astype(z.dtype)


ACTIVATIONS: dict[str, Activation] = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "linear": _linear,
    "leaky_relu": _leaky_relu,
    "gelu": _gelu,
    "silu": jax.nn.silu,
    "mish": jax.nn.mish,
    "selu": jax.nn.selu,
    "softmax": _softmax,
    "step": _step,
}
