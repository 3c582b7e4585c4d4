"""Columns that give the target away: planted ones are told, good ones not, and a bound spares the tree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier

from tests.helpers.leakage_cases import LOADERS, one, real, written
from workbench.core.types import DataSpec
from workbench.data import findings, load
from workbench.data.leakage.giveaways import fewest_mistakes, giveaways


def hidden(name: str, frame: pd.DataFrame) -> dict[str, Any]:
    """Columns that say the target in other words."""
    rng = np.random.default_rng(0)
    y = frame["y"]
    if name == "diabetes":
        numbers = y.to_numpy(float)
        return {
            "price_with_tax": numbers * 1.19 + rng.normal(0, 1.0, len(y)),
            "log": np.log(numbers),
            "folded": np.where(numbers > 150, -numbers, numbers),
        }
    codes = y.astype("category").cat.codes.to_numpy()
    return {
        "code": (codes * 7) % 5,
        "measured": codes + rng.normal(0, 0.1, len(y)),
        "word": np.array(["benign", "odd", "third"])[codes],
        "blank": np.where(codes == 0, np.nan, rng.normal(size=len(y))),
        "one wrong": np.where(np.arange(len(y)) == 5, 1 - codes, codes),
    }


@pytest.mark.parametrize("name", LOADERS)
def test_columns_that_give_the_target_away(tmp_path: Path, name: str) -> None:
    frame = real(name)
    for column, values in hidden(name, frame).items():
        if name == "wine" and column == "blank":  # tells one class of three
            continue
        dataset = written(tmp_path, frame.assign(**{column: values}))
        assert one(dataset).startswith(f'a.csv: the column "{column}" alone predicts "y" almost perfectly')
        assert f'write [data] drop = ["{column}"]' in one(dataset)
        assert findings(written(tmp_path, frame.assign(**{column: values}), drop=(column,))) == ()


def test_a_good_column_is_no_giveaway(tmp_path: Path) -> None:
    frame, rng = real("breast_cancer"), np.random.default_rng(0)
    codes = (frame["y"] == "benign").to_numpy()
    frame["second opinion"] = np.where(rng.random(len(codes)) < 0.06, ~codes, codes)
    assert findings(written(tmp_path, frame)) == ()
    numbers = real("diabetes")
    numbers["guess"] = numbers["y"] + rng.normal(0, 0.3 * numbers["y"].std(), len(numbers))
    assert findings(written(tmp_path, numbers)) == ()


def test_a_giveaway_in_an_archive(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=300)
    np.savez(tmp_path / "a.npz", x=np.stack([rng.normal(size=300), y**3], axis=1), y=y)
    dataset = load(DataSpec(source="a.npz", folder=tmp_path))[0]
    assert giveaways(dataset) == ("x_1",)
    assert "leave it out of the array x" in one(dataset)


@given(
    values=st.sampled_from(["few", "rounded", "continuous", "sorted by class"]),
    n=st.integers(50, 400),  # scikit-learn warns where half of the rows are classes of their own
    n_classes=st.integers(2, 12),
    leaves=st.integers(2, 60),
    blank=st.sampled_from([0.0, 0.2]),
    seed=st.integers(0, 2**16),
)
def test_no_tree_makes_fewer_mistakes(
    values: str, n: int, n_classes: int, leaves: int, blank: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, n_classes, n)
    column = rng.normal(size=n) + (codes if values == "sorted by class" else 0.0)
    column = {"few": np.sign(column), "rounded": column.round(1)}.get(values, column)
    column[rng.random(n) < blank] = np.nan
    least = fewest_mistakes(column, codes, leaves)
    x = column[:, None]
    for rows in (np.arange(n), rng.permutation(n)[: n // 2], np.arange(n // 2)):  # learned from these
        tree = DecisionTreeClassifier(max_leaf_nodes=leaves, random_state=seed).fit(x[rows], codes[rows])
        assert (tree.predict(x) != codes).sum() >= least


def test_the_least_number_of_mistakes_is_no_empty_promise() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 10, 1000)
    assert fewest_mistakes(rng.normal(size=1000), codes, 40) > 400
    rarer = np.bincount(codes, minlength=10).reshape(5, 2).min(axis=1).sum()
    assert fewest_mistakes((codes // 2).astype(float), codes, 40) == rarer  # two classes for each value
    assert fewest_mistakes(codes.astype(float), codes, 40) == 0


def test_digits_are_looked_at_without_the_library_of_trees() -> None:
    program = (
        "import sys; from workbench.data import findings, load; from workbench.core.types import DataSpec\n"
        "dataset, _ = load(DataSpec(source='digits'))\n"
        "assert findings(dataset) == () and not {'sklearn', 'scipy.stats'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
