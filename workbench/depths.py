"""How deep a lane is: where lanes take turns, each trains the layers that it has and no others.

A program has room for the deepest net of a study. To carry the layers beyond its own through every step
would cost a shallow lane two or three times its work: an optimizer moves zeros as slowly as weights. So an
epoch is compiled for a few depths, each with the parameters of a net of that depth alone, and a lane takes
the shallowest that holds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from workbench import models
from workbench.optimizers import Moments
from workbench.recipe import Hyperparameters, Recipe
from workbench.training import Lane

__all__ = ["Pass", "at_own_depth", "compiled"]

#: Up to this depth every one is compiled; beyond it, powers of two, between which layers are passed over.
EVERY = 3

Params = Any
#: A pass over the rows: parameters and moments afterwards, and the training loss.
Passed = tuple[Params, Moments, jax.Array]
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
    depths = compiled(recipe.depth)
    branches = [
        partial(_within, train, replace(recipe, depth=room), exact=room == below + 1)
        for below, room in zip((0, *depths), depths, strict=False)
    ]
    branch = jnp.sum(jnp.asarray(depths, jnp.int32) < hyper.depth, dtype=jnp.int32)
    passed: Passed = jax.lax.switch(branch, branches, hyper, lane)
    return passed


def _within(train: Pass, shallow: Recipe, hyper: Hyperparameters, lane: Lane, *, exact: bool) -> Passed:
    """`train` of a lane without the layers that `shallow` has no room for.

    exact  this is the lane's own depth, which the compiler may then know
    """
    names = models.shapes(shallow)
    if exact:
        hyper = hyper._replace(depth=shallow.depth)
    of_lane = Moments(lane.moments.updates, *(_part(tree, names) for tree in lane.moments[1:]))
    part = lane._replace(params=_part(lane.params, names), moments=of_lane)
    params, moments, loss = train(shallow, hyper, part)
    whole = Moments(moments.updates, *map(_merged, lane.moments[1:], moments[1:]))
    return _merged(lane.params, params), whole, loss


def _part(tree: Params, names: Mapping[str, Any]) -> Params:
    return {name: tree[name] for name in names} if isinstance(tree, dict) else tree


def _merged(whole: Params, part: Params) -> Params:
    """An optimizer keeps an empty tuple where it has no moment."""
    return {**whole, **part} if isinstance(whole, dict) else part
