"""Sequences with a target for every step: from the archive to the predictions, against NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from scipy.special import log_softmax

import workbench as wb
from tests.helpers.families import scattered
from tests.helpers.problems import lane
from tests.helpers.tracking_cases import look_at
from workbench import data
from workbench.core.errors import DataError, StudyError
from workbench.core.locations import Locations
from workbench.core.types import Array, DataSpec, Fold
from workbench.data import Dataset
from workbench.evaluation.evaluate import as_rows, evaluate, trivial_loss
from workbench.nn.models import MODELS
from workbench.nn.recipe import Recipe
from workbench.storage import outcomes
from workbench.training import scoring

ROWS, STEPS = 90, 7
DRAW = np.random.default_rng(5)
LENGTHS = DRAW.integers(3, STEPS + 1, ROWS)
INSIDE = np.arange(STEPS) < LENGTHS[:, np.newaxis]
X = DRAW.normal(size=(ROWS, STEPS, 2)).astype(np.float32)
CODES = DRAW.integers(0, 3, (ROWS, STEPS))
ASKED = INSIDE & (np.arange(STEPS) > 0)  # nothing is asked for in the first step
HYPER = lane(depth=0, width=4)

Copied = tuple[wb.Study, Locations, dict[str, Any]]


def archive(folder: Path, y: Array) -> DataSpec:
    np.savez(folder / "rows.npz", x=X, y=y, lengths=LENGTHS)
    return DataSpec("rows.npz", folder)


def development(dataset: Dataset) -> Array:
    """Which rows of the archive the development rows are, by their inputs."""
    assert isinstance(dataset.rows, np.ndarray)
    locations = {row[0].tobytes(): i for i, row in enumerate(X)}
    return np.array([locations[row[0].tobytes()] for row in dataset.rows])


def net(family: str, fold: Fold, outputs: int, loss: str, metric: str) -> tuple[Recipe, Any]:
    """A recurrent network with random parameters."""
    options = (("masked", True), ("output", "each"))
    recipe = Recipe(family, fold.train.x.shape[1:], outputs, loss, metric, width=4, options=options)
    shapes = jax.eval_shape(lambda key: MODELS[family].init(recipe, HYPER, key=key), jax.random.key(0))
    return recipe, scattered(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes))


# ── reading ──


@pytest.mark.parametrize("kind", ["codes", "text"])
def test_classes_of_steps(tmp_path: Path, kind: str) -> None:
    """What stands behind the end of a sequence counts as little as what is marked as no target."""
    y = np.where(np.arange(STEPS) > 0, CODES, -1)
    if kind == "text":
        y = np.where(y >= 0, np.array(["a", "b", "c"])[y], "")
    dataset, sealed = data.load(archive(tmp_path, y))
    mine, whole = development(dataset), np.where(ASKED, CODES, -1)
    assert dataset.of_steps
    assert dataset.classes == (("a", "b", "c") if kind == "text" else ("0", "1", "2"))
    assert dataset.target.dtype == np.int32
    np.testing.assert_array_equal(dataset.target, whole[mine])
    assert len(dataset.target) + sealed.rows == ROWS
    counted = np.bincount(CODES[mine][ASKED[mine]])
    assert dataset.summary()["steps with a target"] == counted.sum()
    share = f"{dataset.classes[0]} {counted[0] / counted.sum():.1%}"
    assert str(dataset.summary()["balance"]).startswith(share)
    folds = data.cross_validation(dataset, 3, 0)
    assert sum(len(fold.validation) for fold in folds) == len(dataset.target)


@pytest.mark.parametrize("outputs", [1, 2])
def test_numbers_of_steps(tmp_path: Path, outputs: int) -> None:
    y = DRAW.normal(5.0, 3.0, (ROWS, STEPS, outputs))
    y[~ASKED] = np.where(INSIDE[~ASKED][:, np.newaxis], np.nan, 1e9)
    dataset, _ = data.load(archive(tmp_path, y[..., 0] if outputs == 1 else y))
    mine = development(dataset)
    assert dataset.task == "regression"
    assert dataset.target.shape == (len(mine), STEPS, outputs)
    np.testing.assert_allclose(dataset.target[ASKED[mine]], y[mine][ASKED[mine]], rtol=1e-6)
    assert np.isnan(dataset.target[~ASKED[mine]]).all()
    fold, _ = data.prepare(dataset)
    train = mine[dataset.train]
    np.testing.assert_allclose(fold.shift, y[train][ASKED[train]].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(fold.scale, y[train][ASKED[train]].std(axis=0), rtol=1e-5)


@pytest.mark.parametrize(
    ("y", "sentence"),
    [
        (np.zeros((ROWS, 3, 4), int), r"y has the shape \(90, 3, 4\).*per step \[N, 7\] or \[N, 7, K\]"),
        (np.where(np.arange(ROWS)[:, None] == 3, -1, CODES), "blank at every step of 1 of 90 sequences"),
        (np.full((ROWS, STEPS), 2), "all rows are of one class"),
    ],
    ids=["shape", "no target", "one class"],
)
def test_targets_that_cannot_be_learned(tmp_path: Path, y: Array, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        data.load(archive(tmp_path, y))


def test_a_wide_target_of_whole_sequences_is_none_of_steps(tmp_path: Path) -> None:
    dataset, _ = data.load(archive(tmp_path, DRAW.normal(size=(ROWS, 4))))
    assert not dataset.of_steps
    assert dataset.target.shape == (len(dataset.rows), 4)


# ── losses and scores ──


@pytest.mark.parametrize("family", ["rnn", "lstm"])
def test_losses_and_scores_are_those_of_the_steps_that_are_asked_for(tmp_path: Path, family: str) -> None:
    dataset, _ = data.load(archive(tmp_path, np.where(ASKED, CODES, -1)))
    fold, _ = data.prepare(dataset)
    recipe, params = net(family, fold, 3, "cross_entropy", "accuracy")
    loss, score = scoring.validate(recipe, HYPER, params, fold)
    outputs = np.asarray(scoring.outputs(recipe, HYPER, params, fold.validation.x))
    mine = development(dataset)[dataset.validation]
    rows, codes = outputs[ASKED[mine]], CODES[mine][ASKED[mine]]
    log_p = log_softmax(rows.astype(np.float64), axis=1)
    np.testing.assert_allclose(loss, -log_p[np.arange(len(codes)), codes].mean(), rtol=1e-5)
    accuracy = np.mean(rows.argmax(axis=1) == codes)
    np.testing.assert_allclose(score, accuracy, rtol=1e-6)

    scored = evaluate("accuracy", outputs, fold.validation.y)
    assert scored.value == pytest.approx(accuracy, abs=1e-6)
    assert scored.rows == len(mine)
    assert scored.low < accuracy < scored.high
    np.testing.assert_array_equal(as_rows(outputs, fold.validation.y)[0], rows)
    np.testing.assert_array_equal(as_rows(outputs, fold.validation.y)[1], codes)

    train = development(dataset)[dataset.train]
    share = np.bincount(CODES[train][ASKED[train]]) / ASKED[train].sum()
    np.testing.assert_allclose(trivial_loss(recipe, fold), -np.log(share[codes]).mean(), rtol=1e-5)


def test_errors_of_numbers_are_in_the_units_of_the_data(tmp_path: Path) -> None:
    y = np.where(ASKED[..., np.newaxis], DRAW.normal(50.0, 9.0, (ROWS, STEPS, 2)), np.nan)
    dataset, _ = data.load(archive(tmp_path, y))
    fold, _ = data.prepare(dataset)
    recipe, params = net("lstm", fold, 2, "mse", "rmse")
    loss, score = scoring.validate(recipe, HYPER, params, fold)
    outputs = np.asarray(scoring.outputs(recipe, HYPER, params, fold.validation.x), np.float64)
    mine = development(dataset)[dataset.validation]
    error = (outputs * fold.scale + fold.shift - y[mine])[ASKED[mine]]
    np.testing.assert_allclose(score, np.sqrt(np.mean(error**2, axis=0)).mean(), rtol=1e-5)
    np.testing.assert_allclose(loss, np.mean((error / fold.scale) ** 2), rtol=1e-5)


# ── a study ──


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Copied:
    """The copy task in small, from an archive: two of four symbols, asked for again after 0 to 3 steps."""
    folder = tmp_path_factory.mktemp("copied")
    draw, n = np.random.default_rng(0), 1500
    symbols, delay, each = draw.integers(0, 4, (n, 2)), draw.integers(0, 4, n), np.arange(n)
    shown, y = np.full((n, 7), 4), np.full((n, 7), -1)
    shown[:, :2] = symbols
    for i in range(2):
        shown[each, 2 + delay + i] = 5  # the cue
        y[each, 2 + delay + i] = symbols[:, i]
    np.savez(folder / "copies.npz", x=np.eye(6, dtype=np.float32)[shown], y=y, lengths=delay + 4)
    (folder / "copies.toml").write_text(
        'name = "copies"\n[data]\nsource = "copies.npz"\nscale = "none"\n'
        '[model]\nfamily = "lstm"\nwidth = 24\noutput = "each"\n'
        "[optimizer]\nlearning_rate = { choices = [0.02, 0.01] }\n"
        '[training]\nepochs = 25\n[search]\ntrials = 2\nseeds = 1\npruner = "none"\n'
    )
    study, locations = wb.read_study(folder / "copies.toml"), wb.resolve(home=str(folder / "home"))
    return study, locations, wb.run(study, locations)


@pytest.mark.slow
def test_a_study_learns_to_copy(copied: Copied) -> None:
    """Knowing nothing reaches 1/4; the sequences under test are such as were never shown."""
    study, locations, result = copied
    rows = result["test"]["rows"]
    assert rows == pytest.approx(300, abs=15)  # copies of a row stay on one side
    assert result["test"]["value"] > 0.9
    outcome = outcomes.load(locations.study(study.id))
    assert outcome is not None
    assert outcome.outputs.shape == (2 * rows, 4)  # two steps of each test sequence
    right = outcome.outputs.argmax(axis=1) == outcome.targets
    assert np.mean(right) == pytest.approx(result["test"]["value"], abs=1e-6)


@pytest.mark.filterwarnings("ignore")  # of MLflow
@pytest.mark.slow
def test_predictions_of_steps(copied: Copied) -> None:
    study, locations, _ = copied
    model = wb.load_model(locations.study(study.id) / "model")
    dataset, _ = data.load(study.data)
    rows = dataset.examples(20)
    told = model.predict(rows)
    there = ~np.isnan(np.asarray(rows)).all(axis=2)
    np.testing.assert_array_equal(told[["row", "step"]].to_numpy(), np.argwhere(there))
    assert list(told.columns[2:]) == ["prediction", *(f"probability_{code}" for code in range(4))]
    codes = dataset.target[dataset.train[:20]][there]
    names = np.array(dataset.classes)
    assert np.mean(told["prediction"].to_numpy()[codes >= 0] == names[codes[codes >= 0]]) > 0.97
    assert list(model.predict(rows[:0]).columns) == list(told.columns)

    import mlflow

    look_at(f"sqlite:///{locations.home}/mlflow.db")
    served = mlflow.pyfunc.load_model("models:/copies@champion").predict(rows)
    assert served.equals(told)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"output": "last"}, 'output = "last" gives one output.*every step.*output = "each"'),
        ({"family": "mlp"}, 'family = "mlp" gives one output.*choose "rnn", "lstm" or "gru"'),
        ({"class_weight": "balanced"}, 'class_weight = "balanced" weighs rows'),
    ],
)
def test_what_does_not_fit_targets_of_steps(copied: Copied, changes: dict[str, str], sentence: str) -> None:
    study, locations, _ = copied
    with pytest.raises(StudyError, match=sentence):
        wb.run(wb.vary(study, **changes), locations)


def test_outputs_of_steps_need_targets_of_steps(tmp_path: Path) -> None:
    (tmp_path / "adding.toml").write_text(
        'name = "adding"\n[data]\nsource = "adding-10"\n[model]\nfamily = "rnn"\noutput = "each"\n'
    )
    with pytest.raises(StudyError, match=r'output = "each" gives an output for every step.*"last"'):
        wb.run(wb.read_study(tmp_path / "adding.toml"), wb.resolve(home=str(tmp_path)))
