"""Gradient descent finds the line through two tickets.

Claim    Gradient descent on the ticket data (100 km for 30 euros, 500 km for 80) reaches the exact line
         y = 0.125 x + 17.5.                                                                  [catalogue C01]
Source   Regression to neural networks.
Judged   on the distance of (w, b) from (0.125, 17.5) after 2,000 steps from 20 random starts, which is to
         stay below 1e-4: the effect is by how many orders of magnitude it does.
"""

import jax
import jax.numpy as jnp
import numpy as np

import workbench as wb

KILOMETRES, EUROS = np.array([100.0, 500.0]), np.array([30.0, 80.0])
STEPS, RATE, CLOSE, LEAST = 2_000, 0.3, 1e-4, 1e-14  # what double precision leaves


def run(seeds: int = 20, steps: int = STEPS) -> wb.Verdict:
    shift, scale = KILOMETRES.mean(), KILOMETRES.std()  # steps of one length suit both slopes of the bowl
    x, y = (KILOMETRES - shift) / scale, EUROS

    def descend(start: jax.Array) -> jax.Array:
        def step(at: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
            after = at - RATE * jax.grad(lambda p: jnp.mean((p[0] * x + p[1] - y) ** 2))(at)
            return after, at

        return jax.lax.scan(step, start, None, length=steps)[1]

    with jax.enable_x64(True):
        starts = 50.0 * jax.random.normal(jax.random.key(0), (seeds, 2), jnp.float64)
        path = np.array(jax.jit(jax.vmap(descend))(starts))  # [S, steps, 2]
    slope = path[:, :, 0] / scale
    height = path[:, :, 1] - slope * shift
    distance = np.maximum(np.abs(slope - 0.125), np.abs(height - 17.5))  # [S, steps]
    shown = min(60, steps)
    figure = wb.lines(
        np.arange(shown), {"distance": np.maximum(distance[:, :shown], LEAST)},
        title="Gradient descent walks into the exact line", x_label="steps",
        y_label="distance of (w, b) from (0.125, 17.5)", log_y=True, level=(CLOSE, "close enough"),
    )  # fmt: skip
    return wb.verdict(
        np.log10(CLOSE / np.maximum(distance[:, -1], LEAST)), figure=figure,
        unit="orders of magnitude that the distance of the last step is below 1e-4",
        w=slope[:, -1].mean(), b=height[:, -1].mean(),
    )  # fmt: skip
