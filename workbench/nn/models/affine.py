"""f(x) = W x + b: linear regression, logistic regression and softmax regression.

What distinguishes the three is the loss and the number of outputs, not the function: one output for a real
number, one logit for two classes, K logits for K classes. Starts from zeros, as a convex model may.

Source: *Regression to neural networks* (linear, logistic); *Perceptron to MLP* (softmax).
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from workbench.nn.models.base import Model, Params
from workbench.nn.recipe import Hyperparameters, Recipe


def init(recipe: Recipe, hyper: Hyperparameters, *, key: jax.Array) -> Params:
    """Weight [K, F], bias [K], both zero."""
    del hyper, key
    features = math.prod(recipe.inputs)
    return {
        "weight": jnp.zeros((recipe.outputs, features), jnp.float32),
        "bias": jnp.zeros(recipe.outputs, jnp.float32),
    }


def apply(
    recipe: Recipe, hyper: Hyperparameters, params: Params, x: jax.Array, *, key: jax.Array | None = None
) -> jax.Array:
    """X [*F] -> [K]."""
    del recipe, hyper, key
    return params["weight"] @ x.ravel() + params["bias"]


def n_parameters(inputs: tuple[int, ...], outputs: int, **settings: Any) -> int:
    """K (F + 1)."""
    del settings
    return outputs * (math.prod(inputs) + 1)


MODEL = Model(init, apply, n_parameters)
