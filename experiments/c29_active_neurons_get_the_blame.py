"""A weight's gradient is its neuron's error times the activity upstream.

Claim    The gradient of a weight is the error of the neuron that it leads to times the activity of the one
         it comes from: of two weights into one neuron, the more active source gets the blame.
                                                                                               [catalogue C29]
Source   Neural networks, really understood.
Judged   on random nets of three layers in float64: orders of magnitude by which the largest relative
         difference between gradient and product is below 1e-10, over 20 seeds.
"""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

import workbench as wb

SIZES, BOUND = (12, 16, 10, 6), 1e-10


def run(seeds: int = 20, upstream: int = 0) -> wb.Verdict:
    with jax.enable_x64(True):
        found = [_one(seed, upstream) for seed in range(seeds)]
    apart = np.array([one[0] for one in found])
    activity, blame = (np.concatenate([one[k] for one in found]) for k in (1, 2))
    order = np.argsort(activity)
    tenths = np.array_split(order, 10)
    by_tenth = np.stack([np.quantile(blame[part], np.linspace(0.1, 0.9, seeds)) for part in tenths], axis=1)
    figure = wb.lines(
        [activity[part].mean() for part in tenths], {"weights": by_tenth},
        title="The more active the source, the larger the gradient", x_label="activity of the source",
        y_label="gradient of the weight, in parts of its neuron's error",
        note="line: median over weights; band: 10 to 90 % of them",
    )  # fmt: skip
    return wb.verdict(
        np.log10(BOUND / np.maximum(apart, 1e-17)), unit="orders of magnitude below 1e-10", figure=figure,
        largest_difference=apart.max(), correlation=np.corrcoef(activity, blame)[0, 1],
    )  # fmt: skip


def _one(seed: int, upstream: int) -> tuple[float, np.ndarray, np.ndarray]:
    """The largest relative difference, and of all weights the activity above and the share of the error."""
    draw = np.random.default_rng(seed)
    weights = [jnp.asarray(draw.normal(size=(m, n)) / n**0.5) for n, m in pairwise(SIZES)]
    x, y = jnp.asarray(draw.normal(size=SIZES[0])), jnp.asarray(draw.normal(size=SIZES[-1]))

    def loss(weights: list[jax.Array], pushes: list[jax.Array]) -> tuple[jax.Array, list[jax.Array]]:
        activities = [x]
        for weight, push in zip(weights, pushes, strict=True):
            activities.append(jnp.tanh(weight @ activities[-1] + push))
        return jnp.sum((activities[-1] - y) ** 2), activities

    # A push on a neuron's sum: the loss's slope along it is the neuron's error.
    pushes = [jnp.zeros(len(weight)) for weight in weights]
    (gradients, errors), activities = jax.grad(loss, argnums=(0, 1), has_aux=True)(weights, pushes)
    apart, active, blamed = [], [], []
    for layer, (gradient, error) in enumerate(zip(gradients, errors, strict=True)):
        source = np.roll(np.asarray(activities[layer]), upstream)  # another neuron's, in a false world
        product = np.outer(np.asarray(error), source)
        apart.append(np.abs(np.asarray(gradient) - product).max() / np.abs(product).max())
        active.append(np.abs(np.broadcast_to(source, product.shape)).ravel())
        blamed.append(np.abs(np.asarray(gradient) / np.asarray(error)[:, None]).ravel())
    return max(apart), np.concatenate(active), np.concatenate(blamed)
