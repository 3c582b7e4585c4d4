"""Preprocessing: against scikit-learn, fitted on training rows alone, and exactly the same after JSON."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    PolynomialFeatures,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from workbench.core import vocabulary
from workbench.core.errors import DataError
from workbench.core.types import DataSpec
from workbench.data import Preprocessor, load, prepare
from workbench.data.preprocessing import fit
from workbench.data.preprocessing.kinds import infer
from workbench.data.preprocessing.tables import Column

SCALERS: dict[str, Any] = {
    "none": lambda: "passthrough",
    "standardize": StandardScaler,
    "minmax": MinMaxScaler,
    "quantile": lambda: QuantileTransformer(output_distribution="normal", n_quantiles=1000, subsample=None),
    "robust": lambda: make_pipeline(
        RobustScaler(), FunctionTransformer(lambda z: z / np.sqrt(1 + (z / 3) ** 2))
    ),
}


def numeric(n: int) -> tuple[Column, ...]:
    return tuple(Column(f"n{j}", "numeric", "plain") for j in range(n))


def skewed(rng: np.random.Generator, n: int, f: int) -> np.ndarray:
    return np.exp(rng.normal(size=(n, f))) * 10.0 ** rng.integers(-3, 6, f) + rng.normal(size=f)


def same(a: Preprocessor, b: Preprocessor) -> bool:
    return json.dumps(a.to_json(), allow_nan=False) == json.dumps(b.to_json(), allow_nan=False)


def test_every_scale_has_an_oracle() -> None:
    assert set(SCALERS) == set(vocabulary.SCALES)


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("scale", SCALERS)
def test_numbers_against_scikit_learn(scale: str, degree: int) -> None:
    rng = np.random.default_rng(degree)
    train, new = skewed(rng, 1500, 4), skewed(rng, 300, 4) * 1.5
    for x in (train, new):
        x[rng.random(x.shape) < 0.1] = np.nan
    steps = [
        SimpleImputer(strategy="median"),
        PolynomialFeatures(degree, include_bias=False),
        SCALERS[scale](),
    ]
    oracle = make_pipeline(*steps).fit(train)
    names = [column.name for column in numeric(4)]
    table = fit(pd.DataFrame(train, columns=names), numeric(4), scale, degree=degree)
    array = fit(train, scale=scale, degree=degree)
    for x in (train, new):
        expected = oracle.transform(x)
        got = table.transform(pd.DataFrame(x, columns=names))
        n = expected.shape[1]
        np.testing.assert_allclose(got[:, :n], expected, rtol=2e-5, atol=2e-5)
        np.testing.assert_array_equal(got[:, n:], np.isnan(x))
        np.testing.assert_array_equal(array.transform(x), got)
    polynomial = steps[1].get_feature_names_out(names)
    assert table.feature_names == (*polynomial, *(f"{name} blank" for name in names))
    assert table.n_numbers == len(polynomial)


@pytest.mark.parametrize("scale", ["standardize", "minmax", "quantile", "robust"])
def test_constant_features_do_no_harm(scale: str) -> None:
    x = np.stack([np.full(50, 7.0), np.full(50, 1e200), np.arange(50.0), np.full(50, 0.1) + 0.2], axis=1)
    out = fit(x, scale=scale).transform(x)
    assert np.isfinite(out).all()
    assert (out[:, [0, 1, 3]] == 0).all()
    assert np.ptp(out[:, 2]) > 0


def test_robust_numbers_that_are_mostly_alike() -> None:
    """Without an interquartile range, half of the range stands for it; all lies within three."""
    x = np.zeros((40, 2))
    x[:4, 0], x[:2, 1] = [-1.0, 3.0, 3.0, 1.0], [1e6, 2e6]
    fitted = fit(x, scale="robust")
    z = x / [2.0, 1e6]
    np.testing.assert_allclose(fitted.transform(x), z / np.sqrt(1 + (z / 3) ** 2), rtol=1e-6)
    assert np.abs(fitted.transform(x * 1e90)).max() == 3.0


@pytest.mark.parametrize("scale", vocabulary.SCALES)
def test_extreme_numbers_stay_finite(scale: str) -> None:
    x = np.array([[1e308, 1e-300, -1e308], [-1e308, 0.0, 1.0], [0.0, 1e-310, 2.0], [5.0, 1.0, 3.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = fit(x, scale=scale, degree=3).transform(np.concatenate([x, -x]))
    assert np.isfinite(out).all()


def test_labels_against_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels = np.array(["a", "b", "c", "rare", "rarer"], dtype=object)
    train = rng.choice(labels, 2000, p=[0.5, 0.3, 0.195, 0.003, 0.002])
    new = np.array(["a", "rare", "unseen", "c"], dtype=object)
    oracle = OneHotEncoder(min_frequency=10, handle_unknown="infrequent_if_exist", sparse_output=False)
    expected = oracle.fit(train[:, None]).transform(new[:, None])
    fitted = fit(pd.DataFrame({"c": train}), (Column("c", "category"),))
    np.testing.assert_array_equal(fitted.transform(pd.DataFrame({"c": new})), expected)
    assert fitted.feature_names == ("c=a", "c=b", "c=c", "c other")
    common = fit(pd.DataFrame({"c": ["a", "b", "a"]}), (Column("c", "category"),))
    assert common.transform(pd.DataFrame({"c": ["unseen", None, "b"]})).tolist() == [[0, 0], [0, 0], [0, 1]]


def test_a_prediction_does_not_wait_for_scikit_learn() -> None:
    program = """
import sys
import numpy as np
import pandas as pd
from workbench.data.preprocessing import Preprocessor, fit
from workbench.data.preprocessing.tables import Column
frame = pd.DataFrame({"n": [1.0, None, 3.0, 5.0], "c": ["a", "b", "a", None]})
for scale in ("standardize", "minmax", "quantile", "robust"):
    fitted = fit(frame, (Column("n", "numeric", "plain"), Column("c", "category")), scale, degree=2, rare=2)
    assert np.isfinite(Preprocessor.from_json(fitted.to_json()).transform(frame)).all()
print("sklearn" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_whole_table_against_a_column_transformer() -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "city": rng.choice(["x", "y", "z"], 400),
            "size": rng.normal(size=400),
            "ok": rng.choice([True, False], 400),
            "age": rng.integers(0, 90, 400),
        }
    )
    columns, _ = infer(pa.Table.from_pandas(frame), "t")
    oracle = ColumnTransformer(
        [
            ("n", StandardScaler(), ["size", "age"]),
            ("b", "passthrough", ["ok"]),
            ("c", OneHotEncoder(sparse_output=False), ["city"]),
        ]
    )
    fitted = fit(frame, columns)
    np.testing.assert_allclose(fitted.transform(frame), oracle.fit_transform(frame).astype(float), atol=1e-6)
    assert fitted.feature_names == ("size", "age", "ok", "city=x", "city=y", "city=z")
    assert fitted.n_numbers == 2


def test_dates() -> None:
    dates = pd.date_range("2023-12-25 06:00", periods=60, freq="31h")
    fitted = fit(pd.DataFrame({"d": dates}), (Column("d", "date", "ISO8601"),), "none")
    assert fitted.feature_names == ("d days", "d month", "d weekday", "d hour")
    assert fitted.n_numbers == 4
    out = fitted.transform(pd.DataFrame({"d": ["2024-02-29T12:00:00", None]}))
    days = (pd.Timestamp("2024-02-29 12:00") - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
    assert out[0].tolist() == [days, 2, 3, 12]
    assert np.isfinite(out).all()
    midnight = fit(pd.DataFrame({"d": dates.normalize()}), (Column("d", "date", "ISO8601"),))
    assert midnight.feature_names == ("d days", "d month", "d weekday")


@pytest.mark.parametrize("scale", SCALERS)
def test_images_have_one_statistic_per_channel(scale: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (50, 6, 5, 3)).astype(np.uint8)
    fitted = fit(x, scale=scale)
    flat = x.reshape(-1, 3).astype(float)
    expected = flat if scale == "none" else SCALERS[scale]().fit(flat).transform(flat)
    np.testing.assert_allclose(fitted.transform(x).reshape(-1, 3), expected, rtol=1e-5, atol=1e-5)
    assert fitted.transform(x).dtype == np.float32
    if scale == "minmax":
        assert (fitted.transform(x).min(), fitted.transform(x).max()) == (0, 1)


def test_padding_counts_in_no_statistic() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(3.0, 2.0, (40, 7, 2))
    lengths = rng.integers(2, 8, 40)
    there = np.arange(7) < lengths[:, None]
    x[~there] = np.nan
    x[0, 0, 1] = np.nan  # a blank in a step that is there
    out = fit(x).transform(x)
    oracle = StandardScaler().fit(np.where(np.isnan(x[there]), np.nanmean(x[there], axis=0), x[there]))
    np.testing.assert_allclose(out[..., :2][there][1:], oracle.transform(x[there])[1:], atol=1e-5)
    assert (out[~there] == 0).all()
    np.testing.assert_array_equal(out[..., 2], there)
    assert abs(out[0, 0, 1]) < 1e-6


NAMES = ("n", "d", "b", "c")


def messy(rng: np.random.Generator, n: int) -> pa.Table:
    def blanks(values: Any) -> list[str]:
        return [" ?" if rng.random() < 0.1 else str(v) for v in values]

    return pa.table(
        {
            "n": blanks(rng.normal(size=n)),
            "d": blanks(np.datetime64("2024-01-01") + rng.integers(0, 900, n)),
            "b": blanks(rng.choice(["yes", "no"], n)),
            "c": blanks(rng.choice(["u", "v", "w"], n)),
        }
    )


@pytest.mark.parametrize("scale", vocabulary.SCALES)
def test_json_is_exact(scale: str) -> None:
    table = messy(np.random.default_rng(0), 200)
    columns, _ = infer(table, "t")
    for rows, known in ((table, columns), (np.random.default_rng(1).random((30, 4, 4, 2)), ())):
        fitted = fit(rows, known, scale, degree=2 if known else 1)
        text = json.dumps(fitted.to_json(), allow_nan=False)
        again = Preprocessor.from_json(json.loads(text))
        assert np.array_equal(fitted.transform(rows), again.transform(rows))
        assert again.feature_names == fitted.feature_names
        assert json.dumps(again.to_json()) == text
        assert len(fitted.feature_names) == fitted.transform(rows).shape[-1]


def test_rows_alone_and_together(tmp_path: Path) -> None:
    """Features do not depend on a row's neighbors, the order of columns or how pandas read the file."""
    table = messy(np.random.default_rng(0), 100)
    columns, _ = infer(table, "t")
    fitted = fit(table, columns, "quantile")
    whole = fitted.transform(table)
    alone = np.concatenate([fitted.transform(table.slice(i, 1)) for i in range(100)])
    assert np.array_equal(whole, alone)
    table.to_pandas().to_csv(tmp_path / "t.csv", index=False)
    read = pd.read_csv(tmp_path / "t.csv", skipinitialspace=True, na_values="?")[list(reversed(NAMES))]
    assert np.array_equal(fitted.transform(read.assign(more=1)), whole)


SOURCE = "n,c,y\n" + "".join(f"{(i * 37) % 101 - 50},{'uvw'[i % 3]},{i % 2}\n" for i in range(120))


@settings(max_examples=40, deadline=None)
@given(
    scale=st.sampled_from(vocabulary.SCALES),
    degree=st.integers(1, 2),
    row=st.integers(0, 1000),
    number=st.one_of(st.none(), st.floats(-1e9, 1e9)),
    label=st.sampled_from(["u", "w", "unseen", "?"]),
)
def test_validation_rows_move_no_statistic(
    tmp_path_factory: pytest.TempPathFactory,
    scale: str,
    degree: int,
    row: int,
    number: float | None,
    label: str,
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "moved.csv").write_text(SOURCE)
    dataset, _ = load(DataSpec(source="moved.csv", folder=folder, target="y"))
    fold, fitted = prepare(dataset, scale=scale, degree=degree)
    assert isinstance(dataset.rows, pd.DataFrame)
    moved = dataset.rows.astype({"c": object})
    victim = dataset.validation[row % len(dataset.validation)]
    moved.iloc[victim, 0] = np.nan if number is None else number
    moved.iloc[victim, 1] = label
    changed = dataclasses.replace(dataset, rows=moved)
    after, refitted = prepare(changed, scale=scale, degree=degree)
    assert same(fitted, refitted)
    assert np.array_equal(fold.train.x, after.train.x)


def test_folds() -> None:
    dataset, _ = load(DataSpec(source="diabetes"))
    fold, _ = prepare(dataset)
    y = dataset.target[dataset.train].astype(float)
    np.testing.assert_allclose(fold.shift, y.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(fold.scale, y.std(axis=0), rtol=1e-6)
    assert fold.train.y.dtype == np.float32
    assert fold.train.y.shape == (265, 1)
    np.testing.assert_allclose(fold.train.x.mean(axis=0), 0, atol=1e-5)
    cancer, _ = load(DataSpec(source="breast_cancer"))
    fold, _ = prepare(cancer, class_weight="balanced")
    from sklearn.utils.class_weight import compute_sample_weight

    np.testing.assert_allclose(fold.train.weight, compute_sample_weight("balanced", fold.train.y), rtol=1e-6)
    assert (fold.validation.weight == 1).all()
    assert fold.train.y.dtype == np.int32


def test_sentences() -> None:
    fitted = fit(np.random.default_rng(0).random((9, 3)))
    with pytest.raises(DataError, match=r"have the shape \(9, 2\) of float64, but .* \[N, 3\]"):
        fitted.transform(np.zeros((9, 2)))
    with pytest.raises(DataError, match=r"degree = 5 makes 96,560,645 features of 100, more than 20,000"):
        fit(np.zeros((9, 100)), degree=5)
    with pytest.raises(DataError, match="degree = 2 is for rows of numbers"):
        fit(np.zeros((9, 4, 4, 1)), degree=2)
    table = fit(pd.DataFrame({"age": [1.0, 2.0]}), (Column("age", "numeric"),))
    with pytest.raises(DataError, match='lacks the column "age"; did you mean "Age"'):
        table.transform(pd.DataFrame({"Age": [1]}))
    with pytest.raises(DataError, match='column "age" holds "old" in row 2, not a number'):
        table.transform(pd.DataFrame({"age": [1, "old"]}))
    assert table.transform(pd.DataFrame({"age": []})).shape == (0, 1)
