"""What is read out of a model equals what is computed by hand: slopes, passes, filters, losses on a plane."""

from __future__ import annotations

import itertools
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.special import erf, expit, log_softmax
from sklearn.linear_model import LogisticRegression

from tests.helpers.delivered import EPOCHS, deliver, table
from tests.helpers.families import Case, case, scattered
from tests.helpers.problems import blobs, lane, line
from workbench.core import vocabulary
from workbench.core.types import Examples
from workbench.evaluation.analysis import landscape, probes
from workbench.nn.models import MODELS
from workbench.nn.recipe import Hyperparameters, Recipe

Z = np.linspace(-5.0, 5.0, 400)  # without zero, where some have a kink
NORMAL = np.exp(-(Z**2) / 2) / np.sqrt(2 * np.pi)
BELOW = (1 + erf(Z / np.sqrt(2))) / 2
SOFT = np.tanh(np.logaddexp(Z, 0))
ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805
CLOSED = {
    "relu": (np.maximum(Z, 0), Z > 0),
    "tanh": (np.tanh(Z), 1 / np.cosh(Z) ** 2),
    "sigmoid": (expit(Z), expit(Z) * expit(-Z)),
    "linear": (Z, np.ones_like(Z)),
    "leaky_relu": (np.where(Z > 0, Z, 0.01 * Z), np.where(Z > 0, 1, 0.01)),
    "gelu": (Z * BELOW, BELOW + Z * NORMAL),
    "silu": (Z * expit(Z), expit(Z) * (1 + Z * expit(-Z))),
    "mish": (Z * SOFT, SOFT + Z * (1 - SOFT**2) * expit(Z)),
    "selu": (
        SCALE * np.where(Z > 0, Z, ALPHA * np.expm1(np.minimum(Z, 0))),
        SCALE * np.where(Z > 0, 1, ALPHA * np.exp(np.minimum(Z, 0))),
    ),
    "softmax": (expit(Z), expit(Z) * expit(-Z)),
    "step": (Z > 0, np.zeros_like(Z)),
}


def mean_loss(case_y: np.ndarray, outputs: np.ndarray) -> float:
    return float(-log_softmax(outputs.astype(np.float64), axis=1)[np.arange(len(case_y)), case_y].mean())


def forward(params: dict, x: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    h = x.astype(np.float64)
    for name in sorted(params):
        z = h @ params[name]["weight"].T.astype(np.float64) + params[name]["bias"]
        h = z if name == "out" else np.tanh(z)
    return h


def test_every_activation_has_its_derivative() -> None:
    assert list(CLOSED) == vocabulary.ACTIVATIONS
    sampled = probes.activation_samples(vocabulary.ACTIVATIONS, Z)
    for name, (value, slope) in CLOSED.items():
        np.testing.assert_allclose(sampled[name][0], value, atol=2e-6, err_msg=name)
        np.testing.assert_allclose(sampled[name][1], slope, atol=2e-6, err_msg=name)


def test_losses_on_the_plane_are_those_of_moved_weights() -> None:
    c = case("mlp", "classification")
    params = _noise(c)
    rows = Examples(c.x, c.y, np.ones(len(c.x), np.float32))
    surface = landscape.surface(c.recipe, c.hyper, params, rows, seed=4, size=5, reach=0.8)
    draw = np.random.default_rng(4)
    first, second = landscape.direction(params, draw), landscape.direction(params, draw)
    np.testing.assert_allclose(surface.steps, [-0.8, -0.4, 0, 0.4, 0.8], atol=1e-12)
    for i, j in itertools.product(range(5), range(5)):
        a, b = surface.steps[j], surface.steps[i]
        moved = jax.tree.map(lambda w, d, e, a=a, b=b: w + a * d + b * e, params, first, second)
        assert surface.losses[i, j] == pytest.approx(mean_loss(c.y, forward(moved, c.x)), rel=2e-5)
    assert surface.rows == len(c.x)


def test_directions_are_as_long_as_the_filters_and_leave_padding_and_biases() -> None:
    draw = np.random.default_rng(0)
    weight, kernels = draw.normal(size=(6, 4)), draw.normal(size=(3, 2, 2, 5))
    weight[4:] = weight[:, 3] = 0.0
    params = {"a": {"weight": weight, "bias": np.ones(6)}, "b": {"weight": kernels, "bias_gate": np.ones(3)}}
    found = landscape.direction(params, np.random.default_rng(1))
    np.testing.assert_allclose(
        np.linalg.norm(found["a"]["weight"], axis=1), np.linalg.norm(weight, axis=1), rtol=1e-6
    )
    lengths = [np.linalg.norm(w.reshape(3, -1), axis=1) for w in (found["b"]["weight"], kernels)]
    np.testing.assert_allclose(*lengths, rtol=1e-6)
    assert not found["a"]["weight"][4:].any()
    assert not found["a"]["weight"][:, 3].any()
    assert not found["a"]["bias"].any()
    assert not found["b"]["bias_gate"].any()
    again = landscape.direction(params, np.random.default_rng(1))
    assert np.array_equal(found["a"]["weight"], again["a"]["weight"])
    with pytest.raises(TypeError, match="nested dicts"):
        landscape.direction(weight, draw)


def test_the_convex_companion_is_the_model_without_hidden_layers() -> None:
    train = blobs(rows=240, features=3).train
    weight, bias = landscape.fit_affine("cross_entropy", 3, train)
    oracle = LogisticRegression(C=1e6, tol=1e-8, max_iter=2000).fit(train.x, train.y)
    best = mean_loss(train.y, oracle.decision_function(train.x))
    assert mean_loss(train.y, train.x @ weight.T + bias) == pytest.approx(best, abs=2e-3)
    surface = landscape.affine_surface("cross_entropy", weight, bias, train, seed=2, size=3)
    draw = np.random.default_rng(2)
    first, second = (landscape.direction({"weight": weight}, draw)["weight"] for _ in range(2))
    for i, j in itertools.product(range(3), range(3)):
        moved = weight + surface.steps[j] * first + surface.steps[i] * second
        assert surface.losses[i, j] == pytest.approx(mean_loss(train.y, train.x @ moved.T + bias), rel=1e-5)


def test_the_convex_companion_of_a_regression_is_least_squares() -> None:
    fold = line(rows=90)
    rows = landscape.evenly(fold, 1000, regression=True)
    weight, bias = landscape.fit_affine("mse", 1, rows)
    wide = np.column_stack([rows.x, np.ones(len(rows.x))]).astype(np.float64)
    expected = np.linalg.lstsq(wide, rows.y[:, 0].astype(np.float64), rcond=None)[0]
    np.testing.assert_allclose([*weight[0], bias[0]], expected, atol=1e-3)


def test_rows_are_spread_over_the_training_rows_and_standardized() -> None:
    fold = line(rows=90)
    rows = landscape.evenly(fold, 7, regression=True)
    index = [list(map(tuple, fold.train.x)).index(tuple(row)) for row in rows.x]
    assert index == sorted(index)
    assert index[0] == 0
    assert index[-1] == len(fold.train.x) - 1
    np.testing.assert_allclose(rows.y * fold.scale + fold.shift, fold.train.y[index], rtol=1e-5)
    assert len(landscape.evenly(blobs(), 10**6, regression=False).x) == len(blobs().train.x)


def test_large_models_get_fewer_rows_and_the_largest_none() -> None:
    def rows(width: int) -> int:
        recipe = Recipe("mlp", (64,), 10, "cross_entropy", "accuracy", depth=2, width=width)
        return landscape.affordable_rows(recipe, lane(width=width), _shapes(recipe, lane(width=width)))

    assert rows(8) == 512
    assert landscape.FEWEST_ROWS <= rows(256) < 512
    assert rows(4096) == 0


def test_first_layers_without_their_padding() -> None:
    c = case("mlp", "classification")
    wide = case("mlp", "classification", width=5).recipe
    hyper = c.hyper._replace(width=np.int32(3))
    params = _noise(c)
    np.testing.assert_array_equal(
        probes.first_layer(wide, hyper, params), np.asarray(params["hidden_00"]["weight"])[:3]
    )
    for family, shape in (
        ("softmax", (3, 12)), ("residual", (5, 12)), ("highway", (5, 12)), ("cnn", (3, 3, 3, 2)),
    ):  # fmt: skip
        other = case(family)
        found = probes.first_layer(other.recipe, other.hyper, _noise(other))
        assert found is not None
        assert found.shape == shape
    other = case("lstm")
    assert probes.first_layer(other.recipe, other.hyper, _noise(other)) is None


@pytest.mark.parametrize(
    ("family", "task"), [("mlp", "classification"), ("softmax", None), ("logistic", None)]
)
def test_both_passes_of_a_row(family: str, task: str | None) -> None:
    c = case(family, task)
    params = _noise(c)
    x, y = c.x[0], c.y[0]
    found = probes.two_passes(c.recipe, c.hyper._replace(label_smoothing=np.float32(0.3)), params, x, y)
    assert found is not None
    layers = [params[name] for name in sorted(params)] if family == "mlp" else [params]
    h = x.astype(np.float64)
    np.testing.assert_allclose(found.activities[0], h)
    for i, layer in enumerate(layers):
        np.testing.assert_array_equal(found.weights[i], layer["weight"])
        z = layer["weight"].astype(np.float64) @ h + layer["bias"]
        h = z if i == len(layers) - 1 else np.tanh(z)
        np.testing.assert_allclose(found.activities[i + 1], h, rtol=2e-5, atol=1e-6)
    chance = expit(h) if family == "logistic" else np.exp(log_softmax(h))
    truth = np.array([y]) if family == "logistic" else np.eye(3)[y]
    np.testing.assert_allclose(found.errors[-1], chance - truth, atol=2e-6)


def test_families_that_nobody_has_written_out_have_no_passes() -> None:
    for family in ("residual", "cnn", "rnn"):
        c = case(family, "regression")
        assert probes.two_passes(c.recipe, c.hyper, _noise(c), c.x[0], c.y[0]) is None


def test_losses_of_rows_and_of_points() -> None:
    c = case("softmax")
    params = _noise(c)
    outputs = c.x @ params["weight"].T + params["bias"]
    expected = -log_softmax(outputs.astype(np.float64), axis=1)[np.arange(len(c.y)), c.y]
    np.testing.assert_allclose(probes.losses_of(c.recipe, c.hyper, params, c.x, c.y), expected, rtol=1e-4)
    outputs, y = np.array([[0.5, -2.0], [3.0, 0.0]]), np.array([1.0, 0.0])
    np.testing.assert_allclose(probes.pointwise_loss("mse")(outputs, y), (outputs - y) ** 2, rtol=1e-6)
    expected = np.log1p(np.exp(outputs)) - y * outputs
    np.testing.assert_allclose(probes.pointwise_loss("binary_cross_entropy")(outputs, y), expected, rtol=1e-5)


def test_the_descent_ends_where_training_ended(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    x = draw.uniform(100, 900, 80)
    dataset = table(tmp_path, {"distance": x}, 0.125 * x + 17.5 + draw.normal(size=80))
    made = deliver(dataset, {"family": "linear", "optimizers": ("sgd",)}, trained=True, learning_rate=0.02)
    path = probes.descent(
        made.predictor.recipe, made.predictor.hyper, made.fold, epochs=[0, 1, 4, EPOCHS], seed=1_000_000
    )
    params = made.predictor.params
    assert path[0].tolist() == [0.0, 0.0]
    np.testing.assert_allclose(path[-1], [params["weight"][0, 0], params["bias"][0]], rtol=1e-6, atol=1e-7)
    assert path.shape == (4, 2)
    assert 0 < path[1, 0] < path[2, 0] < path[3, 0]


def _noise(c: Case) -> dict:  # type: ignore[type-arg]
    """Parameters of the right shapes, drawn without compiling anything."""
    shapes = _shapes(c.recipe, c.hyper)
    return scattered(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes))  # type: ignore[return-value]


def _shapes(recipe: Recipe, hyper: Hyperparameters) -> object:
    return jax.eval_shape(lambda key: MODELS[recipe.family].init(recipe, hyper, key=key), jax.random.key(0))
