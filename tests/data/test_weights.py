"""Weights of rows: read, checked, divided and prepared; scikit-learn is the oracle of what they do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from workbench import data
from workbench.core.errors import DataError
from workbench.core.records import Opening
from workbench.core.types import DataSpec
from workbench.data.seal import unseal
from workbench.data.weights import effective, relative, uneven
from workbench.evaluation import baselines, boosting


def table(n: int = 240, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    x, size = draw.normal(size=n), draw.normal(size=n)
    kind = np.where(x + 0.5 * draw.normal(size=n) > 0.3, "yes", "no")
    return pd.DataFrame(
        {
            "x": x,
            "size": size,
            "price": 3 * x + draw.normal(size=n),
            "kind": kind,
            "w": draw.gamma(2.0, size=n),
        }
    )


def loaded(folder: Path, frame: pd.DataFrame, target: str = "kind", **more: Any) -> Any:
    frame.to_parquet(folder / "a.parquet")
    dropped = ("price",) if target == "kind" else ("kind",)
    return data.load(DataSpec("a.parquet", folder, target=target, drop=dropped, weight="w", **more))


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=30), st.floats(1e-6, 1e6))
def test_weights_have_a_mean_of_one_and_only_ratios_count(values: list[float], factor: float) -> None:
    weight = np.array(values)
    np.testing.assert_allclose(relative(weight).mean(), 1.0, rtol=1e-5)
    np.testing.assert_allclose(relative(factor * weight), relative(weight), rtol=1e-5)
    assert 1 - 1e-9 <= effective(weight) <= len(weight) + 1e-9
    alike = np.full(len(values), factor)
    assert (relative(alike) == 1.0).all()
    assert uneven(alike) is None


def test_the_column_is_no_feature_and_goes_with_its_rows(tmp_path: Path) -> None:
    frame = table()
    dataset, sealed = loaded(tmp_path, frame)
    assert [column.name for column in dataset.columns] == ["x", "size"]
    place = dict(zip(frame["x"], frame["w"], strict=True))
    np.testing.assert_array_equal(dataset.weight, [place[x] for x in dataset.rows["x"]])
    rows = unseal(sealed, dataset, Opening("s", sealed.fingerprint, "c", 1))
    np.testing.assert_array_equal(rows.weight, [place[x] for x in rows.x["x"]])
    assert "w, " in str(dataset.summary()["weighted by"])
    for part in data.divisions(data.load(dataset.spec)[0]) or (dataset,):
        own = part.weight[part.train]
        np.testing.assert_allclose(part.weights(part.train), own / own.mean(), rtol=1e-6)
    without = data.load(DataSpec("a.parquet", tmp_path, target="kind", drop=("price", "w")))[0]
    np.testing.assert_array_equal(without.train, dataset.train)  # the same split, with weights or without
    assert without.fingerprint != dataset.fingerprint


def test_prepared_rows_are_weighed_as_scikit_learn_weighs_them(tmp_path: Path) -> None:
    dataset, _ = loaded(tmp_path, table(), "price")
    fold, _ = data.prepare(dataset)
    own = dataset.weight[dataset.train]
    np.testing.assert_allclose(fold.train.weight, own / own.mean(), rtol=1e-6)
    scaler = StandardScaler().fit(dataset.target[dataset.train], sample_weight=own)
    np.testing.assert_allclose(fold.shift, scaler.mean_, rtol=1e-5)
    np.testing.assert_allclose(fold.scale, scaler.scale_, rtol=1e-5)
    classes, _ = loaded(tmp_path, table())
    plain, _ = data.prepare(classes)
    balanced, _ = data.prepare(classes, class_weight="balanced")
    y, own = np.asarray(plain.train.y), np.asarray(plain.train.weight, float)
    totals = np.bincount(y, weights=np.asarray(balanced.train.weight, float))
    assert totals[0] == pytest.approx(totals[1], rel=1e-5)  # classes count alike, by their weights
    factor = balanced.train.weight / plain.train.weight
    assert all(np.ptp(factor[y == code]) < 1e-5 for code in (0, 1))
    even, _ = loaded(tmp_path, table().assign(w=0.1))
    given, _ = data.prepare(even, class_weight="balanced")
    assert (data.prepare(even)[0].train.weight == 1.0).all()
    np.testing.assert_allclose(
        given.train.weight, compute_sample_weight("balanced", given.train.y), rtol=1e-6
    )


def test_equal_weights_prepare_the_same_bits(tmp_path: Path) -> None:
    for target in ("price", "kind"):
        even, _ = loaded(tmp_path, table().assign(w=0.1), target)
        drop = ("w", "price" if target == "kind" else "kind")
        plain, _ = data.load(DataSpec("a.parquet", tmp_path, target=target, drop=drop))
        for one, other in zip(data.prepare(even)[0][:4], data.prepare(plain)[0][:4], strict=True):
            for mine, theirs in zip(one, other, strict=True):
                np.testing.assert_array_equal(mine, theirs)


def test_baselines_are_scikit_learns_with_sample_weights(tmp_path: Path) -> None:
    dataset, _ = loaded(tmp_path, table())
    fold, _ = data.prepare(dataset)
    x, y, own = (np.asarray(part, float) for part in fold.train)
    theirs = LogisticRegression(max_iter=200).fit(x, y, sample_weight=own)
    ours = baselines.linear(fold, 1, 2)
    np.testing.assert_allclose(ours["weight"], theirs.coef_, rtol=1e-4)
    assert not np.allclose(ours["weight"], LogisticRegression(max_iter=200).fit(x, y).coef_, rtol=1e-3)
    share = np.average(y, weights=own)
    assert baselines.trivial(fold, 1, 2)["bias"][0] == pytest.approx(np.log(share / (1 - share)), rel=1e-5)
    prices, _ = loaded(tmp_path, table(), "price")
    fold, _ = data.prepare(prices)
    x, y, own = (np.asarray(part, float) for part in fold.train)
    standard = (y - fold.shift) / fold.scale
    np.testing.assert_allclose(
        baselines.linear(fold, 1, 0)["weight"][0],
        Ridge().fit(x, standard, sample_weight=own).coef_,
        rtol=1e-4,
    )
    assert abs(baselines.trivial(fold, 1, 0)["bias"][0]) < 1e-6


def test_boosting_heeds_weights(tmp_path: Path) -> None:
    """Rows that contradict the others, and weigh next to nothing, are as good as not there."""
    frame = table(400)
    wrong = frame.assign(price=-5 * frame["x"], size=frame["size"] + 1e-3, w=1e-9)
    dataset, _ = loaded(tmp_path, pd.concat([frame.assign(w=1.0), wrong], ignore_index=True), "price")
    found = boosting.fit(dataset, "rmse", balanced=False, seed=0)
    asked = frame.drop(columns=["price", "kind", "w"])
    slope = np.polyfit(asked["x"], found.raw_estimates(asked)[:, 0], 1)[0]
    assert slope == pytest.approx(3.0, abs=0.4)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"w": -1.0}, r'weight = "w" is below zero in 1 of 240 rows, first in row 8;'),
        ({"w": np.nan}, r'weight = "w" is blank or no finite number in 1 of 240 rows, first in row 8;'),
        ({"w": np.inf}, r"is blank or no finite number in 1 of 240 rows"),
    ],
)
def test_what_is_no_weight_is_refused_by_name(
    tmp_path: Path, change: dict[str, float], sentence: str
) -> None:
    frame = table()
    frame.loc[7, list(change)] = list(change.values())
    with pytest.raises(DataError, match=sentence):
        loaded(tmp_path, frame)


def test_other_columns_are_refused_by_name(tmp_path: Path) -> None:
    for frame, sentence in (
        (table().assign(w="heavy"), 'weight = "w" holds text'),
        (table().assign(w=0.0), "all 144 training rows have a weight of 0"),
        (table().drop(columns="w"), 'weight names "w", which is not a column'),
    ):
        with pytest.raises(DataError, match=sentence):
            loaded(tmp_path, frame)


def test_decimal_commas_and_text(tmp_path: Path) -> None:
    frame = table().round(3)
    frame.to_csv(tmp_path / "a.csv", sep=";", decimal=",", index=False)
    dataset, _ = data.load(DataSpec("a.csv", tmp_path, target="kind", drop=("price",), weight="w"))
    assert sorted(dataset.weight)[:5] == pytest.approx(
        sorted(frame["w"][frame["x"].isin(np.round(dataset.rows["x"], 3))])[:5], abs=1e-9
    )


def test_official_test_rows_bring_their_own(tmp_path: Path) -> None:
    frame, test = table(), table(60, seed=1)
    test.to_csv(tmp_path / "test.csv", index=False)
    dataset, sealed = loaded(tmp_path, frame, test="test.csv")
    rows = unseal(sealed, dataset, Opening("s", sealed.fingerprint, "c", 1))
    np.testing.assert_allclose(rows.weight, test["w"])
    test.drop(columns="w").to_csv(tmp_path / "test.csv", index=False)
    with pytest.raises(DataError, match=r'test.csv: \[data\] weight = "w" is not a column'):
        loaded(tmp_path, frame, test="test.csv")


def test_archives_hold_an_array_of_weights(tmp_path: Path) -> None:
    frame = table()
    x, y, w = frame[["x", "size"]].to_numpy(), frame["price"].to_numpy(), frame["w"].to_numpy()
    np.savez(tmp_path / "a.npz", x=x, y=y, weight=w)
    dataset, sealed = data.load(DataSpec("a.npz", tmp_path, weight="weight"))
    place = dict(zip(x[:, 0], w, strict=True))
    np.testing.assert_array_equal(dataset.weight, [place[each] for each in dataset.rows[:, 0]])
    rows = unseal(sealed, dataset, Opening("s", sealed.fingerprint, "c", 1))
    np.testing.assert_array_equal(rows.weight, [place[each] for each in rows.x[:, 0]])
    plain, _ = data.load(DataSpec("a.npz", tmp_path))
    assert plain.weight is None
    np.testing.assert_array_equal(plain.train, dataset.train)
    np.savez(tmp_path / "b.npz", x=x, y=y)
    with pytest.raises(DataError, match="the archive has no array weight"):
        data.load(DataSpec("b.npz", tmp_path, weight="weight"))
    with pytest.raises(DataError, match='weight names "w", but an archive has none'):
        data.load(DataSpec("a.npz", tmp_path, weight="w"))
