"""Gradients of sigmoid and tanh vanish with depth, tanh's less.

Claim    In deep nets the first layers of sigmoid and tanh units receive smaller gradients than the last
         ones; with tanh less so.                                                              [catalogue C09]
Source   Regression to neural networks; Perceptron to MLP; Glorot & Bengio 2010.
Judged   on nets of 30 layers of 32 units at their start (Glorot, 64 random rows): orders of magnitude from
         the last layer's gradient to the first one's. The effect is the smaller of what tanh loses and of
         what sigmoid loses more than tanh, over 20 seeds.
"""

import jax
import jax.numpy as jnp
import numpy as np

import workbench as wb

DEPTH, WIDTH, ROWS = 30, 32, 64
ACTIVATIONS = {"sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh, "relu": jax.nn.relu}


def run(seeds: int = 20, more: str = "sigmoid", less: str = "tanh", depth: int = DEPTH) -> wb.Verdict:
    with jax.enable_x64(True):  # float32 ends before sigmoid's gradients do
        keys = jax.random.split(jax.random.key(0), seeds)
        norms = {
            name: np.array(jax.vmap(lambda key, f=name: _norms(key, f, depth))(keys))  # [S, layers]
            for name in dict.fromkeys((more, less, "relu"))
        }
    lost = {name: np.log10(norm[:, -1] / norm[:, 0]) for name, norm in norms.items()}
    figure = wb.lines(
        1 + np.arange(depth), norms, log_y=True,
        title="What arrives of the error, layer by layer", x_label="layer, from the input",
        y_label="norm of the gradient of the layer's weights",
    )  # fmt: skip
    facts = {f"orders_lost_by_{name}": np.mean(orders) for name, orders in lost.items()}
    return wb.verdict(
        np.minimum(lost[less], lost[more] - lost[less]), figure=figure, **facts,
        unit="smaller of the orders lost by tanh, and by sigmoid beyond it",
    )  # fmt: skip


def _norms(key: jax.Array, activation: str, depth: int) -> jax.Array:
    """Norms of the gradients of all layers' weights, [layers]."""
    f = ACTIVATIONS[activation]
    drawn = jax.random.split(key, depth + 2)
    bound = (6.0 / (2 * WIDTH)) ** 0.5
    weights = jnp.stack(
        [jax.random.uniform(k, (WIDTH, WIDTH), minval=-bound, maxval=bound) for k in drawn[2:]]
    )
    x = jax.random.normal(drawn[0], (ROWS, WIDTH))
    y = jax.random.normal(drawn[1], (ROWS, WIDTH))

    def loss(weights: jax.Array) -> jax.Array:
        a = x
        for weight in weights:
            a = f(a @ weight.T)
        return jnp.mean((a - y) ** 2)

    return jnp.sqrt(jnp.sum(jax.grad(loss)(weights) ** 2, axis=(1, 2)))
