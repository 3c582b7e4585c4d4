"""Momentum helps, and escapes shallow minima.

Claim    Momentum gets further than plain gradient descent in the same epochs, and rolls through a shallow
         minimum in which plain descent stays.                                                 [catalogue C19]
Source   Regression to neural networks; Perceptron to MLP.
Judged   with both at their own best of seven learning rates: on the digits, doublings of the training loss
         after 20 epochs; on a curve with two wells, the share of 200 starts that end in the deep one. The
         effect is the smaller of the two leads, over 20 seeds.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import workbench as wb

STUDY = Path(__file__).parents[1] / "studies" / "lesson-digits.toml"
RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 0.6, 1.0)
STARTS, STEPS, DECAY = 200, 500, 0.9


def run(seeds: int = 20, decay: float = DECAY) -> wb.Verdict:
    study = wb.vary(wb.read_study(STUDY), name="lesson-momentum", epochs=20)
    plain = wb.tuned(study, RATES, seeds=seeds).train_loss
    pushed = wb.tuned(wb.vary(study, optimizer="momentum", momentum=decay), RATES, seeds=seeds).train_loss
    lead = np.log2(plain[:, -1] / pushed[:, -1])
    deep = {name: _deep(beta, seeds) for name, beta in {"plain": 0.0, "momentum": decay}.items()}
    figure = wb.lines(
        1 + np.arange(plain.shape[1]), {"plain": plain, "momentum": pushed}, log_y=True,
        title="The same descent, with and without a memory of its speed", x_label="epochs",
        y_label="training loss, each at its own best learning rate",
    )  # fmt: skip
    return wb.verdict(
        np.minimum(lead, deep["momentum"] - deep["plain"]), figure=figure,
        unit="smaller lead: doublings of the loss, share of starts in the deep well",
        doublings_on_digits=lead.mean(), deep_with_momentum=deep["momentum"].mean(),
        deep_without=deep["plain"].mean(),
    )  # fmt: skip


def _deep(decay: float, seeds: int) -> np.ndarray:
    """The share of starts right of the shallow well that end in the deep one, [S], at the best rate."""

    def height(x: jax.Array) -> jax.Array:
        return (x**2 - 1.0) ** 2 + 0.3 * x  # wells at -1.04, deep, and 0.96, shallow

    def descend(x: jax.Array, rate: jax.Array) -> jax.Array:
        def step(_: int, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            at, speed = state
            speed = decay * speed - rate * jnp.clip(jax.grad(height)(at), -1e3, 1e3)
            return jnp.clip(at + speed, -1e3, 1e3), speed

        return jax.lax.fori_loop(0, STEPS, step, (x, jnp.zeros_like(x)))[0]

    starts = jax.random.uniform(jax.random.key(0), (seeds, STARTS), minval=1.2, maxval=1.8)
    rates = jnp.array([0.1 * rate for rate in RATES])
    ends = np.array(
        jax.jit(jax.vmap(jax.vmap(jax.vmap(descend, (None, 0)), (0, None)), (0, None)))(starts, rates)
    )
    settled = (
        np.abs(np.array(jax.vmap(jax.grad(height))(jnp.asarray(ends.ravel()))).reshape(ends.shape)) < 0.01
    )
    share = ((ends < 0.0) & settled).mean(axis=1)  # [S, rates]
    return share[:, share.mean(axis=0).argmax()]
