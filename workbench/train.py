"""Training one lane: epochs of minibatches, a validation at the end of each, early stopping.

Everything here sees a single lane; `population` maps it over lanes and devices. The order of the rows is an
argument, so lanes share it: the first layer of a population is one matrix product, and trials are compared
on common random numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from workbench import optimizers, schedules
from workbench.losses import LOSSES, batch_loss
from workbench.metrics import METRICS, class_logits
from workbench.models import MODELS
from workbench.models.recurrent import steps_as_rows
from workbench.recipe import Hyperparameters, Recipe
from workbench.regularizers import clip_by_global_norm, penalty
from workbench.types import Examples, Fold
from workbench.words import METRICS as METRIC_WORDS

__all__ = ["DIVERGED", "RUNNING", "STOPPED", "Epoch", "Lane", "epoch", "outputs", "scorer", "start"]

#: What a lane is doing; kept in `Lane.status`.
RUNNING, STOPPED, DIVERGED = 0, 1, 2
#: Relative gain that is no improvement: the compiler may round a score and its copy in the comparison apart.
ROUNDING = 1e-6
#: Rows that are validated in one piece.
VALIDATION_CHUNK = 2048

Params = Any


class Lane(NamedTuple):
    """What the next epoch needs of a lane. `best` is empty unless the recipe keeps it."""

    params: Params
    moments: optimizers.Moments
    plateau: schedules.Plateau
    best: Params
    best_score: jax.Array  # float32, in the metric's own direction; NaN before the first epoch
    best_epoch: jax.Array  # int32, 1-based
    wait: jax.Array  # int32, epochs since the best
    status: jax.Array  # int32
    epochs: jax.Array  # int32, epochs trained


class Epoch(NamedTuple):
    """What is reported of an epoch, float32 scalars; NaN for a lane that no longer trains."""

    train_loss: jax.Array  # mean over the epoch's minibatches, in training mode, without penalties
    validation_loss: jax.Array
    validation_score: jax.Array


def start(recipe: Recipe, hyper: Hyperparameters, key: jax.Array) -> Lane:
    """A lane before its first epoch; its initial weights depend on `hyper.seed` and on nothing around it."""
    params = MODELS[recipe.family].init(recipe, hyper, key=jax.random.fold_in(key, hyper.seed))
    return Lane(
        params=params,
        moments=optimizers.init(recipe, params),
        plateau=schedules.plateau_init(),
        best=params if recipe.keep_best else (),
        best_score=jnp.float32(jnp.nan),
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
    key: jax.Array,
) -> tuple[Lane, Epoch]:
    """Train for one epoch and validate.

    order   int32 [steps, B], row numbers; N and more: padding
    number  int32, how many epochs lie behind
    key     draws the dropped units
    """
    train, n_rows = fold.train, fold.train.x.shape[0]
    target = _targets(recipe, fold, fold.train)
    loss = LOSSES[recipe.loss]
    steps = order.shape[0]
    per_update = (hyper.batch_size + recipe.batch - 1) // recipe.batch

    def objective(params: Params, rows: jax.Array, key_step: jax.Array) -> tuple[jax.Array, jax.Array]:
        x, y = train.x[rows], target[rows]
        weight = jnp.where(rows < n_rows, train.weight[rows], 0.0)
        keys = jax.random.split(key_step, recipe.batch) if recipe.dropout else None
        out, y, weight = _rows(recipe, _batch_outputs(recipe, hyper, params, x, keys), y, weight)
        each = jax.vmap(loss.function, in_axes=(0, 0, None))(out, y, hyper.label_smoothing)
        return jnp.sum(jnp.where(weight > 0.0, weight * each, 0.0)), jnp.sum(weight)

    def step(carry: tuple[Any, ...], inputs: tuple[jax.Array, jax.Array]) -> tuple[tuple[Any, ...], None]:
        params, moments, summed, seen, total, count = carry
        k, rows = inputs
        (value, weight), gradients = jax.value_and_grad(objective, has_aux=True)(
            params, rows, jax.random.fold_in(key, k)
        )
        if recipe.accumulate:
            gradients, seen = jax.tree.map(jnp.add, summed, gradients), seen + weight
        else:
            seen = weight
        if loss.reduction == "mean":
            average = jax.tree.map(lambda g: g / jnp.maximum(seen, 1e-12), gradients)
        else:
            average = gradients
        shrink = jax.grad(penalty)(params, hyper.l1, hyper.l2)
        average = jax.tree.map(jnp.add, average, shrink)
        if recipe.clip:
            average = clip_by_global_norm(average, hyper.clip)
        progress = number.astype(jnp.float32) + k.astype(jnp.float32) / steps
        rate = hyper.learning_rate * schedules.factor(
            recipe.schedules,
            hyper.schedule,
            progress,
            hyper.epochs.astype(jnp.float32),
            hyper.warmup,
            lane.plateau,
        )
        rate = jnp.where(lane.status == RUNNING, rate, 0.0)
        moved, remembered = optimizers.update(recipe, hyper, average, moments, params, rate)
        if recipe.accumulate:
            due = ((k + 1) % per_update == 0) | (k == steps - 1)
            moved, remembered = jax.tree.map(
                lambda new, old: jnp.where(due, new, old), (moved, remembered), (params, moments)
            )
            summed = jax.tree.map(lambda g: jnp.where(due, 0.0, g), gradients)
            seen = jnp.where(due, 0.0, seen)
        return (moved, remembered, summed, seen, total + value, count + weight), None

    summed = jax.tree.map(jnp.zeros_like, lane.params) if recipe.accumulate else ()
    nothing = jnp.float32(0.0)
    (params, moments, _, _, total, count), _ = jax.lax.scan(
        step,
        (lane.params, lane.moments, summed, nothing, nothing, nothing),
        (jnp.arange(steps, dtype=jnp.int32), order),
    )
    train_loss = total / count if loss.reduction == "mean" else total
    validation_loss, score = _validate(recipe, hyper, params, fold)
    return _conclude(recipe, hyper, lane, params, moments, Epoch(train_loss, validation_loss, score))


def outputs(recipe: Recipe, hyper: Hyperparameters, params: Params, x: jax.Array) -> jax.Array:
    """[N, *F] -> [N, K] in evaluation mode, in chunks of rows so that memory stays bounded."""
    n = x.shape[0]
    if n <= VALIDATION_CHUNK:
        return _batch_outputs(recipe, hyper, params, x, None)
    chunks = -(-n // VALIDATION_CHUNK)
    padded = jnp.pad(x, [(0, chunks * VALIDATION_CHUNK - n)] + [(0, 0)] * (x.ndim - 1))
    out = jax.lax.map(
        lambda part: _batch_outputs(recipe, hyper, params, part, None),
        padded.reshape(chunks, VALIDATION_CHUNK, *x.shape[1:]),
    )
    return out.reshape(chunks * VALIDATION_CHUNK, *out.shape[2:])[:n]


def scorer(
    recipe: Recipe, hyper: Hyperparameters, params: Params, fold: Fold
) -> Callable[[jax.Array], jax.Array]:
    """The validation score as a function of the rows' weights [N]; the model is applied once."""
    rows = fold.validation
    out = outputs(recipe, hyper, params, rows.x)
    return lambda weight: _score(recipe, fold, out, rows.y, weight)


def _batch_outputs(
    recipe: Recipe, hyper: Hyperparameters, params: Params, x: jax.Array, keys: jax.Array | None
) -> jax.Array:
    """The one place where the batch axis is mapped: [B, *F] -> [B, K]."""
    apply = MODELS[recipe.family].apply
    if keys is None:
        return jax.vmap(lambda one: apply(recipe, hyper, params, one))(x)
    return jax.vmap(lambda one, key: apply(recipe, hyper, params, one, key=key))(x, keys)


def _rows(
    recipe: Recipe, out: jax.Array, y: jax.Array, weight: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Outputs, targets and weights with one row for each target: of a sequence that may be every step."""
    return steps_as_rows(out, y, weight) if ("output", "each") in recipe.options else (out, y, weight)


def _targets(recipe: Recipe, fold: Fold, examples: Examples) -> jax.Array:
    """What the loss sees: class codes, or standardized numbers."""
    if METRIC_WORDS[recipe.metric].task == "regression":
        return (examples.y - _along(fold.shift, examples.y)) / _along(fold.scale, examples.y)
    return examples.y


def _validate(
    recipe: Recipe, hyper: Hyperparameters, params: Params, fold: Fold
) -> tuple[jax.Array, jax.Array]:
    """Loss without smoothing in the units of training, score in the units of the data."""
    rows = fold.validation
    out = outputs(recipe, hyper, params, rows.x)
    value = batch_loss(LOSSES[recipe.loss], *_rows(recipe, out, _targets(recipe, fold, rows), rows.weight))
    return value, _score(recipe, fold, out, rows.y, rows.weight)


def _score(recipe: Recipe, fold: Fold, out: jax.Array, y: jax.Array, weight: jax.Array) -> jax.Array:
    """The metric of outputs: in the units of the data, or of the logits of all classes."""
    out, y, weight = _rows(recipe, out, y, weight)
    if METRIC_WORDS[recipe.metric].task == "regression":
        return METRICS[recipe.metric](out * fold.scale[None] + fold.shift[None], y, weight)
    return METRICS[recipe.metric](class_logits(out), y, weight)


def _along(values: jax.Array, other: jax.Array) -> jax.Array:
    """[K] with the rank of `other`, whose last axis is K."""
    return values.reshape((1,) * (other.ndim - 1) + values.shape)


def _conclude(
    recipe: Recipe,
    hyper: Hyperparameters,
    lane: Lane,
    params: Params,
    moments: optimizers.Moments,
    seen: Epoch,
) -> tuple[Lane, Epoch]:
    """Keep the best, count the epochs without improvement, stop or freeze the lane."""
    trained = lane.status == RUNNING
    healthy = (
        jnp.isfinite(seen.train_loss) & jnp.isfinite(seen.validation_loss) & ~jnp.isnan(seen.validation_score)
    )
    sign = 1.0 if METRIC_WORDS[recipe.metric].direction == "maximize" else -1.0
    gain = sign * (seen.validation_score - lane.best_score)
    if recipe.keep_best:
        better = jnp.isnan(lane.best_score) | (gain > hyper.min_delta + ROUNDING * jnp.abs(lane.best_score))
    else:
        better = jnp.bool_(True)  # without early stopping the last epoch counts
    better = better & trained & healthy
    epochs = jnp.where(trained, lane.epochs + 1, lane.epochs)
    wait = jnp.where(better, 0, jnp.where(trained, lane.wait + 1, lane.wait))
    stop = (hyper.patience > 0) & (wait >= hyper.patience)
    status = jnp.where(trained, jnp.where(healthy, jnp.where(stop, STOPPED, RUNNING), DIVERGED), lane.status)
    after = Lane(
        params=params,
        moments=moments,
        plateau=schedules.plateau_update(lane.plateau, seen.train_loss),
        best=jax.tree.map(lambda new, old: jnp.where(better, new, old), params, lane.best)
        if recipe.keep_best
        else (),
        best_score=jnp.where(better, seen.validation_score, lane.best_score),
        best_epoch=jnp.where(better, epochs, lane.best_epoch),
        wait=wait,
        status=status.astype(jnp.int32),
        epochs=epochs,
    )
    return after, jax.tree.map(lambda value: jnp.where(trained, value, jnp.nan), seen)
