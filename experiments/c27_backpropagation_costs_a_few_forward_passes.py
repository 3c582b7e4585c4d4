"""Backpropagation costs a few forward passes; finite differences cost one for each weight.

Claim    The gradient costs a small constant times the forward pass, however many weights there are; by
         finite differences it costs a forward pass for each weight.                           [catalogue C27]
Source   Understanding neural networks; Perceptron to MLP.
Judged   on the floating-point operations of compiled programs, for 20 nets of 3 layers and growing width:
         five minus the ratio of gradient to forward pass, which the claim asks to stay positive. How many
         times dearer finite differences are is reported beside it.
"""

import jax
import jax.numpy as jnp
import numpy as np

import workbench as wb

ROWS, LIMIT = 32, 5.0


def run(seeds: int = 20, passes: int = 1) -> wb.Verdict:
    widths = np.unique(np.geomspace(8, 512, seeds).astype(int))
    widths = np.append(widths, 512 + 16 * np.arange(1, 1 + seeds - len(widths)))  # one for each seed
    counts = np.array([_operations(int(width), passes) for width in widths])  # [S, 3]
    forward, backward, weights = counts.T
    ratio, differences = backward / forward, weights + 1.0
    figure = wb.lines(
        weights, {"backpropagation": ratio[None], "finite differences": differences[None]},
        log_x=True, log_y=True,
        title="One costs a constant, the other a pass for each weight", x_label="weights",
        y_label="operations, in forward passes", note="a point for each width; three layers, 32 rows",
    )  # fmt: skip
    return wb.verdict(
        LIMIT - ratio, unit="five minus the ratio of gradient to forward pass", figure=figure,
        ratio=ratio.mean(), largest_ratio=ratio.max(),
        times_dearer_by_differences=(differences / ratio).max(),
    )  # fmt: skip


def _operations(width: int, passes: int) -> tuple[float, float, float]:
    """Of the forward pass and of the gradient, as the compiler counts them, and the number of weights."""
    shape = jax.ShapeDtypeStruct((width, width), jnp.float32)
    weights = [shape, shape, shape]
    rows = jax.ShapeDtypeStruct((ROWS, width), jnp.float32)

    def loss(weights: list[jax.Array], x: jax.Array) -> jax.Array:
        a = x
        for weight in weights:
            a = jnp.tanh(a @ weight.T)
        return jnp.mean(a**2)

    def gradient(weights: list[jax.Array], x: jax.Array) -> list[list[jax.Array]]:
        return [jax.grad(loss)([weight * (1.0 + k) for weight in weights], x) for k in range(passes)]

    counted = [jax.jit(f).lower(weights, rows).compile().cost_analysis()["flops"] for f in (loss, gradient)]
    return counted[0], counted[1], 3.0 * width**2
