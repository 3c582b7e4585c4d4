"""An ONNX file says of raw rows what the model says, in a runtime that knows nothing of this package."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.datasets import load_wine

from tests.helpers.end_to_end import Place, Ran
from tests.helpers.families import case, scattered
from workbench.core.errors import InputError
from workbench.core.target_transform import AS_IT_IS, fit_transform
from workbench.core.types import Array
from workbench.data import preprocessing
from workbench.data.preprocessing.features import PLAIN, Encoding
from workbench.data.preprocessing.kinds import infer
from workbench.data.preprocessing.tables import Column
from workbench.evaluation import onnx, saved_model
from workbench.evaluation.predictor import Predictor, decisions, probabilities
from workbench.nn.models import MODELS

pytestmark = pytest.mark.filterwarnings("ignore")  # of packages that are not ours
ROWS = 300


def frame(seed: int = 0, rows: int = ROWS) -> pd.DataFrame:
    """A table of every kind of column, with blanks in each."""
    draw = np.random.default_rng(seed)
    blank = draw.random((4, rows)) < 0.1
    moments = pd.Timestamp("1962-02-27") + pd.to_timedelta(draw.integers(0, 30_000 * 24, rows), "h")
    return pd.DataFrame(
        {
            "size": np.where(blank[0], np.nan, draw.lognormal(3.0, 1.0, rows)),
            "rooms": draw.integers(1, 9, rows).astype(np.float64),
            "sold": pd.Series(moments).where(~blank[1]),
            "city": pd.Series(
                draw.choice(["Bern", "Chur", "Genève", "Uri"], rows, p=[0.5, 0.3, 0.18, 0.02])
            ).where(~blank[2]),
            "new": pd.Series(draw.choice([True, False], rows)).where(~blank[3]),
        }
    )


def model(
    family: str, preprocessor: preprocessing.Preprocessor, task: str | None = None, **changes: Any
) -> Predictor:
    """Of random parameters, for what the preprocessor makes."""
    made = case(family, task, **changes)
    shapes = jax.eval_shape(lambda: MODELS[family].init(made.recipe, made.hyper, key=jax.random.key(0)))
    params = scattered(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes))
    k = made.recipe.outputs
    numbers = made.recipe.loss == "mse"
    return Predictor(
        recipe=made.recipe, hyper=made.hyper, params=params, preprocessor=preprocessor,
        task="regression" if numbers else task if task == "multilabel" else "classification",
        classes=() if numbers or task == "multilabel" else tuple(f"kind {j}" for j in range(max(2, k))),
        threshold=0.4,
        shift=np.arange(k) + 2.0, scale=np.arange(k) + 0.5, columns=(),
    )  # fmt: skip


def columns_of(rows: pd.DataFrame) -> tuple[Column, ...]:
    return infer(pa.Table.from_pandas(rows), "rows")[0]


def in_runtime(path: Path, rows: pd.DataFrame | Array) -> dict[str, Array]:
    """The outputs of a file, by their names."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, fed(rows)), strict=True))


def fed(rows: pd.DataFrame | Array) -> dict[str, Array]:
    """Rows as the file takes them."""
    if not isinstance(rows, pd.DataFrame):
        return {"x": rows.astype(np.float64)}
    found: dict[str, Any] = {}
    for name, column in rows.items():
        if column.dtype.kind == "M":
            values = column.to_numpy().astype("datetime64[us]").astype(np.int64)
        elif name == "city":
            values = column.fillna("").to_numpy(object)
        else:
            values = column.astype(np.float64).to_numpy()
        found[str(name)] = values[:, None]
    return found


def assert_same(model: Predictor, rows: pd.DataFrame | Array, path: Path, rtol: float = 1e-5) -> None:
    found = in_runtime(path, rows)
    outputs = model.raw_estimates(rows)
    if model.task == "regression":
        np.testing.assert_allclose(found["prediction"], outputs, rtol=rtol, atol=rtol)
        return
    if model.task == "multilabel":
        chances = 1 / (1 + np.exp(-outputs.astype(np.float64)))
        np.testing.assert_allclose(found["probabilities"], chances, atol=rtol)
        np.testing.assert_array_equal(found["prediction"], chances > model.threshold)
        return
    k = outputs.shape[-1]
    said = [model.classes[code] for code in decisions(outputs.reshape(-1, k), model.threshold)]
    assert found["prediction"].ravel().tolist() == said
    expected = probabilities(outputs.reshape(-1, k))
    np.testing.assert_allclose(found["probabilities"].reshape(expected.shape), expected, atol=rtol)


@pytest.fixture(autouse=True)
def packages() -> None:
    for name in ("jax2onnx", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name} is not installed: no ONNX file can be made and run")


@pytest.mark.parametrize(
    ("scale", "kind", "degree"),
    [
        ("none", "plain", 3),
        ("standardize", "piecewise", 1),
        ("minmax", "plain", 2),
        ("robust", "piecewise", 1),
        ("quantile", "plain", 1),
    ],
)
def test_columns_become_the_same_features(scale: str, kind: str, degree: int, tmp_path: Path) -> None:
    rows = frame()
    encoding = Encoding(kind, 8) if kind != "plain" else PLAIN
    columns = columns_of(rows)
    fitted = preprocessing.fit(rows, columns, scale, degree=degree, encoding=encoding)
    assert {column.kind for column in columns} == {"numeric", "date", "category", "boolean"}
    made = model("linear", fitted, inputs=(len(fitted.feature_names),))
    onnx.export(made, tmp_path / "model.onnx")
    others = frame(1)
    others.loc[0, ["size", "rooms"]] = [1e9, -5.0]
    others.loc[1, ["size", "rooms"]] = [np.inf, 0.0]
    others.loc[2, "city"] = "Zug"
    others.loc[3, "sold"] = pd.Timestamp("1899-12-31 23:59:59.999999")
    assert_same(made, others, tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("family", "task"),
    [
        ("mlp", "classification"),
        ("mlp", "binary"),
        ("mlp", "multilabel"),
        ("cnn", "classification"),
        *(
            pytest.param(family, None, marks=pytest.mark.slow)
            for family in (
                "softmax",
                "perceptron",
                "residual",
                "highway",
                "tabm",
                "tabm_mini",
                "rnn",
                "lstm",
                "gru",
            )
        ),
    ],
)
def test_families(family: str, task: str | None, tmp_path: Path) -> None:
    x = np.random.default_rng(5).normal(size=(17, *case(family, task).recipe.inputs))
    made = model(family, preprocessing.fit(x, scale="quantile" if family == "lstm" else "standardize"), task)
    onnx.export(replace(made, temperature=1.7), tmp_path / "model.onnx")
    assert_same(replace(made, temperature=1.7), x, tmp_path / "model.onnx")


@pytest.mark.parametrize("kind", ["log", "quantile"])
def test_targets_in_their_own_units(kind: str, tmp_path: Path) -> None:
    x = np.random.default_rng(5).normal(size=(40, 12))
    y = np.exp(np.random.default_rng(6).normal(size=(100, 2)))
    made = replace(model("mlp", preprocessing.fit(x), "regression"), transform=fit_transform(kind, y))
    made = replace(made, shift=np.zeros(2), scale=np.ones(2) / 4)
    onnx.export(made, tmp_path / "model.onnx")
    assert_same(made, x, tmp_path / "model.onnx")
    assert made.transform != AS_IT_IS


@pytest.mark.parametrize("said", [{"output": "each"}, {"ensemble": 4}], ids=str)
def test_sequences_with_steps_that_are_not_there(said: dict[str, Any], tmp_path: Path) -> None:
    x = np.random.default_rng(5).normal(size=(17, 6, 3))
    for row, length in enumerate(np.random.default_rng(6).integers(1, 7, 17)):
        x[row, length:] = np.nan
    fitted = preprocessing.fit(x)
    assert fitted.padded
    made = model("gru", fitted, "classification", masked=True, **said)
    onnx.export(made, tmp_path / "model.onnx")
    assert_same(made, x, tmp_path / "model.onnx")


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = model("linear", preprocessing.fit(np.zeros((3, 12))))
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(InputError, match=r"needs the package jax2onnx; pip install 'workbench\[onnx\]'"):
        onnx.export(made, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_column_with_the_name_of_an_output_is_refused(tmp_path: Path) -> None:
    rows = frame().rename(columns={"size": "prediction"})
    fitted = preprocessing.fit(rows, columns_of(rows))
    made = model("linear", fitted, inputs=(len(fitted.feature_names),))
    with pytest.raises(InputError, match="the column prediction has the name of an output"):
        onnx.export(made, tmp_path / "model.onnx")


def test_the_command_writes_the_chosen_model(finished: tuple[Place, Ran], tmp_path: Path) -> None:
    where, _ = finished
    path = tmp_path / "model.onnx"
    ran = where.run("-o", str(path), command="export")
    assert ran.status == 0, ran.err
    rows = load_wine(as_frame=True).data
    found = in_runtime(path, rows)
    expected = saved_model.load(where.folder / "model").predict(rows)
    assert found["prediction"].tolist() == expected["prediction"].tolist()
    np.testing.assert_allclose(found["probabilities"], expected.iloc[:, 1:], atol=1e-5)
