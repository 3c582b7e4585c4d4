"""How deep a lane is: where lanes take turns, each trains the layers that it has and no others.

A program has room for the deepest net of a study. To carry the layers beyond its own through every step
would cost a shallow lane two or three times its work: an optimizer moves zeros as slowly as weights. So an
epoch is compiled for a few depths, each with the parameters of a net of that depth alone, and a lane takes
the shallowest that holds it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from workbench import models
from workbench.recipe import Hyperparameters, Recipe
from workbench.training import Lane
from workbench.transformation_plans import merged, part_of

__all__ = ["Pass", "at_own_depth", "compiled"]

#: Up to this depth every one is compiled; beyond it, powers of two, between which layers are passed over.
EVERY = 3

Params = Any
#: A pass over the rows: parameters and the optimizer's memory afterwards, and the training loss.
Passed = tuple[Params, Any, jax.Array]
Pass = Callable[[Recipe, Hyperparameters, Lane], Passed]


def compiled(depth: int) -> tuple[int, ...]:
    """The depths that are compiled where there is room for `depth` layers, ascending; the last is `depth`.

    >>> compiled(2), compiled(8), compiled(12)
    ((1, 2), (1, 2, 4, 8), (1, 2, 4, 8, 12))
    """
    if depth <= EVERY:
        return tuple(range(1, depth + 1))
    return (*(2**k for k in range(depth.bit_length()) if 2**k < depth), depth)


def at_own_depth(train: Pass, recipe: Recipe, hyper: Hyperparameters, lane: Lane) -> Passed:
    """One lane's pass at the least of the `compiled` depths that holds it; layers beyond stay as they are."""
    if not models.MODELS[recipe.family].layered or recipe.depth < 2:
        return train(recipe, hyper, lane)
    if recipe.exact:
        return train(recipe, hyper._replace(depth=recipe.depth), lane)
    depths = compiled(recipe.depth)
    branches = [
        partial(_within, train, models.shapes(recipe), replace(recipe, depth=room), exact=room == below + 1)
        for below, room in zip((0, *depths), depths, strict=False)
    ]
    branch = jnp.sum(jnp.asarray(depths, jnp.int32) < hyper.depth, dtype=jnp.int32)
    passed: Passed = jax.lax.switch(branch, branches, hyper, lane)
    return passed


def _within(
    train: Pass, whole: Params, shallow: Recipe, hyper: Hyperparameters, lane: Lane, *, exact: bool
) -> Passed:
    """`train` of a lane without the layers that `shallow` has no room for.

    whole  the shapes of the parameters of all layers
    exact  this is the lane's own depth, which the compiler may then know
    """
    names = models.shapes(shallow)
    if exact:
        hyper = hyper._replace(depth=shallow.depth)
    before = lane.params, lane.moments
    params, moments = part_of(before, whole, names)
    *after, loss = train(shallow, hyper, lane._replace(params=params, moments=moments))
    params, moments = merged(before, tuple(after), whole, names)
    return params, moments, loss
