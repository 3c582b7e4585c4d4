"""What is trained depends on training rows alone: no other row moves a statistic or a weight by one bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.lanes import train
from tests.helpers.problems import lane, mlp
from workbench.core import vocabulary
from workbench.core.types import DataSpec, Fold
from workbench.data import Dataset, Preprocessor, cross_validation, load, prepare
from workbench.training.engine import Engine

EPOCHS = 2
ROWS = 200


class Bench:
    """A data set in a file, and an engine that compiles its program once for all that is done to the rows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rng = np.random.default_rng(0)
        self.frame = pd.DataFrame(
            {
                "n": rng.normal(50, 20, ROWS).round(3).astype(object),
                "m": rng.exponential(5, ROWS).round(3).astype(object),
                "c": rng.choice(["u", "v", "w"], ROWS),
                "y": rng.choice(["a", "b", "c"], ROWS),
            }
        )
        self.folds: dict[int, Fold] = {}
        self.engine = Engine(self.folds.__getitem__, capacity=EPOCHS, seed=0)

    def load(self, frame: pd.DataFrame) -> Dataset:
        frame.to_csv(self.folder / "a.csv", index=False)
        # By row numbers: by content, a row that is changed may change its part.
        return load(DataSpec(source="a.csv", folder=self.folder, target="y", split_rule="rows"))[0]

    def train(
        self, dataset: Dataset, scale: str, numbers: str = "plain"
    ) -> tuple[Preprocessor, Any, list[float]]:
        """(what was fitted, weights and moments of two lanes after two epochs, their validation scores)."""
        fold, fitted = prepare(dataset, scale=scale, numbers=numbers, bins=8)
        self.folds[len(self.folds)] = fold
        recipe = mlp(inputs=fold.train.x.shape[1:], keep_best=False)
        hypers = [lane(epochs=EPOCHS, seed=seed) for seed in (0, 1)]
        trained = train(self.engine, recipe, len(self.folds) - 1, hypers, last=EPOCHS)
        return fitted, [(t.lane.params, t.lane.moments) for t in trained], [t.score or 0.0 for t in trained]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"))


def assert_same_training(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    assert one[0].to_json() == other[0].to_json()
    for a, b in zip(jax.tree.leaves(one[1]), jax.tree.leaves(other[1]), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_rows(bench: Bench) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where in the file each part stands, found out through a column of row numbers."""
    bench.frame.assign(row=np.arange(ROWS)).to_csv(bench.folder / "rows.csv", index=False)
    dataset = load(DataSpec(source="rows.csv", folder=bench.folder, target="y", split_rule="rows"))[0]
    assert isinstance(dataset.rows, pd.DataFrame)
    row = dataset.rows["row"].to_numpy().astype(int)
    train, validation = row[dataset.train], row[dataset.validation]
    return train, validation, np.setdiff1d(np.arange(ROWS), row)


test_rows.__test__ = False  # type: ignore[attr-defined]  # a helper, named for what it gives


@settings(max_examples=25, deadline=None)
@given(
    scale=st.sampled_from(vocabulary.SCALES),
    numbers=st.sampled_from(vocabulary.NUMBERS),
    part=st.sampled_from(["validation", "test"]),
    chosen=st.lists(st.integers(0, 39), min_size=1, max_size=40),
    number=st.one_of(st.none(), st.floats(-1e9, 1e9)),
    label=st.sampled_from(["u", "w", "unseen", "?"]),
)
def test_other_rows_move_no_statistic_and_no_weight(
    bench: Bench, scale: str, numbers: str, part: str, chosen: list[int], number: float | None, label: str
) -> None:
    _, validation, test = test_rows(bench)
    victims = (validation if part == "validation" else test)[chosen]
    before = bench.train(bench.load(bench.frame), scale, numbers)
    frame = bench.frame.copy()
    frame.loc[victims, ["n", "m"]] = number
    frame.loc[victims, "c"] = label
    after = bench.train(bench.load(frame), scale, numbers)
    assert_same_training(before, after)
    if part == "test":
        assert before[2] == after[2]


def test_all_other_rows_at_once(bench: Bench) -> None:
    """Their targets too: whatever stands in them, the same model comes out; only its score tells."""
    train, validation, test = test_rows(bench)
    assert len(train) == 120
    rng = np.random.default_rng(1)
    dataset = bench.load(bench.frame)
    before = bench.train(dataset, "standardize")
    frame = bench.frame.copy()
    others = np.concatenate([validation, test])
    frame.loc[others, "n"] = rng.normal(1e6, 1.0, len(others))
    frame.loc[others, "c"] = "elsewhere"
    target = dataset.target.copy()
    target[dataset.validation] = (target[dataset.validation] + 1) % 3
    after = bench.train(replace(bench.load(frame), target=target), "standardize")
    assert_same_training(before, after)
    assert before[2] != after[2]


def test_a_training_row_moves_them(bench: Bench) -> None:
    """So that the tests above can fail."""
    train, _, _ = test_rows(bench)
    before = bench.train(bench.load(bench.frame), "standardize")
    frame = bench.frame.copy()
    frame.loc[train[0], "n"] = 51.0
    after = bench.train(bench.load(frame), "standardize")
    assert before[0].to_json() != after[0].to_json()
    with pytest.raises(AssertionError):
        assert_same_training((before[0], before[1]), (before[0], after[1]))


def test_rows_that_validate_in_a_fold_move_nothing(bench: Bench) -> None:
    part = cross_validation(bench.load(bench.frame), 3, 0)[0]
    before = bench.train(part, "standardize")
    assert isinstance(part.rows, pd.DataFrame)
    rows = part.rows.copy()
    rows.iloc[part.validation, 0] = 1e6
    assert_same_training(before, bench.train(replace(part, rows=rows), "standardize"))
