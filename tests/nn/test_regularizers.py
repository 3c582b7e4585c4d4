"""Penalties, masks, clipping, dropout and norms against NumPy, PyTorch and closed forms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from workbench.nn.regularizers import clip_by_global_norm, decay_mask, drop, global_norm, norms, penalty


def numbers(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.fixture
def params():
    return {
        "hidden_00": {"weight": numbers(4, 3), "bias": numbers(4, seed=1)},
        "cell": {
            "weight_x": numbers(2, 4, seed=2),
            "weight_h": numbers(2, 2, seed=3),
            "bias_forget": numbers(2),
        },
        "weighting": {"bias": numbers(3, seed=4)},  # the last key decides
        "stack": [{"weight": numbers(2, seed=5)}, {"scale": numbers(2)}],
    }


def weights_of(params):
    cell = params["cell"]
    return [params["hidden_00"]["weight"], cell["weight_x"], cell["weight_h"], params["stack"][0]["weight"]]


def test_penalty_is_the_formula_on_weights_alone(params):
    flat = np.concatenate([np.ravel(w) for w in weights_of(params)]).astype(np.float64)
    expected = 0.3 * np.abs(flat).sum() + 0.7 / 2 * (flat**2).sum()
    np.testing.assert_allclose(penalty(params, jnp.float32(0.3), jnp.float32(0.7)), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(penalty)(params, 0.3, 0.7), expected, rtol=1e-6)
    assert penalty({"bias": numbers(3)}, 1.0, 1.0) == 0.0


def test_penalty_gradient(params):
    gradient = jax.grad(penalty)(params, 0.3, 0.7)
    for w, g in zip(weights_of(params), weights_of(gradient), strict=True):
        np.testing.assert_allclose(g, 0.3 * np.sign(w) + 0.7 * np.asarray(w), rtol=1e-6)
    np.testing.assert_array_equal(gradient["hidden_00"]["bias"], 0.0)
    np.testing.assert_array_equal(gradient["stack"][1]["scale"], 0.0)
    np.testing.assert_array_equal(jax.grad(penalty)({"weight": jnp.zeros(3)}, 0.3, 0.7)["weight"], 0.0)


def test_the_articles_lambda():
    """On ridge regression with loss 1/(2m) Σ(wx - y)² + λ/(2m) w², the minimum is Σxy / (Σx² + λ)."""
    x, y, lam = numbers(20, seed=6), numbers(20, seed=7), 3.0
    w = jnp.dot(x, y) / (jnp.dot(x, x) + lam)

    def objective(params):
        return jnp.mean(jnp.square(params["weight"] * x - y)) / 2.0 + penalty(params, 0.0, lam / 20)

    np.testing.assert_allclose(jax.grad(objective)({"weight": w})["weight"], 0.0, atol=1e-6)


def test_decay_mask_says_the_same(params):
    assert decay_mask(params) == {
        "hidden_00": {"weight": True, "bias": False},
        "cell": {"weight_x": True, "weight_h": True, "bias_forget": False},
        "weighting": {"bias": False},
        "stack": [{"weight": True}, {"scale": False}],
    }


@pytest.mark.parametrize("limit", [0.0, 0.5, 2.0])
def test_clipping_equals_pytorch(params, limit):
    torch = pytest.importorskip("torch")
    leaves = [torch.nn.Parameter(torch.zeros(leaf.shape)) for leaf in jax.tree.leaves(params)]
    for leaf, value in zip(leaves, jax.tree.leaves(params), strict=True):
        leaf.grad = torch.tensor(np.asarray(value))
    torch.nn.utils.clip_grad_norm_(leaves, limit)
    clipped = jax.jit(clip_by_global_norm)(params, jnp.float32(limit))
    assert global_norm(clipped) <= limit * (1 + 1e-6)
    for ours, leaf in zip(jax.tree.leaves(clipped), leaves, strict=True):
        np.testing.assert_allclose(ours, leaf.grad.numpy(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("limit", [np.inf, 1e3])
def test_gradients_below_the_limit_come_back_bit_for_bit(params, limit):
    clipped = jax.jit(clip_by_global_norm)(params, jnp.float32(limit))
    jax.tree.map(np.testing.assert_array_equal, clipped, params)


@pytest.mark.parametrize("limit", [np.inf, 1.0, 0.0])
def test_zero_gradients_stay_zero_and_broken_ones_stay_visible(limit):
    np.testing.assert_array_equal(clip_by_global_norm({"weight": jnp.zeros(3)}, limit)["weight"], 0.0)
    for broken in (jnp.nan, jnp.inf):
        out = clip_by_global_norm({"weight": jnp.array([1.0, broken], jnp.float32)}, limit)["weight"]
        assert not np.isfinite(out).all()


def test_lanes_clip_apart():
    gradients = {"weight": numbers(3, 5)}
    limits = jnp.array([0.1, jnp.inf, 1.0], jnp.float32)
    lanes = jax.vmap(clip_by_global_norm)(gradients, limits)
    for lane in range(3):
        alone = clip_by_global_norm({"weight": gradients["weight"][lane]}, limits[lane])
        np.testing.assert_allclose(lanes["weight"][lane], alone["weight"], rtol=1e-6)


def test_dropout_drops_the_rate_and_keeps_the_mean():
    h, rate = jnp.ones(20_000), 0.3
    dropped = np.asarray(jax.jit(drop)(h, jnp.float32(rate), key=jax.random.key(0)))
    assert scipy.stats.binomtest(int((dropped == 0).sum()), 20_000, rate).pvalue > 1e-3
    np.testing.assert_allclose(dropped[dropped > 0], 1 / (1 - rate), rtol=1e-6)


def test_dropout_of_nothing_and_of_everything():
    h = numbers(100)
    np.testing.assert_array_equal(jax.jit(drop)(h, jnp.float32(0.0), key=jax.random.key(1)), h)

    def total(h, rate):
        return jnp.sum(drop(h, rate, key=jax.random.key(1)))

    np.testing.assert_array_equal(drop(h, 1.0, key=jax.random.key(1)), 0.0)
    np.testing.assert_array_equal(jax.grad(total)(h, jnp.float32(1.0)), 0.0)
    np.testing.assert_array_equal(jax.grad(total)(h, jnp.float32(0.0)), 1.0)


def test_dropout_does_not_see_padding():
    h, key = numbers(64), jax.random.key(2)
    np.testing.assert_array_equal(drop(h, 0.5, key=key)[:10], drop(h[:10], 0.5, key=key))


def test_dropped_units_are_as_good_as_independent():
    """Fair and uncorrelated across units, layers and the keys that training uses; 1e-4 overall."""
    keys = jax.random.split(jax.random.key(3), 400)
    draw = jax.jit(
        jax.vmap(lambda key, h, stream: drop(h, 0.5, key=key, stream=stream), (0, None, None)),
        static_argnums=2,
    )
    layers = np.stack([np.asarray(draw(keys, jnp.ones(64), stream)) > 0 for stream in range(3)])
    signs = 2.0 * layers - 1.0  # [layer, key, unit]
    for axes in ((0, 1), (0, 2)):
        sums = signs.sum(axis=axes)
        z = (sums**2).sum() / (signs.size / sums.size)  # chi-squared
        assert scipy.stats.chi2.sf(z, sums.size) > 1e-4
    for left, right in (
        (signs[:, :, :-1], signs[:, :, 1:]),  # neighbours in a layer
        (signs[:, :, :32], signs[:, :, 32:]),
        (signs[:-1], signs[1:]),  # the same unit of two layers
        (signs[:1], signs[2:]),
        (signs[:, :-1], signs[:, 1:]),  # the same unit in two examples
        (signs[:, :200], signs[:, 200:]),
    ):
        z = (left * right).sum() / np.sqrt(left.size)
        assert 2 * scipy.stats.norm.sf(abs(z)) > 1e-4


def test_the_noise_behind_dropout_is_uniform():
    keys = jax.random.split(jax.random.key(4), 64)
    rates = jnp.linspace(0.05, 0.95, 19)
    kept = jax.vmap(lambda rate: jax.vmap(lambda key: drop(jnp.ones(512), rate, key=key) > 0)(keys))(rates)
    below = 1.0 - np.asarray(kept).reshape(19, -1).mean(axis=1)  # its distribution function
    counts = np.diff([0.0, *below, 1.0]) * keys.size * 512
    assert scipy.stats.chisquare(counts).pvalue > 1e-4


def test_norms_by_leaf_and_together(params):
    by_leaf = norms(params)
    for leaf, value in zip(jax.tree.leaves(params), jax.tree.leaves(by_leaf), strict=True):
        np.testing.assert_allclose(value, np.linalg.norm(np.ravel(leaf)), rtol=1e-6)
    flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])
    np.testing.assert_allclose(global_norm(params), np.linalg.norm(flat), rtol=1e-6)
