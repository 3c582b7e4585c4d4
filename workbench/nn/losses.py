"""Losses of one example, from logits, and their reduction over a batch.

    sum_squared_error     Σ_k (ŷ_k - y_k)²                                     summed over the batch   [L1]
    mse                   1/K Σ_k (ŷ_k - y_k)²                                 averaged                [L2]
    half_mse              1/(2K) Σ_k (ŷ_k - y_k)²                              averaged                [L2]
    huber                 1/K Σ_k { e²/2 where |e| ≤ 1, |e| - 1/2 elsewhere }  averaged
    pinball               1/K Σ_k max(τ e, (τ - 1) e), e = y_k - ŷ_k           averaged                [L6]
    binary_cross_entropy  -1/K Σ_k [q_k log g(z_k) + (1 - q_k) log(1 - g(z_k))] averaged               [L3]
    cross_entropy         -Σ_k q_k log softmax(z)_k                            averaged                [L4]
    perceptron            max(0, -t z), t = ±1                                 averaged                [L5]

With one output and m rows the first three are Σ, 1/m Σ and 1/(2m) Σ of the articles; several outputs are
averaged, as scikit-learn and PyTorch do. A squared error saturates at 1e34, where float32 would end. The
cross entropies take logits: sigmoid and softmax are part of them by log-sum-exp, so their value and
gradient are finite at every finite logit. Label smoothing ε moves the target to q_k = (1 - ε) [k = y] +
ε/K, with K = 2 in the binary case. One output has K = 1 and a code; several, of as many labels, have a zero
or a one each.

Source: *Regression to neural networks* (mse, log loss, softmax), *Neural networks, really understood* (sum of
squared errors), *Understanding neural networks* (half_mse), *Perceptron to MLP* (perceptron); Huber 1964;
Szegedy et al., arXiv:1512.00567 (label smoothing); Koenker and Bassett 1978, "Regression quantiles" (pinball,
whose best constant is the quantile τ of the targets; `pinball` alone is at τ = 1/2).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from workbench.core import vocabulary
from workbench.core.errors import InputError
from workbench.nn import words

#: Where the cross entropy of one example saturates: logits of ±3e38 lie further apart than float32 reaches.
#: Half the largest number, so that a weighted mean of such values is finite too.
CEILING = float(np.finfo(np.float32).max) / 2
#: The error from which on a squared one saturates; the squares of 30,000 rows still have a sum in float32.
FARTHEST = 1e17

TASKS = ("regression", "classification", "binary", "multilabel")
#: Outputs of the example that a new loss is tried with.
_TRIED = {"regression": 2, "classification": 3, "binary": 1, "multilabel": 3}
#: The tasks whose targets are numbers [K], one for each output.
NUMBERS = ("regression", "multilabel")


class Loss(NamedTuple):
    """A loss of one example and how a batch of them becomes one number.

    function   (outputs [K], y, smoothing) -> scalar. y is an int32 class code, or [K] float32 for regression
               and for labels, which are 0 or 1; binary losses have K = 1 and codes 0 and 1. `smoothing` in
               [0, 1) is read by the cross entropies and ignored by the others.
    reduction  over the rows of a batch
    """

    function: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
    reduction: Literal["mean", "sum"] = "mean"


def batch_loss(
    loss: Loss, outputs: jax.Array, y: jax.Array, weight: jax.Array, smoothing: jax.Array | float = 0.0
) -> jax.Array:
    """Reduce the loss over the rows of a batch: Σ w l / Σ w, or Σ w l where the reduction is "sum".

    outputs [B, K], y [B] codes or [B, K], weight [B]. A row of weight zero has no part in the value or the
    gradient whatever stands in it, NaN included; a batch of such rows gives 0.
    """
    counted = weight > 0.0
    outputs = jnp.where(counted[:, None], outputs, 0.0)
    y = jnp.where(jnp.expand_dims(counted, tuple(range(1, y.ndim))), y, 0)
    each = jax.vmap(loss.function, in_axes=(0, 0, None))(outputs, y, jnp.asarray(smoothing, jnp.float32))
    share = jnp.where(counted, weight, 0.0)
    if loss.reduction == "mean":
        total = share.sum()
        share = share / jnp.where(total > 0.0, total, 1.0)  # before the sum, which stays finite that way
    return jnp.sum(share * each)


def register(
    name: str,
    function: Callable[[jax.Array, jax.Array, jax.Array], jax.Array],
    tasks: tuple[str, ...],
    reduction: Literal["mean", "sum"] = "mean",
    *,
    replace: bool = False,
) -> None:
    """Add a loss under a name that study files may then use.

        register("mae", lambda outputs, y, smoothing: jnp.abs(outputs - y).mean(), tasks=("regression",))

    Args:
        name: What `[training] loss` says.
        function: (outputs [K], y, smoothing) -> scalar, of one example. y is an int32 class code, or [K]
            float32 in standardized units, or zeros and ones of labels; of a binary loss K = 1, codes are 0
            and 1. smoothing is in [0, 1).
        tasks: Those it can be trained on: regression, classification, binary, multilabel.
        reduction: Over the rows of a batch, weighted: "mean" or "sum".
        replace: Take the place of a loss of that name; studies that were run with it keep their records, so
            give those that use the new one another name.

    Raises:
        InputError: if the name is taken, a task is unknown or the function gives no number for an example.
    """
    words.check_callable("loss", str(name), function, "a function of (outputs, y, smoothing)")
    unknown = [task for task in tasks if task not in TASKS]
    if unknown or not tasks:
        raise InputError(f"loss {name!r}: tasks is {tuple(tasks)}; name one or more of {', '.join(TASKS)}")
    if reduction not in ("mean", "sum"):
        raise InputError(f"loss {name!r}: reduction is {reduction!r}; it must be 'mean' or 'sum'")
    for task in tasks:
        outputs, y = words.number((_TRIED[task],)), words.number(dtype=np.int32)
        y = outputs if task in NUMBERS else y
        how = f"(outputs [{_TRIED[task]}], y, smoothing) of one example, {task}"
        found = words.tried("loss", name, function, outputs, y, words.number(), how=how)
        if not words.is_scalar(found):
            raise InputError(
                f"loss {name!r}: gives {words.described(found)} for {how}; it must be one number: reduce "
                "over the outputs"
            )
    words.admit("loss", name, LOSSES, replace=replace)
    LOSSES[name] = Loss(function, reduction)
    vocabulary.LOSSES[name] = tuple(tasks)


def _sum_squared_error(outputs: jax.Array, y: jax.Array, smoothing: jax.Array) -> jax.Array:
    del smoothing
    return jnp.sum(_square(outputs - y))


def _mse(outputs: jax.Array, y: jax.Array, smoothing: jax.Array) -> jax.Array:
    del smoothing
    return jnp.mean(_square(outputs - y))


def _square(error: jax.Array) -> jax.Array:
    """e², whose value and slope saturate where |e| reaches FARTHEST; the slope does not vanish there."""
    near = jnp.clip(error, -FARTHEST, FARTHEST)
    beyond = error - near
    return jnp.square(near) + 2.0 * jax.lax.stop_gradient(near) * (beyond - jax.lax.stop_gradient(beyond))


def _half_mse(outputs: jax.Array, y: jax.Array, smoothing: jax.Array) -> jax.Array:
    return 0.5 * _mse(outputs, y, smoothing)


def _huber(outputs: jax.Array, y: jax.Array, smoothing: jax.Array) -> jax.Array:
    """With c = min(|e|, 1) both pieces are c (|e| - c/2); nothing is squared that could overflow."""
    del smoothing
    size = jnp.abs(outputs - y)
    near = jnp.minimum(size, 1.0)
    return jnp.mean(near * (size - 0.5 * near))


def _pinball(quantile: float, outputs: jax.Array, y: jax.Array, smoothing: jax.Array) -> jax.Array:
    """Its slope is 1 - τ where ŷ is above y, and -τ elsewhere."""
    del smoothing
    error = y - outputs
    return jnp.mean(error * (quantile - (error < 0.0).astype(error.dtype)))


def _binary_cross_entropy(outputs: jax.Array, y: jax.Array, smoothing: jax.Array) -> jax.Array:
    """max(z, 0) - q z + log(1 + e^-|z|).

    |z| is written as -min(z, -z), whose derivative at 0 is 0: training from zeros begins there, and that of
    jnp.abs is 1.
    """
    z = outputs if y.ndim else outputs[0]
    target = (1.0 - smoothing) * y.astype(z.dtype) + 0.5 * smoothing
    found = jnp.maximum(z, 0.0) - target * z + jnp.log1p(jnp.exp(jnp.minimum(z, -z)))
    return jnp.mean(found) if y.ndim else found


def _cross_entropy(outputs: jax.Array, y: jax.Array, smoothing: jax.Array) -> jax.Array:
    classes = outputs.shape[0]
    target = (1.0 - smoothing) * jax.nn.one_hot(y, classes, dtype=outputs.dtype) + smoothing / classes
    return _expected_surprise(outputs, target)


def _perceptron(outputs: jax.Array, y: jax.Array, smoothing: jax.Array) -> jax.Array:
    """The product z (ŷ - y) with ŷ = step(z), which is max(0, -t z).

    Written so, its gradient by z is ŷ - y everywhere: the perceptron rule. That of max(0, ·) vanishes at
    z = 0, where training from zero weights begins.
    """
    del smoothing
    z = outputs[0]
    return z * ((z > 0.0).astype(z.dtype) - y.astype(z.dtype))


@jax.custom_jvp
def _expected_surprise(logits: jax.Array, target: jax.Array) -> jax.Array:
    """-Σ_k q_k log softmax(z)_k; a constant target that sums to one. Gradient by z: softmax(z) - q."""
    below = logits - jnp.max(logits)
    surprise = jnp.log(jnp.sum(jnp.exp(below))) - below
    return jnp.sum(target * jnp.minimum(surprise, CEILING))


_expected_surprise.defjvps(
    lambda tangent, value, logits, target: jnp.sum((jax.nn.softmax(logits) - target) * tangent), None
)


LOSSES: dict[str, Loss] = {
    "sum_squared_error": Loss(_sum_squared_error, "sum"),
    "mse": Loss(_mse),
    "half_mse": Loss(_half_mse),
    "huber": Loss(_huber),
    "pinball": Loss(partial(_pinball, 0.5)),
    "binary_cross_entropy": Loss(_binary_cross_entropy),
    "cross_entropy": Loss(_cross_entropy),
    "perceptron": Loss(_perceptron),
}
LOSSES = vocabulary.AtQuantiles(LOSSES, lambda quantile: Loss(partial(_pinball, quantile)))
