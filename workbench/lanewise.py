"""How the lanes of one device train an epoch: side by side, or one after the other."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from workbench import scoring, training
from workbench.depths import at_own_depth
from workbench.optimizers import Moments
from workbench.recipe import Hyperparameters, Recipe
from workbench.training import Epoch, Lane
from workbench.types import Fold

__all__ = ["Shared", "in_turn", "side_by_side"]

#: What all lanes have in common: the data, the order of the rows, the epoch's number, the keys of `train`.
Shared = tuple[Fold, jax.Array, jax.Array, jax.Array | None]


def side_by_side(recipe: Recipe, hyper: Hyperparameters, lanes: Lane, shared: Shared) -> tuple[Lane, Epoch]:
    """One operation for all lanes: what an accelerator wants, and a CPU while the networks are small."""

    def one(h: Hyperparameters, lane: Lane) -> tuple[Lane, Epoch]:
        return training.epoch(recipe, h, lane, *shared)

    after: tuple[Lane, Epoch] = jax.vmap(one)(hyper, lanes)
    return after


def in_turn(recipe: Recipe, hyper: Hyperparameters, lanes: Lane, shared: Shared) -> tuple[Lane, Epoch]:
    """One lane after the other: its weights stay in its core's cache, and layers that it has not are free.

    A lane that no longer trains is passed over. What concludes an epoch is a few numbers of each lane, and
    one operation for all.
    """
    fold, *_ = shared

    def one_pass(recipe: Recipe, h: Hyperparameters, lane: Lane) -> tuple[Any, Moments, jax.Array]:
        return training.train(recipe, h, lane, *shared)

    def trained(h: Hyperparameters, lane: Lane) -> tuple[Any, Moments, Epoch]:
        params, moments, loss = at_own_depth(one_pass, recipe, h, lane)
        return params, moments, Epoch(loss, *scoring.validate(recipe, h, params, fold))

    def one(pair: tuple[Hyperparameters, Lane]) -> tuple[Any, Moments, Epoch]:
        h, lane = pair
        nothing = Epoch(*(jnp.float32(jnp.nan) for _ in Epoch._fields))
        passed: tuple[Any, Moments, Epoch] = jax.lax.cond(
            lane.status == training.RUNNING,
            lambda: trained(h, lane),
            lambda: (lane.params, lane.moments, nothing),
        )
        return passed

    passed = jax.lax.map(one, (hyper, lanes))
    after: tuple[Lane, Epoch] = jax.vmap(partial(training.conclude, recipe))(hyper, lanes, *passed)
    return after
