"""Training one lane: epochs of minibatches, a validation at the end of each, early stopping.

Everything here sees a single lane; `population` maps it over lanes and devices. The order of the rows is an
argument, so lanes share it, and trials are compared on common random numbers.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from workbench.core.target_transform import seen
from workbench.core.types import Fold
from workbench.core.vocabulary import METRICS as METRIC_WORDS
from workbench.nn import models, optimizers, prng, schedules
from workbench.nn.losses import LOSSES
from workbench.nn.models.ensemble import each_member
from workbench.nn.recipe import Hyperparameters, Recipe
from workbench.nn.regularizers import clip_by_global_norm, penalty
from workbench.training import scoring
from workbench.training.augmentation import augmented

#: What a lane is doing; kept in `Lane.status`.
RUNNING, STOPPED, DIVERGED = 0, 1, 2
#: Relative gain that is no improvement: the compiler may round a score and its copy in the comparison apart.
ROUNDING = 1e-6

Params = Any
#: Loss summed over an epoch's rows, and the weight of those rows.
Totals = tuple[jax.Array, jax.Array]


class Lane(NamedTuple):
    """What the next epoch needs of a lane. `best` is empty unless the recipe keeps it."""

    params: Params
    moments: Any  # the optimizer's memory
    plateau: schedules.Plateau
    best: Params
    best_score: jax.Array  # float32, in the metric's own direction; NaN before the first epoch
    best_loss: jax.Array  # float32, validation loss of the same epoch
    best_epoch: jax.Array  # int32, 1-based
    wait: jax.Array  # int32, epochs since the last improvement
    status: jax.Array  # int32
    epochs: jax.Array  # int32, epochs trained


class _Training(NamedTuple):
    """What goes from step to step within an epoch."""

    params: Params
    moments: Any  # the optimizer's memory
    summed: Params  # gradients of the steps of one update; empty unless the recipe accumulates
    seen: jax.Array  # total weight of the rows they were summed over


Carry = tuple[_Training, Totals]


class Epoch(NamedTuple):
    """What is reported of an epoch, float32 scalars; NaN for a lane that no longer trains."""

    train_loss: jax.Array  # mean over the epoch's minibatches (and members), in training, without penalties
    validation_loss: jax.Array
    validation_score: jax.Array


def start(recipe: Recipe, hyper: Hyperparameters, key: jax.Array) -> Lane:
    """A lane before its first epoch; its initial weights depend on `hyper.seed` and on nothing around it."""
    params = models.start(recipe, hyper, key=prng.key_of(key, hyper.seed))
    return Lane(
        params=params,
        moments=each_member(recipe, lambda one: optimizers.init(recipe, hyper, one))(params),
        plateau=schedules.plateau_init(),
        best=params if recipe.keep_best else (),
        best_score=jnp.float32(jnp.nan),
        best_loss=jnp.float32(jnp.nan),
        best_epoch=jnp.int32(0),
        wait=jnp.int32(0),
        status=jnp.int32(RUNNING),
        epochs=jnp.int32(0),
    )


def epoch(
    recipe: Recipe,
    hyper: Hyperparameters,
    lane: Lane,
    fold: Fold,
    order: jax.Array,
    number: jax.Array,
    keys: jax.Array | None,
) -> tuple[Lane, Epoch]:
    """Train for one epoch, validate and conclude; the arguments are those of `train`."""
    params, moments, train_loss = train(recipe, hyper, lane, fold, order, number, keys)
    judged = optimizers.judged(recipe, moments, params)
    seen = Epoch(train_loss, *scoring.validate(recipe, hyper, judged, fold))
    return conclude(recipe, hyper, lane, params, moments, seen)


def train(
    recipe: Recipe,
    hyper: Hyperparameters,
    lane: Lane,
    fold: Fold,
    order: jax.Array,
    number: jax.Array,
    keys: jax.Array | None,
) -> tuple[Params, Any, jax.Array]:
    """Pass over the rows once: the parameters and moments afterwards, and the loss on the way.

    order   int32 [steps, B], row numbers; N and more: padding
    number  int32, how many epochs lie behind
    keys    [steps, B], which draw the dropped units of each row and shift it; None: nothing is drawn
    """
    examples, n_rows = fold.train, fold.train.x.shape[0]
    target = scoring.targets(recipe, fold, examples)
    loss = LOSSES[recipe.loss]
    steps = order.shape[0]
    per_update = (hyper.batch_size + recipe.batch - 1) // recipe.batch

    def objective(params: Params, rows: jax.Array, key: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        x, y = examples.x[rows], target[rows]
        if recipe.augments and key is not None:
            x = augmented(hyper, x, key)
        x = seen(x, fold.pixels, jnp)
        weight = jnp.where(rows < n_rows, examples.weight[rows], 0.0)
        out = scoring.batch_outputs(recipe, hyper, params, x, key if recipe.dropout else None)
        out, y, weight = scoring.per_target(recipe, out, y, weight)
        each = jax.vmap(partial(models.loss, recipe), in_axes=(0, 0, None))(out, y, hyper.label_smoothing)
        return jnp.sum(jnp.where(weight > 0.0, weight * each, 0.0)), jnp.sum(weight)

    def updated(k: jax.Array, state: _Training, gradients: Params, seen: jax.Array) -> _Training:
        """One update, by the gradients that were summed over rows of total weight `seen`."""
        if loss.reduction == "mean":
            share = 1.0 / jnp.maximum(seen, 1e-12)
            gradients = jax.tree.map(lambda g: g * share, gradients)
        shrink = jax.grad(penalty)(state.params, hyper.l1, hyper.l2)
        gradients = jax.tree.map(jnp.add, gradients, shrink)
        if recipe.clip:
            gradients = clip_by_global_norm(gradients, hyper.clip)
        progress = number.astype(jnp.float32) + k.astype(jnp.float32) / steps
        rate = hyper.learning_rate * schedules.factor_of(recipe, hyper, progress, lane.plateau)
        rate = jnp.where(lane.status == RUNNING, rate, 0.0)
        params, moments = optimizers.update(recipe, hyper, gradients, state.moments, state.params, rate)
        return state._replace(params=params, moments=moments)

    def step(k: jax.Array, carry: Carry) -> Carry:
        state, (total, count) = carry
        key = None if keys is None else keys[k]
        (value, weight), gradients = jax.value_and_grad(objective, has_aux=True)(state.params, order[k], key)
        totals = (total + value, count + weight)
        if not recipe.accumulate:
            return updated(k, state, gradients, weight), totals
        begun = k % per_update > 0
        gradients = jax.tree.map(lambda old, g: jnp.where(begun, old, 0.0) + g, state.summed, gradients)
        state = state._replace(summed=gradients, seen=jnp.where(begun, state.seen, 0.0) + weight)
        due = ((k + 1) % per_update == 0) | (k == steps - 1)
        return jax.lax.cond(due, lambda: updated(k, state, state.summed, state.seen), lambda: state), totals

    def all_steps(params: Params, moments: Any) -> tuple[Params, Any, jax.Array]:
        """One model through the epoch's rows, and its loss on the way."""
        nothing = jnp.float32(0.0)
        summed = jax.tree.map(jnp.zeros_like, params) if recipe.accumulate else ()
        before = _Training(params, moments, summed, nothing), (nothing, nothing)
        (params, moments, *_), (total, count) = jax.lax.fori_loop(0, steps, step, before)
        return params, moments, total / count if loss.reduction == "mean" else total

    params, moments, losses = each_member(recipe, all_steps)(lane.params, lane.moments)
    return params, moments, jnp.mean(losses)


def conclude(
    recipe: Recipe,
    hyper: Hyperparameters,
    lane: Lane,
    params: Params,
    moments: Any,
    seen: Epoch,
) -> tuple[Lane, Epoch]:
    """Keep the best, count the epochs without improvement, stop or freeze the lane.

    An epoch is better than the best so far if its score gains more than `min_delta`, or if it has the same
    score and a lower validation loss: on few rows a score has few values, and the first epoch to reach one
    is often a lucky one. A gain of `min_delta` or less is none, whatever the loss does. A lane stops after
    the epoch whose score is what the recipe stops at, or better.

    params, moments  after the epoch; seen  what came out. A lane that no longer trains stays as it is.
    """
    trained = lane.status == RUNNING
    healthy = (
        jnp.isfinite(seen.train_loss) & jnp.isfinite(seen.validation_loss) & ~jnp.isnan(seen.validation_score)
    )
    sign = 1.0 if METRIC_WORDS[recipe.metric].direction == "maximize" else -1.0
    gain = sign * (seen.validation_score - lane.best_score)
    if recipe.keep_best:
        rounding = ROUNDING * jnp.abs(lane.best_score)
        better = jnp.isnan(lane.best_score) | (gain > hyper.min_delta + rounding)
        if recipe.by_loss:
            lower = seen.validation_loss < lane.best_loss - ROUNDING * jnp.abs(lane.best_loss)
            better = better | ((jnp.abs(gain) <= rounding) & lower)
    else:
        better = jnp.bool_(True)  # without early stopping the last epoch counts
    reached = None
    if recipe.stop_at is not None:
        reached = healthy & (sign * (seen.validation_score - jnp.float32(recipe.stop_at)) >= 0.0)
        better = better | (reached & (gain > 0.0))  # however small a gain `min_delta` lets count
    better = better & trained & healthy
    epochs = jnp.where(trained, lane.epochs + 1, lane.epochs)
    wait = jnp.where(better, 0, jnp.where(trained, lane.wait + 1, lane.wait))
    stop = (hyper.patience > 0) & (wait >= hyper.patience)
    stop = stop if reached is None else stop | reached
    status = jnp.where(trained, jnp.where(healthy, jnp.where(stop, STOPPED, RUNNING), DIVERGED), lane.status)
    after = Lane(
        params=params,
        moments=moments,
        plateau=schedules.plateau_update(lane.plateau, seen.train_loss),
        best=jax.tree.map(
            lambda new, old: jnp.where(better, new, old),
            optimizers.judged(recipe, moments, params),
            lane.best,
        )
        if recipe.keep_best
        else (),
        best_score=jnp.where(better, seen.validation_score, lane.best_score),
        best_loss=jnp.where(better, seen.validation_loss, lane.best_loss),
        best_epoch=jnp.where(better, epochs, lane.best_epoch),
        wait=wait,
        status=status.astype(jnp.int32),
        epochs=epochs,
    )
    return after, jax.tree.map(lambda value: jnp.where(trained, value, jnp.nan), seen)
