"""Ensembles: members that know nothing of each other, and their average everywhere a model is asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from scipy.special import expit, logit, softmax

import workbench as wb
from tests.helpers.end_to_end import TINY
from tests.helpers.families import case, predicted
from tests.helpers.problems import blobs, lane, line, mlp
from workbench.core.locations import Locations
from workbench.core.types import Fold
from workbench.data import load
from workbench.nn import prng
from workbench.nn.models import MODELS, n_parameters, predict
from workbench.nn.models.ensemble import MEMBER_STREAM, average, member
from workbench.nn.recipe import Hyperparameters, Recipe
from workbench.storage import outcomes
from workbench.study import workflow
from workbench.study.config import notes
from workbench.training import population, scoring, trainer

KEY = jax.random.key(11)
EPOCHS = 6


start = jax.jit(trainer.start, static_argnames="recipe")


def several(recipe: Recipe, members: int) -> Recipe:
    """The recipe for an ensemble."""
    return replace(recipe, options=(*recipe.options, ("ensemble", members)))


def trained(
    recipe: Recipe, hyper: Hyperparameters, fold: Fold, lanes: trainer.Lane | None = None
) -> tuple[trainer.Lane, trainer.Epoch]:
    """One lane after some epochs, and its record [E]."""
    mesh = population.mesh_of_host()
    locations = population.places([0], mesh.size, mesh.size)
    hypers, placed = population.stack([hyper], locations), population.place(mesh, fold)
    if lanes is None:
        stacked = population.start(recipe, mesh, hypers, KEY)
    else:
        stacked = population.stack([lanes], locations)
    span = np.int32(0), np.int32(EPOCHS)
    after, seen = population.advance(recipe, mesh, EPOCHS, True, hypers, stacked, placed, KEY, *span)
    return population.unstack(after, locations)[0], population.unstack(seen, locations)[0]


@pytest.mark.parametrize(
    ("changes", "fold"),
    [
        pytest.param({}, blobs(), marks=pytest.mark.slow),
        ({"dropout": False, "clip": True, "accumulate": True}, blobs()),
        pytest.param(
            {"outputs": 1, "inputs": (4,), "loss": "mse", "metric": "rmse"}, line(), marks=pytest.mark.slow
        ),
    ],
    ids=["classes", "clipped, accumulated", "numbers"],
)
def test_members_are_the_models_they_would_be_alone(changes: dict[str, object], fold: Fold) -> None:
    """Each is trained in a program of its own; what the ensemble says is computed from them in NumPy."""
    alone = mlp(keep_best=False, **changes)
    together = several(alone, 3)
    hyper = lane(clip=0.5, batch_size=32 if alone.accumulate else 16, l2=1e-3, seed=7)
    ensemble, seen = trained(together, hyper, fold)
    x, y = fold.validation.x, fold.validation.y
    said, losses, init = [], [], jax.jit(MODELS["mlp"].init, static_argnames="recipe")
    for i in range(3):
        key = prng.key_of(prng.key_of(KEY, 7), MEMBER_STREAM + i)
        params = init(alone, hyper, key=key)
        begun = start(alone, hyper, KEY)._replace(params=params)
        single, record = trained(alone, hyper, fold, begun)
        jax.tree.map(
            lambda ours, theirs: np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5),
            member(together, ensemble.params, i),
            single.params,
        )
        said.append(np.asarray(predicted(alone, hyper, single.params, x), np.float64))
        losses.append(record.train_loss)
    np.testing.assert_allclose(seen.train_loss, np.mean(losses, axis=0), rtol=1e-4)
    delivered = np.asarray(scoring.outputs(together, hyper, ensemble.params, x))
    if changes.get("metric") == "rmse":
        mean = np.mean(said, axis=0)
        np.testing.assert_allclose(delivered, mean, rtol=1e-3, atol=1e-4)
        error = mean * fold.scale + fold.shift - y
        np.testing.assert_allclose(seen.validation_score[-1], np.sqrt(np.mean(error**2)), rtol=1e-3)
    else:
        mean = softmax(np.array(said), axis=-1).mean(axis=0)
        np.testing.assert_allclose(softmax(delivered, axis=-1), mean, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(seen.validation_score[-1], np.mean(mean.argmax(axis=1) == y), rtol=1e-6)
        log_loss = -np.log(mean[np.arange(len(y)), y]).mean()
        np.testing.assert_allclose(seen.validation_loss[-1], log_loss, rtol=1e-3)
    assert not np.allclose(said[0], said[1], atol=0.05)


def test_a_member_does_not_depend_on_how_many_there_are() -> None:
    recipe, hyper = mlp(), lane()
    few, many = (start(several(recipe, n), hyper, KEY).params for n in (2, 5))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[:2]), few, many)


@pytest.mark.parametrize("family", ["mlp", "cnn", "lstm"])
def test_parameters_of_all_members_are_counted(family: str) -> None:
    it = case(family)
    assert n_parameters(several(it.recipe, 4), it.settings) == 4 * n_parameters(it.recipe, it.settings)


def test_the_average_of_an_ensemble() -> None:
    draw = np.random.default_rng(0)
    logits = 3.0 * draw.normal(size=(4, 6, 3)).astype(np.float32)
    share = softmax(logits, axis=-1).mean(axis=0)
    np.testing.assert_allclose(np.exp(average(logits, "classification")), share, rtol=1e-5)
    single = logits[..., :1]
    np.testing.assert_allclose(
        average(single, "classification"), logit(expit(single).mean(axis=0)), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(average(logits, "regression"), logits.mean(axis=0), rtol=1e-6)
    certain = np.full((2, 1, 2), 1e30, np.float32) * np.array([1.0, -1.0], np.float32)
    assert np.isfinite(average(certain, "classification")).all()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[wb.Study, Locations, dict[str, Any]]:
    """A small study whose trials are ensembles of different sizes, run to its end."""
    folder = tmp_path_factory.mktemp("ensembles")
    (folder / "tiny.toml").write_text(
        TINY.replace('"softmax"', '"mlp"\nwidth = 4\nensemble = { choices = [3, 5] }').replace(
            "{ low = 1e-4, high = 1e-3, log = true }", "0.01"
        )
    )
    study, locations = wb.read_study(folder / "tiny.toml"), wb.resolve(home=str(folder / "home"))
    return study, locations, wb.run(study, locations)


def test_all_scores_of_a_study_are_those_of_the_average(
    study: tuple[wb.Study, Locations, dict[str, Any]],
) -> None:
    it, locations, result = study
    folder = locations.study(it.id)
    outcome, model = outcomes.load(folder), wb.load_model(folder / "model")
    assert outcome is not None
    assert outcome.selection is not None
    members = result["best"]["params"]["ensemble"]
    assert members in (3, 5)
    assert result["programs"] == 2
    assert outcome.selection.parameters == members * (13 * 4 + 4 + 4 * 4 + 4 + 4 * 3 + 3)

    with np.load(folder / "test.npz") as kept:  # what the model said of the test rows when they were opened
        outputs, codes = kept["outputs"], kept["targets"]
    assert result["test"]["value"] == np.mean(outputs.argmax(axis=1) == codes)
    np.testing.assert_array_equal(outcome.outputs, outputs)

    dataset, _ = load(it.data)
    rows = dataset.rows.iloc[dataset.validation]  # type: ignore[union-attr]
    x = np.asarray(model.preprocessor.transform(rows), np.float32)
    said = np.stack([model.member(i).outputs(x) for i in range(members)])
    share = softmax(said.astype(np.float64), axis=-1)
    told = model.predict(rows)
    np.testing.assert_allclose(told.iloc[:, 1:], share.mean(axis=0), rtol=1e-4, atol=1e-6)
    right = share.mean(axis=0).argmax(axis=1) == np.asarray(dataset.target)[dataset.validation]
    assert outcome.selection.seeds[0].validation == pytest.approx(right.mean(), abs=1e-6)
    assert np.abs(share[0] - share.mean(axis=0)).max() > 0.02  # no member says what all say together

    page = Path(result["report"]).with_suffix(".md").read_text()
    assert f"parameters in {members} members from different initializations" in page


def test_what_check_says(study: tuple[wb.Study, Locations, dict[str, Any]]) -> None:
    it, locations, _ = study
    plan = workflow.check(it, locations)
    assert [(axis["name"], axis["recompiles"]) for axis in plan["axes"]] == [("ensemble", True)]
    alike = wb.vary(it, family="softmax", ensemble=3)
    assert any("members are alike" in note for note in notes(alike))
    assert not any("alike" in note for note in notes(it))


def test_one_example_is_predicted_as_many_are() -> None:
    it = case("mlp")
    recipe = several(it.recipe, 3)
    params = start(recipe, it.hyper, KEY).params
    one = predict(recipe, it.hyper, params, it.x[0])
    np.testing.assert_allclose(scoring.outputs(recipe, it.hyper, params, it.x)[0], one, rtol=1e-5, atol=1e-6)
