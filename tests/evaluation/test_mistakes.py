"""Where a model is most wrong: planted mistakes are found, and none are told where there are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from tests.helpers import outcomes
from tests.helpers.delivered import deliver, table
from workbench.core.types import Fold
from workbench.data import Dataset
from workbench.evaluation import mistakes, report
from workbench.evaluation.predictor import Predictor

N = 600


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Predictor, Fold]:
    """Numbers that a straight line explains, but for one place."""
    draw = np.random.default_rng(1)
    size, place = draw.normal(size=N), draw.choice(["north", "south", "west"], N)
    price = 3.0 * size + 0.1 * draw.normal(size=N) + np.where(place == "west", 4.0 * draw.normal(size=N), 0.0)
    columns = {"size": size, "place": place, "age": draw.normal(size=N)}
    made = deliver(
        table(tmp_path_factory.mktemp("houses"), columns, price),
        {"family": "linear", "optimizers": ("momentum",)}, trained=True, depth=0, width=0,
    )  # fmt: skip
    return made.dataset, made.predictor, made.fold


def test_the_worst_rows_are_those_with_the_largest_errors(houses: tuple[Dataset, Predictor, Fold]) -> None:
    dataset, model, fold = houses
    held = np.asarray(fold.validation.x) @ model.params["weight"].T + model.params["bias"]
    off = np.abs(held * model.scale + model.shift - dataset.target[dataset.validation])[:, 0]
    worst = mistakes.worst_rows(dataset, model, fold)
    assert [one.row for one in worst] == dataset.validation[np.argsort(-off)[: mistakes.ROWS]].tolist()
    np.testing.assert_allclose([one.error for one in worst], np.sort(off)[::-1][: mistakes.ROWS], rtol=1e-4)
    assert dict(worst[0].values)["place"] == "west"
    assert float(worst[0].truth) == pytest.approx(dataset.target[worst[0].row, 0], rel=1e-3)


def test_the_group_that_is_served_worse_is_the_one_that_was_planted(
    houses: tuple[Dataset, Predictor, Fold],
) -> None:
    (found,) = mistakes.slices(*houses)
    assert found.where == "place = west"
    assert found.error > 3 * found.others


def test_no_group_is_told_where_errors_are_noise(tmp_path: Path) -> None:
    told = 0
    for seed in range(10):
        draw = np.random.default_rng(seed)
        x = draw.normal(size=(N, 6))
        columns = {f"x{j}": x[:, j] for j in range(6)} | {"label": draw.choice(list("abcd"), N)}
        made = deliver(table(tmp_path, columns, draw.normal(size=N)), {"family": "linear"})
        flat = {name: np.zeros_like(leaf) for name, leaf in made.predictor.params.items()}
        quiet = made.predictor.__class__(**{**made.predictor.__dict__, "params": flat})
        told += len(mistakes.slices(made.dataset, quiet, made.fold))
    assert told <= 1


def test_errors_of_classes_are_their_log_loss(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    columns = {"a": draw.normal(size=N), "b": draw.normal(size=N)}
    made = deliver(table(tmp_path, columns, draw.choice(["no", "yes", "maybe"], N)), {"family": "softmax"})
    params = made.predictor.params
    shares = softmax(np.asarray(made.fold.validation.x) @ params["weight"].T + params["bias"], axis=1)
    codes = made.dataset.target[made.dataset.validation]
    expected = -np.log(shares[np.arange(len(codes)), codes])
    np.testing.assert_allclose(mistakes.errors(made.predictor, made.fold), expected, rtol=1e-5)
    worst = mistakes.worst_rows(made.dataset, made.predictor, made.fold)
    assert worst[0].error == pytest.approx(expected.max(), rel=1e-5)
    assert worst[0].truth in made.predictor.classes


def test_the_report_tells_them(houses: tuple[Dataset, Predictor, Fold], tmp_path: Path) -> None:
    worst, slices = mistakes.worst_rows(*houses), mistakes.slices(*houses)
    made = report.write(outcomes.regression(3), {}, None, None, tmp_path, worst=worst, slices=slices)
    for page in (made.html.read_text(), made.markdown.read_text()):
        assert "Where it is most wrong" in page
        assert "place = west" in page
        assert f"{worst[0].error:.3g}" in page
