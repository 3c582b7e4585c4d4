"""One sigmoid neuron is logistic regression.

Claim    One neuron with a sigmoid, trained by passing its error back, ends with the coefficients of
         logistic regression.                                                                  [catalogue C06]
Source   Neural networks, really understood.
Judged   against scikit-learn's Newton solver on 20 random sets of 200 rows with three features: the largest
         difference of a coefficient is to stay below 1e-4, and the effect is by how many orders of magnitude
         it does.
"""

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.linear_model import LogisticRegression

import workbench as wb

ROWS, FEATURES, STEPS, RATE = 200, 3, 3_000, 2.0
CLOSE, LEAST = 1e-4, 1e-14  # what double precision leaves
MARKS = np.unique(np.geomspace(1, STEPS, 60).astype(int)) - 1


def run(seeds: int = 20, activation: str = "sigmoid") -> wb.Verdict:
    sets = [_rows(seed) for seed in range(seeds)]
    x, y = (np.stack(parts) for parts in zip(*sets, strict=True))
    with jax.enable_x64(True):
        path = np.array(
            jax.jit(jax.vmap(lambda a, b: _train(a, b, activation)))(jnp.asarray(x), jnp.asarray(y))
        )
    solved = np.stack([_solve(*one) for one in sets])  # [S, features + 1]
    apart = np.abs(path - solved[:, None]).max(axis=2)  # [S, steps]
    figure = wb.lines(
        1 + MARKS, {"difference": np.maximum(apart[:, MARKS], LEAST)}, log_x=True, log_y=True,
        title="One neuron learns the coefficients of logistic regression", x_label="steps",
        y_label="largest difference of a coefficient", level=(CLOSE, "close enough"),
    )  # fmt: skip
    return wb.verdict(
        np.log10(CLOSE / np.maximum(apart[:, -1], LEAST)), figure=figure,
        unit="orders of magnitude that the largest difference of a coefficient is below 1e-4",
        largest_difference=apart[:, -1].max(),
    )  # fmt: skip


def _rows(seed: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(ROWS, FEATURES))
    z = x @ draw.normal(size=FEATURES) + draw.normal()
    return x, (z + draw.logistic(size=ROWS) > 0).astype(float)


def _train(x: jax.Array, y: jax.Array, activation: str) -> jax.Array:
    """The neuron's weights and bias after every step, [steps, features + 1]."""
    said = jax.nn.sigmoid if activation == "sigmoid" else lambda z: 0.5 * (1.0 + jnp.tanh(0.5 * z) ** 3)

    def step(w: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        error = said(x @ w[:-1] + w[-1]) - y  # of the loss, at the neuron's sum
        gradient = jnp.append(error @ x, error.sum()) / len(y)
        return w - RATE * gradient, w - RATE * gradient

    return jax.lax.scan(step, jnp.zeros(x.shape[1] + 1), None, length=STEPS)[1]


def _solve(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    found = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12, max_iter=1_000).fit(x, y)
    return np.append(found.coef_[0], found.intercept_)
