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
from workbench.recipe import Hyperparameters, Recipe
from workbench.training import Epoch, Lane

__all__ = ["EpochOf", "at_own_depth", "compiled"]

#: Up to this depth every one is compiled; beyond it, powers of two, between which layers are passed over.
EVERY = 3

Tree = Any
EpochOf = Callable[[Recipe, Hyperparameters, Lane], tuple[Lane, Epoch]]


def compiled(depth: int) -> tuple[int, ...]:
    """The depths that are compiled where there is room for `depth` layers, ascending; the last is `depth`.

    >>> compiled(2), compiled(8), compiled(12)
    ((1, 2), (1, 2, 4, 8), (1, 2, 4, 8, 12))
    """
    if depth <= EVERY:
        return tuple(range(1, depth + 1))
    return (*(2**k for k in range(depth.bit_length()) if 2**k < depth), depth)


def at_own_depth(epoch: EpochOf, recipe: Recipe, hyper: Hyperparameters, lane: Lane) -> tuple[Lane, Epoch]:
    """One lane's epoch at the least of the `compiled` depths that holds it; the rest stays as it is."""
    if not models.MODELS[recipe.family].layered or recipe.depth < 2:
        return epoch(recipe, hyper, lane)
    depths = compiled(recipe.depth)
    branches = [
        partial(_within, epoch, replace(recipe, depth=room), exact=room == below + 1)
        for below, room in zip((0, *depths), depths, strict=False)
    ]
    branch = jnp.sum(jnp.asarray(depths, jnp.int32) < hyper.depth, dtype=jnp.int32)
    after: tuple[Lane, Epoch] = jax.lax.switch(branch, branches, hyper, lane)
    return after


def _within(
    epoch: EpochOf, shallow: Recipe, hyper: Hyperparameters, lane: Lane, *, exact: bool
) -> tuple[Lane, Epoch]:
    """`epoch` of a lane without the layers that `shallow` has no room for.

    exact  this is the lane's own depth, which the compiler may then know
    """
    names = models.shapes(shallow)
    if exact:
        hyper = hyper._replace(depth=shallow.depth)
    whole = _trees(lane)
    after, seen = epoch(shallow, hyper, _with(lane, [_part(tree, names) for tree in whole]))
    return _with(after, [_merged(*pair) for pair in zip(whole, _trees(after), strict=True)]), seen


def _trees(lane: Lane) -> list[Tree]:
    """What a lane keeps for every parameter; an empty tuple where it keeps nothing."""
    return [lane.params, lane.moments.first, lane.moments.second, lane.best]


def _with(lane: Lane, trees: list[Tree]) -> Lane:
    params, first, second, best = trees
    return lane._replace(params=params, moments=lane.moments._replace(first=first, second=second), best=best)


def _part(tree: Tree, names: Mapping[str, Any]) -> Tree:
    return {name: tree[name] for name in names} if isinstance(tree, dict) else tree


def _merged(whole: Tree, part: Tree) -> Tree:
    return {**whole, **part} if isinstance(whole, dict) else part
