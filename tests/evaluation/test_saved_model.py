from __future__ import annotations

import json
import sys
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, softmax

from tests.helpers import stand_ins
from tests.helpers.stand_ins import HYPER, Picked, linear_model, recipe, rows, weights
from workbench.core.errors import DataError, StoreError
from workbench.evaluation import predictor, saved_model
from workbench.nn.models import MODELS
from workbench.nn.recipe import Recipe


@pytest.fixture(autouse=True)
def _plain_preparation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "workbench.data.preprocessing", stand_ins.module())


def logits(table: pd.DataFrame, params: dict[str, np.ndarray]) -> np.ndarray:
    return (
        table[["a", "b", "n"]].to_numpy(np.float64) @ params["weight"].T.astype(np.float64) + params["bias"]
    )


@pytest.mark.parametrize("n", [1, 2, 255, 256, 257, 600])
def test_classes_with_their_probabilities(tmp_path: Path, n: int) -> None:
    folder, _ = linear_model(tmp_path / "model")
    table = rows(n).set_index(np.arange(n) * 10)
    got = saved_model.load(folder).predict(table)
    want = softmax(logits(table, weights()), axis=1)
    assert list(got.columns) == ["prediction", "probability_red", "probability_green", "probability_blue"]
    assert got.index.equals(table.index)
    np.testing.assert_allclose(got.iloc[:, 1:].to_numpy(), want, atol=2e-6)
    assert got["prediction"].tolist() == [("red", "green", "blue")[code] for code in want.argmax(axis=1)]


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("outputs", [1, 2])
def test_two_classes_and_their_threshold(tmp_path: Path, outputs: int, threshold: float) -> None:
    params = weights(outputs)
    folder, table = linear_model(
        tmp_path / "m",
        recipe=recipe("logistic", outputs=outputs),
        params=params,
        classes=[4, 7],
        threshold=threshold,
    )
    got = saved_model.load(folder).predict(table)
    z = logits(table, params)
    want = expit(z[:, 0]) if outputs == 1 else softmax(z, axis=1)[:, 1]
    np.testing.assert_allclose(got["probability_7"], want, atol=2e-6)
    np.testing.assert_allclose(got["probability_4"], 1 - want, atol=2e-6)
    assert got["prediction"].tolist() == [7 if p > threshold else 4 for p in want]


def test_regression_is_in_the_units_of_the_data(tmp_path: Path) -> None:
    params = weights(1)
    folder, table = linear_model(
        tmp_path / "m", recipe=recipe("linear", outputs=1), params=params, task="regression", classes=(),
        shift=np.array([200_000.0], np.float32), scale=np.array([1e5], np.float32),
    )  # fmt: skip
    got = saved_model.load(folder).predict(table)
    np.testing.assert_allclose(got["prediction"], logits(table, params)[:, 0] * 1e5 + 200_000, rtol=1e-5)


def test_several_targets_have_their_names(tmp_path: Path) -> None:
    options = {
        "recipe": recipe("linear", outputs=2),
        "params": weights(2),
        "task": "regression",
        "classes": (),
    }
    folder, table = linear_model(tmp_path / "m", targets=["length", "width"], **options)
    assert list(saved_model.load(folder).predict(table).columns) == ["prediction_length", "prediction_width"]
    folder, table = linear_model(tmp_path / "n", **options)
    assert list(saved_model.load(folder).predict(table).columns) == ["prediction_0", "prediction_1"]


def test_rows_come_in_three_forms(tmp_path: Path) -> None:
    folder, table = linear_model(tmp_path / "model")
    model = saved_model.load(folder)
    want = model.predict(table)
    pd.testing.assert_frame_equal(model.predict(table.to_dict("records")), want)
    pd.testing.assert_frame_equal(model.predict(table[["a", "b", "n"]].to_numpy()), want)
    assert model.predict(table.head(0)).columns.tolist() == want.columns.tolist()
    assert len(model.predict([])) == 0


def test_a_deep_model_comes_back_bit_for_bit(tmp_path: Path) -> None:
    deep = Recipe(
        "mlp", (3,), 3, "cross_entropy", "accuracy", 3, 16, ("relu", "tanh"), ("he_normal",), dropout=True
    )
    hyper = HYPER._replace(
        depth=np.int32(2), width=np.int32(7), activation=np.int32(1), dropout=np.float32(0.5)
    )
    params = MODELS["mlp"].init(deep, hyper, key=jax.random.key(0))
    folder, table = linear_model(tmp_path / "m", recipe=deep, hyper=hyper, params=params)
    model = saved_model.load(folder)
    assert model.recipe == deep
    assert hash(model.recipe) == hash(deep)
    for name, value in hyper._replace(arguments=())._asdict().items():
        assert getattr(model.hyper, name) == value
        assert np.asarray(getattr(model.hyper, name)).dtype == np.asarray(value).dtype
    jax.tree.map(np.testing.assert_array_equal, model.params, params)
    x = table[["a", "b", "n"]].to_numpy(np.float32)
    one_by_one = np.stack([MODELS["mlp"].apply(deep, hyper, params, row) for row in x])
    np.testing.assert_allclose(model.outputs(x), one_by_one, atol=1e-5)


def test_predicting_compiles_once(tmp_path: Path) -> None:
    folder, table = linear_model(tmp_path / "model")
    first, second = saved_model.load(folder), saved_model.load(folder)
    first.predict(table)
    before = predictor._program()._cache_size()
    for n in (1, 3, 300, 1000):
        first.predict(rows(n))
        second.predict(rows(n))
    assert predictor._program()._cache_size() == before


def test_images_keep_their_shape(tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((9, 2, 2, 1))
    params = weights(3, 4)
    folder, _ = linear_model(
        tmp_path / "m",
        recipe=recipe(inputs=(2, 2, 1)),
        params=params,
        preprocessor=Picked([]),
        example=images,
    )
    got = saved_model.load(folder).predict(images)
    want = softmax(images.reshape(9, 4) @ params["weight"].T.astype(np.float64) + params["bias"], axis=1)
    np.testing.assert_allclose(got.iloc[:, 1:].to_numpy(), want, atol=2e-6)


def test_the_files_are_plain(tmp_path: Path) -> None:
    folder, table = linear_model(tmp_path / "model", about={"study": "s"})
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "parameters.npz"]
    described = json.loads((folder / "model.json").read_text())
    assert described["about"] == {"study": "s"}
    assert described["example"]["data"][0][0] == table["a"][0]
    with np.load(folder / "parameters.npz", allow_pickle=False) as archive:
        assert {"params/weight", "params/bias", "shift", "scale"} <= set(archive.files)
    before = [(folder / name).read_bytes() for name in ("model.json", "parameters.npz")]
    linear_model(tmp_path / "model", about={"study": "s"})
    assert [(folder / name).read_bytes() for name in ("model.json", "parameters.npz")] == before


def test_with_the_real_preparation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text, blanks and whole numbers go in as they stand in the user's file, and as JSON would bring them."""
    monkeypatch.undo()
    from workbench.data import preprocessing
    from workbench.data.preprocessing import tables

    table = rows(60)
    columns = [tables.Column(name, "numeric") for name in ("a", "n", "blank")]
    columns.append(tables.Column("word", "category"))
    prepared = preprocessing.fit(table, columns, rare=1)
    x = prepared.transform(table)
    params = weights(3, x.shape[1])
    folder, _ = linear_model(
        tmp_path / "m", recipe=recipe(inputs=x.shape[1:]), params=params, preprocessor=prepared, example=table
    )
    model = saved_model.load(folder)
    got = model.predict(table)
    want = softmax(x.astype(np.float64) @ params["weight"].T.astype(np.float64) + params["bias"], axis=1)
    np.testing.assert_allclose(got.iloc[:, 1:].to_numpy(), want, atol=2e-6)
    pd.testing.assert_frame_equal(
        model.predict(json.loads(table.to_json(orient="records", double_precision=15))), got
    )
    with pytest.raises(DataError, match="word"):
        model.predict(table.drop(columns="word"))


def test_what_cannot_be_loaded_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"holds no model \(model\.json is missing\)"):
        saved_model.load(tmp_path)
    folder, _ = linear_model(tmp_path / "m")
    described = json.loads((folder / "model.json").read_text())

    def change(**fields: object) -> None:
        (folder / "model.json").write_text(json.dumps(described | fields))

    change(format=99)
    with pytest.raises(StoreError, match="format 99 is newer"):
        saved_model.load(folder)
    change(recipe=described["recipe"] | {"family": "mine"})
    with pytest.raises(StoreError, match="'mine'"):
        saved_model.load(folder)
    change(recipe=described["recipe"] | {"surprise": 1})
    with pytest.raises(StoreError, match=r"another version .*surprise"):
        saved_model.load(folder)
    change()
    content = (folder / "parameters.npz").read_bytes()
    (folder / "parameters.npz").write_bytes(content[:100])
    with pytest.raises(StoreError, match="cannot be read"):
        saved_model.load(folder)
    (folder / "parameters.npz").unlink()
    with pytest.raises(StoreError, match=r"parameters\.npz is missing"):
        saved_model.load(folder)
    with pytest.raises(DataError, match="slash"):
        linear_model(tmp_path / "n", params={"a/b": np.zeros(1)})


@pytest.mark.parametrize("taper", [1.0, 0.5])
def test_what_came_later_is_saved_where_it_counts(taper: float, tmp_path: Path) -> None:
    """A plain model has the files that it had; layers that taper off, or are normalized, are read back."""
    options = () if taper == 1.0 else (("norm", "layer"), ("tapers", True))
    made = Recipe("mlp", (3,), 3, "cross_entropy", "accuracy", 2, 8, ("sigmoid",), options=options)
    hyper = HYPER._replace(depth=np.int32(2), width=np.int32(7), taper=np.float32(taper))
    params = MODELS["mlp"].init(made, hyper, key=jax.random.key(0))
    folder, table = linear_model(tmp_path / "m", recipe=made, hyper=hyper, params=params)
    model = saved_model.load(folder)
    assert model.recipe == made
    assert model.hyper.taper == np.float32(taper)
    x = table[["a", "b", "n"]].to_numpy(np.float32)
    one_by_one = np.stack([MODELS["mlp"].apply(made, hyper, params, row) for row in x])
    np.testing.assert_allclose(model.outputs(x), one_by_one, atol=1e-5)
    with np.load(folder / "parameters.npz") as kept:
        assert ("hyper/taper" in kept.files) == (taper < 1.0)
        assert not {"hyper/sigma", "hyper/arguments"} & set(kept.files)
