"""What a lane says of rows, and how good that is: outputs, losses and scores.

Here the batch axis is mapped, and nowhere else. Losses are in the units of training (regression targets
standardized), scores in the units of the data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from workbench.core.target_transform import Transform, seen, to_data, to_training
from workbench.core.types import Examples, Fold, Pixels
from workbench.core.vocabulary import METRICS as METRIC_WORDS
from workbench.nn.losses import LOSSES, batch_loss
from workbench.nn.metrics import class_logits, score
from workbench.nn.models import MODELS, predict
from workbench.nn.models.recurrent import steps_as_rows
from workbench.nn.recipe import Hyperparameters, Recipe

#: Rows that are validated in one piece.
VALIDATION_CHUNK = 512

Params = Any

jax.tree_util.register_dataclass(Transform, data_fields=["knots"], meta_fields=["kind"])


def outputs(
    recipe: Recipe, hyper: Hyperparameters, params: Params, x: jax.Array, pixels: Pixels | None = None
) -> jax.Array:
    """[N, *F] -> [N, K] in evaluation mode, in chunks of rows so that memory stays bounded.

    The rows are not copied: the last chunk reaches back into the one before it.

    pixels  of rows that are bytes
    """
    n = x.shape[0]
    if n <= VALIDATION_CHUNK:
        return _predictions(recipe, hyper, params, seen(x, pixels, jnp))
    *starts, last = range(0, n, VALIDATION_CHUNK)

    def chunk(start: jax.Array) -> jax.Array:
        part = jax.lax.dynamic_slice_in_dim(x, start, VALIDATION_CHUNK)
        return _predictions(recipe, hyper, params, seen(part, pixels, jnp))

    out = jax.lax.map(chunk, jnp.asarray([*starts, n - VALIDATION_CHUNK], jnp.int32))
    whole = out[:-1].reshape(len(starts) * VALIDATION_CHUNK, *out.shape[2:])
    return jnp.concatenate([whole, out[-1, last - n :]])


def scorer(
    recipe: Recipe, hyper: Hyperparameters, params: Params, fold: Fold
) -> Callable[[jax.Array], jax.Array]:
    """The validation score as a function of the rows' weights [N]; the model is applied once."""
    rows = fold.validation
    out = outputs(recipe, hyper, params, rows.x, fold.pixels)
    return lambda weight: _score(recipe, hyper, fold, out, rows.y, weight)


def scores(
    recipe: Recipe, hyper: Hyperparameters, params: Params, fold: Fold, metrics: tuple[str, ...]
) -> jax.Array:
    """The validation scores by several metrics of the task, [M]; the model is applied once."""
    rows = fold.validation
    out = outputs(recipe, hyper, params, rows.x, fold.pixels)
    recipes = (replace(recipe, metric=metric) for metric in metrics)
    return jnp.stack([_score(one, hyper, fold, out, rows.y, rows.weight) for one in recipes])


def batch_outputs(
    recipe: Recipe, hyper: Hyperparameters, params: Params, x: jax.Array, keys: jax.Array | None
) -> jax.Array:
    """[B, *F] -> [B, K], or [B, M, K] of several that share parameters, in training; of an ensemble, one."""
    apply = MODELS[recipe.family].apply
    if keys is None:
        return jax.vmap(lambda one: apply(recipe, hyper, params, one))(x)
    return jax.vmap(lambda one, key: apply(recipe, hyper, params, one, key=key))(x, keys)


def _predictions(recipe: Recipe, hyper: Hyperparameters, params: Params, x: jax.Array) -> jax.Array:
    return jax.vmap(lambda one: predict(recipe, hyper, params, one))(x)


def per_target(
    recipe: Recipe, out: jax.Array, y: jax.Array, weight: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Outputs, targets and weights with one row for each target: of a sequence that may be every step."""
    return steps_as_rows(out, y, weight) if recipe.each else (out, y, weight)


def targets(recipe: Recipe, fold: Fold, examples: Examples) -> jax.Array:
    """What the loss sees: class codes, or standardized numbers."""
    if METRIC_WORDS[recipe.metric].task == "regression":
        return to_training(examples.y, fold, jnp)
    return examples.y


def validate(
    recipe: Recipe, hyper: Hyperparameters, params: Params, fold: Fold
) -> tuple[jax.Array, jax.Array]:
    """Loss without smoothing in the units of training, score in the units of the data."""
    rows = fold.validation
    out = outputs(recipe, hyper, params, rows.x, fold.pixels)
    y = targets(recipe, fold, rows)
    value = batch_loss(LOSSES[recipe.loss], *per_target(recipe, out, y, rows.weight))
    return value, _score(recipe, hyper, fold, out, rows.y, rows.weight)


def _score(
    recipe: Recipe, hyper: Hyperparameters, fold: Fold, out: jax.Array, y: jax.Array, weight: jax.Array
) -> jax.Array:
    """The metric of outputs: in the units of the data, or of the logits of all classes."""
    out, y, weight = per_target(recipe, out, y, weight)
    if METRIC_WORDS[recipe.metric].task == "regression":
        return score(recipe.metric, to_data(out, fold, jnp), y, weight)
    return score(recipe.metric, class_logits(out), y, weight, hyper.threshold)
