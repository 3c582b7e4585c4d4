"""Activations against NumPy, scipy and PyTorch, and the selection by a traced index."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from workbench.core import vocabulary
from workbench.nn.activations import ACTIVATIONS, activate

Z = np.array([-1e3, -30.0, -4.0, -1.0, -0.3, 0.0, 0.2, 1.0, 3.0, 30.0, 1e3], np.float32)
EXTREME = np.array([-3e38, -1e30, -1e5, -88.0, 0.0, 88.0, 1e5, 1e30, 3e38], np.float32)
NAMES = tuple(vocabulary.ACTIVATIONS)
POINTWISE = tuple(name for name in NAMES if name != "softmax")

ORACLES = {
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "sigmoid": scipy.special.expit,
    "linear": lambda z: z,
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "gelu": lambda z: z * scipy.special.ndtr(z),
    "silu": lambda z: z * scipy.special.expit(z),
    "mish": lambda z: z * np.tanh(np.logaddexp(z, 0)),
    "selu": lambda z: (
        1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * np.expm1(np.minimum(z, 0)))
    ),
    "softmax": scipy.special.softmax,
    "step": lambda z: np.heaviside(z, 0.0),
}


def test_the_registry_has_the_words():
    assert list(ACTIVATIONS) == vocabulary.ACTIVATIONS == list(ORACLES)


@pytest.mark.parametrize(("layer", "means"), [(0, "tanh"), (1, "softmax"), (2, "relu"), (7, "relu")])
def test_one_for_each_layer(layer, means):
    """The last one named is that of all layers after it, and lanes may differ in what they name."""
    z, names = jnp.asarray(Z), ("tanh-softmax-relu", "sigmoid")
    pick = jax.jit(lambda index: activate(names, index, z, layer=layer))
    np.testing.assert_allclose(pick(jnp.int32(0)), ACTIVATIONS[means](z), rtol=1e-6)
    np.testing.assert_allclose(pick(jnp.int32(1)), ACTIVATIONS["sigmoid"](z), rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_values(name):
    np.testing.assert_allclose(
        ACTIVATIONS[name](jnp.asarray(Z)), ORACLES[name](Z.astype(np.float64)), rtol=2e-6, atol=2e-7
    )


@pytest.mark.parametrize("name", sorted({*POINTWISE} - {"step"}))
def test_gradients_equal_differences(name):
    z = np.array([-4.0, -1.3, -0.4, 0.3, 0.9, 2.5])
    expected = (ORACLES[name](z + 1e-6) - ORACLES[name](z - 1e-6)) / 2e-6
    actual = jax.vmap(jax.grad(ACTIVATIONS[name]))(jnp.asarray(z, jnp.float32))
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_values_and_gradients_equal_pytorch():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    theirs = {
        "relu": functional.relu,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "linear": lambda z: z,
        "leaky_relu": functional.leaky_relu,
        "gelu": functional.gelu,
        "silu": functional.silu,
        "mish": functional.mish,
        "selu": functional.selu,
        "softmax": lambda z: functional.softmax(z, dim=-1),
    }
    rng = np.random.default_rng(0)
    z, cotangent = rng.normal(size=(2, 3, 5)).astype(np.float32)
    for name, function in theirs.items():
        leaf = torch.tensor(z, requires_grad=True)
        out = function(leaf)
        out.backward(torch.tensor(cotangent))
        value, pull = jax.vjp(ACTIVATIONS[name], jnp.asarray(z))
        np.testing.assert_allclose(value, out.detach().numpy(), rtol=1e-5, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(
            pull(jnp.asarray(cotangent))[0], leaf.grad, rtol=1e-5, atol=2e-6, err_msg=name
        )


def test_the_step_has_no_gradient():
    np.testing.assert_array_equal(jax.vmap(jax.grad(ACTIVATIONS["step"]))(jnp.asarray(Z)), 0.0)


@pytest.mark.parametrize("index", range(len(NAMES)))
def test_selection_is_the_function_itself(index):
    z = jnp.asarray(np.random.default_rng(1).normal(size=(4, 6)), jnp.float32)
    selected = jax.jit(lambda i, z: activate(NAMES, i, z))(jnp.int32(index), z)
    np.testing.assert_allclose(selected, jax.jit(ACTIVATIONS[NAMES[index]])(z), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("index", range(len(NAMES)))
def test_branches_that_are_not_selected_leave_the_gradient_alone(index):
    def gradient(function):
        return jax.grad(lambda z: jnp.sum(function(z)))(jnp.asarray(EXTREME))

    selected = gradient(lambda z: activate(NAMES, jnp.int32(index), z))
    assert np.isfinite(selected).all()
    np.testing.assert_array_equal(selected, gradient(ACTIVATIONS[NAMES[index]]))


def test_lanes_equal_one_at_a_time():
    z = jnp.asarray(np.random.default_rng(2).normal(size=(len(NAMES), 7)), jnp.float32)
    index = jnp.arange(len(NAMES), dtype=jnp.int32)
    lanes = jax.jit(jax.vmap(lambda i, z: activate(NAMES, i, z)))(index, z)
    for lane, name in enumerate(NAMES):
        np.testing.assert_allclose(lanes[lane], ACTIVATIONS[name](z[lane]), rtol=1e-6, atol=1e-7)


def test_one_name_selects_nothing():
    program = str(jax.make_jaxpr(lambda i, z: activate(("tanh",), i, z))(jnp.int32(0), jnp.asarray(Z)))
    assert "tanh" in program
    assert "select" not in program


@pytest.mark.parametrize("index", range(len(NAMES)))
def test_units_not_in_use_are_zero_and_weigh_nothing(index):
    z = jnp.asarray(np.random.default_rng(3).normal(size=(2, 8)), jnp.float32)
    active = jnp.arange(8) < 5
    padded, pull = jax.vjp(lambda z: activate(NAMES, jnp.int32(index), z, active=active), z)
    np.testing.assert_array_equal(padded[:, 5:], 0.0)
    np.testing.assert_allclose(padded[:, :5], ACTIVATIONS[NAMES[index]](z[:, :5]), rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(pull(jnp.ones_like(z))[0][:, 5:], 0.0)
