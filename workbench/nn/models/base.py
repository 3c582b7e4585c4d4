"""What a model is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

Params = Any  # a pytree of arrays


class Work(NamedTuple):
    """What one example costs, forward."""

    products: int  # of two numbers
    turns: int = 0  # of recurrences, one after the other, times their gates; a minibatch takes them together


class Model(NamedTuple):
    """A named pair of pure functions, and how to count what they learn.

    Args:
        init: (recipe, hyper, *, key) -> params, a nested dict of float32 arrays. Leaves whose name starts
            with "weight" are regularized, those that start with "bias" or "scale" are free.
        apply: (recipe, hyper, params, x [*F], *, key=None) -> outputs [K] of one example, logits or numbers
            in standardized units. `key` is given in training where units are dropped.
        n_parameters: (inputs, outputs, **settings) -> int, for reports; None counts the leaves.
        layered: Whether params are a dictionary of layers; those of a shallower net are some of its entries,
            drawn alike; the layers beyond a lane's depth are zero, and `apply` passes them over.
        several: Whether `apply` gives outputs [M, K] of M members that share parameters. The mean of their
            losses is trained, and the average of what they say is predicted.
        work: (inputs, outputs, **settings) -> Work, where weights meet an example more than once; None: each
            meets it once.
    """

    init: Callable[..., Params]
    apply: Callable[..., jax.Array]
    n_parameters: Callable[..., int] | None = None
    layered: bool = False
    several: bool = False
    work: Callable[..., Work] | None = None
