"""Momentum rolls out of a shallow minimum.

Claim    Momentum rolls through a shallow minimum in which plain gradient descent stays.       [catalogue C19]
Source   Regression to neural networks; Perceptron to MLP.
Judged   on a curve with two wells and 200 starts on the far side of the shallow one, with both at their own
         best of seven learning rates: by how much the share of starts that end in the deep well is greater
         with momentum, over 20 sets of starts.
"""

import jax
import jax.numpy as jnp
import numpy as np

import workbench as wb

RATES = 0.1 * np.array([0.003, 0.01, 0.03, 0.1, 0.3, 0.6, 1.0])
STARTS, STEPS, DECAY = 200, 500, 0.9


def run(seeds: int = 20, decay: float = DECAY) -> wb.Verdict:
    deep = {name: _deep(beta, seeds) for name, beta in {"plain": 0.0, "momentum": decay}.items()}
    figure = wb.lines(
        RATES, deep, log_x=True, title="Speed carries through a shallow well",
        x_label="learning rate", y_label="share of starts that end in the deep well",
    )  # fmt: skip
    best = {name: share[:, share.mean(axis=0).argmax()] for name, share in deep.items()}
    return wb.verdict(
        best["momentum"] - best["plain"], unit="share of starts that momentum alone takes to the deep well",
        figure=figure, deep_with_momentum=best["momentum"].mean(), deep_without=best["plain"].mean(),
    )  # fmt: skip


def _deep(decay: float, seeds: int) -> np.ndarray:
    """The share of starts right of the shallow well that end in the deep one, [S, rates]."""

    def slope(x: jax.Array) -> jax.Array:
        return 4.0 * x * (x**2 - 1.0) + 0.3  # wells at -1.04, deep, and 0.96, shallow

    def step(_: int, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        at, speed = state
        speed = decay * speed - rates * jnp.clip(slope(at), -1e3, 1e3)
        return jnp.clip(at + speed, -1e3, 1e3), speed

    rates = jnp.asarray(RATES, jnp.float32)[None, None]
    starts = jax.random.uniform(jax.random.key(0), (seeds, STARTS, 1), minval=1.2, maxval=1.8)
    at = jnp.broadcast_to(starts, (seeds, STARTS, len(RATES)))
    ends = jax.lax.fori_loop(0, STEPS, step, (at, jnp.zeros_like(at)))[0]
    return np.array(((ends < 0.0) & (jnp.abs(slope(ends)) < 0.01)).mean(axis=1))
