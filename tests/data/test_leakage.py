"""Leakage: every finding planted into real data, and silence on real data as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from tests.helpers.leakage_cases import LOADERS, one, real, written
from workbench.core.types import DataSpec
from workbench.data import BUILTIN, Dataset, findings, load
from workbench.data.leakage.copies import exact_copies, near_copies

# ── silence ──


@pytest.mark.parametrize("name", [name for name in BUILTIN if name not in ("tickets", "purchases")])
def test_built_in_sets_give_no_alarm(name: str) -> None:
    for seed in range(1 if name in ("adding-100", "bag_of_words", "copy-20") else 4):
        assert findings(load(DataSpec(source=name, split_seed=seed))[0]) == ()


def test_real_files_give_no_alarm(data_folder: Path) -> None:
    housing = DataSpec(source="housing.csv", folder=data_folder, target="median_house_value")
    for seed in range(4):
        assert findings(load(replace(housing, split_seed=seed))[0]) == ()
    assert findings(load(DataSpec(source="mnist.npz", folder=data_folder))[0]) == ()


def test_adult_holds_copies(data_folder: Path) -> None:
    """Of its 24 repeated rows some cross a split by row numbers, which is told, but none one by content."""
    spec = DataSpec(source="adult.csv", folder=data_folder, target="classification", test="adult_test.csv")
    frame = pd.read_csv(data_folder / "adult.csv")
    assert frame.duplicated().sum() == 24
    assert findings(load(spec)[0]) == ()
    assert one(load(replace(spec, split_rule="rows"))[0]).startswith(
        "adult.csv: 11 of 8140 validation rows (0.1%) are copies of training"
    )


# ── copies ──


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("noise", [0.0, 1e-6, 1e-3, 0.01])
def test_copies(tmp_path: Path, name: str, noise: float) -> None:
    frame, rng = real(name), np.random.default_rng(0)
    chosen = rng.choice(len(frame), len(frame) // 8, replace=False)
    more = frame.iloc[chosen].copy()
    numbers = more.columns[: len(more.columns) - 1]
    more[numbers] = more[numbers] + noise * frame[numbers].std().to_numpy() * rng.normal(
        size=(len(more), len(numbers))
    )
    if noise and name == "diabetes":
        more["sex"] = frame["sex"].iloc[chosen]
    dataset = written(tmp_path, pd.concat([frame, more]).sample(frac=1.0, random_state=1))
    order = pd.concat([frame.assign(case=range(len(frame))), more.assign(case=chosen)])
    cases = order.sample(frac=1.0, random_state=1)["case"].to_numpy()
    development = np.sort(np.concatenate([dataset.train, dataset.validation]))
    assert len(development) < len(cases)
    exact = exact_copies(dataset)
    found = exact if noise == 0 else near_copies(dataset, exact)
    kind = "copies of training rows" if noise == 0 else "nearly the same as a training row"
    assert kind in one(dataset)
    assert "[data] group" in one(dataset)
    expected = _crossing(dataset, cases, tmp_path)
    assert abs(int(found.sum()) - expected) <= (0 if noise < 0.01 else 1 + expected // 5)


def _crossing(dataset: Dataset, cases: np.ndarray, folder: Path) -> int:
    """How many validation rows show a case that training rows show, by a column that nothing else sees."""
    frame = pd.read_csv(folder / "a.csv").assign(case=cases)
    frame.to_csv(folder / "cases.csv", index=False)
    numbered = load(replace(dataset.spec, source="cases.csv"))[0]
    assert isinstance(numbered.rows, pd.DataFrame)
    case = numbered.rows["case"].to_numpy()
    return int(np.isin(case[numbered.validation], case[numbered.train]).sum())


@pytest.mark.parametrize("name", LOADERS)
def test_copies_stay_together_by_content(tmp_path: Path, name: str) -> None:
    frame = real(name)
    dataset = written(tmp_path, pd.concat([frame, frame.head(40)]), split_rule="content")
    assert not exact_copies(dataset).any()
    assert findings(dataset) == ()


def test_copies_in_housing(data_folder: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(data_folder / "housing.csv").rename(columns={"median_house_value": "y"})
    more = frame.sample(600, random_state=0)
    more["total_rooms"] += 1
    more["median_income"] += 0.0004
    dataset = written(tmp_path, pd.concat([frame, more]))
    assert "nearly the same" in one(dataset)
    expected = _crossing(dataset, np.concatenate([np.arange(len(frame)), more.index]), tmp_path)
    assert 100 < expected < 200
    assert abs(near_copies(dataset, exact_copies(dataset)).sum() - expected) <= 5


def test_copies_of_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    digits = datasets.load_digits()
    x = np.concatenate(
        [digits.images, digits.images[:200], digits.images[200:400] + rng.normal(0, 0.05, (200, 8, 8))]
    )
    np.savez(tmp_path / "a.npz", x=x, y=np.concatenate([digits.target, digits.target[:400]]))
    dataset = load(DataSpec(source="a.npz", folder=tmp_path, split_rule="rows"))[0]
    same, near = findings(dataset)
    assert "are copies of training rows" in same
    assert "are nearly the same as a training row" in near


def test_equal_rows_of_few_values_are_explained(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.integers(0, 3, (400, 4)), columns=list("abcd")).assign(
        y=rng.choice(["u", "v"], 400)
    )
    assert "different cases may look alike, and then all is well" in one(written(tmp_path, frame))


def test_other_targets_make_no_copies(tmp_path: Path) -> None:
    frame = real("diabetes")
    twins = pd.concat([frame, frame.assign(y=frame["y"] + 200.0)])
    assert findings(written(tmp_path, twins)) == ()


# ── identifiers, groups, times ──


@pytest.mark.parametrize("name", LOADERS)
def test_identifiers(tmp_path: Path, name: str) -> None:
    frame, rng = real(name).sample(frac=1.0, random_state=0), np.random.default_rng(0)
    n = len(frame)
    for column, values, keys in (
        ("number", np.arange(n) + 1000, {}),
        ("ticket", np.cumsum(rng.integers(1, 50, n)), {}),
        ("shuffled", rng.permutation(n), {}),
        ("patientId", rng.choice(10**9, n, replace=False), {}),
        ("label", [f"P{i}" for i in range(n)], {"categorical": ("label",)}),
    ):
        sentence = one(written(tmp_path, frame.assign(**{column: values}), **keys))
        assert sentence.startswith(f'a.csv: the column "{column}" ')
        assert f'write [data] drop = ["{column}"]' in sentence
    for column, values in (
        ("income", rng.choice(10**9, n, replace=False)),
        ("rising", np.sort(rng.normal(size=n))),
        ("count", rng.poisson(1000, n)),
    ):
        assert findings(written(tmp_path, frame.assign(**{column: values}))) == ()


def test_row_numbers_of_a_sorted_file_tell_the_class(tmp_path: Path) -> None:
    first, second = findings(written(tmp_path, real("wine").assign(row=range(178))))
    assert 'the column "row" alone predicts' in first
    assert 'the column "row" numbers the rows' in second


def patients(rng: np.random.Generator) -> pd.DataFrame:
    """Real measurements, three of a patient, in the order in which they came."""
    frame = real("diabetes")
    frame["patient"] = rng.permutation(np.arange(len(frame)) // 3) + 5000
    frame["height"] = rng.normal(170, 10, 200).round(0)[frame["patient"] - 5000]
    return frame


def test_groups_on_both_sides(tmp_path: Path) -> None:
    frame = patients(np.random.default_rng(0))
    advice = 'belong together and the model is for new ones, write [data] group = "patient"'
    assert advice in one(written(tmp_path, frame))
    assert findings(written(tmp_path, frame, group="patient")) == ()
    named = frame.drop(columns="height")
    assert 'group = "patient"' in one(written(tmp_path, named))
    # Without a telling name: other columns are the same in each group, or labels repeat a few times each.
    assert 'group = "a"' in one(written(tmp_path, frame.rename(columns={"patient": "a"})))
    labels = named.assign(patient="P" + named["patient"].astype(str)).rename(columns={"patient": "a"})
    assert 'group = "a"' in one(written(tmp_path, labels))
    assert findings(written(tmp_path, named.rename(columns={"patient": "a"}))) == ()  # like any other number


def test_numbers_that_only_look_like_groups(tmp_path: Path) -> None:
    frame = real("diabetes")
    frame["months"] = (frame["age"] * 12 + np.arange(len(frame)) % 12).astype(int)  # ages are their roundings
    assert findings(written(tmp_path, frame)) == ()
    few = frame.assign(hospital=np.arange(len(frame)) % 5)
    assert findings(written(tmp_path, few)) == ()


def test_times_in_random_order(tmp_path: Path) -> None:
    frame, rng = real("diabetes"), np.random.default_rng(0)
    frame["seen"] = (np.datetime64("2019-01-01") + rng.integers(0, 1500, len(frame))).astype(str)
    sentence = one(written(tmp_path, frame))
    assert '"seen" goes from 2019-01-' in sentence
    assert 'write [data] time = "seen"' in sentence
    assert findings(written(tmp_path, frame, time="seen")) == ()
    assert findings(written(tmp_path, frame.rename(columns={"seen": "date_of_birth"}))) == ()
    years = real("diabetes").assign(year=2001 + rng.integers(0, 9, len(frame)))
    assert 'time = "year"' in one(written(tmp_path, years))
    assert findings(written(tmp_path, years.rename(columns={"year": "year_built"}))) == ()
    one_week = frame.assign(seen=(np.datetime64("2019-01-01") + rng.integers(0, 7, len(frame))).astype(str))
    assert findings(written(tmp_path, one_week)) == ()


# ── and at size ──


def test_a_hundred_thousand_rows_are_fast(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100_000, 20)) @ rng.normal(size=(20, 20))
    np.savez(tmp_path / "a.npz", x=x, y=(x[:, 0] + rng.normal(size=100_000) > 0).astype(int))
    dataset = load(DataSpec(source="a.npz", folder=tmp_path))[0]
    assert findings(dataset) == ()
