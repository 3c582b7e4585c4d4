"""Metrics against scikit-learn, with ties, weights and padding."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.core import vocabulary
from workbench.nn import metrics
from workbench.nn.metrics import METRICS, class_logits, predictions

RNG = np.random.default_rng(0)
CLASSES = 4
#: One compiled program for each metric and shape.
JITTED = {name: jax.jit(metric) for name, metric in METRICS.items()}


def guess(z):
    return z.argmax(axis=1)


ORACLES = {
    "accuracy": lambda z, y, w: sk.accuracy_score(y, guess(z), sample_weight=w),
    "balanced_accuracy": lambda z, y, w: sk.balanced_accuracy_score(y, guess(z), sample_weight=w),
    "log_loss": lambda z, y, w: sk.log_loss(
        y, scipy.special.softmax(z, axis=1), sample_weight=w, labels=range(z.shape[1])
    ),
    "f1_macro": lambda z, y, w: sk.f1_score(y, guess(z), sample_weight=w, average="macro"),
    "f1": lambda z, y, w: sk.f1_score(y, guess(z), sample_weight=w),
    "roc_auc": lambda z, y, w: sk.roc_auc_score(
        y, np.float32(z[:, 1]) - np.float32(z[:, 0]), sample_weight=w
    ),
    "label_accuracy": lambda z, y, w: 1 - sk.hamming_loss(y, z > 0, sample_weight=w),
    "hamming_loss": lambda z, y, w: sk.hamming_loss(y, z > 0, sample_weight=w),
    "nll": lambda z, y, w: sum(
        sk.log_loss(y[:, k], scipy.special.expit(z[:, k]), sample_weight=w, labels=[0, 1])
        for k in range(z.shape[1])
    ),
    "rmse": lambda z, y, w: sk.root_mean_squared_error(y, z, sample_weight=w),
    "mse": lambda z, y, w: sk.mean_squared_error(y, z, sample_weight=w),
    "mae": lambda z, y, w: sk.mean_absolute_error(y, z, sample_weight=w),
    "r2": lambda z, y, w: sk.r2_score(y, z, sample_weight=w),
    "pinball": lambda z, y, w: sk.mean_pinball_loss(y, z, sample_weight=w, alpha=0.5),
}


def oracle(name, z, y, w):
    with warnings.catch_warnings():  # scikit-learn announces classes that do not occur
        warnings.simplefilter("ignore")
        return ORACLES[name](np.asarray(z, np.float64), y, w)


def score(name, z, y, w):
    y = jnp.asarray(y, jnp.float32 if np.ndim(y) == 2 else jnp.int32)
    return JITTED[name](jnp.asarray(z, jnp.float32), y, jnp.asarray(w, jnp.float32))


def rows(name, n=60, seed=0):
    """Outputs, y and integer weights, coarse enough for ties."""
    rng = np.random.default_rng(seed)
    weight = rng.integers(0, 4, size=n).astype(np.float32)
    if vocabulary.METRICS[name].task == "regression":
        return *(rng.normal(50.0, 10.0, size=(2, n, 3)).astype(np.float32)), weight
    if vocabulary.METRICS[name].task == "multilabel":
        return *labelled(rng, n), weight
    classes = 2 if vocabulary.METRICS[name].task == "binary" else CLASSES
    z = np.round(rng.normal(size=(n, classes)), 1).astype(np.float32)
    return z, rng.integers(classes, size=n), weight


def labelled(rng, n):
    """Logits and labels [n, 3], coarse enough for ties, none of them at the edge of a decision."""
    z = np.round(rng.normal(size=(n, 3)), 1).astype(np.float32) + np.float32(0.05)
    return z, rng.integers(2, size=(n, 3)).astype(np.float32)


def test_the_registry_has_the_words():
    assert list(METRICS) == list(vocabulary.METRICS) == list(ORACLES)
    words = {name for name, word in vocabulary.METRICS.items() if word.labels}
    assert words == set(metrics.OF_LABELS) == set(LABELS)


#: scikit-learn's own of an indicator matrix.
LABELS = {
    "accuracy": lambda z, y, w: sk.accuracy_score(y, z > 0, sample_weight=w),
    "f1_macro": lambda z, y, w: sk.f1_score(y, z > 0, sample_weight=w, average="macro", zero_division=0),
    "roc_auc": lambda z, y, w: sk.roc_auc_score(y, z, sample_weight=w, average="macro"),
    "log_loss": lambda z, y, w: ORACLES["nll"](z, y, w) / y.shape[1],
}


@pytest.mark.parametrize("name", LABELS)
def test_words_of_classes_score_labels_as_scikit_learn_does(name):
    scored = jax.jit(lambda z, y, w: metrics.score(name, z, y, w))
    for seed in range(4):
        rng = np.random.default_rng(seed)
        z, y = labelled(rng, 60)
        if name == "f1_macro":  # a label that neither occurs nor is said
            y[:, 2], z[:, 2] = 0.0, -1.0
        for w in (np.ones(60, np.float32), rng.integers(0, 3, 60).astype(np.float32)):
            counted = w > 0
            expected = LABELS[name](z[counted].astype(np.float64), y[counted].astype(int), w[counted])
            np.testing.assert_allclose(scored(z, y, w), expected, rtol=2e-5)
        z[3], w[3] = np.nan, 1.0
        assert np.isnan(scored(z, y, w))


@pytest.mark.parametrize("name", METRICS)
def test_values_with_and_without_weights(name):
    for seed in range(4):
        z, y, w = rows(name, seed=seed)
        for weight in (np.ones_like(w), w, np.random.default_rng(seed).random(len(w)).astype(np.float32)):
            counted = weight > 0
            expected = oracle(name, z[counted], y[counted], weight[counted])
            np.testing.assert_allclose(score(name, z, y, weight), expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", METRICS)
def test_integer_weights_are_copies(name):
    z, y, w = rows(name)
    copies = np.repeat(np.arange(len(w)), w.astype(int))
    metric = jax.jit(METRICS[name])
    expected = metric(z[copies], y[copies], np.ones(len(copies), np.float32))
    actual = metric(z, y, w.astype(np.int32))
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("name", METRICS)
def test_padding_has_no_part(name, broken):
    z, y, w = rows(name)
    padding = np.full((5, z.shape[1]), broken, np.float32)
    codes = np.full(5, -1) if y.ndim == 1 else padding
    actual = score(name, np.vstack([z, padding]), np.concatenate([y, codes]), np.append(w, np.zeros(5)))
    np.testing.assert_allclose(actual, score(name, z, y, w), rtol=1e-6)


@pytest.mark.parametrize("name", METRICS)
def test_nan_outputs_and_no_rows_are_not_a_score(name):
    z, y, w = rows(name)
    z[3], w[3] = np.nan, 1.0
    assert np.isnan(score(name, z, y, w))
    if name != "f1":  # zero by convention where class 1 is absent, as in scikit-learn
        assert np.isnan(score(name, rows(name)[0], y, 0 * w))


@pytest.mark.parametrize("name", METRICS)
def test_jit_and_lanes(name):
    z, y, w = rows(name)
    lanes = jnp.stack([jnp.asarray(rows(name, seed=seed)[0]) for seed in range(3)])
    y, w = jnp.asarray(y, jnp.float32 if y.ndim == 2 else jnp.int32), jnp.asarray(w)
    together = jax.jit(jax.vmap(METRICS[name], in_axes=(0, None, None)))(lanes, y, w)
    weights = jnp.stack([w, w[::-1], jnp.ones_like(w)])
    bootstrapped = jax.jit(jax.vmap(METRICS[name], in_axes=(None, None, 0)))(jnp.asarray(z), y, weights)
    for lane in range(3):
        np.testing.assert_allclose(together[lane], METRICS[name](lanes[lane], y, w), rtol=1e-5)
        np.testing.assert_allclose(bootstrapped[lane], METRICS[name](z, y, weights[lane]), rtol=1e-5)


@given(
    score_steps=st.lists(st.integers(-3, 3), min_size=12, max_size=12),
    y=st.lists(st.integers(0, 1), min_size=12, max_size=12).filter(lambda y: 0 < sum(y[:4]) < 4),
    weight=st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, 7.0]), min_size=12, max_size=12),
)
@settings(max_examples=150, deadline=None)
def test_binary_metrics_with_ties_and_weights(score_steps, y, weight):
    weight = np.array(weight)
    weight[:4] += 1.0  # both classes occur
    z = np.array(score_steps, np.float32)[:, None]
    counted = weight > 0
    for name in ("roc_auc", "f1", "accuracy", "balanced_accuracy"):
        expected = oracle(name, np.hstack([0 * z, z])[counted], np.array(y)[counted], weight[counted])
        actual = score(name, class_logits(jnp.asarray(z)), np.array(y), weight)
        np.testing.assert_allclose(actual, expected, rtol=2e-6, atol=1e-6, err_msg=name)


@given(
    z=st.lists(st.lists(st.integers(-2, 2), min_size=3, max_size=3), min_size=10, max_size=10),
    y=st.lists(st.integers(0, 2), min_size=10, max_size=10),
    weight=st.lists(st.sampled_from([0.0, 0.25, 1.0, 3.0]), min_size=10, max_size=10).filter(any),
)
@settings(max_examples=150, deadline=None)
def test_class_metrics_with_ties_weights_and_absent_classes(z, y, weight):
    z, y, weight = np.array(z, np.float32), np.array(y), np.array(weight)
    counted = weight > 0
    for name in ("accuracy", "balanced_accuracy", "f1_macro", "log_loss"):
        expected = oracle(name, z[counted], y[counted], weight[counted])
        np.testing.assert_allclose(score(name, z, y, weight), expected, rtol=5e-6, atol=1e-6, err_msg=name)


def test_roc_auc_of_many_rows_is_exact():
    y = RNG.integers(2, size=20_000)
    for z in (RNG.normal(size=20_000) + 0.5 * y, np.round(RNG.normal(size=20_000) + 3.0 * y, 1), 0.0 * y):
        z = np.stack([np.zeros(20_000), z], axis=1).astype(np.float32)
        w = RNG.integers(0, 3, size=20_000)
        np.testing.assert_allclose(score("roc_auc", z, y, w), oracle("roc_auc", z, y, w), atol=3e-7)


def test_roc_auc_orders_all_floats():
    tiny, big = np.finfo(np.float32).tiny, np.finfo(np.float32).max
    z = np.array([-np.inf, -big, -1.0, -tiny, -0.0, 0.0, tiny, 1.0, big, np.inf], np.float32)[:, None]
    ranks = np.array([0, 1, 2, 3, 4, 4, 6, 7, 8, 9], float)
    for y in RNG.integers(2, size=(20, 10)):
        y[:2] = 0, 1
        expected = sk.roc_auc_score(y, ranks)
        np.testing.assert_allclose(
            score("roc_auc", class_logits(jnp.asarray(z)), y, np.ones(10)), expected, rtol=1e-6
        )


def test_undefined_and_degenerate_scores():
    z, one = np.zeros((4, 2), np.float32), np.ones(4)
    assert np.isnan(score("roc_auc", z, [1, 1, 1, 1], one))
    assert np.isnan(score("roc_auc", z, [0, 0, 0, 0], one))
    assert score("f1", z, [0, 0, 0, 0], one) == 0.0
    for y in ([[2.0]] * 4, [[3.0]] * 4):  # constant targets
        np.testing.assert_array_equal(
            score("r2", np.full((4, 1), 2.0), y, one), sk.r2_score(y, np.full((4, 1), 2.0))
        )


def test_log_loss_of_enormous_logits_is_finite():
    z = np.array([[3e38, -3e38], [1e30, -1e30], [0.0, 100.0]], np.float32)
    assert score("log_loss", z, [0, 0, 1], np.ones(3)) == 0.0
    assert np.isfinite(score("log_loss", z, [1, 1, 0], np.ones(3)))


def test_class_logits():
    z = RNG.normal(size=(50, 1)).astype(np.float32)
    np.testing.assert_array_equal(class_logits(jnp.asarray(z)), np.hstack([0 * z, z]))
    wide = jnp.asarray(RNG.normal(size=(50, 3)), jnp.float32)
    assert class_logits(wide) is wide


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("columns", [1, 2])
def test_scores_of_decisions_at_a_threshold_are_scikit_learns(threshold, columns):
    theirs = {
        "accuracy": sk.accuracy_score,
        "balanced_accuracy": sk.balanced_accuracy_score,
        "f1": sk.f1_score,
        "f1_macro": lambda y, guess: sk.f1_score(y, guess, average="macro"),
    }
    decides = {
        name for name, word in vocabulary.METRICS.items() if word.decides and word.task != "multilabel"
    }
    assert decides == theirs.keys()
    draw = np.random.default_rng(columns)
    z, y = draw.normal(size=(60, columns)).astype(np.float32), draw.integers(2, size=60).astype(np.int32)
    margin = z[:, 0] if columns == 1 else z[:, 1] - z[:, 0]
    guess = scipy.special.expit(margin.astype(np.float64)) > threshold
    scored = jax.jit(metrics.score, static_argnums=0)
    for name, metric in theirs.items():
        actual = scored(name, jnp.asarray(z), jnp.asarray(y), jnp.ones(60), jnp.float32(threshold))
        np.testing.assert_allclose(actual, metric(y, guess), rtol=1e-6, err_msg=name)
    for name in ("roc_auc", "log_loss"):  # these look at probabilities
        plain = METRICS[name](jnp.asarray(z), jnp.asarray(y), jnp.ones(60))
        assert metrics.score(name, jnp.asarray(z), jnp.asarray(y), jnp.ones(60), threshold) == plain


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_predictions_at_a_threshold(threshold):
    z = jnp.asarray(RNG.normal(scale=3.0, size=(200, 1)), jnp.float32)
    expected = scipy.special.expit(np.asarray(z, np.float64)[:, 0]) > threshold
    for outputs in (z, class_logits(z), class_logits(z) + 1.5):
        actual = jax.jit(predictions)(outputs, jnp.float32(threshold))
        assert actual.dtype == jnp.int32
        np.testing.assert_array_equal(actual, expected)


def test_predictions_of_many_classes_and_of_ties():
    z = jnp.asarray(RNG.normal(size=(50, 5)), jnp.float32)
    np.testing.assert_array_equal(predictions(z), np.argmax(z, axis=1))
    np.testing.assert_array_equal(predictions(jnp.zeros((2, 1))), 0)
    np.testing.assert_array_equal(predictions(jnp.zeros((2, 2))), 0)
    np.testing.assert_array_equal(predictions(jnp.array([[1e-12], [-1e-12]], jnp.float32)), [1, 0])


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.8])
def test_labels_are_said_from_a_threshold_on(threshold):
    z, y = labelled(np.random.default_rng(5), 80)
    said, w = scipy.special.expit(z.astype(np.float64)) > threshold, np.ones(80, np.float32)
    theirs = {
        "accuracy": sk.accuracy_score(y, said),
        "label_accuracy": 1 - sk.hamming_loss(y, said),
        "hamming_loss": sk.hamming_loss(y, said),
        "f1_macro": sk.f1_score(y, said, average="macro"),
    }
    for name, expected in theirs.items():
        assert float(metrics.score(name, z, y, w, threshold)) == pytest.approx(expected, rel=1e-5)
