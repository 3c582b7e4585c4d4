"""Every optimizer against PyTorch's over twenty steps; lanes that select one against lanes that have one."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from workbench import words
from workbench.optimizers import OPTIMIZERS, init, update
from workbench.recipe import Hyperparameters, Recipe

RATE, MOMENTUM, BETA2, DECAY = 0.05, 0.8, 0.95, 0.1


def recipe_with(*optimizers: str) -> Recipe:
    return Recipe("linear", (3,), 2, "mse", "rmse", optimizers=optimizers)


def hyper_for(optimizer: int) -> Hyperparameters:
    blank = {name: np.float32(0.0) for name in Hyperparameters._fields}
    return Hyperparameters(**blank)._replace(
        optimizer=np.int32(optimizer),
        momentum=np.float32(MOMENTUM),
        beta2=np.float32(BETA2),
        weight_decay=np.float32(DECAY),
    )


def gradients_of(params: dict[str, Any], target: Any) -> dict[str, Any]:
    """Of a quartic bowl, written by hand so that it serves both libraries."""
    return {name: (w - target[name]) ** 3 + 0.5 * (w - target[name]) for name, w in params.items()}


@pytest.fixture
def problem() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    draw = np.random.default_rng(0)
    shapes = {"weight": (2, 3), "bias": (2,)}
    start = {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    target = {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return start, target


def trajectory(optimizers: tuple[str, ...], index: int, start: Any, target: Any) -> list[Any]:
    recipe, hyper = recipe_with(*optimizers), hyper_for(index)
    params = jax.tree.map(jnp.asarray, start)
    moments = init(recipe, params)
    step = jax.jit(
        lambda params, moments: update(
            recipe, hyper, gradients_of(params, target), moments, params, jnp.float32(RATE)
        )
    )
    path = []
    for _ in range(20):
        params, moments = step(params, moments)
        path.append(jax.tree.map(np.asarray, params))
    return path


def torch_trajectory(name: str, start: Any, target: Any) -> list[Any]:
    torch = pytest.importorskip("torch")
    tensors = {key: torch.nn.Parameter(torch.tensor(value)) for key, value in start.items()}
    weights, biases = [tensors["weight"]], [tensors["bias"]]
    make = {
        "sgd": lambda p: torch.optim.SGD(p, RATE),
        "momentum": lambda p: torch.optim.SGD(p, RATE, momentum=MOMENTUM),
        "nesterov": lambda p: torch.optim.SGD(p, RATE, momentum=MOMENTUM, nesterov=True),
        "adagrad": lambda p: torch.optim.Adagrad(p, RATE, eps=1e-8),
        "rmsprop": lambda p: torch.optim.RMSprop(p, RATE, alpha=0.9, eps=1e-8),
        "adam": lambda p: torch.optim.Adam(p, RATE, betas=(MOMENTUM, BETA2), eps=1e-8),
        "adamw": lambda p: torch.optim.AdamW(
            [{"params": weights}, {"params": biases, "weight_decay": 0.0}],
            RATE, betas=(MOMENTUM, BETA2), eps=1e-8, weight_decay=DECAY,
        ),
    }  # fmt: skip
    optimizer = make[name](weights + biases)
    path = []
    for _ in range(20):
        with torch.no_grad():
            values = {key: tensor.detach().numpy().copy() for key, tensor in tensors.items()}
            for key, gradient in gradients_of(values, target).items():
                tensors[key].grad = torch.tensor(gradient)
        optimizer.step()
        path.append({key: tensor.detach().numpy().copy() for key, tensor in tensors.items()})
    return path


def test_registry_is_the_vocabulary() -> None:
    assert list(OPTIMIZERS) == words.OPTIMIZERS


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_twenty_steps_equal_pytorch(name: str, problem: Any) -> None:
    ours, theirs = trajectory((name,), 0, *problem), torch_trajectory(name, *problem)
    for mine, other in zip(ours, theirs, strict=True):
        for key in mine:
            np.testing.assert_allclose(mine[key], other[key], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_selecting_one_of_all_equals_having_one(name: str, problem: Any) -> None:
    names = tuple(OPTIMIZERS)
    alone, selected = trajectory((name,), 0, *problem), trajectory(names, names.index(name), *problem)
    for mine, other in zip(alone, selected, strict=True):
        for key in mine:
            np.testing.assert_allclose(mine[key], other[key], rtol=1e-6, atol=1e-7)


def test_moments_that_nobody_keeps_are_not_there(problem: Any) -> None:
    params = jax.tree.map(jnp.asarray, problem[0])
    assert init(recipe_with("sgd"), params)[1:] == ((), ())
    assert init(recipe_with("momentum"), params).second == ()
    assert init(recipe_with("rmsprop"), params).first == ()
