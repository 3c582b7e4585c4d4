"""Gradient descent fits the S-curve of the purchases.

Claim    Logistic regression, trained by gradient descent on the purchases (30, yes) (40, yes) (55, no) (70,
         yes) (130, no), ends at the maximum of the likelihood.                                [catalogue C03]
Source   Regression to neural networks.
Judged   against the solution that scipy's Newton method finds: the larger relative difference of (w, b)
         from 20 random starts is to stay below 1e-4, and the effect is by how many orders of magnitude it
         does.
"""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

import workbench as wb

PRICE, BOUGHT = np.array([30.0, 40.0, 55.0, 70.0, 130.0]), np.array([1.0, 1.0, 0.0, 1.0, 0.0])
STEPS, RATE, CLOSE, LEAST = 6_000, 1.0, 1e-4, 1e-14  # what double precision leaves


def run(seeds: int = 20, steps: int = STEPS) -> wb.Verdict:
    shift, scale = PRICE.mean(), PRICE.std()
    x = (PRICE - shift) / scale

    def loss(p: jax.Array) -> jax.Array:
        z = p[0] * x + p[1]
        return jnp.mean(jnp.logaddexp(0.0, z) - BOUGHT * z)

    def descend(start: jax.Array) -> jax.Array:
        def step(at: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
            return at - RATE * jax.grad(loss)(at), at

        return jax.lax.scan(step, start, None, length=steps)[1]

    with jax.enable_x64(True):
        starts = jax.random.normal(jax.random.key(0), (seeds, 2), jnp.float64)
        path = np.array(jax.jit(jax.vmap(descend))(starts))  # [S, steps, 2]
    slope = path[:, :, 0] / scale
    offset = path[:, :, 1] - slope * shift
    w, b = _most_likely()
    apart = np.maximum(np.abs(slope / w - 1.0), np.abs(offset / b - 1.0))
    shown = min(200, steps)
    figure = wb.lines(
        np.arange(shown), {"difference": np.maximum(apart[:, :shown], LEAST)},
        title="Gradient descent walks to the maximum of the likelihood", x_label="steps", log_y=True,
        y_label="larger relative difference of w and b from the solver's", level=(CLOSE, "close enough"),
    )  # fmt: skip
    return wb.verdict(
        np.log10(CLOSE / np.maximum(apart[:, -1], LEAST)), figure=figure,
        unit="orders of magnitude that the relative difference of the last step is below 1e-4",
        w=slope[:, -1].mean(), b=offset[:, -1].mean(), solver_w=w, solver_b=b,
    )  # fmt: skip


def _most_likely() -> tuple[float, float]:
    """(w, b) by Newton's method on prices as they are, NumPy alone."""

    def loss(p: np.ndarray) -> float:
        z = p[0] * PRICE + p[1]
        return float(np.sum(np.logaddexp(0.0, z) - BOUGHT * z))

    def gradient(p: np.ndarray) -> np.ndarray:
        error = 1.0 / (1.0 + np.exp(-(p[0] * PRICE + p[1]))) - BOUGHT
        return np.array([error @ PRICE, error.sum()])

    def hessian(p: np.ndarray) -> np.ndarray:
        share = 1.0 / (1.0 + np.exp(-(p[0] * PRICE + p[1])))
        design = np.stack([PRICE, np.ones_like(PRICE)])
        return (design * share * (1.0 - share)) @ design.T

    found = minimize(
        loss, np.zeros(2), jac=gradient, hess=hessian, method="trust-exact", options={"gtol": 1e-12}
    )
    return float(found.x[0]), float(found.x[1])
