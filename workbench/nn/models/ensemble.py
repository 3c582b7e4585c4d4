"""Ensembles: one design from several initializations, trained side by side; their predictions are averaged.

Members share the order of the rows and the dropped units, as lanes do, and know nothing of each other: each
is trained on its own loss, not on that of the average. Parameters of M members have a leading axis M.

Source: *Perceptron to MLP*; Lakshminarayanan et al., arXiv:1612.01474.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from workbench.core.types import Task
from workbench.nn import prng
from workbench.nn.models.base import Model, Params
from workbench.nn.recipe import Hyperparameters, Recipe

#: Where the random streams of the members begin, beyond those of the layers of one model.
MEMBER_STREAM = 2_000_000


def init(model: Model, recipe: Recipe, hyper: Hyperparameters, *, key: jax.Array) -> Params:
    """Parameters of a model, or [M, ...] of M members, whose weights do not depend on how many there are."""
    if recipe.ensemble == 1:
        return model.init(recipe, hyper, key=key)
    streams = MEMBER_STREAM + jnp.arange(recipe.ensemble)
    return jax.vmap(lambda i: model.init(recipe, hyper, key=prng.key_of(key, i)))(streams)


def each_member(recipe: Recipe, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of what one model has, over the leading axis of what the members have."""
    return function if recipe.ensemble == 1 else jax.vmap(function)


def member(recipe: Recipe, params: Params, index: int) -> Params:
    """The parameters of one member; of a single model its own."""
    return params if recipe.ensemble == 1 else jax.tree.map(lambda leaf: leaf[index], params)


def joined(recipe: Recipe, params: Sequence[Params]) -> tuple[Recipe, Params]:
    """Trained models of one recipe as one ensemble of them all; those of ensembles are all of their members.

    Args:
        recipe: of each.
        params: of each.

    Returns:
        The recipe and the parameters of the ensemble; of a single model, its own.
    """
    if len(params) == 1:
        return recipe, params[0]
    others = tuple(pair for pair in recipe.options if pair[0] != "ensemble")
    options = tuple(sorted((*others, ("ensemble", recipe.ensemble * len(params)))))
    join = np.stack if recipe.ensemble == 1 else np.concatenate
    return replace(recipe, options=options), jax.tree.map(lambda *leaves: join(leaves), *params)


def average(outputs: jax.Array, task: Task) -> jax.Array:
    """The outputs of M members [M, ..., K] as those of one model [..., K].

    regression      the mean
    classification  the logits of the mean of the probabilities: their logarithms, or, where two classes have
                    a single logit, log p - log(1 - p)
    multilabel      the latter of each label
    """
    if task == "regression":
        return outputs.mean(axis=0)
    if outputs.shape[-1] > 1 and task != "multilabel":
        return _log_mean(jax.nn.log_softmax(outputs, axis=-1))
    return _log_mean(jax.nn.log_sigmoid(outputs)) - _log_mean(jax.nn.log_sigmoid(-outputs))


def _log_mean(log_p: jax.Array) -> jax.Array:
    """The logarithm of 1/M Σ p, from log p [M, ...]."""
    return jax.nn.logsumexp(log_p, axis=0) - jnp.log(jnp.asarray(log_p.shape[0], log_p.dtype))
