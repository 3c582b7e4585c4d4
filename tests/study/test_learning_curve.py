"""The learning curve over training rows: scores against scikit-learn, and how a user asks for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import root_mean_squared_error

import workbench as wb
from tests.helpers.end_to_end import Place, Ran, workbench
from workbench.study import learning_curve
from workbench.study.preparations import Preparations
from workbench.tuning.space import resolve, variant

LINE = """\
name = "line"
[data]
source = "diabetes"
[model]
family = "linear"
[optimizer]
name          = "nesterov"
learning_rate = 0.05
momentum      = 0.95
[training]
epochs     = 1500
batch_size = "all"
"""


@pytest.mark.parametrize(
    ("rows", "count", "sizes"),
    [(1000, 4, [125, 250, 500, 1000]), (20, 5, [10, 20]), (101, 2, [51, 101]), (5, 3, [5])],
)
def test_each_part_is_half_of_the_next(rows: int, count: int, sizes: list[int]) -> None:
    assert learning_curve.parts(rows, count) == sizes


def test_scores_are_those_of_the_least_squares_lines(tmp_path: Path) -> None:
    """Convex, so all initializations agree with scikit-learn's fit of the same rows."""
    (tmp_path / "line.toml").write_text(LINE)
    study = wb.read_study(tmp_path / "line.toml")
    from workbench import data

    preparations = Preparations(data.load(study.data)[0])
    values = resolve(study.settings, {})
    fold, problem = preparations.fold(variant(values)), preparations.problem(variant(values))
    found = learning_curve.grow(values, fold, problem, "rmse", count=3, seed=3)
    assert [size.rows for size in found] == [67, 133, 265]
    order = np.random.default_rng(3).permutation(265)
    for size in found:
        rows = np.sort(order[: size.rows])
        x, y = np.asarray(fold.train.x)[rows], np.asarray(fold.train.y)[rows]
        theirs = LinearRegression().fit(x, y)
        for (score, low, high), (inputs, truth) in (
            (size.train, (x, y)),
            (size.validation, (fold.validation.x, fold.validation.y)),
        ):
            assert score == pytest.approx(root_mean_squared_error(truth, theirs.predict(inputs)), rel=5e-3)
            assert high - low < 1e-2
    assert found[0].train[0] < found[-1].train[0]  # fewer rows are easier to fit, and tell less
    assert found[0].validation[0] > found[-1].validation[0]


def test_they_are_kept_as_they_were(tmp_path: Path) -> None:
    sizes = (learning_curve.Size(10, (1.0, 0.5, 1.5), (np.nan, np.nan, np.nan)),)
    learning_curve.save(sizes, tmp_path)
    np.testing.assert_equal(learning_curve.load(tmp_path), sizes)
    assert learning_curve.load(tmp_path / "elsewhere") == ()


def test_the_interval_is_students() -> None:
    value, low, high = learning_curve._interval(np.array([1.0, 2.0, 3.0, np.nan]))
    assert (value, low, high) == pytest.approx(
        (2.0, 2.0 - 4.30265 / 3**0.5, 2.0 + 4.30265 / 3**0.5), rel=1e-5
    )


@pytest.mark.slow
def test_a_user_asks_for_it(finished: tuple[Place, Ran], tmp_path: Path) -> None:
    where, _ = finished
    home = tmp_path / "home"
    shutil.copytree(where.home, home)
    shown = Place(where.file, home).run("--sizes", "3", command="show")
    assert shown.status == 0, shown.err
    assert [size["rows"] for size in shown.result["sizes"]] == [27, 54, 107]
    for size in shown.result["sizes"]:
        assert size["train"][1] <= size["train"][0] <= size["train"][2]
        assert 0.0 <= size["validation"][0] <= 1.0
    page = Path(shown.result["report"]).with_suffix(".md").read_text()
    assert "size_curve.png" in page
    kept = json.loads(shown.out)["sizes"]
    again = Place(where.file, home).run(command="show")
    assert again.result["sizes"] == kept


@pytest.mark.parametrize("number", ["1", "13", "many"])
def test_impossible_numbers_of_parts(finished: tuple[Place, Ran], number: str) -> None:
    where, _ = finished
    ran = workbench("show", str(where.file), "--sizes", number, "--home", str(where.home))
    assert ran.status == 2
    assert f"--sizes = {number}: must be a whole number from 2 to 12" in ran.err
