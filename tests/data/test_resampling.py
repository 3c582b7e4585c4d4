"""Folds and other hold-outs: complete, by class, by group, by time, and never a test row among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import TimeSeriesSplit

from workbench.core.errors import DataError
from workbench.core.records import Opening
from workbench.core.types import DataSpec
from workbench.data import Dataset, cross_validation, load, prepare, reshuffled, unseal
from workbench.data.splits import folds

SEEDS = st.integers(0, 2**31)


# ── row numbers ──


@settings(max_examples=150, deadline=None)
@given(counts=st.lists(st.integers(10, 60), min_size=1, max_size=8), k=st.integers(2, 10), seed=SEEDS)
def test_folds_by_class(counts: list[int], k: int, seed: int) -> None:
    codes = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    n = len(codes)
    pairs = folds(codes, n, k, seed, stratify=True)
    assert len(pairs) == k
    assert np.array_equal(np.sort(np.concatenate([validation for _, validation in pairs])), np.arange(n))
    for train, validation in pairs:
        assert np.array_equal(np.sort(np.concatenate([train, validation])), np.arange(n))
        assert len(validation) in (n // k, -(-n // k))
        inside = np.bincount(codes[validation], minlength=len(counts))
        assert (np.abs(inside - np.array(counts) / k) < 1).all()
    again = folds(codes, n, k, seed, stratify=True)
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(pairs, again, strict=True))


@settings(max_examples=100, deadline=None)
@given(groups=st.lists(st.integers(0, 60), min_size=30, max_size=300), k=st.integers(2, 6), seed=SEEDS)
def test_folds_keep_groups_whole(groups: list[int], k: int, seed: int) -> None:
    group = np.array(groups)
    if len(np.unique(group)) < k:
        return
    pairs = folds(None, len(group), k, seed, stratify=False, group=group)
    assert np.array_equal(np.sort(np.concatenate([v for _, v in pairs])), np.arange(len(group)))
    for train, validation in pairs:
        assert len(validation)
        assert not np.isin(group[validation], group[train]).any()
        assert len(train) + len(validation) == len(group)


def test_folds_of_groups_are_balanced() -> None:
    rng = np.random.default_rng(0)
    group = rng.integers(0, 300, 3000)
    codes = (rng.random(300) < 0.3).astype(int)[group]
    for _, validation in folds(codes, 3000, 5, 0, stratify=True, group=group):
        assert len(validation) == pytest.approx(600, rel=0.03)
        assert codes[validation].mean() == pytest.approx(codes.mean(), abs=0.02)


@settings(max_examples=100, deadline=None)
@given(times=st.lists(st.floats(-1e6, 1e6), min_size=12, max_size=100), k=st.integers(2, 8))
def test_folds_in_time(times: list[float], k: int) -> None:
    time = np.array(times)
    pairs = folds(None, len(time), k, 0, stratify=False, time=time)
    for i, (train, validation) in enumerate(pairs):
        assert time[train].max() <= time[validation].min()
        assert len(train) == sum(len(v) for _, v in pairs[:i]) + len(pairs[0][0])
        assert len(validation) in (len(time) // (k + 1), -(-len(time) // (k + 1)))
    if len(time) % (k + 1) == 0:
        order = np.argsort(time, kind="stable")
        oracle = TimeSeriesSplit(k).split(order)
        for (train, validation), (a, b) in zip(pairs, oracle, strict=True):
            np.testing.assert_array_equal(train, np.sort(order[a]))
            np.testing.assert_array_equal(validation, np.sort(order[b]))


def test_fold_sentences() -> None:
    codes = np.array([0] * 10 + [1] * 3)
    with pytest.raises(DataError, match=r'class "b" has 3 rows, but .* needs 5, one for each of 5 folds'):
        folds(codes, 13, 5, 0, stratify=True, classes=("a", "b"))
    with pytest.raises(DataError, match="13 rows cannot be divided into 1 folds; take 2 to 13"):
        folds(None, 13, 1, 0, stratify=False)
    with pytest.raises(DataError, match="into 13 folds; take 2 to 12"):
        folds(None, 13, 13, 0, stratify=False, time=np.arange(13))
    with pytest.raises(DataError, match="group has 2 different values, but 3 folds need 3"):
        folds(None, 12, 3, 0, stratify=False, group=np.arange(12) % 2)
    with pytest.raises(DataError, match="exclude each other"):
        folds(None, 12, 3, 0, stratify=False, group=np.arange(12), time=np.arange(12))


# ── datasets ──


def written(folder: Path, n: int = 300, **keys: str) -> DataSpec:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "row": np.arange(n),
            "x": rng.normal(size=n),
            "who": rng.integers(0, n // 6, n),
            "when": np.datetime64("2020-01-01") + rng.permutation(n),
            "y": rng.choice(["a", "b", "c"], n),
        }
    )
    frame.to_csv(folder / "a.csv", index=False)
    return DataSpec(source="a.csv", folder=folder, target="y", features=("row", "x", "who", "when"), **keys)


def column(dataset: Dataset, name: str, index: np.ndarray) -> np.ndarray:
    assert isinstance(dataset.rows, pd.DataFrame)
    return dataset.rows[name].to_numpy()[index]


@pytest.mark.parametrize("keys", [{}, {"group": "who"}, {"time": "when"}])
def test_datasets_of_folds(tmp_path: Path, keys: dict[str, str]) -> None:
    dataset, sealed = load(written(tmp_path, **keys))
    held = unseal(sealed, dataset, Opening("s", sealed.fingerprint, "c", 1))
    assert isinstance(held.x, pd.DataFrame)
    parts = cross_validation(dataset, 4, seed=1)
    assert len({dataset.fingerprint, *(part.fingerprint for part in parts)}) == 5
    for part in parts:
        rows = {side: column(part, "row", getattr(part, side)) for side in ("train", "validation")}
        assert not np.isin(held.x["row"], np.concatenate(list(rows.values()))).any()
        assert not np.isin(rows["train"], rows["validation"]).any()
        if keys.get("group"):
            who = [set(column(part, "who", index)) for index in (part.train, part.validation)]
            assert not who[0] & who[1]
            assert not (who[0] | who[1]) & set(held.x["who"])
        if keys.get("time"):
            assert column(part, "when", part.train).max() < column(part, "when", part.validation).min()
            assert column(part, "when", part.validation).max() < held.x["when"].min()
        fold, fitted = prepare(part)
        assert len(fold.train.x) == len(part.train)
        assert fitted.scaling.shift[0] == pytest.approx(rows["train"].mean())
        assert (
            unseal(sealed, part, Opening("s", sealed.fingerprint, "c", 1)).target.shape == held.target.shape
        )
    if not keys.get("time"):
        everything = np.sort(np.concatenate([part.validation for part in parts]))
        assert np.array_equal(everything, np.arange(len(dataset.target)))


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_another_hold_out(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    for keys in ({}, {"group": "who"}):
        dataset, _ = load(written(tmp_path_factory.getbasetemp(), **keys))
        other = reshuffled(dataset, seed)
        assert other.rows is dataset.rows
        assert np.array_equal(
            np.sort(np.concatenate([other.train, other.validation])), np.arange(len(other.target))
        )
        assert np.array_equal(reshuffled(dataset, seed).validation, other.validation)
        if keys:
            who = column(other, "who", np.arange(len(other.target)))
            assert not np.isin(who[other.validation], who[other.train]).any()
            assert len(other.validation) == pytest.approx(len(dataset.validation), abs=6)
        else:
            assert len(other.validation) == len(dataset.validation)
            a, b = (np.bincount(dataset.target[d.validation]) for d in (dataset, other))
            assert np.abs(a - b).max() <= 1


@pytest.mark.parametrize("keys", [{}, {"group": "who"}])
def test_hold_outs_meet_by_chance_alone(tmp_path: Path, keys: dict[str, str]) -> None:
    dataset, _ = load(written(tmp_path, **keys))
    chosen = np.zeros(len(dataset.target))
    for seed in range(100):
        chosen[reshuffled(dataset, seed).validation] += 0.01
    expected = len(dataset.validation) / len(dataset.target)
    assert (chosen**2).sum() / chosen.sum() == pytest.approx(expected, abs=0.06)  # shared by two hold-outs


def test_sentences(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'time = "when" cannot be shuffled, .* use folds'):
        reshuffled(load(written(tmp_path, time="when"))[0], 0)
    frame = pd.DataFrame({"t": range(60), "x": range(60), "y": ["a"] * 20 + ["b"] * 40})
    frame.to_csv(tmp_path / "b.csv", index=False)
    dataset, _ = load(DataSpec(source="b.csv", folder=tmp_path, target="y", time="t"))
    with pytest.raises(DataError, match='all training rows of a fold are of class "a"; take fewer folds'):
        cross_validation(dataset, 4, 0)
