"""Explicit gradients equal automatic ones, blame adds up, finite differences find what is wrong."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers.families import case, loss_and_gradients, scattered, start
from tests.helpers.problems import lane
from workbench.core import vocabulary
from workbench.core.errors import InputError
from workbench.evaluation.analysis.backpropagation import backpropagation, blame, finite_differences
from workbench.nn.activations import ACTIVATIONS
from workbench.nn.losses import LOSSES
from workbench.nn.models import MODELS, Model
from workbench.nn.recipe import Recipe

LOSS_NAMES = list(vocabulary.LOSSES)
TASKS = {"regression": (3, "rmse"), "binary": (1, "accuracy"), "classification": (3, "accuracy")}


def wide(tree):
    """64 bits; only within enable_x64."""
    return jax.tree.map(
        lambda leaf: jnp.asarray(leaf, jnp.float64 if np.asarray(leaf).dtype.kind == "f" else jnp.int64), tree
    )


def largest_difference(recipe, hypers, seed=0):
    """Between explicit and automatic gradients, relative to the largest entry, over the lanes."""
    draw, apply, loss = np.random.default_rng(seed), MODELS["mlp"].apply, LOSSES[recipe.loss].function
    params = [scattered_within(recipe, hyper, seed) for hyper in hypers]
    x = draw.normal(size=(len(hypers), *recipe.inputs))
    if recipe.metric == "rmse":
        y = draw.normal(size=(len(hypers), recipe.outputs))
    else:
        y = draw.integers(0, max(2, recipe.outputs), len(hypers)).astype(np.int32)

    def both(hyper, params, x, y):
        automatic = jax.grad(lambda p: loss(apply(recipe, hyper, p, x), y, hyper.label_smoothing))(params)
        return backpropagation(recipe, hyper, params, x, y), automatic

    with jax.enable_x64(True):
        lanes = wide(jax.tree.map(lambda *leaf: np.stack(leaf), *zip(hypers, params, strict=True)))
        explicit, automatic = jax.jit(jax.vmap(both))(*lanes, wide(x), wide(y))
        assert {leaf.dtype for leaf in jax.tree.leaves(explicit)} == {np.dtype(np.float64)}
        assert jax.tree.structure(explicit) == jax.tree.structure(automatic)
        size = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(automatic))
        assert size > 0.01
        pairs = zip(jax.tree.leaves(explicit), jax.tree.leaves(automatic), strict=True)
        return max(float(jnp.abs(a - b).max()) for a, b in pairs) / size


def scattered_within(recipe, hyper, seed):
    """Noise on every parameter that is not padding."""
    tight = replace(recipe, depth=int(hyper.depth), width=int(hyper.width))
    inner = scattered(start(tight, hyper), seed)
    outer = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), jax.eval_shape(start, recipe, hyper))
    for name, layer in inner.items():
        for leaf, value in layer.items():
            outer[name][leaf][tuple(slice(n) for n in value.shape)] = value
    return outer


def test_every_activation():
    """Nets of one to three layers and of two widths with every activation, as lanes of one padded program."""
    names = (*ACTIVATIONS, "tanh-relu-sigmoid", "softmax-linear")
    recipe = Recipe("mlp", (4,), 3, "cross_entropy", "accuracy", 3, 6, names)
    hypers = [
        lane(activation=i, depth=depth, width=width, label_smoothing=0.1)
        for i in range(len(names))
        for depth, width in ((1, 6), (2, 4), (3, 6))
    ]
    assert largest_difference(recipe, hypers) < 1e-12


@pytest.mark.parametrize("loss", LOSS_NAMES)
def test_every_loss(loss):
    outputs, metric = TASKS[vocabulary.LOSSES[loss][0]]
    recipe = Recipe("mlp", (4,), outputs, loss, metric, 1, 5, ("tanh",))
    hypers = [lane(depth=1, width=5, label_smoothing=smoothing) for smoothing in (0.0, 0.2, 0.0)]
    assert largest_difference(recipe, hypers, seed=1) < 1e-12


def test_layers_that_taper_off():
    it = case("mlp", taper=0.6, width=5, depth=3)
    params = scattered(start(it.recipe, it.hyper))
    x, y = jnp.asarray(it.x[:1]), jnp.asarray(it.y[:1])
    written = backpropagation(it.recipe, it.hyper, params, x[0], y[0])
    automatic = loss_and_gradients(it.recipe, it.hyper, params, x, y)[1]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), written, automatic)
    found = blame(it.recipe, it.hyper, params, it.x[0], it.y[0])
    assert [len(a) for a in found.activities] == [12, 5, 3, 2, 3]
    assert [w.shape for w in found.weights] == [(5, 12), (3, 5), (2, 3), (3, 2)]
    for layer, name in enumerate(sorted(params)):
        out, into = found.weights[layer].shape
        slope = automatic[name]["weight"][:out, :into]
        np.testing.assert_allclose(found.gradient(layer), slope, rtol=1e-4, atol=1e-6)


def test_what_is_not_written_out_is_refused(monkeypatch):
    it = case("mlp")
    params = start(it.recipe, it.hyper)
    monkeypatch.setitem(LOSSES, "own", LOSSES["mse"])
    for recipe, says in (
        (replace(it.recipe, family="highway"), "highway.*mlp alone"),
        (case("mlp", embedding="pbld", frequencies=2, numbers=3).recipe, "not written out for embedded"),
        (case("mlp", norm="layer").recipe, "not written out for norms"),
        (replace(it.recipe, loss="own"), "derivative of 'own' is not written out"),
    ):
        with pytest.raises(InputError, match=says):
            backpropagation(recipe, it.hyper, params, jnp.asarray(it.x[0]), jnp.asarray(it.y[0]))


def test_blame_adds_up():
    """3 inputs, 2 ReLU units of which one rests, 1 output, within a wider program; worked out in NumPy."""
    hyper = lane(depth=1, width=2)
    recipe = Recipe("mlp", (3,), 1, "half_mse", "rmse", 2, 4, ("relu",))
    first, last = np.float32([[1.0, -2.0, 0.5], [-1.0, 0.0, 0.0]]), np.float32([[3.0, 5.0]])
    params = jax.tree.map(lambda s: np.zeros(s.shape, np.float32), jax.eval_shape(start, recipe, hyper))
    params["hidden_00"]["weight"][:2], params["out"]["weight"][:, :2] = first, last
    params["hidden_00"]["bias"][:2] = [0.5, -1.0]
    x, y = np.float32([2.0, 0.5, 4.0]), np.float32([1.0])

    found = blame(recipe, hyper, params, x, y)
    hidden = first @ x + np.float32([0.5, -1.0])  # 3.5 and -3
    np.testing.assert_allclose(hidden, [3.5, -3.0])
    for got, want in zip(found.activities, ([2.0, 0.5, 4.0], [3.5, 0.0], [10.5]), strict=True):
        np.testing.assert_allclose(got, want)
    np.testing.assert_allclose(found.errors[1], [9.5])  # 10.5 - 1
    np.testing.assert_allclose(found.errors[0], [9.5 * 3.0, 0.0])  # the resting unit is not to blame
    np.testing.assert_allclose(found.contributions(0), [[2.0, -1.0, 2.0], [-2.0, 0.0, 0.0]])
    np.testing.assert_allclose(found.shares(0), [[0.4, 0.2, 0.4], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(found.shares(1), [[1.0, 0.0]])
    np.testing.assert_allclose(found.gradient(1), [[9.5 * 3.5, 0.0]])
    np.testing.assert_allclose(found.gradient(0)[0], 28.5 * x)
    silent = blame(recipe, hyper, params, np.zeros(3, np.float32), y)
    np.testing.assert_array_equal(silent.shares(0), np.zeros((2, 3)))


def test_blame_is_the_gradient_of_the_weights():
    it = case("mlp", depth=3)
    params = scattered(start(it.recipe, it.hyper))
    found = blame(it.recipe, it.hyper, params, it.x[0], it.y[0])
    automatic = jax.grad(
        lambda p: LOSSES["cross_entropy"].function(
            MODELS["mlp"].apply(it.recipe, it.hyper, p, it.x[0]), it.y[0], jnp.float32(0.0)
        )
    )(params)
    for layer, name in enumerate(sorted(params)):
        np.testing.assert_allclose(found.gradient(layer), automatic[name]["weight"], rtol=1e-4, atol=1e-6)
        contributed = found.contributions(layer).sum(axis=1) + params[name]["bias"]
        after = found.activities[layer + 1]
        np.testing.assert_allclose(
            after, contributed if name == "out" else np.tanh(contributed), rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("family", list(MODELS))
def test_finite_differences_agree_for_every_model(family):
    it = case(family, width=3, depth=1, blocks=1, masked=family in ("rnn", "lstm"))
    params = scattered(start(it.recipe, it.hyper))
    assert finite_differences(it.recipe, it.hyper, params, it.x[:3], it.y[:3]) < 1e-5


def test_finite_differences_take_outputs_of_every_step():
    it = case("lstm", width=2, output="each")
    params = scattered(start(it.recipe, it.hyper))
    assert finite_differences(it.recipe, it.hyper, params, it.x[:2], it.y[:2]) < 1e-5


def test_finite_differences_find_a_wrong_gradient(monkeypatch):
    @jax.custom_jvp
    def almost(z):
        return jnp.sin(z)

    almost.defjvps(lambda tangent, value, z: tangent * jnp.cos(z) * 1.01)

    def apply(recipe, hyper, params, x, *, key=None):
        return almost(params["weight"] @ x)

    monkeypatch.setitem(MODELS, "wrong", Model(MODELS["linear"].init, apply))
    recipe = Recipe("wrong", (2,), 1, "mse", "rmse")
    params = {"weight": np.float32([[0.3, -0.2]])}
    found = finite_differences(recipe, lane(), params, np.float32([[1.0, 2.0]]), np.float32([[1.0]]))
    assert found == pytest.approx(0.01 / 1.01, rel=1e-3)
    assert jnp.zeros(1).dtype == jnp.float32  # and the rest goes on in float32
