"""Gradients written from the equations equal automatic ones.

Claim    Backpropagation, written out from its four equations, gives the gradient that automatic
         differentiation gives.                                                               [catalogue C28]
Source   Neural networks, really understood; Understanding neural networks; Rumelhart et al. 1986.
Judged   on 20 random nets in float64: the largest relative difference must stay below 1e-10 for each, so the
         effect is the orders of magnitude by which it is smaller.
"""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

import workbench as wb

BOUND = 1e-10
SIZES = ((5, 3), (7, 6, 4), (4, 9, 5, 3), (6, 8, 8, 5, 4))


def run(seeds: int = 20, mistake: float = 0.0) -> wb.Verdict:
    with jax.enable_x64(True):
        apart = np.array([_apart(seed, mistake) for seed in range(seeds)])
    figure = wb.strip(
        {"random nets": apart}, title="Written and automatic gradients", log=True, level=(BOUND, "the bound"),
        x_label="largest relative difference", note="a dot for each net of one to four layers, float64",
    )  # fmt: skip
    return wb.verdict(
        np.log10(BOUND / apart), unit="orders of magnitude below 1e-10", figure=figure, largest=apart.max()
    )


def _apart(seed: int, mistake: float) -> float:
    """Of one random net, one example and the cross-entropy."""
    draw, sizes = np.random.default_rng(seed), SIZES[seed % len(SIZES)]
    weights = [draw.normal(size=(out, into)) for into, out in pairwise(sizes)]
    biases = [draw.normal(size=out) for out in sizes[1:]]
    x, y = draw.normal(size=sizes[0]), int(draw.integers(sizes[-1]))
    automatic = _automatic(weights, biases, x, np.eye(sizes[-1])[y])
    # Forward: z = W a + b, a = tanh z; the last layer is linear.
    activities = [x]
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        activities.append(np.tanh(weight @ activities[-1] + bias))
    z = weights[-1] @ activities[-1] + biases[-1]
    # Backward: the last error is softmax(z) - y, each one before it (W^T error) * (1 - a^2).
    shares = np.exp(z - z.max())
    errors = [shares / shares.sum() - np.eye(sizes[-1])[y]]
    for weight, a in zip(weights[:0:-1], activities[:0:-1], strict=True):
        errors.insert(0, (weight.T @ errors[0]) * (1.0 - a**2) * (1.0 + mistake))
    # The gradient of a weight is its neuron's error times the activity upstream; of a bias, the error.
    written = [np.outer(error, a) for error, a in zip(errors, activities, strict=True)] + errors
    apart = [
        np.abs(mine - theirs).max() / np.abs(theirs).max()
        for mine, theirs in zip(written, [*automatic[0], *automatic[1]], strict=True)
    ]
    return max(*map(float, apart), 1e-17)


@jax.jit
def _automatic(weights: list, biases: list, x: jax.Array, y: jax.Array) -> tuple[list, list]:
    def loss(weights: list, biases: list) -> jax.Array:
        a = x
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            a = jnp.tanh(weight @ a + bias)
        return -jnp.sum(y * jax.nn.log_softmax(weights[-1] @ a + biases[-1]))

    return jax.grad(loss, argnums=(0, 1))(weights, biases)
