"""`predict --interval`, from a study to a file, from Python and from MLflow."""

from __future__ import annotations

import json
import math
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.data.test_weights import table
from tests.helpers.tracking_cases import look_at
from workbench import data
from workbench.cli.main import main
from workbench.core.errors import InputError


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, wb.Study, wb.Result]:
    home = tmp_path_factory.mktemp("prices")
    study = wb.create_study(
        table(400), target="price", name="prices", home=home, tell=None, drop=["kind", "w"], trials=2,
        epochs=8, seeds=1, depth=1, width=16, refit=False, learning_rate=wb.axis(1e-3, 1e-2),
    )  # fmt: skip
    return home, study, wb.search(study, home)


def test_a_file_has_both_ends_and_says_what_they_are_worth(
    prices: tuple[Path, wb.Study, wb.Result], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, study, result = prices
    rows, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    fresh = table(500, seed=9)
    fresh[["x", "size"]].to_csv(rows, index=False)
    words = ["predict", str(study.path), str(rows), "-o", str(out), "--home", str(home)]
    assert main([*words, "--interval", "0.9", "--json"]) == 0
    told = capsys.readouterr()
    assert "the choice was made on them, so it may cover slightly less" in told.err
    assert json.loads(told.out.splitlines()[-1])["interval"] == 0.9
    written = pd.read_csv(out)
    assert list(written.columns) == ["prediction", "lower", "upper"]
    dataset, _ = data.load(study.data)
    validated = dataset.pick(dataset.validation)
    errors = np.sort(
        np.abs(result.model.predict(validated)["prediction"] - dataset.target[dataset.validation][:, 0])
    )
    half = errors[math.ceil(0.9 * (len(errors) + 1)) - 1]
    np.testing.assert_allclose(written["upper"] - written["prediction"], half, rtol=1e-5)
    np.testing.assert_allclose(written["prediction"] - written["lower"], half, rtol=1e-5)
    inside = ((fresh["price"] > written["lower"]) & (fresh["price"] < written["upper"])).mean()
    assert 0.82 < inside < 0.97
    assert main(words) == 0
    assert list(pd.read_csv(out).columns) == ["prediction"]


def test_what_cannot_be_promised_is_refused_and_nothing_written(
    prices: tuple[Path, wb.Study, wb.Result], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, study, result = prices
    rows, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    table(5)[["x", "size"]].to_csv(rows, index=False)
    for share, sentence in (
        ("0.999", "validation rows, as they count, are too few to promise more than 0.987"),
        ("90", "--interval = 90: must be a share above 0 and below 1"),
        ("often", "--interval = often: must be a share above 0 and below 1"),
    ):
        words = ["predict", str(study.path), str(rows), "-o", str(out), "--home", str(home)]
        assert main([*words, "--interval", share]) == 2
        assert sentence in capsys.readouterr().err
        assert not out.exists()
    with pytest.raises(InputError, match="too few"):
        result.model.predict(pd.read_csv(rows), interval=0.999)


@pytest.mark.filterwarnings("ignore")  # of the libraries that read
def test_the_registered_model_takes_an_interval(prices: tuple[Path, wb.Study, wb.Result]) -> None:
    *_, result = prices
    look_at(result["mlflow"]["tracking_uri"])
    model = mlflow.pyfunc.load_model("models:/prices@champion")
    asked = table(5)[["x", "size"]]
    pd.testing.assert_frame_equal(
        model.predict(asked, params={"interval": 0.8}), result.model.predict(asked, interval=0.8)
    )
    assert list(model.predict(asked).columns) == ["prediction"]


def test_classes_have_probabilities_instead() -> None:
    frame = table(200)
    model = wb.Classifier(trials=1, epochs=2, seeds=1, depth=1, width=4)
    model.fit(frame[["x", "size"]], frame["kind"])
    with pytest.raises(InputError, match="is for numbers, but the model predicts classes"):
        model.model_.predict(frame[["x", "size"]], interval=0.9)


@pytest.mark.slow  # a dozen searches
def test_the_choice_costs_little_of_the_promise(data_folder: Path) -> None:
    """Over searches of few rows of a real table, judged on thousands that no search has seen."""
    rows, target = pd.read_csv(data_folder / "housing.csv").dropna(), "median_house_value"
    rows = rows.select_dtypes("number").reset_index(drop=True)
    inside = []
    for seed in range(12):
        order = np.random.default_rng(seed).permutation(len(rows))
        few, fresh = rows.iloc[order[:600]], rows.iloc[order[600:8600]]
        model = wb.Regressor(
            trials=24, epochs=25, seeds=1, depth=wb.axis(1, 2), width=32, batch_size=32,
            learning_rate=wb.axis(1e-3, 3e-2, log=True), validation_fraction=0.3, random_state=seed,
            settings={"refit": False, "numbers": "plain", "norm": "none", "scale": "standardize"},
        ).fit(few.drop(columns=target), few[target])  # fmt: skip
        said = model.model_.predict(fresh.drop(columns=target), interval=0.9)
        truth = fresh[target].to_numpy()
        inside.append(float(((truth >= said["lower"]) & (truth <= said["upper"])).mean()))
    assert abs(np.mean(inside) - 0.9) < 0.03
