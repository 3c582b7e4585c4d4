"""Reports about predictions: rows that are unlike those of the training, and files without a target."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.helpers.delivered import deliver
from tests.helpers.end_to_end import ONE_TRIAL, Place, place
from workbench import data
from workbench.cli.main import main
from workbench.core.errors import DataError
from workbench.core.types import DataSpec
from workbench.evaluation.predictor import Predictor

pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType")
N = 240
#: Ids beyond what a float64 tells apart.
IDS = 2**60 + np.arange(N)


def plain() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    table = pd.DataFrame(draw.normal(size=(N, 2)).round(4), columns=["a", "b"])
    table["c"] = draw.choice(["u", "v", "w"], N)
    table["n"] = np.arange(N) % 7
    table["when"] = pd.date_range("2024-01-01", periods=N, freq="h").strftime("%Y-%m-%d %H:%M:%S")
    return table.assign(y=np.where(table["a"] + table["b"] > 0, "pos", "neg"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("model")
    plain().to_csv(folder / "rows.csv", index=False)
    dataset, _ = data.load(DataSpec("rows.csv", folder, target="y"))
    made = deliver(dataset, {"family": "mlp", "depth": 1, "width": 4}).predictor
    return replace(made, columns=("prediction", "probability_neg", "probability_pos"))


ROWS = plain().drop(columns="y")
#: Tables that hold the same rows otherwise, and what a program may make of them.
SAME: dict[str, Callable[[pd.DataFrame], Any]] = {
    "columns in another order (a scorer that goes by place)": lambda t: t[t.columns[::-1]],
    "columns that the model does not know": lambda t: t.assign(extra=1, y="pos"),
    "numbers as text": lambda t: t.astype(str),
    "whole numbers as floats (MLflow 12516)": lambda t: t.astype({"n": float}),
    "small whole numbers (MLflow 12516)": lambda t: t.astype({"n": "int8"}),
    "labels as categories (MLflow 12910)": lambda t: t.astype({"c": "category"}),
    "labels as categories of which most are not there": lambda t: t.assign(
        c=pd.Categorical(t["c"], list("abcuvw"))
    ),
    "nullable types (MLflow 5207)": lambda t: t.convert_dtypes(),
    "times as such (MLflow 3684)": lambda t: t.assign(when=pd.to_datetime(t["when"])),
    "times in a zone": lambda t: t.assign(
        when=pd.to_datetime(t["when"], utc=True).dt.tz_convert("Asia/Tokyo")
    ),
    "records, as from JSON": lambda t: t.to_dict(orient="records"),
    "spaces around labels": lambda t: t.assign(c=" " + t["c"] + " "),
    "an index of dates": lambda t: t.set_index(pd.date_range("2030", periods=len(t))),
    "an index that repeats": lambda t: t.set_index(np.zeros(len(t), int)),
}


@pytest.mark.parametrize("report", SAME)
def test_the_same_rows_in_other_forms(report: str, model: Predictor) -> None:
    said = model.predict(SAME[report](ROWS))
    expected = model.predict(ROWS)
    np.testing.assert_array_equal(said.to_numpy(), expected.to_numpy())


def test_one_row_is_what_it_is_among_others_and_no_row_is_none(model: Predictor) -> None:
    """Scaling by the rows to be predicted would give one row other numbers (a common leak of notebooks)."""
    expected = model.predict(ROWS)
    for k in (0, 17, N - 1):
        pd.testing.assert_frame_equal(model.predict(ROWS.iloc[[k]]), expected.iloc[[k]])
    nothing = model.predict(ROWS.head(0))
    assert (len(nothing), list(nothing.columns)) == (0, list(expected.columns))


def test_what_no_training_row_had_is_predicted_and_counted(model: Predictor) -> None:
    """A label encoder that stops at the first new label."""
    rows = ROWS.head(4).assign(c=["new", "u", "other", None], a=[1e9, 0.0, None, -np.inf])
    rows["when"] = ["2024-01-02 00:00:00", "1970-01-01 00:00:00", None, "2024-01-03 00:00:00"]
    said = model.predict(rows)
    assert np.isfinite(said.iloc[:, 1:].to_numpy(float)).all()
    found = model.novelties(rows)
    assert found["unseen"] == {"c": {"cells": 2, "labels": 2, "values": ["new", "other"]}}
    assert found["blank"] == {"a": 2, "c": 1, "when": 1}  # an infinite number counts as blank
    assert {name: one["furthest"] for name, one in found["outside"].items()} == {
        "a": 1e9,
        "when": "1970-01-01",
    }


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.rename(columns={"a": "A "}), 'did you mean "A" by "a"?'),
        (lambda t: t.drop(columns=["b", "n"]), 'lacks the columns "b", "n"'),
        (lambda t: t.assign(n="seven"), 'column "n" holds "seven" in row 1, not a number'),
        (lambda t: pd.concat([t, t[["a"]]], axis=1), 'the column "a" stands there twice'),
    ],
)
def test_rows_that_cannot_be_meant(
    change: Callable[[pd.DataFrame], pd.DataFrame], says: str, model: Predictor
) -> None:
    with pytest.raises(DataError, match=r"^rows: ") as refused:
        model.predict(change(ROWS))
    assert says in str(refused.value)


@pytest.fixture(scope="module")
def kaggle(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A competition: train.csv with ids and targets, test.csv with ids alone."""
    folder = tmp_path_factory.mktemp("kaggle")
    table = plain().assign(Id=IDS)
    table.head(200).to_csv(folder / "train.csv", index=False)
    table.tail(40).drop(columns="y").to_csv(folder / "test.csv", index=False)
    where = place(
        folder, f'name = "k"\n[data]\nsource = "train.csv"\ntarget = "y"\ndrop = ["Id"]\n{ONE_TRIAL}'
    )
    assert main(["run", str(where.file), "--search-only", "--home", str(where.home)]) == 0
    return where


def test_a_file_without_the_target_is_predicted_with_its_ids(
    kaggle: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ludwig 119, 281 and 372: a KeyError for the target; ids rounded to floats (pandas 32134)."""
    folder = kaggle.file.parent
    words = ["predict", str(kaggle.file), str(folder / "test.csv"), "-o", str(folder / "submission.csv")]
    assert main([*words, "--keep", "Id", "--home", str(kaggle.home), "--json"]) == 0
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert (said["rows"], said["test_rows"], said["unused"], err) == (40, 0, [], "")
    assert pd.read_csv(folder / "submission.csv")["Id"].tolist() == IDS[-40:].tolist()


def test_the_same_file_as_official_test_rows_is_refused_with_the_way(
    kaggle: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    other = kaggle.file.with_name("other.toml")
    other.write_text(kaggle.file.read_text().replace('target = "y"', 'target = "y"\ntest = "test.csv"'))
    for command in ("check", "run"):
        assert main([command, str(other), "--home", str(kaggle.home)]) == 2
        sentence = capsys.readouterr().err.splitlines()[-1]
        assert 'test.csv: lacks the target column "y"' in sentence
        assert "workbench predict" in sentence


def test_a_file_of_a_header_alone(kaggle: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ROWS.head(0).to_csv(tmp_path / "empty.csv", index=False)
    words = ["predict", str(kaggle.file), str(tmp_path / "empty.csv"), "-o", str(tmp_path / "out.csv")]
    assert main([*words, "--home", str(kaggle.home)]) == 2
    assert "empty.csv: holds no rows" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()
