"""Words of the user's own: what is taken, what is told by its name, and what replacing one does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from sklearn.metrics import fbeta_score, median_absolute_error

import workbench as wb
from workbench.core import vocabulary
from workbench.core.errors import InputError
from workbench.nn import activations, losses, metrics, models


@pytest.fixture(autouse=True)
def registries() -> Iterator[None]:
    """What a test registers is forgotten after it."""
    tables: tuple[dict[str, Any], ...] = (
        models.MODELS, vocabulary.FAMILIES, losses.LOSSES, vocabulary.LOSSES, metrics.METRICS,
        vocabulary.METRICS, activations.ACTIVATIONS, vocabulary.FACTORIES,
    )  # fmt: skip
    before, listed = [dict(table) for table in tables], list(vocabulary.ACTIVATIONS)
    yield
    for table, content in zip(tables, before, strict=True):
        table.clear()
        table.update(content)
    vocabulary.ACTIVATIONS[:] = listed


def mish(z: jax.Array) -> jax.Array:
    return z * jnp.tanh(jax.nn.softplus(z))


def init(recipe: Any, hyper: Any, *, key: jax.Array) -> Any:
    return {"weight": jnp.zeros((recipe.outputs, *recipe.inputs)), "bias": jnp.zeros(recipe.outputs)}


def apply(recipe: Any, hyper: Any, params: Any, x: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    return params["weight"] @ x + params["bias"]


def test_an_activation_is_a_word_alone_and_joined() -> None:
    wb.register_activation("my_mish", mish)
    study = wb.create_study(
        {"name": "own", "data": {"source": "wine"}, "model": {"activation": "my_mish-relu"}}, tell=None
    )
    assert study.settings["activation"] == "my_mish-relu"
    z = np.linspace(-5, 5, 11).astype(np.float32)
    got = activations.activate(("my_mish",), jnp.int32(0), jnp.asarray(z))
    np.testing.assert_allclose(got, z * np.tanh(np.log1p(np.exp(z.astype(np.float64)))), rtol=1e-5, atol=1e-6)


def test_metrics_are_those_of_scikit_learn() -> None:
    def medae(outputs: jax.Array, y: jax.Array, weight: jax.Array) -> jax.Array:
        return jnp.nanmedian(jnp.where(weight > 0, jnp.abs(outputs - y)[:, 0], jnp.nan))

    def f2(outputs: jax.Array, y: jax.Array, weight: jax.Array, threshold: jax.Array) -> jax.Array:
        said = metrics.predictions(outputs, threshold).astype(jnp.float32)
        true = y.astype(jnp.float32)
        return 5.0 * jnp.dot(weight, said * true) / (4.0 * jnp.dot(weight, true) + jnp.dot(weight, said))

    wb.register_metric("medae", medae, direction="minimize", task="regression")
    wb.register_metric("f2", f2, direction="maximize", task="binary", decides=True)
    rng = np.random.default_rng(0)
    numbers, y = rng.normal(size=(2, 41, 1)).astype(np.float32)
    ones = np.ones(41, np.float32)
    got = metrics.score("medae", numbers, y, ones)
    assert float(got) == pytest.approx(median_absolute_error(y, numbers), rel=1e-6)
    codes = (y[:, 0] > 0).astype(np.int32)
    for threshold in (0.3, 0.5):
        said = scipy.special.expit(numbers[:, 0].astype(np.float64)) > threshold
        got = metrics.score("f2", numbers, codes, ones, threshold)
        assert float(got) == pytest.approx(fbeta_score(codes, said, beta=2), rel=1e-6)


@pytest.mark.parametrize(
    ("register", "said"),
    [
        (lambda: wb.register_activation("relu", mish), "activation 'relu' is known already.*replace=True"),
        (lambda: wb.register_activation("my-act", mish), "'-' joins the activations.*'my_act'"),
        (lambda: wb.register_activation("mine", 3), "activation 'mine': 3 cannot be called"),  # type: ignore[arg-type]
        (lambda: wb.register_activation("mine", jnp.sum), r"'mine': gives float32 \[\] for z \[4\]"),
        (lambda: wb.register_activation("mine", jnp.exp), "'mine': its value at z = 10000 is not finite"),
        (
            lambda: wb.register_activation("mine", lambda z: jnp.where(z > 0, jnp.sqrt(z), 0.0)),
            "'mine': its slope at z = .* is not finite",
        ),
        (lambda: wb.register_activation("mine", lambda z: z @ z.T @ 1), "'mine': fails for z"),
        (
            lambda: wb.register_metric(
                "mse", metrics.METRICS["mse"], direction="minimize", task="regression"
            ),
            "metric 'mse' is known already",
        ),
        (
            lambda: wb.register_metric("m", lambda z, y, w: z - y, direction="minimize", task="regression"),
            r"'m': gives float32 \[5, 1\] for \(outputs \[5, 1\]",
        ),
        (
            lambda: wb.register_metric("m", lambda z, y: z.sum(), direction="minimize", task="regression"),
            "'m': fails for .*takes 2 positional arguments but 3 were given",
        ),
        (
            lambda: wb.register_metric("m", jnp.sum, direction="up", task="regression"),  # type: ignore[arg-type]
            "direction is 'up'; it must be 'maximize' or 'minimize'",
        ),
        (lambda: wb.register_metric("m", jnp.sum, direction="minimize", task="ranking"), "task is 'ranking'"),
        (
            lambda: wb.register_loss("l", lambda z, y, s: jnp.abs(z - y), tasks=("regression",)),
            r"loss 'l': gives float32 \[2\] for .*reduce over the outputs",
        ),
        (
            lambda: wb.register_loss("l", lambda z, y, s: z[y], ("classification",), "max"),  # type: ignore[arg-type]
            "reduction is 'max'",
        ),
        (lambda: wb.register_model("m", apply), "is no model; give wb.Model"),  # type: ignore[arg-type]
        (lambda: wb.register_model("m", wb.Model(init, 3)), "3 cannot be called"),  # type: ignore[arg-type]
        (lambda: wb.register_model("mlp", wb.Model(init, apply)), "model 'mlp' is known already"),
        (
            lambda: wb.register_model("m", wb.Model(lambda recipe, key: {}, apply)),
            r"'m': its init takes \(recipe, key\); it must take \(recipe, hyper, \*, key\)",
        ),
        (
            lambda: wb.register_model("m", wb.Model(init, lambda r, h, params, x, *, key=None: x)),
            r"'m': its apply gives float32 \[6\] for one example of shape \[6\] where recipe.outputs is 2",
        ),
        (lambda: wb.register_model("", wb.Model(init, apply)), "its name must be text"),
    ],
)
def test_what_is_no_word_is_told_by_name(register: Any, said: str) -> None:
    before = dict(vocabulary.FAMILIES), dict(vocabulary.METRICS), list(vocabulary.ACTIVATIONS)
    with pytest.raises(InputError, match=said):
        register()
    assert before == (vocabulary.FAMILIES, vocabulary.METRICS, vocabulary.ACTIVATIONS)


def test_a_model_for_examples_of_one_shape_is_taken() -> None:
    def of_64(recipe: Any, hyper: Any, *, key: jax.Array) -> Any:
        return {"weight": jnp.zeros((recipe.outputs, 64))}

    wb.register_model("of_64", wb.Model(of_64, lambda r, h, params, x, *, key=None: params["weight"] @ x))
    assert "of_64" in vocabulary.FAMILIES


def test_what_replaces_a_word_is_what_trains(tmp_path: Any) -> None:
    """Compiled programs know a word by its name."""

    def shifted(by: float) -> wb.Model:
        def init(recipe: Any, hyper: Any, *, key: jax.Array) -> Any:
            return {"bias": jnp.full(recipe.outputs, by)}

        return wb.Model(init, lambda recipe, hyper, params, x, *, key=None: params["bias"])

    study = wb.create_study(
        {"name": "own", "data": {"source": "diabetes"}, "optimizer": {"name": "sgd", "learning_rate": 1e-9},
         "training": {"epochs": 1}}, home=tmp_path, tell=None,
    )  # fmt: skip
    for _ in range(2):
        wb.register_model("constant", shifted(0.0), replace=True)
        near = wb.train(wb.vary(study, family="constant"), seeds=1).validation_loss
        wb.register_model("constant", shifted(3.0), replace=True)
        far = wb.train(wb.vary(study, family="constant"), seeds=1).validation_loss
        assert (far > near + 5.0).all()
    assert vocabulary.ACTIVATIONS.count("relu") == 1
    wb.register_activation("relu", jax.nn.relu, replace=True)
    assert vocabulary.ACTIVATIONS.count("relu") == 1
