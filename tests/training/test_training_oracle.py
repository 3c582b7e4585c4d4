"""Whole epochs of training against a loop in PyTorch, from the same weights, over rows in the same order."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers.problems import blobs, lane, mlp
from workbench.nn import prng
from workbench.training import population

torch = pytest.importorskip("torch")

EPOCHS, RATE, L2 = 3, 0.05, 0.01
FOLD = blobs(90, seed=4)  # 60 training rows
ROWS = len(FOLD.train.x)
KEY = jax.random.key(21)


def order(batch: int, number: int) -> list[np.ndarray]:
    """The rows of each step of an epoch, padding taken out."""
    recipe = mlp(batch=batch)
    key, _ = prng.key_of(prng.key_of(KEY, jnp.int32(~number)), jnp.arange(2))
    steps = np.asarray(population._order(recipe, ROWS, key))
    rows = [step[step < ROWS] for step in steps]
    assert sorted(np.concatenate(rows)) == list(range(ROWS))
    return rows


def rate(schedule: str, progress: float) -> float:
    """Cosine to zero at the last epoch, or constant."""
    return RATE * (0.5 * (1.0 + math.cos(math.pi * progress / EPOCHS)) if schedule == "cosine" else 1.0)


@pytest.mark.parametrize(
    ("batch", "optimizer", "schedule"),
    [(ROWS, "sgd", "constant"), (1, "sgd", "cosine"), (16, "momentum", "cosine"), (16, "adam", "constant")],
    ids=["batch", "one example", "mini-batches", "adam"],
)
def test_epochs_are_pytorchs(batch: int, optimizer: str, schedule: str) -> None:
    """Batch, stochastic and mini-batch gradient descent; the last minibatch may be smaller."""
    recipe = mlp(
        batch=batch, optimizers=(optimizer,), schedules=(schedule,), activations=("tanh",), dropout=False,
        initializers=("glorot_uniform",), keep_best=False,
    )  # fmt: skip
    hyper = lane(learning_rate=RATE, l2=L2, epochs=EPOCHS, batch_size=batch, dropout=0.0)
    mesh = population.mesh_of_host()
    places = population.places([0], mesh.size, mesh.size)
    hypers, placed = population.stack([hyper], places), population.place(mesh, FOLD)
    begun = population.start(recipe, mesh, hypers, KEY)
    (first,) = population.unstack(begun.params, places)
    span = np.int32(0), np.int32(EPOCHS)
    lanes, record = population.advance(recipe, mesh, EPOCHS, True, hypers, begun, placed, KEY, *span)
    (ours,), (seen,) = population.unstack(lanes.params, places), population.unstack(record, places)

    weights = jax.tree.map(lambda leaf: torch.tensor(leaf, requires_grad=True), first)
    layers = [weights["hidden_00"], weights["hidden_01"], weights["out"]]
    parameters = [layer[name] for layer in layers for name in ("weight", "bias")]
    theirs = {
        "sgd": lambda: torch.optim.SGD(parameters, RATE),
        "momentum": lambda: torch.optim.SGD(parameters, RATE, momentum=0.9),
        "adam": lambda: torch.optim.Adam(parameters, RATE, betas=(0.9, 0.999), eps=1e-8),
    }[optimizer]()
    x, y = torch.from_numpy(np.asarray(FOLD.train.x)), torch.from_numpy(np.asarray(FOLD.train.y)).long()
    losses = [
        _epoch(layers, theirs, x, y, order(batch, number), schedule, number) for number in range(EPOCHS)
    ]
    np.testing.assert_allclose(seen.train_loss, losses, rtol=1e-4)
    jax.tree.map(
        lambda mine, tensor: np.testing.assert_allclose(mine, tensor.detach().numpy(), rtol=2e-3, atol=2e-4),
        ours,
        weights,
    )


def _epoch(
    layers: list[Any], optimizer: Any, x: Any, y: Any, steps: list[np.ndarray], schedule: str, number: int
) -> float:
    """The mean loss of the epoch's minibatches, weighted by their rows."""
    total = 0.0
    for k, rows in enumerate(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate(schedule, number + k / len(steps))
        h = x[rows]
        for layer in layers[:-1]:
            h = torch.tanh(torch.nn.functional.linear(h, layer["weight"], layer["bias"]))
        out = torch.nn.functional.linear(h, layers[-1]["weight"], layers[-1]["bias"])
        loss = torch.nn.functional.cross_entropy(out, y[rows])
        total += loss.item() * len(rows)
        optimizer.zero_grad()
        (loss + L2 / 2 * sum((layer["weight"] ** 2).sum() for layer in layers)).backward()
        optimizer.step()
    return total / len(x)


def test_the_perceptron_converges_on_separable_rows() -> None:
    """With at most (R / γ)² mistakes, whatever the order of the rows (Novikoff 1962)."""
    draw = np.random.default_rng(0)
    direction = np.array([0.6, -0.8, 0.0])  # a plane through the origin of the rows with a bias
    x = draw.normal(size=(400, 2)).astype(np.float32)
    margin = np.concatenate([x, np.ones((400, 1), np.float32)], axis=1) @ direction
    x, margin = x[np.abs(margin) > 0.1], margin[np.abs(margin) > 0.1]
    y = (margin > 0).astype(np.int32)
    bound = (1.0 + np.square(x).sum(axis=1)).max() / 0.1**2
    fold = FOLD._replace(
        train=FOLD.train._replace(x=x, y=y, weight=np.ones(len(x), np.float32)),
        validation=FOLD.validation._replace(x=x, y=y, weight=np.ones(len(x), np.float32)),
    )
    recipe = mlp(
        family="perceptron", inputs=(2,), outputs=1, loss="perceptron", depth=0, width=0, batch=1,
        activations=("linear",), initializers=("zeros",), optimizers=("sgd",), schedules=("constant",),
        dropout=False, keep_best=False,
    )  # fmt: skip
    hyper = lane(depth=0, width=0, learning_rate=1.0, l2=0.0, batch_size=1, epochs=60, dropout=0.0)
    mesh = population.mesh_of_host()
    places = population.places([0], mesh.size, mesh.size)
    hypers, placed = population.stack([hyper], places), population.place(mesh, fold)
    begun = population.start(recipe, mesh, hypers, KEY)
    span = np.int32(0), np.int32(60)
    lanes, record = population.advance(recipe, mesh, 60, True, hypers, begun, placed, KEY, *span)
    (seen,), (params,) = population.unstack(record, places), population.unstack(lanes.params, places)
    assert seen.train_loss[0] > 0.0
    assert seen.train_loss[-1] == 0.0  # no mistake in a whole epoch
    assert seen.validation_score[-1] == 1.0
    assert np.square(np.append(params["weight"], params["bias"])).sum() <= bound * bound * 0.1**2
