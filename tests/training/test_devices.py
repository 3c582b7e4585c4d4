"""The training program on other machines: eight devices, and lowered for accelerators that are not here."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers.lanes import train
from tests.helpers.problems import blobs, lane, mlp
from workbench.nn.recipe import Hyperparameters
from workbench.training import population
from workbench.training.engine import Engine

LANES = [lane(seed=i, width=3 + i % 6, depth=1 + i % 2, dropout=0.1 * (i % 3)) for i in range(11)]


def final_losses(hypers: list[Hyperparameters]) -> list[float]:
    """Of lanes trained for three epochs on every device of this process."""
    engine = Engine(lambda variant: blobs(), capacity=3, seed=0)
    trained = train(engine, mlp(), "raw", hypers, last=3)
    return [float(one.curves.validation_loss[-1]) for one in trained]


def test_eight_devices_train_what_two_do() -> None:
    code = (
        "import jax; from tests.training.test_devices import LANES, final_losses; "
        "assert len(jax.devices()) == 8; print(*map(repr, final_losses(LANES)))"
    )
    eight = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert eight.returncode == 0, eight.stderr
    assert [float(word) for word in eight.stdout.split()] == final_losses(LANES)


@pytest.mark.parametrize("turns", [False, True], ids=["side by side", "in turn"])
def test_the_training_program_lowers_for_every_platform(turns: bool) -> None:
    platforms = ("cpu", "cuda", "tpu")
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("lanes",))
    recipe, key = mlp(), jax.random.key(0)
    places = population.places([1, 1], 2, mesh.size)
    hyper = jax.tree.map(jnp.asarray, population.stack(LANES[:2], places))
    fold: Any = population.place(mesh, blobs())
    start = jax.export.export(population.start, platforms=platforms)(recipe, mesh, hyper, key)
    assert start.platforms == platforms
    lanes = population.start(recipe, mesh, hyper, key)
    span = (np.int32(0), np.int32(3))
    advance = jax.export.export(population.advance, platforms=platforms)(
        recipe, mesh, 3, turns, hyper, lanes, fold, key, *span
    )
    assert advance.platforms == platforms
    assert advance.nr_devices == 2
    assert len(advance.mlir_module_serialized) > 10_000
