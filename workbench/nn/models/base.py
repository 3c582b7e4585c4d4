"""What a model is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

Params = Any  # a pytree of arrays


class Model(NamedTuple):
    """A named pair of pure functions, and how to count what they learn.

    init          (recipe, hyper, *, key) -> params
    apply         (recipe, hyper, params, x [*F], *, key=None) -> outputs [K]
    n_parameters  (inputs, outputs, **settings) -> int, for reports; None counts the leaves
    layered       params are a dictionary of layers; those of a shallower net are some of its entries, drawn
                  alike; the layers beyond a lane's depth are zero, and `apply` passes them over
    """

    init: Callable[..., Params]
    apply: Callable[..., jax.Array]
    n_parameters: Callable[..., int] | None = None
    layered: bool = False
