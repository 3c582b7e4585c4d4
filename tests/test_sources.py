"""Reading: built-in sets, every kind of file, the real files, and one sentence for all that can be wrong."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from workbench.data import BUILTIN, Dataset, load, prepare, read_rows
from workbench.errors import DataError
from workbench.types import DataSpec, Split

PEOPLE = "age,city,income\n" + "".join(f"{20 + i},{'AB'[i % 2]},{i * 1.5}\n" for i in range(40))


def loaded(folder: Path, source: str, **keys: Any) -> Dataset:
    return load(DataSpec(source=source, folder=folder, **keys))[0]


def written(folder: Path, name: str, content: str | bytes) -> str:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return name


@pytest.mark.parametrize("name", BUILTIN)
def test_builtin_equals_scikit_learn(name: str) -> None:
    dataset = loaded(Path(), name)
    bunch = getattr(datasets, f"load_{name}")(**({"scaled": False} if name == "diabetes" else {}))
    assert isinstance(dataset.rows, pd.DataFrame)
    assert dataset.rows.shape[1] == bunch.data.shape[1]
    assert len(dataset.rows) + dataset.test_rows == len(bunch.data)
    whole = {tuple(row) for row in bunch.data}
    assert {tuple(row) for row in dataset.rows.to_numpy()} <= whole
    assert dataset.task == ("regression" if name == "diabetes" else "classification")
    if dataset.classes:
        assert set(dataset.classes) == {str(c) for c in bunch.target_names}
        by_row = {
            tuple(row): str(bunch.target_names[t]) for row, t in zip(bunch.data, bunch.target, strict=True)
        }
        for row, code in zip(dataset.rows.to_numpy()[:50], dataset.target, strict=False):
            assert by_row[tuple(row)] == dataset.classes[code]


def test_digits_features() -> None:
    dataset = loaded(Path(), "digits")
    assert dataset.columns[0].name == "pixel_0_0"
    assert dataset.input_shape == (64,)
    assert dataset.classes == tuple("0123456789")


def test_formats_agree(tmp_path: Path) -> None:
    frame = pd.read_csv(pd.io.common.StringIO(PEOPLE))
    written(tmp_path, "a.csv", PEOPLE)
    frame.to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    frame.to_csv(tmp_path / "semi.csv", sep=";", index=False)
    frame.to_csv(tmp_path / "indexed.csv")
    written(tmp_path, "spaced.csv", "\ufeff\n" + PEOPLE.replace(",", ", ").replace("\n", "\r\n"))
    frame.to_parquet(tmp_path / "a.parquet")
    prints = {
        name: loaded(tmp_path, name, target="income").fingerprint
        for name in ("a.csv", "a.tsv", "semi.csv", "indexed.csv", "spaced.csv", "a.parquet")
    }
    assert len(set(prints.values())) == 1, prints


def test_quoted_cells(tmp_path: Path) -> None:
    body = "".join(f'{i},"{"x, y" if i % 2 else "two" + chr(10) + "lines"}",{i}\n' for i in range(30))
    name = written(tmp_path, "q.csv", "n,label,y\n" + body)
    rows = loaded(tmp_path, name, target="y").rows
    assert isinstance(rows, pd.DataFrame)
    assert set(rows["label"].cat.categories) == {"x, y", "two\nlines"}


def test_archives(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    np.savez(tmp_path / "rows.npz", x=rng.normal(size=(60, 4)), y=y)
    np.savez(tmp_path / "gray.npz", x=rng.integers(0, 255, (60, 5, 6)).astype(np.uint8), y=y)
    np.savez(tmp_path / "color.npz", x=rng.random((60, 5, 6, 3)), y=np.array(list("abc"))[y])
    lengths = rng.integers(1, 8, 60)
    np.savez(
        tmp_path / "steps.npz", x=rng.normal(size=(60, 7, 2)), y=rng.normal(size=(60, 2)), lengths=lengths
    )
    assert loaded(tmp_path, "rows.npz").input_shape == (4,)
    assert loaded(tmp_path, "gray.npz").input_shape == (5, 6, 1)
    assert loaded(tmp_path, "color.npz").classes == ("a", "b", "c")
    steps = loaded(tmp_path, "steps.npz")
    assert steps.task == "regression"
    assert steps.target.shape[1] == 2
    assert steps.input_shape == (7, 3)  # one feature says whether a step is there
    there = ~np.isnan(steps.rows).all(axis=2)  # type: ignore[arg-type]
    assert sorted(there.sum(axis=1))[0] >= 1
    fold, _ = prepare(steps)
    assert (fold.train.x[..., 2].sum(axis=1) >= 1).all()
    assert (fold.train.x[fold.train.x[..., 2] == 0] == 0).all()
    assert fold.shift.shape == fold.scale.shape == (2,)


def test_read_rows(tmp_path: Path) -> None:
    written(tmp_path, "a.csv", PEOPLE)
    _, preprocessor = prepare(loaded(tmp_path, "a.csv", target="income"))
    assert preprocessor.transform(read_rows(tmp_path / "a.csv")).shape == (40, 3)
    with pytest.raises(DataError, match=r"did you mean a.csv"):
        read_rows(tmp_path / "aa.csv")


def test_features_and_drop(tmp_path: Path) -> None:
    written(tmp_path, "a.csv", PEOPLE)
    names = lambda **keys: [c.name for c in loaded(tmp_path, "a.csv", target="income", **keys).columns]  # noqa: E731
    assert names() == ["age", "city"]
    assert names(drop=("age",)) == ["city"]
    assert names(features=("city", "age")) == ["city", "age"]
    assert names(time="age") == ["city"]
    assert names(time="age", features=("age",)) == ["age"]


def test_housing(data_folder: Path) -> None:
    dataset = loaded(data_folder, "housing.csv", target="median_house_value")
    frame = pd.read_csv(data_folder / "housing.csv")
    assert dataset.task == "regression"
    assert dataset.input_shape == (8 + 1 + 5,) or dataset.input_shape == (8 + 1 + 4,)  # ISLAND has 5 rows
    assert isinstance(dataset.rows, pd.DataFrame)
    known = frame.median_income.round(6).value_counts()
    assert dataset.rows.median_income.round(6).isin(known.index).all()
    summary = dataset.summary()
    assert (summary["rows"], summary["train"], summary["test"]) == (20640, 12384, 4128)


def test_adult(data_folder: Path) -> None:
    dataset, sealed = load(
        DataSpec(source="adult.csv", folder=data_folder, target="classification", test="adult_test.csv")
    )
    assert dataset.classes == ("<=50K", ">50K")
    assert (len(dataset.train), len(dataset.validation), sealed.rows) == (24421, 8140, 16281)
    assert isinstance(dataset.rows, pd.DataFrame)
    raw = pd.read_csv(data_folder / "adult.csv", skipinitialspace=True, na_values="?")
    expected = {name: int(n) for name, n in raw.isna().sum().items() if n}
    assert {name: int(n) for name, n in dataset.rows.isna().sum().items() if n} == expected
    for column in ("age", "education-num", "hours-per-week"):
        assert np.array_equal(dataset.rows[column].to_numpy(), raw[column].to_numpy(float))
    for column in ("workclass", "native-country"):
        assert (
            dataset.rows[column]
            .astype(object)
            .where(raw[column].notna(), None)
            .equals(raw[column].astype(object).where(raw[column].notna(), None))
        )


def test_mnist(data_folder: Path) -> None:
    dataset, sealed = load(DataSpec(source="mnist.npz", folder=data_folder))
    assert (len(dataset.train), len(dataset.validation), sealed.rows) == (45000, 15000, 10000)
    assert dataset.input_shape == (28, 28, 1)
    with np.load(data_folder / "mnist.npz") as archive:
        assert np.array_equal(dataset.rows[..., 0], archive["x_train"])
        assert np.array_equal(dataset.target, archive["y_train"])


HEAD, NUMBERS = "a,b,y\n", "".join(f"{i},{i * 2},{i * 0.5}\n" for i in range(30))
BAD: list[tuple[str, Mapping[str, str | bytes], dict[str, Any], str]] = [
    (
        "missing file",
        {"house.csv": "x"},
        {"source": "hose.csv"},
        r"hose\.csv: no such file .* did you mean house\.csv\?",
    ),
    ("misspelled set", {}, {"source": "digit"}, 'source = "digit" is neither .* did you mean digits'),
    ("suffix", {"a.xlsx": "x"}, {"source": "a.xlsx"}, r"a\.xlsx: \.xlsx is not a kind .* use \.csv"),
    ("empty", {"a.csv": ""}, {"source": "a.csv"}, r"a\.csv: is empty"),
    ("header only", {"a.csv": HEAD}, {"source": "a.csv", "target": "y"}, r"a\.csv: holds no rows"),
    (
        "ragged",
        {"a.csv": HEAD + "1,2,3\n4,5\n"},
        {"source": "a.csv"},
        'row 2 .* 2 cells, but there are 3 .*"4,5"',
    ),
    (
        "latin-1",
        {"a.csv": HEAD.encode() + b"1,\xe9,2\n"},
        {"source": "a.csv"},
        r"not UTF-8 text \(byte 0xe9 in line 2\)",
    ),
    (
        "late latin-1",
        {"a.csv": HEAD.encode() + b"1,2,2\n" * 9 + b"\xff,2,2\n"},
        {"source": "a.csv"},
        "in line 11",
    ),
    (
        "twice",
        {"a.csv": "a,b, a\n1,2,3\n"},
        {"source": "a.csv"},
        'the column "a" stands in the first line twice',
    ),
    ("no target", {"a.csv": HEAD + NUMBERS}, {"source": "a.csv"}, r'target is missing; .* such as "y"'),
    (
        "target",
        {"a.csv": "price,b\n1,2\n"},
        {"source": "a.csv", "target": "prize"},
        'is not a column; did you mean "price"',
    ),
    (
        "constant",
        {"a.csv": HEAD + "1,2,5\n2,3,5\n" * 9},
        {"source": "a.csv", "target": "y"},
        'is constant: "5"|one class',
    ),
    (
        "one class",
        {"a.csv": HEAD + "1,2,u\n2,3,u\n" * 9},
        {"source": "a.csv", "target": "y"},
        'of one class, "u"',
    ),
    (
        "rare",
        {"a.csv": HEAD + "1,2,u\n2,3,v\n" * 9 + "1,1,w\n"},
        {"source": "a.csv", "target": "y"},
        'class "w" has 1 row',
    ),
    (
        "blank",
        {"a.csv": HEAD + "1,2,u\n2,3,v\n4,4,\n5,5,?\n" * 9},
        {"source": "a.csv", "target": "y"},
        "blank in 18 rows of 36",
    ),
    (
        "text",
        {"a.csv": HEAD + NUMBERS + "1,1,lots\n"},
        {"source": "a.csv", "target": "y", "task": "regression"},
        'holds text such as "lots" in 1 rows',
    ),
    (
        "few",
        {"a.csv": HEAD + "1,2,0.5\n3,4,1.5\n"},
        {"source": "a.csv", "target": "y"},
        "has 2 rows, too few",
    ),
    *(
        (
            key,
            {"a.csv": HEAD + NUMBERS},
            {"source": "a.csv", "target": "y", key: value},
            rf"\[data\] {key} names \"bb\"",
        )
        for key, value in (
            ("features", ("bb",)),
            ("drop", ("bb",)),
            ("categorical", ("bb",)),
            ("group", "bb"),
            ("time", "bb"),
        )
    ),
    (
        "drop all",
        {"a.csv": HEAD + NUMBERS},
        {"source": "a.csv", "target": "y", "drop": ("a", "b")},
        "leaves no column",
    ),
    (
        "own test",
        {"a.csv": HEAD + NUMBERS},
        {"source": "a.csv", "target": "y", "test": "a.csv"},
        "names the source itself",
    ),
    (
        "no test",
        {"a.csv": HEAD + NUMBERS},
        {"source": "a.csv", "target": "y", "test": "b.csv"},
        r"b\.csv: no such file",
    ),
    ("not npz", {"a.npz": b"nonsense"}, {"source": "a.npz"}, r"a\.npz: .*numpy\.savez"),
    ("not parquet", {"a.parquet": b"nonsense"}, {"source": "a.parquet"}, "is not a readable Parquet file"),
    ("folder", {}, {"source": "."}, "is a folder"),
    ("openml", {}, {"source": "openml:"}, "write openml:NAME"),
]


@pytest.mark.parametrize(("files", "keys", "sentence"), [bad[1:] for bad in BAD], ids=[bad[0] for bad in BAD])
def test_sentences(
    tmp_path: Path, files: Mapping[str, str | bytes], keys: dict[str, Any], sentence: str
) -> None:
    for name, content in files.items():
        written(tmp_path, name, content)
    with pytest.raises(DataError) as caught:
        load(DataSpec(folder=tmp_path, **keys))
    text = str(caught.value)
    assert re.search(sentence, text), text
    assert "\n" not in text
    assert len(text) < 400


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"z": np.zeros(3)}, "holds z; it needs the arrays x and y"),
        ({"x": np.zeros((9, 2))}, "holds no targets"),
        ({"x": np.zeros((9, 2)), "y": np.zeros(8)}, r"y has the shape \(8,\), but x has 9 rows"),
        ({"x": np.zeros(9), "y": np.zeros(9)}, r"x has the shape \(9,\)"),
        ({"x": np.array([["a"]] * 9), "y": np.zeros(9)}, "must hold numbers"),
        ({"x": np.array([[None]] * 9), "y": np.zeros(9)}, "pickled objects"),
        ({"x": np.zeros((9, 4, 2)), "y": np.arange(9), "lengths": np.full(9, 5)}, "must lie in 1 to 4"),
        (
            {"x": np.zeros((9, 4, 2)), "y": np.arange(9), "lengths": np.ones(8, int)},
            "must be 9 whole numbers",
        ),
        ({"x": np.zeros((9, 4)), "y": np.array([0.5, np.nan] * 4 + [1])}, "blank in 4 rows of 9"),
        (
            {"x_train": np.zeros((9, 2)), "y_train": np.arange(9), "x_test": np.zeros((3, 2))},
            "holds no targets",
        ),
        (
            {
                "x_train": np.zeros((9, 2)),
                "y_train": np.arange(9.0),
                "x_test": np.zeros((3, 3)),
                "y_test": np.arange(3.0),
            },
            r"test rows have the shape \(3,\)",
        ),
    ],
)
def test_archive_sentences(tmp_path: Path, arrays: dict[str, np.ndarray], sentence: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=sentence):
        loaded(tmp_path, "a.npz")


def test_openml_failure_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(**_: object) -> None:
        raise OSError("no route to host\nsecond line")

    monkeypatch.setattr(datasets, "fetch_openml", fetch)
    with pytest.raises(DataError, match=r"openml:titanic.* \(no route to host\); check the name"):
        loaded(Path(), "openml:titanic")


def test_openml(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.utils import Bunch

    frame = pd.DataFrame(
        {
            "size": pd.Categorical(["s", "l"] * 20, categories=["s", "m", "l"]),
            "n": range(40),
            "class": pd.Categorical(["p", "q", "q", "p"] * 10),
        }
    )
    asked: dict[str, object] = {}

    def fetch(**keys: object) -> Bunch:
        asked.update(keys)
        return Bunch(frame=frame, target_names=["class"])

    monkeypatch.setattr(datasets, "fetch_openml", fetch)
    dataset = loaded(Path(), "openml:shirts@3")
    assert asked["version"] == 3
    assert dataset.classes == ("p", "q")
    assert list(dataset.rows["size"].cat.categories) == ["l", "s"]  # type: ignore[call-overload,union-attr]


def test_dataset_is_frozen() -> None:
    dataset = loaded(Path(), "iris", split=Split(0.5, 0.3, 0.2))
    with pytest.raises(dataclasses.FrozenInstanceError):
        dataset.name = "other"  # type: ignore[misc]
    assert set(dataset.summary()) >= {
        "name",
        "task",
        "rows",
        "train",
        "validation",
        "test",
        "balance",
        "fingerprint",
    }
    assert all(isinstance(value, str | int | float) for value in dataset.summary().values())
