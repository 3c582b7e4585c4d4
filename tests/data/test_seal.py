"""The seal: test rows touch nothing, come out against an opening only, and are recognized in disguise."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.core.errors import DataError
from workbench.core.records import Opening
from workbench.core.types import DataSpec
from workbench.data import Dataset, Rows, SealedTest, load, prepare, row_marks, unseal
from workbench.data.division import divide
from workbench.data.sources import read


def table(n: int = 200, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "size": rng.normal(50, 20, n).round(4),
            "count": rng.integers(0, 400, n),
            "city": rng.choice(["Rom", "Bonn", "Oslo"], n),
            "when": (np.datetime64("2020-01-01") + rng.integers(0, 2000, n)).astype(str),
            "kind": rng.choice(["a", "b"], n),
        }
    )


def opened(spec: DataSpec) -> tuple[Dataset, SealedTest, Rows]:
    dataset, sealed = load(spec)
    return dataset, sealed, unseal(sealed, dataset, opening(sealed))


def opening(sealed: SealedTest) -> Opening:
    return Opening(study="s", seal=sealed.fingerprint, choice="c", look=1)


def test_positions(spec: DataSpec) -> np.ndarray:
    """Where in the file the test rows stand."""
    return divide(read(spec), spec).test


test_positions.__test__ = False  # type: ignore[attr-defined]  # a helper, named for what it gives


def assert_same(a: tuple[Dataset, Any], b: tuple[Dataset, Any]) -> None:
    """Bit for bit: rows, kinds, targets, split, notes, and every array that training sees."""
    one, two = a[0], b[0]
    assert one.fingerprint == two.fingerprint
    assert one.columns == two.columns
    assert one.classes == two.classes
    assert one.notes == two.notes
    for scale in ("standardize", "quantile"):
        transform = "quantile" if one.task == "regression" else "none"
        (fold, fitted), (other, refitted) = (
            prepare(each, scale=scale, target_transform=transform) for each in (one, two)
        )
        assert fitted.to_json() == refitted.to_json()
        for x, y in zip(
            (*fold.train, *fold.validation, fold.shift, fold.scale, fold.transform.knots),
            (*other.train, *other.validation, other.shift, other.scale, other.transform.knots),
            strict=True,
        ):
            assert x.tobytes() == y.tobytes()


@pytest.mark.parametrize("garbage", ["", "NaN", "1e999", "garbage", "-1e300", "unseen level"])
def test_test_rows_change_nothing(tmp_path: Path, garbage: str) -> None:
    """Divided by row numbers, so that the same rows are under test whatever they hold."""
    table().to_csv(tmp_path / "a.csv", index=False)
    spec = DataSpec(source="a.csv", folder=tmp_path, target="kind", split_rule="rows")
    before = load(spec)
    frame = pd.read_csv(tmp_path / "a.csv", dtype=str)
    test = test_positions(spec)
    assert len(test) == before[1].rows == 40
    frame.loc[test, ["size", "count", "city", "when"]] = garbage
    frame.to_csv(tmp_path / "a.csv", index=False)
    after = load(spec)
    assert_same(before, after)
    assert before[1].fingerprint != after[1].fingerprint
    rows = unseal(after[1], after[0], opening(after[1]))  # and can still be opened
    assert len(rows.x) == 40
    assert bool(rows.notes) == (garbage not in ("", "NaN"))
    _, fitted = prepare(after[0])
    assert np.isfinite(fitted.transform(rows.x)).all()


def test_test_rows_of_parquet_change_nothing(tmp_path: Path) -> None:
    """NaN turns a column of integers into floats; development rows do not notice."""
    frame = table()
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    spec = DataSpec(source="a.parquet", folder=tmp_path, target="kind", split_rule="rows")
    test = test_positions(spec)
    before = load(spec)
    frame.loc[test, ["size", "count"]] = np.nan
    frame.loc[test, "city"] = None
    assert frame["count"].dtype == float
    frame.to_parquet(tmp_path / "a.parquet")
    assert_same(before, load(spec))


def test_official_rows_change_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (90, 4, 4)).astype(np.uint8), np.arange(90) % 3
    tests = rng.integers(0, 256, (30, 4, 4)).astype(np.uint8), np.arange(30) % 3
    spec = DataSpec(source="a.npz", folder=tmp_path)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=tests[0], y_test=tests[1])
    a = load(spec)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=np.full((30, 4, 4), np.nan), y_test=tests[1])
    b = load(spec)
    assert (len(a[0].train), len(a[0].validation), a[1].rows) == (67, 23, 30)
    assert_same(a, b)
    assert a[1].fingerprint != b[1].fingerprint


def test_official_file(tmp_path: Path) -> None:
    table(120).to_csv(tmp_path / "dev.csv", index=False)
    held = table(40, seed=1)
    held.to_csv(tmp_path / "held.csv", index=False)
    spec = DataSpec(source="dev.csv", folder=tmp_path, target="kind", test="held.csv")
    dataset, sealed, rows = opened(spec)
    assert sealed.name == "held.csv"
    assert (len(dataset.train), len(dataset.validation), sealed.rows) == (90, 30, 40)
    assert [dataset.classes[code] for code in rows.target] == held["kind"].tolist()
    assert isinstance(rows.x, pd.DataFrame)
    np.testing.assert_array_equal(rows.x["size"], held["size"])
    (tmp_path / "held.csv").unlink()
    with pytest.raises(DataError, match=r"held\.csv: no such file"):
        load(spec)
    again, same = load(spec, sealed=sealed)  # a search that has begun goes on
    assert_same((dataset, None), (again, None))
    assert same == sealed
    assert again.test_rows == 40
    with pytest.raises(DataError, match=r"held\.csv: no such file"):
        unseal(sealed, again, opening(sealed))


def test_target_labels_with_full_stops(tmp_path: Path) -> None:
    """As in the distributed test file of Adult."""
    table(120).to_csv(tmp_path / "dev.csv", index=False)
    held = table(40, seed=1)
    held.assign(kind=held["kind"] + ".").to_csv(tmp_path / "held.csv", index=False)
    dataset, _, rows = opened(DataSpec(source="dev.csv", folder=tmp_path, target="kind", test="held.csv"))
    assert [dataset.classes[code] for code in rows.target] == held["kind"].tolist()


def test_faults_of_an_official_file_show_before_the_search(tmp_path: Path) -> None:
    table(120).to_csv(tmp_path / "dev.csv", index=False)
    spec = DataSpec(source="dev.csv", folder=tmp_path, target="kind", test="held.csv")
    held = table(40, seed=1)
    for frame, sentence in (
        (held.assign(kind="z"), 'holds the class "z", which no development row has'),
        (held.assign(kind=None), "is blank in 40 rows of 40"),
        (held.drop(columns="kind"), 'lacks the target column "kind"'),
        (held.drop(columns="size"), 'lacks the column "size"'),
    ):
        frame.to_csv(tmp_path / "held.csv", index=False)
        with pytest.raises(DataError, match=sentence) as caught:
            load(spec)
        assert str(caught.value).startswith("held.csv: ")


def test_the_promise_holds_no_row(tmp_path: Path) -> None:
    frame = table()
    frame["secret"] = [f"s{i % 7}ecret" for i in range(200)]
    frame.to_csv(tmp_path / "a.csv", index=False)
    dataset, sealed = load(DataSpec(source="a.csv", folder=tmp_path, target="kind"))
    assert [f.name for f in dataclasses.fields(sealed)] == ["name", "rows", "fingerprint", "undefined"]
    assert b"ecret" not in pickle.dumps(sealed)
    assert "ecret" not in repr(sealed)
    assert SealedTest(**dataclasses.asdict(sealed)) == sealed
    assert not sealed.undefined  # why a metric would have no value: of test rows it tells no more
    assert isinstance(dataset.rows, pd.DataFrame)
    assert len(dataset.rows) == len(dataset.train) + len(dataset.validation) == 160


def test_refusals(tmp_path: Path) -> None:
    frame = table()
    frame.to_csv(tmp_path / "a.csv", index=False)
    spec = DataSpec(source="a.csv", folder=tmp_path, target="kind")
    dataset, sealed = load(spec)
    with pytest.raises(DataError, match="the opening is for the seal deadbeef"):
        unseal(sealed, dataset, Opening("s", "deadbeef", "c", 1))
    test = test_positions(spec)
    frame.loc[test[3], "count"] += 1
    frame.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match="its test rows are not the 40 that were sealed"):
        unseal(sealed, dataset, opening(sealed))
    with pytest.raises(DataError, match="its test rows are not the 40 that were sealed"):
        load(spec, sealed=sealed)
    other, _ = load(dataclasses.replace(spec, seed=1))
    assert other.fingerprint != dataset.fingerprint


def test_features_do_not_change_the_seal(tmp_path: Path) -> None:
    table().to_csv(tmp_path / "a.csv", index=False)
    spec = DataSpec(source="a.csv", folder=tmp_path, target="kind")
    seals = {
        load(dataclasses.replace(spec, drop=drop))[1].fingerprint
        for drop in ((), ("city",), ("size", "when"))
    }
    assert len(seals) == 1


def test_real_test_rows(data_folder: Path) -> None:
    adult = DataSpec(source="adult.csv", folder=data_folder, target="classification", test="adult_test.csv")
    dataset, _, rows = opened(adult)
    raw = pd.read_csv(data_folder / "adult_test.csv", skipinitialspace=True)
    assert [dataset.classes[code] for code in rows.target[:500]] == raw["classification"][:500].tolist()
    assert len(np.unique(rows.marks[:, 0])) > 0.99 * len(raw)
    dataset, _, rows = opened(DataSpec(source="mnist.npz", folder=data_folder))
    with np.load(data_folder / "mnist.npz") as archive:
        assert np.array_equal(rows.x[..., 0], archive["x_test"])
        assert np.array_equal(rows.target, archive["y_test"])


# ── marks ──


def shared(a: np.ndarray, b: np.ndarray, kind: int) -> float:
    """Share of the rows of `a` that are recognized in `b`."""
    return float(np.isin(a[:, kind], b[:, kind]).mean())


VALUE, PLACE = 0, 1


def test_marks_recognize_shuffled_and_renamed_rows() -> None:
    frame = table(500)
    marks = row_marks(frame)
    assert marks.shape == (500, 2)
    assert marks.dtype == np.uint64
    disguised = frame.sample(frac=1.0, random_state=1)[["kind", "when", "size", "city", "count"]]
    disguised = disguised.set_axis(list("vwxyz"), axis=1).assign(constant=1)
    other = row_marks(disguised)
    for kind in (VALUE, PLACE):
        assert sorted(marks[:, kind]) == sorted(other[:, kind])
    as_text = row_marks(disguised.astype(str))
    np.testing.assert_array_equal(as_text, other)
    assert shared(row_marks(frame.iloc[:200]), marks, VALUE) == 1.0  # some of the rows


@settings(max_examples=40, deadline=None)
@given(
    factor=st.floats(1e-6, 1e6),
    negative=st.booleans(),
    offset=st.floats(-1e3, 1e3),
    seed=st.integers(0, 100),
)
def test_marks_recognize_rescaled_numbers(factor: float, negative: bool, offset: float, seed: int) -> None:
    frame = table(300, seed)
    frame.loc[frame.index[::17], "size"] = np.nan
    marks = row_marks(frame)
    disguised = frame.assign(
        size=(frame["size"] - frame["size"].mean()) * (-factor if negative else factor) + offset
    )
    disguised["count"] = disguised["count"] / disguised["count"].max()
    disguised["city"] = disguised["city"].map({"Rom": "r", "Bonn": "b", "Oslo": "o"})
    # Rounding may make neighbors equal and so move a few rows, never all that rank above them.
    assert shared(row_marks(disguised), marks, PLACE) > 0.95


def test_marks_recognize_logarithms_and_single_precision() -> None:
    frame = table(300)
    marks = row_marks(frame)
    assert shared(row_marks(frame.assign(count=np.log1p(frame["count"]))), marks, PLACE) == 1.0
    assert shared(row_marks(frame.astype({"size": np.float32})), marks, VALUE) == 1.0


def test_marks_do_not_confuse_other_rows() -> None:
    a, b = row_marks(table(500, 0)), row_marks(table(500, 1))
    assert shared(a, b, VALUE) == 0.0
    assert shared(a, b, PLACE) < 0.05


def test_marks_of_arrays_and_images() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 6))
    marks = row_marks(x)
    assert shared(row_marks(x[::-1, ::-1] * 3 - 1), marks, PLACE) == 1.0
    images = rng.integers(0, 256, (50, 8, 8, 3)).astype(np.uint8)
    marks = row_marks(images)
    assert shared(row_marks(images[10:20].astype(np.float32)), marks, VALUE) == 1.0
    assert shared(row_marks((images / 255.0 - 0.5).astype(np.float32)), marks, PLACE) > 0.95
    other = row_marks(rng.integers(0, 256, (50, 8, 8, 3)).astype(np.uint8))
    assert shared(other, marks, VALUE) == shared(other, marks, PLACE) == 0.0
