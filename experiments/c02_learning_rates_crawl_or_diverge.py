"""Too small a learning rate crawls, too large a one diverges.

Claim    Gradient descent crawls with a small learning rate and diverges with a large one; a sweet spot lies
         between. On a bowl the limit is 2 divided by the largest curvature.                   [catalogue C02]
Source   Regression to neural networks; Perceptron to MLP.
Judged   on straight lines through 20 random sets of 30 rows: the doublings of steps that a hundredth of the
         best rate costs; nought where the smallest rate that diverges is more than 5 % from 2/lambda_max.
"""

import jax
import jax.numpy as jnp
import numpy as np

import workbench as wb

STEPS, CLOSE = 4_000, 1e-6
SWEEP = np.logspace(-3, 0, 46)  # of the limit
EDGE = np.linspace(0.9, 1.1, 81)


def run(seeds: int = 20, curvature: float = 1.0) -> wb.Verdict:
    with jax.enable_x64(True):
        bowls = [_bowl(seed) for seed in range(seeds)]
        hessian, start = (jnp.asarray(np.stack(parts)) for parts in zip(*bowls, strict=True))
        limit = 2.0 / (curvature * np.linalg.eigvalsh(hessian)[:, -1])
        excess = np.array(_descend(hessian, start, limit[:, None] * np.append(SWEEP, EDGE)))
    reached = excess <= CLOSE * excess[..., :1]
    steps = np.where(reached.any(axis=2), reached.argmax(axis=2), STEPS)[:, : len(SWEEP)].astype(float)
    diverged = ~(excess[:, len(SWEEP) :, -1] <= excess[:, len(SWEEP) :, 0])
    threshold = EDGE[diverged.argmax(axis=1)] * np.where(diverged.any(axis=1), 1.0, np.inf)
    best = steps.argmin(axis=1)
    hundredth = np.array([np.interp(SWEEP[b] / 100, SWEEP, row) for b, row in zip(best, steps, strict=True)])
    lead = np.log2(hundredth / steps.min(axis=1)) * (np.abs(threshold - 1.0) < 0.05)
    figure = wb.lines(
        SWEEP, {"steps": steps}, log_x=True, log_y=True, level=(STEPS, "given up"),
        title="Between crawling and diverging lies a sweet spot",
        x_label="learning rate, in parts of 2 / largest curvature",
        y_label="steps to a millionth of the loss",
    )  # fmt: skip
    return wb.verdict(
        lead, beyond=1.0, unit="doublings of steps at a hundredth of the best rate", figure=figure,
        threshold=np.median(threshold), best_rate=np.median(SWEEP[best]),
        steps_at_best=np.median(steps.min(axis=1)),
    )  # fmt: skip


def _bowl(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The Hessian of the mean squared error of a line, and where the descent starts, from the minimum."""
    draw = np.random.default_rng(seed)
    x = draw.normal(draw.normal(), 1.0, 30)
    design = np.stack([x, np.ones_like(x)], axis=1)
    return 2.0 * design.T @ design / len(x), draw.normal(size=2)


@jax.jit
def _descend(hessian: jax.Array, start: jax.Array, rates: jax.Array) -> jax.Array:
    """Loss above the minimum, [S, rates, steps]."""

    def one(h: jax.Array, at: jax.Array, rate: jax.Array) -> jax.Array:
        def step(w: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
            return w - rate * (h @ w), 0.5 * w @ h @ w

        return jax.lax.scan(step, at, None, length=STEPS)[1]

    return jax.vmap(jax.vmap(one, (None, None, 0)))(hessian, start, rates)
