"""Gradient boosting as a rival: scikit-learn's own numbers from plain arrays, tuned on validation rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, mean_squared_error, roc_auc_score
from threadpoolctl import threadpool_info, threadpool_limits

from workbench import data
from workbench.core.errors import StoreError
from workbench.core.types import Array, DataSpec, Split
from workbench.data import Dataset
from workbench.evaluation import boosting, trees
from workbench.evaluation.boosting import CONFIGURATIONS, PATIENCE, Configuration


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Of tables so small, several threads spend their time waiting for one another."""
    with threadpool_limits(limits=1, user_api="openmp"):
        yield


def loaded(source: str, folder: Path = Path(), **more: Any) -> Dataset:
    return data.load(DataSpec(source, folder, split=Split(), **more))[0]


def parts(dataset: Dataset) -> tuple[Any, Array, Any, Array]:
    """Rows as scikit-learn takes them, without anything of ours: labels as pandas categories of training."""
    rows, y = dataset.rows, dataset.target
    if isinstance(rows, pd.DataFrame):
        rows, train = rows.copy(), rows.iloc[dataset.train]
        for column in dataset.columns:
            if column.kind == "category":
                there = pd.CategoricalDtype(sorted(train[column.name].dropna().unique()))
                cells = rows[column.name].astype(object)
                rows[column.name] = cells.where(cells.isin(there.categories)).astype(there)
            if column.kind == "date":
                days = rows[column.name].astype("int64") / 86_400e6
                rows[column.name] = np.where(rows[column.name].isna(), np.nan, days)
        return (
            rows.iloc[dataset.train],
            y[dataset.train],
            rows.iloc[dataset.validation],
            y[dataset.validation],
        )
    rows = rows.reshape(len(rows), -1).astype(float)
    return rows[dataset.train], y[dataset.train], rows[dataset.validation], y[dataset.validation]


def theirs(task: str, config: Configuration, **more: Any) -> Any:
    kind = HistGradientBoostingClassifier if task == "classification" else HistGradientBoostingRegressor
    return kind(**config._asdict(), random_state=0, **more)


def only(monkeypatch: pytest.MonkeyPatch, config: Configuration) -> Configuration:
    monkeypatch.setattr(boosting, "CONFIGURATIONS", (config,))
    return config


def said(fit: Any, x: Any, task: str) -> Array:
    found: Array = fit.decision_function(x) if task == "classification" else fit.predict(x)
    return found.reshape(len(x), -1)


@pytest.mark.parametrize("config", CONFIGURATIONS[:3])
@pytest.mark.parametrize(
    ("source", "metric"), [("wine", "accuracy"), ("breast_cancer", "roc_auc"), ("diabetes", "rmse")]
)
def test_predictions_are_scikit_learns(
    source: str, metric: str, config: Configuration, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dataset = loaded(source)
    only(monkeypatch, config)
    ours = boosting.fit(dataset, metric, balanced=False, seed=0)
    x, y, x_validation, _ = parts(dataset)
    y = y.ravel()
    grown = len(ours.trees.output) // (3 if source == "wine" else 1)
    expected = theirs(dataset.task, config, max_iter=grown, early_stopping=False).fit(x, y)
    trees.save(tmp_path / "kept", ours)
    for model in (ours, trees.load(tmp_path / "kept")):
        found = model.raw_estimates(dataset.pick(dataset.validation))
        np.testing.assert_array_equal(found, said(expected, x_validation, dataset.task))
    assert f"{grown} trees" in ours.about
    assert "one configuration" in ours.about


@pytest.mark.parametrize(
    ("source", "metric"),
    [("wine", "accuracy"), ("wine", "log_loss"), ("breast_cancer", "roc_auc"), ("diabetes", "rmse")],
)
def test_the_best_of_all_configurations_and_numbers_of_trees_is_kept(source: str, metric: str) -> None:
    """Every stage of every configuration, scored by scikit-learn's own metrics."""
    dataset = loaded(source)
    x, y, x_validation, y_validation = parts(dataset)
    y, y_validation = y.ravel(), y_validation.ravel()
    found = []
    for config in CONFIGURATIONS:
        fit = theirs(
            dataset.task, config, max_iter=round(30 / config.learning_rate), early_stopping=True,
            n_iter_no_change=PATIENCE,
        ).fit(x, y, X_val=x_validation, y_val=y_validation)  # fmt: skip
        if metric == "accuracy":
            found += [accuracy_score(y_validation, one) for one in fit.staged_predict(x_validation)]
        elif metric == "log_loss":
            found += [-log_loss(y_validation, one) for one in fit.staged_predict_proba(x_validation)]
        elif metric == "roc_auc":
            found += [
                roc_auc_score(y_validation, one[:, 1]) for one in fit.staged_predict_proba(x_validation)
            ]
        else:
            found += [
                -np.sqrt(mean_squared_error(y_validation, one)) for one in fit.staged_predict(x_validation)
            ]
    ours = boosting.fit(dataset, metric, balanced=False, seed=0)
    out = ours.raw_estimates(dataset.pick(dataset.validation))
    if metric == "rmse":
        score = -np.sqrt(mean_squared_error(y_validation, out))
    elif metric == "roc_auc":
        score = roc_auc_score(y_validation, out)
    elif metric == "accuracy":
        score = accuracy_score(y_validation, out.argmax(axis=1))
    else:
        shares = np.exp(out - out.max(axis=1, keepdims=True))
        score = -log_loss(y_validation, shares / shares.sum(axis=1, keepdims=True))
    assert score == pytest.approx(max(found), abs=1e-6)
    assert "the best of 6 configurations" in ours.about


@pytest.fixture
def mixed(tmp_path: Path) -> Dataset:
    """Labels that only validation rows have, blanks everywhere, truth values and dates."""
    rng = np.random.default_rng(0)
    n = 600
    town = rng.choice(["ash", "elm", "fir", "oak", "yew"], n).astype(object)
    town[rng.choice(n, 12, replace=False)] = [f"rare {j}" for j in range(12)]
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 20, n), unit="D")
    table = pd.DataFrame(
        {
            "size": rng.normal(size=n),
            "town": pd.Series(town).where(rng.random(n) > 0.1),
            "open": pd.Series(rng.choice(["yes", "no"], n)).where(rng.random(n) > 0.1),
            "weight": pd.Series(rng.normal(size=n)).where(rng.random(n) > 0.2),
            "day": pd.Series(days.strftime("%Y-%m-%d")),
        }
    )
    level = pd.Series(town).map({"ash": 2.0, "oak": -2.0}).fillna(0.5)
    table["price"] = level + table["size"] + table["weight"].fillna(3.0) + rng.normal(scale=0.3, size=n)
    table.to_csv(tmp_path / "mixed.csv", index=False)
    return loaded("mixed.csv", tmp_path, target="price", drop=("day",))


def test_labels_and_blanks_are_taken_as_they_are(mixed: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    config = only(monkeypatch, Configuration(0.1, 16, 5))
    ours = boosting.fit(mixed, "rmse", balanced=False, seed=0)
    x, y, x_validation, _ = parts(mixed)
    assert x_validation["town"].isna().sum() > mixed.pick(mixed.validation)["town"].isna().sum(), "unseen"
    assert ours.trees.nodes["is_categorical"].any()
    grown = len(ours.trees.output)
    expected = theirs("regression", config, max_iter=grown, early_stopping=False).fit(x, y.ravel())
    found = ours.raw_estimates(mixed.pick(mixed.validation))
    np.testing.assert_allclose(found, said(expected, x_validation, "regression"), rtol=1e-12)


def test_a_date_is_the_numbers_that_preprocessing_makes_of_it(mixed: Dataset) -> None:
    dataset = loaded("mixed.csv", mixed.spec.folder, target="price")
    fitted = data.preprocessing.fit(dataset.pick(dataset.train), dataset.columns, "none", rare=1)
    raw = fitted.raw(dataset.pick(dataset.validation))
    day = pd.to_datetime(dataset.pick(dataset.validation)["day"])
    epoch = (day - pd.Timestamp("1970-01-01")).dt.days
    names = [column.kind for column in dataset.columns]
    assert names.count("date") == 1
    np.testing.assert_array_equal(raw[:, -2:], np.stack([epoch, day.dt.day_of_week], axis=1))
    town = dataset.pick(dataset.validation)["town"]
    unknown = ~town.isin(dataset.pick(dataset.train)["town"].dropna().unique())
    np.testing.assert_array_equal(np.isnan(raw[:, 0]), unknown)


def test_labels_beyond_the_most_share_a_code() -> None:
    names = [f"name {j:03d}" for j in range(260)]
    column = pd.Series(pd.Categorical(np.repeat(names, 2)))
    levels = data.preprocessing.features.fit_levels(column, rare=1)
    codes = data.preprocessing.features.codes(column, levels)
    assert (levels.other, codes.max(), len(np.unique(codes))) == (True, 200, 201)


def test_classes_weigh_alike_where_the_study_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    config = only(monkeypatch, CONFIGURATIONS[0])
    dataset = loaded("breast_cancer")
    ours = boosting.fit(dataset, "accuracy", balanced=True, seed=0)
    x, y, x_validation, _ = parts(dataset)
    settings = {"max_iter": len(ours.trees.output), "early_stopping": False}
    expected, plain = (
        theirs("classification", config, class_weight=weight, **settings).fit(x, y)
        for weight in ("balanced", None)
    )
    found = ours.raw_estimates(dataset.pick(dataset.validation))
    np.testing.assert_array_equal(found[:, 0], expected.decision_function(x_validation))
    assert np.abs(found[:, 0] - plain.decision_function(x_validation)).max() > 0.01


def test_the_mean_absolute_error_is_trained_for(monkeypatch: pytest.MonkeyPatch) -> None:
    config = only(monkeypatch, CONFIGURATIONS[0])
    dataset = loaded("diabetes")
    ours = boosting.fit(dataset, "mae", balanced=False, seed=0)
    x, y, x_validation, y_validation = parts(dataset)
    settings = {"max_iter": len(ours.trees.output), "early_stopping": False}
    expected = theirs("regression", config, loss="absolute_error", **settings).fit(x, y.ravel())
    found = ours.raw_estimates(dataset.pick(dataset.validation))
    np.testing.assert_array_equal(found[:, 0], expected.predict(x_validation))
    assert mean_absolute_error(y_validation, found) < np.abs(y_validation - np.median(y)).mean()


def test_it_is_grown_again_on_all_rows_where_the_choice_is(monkeypatch: pytest.MonkeyPatch) -> None:
    config = only(monkeypatch, CONFIGURATIONS[2])
    dataset = loaded("diabetes")
    once, again = (boosting.fit(dataset, "rmse", balanced=False, seed=0, refit=on) for on in (False, True))
    grown = len(once.trees.output)
    assert len(again.trees.output) == grown
    assert isinstance(dataset.rows, pd.DataFrame)
    expected = theirs("regression", config, max_iter=grown, early_stopping=False)
    expected.fit(dataset.rows, dataset.target.ravel())
    np.testing.assert_array_equal(again.raw_estimates(dataset.rows)[:, 0], expected.predict(dataset.rows))


def test_several_targets_have_a_model_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = only(monkeypatch, CONFIGURATIONS[1])
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    y = np.stack([x[:, 0] ** 2, x[:, 1] + x[:, 2]], axis=1) + rng.normal(scale=0.1, size=(300, 2))
    np.savez(tmp_path / "two.npz", x=x, y=y)
    dataset = loaded("two.npz", tmp_path)
    ours = boosting.fit(dataset, "rmse", balanced=False, seed=0)
    x, y, x_validation, _ = parts(dataset)
    found = ours.raw_estimates(dataset.pick(dataset.validation))
    for target in range(2):
        grown = int((ours.trees.output == target).sum())
        fit = theirs("regression", config, max_iter=grown, early_stopping=False).fit(x, y[:, target])
        np.testing.assert_array_equal(found[:, target], fit.predict(x_validation))
    assert ours.about.count(" trees") == 2


@pytest.mark.parametrize("missing", [{1}, {0, 3}])
def test_a_class_without_training_rows_is_never_said(missing: set[int]) -> None:
    dataset = loaded("wine")
    four = np.where(dataset.target == 2, 2 + np.arange(len(dataset.target)) % 2, dataset.target).astype(
        np.int32
    )
    dataset = dataclasses.replace(dataset, target=four, classes=("a", "b", "c", "d"))
    dataset = dataclasses.replace(dataset, train=dataset.train[~np.isin(four[dataset.train], list(missing))])
    ours = boosting.fit(dataset, "accuracy", balanced=False, seed=0)
    found = ours.raw_estimates(dataset.pick(dataset.validation))
    assert found.shape[1] == 4
    assert not missing & set(found.argmax(axis=1).tolist())
    there = np.isin(four[dataset.validation], list(missing))
    assert np.mean(found.argmax(axis=1)[~there] == four[dataset.validation][~there]) > 0.6


def test_what_is_no_task_for_trees_is_left_out_and_said(tmp_path: Path) -> None:
    assert boosting.why_not(loaded("wine")) == ""
    assert boosting.why_not(loaded("adding-20")) == ""  # a row of 40 numbers
    assert "every step of a sequence has a target" in boosting.why_not(loaded("copy-5"))
    np.savez(tmp_path / "wide.npz", x=np.zeros((40, 50, 50, 2)), y=np.arange(40) % 2)
    assert "a row has 5,000 numbers, and trees are grown of at most 4,096" in boosting.why_not(
        loaded("wide.npz", tmp_path)
    )


def test_sequences_are_rows_of_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    config = only(monkeypatch, CONFIGURATIONS[2])
    dataset = loaded("adding-5")
    few = dataclasses.replace(dataset, train=dataset.train[:500])
    ours = boosting.fit(few, "rmse", balanced=False, seed=0)
    x, y, x_validation, _ = parts(few)
    settings = {"max_iter": len(ours.trees.output), "early_stopping": False}
    fit = theirs("regression", config, **settings).fit(x, y.ravel())
    np.testing.assert_array_equal(
        ours.raw_estimates(few.pick(few.validation))[:, 0], fit.predict(x_validation)
    )


def test_how_much_is_tried_follows_from_the_size_of_the_table() -> None:
    assert boosting.plan(107, 13, 3, 107) == (CONFIGURATIONS, 1)
    assert boosting.plan(20_000, 14, 1, 255) == (CONFIGURATIONS, 1)
    digits, step = boosting.plan(1_078, 64, 10, 17)
    assert (1 < len(digits) < len(CONFIGURATIONS), step) == (True, 1)
    mnist, step = boosting.plan(42_000, 784, 10, 255)
    assert (len(mnist), step > 1) == (1, True)
    assert boosting.plan(200, 30, 5_000, 255)[1] == 1  # few rows are not thinned out


def test_a_thinned_table_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boosting, "plan", lambda *sizes: ((CONFIGURATIONS[0],), 3))
    dataset = loaded("breast_cancer")
    ours = boosting.fit(dataset, "accuracy", balanced=False, seed=0)
    x, y, x_validation, _ = parts(dataset)
    fit = theirs("classification", CONFIGURATIONS[0], max_iter=len(ours.trees.output), early_stopping=False)
    np.testing.assert_array_equal(
        ours.raw_estimates(dataset.pick(dataset.validation))[:, 0],
        fit.fit(x[::3], y[::3]).decision_function(x_validation),
    )
    assert ours.about.endswith("on one training row in 3")


def test_it_keeps_to_one_thread_and_gives_the_others_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def openmp() -> set[int]:
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp"}

    seen: list[set[int]] = []
    tune = boosting._tune
    monkeypatch.setattr(boosting, "_tune", lambda *given: (seen.append(openmp()), tune(*given))[1])
    with threadpool_limits(limits=2, user_api="openmp"):
        boosting.fit(loaded("wine"), "accuracy", balanced=False, seed=0)
        assert openmp() == {2}
    assert seen == [{1}] * len(CONFIGURATIONS)


def test_what_is_damaged_is_refused(tmp_path: Path) -> None:
    folder = trees.save(tmp_path / "kept", boosting.fit(loaded("wine"), "accuracy", balanced=False, seed=0))
    archive = folder / "parameters.npz"
    archive.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(StoreError, match="cannot be read"):
        trees.load(folder)
    with pytest.raises(StoreError, match="cannot be read"):
        trees.load(tmp_path)
