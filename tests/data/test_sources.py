"""Reading: built-in sets, every kind of file, and the real files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from workbench.core.errors import DataError
from workbench.core.types import DataSpec, Split
from workbench.data import Dataset, load, prepare, read_rows

PEOPLE = "age,city,income\n" + "".join(f"{20 + i},{'AB'[i % 2]},{i * 1.5}\n" for i in range(40))


def loaded(folder: Path, source: str, **keys: Any) -> Dataset:
    return load(DataSpec(source=source, folder=folder, **keys))[0]


def written(folder: Path, name: str, content: str | bytes) -> str:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return name


BUNDLED = ["digits", "breast_cancer", "wine", "diabetes", "iris"]


@pytest.mark.parametrize("name", BUNDLED)
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
