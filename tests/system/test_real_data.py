"""Files as people have them, through the studies that ship: blanks, text columns, an official test file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import workbench as wb
from tests.helpers.end_to_end import Place
from workbench import data
from workbench.core.records import Outcome
from workbench.storage import outcomes

STUDIES = Path(__file__).parents[2] / "studies"
#: One small program instead of four, so that the whole way is walked in seconds.
SMALL: dict[str, Any] = {
    "trials": 4, "epochs": 3, "seeds": 1, "depth": 1, "width": 16, "batch_size": 256, "activation": "relu",
    "scale": "standardize",
}  # fmt: skip


def beside(name: str, data_folder: Path, folder: Path) -> Path:
    """A shipped study, unchanged, with its data files beside it."""
    for file in data_folder.glob(f"{name}*.csv"):
        (folder / file.name).symlink_to(file)
    return Path(shutil.copy(STUDIES / f"{name}.toml", folder))


def in_small(name: str, data_folder: Path, tmp_path: Path) -> tuple[dict[str, Any], Outcome, Path]:
    """A shipped study with less to train: its result, its outcome, and where its model is."""
    study = wb.vary(wb.read_study(beside(name, data_folder, tmp_path)), **SMALL)
    locations = wb.resolve(str(tmp_path / "home"))
    result = wb.run(study, locations)
    folder = locations.study(study.id)
    outcome = outcomes.load(folder)
    assert outcome is not None
    return result, outcome, folder / "model"


@pytest.mark.slow
def test_housing_in_small(data_folder: Path, tmp_path: Path) -> None:
    result, outcome, place = in_small("housing", data_folder, tmp_path)
    assert (result["task"], result["test"]["metric"], result["test"]["rows"]) == ("regression", "rmse", 4128)
    assert outcome.data["rows"] == 20_640
    assert outcome.data["blank columns"].startswith("total_bedrooms")
    test = result["test"]
    assert test["low"] < test["value"] < test["high"] < outcome.data["target deviation"]
    model = wb.load_model(place)
    rows = pd.read_csv(data_folder / "housing.csv")
    blank = rows[rows["total_bedrooms"].isna()].drop(columns="median_house_value")
    told = model.predict(blank)["prediction"]
    assert told.between(0, 1e6).all()
    assert told.corr(rows.loc[blank.index, "median_house_value"]) > 0.6


@pytest.mark.slow
def test_adult_in_small(data_folder: Path, tmp_path: Path) -> None:
    result, outcome, place = in_small("adult", data_folder, tmp_path)
    assert result["test"]["rows"] == 16_281  # the official file, whole
    assert outcome.classes == ("<=50K", ">50K")
    assert outcome.data["train"] + outcome.data["validation"] == 32_561
    for column in ("workclass", "occupation", "native-country"):
        assert column in outcome.data["blank columns"]
    assert result["test"]["value"] > 0.82
    model = wb.load_model(place)
    rows = pd.read_csv(data_folder / "adult_test.csv", skipinitialspace=True)
    right = (model.predict(rows)["prediction"].to_numpy() == rows["classification"].str.rstrip(".")).mean()
    assert right == pytest.approx(result["test"]["value"], abs=1e-9)


@pytest.mark.slow
def test_adult_reaches_its_score(data_folder: Path, tmp_path: Path) -> None:
    ran = Place(beside("adult", data_folder, tmp_path), tmp_path / "home").run()
    assert ran.status == 0, ran.err
    print(ran.result["test"], ran.result["seconds"])
    assert ran.result["test"]["rows"] == 16_281
    assert ran.result["test"]["value"] >= 0.845
    assert ran.result["test"]["value"] == pytest.approx(ran.result["best"]["validation"], abs=0.015)


@pytest.mark.slow
def test_housing_beats_the_linear_model(data_folder: Path, tmp_path: Path) -> None:
    where = Place(beside("housing", data_folder, tmp_path), tmp_path / "home")
    ran = where.run()
    assert ran.status == 0, ran.err
    dataset, _ = data.load(wb.read_study(where.file).data)
    columns = {kind: [c.name for c in dataset.columns if c.kind == kind] for kind in ("numeric", "category")}
    linear = make_pipeline(
        make_column_transformer(
            (make_pipeline(SimpleImputer(), StandardScaler()), columns["numeric"]),
            (OneHotEncoder(handle_unknown="ignore"), columns["category"]),
        ),
        Ridge(),
    ).fit(dataset.pick(dataset.train), dataset.target[dataset.train].ravel())
    errors = linear.predict(dataset.pick(dataset.validation)) - dataset.target[dataset.validation].ravel()
    theirs = float((errors**2).mean() ** 0.5)
    print(ran.result["test"], "linear", theirs, ran.result["seconds"])
    assert ran.result["best"]["validation"] < 0.8 * theirs
    assert ran.result["test"]["value"] < 0.85 * theirs
    if ran.result["test"]["high"] is None:  # a few large errors decide an RMSE, so that none can be given
        assert "heavy a tail" in ran.result["test"]["note"]
    else:
        assert ran.result["test"]["high"] < 0.85 * theirs


@pytest.mark.slow
def test_digits_reaches_its_score(tmp_path: Path) -> None:
    ran = Place(Path(shutil.copy(STUDIES / "digits-mlp.toml", tmp_path)), tmp_path / "home").run()
    assert ran.status == 0, ran.err
    print(ran.result["test"], ran.result["seconds"])
    assert ran.result["trials"]["total"] == 200
    assert ran.result["programs"] <= 6
    assert ran.result["test"]["value"] >= 0.96
