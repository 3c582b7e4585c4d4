"""Studies whose rows do not count alike, from the file to the delivered model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from sklearn.linear_model import LinearRegression

import workbench as wb
from tests.data.test_weights import table
from workbench.core.errors import DataError, StudyError
from workbench.storage import outcomes

pytestmark = pytest.mark.usefixtures("elsewhere")

#: Of a convex model: what it comes to is known.
LINE: dict[str, Any] = {
    "family": "linear", "loss": "mse", "optimizer": "nesterov", "learning_rate": 0.05, "momentum": 0.9,
    "epochs": 400, "batch_size": "all", "l2": 0.0, "patience": 0, "trials": 1, "seeds": 1,
    "split": {"train": 0.6, "validation": 0.2, "test": 0.2}, "refit": False, "target_transform": "none",
    "scale": "standardize", "numbers": "plain",
}  # fmt: skip


def line(frame: pd.DataFrame, home: Path, **more: Any) -> wb.Study:
    said = {**LINE, "drop": ["kind"], **more}
    return wb.create_study(frame, target="price", name="line", home=home, tell=None, **said)


def test_a_line_is_that_of_weighted_least_squares_and_scores_are_weighted(tmp_path: Path) -> None:
    frame = table(300)
    study = line(frame, tmp_path / "home", weight="w")
    result = wb.run(study, tmp_path / "home")
    outcome = outcomes.load(tmp_path / "home" / "studies" / study.id)
    assert outcome is not None
    assert result["weighted"].startswith("w, ")
    dataset, _ = wb_load(study)
    rows, own = dataset.rows.iloc[dataset.train], dataset.weight[dataset.train]
    x, y = rows[["x", "size"]].to_numpy(), dataset.target[dataset.train][:, 0]
    theirs = LinearRegression().fit(x, y, sample_weight=own)
    asked = frame[["x", "size"]]
    ours = result.model.predict(asked)["prediction"].to_numpy()  # which asks for no weight
    np.testing.assert_allclose(ours, theirs.predict(asked.to_numpy()), atol=2e-3)
    assert np.abs(ours - LinearRegression().fit(x, y).predict(asked.to_numpy())).max() > 0.01
    validated = dataset.rows.iloc[dataset.validation][["x", "size"]]
    rmse = sk.root_mean_squared_error(
        dataset.target[dataset.validation],
        result.model.predict(validated),
        sample_weight=dataset.weight[dataset.validation],
    )
    assert result["best"]["validation"] == pytest.approx(rmse, rel=1e-4)
    tested = frame[~frame["x"].isin(dataset.rows["x"])]
    rmse = sk.root_mean_squared_error(
        tested["price"], result.model.predict(tested), sample_weight=tested["w"]
    )
    assert result["test"]["value"] == pytest.approx(rmse, rel=1e-5)
    assert result["test"]["low"] < rmse < result["test"]["high"]
    report = Path(str(result["report"])).read_text(encoding="utf-8")
    assert "weighted RMSE is" in report
    assert "Every row counts once here; scores weigh them." in report
    mae = sk.mean_absolute_error(tested["price"], result.model.predict(tested), sample_weight=tested["w"])
    assert f"{mae:.4g}" in report


def wb_load(study: wb.Study) -> Any:
    from workbench import data

    return data.load(study.data)


def test_equal_weights_train_the_same_bits_as_none(tmp_path: Path) -> None:
    frame = table(200).assign(w=0.1)
    more = {"family": "mlp", "optimizer": "adam", "epochs": 5, "batch_size": 16, "trials": 3}
    more |= {"learning_rate": wb.axis(1e-3, 1e-2)}
    found = []
    for how in ({"weight": "w"}, {"drop": ["kind", "w"]}):
        home = tmp_path / ("weighed" if "weight" in how else "plain")
        found.append(wb.search(line(frame, home, **more, **how), home))
    assert found[0].trials["value"].tolist() == found[1].trials["value"].tolist()
    np.testing.assert_array_equal(found[0].model.predict(frame), found[1].model.predict(frame))


def test_folds_minibatches_and_a_refit_are_weighed(tmp_path: Path) -> None:
    """Rows that contradict the others, and weigh nothing, change the model as little as if they were away."""
    frame = table(200)
    wrong = frame.assign(price=-5 * frame["x"], size=frame["size"] + 1e-3, w=0.0)
    both = pd.concat([frame, wrong], ignore_index=True)
    more = {"batch_size": 32, "epochs": 60, "folds": 3, "refit": True, "split_seed": 1}
    result = wb.run(line(both, tmp_path / "home", weight="w", **more), tmp_path / "home")
    asked = frame[["x", "size"]]
    slope = np.polyfit(frame["x"], result.model.predict(asked)["prediction"], 1)[0]
    assert slope == pytest.approx(3.0, abs=0.3)
    assert result["best"]["validation"] < 1.5


def test_mistakes_are_sentences(tmp_path: Path) -> None:
    frame = table(200)
    for how, sentence in (
        ({"weight": "price"}, r'weight names the target "price"; take it out of weight'),
        ({"weight": "w", "features": ["x", "w"], "drop": []}, r'features names the weight "w", no feature'),
        ({"weight": "size_"}, r'weight names "size_", which is not a column; did you mean "size"'),
        (
            {"weight": np.ones(3)},
            r"weight is float64 of the shape \(3,\); give one number for each of the 200",
        ),
    ):
        with pytest.raises((DataError, StudyError), match=sentence):
            line(frame, tmp_path / "home", **how)


def test_arrays_of_weights_stand_beside_frames_and_arrays(tmp_path: Path) -> None:
    frame = table(200)
    x, y, w = frame[["x", "size"]], frame["price"], frame["w"]
    one = wb.create_study((x, y), name="a", weight=w, home=tmp_path / "home", tell=None)
    assert one.data.weight == "weight"
    other = wb.create_study(
        (x.to_numpy(), y.to_numpy()), name="b", weight=w.to_numpy(), home=tmp_path / "home", tell=None
    )
    for study in (one, other):
        dataset, _ = wb_load(study)
        assert sorted(dataset.weight)[0] >= w.min()
        assert dataset.input_shape == (2,)
        assert json.dumps(dataset.summary())


def test_estimators_take_sample_weights() -> None:
    frame = table(300)
    wrong = frame.assign(price=-5 * frame["x"])
    both = pd.concat([frame, wrong], ignore_index=True)
    weight = np.repeat([1.0, 1e-6], len(frame))
    settings = {key: LINE[key] for key in ("loss", "momentum", "patience", "numbers", "target_transform")}
    named = {key: LINE[key] for key in ("family", "optimizer", "learning_rate", "epochs", "batch_size", "l2")}
    model = wb.Regressor(**named, trials=1, seeds=1, settings=settings)
    asked = frame[["x", "size"]]
    model.fit(both[["x", "size"]], both["price"], sample_weight=weight)
    assert np.polyfit(frame["x"], model.predict(asked), 1)[0] == pytest.approx(3.0, abs=0.3)
    plain = model.fit(asked, frame["price"]).predict(asked)
    alike = model.fit(asked, frame["price"], sample_weight=np.full(len(frame), 0.3)).predict(asked)
    np.testing.assert_array_equal(plain, alike)
    classifier = wb.Classifier(trials=1, seeds=1, epochs=30, depth=1, width=8, batch_size=32)
    classifier.fit(asked.to_numpy(), frame["kind"], sample_weight=np.where(frame["kind"] == "yes", 1.0, 0.05))
    assert (classifier.predict(asked.to_numpy()) == "yes").mean() > 0.6
    for wrong_weight in (np.ones(3), -np.ones(300), np.full(300, np.nan), np.zeros(300)):
        with pytest.raises(ValueError, match="sample_weight"):
            model.fit(asked, frame["price"], sample_weight=wrong_weight)
