"""Transforms of the target: there and back, in training, in scores, and in the model that is delivered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import root_mean_squared_error
from sklearn.preprocessing import QuantileTransformer, StandardScaler

import workbench as wb
from tests.helpers.problems import mlp
from workbench import data
from workbench.core.errors import DataError, StoreError, StudyError
from workbench.core.target_transform import fit_transform, to_data, to_training, transformed
from workbench.core.types import DataSpec, Examples, Fold
from workbench.evaluation import saved_model
from workbench.training import scoring

STUDY = """\
name = "skewed"

[data]
source = "prices.csv"
target = "price"
target_transform = "{kind}"

[model]
family = "linear"

[optimizer]
name          = "nesterov"
learning_rate = 0.02
momentum      = 0.95

[training]
epochs     = 1500
batch_size = "all"

[search]
trials = 1
seeds  = 1
"""


def fold(y: np.ndarray, kind: str) -> Fold:
    transform = fit_transform(kind, y)
    straight = transformed(y.astype(np.float64), transform)
    shift, scale = straight.mean(axis=0), np.maximum(straight.std(axis=0), 1e-6)
    empty = Examples(np.zeros((0, 1)), np.zeros((0, 1)), np.zeros(0))
    return Fold(empty, empty, shift.astype(np.float32), scale.astype(np.float32), transform)


def skewed(n: int, k: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).lognormal(2.0, 1.0, size=(n, k)).astype(np.float32)


@pytest.mark.parametrize("kind", ["none", "log", "quantile"])
@pytest.mark.parametrize("k", [1, 3])
def test_there_and_back(kind: str, k: int) -> None:
    y = skewed(500, k)
    units = fold(y, kind)
    straight = to_training(y, units)
    np.testing.assert_allclose(to_data(straight, units), y, rtol=2e-4)
    for column in straight.T:
        assert abs(column.mean()) < 0.02
        assert column.std() == pytest.approx(1.0, abs=0.02)
        if kind != "none":
            assert abs(stats.skew(column)) < 0.5 < stats.skew(y[:, 0])


@pytest.mark.parametrize("kind", ["none", "log", "quantile"])
@pytest.mark.parametrize("shape", [(7, 2), (4, 5, 2)])
def test_jax_says_what_numpy_says(kind: str, shape: tuple[int, ...]) -> None:
    units, y = fold(skewed(300, 2), kind), skewed(int(np.prod(shape[:-1])), 2, seed=1).reshape(shape)
    placed = jax.tree.map(jnp.asarray, units)
    targets = jax.jit(lambda y, units: scoring.targets(mlp(metric="rmse"), units, Examples(y, y, y)))
    ours = targets(jnp.asarray(y), placed)
    assert ours.shape == shape
    assert ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, to_training(y, units), rtol=1e-3, atol=1e-4)
    back = jax.jit(lambda z, units: to_data(z, units, jnp))(ours, placed)
    np.testing.assert_allclose(back, to_data(np.asarray(ours), units), rtol=1e-3)


@given(values=st.lists(st.integers(0, 30), min_size=5, max_size=60), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_order_is_kept_and_ties_stay_ties(values: list[int], seed: int) -> None:
    y = np.array(values, np.float32)[:, None]
    for kind in ("log", "quantile"):
        units = fold(y, kind)
        asked = np.sort(np.random.default_rng(seed).uniform(-1 if kind == "quantile" else 0, 40, 50))
        straight = to_training(asked.astype(np.float32)[:, None], units)[:, 0]
        assert (np.diff(straight) >= -1e-5).all()
        assert len(np.unique(to_training(y, units).round(4))) <= len(set(values))
        back = to_data(np.linspace(-50, 50, 20)[:, None], units)
        if kind == "quantile":
            assert y.min() - 1e-4 <= back.min() <= back.max() <= y.max() + 1e-4


def test_quantiles_are_scikit_learns() -> None:
    y = skewed(150)
    theirs = QuantileTransformer(n_quantiles=150, output_distribution="normal").fit(y)
    inside = (y > np.quantile(y, 0.05)) & (y < np.quantile(y, 0.95))
    ours = transformed(y, fit_transform("quantile", y))
    # Theirs puts the i-th of n at i / (n - 1), ours at (i + 1/2) / n, which is finite at both ends.
    np.testing.assert_allclose(ours[inside], theirs.transform(y)[inside], atol=0.04)


# ── in a study ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prices")
    draw = np.random.default_rng(0)
    x = draw.normal(size=(400, 3))
    price = np.exp(3.0 + x @ [0.8, -0.5, 0.2] + 0.3 * draw.normal(size=400))
    table = pd.DataFrame(x, columns=["size", "age", "floor"])
    table["price"] = price.round(3)
    table.to_csv(folder / "prices.csv", index=False)
    return folder


def searched(folder: Path, kind: str) -> tuple[Any, data.Dataset, dict[str, Any], Path]:
    file = folder / f"{kind}.toml"
    file.write_text(STUDY.format(kind=kind))
    study, locations = wb.read_study(file), wb.resolve(str(folder / "home"))
    result = wb.search(study, locations)
    dataset, _ = data.load(study.data)
    model = locations.study(study.id) / "model"
    return wb.load_model(model), dataset, result, model


def test_the_logarithm_is_scikit_learns(prices: Path) -> None:
    model, dataset, result, _ = searched(prices, "log")
    train, validation = dataset.pick(dataset.train), dataset.pick(dataset.validation)
    scaler = StandardScaler().fit(train)
    theirs = TransformedTargetRegressor(LinearRegression(), func=np.log1p, inverse_func=np.expm1)
    theirs.fit(scaler.transform(train), dataset.target[dataset.train].astype(np.float64))
    wanted = theirs.predict(scaler.transform(validation))
    np.testing.assert_allclose(model.predict(validation)["prediction"], wanted[:, 0], rtol=2e-3)
    rmse = root_mean_squared_error(dataset.target[dataset.validation], wanted)
    assert result["best"]["validation"] == pytest.approx(rmse, rel=2e-3)
    *_, plain, _ = searched(prices, "none")
    assert result["best"]["validation"] < 0.8 * plain["best"]["validation"], "prices grow exponentially"


def test_scores_and_predictions_are_in_the_units_of_the_data(prices: Path) -> None:
    model, dataset, result, folder = searched(prices, "quantile")
    rows, y = dataset.pick(dataset.validation), dataset.target[dataset.validation][:, 0]
    predicted = model.predict(rows)["prediction"].to_numpy()
    assert result["best"]["validation"] == pytest.approx(root_mean_squared_error(y, predicted), rel=1e-4)
    highest = dataset.target[dataset.train].max()
    assert model.predict(rows * 100)["prediction"].max() <= highest * (1 + 1e-6)
    program = jax.export.deserialize(bytearray((folder / "program" / "model.stablehlo").read_bytes()))
    x = model.preprocessor.transform(rows).astype(np.float32)
    out = np.asarray(program.call(saved_model.parameters(folder), x))
    np.testing.assert_allclose(out[:, 0], predicted, rtol=1e-4)


@pytest.mark.parametrize("kind", ["none", "log", "quantile"])
def test_targets_that_validate_move_no_transform(prices: Path, kind: str) -> None:
    dataset, _ = data.load(DataSpec("prices.csv", folder=prices, target="price"))
    moved, taught = (dataset.target.copy() for _ in range(2))
    moved[dataset.validation] += 1e4
    taught[dataset.train[:30]] *= 3.0
    before, after, other = (
        data.prepare(replace(dataset, target=y), target_transform=kind)[0]
        for y in (dataset.target, moved, taught)
    )
    for name in ("shift", "scale"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
        assert (getattr(before, name) != getattr(other, name)).any()
    np.testing.assert_array_equal(before.transform.knots, after.transform.knots)


def test_an_older_reader_would_refuse_a_transform(prices: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    *_, folder = searched(prices, "log")
    monkeypatch.setattr(saved_model, "FORMAT", 1)
    with pytest.raises(StoreError, match="format 2 is newer"):
        saved_model.load(folder)


def test_negative_targets_have_no_logarithm(tmp_path: Path) -> None:
    pd.DataFrame({"a": np.arange(50), "b": np.linspace(-2.0, 9.0, 50)}).to_csv(
        tmp_path / "t.csv", index=False
    )
    dataset, _ = data.load(DataSpec("t.csv", folder=tmp_path, target="b"))
    with pytest.raises(DataError, match=r"needs targets of at least 0, but b is -2"):
        data.prepare(dataset, target_transform="log")


def test_classes_have_no_transform(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text('name = "s"\n[data]\nsource = "wine"\ntarget_transform = "log"\n')
    with pytest.raises(StudyError, match=r"\[data\] target_transform = \"log\" is for numbers"):
        wb.search(wb.read_study(file), wb.resolve(str(tmp_path / "home")))
    assert not (tmp_path / "home" / "studies").exists()
