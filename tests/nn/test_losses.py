"""Losses against NumPy in float64, PyTorch and finite differences, at ordinary and at enormous logits."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from workbench.core import vocabulary
from workbench.core.errors import InputError
from workbench.nn.losses import LOSSES, Loss, batch_loss, register

RNG = np.random.default_rng(0)
REGRESSION = [name for name, tasks in vocabulary.LOSSES.items() if "regression" in tasks]
BINARY = [name for name, tasks in vocabulary.LOSSES.items() if "binary" in tasks]
ENORMOUS = [3e38, -3e38, 1e30, -1e30, 1e10, -200.0, 0.0, 1e-30]


def cross_entropy(z, y, smoothing):
    q = (1 - smoothing) * np.eye(len(z))[y] + smoothing / len(z)
    return -(q * scipy.special.log_softmax(z)).sum()


# Float64 definitions, written independently of the module.
ORACLES = {
    "sum_squared_error": lambda z, y, s: sum((a - b) ** 2 for a, b in zip(z, y, strict=True)),
    "mse": lambda z, y, s: np.mean((z - y) ** 2),
    "half_mse": lambda z, y, s: np.mean((z - y) ** 2) / 2,
    "huber": lambda z, y, s: scipy.special.huber(1.0, z - y).mean(),
    "pinball": lambda z, y, s: np.mean(np.abs(y - z)) / 2,
    "binary_cross_entropy": lambda z, y, s: cross_entropy(np.array([0.0, z[0]]), y, s),
    "cross_entropy": cross_entropy,
    "perceptron": lambda z, y, s: max(0.0, -(1 if y == 1 else -1) * z[0]),
}


def example(name, seed=0, scale=2.0):
    """Outputs [K] and y of one example."""
    rng = np.random.default_rng([seed, len(name)])
    if name in REGRESSION:
        return tuple(rng.normal(scale=scale, size=(2, 4)).astype(np.float32))
    classes = 1 if name in BINARY else 4
    return rng.normal(scale=scale, size=classes).astype(np.float32), np.int32(rng.integers(max(classes, 2)))


def call(name, z, y, smoothing=0.0):
    return LOSSES[name].function(jnp.asarray(z), jnp.asarray(y), jnp.float32(smoothing))


def test_the_registry_has_the_words():
    assert list(LOSSES) == list(vocabulary.LOSSES) == list(ORACLES)
    assert [name for name, loss in LOSSES.items() if loss.reduction == "sum"] == ["sum_squared_error"]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("name", LOSSES)
def test_values(name, smoothing):
    for seed in range(5):
        z, y = example(name, seed)
        expected = ORACLES[name](z.astype(np.float64), y, smoothing)
        np.testing.assert_allclose(call(name, z, y, smoothing), expected, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("name", LOSSES)
def test_gradients_equal_differences(name, smoothing):
    gradient = jax.jit(jax.grad(lambda z, y: call(name, z, y, smoothing)))
    for seed in range(5):
        z, y = example(name, seed)
        wide = z.astype(np.float64)
        expected = [
            (ORACLES[name](wide + step, y, smoothing) - ORACLES[name](wide - step, y, smoothing)) / 2e-6
            for step in 1e-6 * np.eye(len(z))
        ]
        np.testing.assert_allclose(gradient(z, y), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_values_and_gradients_equal_pytorch(smoothing):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    z, one, y = RNG.normal(size=(9, 5)), RNG.normal(size=(9, 1)), RNG.integers(5, size=9)
    bit, target = y % 2, RNG.normal(size=(9, 5))
    cases = {
        "sum_squared_error": (z, target, lambda o, y: functional.mse_loss(o, y, reduction="sum")),
        "mse": (z, target, functional.mse_loss),
        "half_mse": (z, target, lambda o, y: functional.mse_loss(o, y) / 2),
        "huber": (z, target, functional.huber_loss),
        "binary_cross_entropy": (
            one,
            bit,
            lambda o, y: functional.binary_cross_entropy_with_logits(
                o[:, 0], y * (1 - smoothing) + smoothing / 2
            ),
        ),
        "cross_entropy": (z, y, lambda o, y: functional.cross_entropy(o, y, label_smoothing=smoothing)),
    }
    for name, (outputs, targets, theirs) in cases.items():
        leaf = torch.tensor(outputs, dtype=torch.float32, requires_grad=True)
        wanted = torch.tensor(targets) if targets.dtype == np.int64 else torch.tensor(targets).float()
        value = theirs(leaf, wanted)
        value.backward()
        ours = jnp.asarray(targets, jnp.int32 if targets.dtype == np.int64 else jnp.float32)
        objective = lambda o, name=name, y=ours: batch_loss(LOSSES[name], o, y, jnp.ones(9), smoothing)  # noqa: E731
        actual, gradient = jax.value_and_grad(objective)(jnp.asarray(outputs, jnp.float32))
        np.testing.assert_allclose(actual, value.item(), rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(gradient, leaf.grad, rtol=1e-4, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("name", [name for name in LOSSES if name not in REGRESSION])
def test_every_finite_logit_has_a_finite_value_and_gradient(name, smoothing):
    if name in BINARY:
        z, y = np.repeat(ENORMOUS, 2)[:, None], np.tile([0, 1], len(ENORMOUS))
    else:
        z = np.stack([np.roll(ENORMOUS, shift)[:3] for shift in range(8)] + [[big] * 3 for big in ENORMOUS])
        z, y = np.repeat(z, 3, axis=0), np.tile([0, 1, 2], 16)
    z, y = jnp.asarray(z, jnp.float32), jnp.asarray(y, jnp.int32)
    each = jax.value_and_grad(LOSSES[name].function)
    values, gradients = jax.jit(jax.vmap(each, in_axes=(0, 0, None)))(z, y, jnp.float32(smoothing))
    assert np.isfinite(values).all()
    assert np.isfinite(gradients).all()
    assert (np.asarray(values) >= 0).all()
    wide = np.asarray(z, np.float64)
    logits = np.hstack([0 * wide, wide]) if name in BINARY else wide
    if name != "perceptron":
        share = scipy.special.softmax(logits, axis=1)
        q = (1 - smoothing) * np.eye(logits.shape[1])[y] + smoothing / logits.shape[1]
        np.testing.assert_allclose(gradients, (share - q)[:, -z.shape[1] :], rtol=1e-5, atol=1e-6)
    expected = np.array([ORACLES[name](row, label, smoothing) for row, label in zip(wide, y, strict=True)])
    exact = np.ptp(logits, axis=1) < 1.7e38  # beyond, the cross entropy saturates
    np.testing.assert_allclose(np.asarray(values)[exact], expected[exact], rtol=1e-5, atol=1e-6)
    whole = jax.value_and_grad(lambda z: batch_loss(LOSSES[name], z, y, jnp.ones(len(y)), smoothing))
    value, gradient = whole(z)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


LARGEST = float(np.float32(1e30))
LOGITS = st.floats(-LARGEST, LARGEST, width=32)


@pytest.mark.parametrize("name", LOSSES)
@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_any_logits_up_to_1e30_have_finite_values_and_gradients(name, data):
    """Within the values that float32 has, subnormal ones among them; the loss is never negative."""
    columns = 1 if name in BINARY else 4
    z = data.draw(arrays(np.float32, (8, columns), elements=LOGITS))
    smoothing = data.draw(st.floats(0.0, 0.75, width=32))
    if name in REGRESSION:
        y = jnp.asarray(data.draw(arrays(np.float32, (8, columns), elements=LOGITS)))
    else:
        codes = st.integers(0, max(columns, 2) - 1)
        y = jnp.asarray(data.draw(arrays(np.int32, 8, elements=codes)))
    (each, slopes), (value, slope) = _evaluated(name, jnp.asarray(z), y, jnp.float32(smoothing))
    for found in (each, slopes, value, slope):
        assert np.isfinite(found).all()
    assert np.min(each) >= 0.0
    if name in ("binary_cross_entropy", "cross_entropy"):
        assert np.max(np.abs(slopes)) <= 1.0 + 1e-6


@pytest.mark.parametrize("name", ["sum_squared_error", "mse", "half_mse"])
def test_a_squared_error_saturates_and_its_slope_stays(name):
    """Up to 1e17 it is the square, with its second derivative; from there on value and slope are constant."""
    zero, half = jnp.zeros(1), 0.5 if name == "half_mse" else 1.0
    value = jax.jit(lambda e: LOSSES[name].function(e[None], zero, jnp.float32(0.0)))
    for e in (3.0, -2e5, 9e16):
        assert float(value(jnp.float32(e))) == pytest.approx(half * e * e, rel=1e-6)
        assert float(jax.grad(value)(jnp.float32(e))) == pytest.approx(2 * half * e, rel=1e-6)
        assert float(jax.hessian(value)(jnp.float32(e))) == pytest.approx(2 * half, rel=1e-6)
    for e in (2e17, -1e30, 3e38):
        assert float(value(jnp.float32(e))) == pytest.approx(half * 1e34, rel=1e-6)
        assert float(jax.grad(value)(jnp.float32(e))) == pytest.approx(2 * half * np.sign(e) * 1e17, rel=1e-6)
    for broken in (np.inf, -np.inf, np.nan):
        assert not np.isfinite(value(jnp.float32(broken)))


@partial(jax.jit, static_argnums=0)
def _evaluated(name, z, y, smoothing):
    """Of each row, and of the batch."""
    rows = jax.vmap(jax.value_and_grad(LOSSES[name].function), in_axes=(0, 0, None))(z, y, smoothing)
    whole = jax.value_and_grad(lambda z: batch_loss(LOSSES[name], z, y, jnp.ones(len(z)), smoothing))
    return rows, whole(z)


@pytest.mark.parametrize("name", ["binary_cross_entropy", "cross_entropy"])
def test_broken_logits_stay_visible(name):
    z, y = example(name)
    for broken in (np.nan, np.inf):
        assert not np.isfinite(call(name, np.full_like(z, broken), y))


@pytest.mark.parametrize("label", [0, 1])
def test_gradients_where_training_from_zeros_begins(label):
    def slope(name):
        gradient = jax.grad(lambda z: call(name, z, np.int32(label)))(jnp.zeros(1))
        return float(gradient[0])

    assert slope("binary_cross_entropy") == 0.5 - label
    assert slope("perceptron") == 0 - label  # step(0) = 0
    softmax = jax.grad(lambda z: call("cross_entropy", z, np.int32(label)))(jnp.zeros(4))
    np.testing.assert_allclose(softmax, 0.25 - np.eye(4)[label], rtol=1e-6)


def test_the_perceptron_gradient_is_the_perceptron_rule():
    w, x = jnp.array([0.5, -1.0]), jnp.array([[1.0, 2.0], [3.0, 0.5], [2.0, 1.0]])
    y = jnp.array([1, 0, 0], jnp.int32)
    for row, label in zip(x, y, strict=True):
        gradient = jax.grad(lambda w, row=row, label=label: call("perceptron", jnp.dot(w, row)[None], label))(
            w
        )
        guess = 1.0 if float(np.dot(w, row)) > 0 else 0.0
        np.testing.assert_allclose(-gradient, (float(label) - guess) * np.asarray(row))


@pytest.mark.parametrize("name", LOSSES)
def test_batch_loss_jit_vmap_and_weights(name):
    rows = [example(name, seed) for seed in range(6)]
    z, y = jnp.stack([jnp.asarray(z) for z, _ in rows]), jnp.stack([jnp.asarray(y) for _, y in rows])
    weight = jnp.array([1.0, 2.0, 0.5, 0.0, 1.0, 3.0], jnp.float32)
    each = np.array([ORACLES[name](np.asarray(a, np.float64), np.asarray(b), 0.1) for a, b in rows])
    total = (each * np.asarray(weight)).sum()
    expected = total if LOSSES[name].reduction == "sum" else total / 7.5
    function = lambda z, w: batch_loss(LOSSES[name], z, y, w, 0.1)  # noqa: E731
    np.testing.assert_allclose(function(z, weight), expected, rtol=1e-5)
    np.testing.assert_allclose(jax.jit(function)(z, weight), expected, rtol=1e-5)
    lanes = jax.vmap(function, in_axes=(0, None))(jnp.stack([z, 2.0 * z]), weight)
    np.testing.assert_allclose(lanes, [expected, function(2.0 * z, weight)], rtol=1e-5)


objective = jax.jit(jax.value_and_grad(batch_loss, argnums=1), static_argnums=0)


@pytest.mark.parametrize("broken", [np.nan, np.inf, 3e38])
@pytest.mark.parametrize("name", LOSSES)
def test_padding_has_no_part(name, broken):
    rows = [example(name, seed) for seed in range(4)]
    z, y = (np.stack([np.asarray(row[part]) for row in rows]) for part in (0, 1))
    dirty_z = np.concatenate([z, np.full((2, z.shape[1]), broken, np.float32)])
    dirty_y = np.concatenate([y, np.full((2, *y.shape[1:]), -1 if y.ndim == 1 else broken, y.dtype)])
    weight = np.array([1, 1, 1, 1, 0, 0], np.float32)
    clean, clean_gradient = objective(LOSSES[name], z, y, np.ones(4, np.float32))
    value, gradient = objective(LOSSES[name], dirty_z, dirty_y, weight)
    np.testing.assert_allclose(value, clean, rtol=1e-6)
    np.testing.assert_allclose(gradient[:4], clean_gradient, rtol=1e-6)
    np.testing.assert_array_equal(gradient[4:], 0.0)
    assert objective(LOSSES[name], dirty_z, dirty_y, np.zeros(6, np.float32))[0] == 0.0


def test_register(monkeypatch):
    monkeypatch.setattr("workbench.nn.losses.LOSSES", dict(LOSSES))
    monkeypatch.setattr(vocabulary, "LOSSES", dict(vocabulary.LOSSES))
    register("mae", lambda outputs, y, smoothing: jnp.abs(outputs - y).mean(), tasks=("regression",))
    from workbench.nn import losses

    assert vocabulary.LOSSES["mae"] == ("regression",)
    assert isinstance(losses.LOSSES["mae"], Loss)
    value = batch_loss(losses.LOSSES["mae"], jnp.array([[1.0], [4.0]]), jnp.zeros((2, 1)), jnp.ones(2))
    assert value == 2.5
    with pytest.raises(InputError, match="'mse' is known already"):
        register("mse", LOSSES["mse"].function, tasks=("regression",))
    with pytest.raises(InputError, match="name one or more of regression, classification, binary"):
        register("new", LOSSES["mse"].function, tasks=("ranking",))
    assert "new" not in vocabulary.LOSSES


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_labels_is_the_mean_of_each_ones(smoothing):
    loss = LOSSES["binary_cross_entropy"]
    z, y = RNG.normal(scale=3, size=(9, 4)).astype(np.float32), RNG.integers(0, 2, size=(9, 4))
    each = np.array(
        [
            [
                float(loss.function(z[i, k, None], jnp.int32(y[i, k]), jnp.float32(smoothing)))
                for k in range(4)
            ]
            for i in range(9)
        ]
    )
    weight = RNG.integers(0, 3, size=9).astype(np.float32)
    found = batch_loss(loss, jnp.asarray(z), jnp.asarray(y, jnp.float32), jnp.asarray(weight), smoothing)
    np.testing.assert_allclose(found, np.average(each.mean(axis=1), weights=weight), rtol=1e-6)
    torch = pytest.importorskip("torch")
    smooth = torch.tensor(y * (1 - smoothing) + smoothing / 2)
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(torch.tensor(z).double(), smooth)
    np.testing.assert_allclose(each.mean(), theirs.item(), rtol=1e-6)
