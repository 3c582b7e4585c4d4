"""Estimators as scikit-learn uses them; its own checks are the oracle."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.feature_selection import SelectKBest
from sklearn.model_selection import GridSearchCV, StratifiedShuffleSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import workbench as wb
from tests.study.test_created import people
from workbench.core.errors import StudyError
from workbench.storage import ledger
from workbench.study import estimators, results

#: One net that suits twenty rows and two hundred.
SMALL: dict[str, Any] = {
    "trials": 2, "epochs": 60, "seeds": 1, "depth": 1, "width": 16, "activation": "relu", "dropout": 0.0,
    "learning_rate": 0.02, "l2": 0.0,
}  # fmt: skip
_COPIES = "a row of weight 2 is divided and put into minibatches as one row, and two copies of it as two"
#: Checks of scikit-learn that need not pass, with the reason.
EXCEPTIONS: dict[str, str] = {
    "check_sample_weight_equivalence_on_dense_data": _COPIES,
}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow  # a hundred fits
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [wb.Classifier(**SMALL), wb.Regressor(**SMALL)], expected_failed_checks=lambda estimator: EXCEPTIONS
)
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize(
    "names",
    [["setosa", "versicolor", "virginica"], [10, -3, 7], [7.0, 1.0, 2.0]],
    ids=["text", "int", "float"],
)
def test_labels_come_back_as_they_were_given(names: list[Any], empty_folder: Path) -> None:
    x, codes = load_iris(return_X_y=True)
    y = np.array(names)[codes]
    model = wb.Classifier(**SMALL).fit(x, y)
    np.testing.assert_array_equal(model.classes_, np.unique(y))
    said, shares = model.predict(x), model.predict_proba(x)
    assert said.dtype == y.dtype
    np.testing.assert_array_equal(said, model.classes_[shares.argmax(axis=1)])
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, atol=1e-6)
    assert model.score(x, y) > 0.9
    assert not list(empty_folder.iterdir())  # without a home nothing is kept


def test_truth_values_and_categories_are_labels() -> None:
    frame = people(200)
    leaves = wb.Classifier(**SMALL).fit(frame.drop(columns="churned"), frame["churned"] == "yes")
    assert set(leaves.predict(frame.drop(columns="churned"))) == {False, True}
    plan = pd.Categorical(frame["churned"])
    model = wb.Classifier(**SMALL).fit(frame.drop(columns="churned"), plan)
    assert set(model.predict(frame.drop(columns="churned"))) == {"no", "yes"}
    assert list(model.feature_names_in_) == ["age", "plan", "vip", "calls"]
    blank = frame.drop(columns="churned").astype({"plan": object})
    blank.iloc[0, 0], blank.iloc[1, 1] = np.nan, None
    assert len(model.predict(blank)) == 200
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame.drop(columns="churned")[["plan", "age", "vip", "calls"]])


def test_they_are_cloned_searched_over_and_put_into_pipelines() -> None:
    x, y = load_iris(return_X_y=True)
    model = wb.Classifier(**SMALL, settings={"class_weight": "balanced"})
    assert clone(model).get_params() == model.get_params()
    pipeline = make_pipeline(StandardScaler(), SelectKBest(k=2), model)
    once = StratifiedShuffleSplit(1, test_size=0.4, random_state=0)  # each fit is a study
    assert cross_val_score(pipeline, x, y, cv=once).mean() > 0.85
    grid = GridSearchCV(clone(model).set_params(epochs=2), {"width": [4, 8]}, cv=once).fit(x, y)
    assert grid.best_params_["width"] in (4, 8)


def test_axes_are_searched_and_the_fitted_one_is_pickled() -> None:
    x, _ = load_iris(return_X_y=True)
    model = wb.Regressor(**{**SMALL, "depth": wb.axis(1, 2), "trials": 3}).fit(x[:, :3], x[:, 3])
    assert "depth" in model.best_params_
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(x[:5, :3]), model.predict(x[:5, :3]))
    assert model.score(x[:, :3], x[:, 3]) > 0.8
    same = clone(model).fit(x[:, :3], x[:, 3])
    np.testing.assert_array_equal(same.predict(x[:, :3]), model.predict(x[:, :3]))
    other = clone(model).set_params(random_state=1).fit(x[:, :3], x[:, 3])
    assert (other.predict(x[:, :3]) != model.predict(x[:, :3])).any()


def test_a_home_keeps_the_study_and_no_test_set_is_opened(tmp_path: Path) -> None:
    x, y = load_iris(return_X_y=True)
    home = tmp_path / "home"
    model = wb.Classifier(**SMALL, home=home, settings={"name": "iris"}).fit(x, y)
    assert model.result_["status"] == "searched"
    assert (home / "created" / "iris" / "study.toml").exists()
    assert not list(ledger.openings(results.ledger_of(wb.resolve(home=str(home)))))
    assert set(model.predict(x[:3])) <= {0, 1, 2}
    with pytest.raises(StudyError, match="leaves no test rows"):
        wb.run("iris", home)
    assert wb.search("iris", home) == model.result_


def test_mistakes_are_value_errors_without_a_file_nobody_wrote() -> None:
    x, y = load_iris(return_X_y=True)
    for said, sentence in (
        ({"depth": 0}, r"^\[model\] depth = 0 .*must be"),
        ({"optimizer": "adm"}, r'^\[optimizer\] name = "adm".*did you mean "adam'),
        ({"settings": {"depht": 2}}, "^depht is no setting.*did you mean depth"),
        ({"batch_size": 4096}, "is more than the 120 training rows of the data"),
        ({"metric": "rmse"}, r'metric = "rmse" is for regression'),
    ):
        with pytest.raises(ValueError, match=sentence):
            wb.Classifier(**{**SMALL, **said}).fit(x, y)
    with pytest.raises(ValueError, match="y has one class, a;"):
        wb.Classifier(**SMALL).fit(x, np.full(len(x), "a"))


def test_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of a fit without a home, what was compiled stays until the process ends, and no row."""
    room = tempfile.TemporaryDirectory(dir=tmp_path)
    monkeypatch.setattr(estimators, "_room", lambda: room)
    x, y = load_iris(return_X_y=True)
    wb.Classifier(**SMALL).fit(x, y)
    left = [path.name for path in Path(room.name).rglob("*") if path.suffix in (".npz", ".parquet", ".toml")]
    assert not left
    room.cleanup()
