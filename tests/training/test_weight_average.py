"""The moving average of the weights, against optax's, and that it is what is judged and kept."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.helpers.problems import blobs, lane, mlp
from workbench.nn import optimizers
from workbench.training import batching, population, scoring, trainer

PLAIN = mlp(
    activations=("tanh",), initializers=("he_normal",), optimizers=("adam",), schedules=("constant",),
    dropout=False,
)  # fmt: skip
RECIPE = replace(PLAIN, options=(("averages", True),))
DATA = jax.tree.map(jnp.asarray, blobs())
ORDER = jnp.arange(64).reshape(4, 16)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_it_is_optaxs_without_its_bias(decay):
    hyper = lane(ema=decay, learning_rate=0.1)
    params = {"weight": jnp.float32([1.0, -2.0]), "bias": jnp.float32([0.5])}
    memory = optimizers.init(RECIPE, hyper, params)
    theirs = optax.ema(decay, debias=True)
    state = theirs.init(params)
    for step in range(30):
        slope = jax.tree.map(lambda w, step=step: w + jnp.cos(jnp.float32(step)), params)
        params, memory = optimizers.update(RECIPE, hyper, slope, memory, params, jnp.float32(0.1))
        with jax.numpy_dtype_promotion("standard"):
            expected, state = theirs.update(params, state)
        found = optimizers.judged(RECIPE, memory, params)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=2e-4, atol=1e-6), found, expected)
    still = optimizers.update(RECIPE, hyper, slope, memory, params, jnp.float32(0.0))[1]
    jax.tree.map(np.testing.assert_array_equal, still.average, memory.average)


def test_lanes_of_any_depth_are_judged_by_their_averages():
    lanes = [lane(depth=depth, ema=ema, seed=seed) for seed, (depth, ema) in enumerate([(1, 0.9), (2, 0.0)])]
    hyper = jax.tree.map(lambda *leaves: np.stack(leaves), *lanes)

    @partial(jax.jit, static_argnames="recipe")
    def trained(recipe, hyper):
        before = jax.vmap(lambda h: trainer.start(recipe, h, jax.random.key(0)))(hyper)
        return batching.in_turn(recipe, hyper, before, (DATA, ORDER, jnp.int32(0), None))

    (after, seen), (plain, said) = trained(RECIPE, hyper), trained(PLAIN, hyper)
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
    jax.tree.map(close, after.params, plain.params)  # training is what it is without
    kept = population.best_params(RECIPE, after)
    for i, one in enumerate(lanes):
        own = jax.tree.map(lambda leaf, i=i: leaf[i], kept)
        loss, score = scoring.validate(RECIPE, one, own, DATA)
        close((seen.validation_loss[i], seen.validation_score[i]), (loss, score))
    assert not np.allclose(kept["out"]["weight"][0], after.params["out"]["weight"][0], rtol=1e-3)
    np.testing.assert_array_equal(kept["out"]["weight"][1], after.params["out"]["weight"][1])
    close(seen.validation_loss[1], said.validation_loss[1])
    last = population.best_params(replace(RECIPE, keep_best=False), after)
    jax.tree.map(np.testing.assert_array_equal, kept, last)  # the first epoch is the best so far
