"""`predict` as a user calls it: a file of raw rows in, a file of predictions out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_wine

import workbench as wb
from tests.helpers.end_to_end import SMALL, TINY, Place, Ran, place
from workbench.cli.main import main
from workbench.study import predict as predictions


@pytest.fixture(scope="module")
def wines() -> pd.DataFrame:
    return load_wine(as_frame=True).data


def predict(where: Place, data: Path, output: Path, *words: str) -> int:
    return main(["predict", str(where.file), str(data), "-o", str(output), "--home", str(where.home), *words])


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_a_file_of_predictions_equals_the_loaded_model(
    finished: tuple[Place, Ran], wines: pd.DataFrame, tmp_path: Path, suffix: str
) -> None:
    where, _ = finished
    rows = tmp_path / f"rows{suffix}"
    shuffled = wines.sample(frac=1.0, random_state=0)[wines.columns[::-1]]  # any order of rows and columns
    if suffix == ".parquet":
        shuffled.to_parquet(rows, index=False)
    else:
        shuffled.to_csv(rows, index=False, sep="\t" if suffix == ".tsv" else ",")
    output = tmp_path / f"predictions{suffix}"
    assert predict(where, rows, output) == 0
    if suffix == ".parquet":
        written = pd.read_parquet(output)
    else:
        written = pd.read_csv(output, sep="\t" if suffix == ".tsv" else ",")
    expected = wb.load_model(where.folder / "model").predict(shuffled)
    assert written["prediction"].tolist() == expected["prediction"].tolist()
    np.testing.assert_allclose(written.iloc[:, 1:], expected.iloc[:, 1:], atol=1e-12)
    np.testing.assert_allclose(written.iloc[:, 1:].sum(axis=1), 1.0, atol=1e-9)
    truth = load_wine().target_names[load_wine().target[shuffled.index]]
    assert np.mean(written["prediction"] == truth) > 0.6
    assert not list(tmp_path.glob("*.partial"))


def test_what_is_said_and_that_nothing_else_is_touched(
    finished: tuple[Place, Ran], wines: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where, ran = finished
    wines.head(7).to_csv(tmp_path / "rows.csv", index=False)
    before = {path: path.stat().st_mtime_ns for path in where.home.rglob("*") if path.is_file()}
    assert predict(where, tmp_path / "rows.csv", tmp_path / "out.csv", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["rows"] == 7
    assert said["trial"] == ran.result["best"]["trial"]
    assert said["columns"][0] == "prediction"
    assert said["output"] == str(tmp_path / "out.csv")
    assert before == {path: path.stat().st_mtime_ns for path in where.home.rglob("*") if path.is_file()}


BAD_ROWS = {
    "lacks a column": ("alcohol\n1\n", "lacks the columns"),
    "a word for a number": (None, 'column "hue" holds "blue" in row 2'),
    "no rows": (None, "holds no rows"),
    "not there": (None, "rows.csv: no such file"),
}


@pytest.mark.parametrize("case", list(BAD_ROWS))
def test_rows_that_the_model_cannot_read(
    finished: tuple[Place, Ran],
    wines: pd.DataFrame,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    case: str,
) -> None:
    text, says = BAD_ROWS[case]
    table = wines.head(3).astype(object)
    if case == "a word for a number":
        table.loc[1, "hue"] = "blue"
    if case != "not there":
        rows = table.head(0 if case == "no rows" else 3).to_csv(index=False) if text is None else text
        (tmp_path / "rows.csv").write_text(rows)
    assert predict(finished[0], tmp_path / "rows.csv", tmp_path / "out.csv") == 2
    error = capsys.readouterr().err
    assert says in error
    assert len(error.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [] if case == "not there" else ["rows.csv"]


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("out.xlsx", "predictions are written as .csv, .tsv, .parquet"),
        ("nowhere/out.csv", "does not exist; make it first"),
        ("rows.csv", "is the file of the rows itself"),
        ("folder.csv", "is a folder"),
    ],
)
def test_outputs_that_cannot_be_written(
    finished: tuple[Place, Ran],
    wines: pd.DataFrame,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    output: str,
    says: str,
) -> None:
    (tmp_path / "folder.csv").mkdir()
    wines.head(3).to_csv(tmp_path / "rows.csv", index=False)
    before = (tmp_path / "rows.csv").read_bytes()
    assert predict(finished[0], tmp_path / "rows.csv", tmp_path / output) == 2
    assert says in capsys.readouterr().err
    assert (tmp_path / "rows.csv").read_bytes() == before


LABELS = ["=1+1", "+x", "-y", "@SUM(A1)", "\tz", "\r0", "-1.5", "+2", "plain", "-1,5", "a=b"]


def test_formulas_are_escaped_and_numbers_are_not(tmp_path: Path) -> None:
    table = pd.DataFrame({"=label": LABELS, "n": np.arange(11) - 5, "p": -np.arange(11) / 7})
    escaped = predictions._escaped(table)
    assert list(escaped.columns) == ["'=label", "n", "p"]
    assert escaped["'=label"].tolist() == [f"'{text}" for text in LABELS[:6]] + LABELS[6:]
    pd.testing.assert_frame_equal(escaped[["n", "p"]], table[["n", "p"]])
    assert predictions._formulas(table) == sorted(["=label", *LABELS[:6]])


@pytest.mark.slow
def test_labels_that_a_spreadsheet_would_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw = np.random.default_rng(0)
    table = pd.DataFrame(draw.normal(size=(120, 2)), columns=["a", "b"])
    table["kind"] = np.where(table["a"] > 0, "=cmd|'/C calc'!A0", "@ok")
    table.to_csv(tmp_path / "rows.csv", index=False)
    text = TINY.replace('source = "wine"', 'source = "rows.csv"\ntarget = "kind"')
    where = place(tmp_path / "study", text)
    (tmp_path / "rows.csv").rename(tmp_path / "study" / "rows.csv")
    assert where.run("--search-only").status == 0
    rows = tmp_path / "study" / "rows.csv"
    assert predict(where, rows, tmp_path / "plain.csv") == 0
    assert "--escape puts a ' before such text" in capsys.readouterr().err
    assert predict(where, rows, tmp_path / "safe.csv", "--escape") == 0
    assert capsys.readouterr().err == ""
    plain, safe = pd.read_csv(tmp_path / "plain.csv"), pd.read_csv(tmp_path / "safe.csv")
    assert set(plain["prediction"]) <= {"=cmd|'/C calc'!A0", "@ok"}
    assert safe["prediction"].tolist() == [f"'{label}" for label in plain["prediction"]]
    pd.testing.assert_frame_equal(safe.iloc[:, 1:], plain.iloc[:, 1:])


def test_without_a_model_or_an_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = place(tmp_path, SMALL)
    (tmp_path / "rows.csv").write_text("alcohol\n1\n")
    assert predict(where, tmp_path / "rows.csv", tmp_path / "out.csv") == 2
    assert "no model is chosen" in capsys.readouterr().err
    assert main(["predict", str(where.file), str(tmp_path / "rows.csv")]) == 2
    assert "-o FILE is missing" in capsys.readouterr().err
    assert not where.home.exists()


def test_what_was_met_is_said_and_counted(
    finished: tuple[Place, Ran], wines: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = wines.head(6).astype(object)
    rows.loc[[1, 4], "hue"] = None
    rows.loc[2, "proline"] = 1e9
    rows["note"] = "from a friend"
    rows.to_csv(tmp_path / "rows.csv", index=False)
    assert predict(finished[0], tmp_path / "rows.csv", tmp_path / "out.csv", "--json") == 0
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert said["new"]["blank"] == {"hue": 2}
    assert said["new"]["unseen"] == {}
    assert {name: one["cells"] for name, one in said["new"]["outside"].items()} == {"proline": 1}
    assert said["new"]["outside"]["proline"]["furthest"] == 1e9
    assert said["unused"] == ["note"]
    assert said["notes"] == err.splitlines()
    assert len(said["notes"]) == 2
    assert 'does not use: "note"' in err
    wines.to_csv(tmp_path / "same.csv", index=False)
    assert predict(finished[0], tmp_path / "same.csv", tmp_path / "out.csv") == 0
    assert capsys.readouterr().err == ""


def test_columns_that_have_other_names_are_named(
    finished: tuple[Place, Ran], wines: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"hue": "Hue ", "proline": "PROLINE", "ash": "ashes"}
    wines.rename(columns=names).to_csv(tmp_path / "rows.csv", index=False)
    assert predict(finished[0], tmp_path / "rows.csv", tmp_path / "out.csv") == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    for old, new in names.items():
        assert f'"{new.strip()}" by "{old}"' in sentence
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_ids_come_along_as_they_stand_in_the_file(
    finished: tuple[Place, Ran], wines: pd.DataFrame, tmp_path: Path, suffix: str
) -> None:
    rows, output = tmp_path / f"rows{suffix}", tmp_path / f"out{suffix}"
    numbers = pd.array([2**60 + 1, None, 3], dtype="Int64")
    table = wines.head(3).assign(**{"id": ["007", "1e5", "=x"], "no. 1": numbers})
    if suffix == ".csv":
        table.to_csv(rows, index=False)
    else:
        table.to_parquet(rows)
    words = ("--keep", "no. 1", "--keep", "id", "--keep", "hue", "--keep", "id")
    assert predict(finished[0], rows, output, *words) == 0
    read = {
        ".csv": lambda: pd.read_csv(output, dtype={"id": str, "no. 1": "Int64"}),
        ".parquet": lambda: pd.read_parquet(output),
    }[suffix]()
    assert list(read.columns[:4]) == ["no. 1", "id", "hue", "prediction"]
    assert read["id"].tolist() == ["007", "1e5", "=x"]
    assert read["no. 1"].dropna().astype("int64").tolist() == [2**60 + 1, 3]
    np.testing.assert_allclose(read["hue"].astype(float), wines["hue"].head(3))
    alone = wb.load_model(finished[0].folder / "model").predict(wines.head(3))
    assert read["prediction"].tolist() == alone["prediction"].tolist()


@pytest.mark.parametrize(
    ("name", "says"),
    [("idd", 'did you mean "id"?'), ("zzz", "it has alcohol"), ("prediction", "have a column of this name")],
)
def test_columns_that_cannot_be_kept(
    finished: tuple[Place, Ran],
    wines: pd.DataFrame,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    says: str,
) -> None:
    wines.head(3).assign(id=1, prediction=2).to_csv(tmp_path / "rows.csv", index=False)
    assert predict(finished[0], tmp_path / "rows.csv", tmp_path / "out.csv", "--keep", name) == 2
    error = capsys.readouterr().err
    assert f'--keep = "{name}"' in error
    assert says in error
    assert not (tmp_path / "out.csv").exists()
