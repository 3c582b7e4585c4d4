"""The loss of a model around where training ended, along two random directions of its weights.

Directions are normalized by filter: each unit's incoming weights in the direction are as long as in the
model, so that nets whose units can be rescaled without changing what they compute can be compared. Biases
stay. Source: *Perceptron to MLP*; Li et al., arXiv:1712.09913.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

from workbench.core.target_transform import to_training
from workbench.core.types import Array, Examples, Fold
from workbench.nn.losses import LOSSES, Loss, batch_loss
from workbench.nn.models import predict
from workbench.nn.recipe import Hyperparameters, Recipe

#: Floating-point operations that a surface may cost, and the fewest rows on which it is worth drawing.
BUDGET, FEWEST_ROWS = 2.5e10, 32
#: Steps of the quasi-Newton method.
STEPS = 60


class Surface(NamedTuple):
    """The mean loss on a square of a plane through the model; the model is in the middle.

    steps   [G] how far along either direction; 1 is as long as the weights themselves
    losses  [G, G], row i: steps[i] along the second direction, column j: steps[j] along the first
    rows    on how many rows it was measured
    """

    steps: Array
    losses: Array
    rows: int


def surface(
    recipe: Recipe,
    hyper: Hyperparameters,
    params: Any,
    rows: Examples,
    *,
    seed: int = 0,
    size: int = 21,
    reach: float = 1.0,
) -> Surface:
    """The surface on `rows` (see `evenly`), from -reach to reach along each of two directions."""
    loss = LOSSES[recipe.loss]._replace(reduction="mean")

    @jax.jit
    def grid(hyper: Hyperparameters, trees: Any, points: jax.Array, rows: Examples) -> jax.Array:
        def at(point: jax.Array) -> jax.Array:
            moved = jax.tree.map(lambda w, d, e: w + point[0] * d + point[1] * e, *trees)
            out = jax.vmap(lambda x: predict(recipe, hyper, moved, x))(rows.x)
            return batch_loss(loss, out, rows.y, rows.weight)

        found: jax.Array = jax.lax.map(at, points)  # one after another: the rows fill the cores
        return found

    draw = np.random.default_rng(seed)
    trees = (params, direction(params, draw), direction(params, draw))
    steps, points = _plane(size, reach)
    losses = np.asarray(grid(hyper, trees, points, rows), np.float64)
    return Surface(steps, losses.reshape(size, size), len(rows.x))


def affine_surface(
    loss: str,
    weight: Array,
    bias: Array,
    rows: Examples,
    *,
    seed: int = 0,
    size: int = 21,
    reach: float = 1.0,
) -> Surface:
    """The surface of W x + b, weight [K, F] and bias [K]. Its outputs are linear along every direction."""
    measure, x = _loss_of_outputs(loss, rows), rows.x.reshape(len(rows.x), -1)
    draw = np.random.default_rng(seed)
    first, second = (x @ direction({"weight": weight}, draw)["weight"].T for _ in range(2))
    center = x @ weight.T + bias
    steps, points = _plane(size, reach)
    losses = np.array([measure(center + a * first + b * second)[0] for a, b in points], np.float64)
    return Surface(steps, losses.reshape(size, size), len(rows.x))


def direction(params: Any, draw: np.random.Generator) -> Any:
    """A random direction, a tree like `params`: Gaussian, normalized by filter, zero for biases.

    A filter is all but the first axis of kernels [out, k, k, in] and the last axis of any other weights.
    Weights that are exactly zero are padding, and stay.
    """
    if not isinstance(params, Mapping):
        raise TypeError("parameters are nested dicts of arrays")
    return {
        name: direction(leaf, draw)
        if isinstance(leaf, Mapping)
        else _normalized(np.asarray(leaf), draw)
        if name.startswith("weight")
        else np.zeros_like(leaf)
        for name, leaf in params.items()
    }


def fit_affine(loss: str, outputs: int, rows: Examples) -> tuple[Array, Array]:
    """Weight [K, F] and bias [K] of the model without hidden layers for the same loss and rows.

    From zeros by 60 steps of L-BFGS, after which a separable problem has not converged and never will.
    """
    measure, x = _loss_of_outputs(loss, rows), rows.x.reshape(len(rows.x), -1)
    wide = np.concatenate([x, np.ones((len(x), 1), np.float32)], axis=1)

    def evaluate(flat: Array) -> tuple[float, Array]:
        value, slope = measure(wide @ flat.reshape(outputs, -1).T.astype(np.float32))
        return value, (slope.T @ wide).ravel().astype(np.float64)

    start = np.zeros(outputs * wide.shape[1])
    found = minimize(evaluate, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
    both = found.x.reshape(outputs, -1).astype(np.float32)
    return both[:, :-1], both[:, -1]


def evenly(fold: Fold, n: int, *, regression: bool) -> Examples:
    """At most n training rows, evenly spaced, with targets as the loss takes them and weights of one."""
    total = len(fold.train.x)
    index = np.arange(total) if total <= n else np.linspace(0, total - 1, n).astype(np.int64)
    y = np.asarray(fold.train.y)[index]
    if regression:
        y = to_training(y, fold).astype(np.float32)
    return Examples(np.asarray(fold.train.x)[index], y, np.ones(len(index), np.float32))


def affordable_rows(
    recipe: Recipe, hyper: Hyperparameters, params: Any, *, size: int = 21, most: int = 512
) -> int:
    """On how many rows a surface of size² points may be measured; 0 if the model is too large for a picture.

    By the operations that the compiler counts for one row. A scan over steps is counted once, so sequences
    count T times.
    """
    blank = jax.ShapeDtypeStruct(recipe.inputs, jnp.float32)
    counted = jax.jit(lambda h, p, x: predict(recipe, h, p, x)).lower(hyper, params, blank).cost_analysis()
    each = float((counted or {}).get("flops", 0.0)) * (recipe.inputs[0] if len(recipe.inputs) == 2 else 1)
    rows = int(BUDGET / max(1.0, each * size**2))
    return min(rows, most) if rows >= FEWEST_ROWS else 0


def _plane(size: int, reach: float) -> tuple[Array, Array]:
    """Steps [G] float64, and all pairs of them (along the first, along the second) [G², 2] float32."""
    steps = np.linspace(-reach, reach, size)
    second, first = np.meshgrid(steps, steps, indexing="ij")
    return steps, np.stack([first.ravel(), second.ravel()], axis=1).astype(np.float32)


def _normalized(weight: Array, draw: np.random.Generator) -> Array:
    axes = (1, 2, 3) if weight.ndim == 4 else (-1,)
    noise = np.where(weight != 0.0, draw.standard_normal(weight.shape), 0.0)
    length, wanted = (np.sqrt(np.sum(np.square(w), axis=axes, keepdims=True)) for w in (noise, weight))
    scaled: Array = (noise * wanted / np.where(length > 0.0, length, 1.0)).astype(np.float32)
    return scaled


def _loss_of_outputs(name: str, rows: Examples) -> Callable[[Array], tuple[float, Array]]:
    """The mean loss of outputs [N, K] and its gradient [N, K]."""

    def measure(outputs: Array) -> tuple[float, Array]:
        value, slope = _value_and_slope(LOSSES[name], outputs, rows.y, rows.weight)
        return float(value), np.asarray(slope)

    return measure


@partial(jax.jit, static_argnums=0)
def _value_and_slope(loss: Loss, outputs: jax.Array, y: jax.Array, weight: jax.Array) -> Any:
    mean = loss._replace(reduction="mean")
    return jax.value_and_grad(lambda out: batch_loss(mean, out, y, weight))(outputs)
