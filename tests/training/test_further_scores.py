"""Scores by further metrics, held to scikit-learn; and a score that is enough, which ends a lane."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk
from scipy.special import softmax

from tests.helpers.problems import blobs, lane, mlp
from workbench.training import population
from workbench.training.engine import Engine, Job

EPOCHS = 12
ALSO = ("log_loss", "f1_macro", "balanced_accuracy")
HYPERS = [lane(seed=seed, learning_rate=rate) for seed, rate in enumerate((0.003, 0.03, 0.1))]


def trained(engine: Engine, recipe: Any, **job: Any) -> list[Any]:
    return engine.run_many([Job(recipe, "", hyper, 0, EPOCHS, **job) for hyper in HYPERS])


def test_scores_are_those_of_scikit_learn_at_the_epoch_that_counts() -> None:
    data, recipe = blobs(), mlp()
    engine = Engine(lambda variant: data, capacity=EPOCHS, seed=0, also=ALSO)
    y = np.asarray(data.validation.y)
    for one, hyper in zip(trained(engine, recipe, also=True), HYPERS, strict=True):
        params = population.best_params(recipe, one.lane)
        logits = engine.outputs(recipe, "", hyper, params, np.asarray(data.validation.x))
        said, share = logits.argmax(axis=1), softmax(logits.astype(float), axis=1)
        assert one.score == pytest.approx(sk.accuracy_score(y, said))
        assert one.also == pytest.approx(
            [
                sk.log_loss(y, share),
                sk.f1_score(y, said, average="macro"),
                sk.balanced_accuracy_score(y, said),
            ],
            abs=1e-5,
        )


def test_a_study_that_asks_for_none_has_no_program_more(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, unasked = (Engine(lambda _: blobs(), capacity=EPOCHS, seed=0, also=names) for names in (ALSO, ()))
    with_, without = trained(asked, mlp(), also=True), trained(unasked, mlp(), also=True)
    assert asked._programs.count("rows") == unasked._programs.count("rows") + 1
    assert unasked.programs == asked.programs == 1
    for one, other in zip(with_, without, strict=True):
        assert other.also is None
        assert one.score == other.score  # to the bit
        assert all(map(np.array_equal, one.curves, other.curves))


@pytest.mark.parametrize(("goal", "keeps"), [(0.8, True), (0.8, False), (2.0, True)])
def test_a_lane_stops_after_the_epoch_that_reaches_the_goal(goal: float, keeps: bool) -> None:
    engine = Engine(lambda variant: blobs(), capacity=EPOCHS, seed=0)
    plain = mlp(keep_best=keeps, by_loss=keeps)
    goes = replace(plain, options=(("stop_at", goal),))
    for free, bound in zip(trained(engine, plain), trained(engine, goes), strict=True):
        scores = free.curves.validation_score
        reached = np.flatnonzero(scores >= goal)
        expected = 1 + reached[0] if len(reached) else EPOCHS
        assert bound.epochs == expected
        assert bound.status == ("stopped" if len(reached) else "running")
        np.testing.assert_allclose(bound.curves.validation_score, scores[:expected], rtol=1e-5)
        if len(reached):
            assert bound.score == pytest.approx(scores[reached[0]])
            assert bound.best_epoch == expected
