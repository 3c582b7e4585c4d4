"""`new`: a study for files of many shapes, which runs as it is."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score
from sklearn.tree import DecisionTreeRegressor

from tests.helpers.end_to_end import workbench
from workbench import data
from workbench.cli.main import main
from workbench.core.errors import DataError, InputError
from workbench.core.locations import resolve
from workbench.core.types import Choice, DataSpec
from workbench.study.config import read_study
from workbench.study.plan import plan
from workbench.study.scaffold import STEPS, new

Draw = np.random.Generator


def rents(draw: Draw, n: int = 900) -> pd.DataFrame:
    """Dates, categories with a rare level, blanks, an identifier and free text."""
    size, city = draw.gamma(4.0, 20.0, n), draw.choice(["Ulm", "Bonn", "Kiel"], n, p=[0.6, 0.39, 0.01])
    rent = 5.0 * size + 200.0 * (city == "Bonn") + draw.normal(0.0, 20.0, n)
    table = pd.DataFrame(
        {"offer": [f"k{i}" for i in draw.permutation(n)], "size": size.round(1), "city": city}
    )
    table["since"] = pd.Timestamp("2020-03-01") + pd.to_timedelta(draw.integers(0, 900, n), unit="D")
    table["words"] = [
        " ".join(draw.choice(["sunny", "quiet", "new", "old", "loft"], 4)) + f" {i}" for i in range(n)
    ]
    table.loc[draw.random(n) < 0.2, "size"] = np.nan
    return table.assign(rent=rent.round(2))


def visits(draw: Draw, n: int = 2400) -> pd.DataFrame:
    """Rows that belong to patients, and a rare class."""
    patient = draw.integers(0, n // 8, n)
    risk = draw.normal(size=n // 8)[patient]
    pressure, age = 120.0 + 10.0 * risk + draw.normal(0.0, 3.0, n), draw.integers(20, 90, n)
    ill = risk + 0.02 * (age - 55) + draw.normal(0.0, 0.3, n) > 1.9
    return pd.DataFrame(
        {"patient": patient, "pressure": pressure, "age": age, "ill": np.where(ill, "yes", "no")}
    )


def spectra(draw: Draw, n: int = 1500) -> pd.DataFrame:
    """Hundreds of columns, three classes, one of them rare."""
    kind = draw.choice(3, n, p=[0.48, 0.46, 0.06])
    values = draw.normal(size=(n, 300)).astype(np.float32)
    values[:, :20] += 1.5 * kind[:, None]
    table = pd.DataFrame(values, columns=[f"band {j}" for j in range(300)])
    return table.assign(kind=np.array(["a", "b", "c"])[kind])


def orders(draw: Draw, n: int = 1200) -> pd.DataFrame:
    """Many categories and truth values."""
    shop, article = draw.integers(0, 60, n), draw.integers(0, 15, n)
    paid = draw.random(n) < 0.5
    late = draw.normal(size=60)[shop] + draw.normal(size=15)[article] - 1.5 * paid > 0
    table = pd.DataFrame({"shop": [f"s{i}" for i in shop], "article": [f"a{i}" for i in article]})
    return table.assign(paid=np.where(paid, "yes", "no"), late=late.astype(int))


def sparse(draw: Draw, n: int = 1000) -> pd.DataFrame:
    """Half of the cells are blank, and whether they are matters."""
    x = draw.normal(size=(n, 8))
    blank = draw.random((n, 8)) < 0.5
    y = np.where(blank[:, :3], 2.0, x[:, :3]).sum(axis=1) + 0.1 * draw.normal(size=n)
    return pd.DataFrame(np.where(blank, np.nan, x), columns=[f"m{j}" for j in range(8)]).assign(level=y)


SHAPES: dict[str, tuple[Callable[[Draw], pd.DataFrame], str]] = {
    "rents": (rents, "rent"), "visits": (visits, "ill"), "spectra": (spectra, "kind"),
    "orders": (orders, "late"), "sparse": (sparse, "level"),
}  # fmt: skip


def written(shape: str, folder: Path) -> tuple[Path, pd.DataFrame, str]:
    make, target = SHAPES[shape]
    table = make(np.random.default_rng(0))
    table.to_csv(folder / f"{shape}.csv", index=False)
    return folder / f"{shape}.csv", table, target


EXPECTED: dict[str, dict[str, Any]] = {
    "rents": {
        "task": "regression",
        "metric": "rmse",
        "without": ["words", "offer"],
        "features": ["size", "city", "since"],
        "time": "since",
    },
    "visits": {"task": "classification", "metric": "roc_auc", "group": "patient"},
    "spectra": {"task": "classification", "metric": "balanced_accuracy"},
    "orders": {"task": "classification", "metric": "log_loss"},
    "sparse": {"task": "regression", "metric": "rmse"},
}


@pytest.mark.parametrize("shape", list(SHAPES))
def test_what_is_inferred_and_that_the_study_can_be_planned(
    shape: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, _, target = written(shape, tmp_path)
    assert main(["new", str(file), "--target", target, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["study"] == str(tmp_path / f"{shape}.toml")
    document = tomllib.loads((tmp_path / f"{shape}.toml").read_text())
    expected = EXPECTED[shape]
    assert said["task"] == document["data"]["task"] == expected["task"]
    assert said["metric"] == document["select"]["metric"] == expected["metric"]
    assert "drop" not in document["data"]
    for key in ("group", "time", "features"):
        assert document["data"].get(key) == expected.get(key)
    study = read_study(tmp_path / f"{shape}.toml")
    planned = plan(study, resolve(home=str(tmp_path / "home")))
    assert planned["target" if "target" in planned else "task"]
    assert planned["cost"]["seconds"] < 300
    assert said["assumptions"]


def test_a_study_elsewhere_finds_its_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, _, target = written("orders", tmp_path)
    (tmp_path / "studies").mkdir()
    output = tmp_path / "studies" / "late orders.toml"
    assert main(["new", str(file), "--target", target, "-o", str(output)]) == 0
    assert "workbench check" in capsys.readouterr().out
    study = read_study(output)
    assert study.data.source == "../orders.csv"
    assert study.name == "late-orders"
    assert plan(study, resolve(home=str(tmp_path / "home")))["task"] == "classification"


def proposed(folder: Path, table: pd.DataFrame | dict[str, Any], target: str | None = "y") -> dict[str, Any]:
    """What `new` writes for a table or for arrays, which `check` then takes, and what it said."""
    if isinstance(table, dict):
        file, target = folder / "rows.npz", None
        np.savez(file, **table)
    else:
        file = folder / "rows.csv"
        table.to_csv(file, index=False)
    said = new(file, target)
    study = read_study(said["study"])
    planned = plan(study, resolve(home=str(folder / "home")))
    document = tomllib.loads(Path(said["study"]).read_text())
    Path(said["study"]).unlink()
    return {**document, "said": said["assumptions"], "settings": study.settings, "splits": planned["splits"]}


@given(rows=st.integers(5, 60), classes=st.sampled_from([0, 2, 3]), columns=st.integers(1, 3))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_few_rows_get_a_study_that_check_takes_or_a_sentence(
    rows: int, classes: int, columns: int, tmp_path: Path
) -> None:
    draw = np.random.default_rng(rows)
    x = draw.normal(size=(rows, columns))
    y = x.sum(axis=1) if not classes else np.array(["u", "v", "w"])[np.arange(rows) % classes]
    table = pd.DataFrame(x, columns=[f"x{j}" for j in range(columns)]).assign(y=y)
    with suppress(InputError):
        document = proposed(tmp_path, table)
        assert document["splits"]["train"] >= rows // 2
        _fits(document)
        return
    assert rows < 32, "that many can be divided"
    assert not (tmp_path / "rows.toml").exists(), "nothing is left that check would refuse"


def _fits(document: dict[str, Any]) -> None:
    """No batch is larger than the training rows."""
    batch = document["training"]["batch_size"]
    largest = batch if batch == "all" else max(batch["choices"]) if isinstance(batch, dict) else batch
    assert largest == "all" or largest <= document["splits"]["train"] / 2


def test_a_date_that_divides_stays_a_feature_and_the_season_is_found(tmp_path: Path) -> None:
    """By least squares on the prepared columns; without the date they know nothing of the weekday."""
    draw, day = np.random.default_rng(0), pd.date_range("2019-01-01", periods=900, freq="D")
    weekend = (day.day_of_week >= 5).astype(float)
    table = pd.DataFrame({"date": day, "rain": draw.normal(size=900)})
    table["sales"] = 100.0 + 30.0 * weekend + 5.0 * table["rain"] + draw.normal(0.0, 2.0, 900)
    table.to_csv(tmp_path / "sales.csv", index=False)
    document = tomllib.loads(Path(new(tmp_path / "sales.csv", "sales")["study"]).read_text())
    assert document["data"]["time"] == "date"
    assert document["data"]["features"] == ["date", "rain"]
    assert "drop" not in document["data"]
    errors = []
    for spec in (
        read_study(tmp_path / "sales.toml").data,
        DataSpec("sales.csv", tmp_path, "sales", time="date"),
    ):
        dataset, _ = data.load(spec)
        fold, fitted = data.prepare(dataset)
        assert (spec.features is not None) == ("date weekday" in fitted.feature_names)
        model = DecisionTreeRegressor(max_depth=4, random_state=0)
        model.fit(fold.train.x, np.asarray(fold.train.y)[:, 0])
        said = model.predict(fold.validation.x)
        errors.append(np.sqrt(np.mean((said - np.asarray(fold.validation.y)[:, 0]) ** 2)))
    assert errors[0] < 0.5 * errors[1]


@pytest.mark.parametrize(
    ("shares", "first", "task"),
    [
        ([0.02, 0.08, 0.4, 0.35, 0.13, 0.02], 3, "regression"),  # grades of wine
        ([0.05, 0.2, 0.5, 0.2, 0.05], 1, "regression"),
        ([0.17, 0.17, 0.17, 0.17, 0.16, 0.16], 0, "classification"),  # digits: names, all alike common
        ([0.05, 0.4, 0.1, 0.4, 0.05], 1, "classification"),  # two peaks
        ([0.1, 0.4, 0.4, 0.1], 1, "classification"),  # too few
    ],
)
def test_grades_are_predicted_as_numbers(shares: list[float], first: int, task: str, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    grades = first + np.repeat(np.arange(len(shares)), np.round(np.array(shares) * 600).astype(int))
    table = pd.DataFrame({"a": draw.normal(size=len(grades)) + grades, "y": draw.permutation(grades)})
    document = proposed(tmp_path, table)
    assert document["data"]["task"] == task
    assert any("grades" in sentence for sentence in document["said"]) == (task == "regression")
    words = table.assign(y="g" + table["y"].astype(str))
    assert proposed(tmp_path, words)["data"]["task"] == "classification"


def test_epochs_and_metric_follow_the_rows(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    epochs, metrics = [], []
    for rows in (200, 4000, 12_000):
        x = draw.normal(size=(rows, 3))
        table = pd.DataFrame(x, columns=["a", "b", "c"]).assign(y=np.where(x.sum(axis=1) > 0, "u", "v"))
        document = proposed(tmp_path, table)
        training = document["training"]
        steps = training["epochs"] * document["splits"]["train"] / training["batch_size"]["choices"][0]
        assert steps <= 1.1 * STEPS
        assert training["epochs"] in (200,) or steps > 0.8 * STEPS
        assert document["regularization"]["early_stopping"]["patience"] >= training["epochs"] // 5
        epochs.append(training["epochs"])
        metrics.append(document["select"]["metric"])
    assert epochs == sorted(epochs, reverse=True)
    assert metrics == ["log_loss", "log_loss", "accuracy"]


@pytest.mark.parametrize(
    ("rows", "task", "numbers", "norm"),
    [
        (400, "regression", None, None),
        (2500, "regression", ["plain", "piecewise_tree"], None),
        (8000, "regression", ["piecewise_tree", "plain"], ["layer", "none"]),
        (8000, "classification", ["piecewise_tree", "plain"], ["none", "layer"]),
    ],
)
def test_many_rows_have_numbers_in_bins_and_layers_normalized(
    tmp_path: Path, rows: int, task: str, numbers: list[str] | None, norm: list[str] | None
) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"a": draw.normal(size=rows), "b": draw.lognormal(0, 2, rows)})
    frame["y"] = frame["a"] + draw.normal(size=rows)
    if task == "classification":
        frame["y"] = np.where(frame["y"] > 0, "yes", "no")
    frame.to_csv(tmp_path / "many.csv", index=False)
    new(tmp_path / "many.csv", "y")
    axes = read_study(tmp_path / "many.toml").axes
    for key, expected in (("numbers", numbers), ("norm", norm)):
        found = axes.get(key)
        assert (None if found is None else list(found.choices)) == expected  # type: ignore[union-attr]
    assert next(iter(axes["scale"].choices)) == "standardize"  # type: ignore[union-attr]


def test_series_have_lengths_and_every_step_its_target(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    x, lengths = draw.normal(size=(150, 10, 2)).astype(np.float32), draw.integers(4, 11, 150)
    steps = (x[:, :, 0] > 0).astype(int)
    document = proposed(tmp_path, {"x": x, "y": steps, "lengths": lengths})
    assert document["model"]["output"] == "each"
    assert document["model"]["bidirectional"] == {"choices": [False, True]}
    assert "blocks" not in document["model"]
    with pytest.raises(DataError, match=r"add lengths, such as numpy.full\(150, 10\)"):
        proposed(tmp_path, {"x": x, "y": steps})
    assert not (tmp_path / "rows.toml").exists()
    narrow = proposed(tmp_path, {"x": x, "y": steps[:, 0]})  # read as gray images, of two places across
    assert narrow["model"]["family"] == "cnn"
    assert narrow["model"]["pooling"] == "none"


def test_arrays_get_the_family_of_their_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw = np.random.default_rng(0)
    shapes = {"rows": ((6,), "mlp"), "series": ((9, 2), Choice(("cnn", "gru"))), "images": ((8, 8, 1), "cnn")}
    for name, (shape, family) in shapes.items():
        arrays = {"x": draw.normal(size=(120, *shape)).astype(np.float32), "y": draw.integers(0, 3, 120)}
        if name == "series":
            arrays["lengths"] = draw.integers(3, 10, 120)
        np.savez(tmp_path / f"{name}.npz", **arrays)
        assert main(["new", str(tmp_path / f"{name}.npz")]) == 0
        study = read_study(tmp_path / f"{name}.toml")
        assert study.settings["family"] == family
        assert plan(study, resolve(home=str(tmp_path / "home")))["programs"] >= 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "--target is missing; name the column to predict: shop, article, paid, late"),
        (["--target", "lat"], 'did you mean "late"?'),
        (["--target", "late", "-o", "nowhere/x.toml"], "does not exist; make it first"),
        (["--target", "late", "-o", "there.toml"], "is there already and is left as it is"),
    ],
)
def test_mistakes(
    words: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    written("orders", tmp_path)
    Path("there.toml").write_text("mine")
    assert main(["new", "orders.csv", *words]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert len(error.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["orders.csv", "there.toml"]
    assert Path("there.toml").read_text() == "mine"


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", str(tmp_path / "x.csv"), "--target", "y"]) == 2
    assert "no such file" in capsys.readouterr().err


# ── the whole way ──


def baseline(shape: str, table: pd.DataFrame, target: str) -> float:
    """What a linear model of the same columns reaches on every third row, in the study's metric."""
    y = table.pop(target)
    kept = table.drop(
        columns=EXPECTED[shape].get("without", []) + [c for c in ("since", "patient") if c in table]
    )
    x = pd.get_dummies(kept, dummy_na=True).astype(float)
    x = x.fillna(x.median())
    held = np.arange(len(x)) % 3 == 0
    if EXPECTED[shape]["task"] == "regression":
        model = LinearRegression().fit(x[~held], y[~held])
        return float(np.sqrt(np.mean((model.predict(x[held]) - y[held]) ** 2)))
    known = LogisticRegression(max_iter=2000).fit(x[~held], y[~held])
    metric = EXPECTED[shape]["metric"]
    if metric == "log_loss":
        return float(log_loss(y[held], known.predict_proba(x[held])))
    if metric == "roc_auc":
        return float(roc_auc_score(y[held] == known.classes_[1], known.predict_proba(x[held])[:, 1]))
    if metric == "balanced_accuracy":
        return float(balanced_accuracy_score(y[held], known.predict(x[held])))
    return float(known.score(x[held], y[held]))


@pytest.mark.slow
@pytest.mark.parametrize("shape", list(SHAPES))
def test_from_a_file_to_predictions_without_editing(shape: str, tmp_path: Path) -> None:
    file, table, target = written(shape, tmp_path)
    home = ("--home", str(tmp_path / "home"), "--json")
    assert workbench("new", str(file), "--target", target).status == 0
    study = str(tmp_path / f"{shape}.toml")
    for command in (("check", study), ("run", study, "--trials", "16"), ("show", study)):
        ran = workbench(*command, *home)
        assert ran.status == 0, ran.err
    test = ran.result["test"]
    output = tmp_path / "out.csv"
    done = workbench("predict", study, str(file), "-o", str(output), *home)
    assert done.status == 0, done.err
    assert len(pd.read_csv(output)) == len(table)
    reached = baseline(shape, table, target)
    if test["metric"] in ("rmse", "log_loss"):
        assert test["value"] < 1.25 * reached
    else:
        assert test["value"] > reached - 0.12
