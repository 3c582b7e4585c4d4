"""How the lanes of one device train an epoch: side by side, or one after the other.

Where lanes take turns, each trains the layers that it has and no others. A program has room for the deepest
net of a study. To carry the layers beyond its own through every step would cost a shallow lane two or three
times its work: an optimizer moves zeros as slowly as weights. So an epoch is compiled for a few depths, each
with the parameters of a net of that depth alone, and a lane takes the shallowest that holds it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from workbench.core.types import Fold
from workbench.nn import models, optimizers
from workbench.nn.optimizers import Moments
from workbench.nn.recipe import Hyperparameters, Recipe
from workbench.nn.transformation_plans import merged, part_of
from workbench.training import scoring, trainer
from workbench.training.trainer import Epoch, Lane

#: What all lanes have in common: the data, the order of the rows, the epoch's number, the keys of `train`.
Shared = tuple[Fold, jax.Array, jax.Array, jax.Array | None]


def side_by_side(recipe: Recipe, hyper: Hyperparameters, lanes: Lane, shared: Shared) -> tuple[Lane, Epoch]:
    """One operation for all lanes: what an accelerator wants, and a CPU while the networks are small."""

    def one(h: Hyperparameters, lane: Lane) -> tuple[Lane, Epoch]:
        return trainer.epoch(recipe, h, lane, *shared)

    after: tuple[Lane, Epoch] = jax.vmap(one)(hyper, lanes)
    return after


def in_turn(recipe: Recipe, hyper: Hyperparameters, lanes: Lane, shared: Shared) -> tuple[Lane, Epoch]:
    """One lane after the other: its weights stay in its core's cache, and layers that it has not are free.

    A lane that no longer trains is passed over. What concludes an epoch is a few numbers of each lane, and
    one operation for all.
    """
    fold, *_ = shared

    def one_pass(recipe: Recipe, h: Hyperparameters, lane: Lane) -> tuple[Any, Moments, jax.Array]:
        return trainer.train(recipe, h, lane, *shared)

    def trained(h: Hyperparameters, lane: Lane) -> tuple[Any, Moments, Epoch]:
        params, moments, loss = at_own_depth(one_pass, recipe, h, lane)
        judged = optimizers.judged(recipe, moments, params)
        return params, moments, Epoch(loss, *scoring.validate(recipe, h, judged, fold))

    def one(pair: tuple[Hyperparameters, Lane]) -> tuple[Any, Moments, Epoch]:
        h, lane = pair
        nothing = Epoch(*(jnp.float32(jnp.nan) for _ in Epoch._fields))
        passed: tuple[Any, Moments, Epoch] = jax.lax.cond(
            lane.status == trainer.RUNNING,
            lambda: trained(h, lane),
            lambda: (lane.params, lane.moments, nothing),
        )
        return passed

    passed = jax.lax.map(one, (hyper, lanes))
    after: tuple[Lane, Epoch] = jax.vmap(partial(trainer.conclude, recipe))(hyper, lanes, *passed)
    return after


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
    if recipe.exact or recipe.widths:
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
