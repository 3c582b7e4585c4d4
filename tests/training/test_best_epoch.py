"""Which epoch of a lane counts, and when it stops, by rules written out on whole eighths."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given

from tests.helpers.problems import blobs, lane, mlp
from workbench.nn.recipe import Recipe
from workbench.training import trainer
from workbench.training.engine import Engine, Job
from workbench.training.trainer import DIVERGED, RUNNING, STOPPED, Epoch, Lane

EPOCHS = 12
#: Scores and losses in eighths, which float32 holds exactly: few of them, so that many are equal.
EIGHTHS = st.integers(0, 5)
CURVE = st.lists(st.tuples(EIGHTHS, EIGHTHS), min_size=EPOCHS, max_size=EPOCHS)


class Ended(NamedTuple):
    """Of a lane."""

    best_epoch: int
    epochs: int
    status: int


def by_hand(
    curve: list[tuple[int, int]], patience: int, min_delta: int, *, sign: int, by_loss: bool
) -> Ended:
    """The epoch that counts, 1-based; everything in eighths, in whole numbers."""
    best: tuple[int, int, int] | None = None  # score, loss, epoch
    improved = 0
    for epoch, (score, loss) in enumerate(curve, start=1):
        if loss == LOST:
            return Ended(0 if best is None else best[2], epoch, DIVERGED)
        gains = best is None or sign * (score - best[0]) > min_delta
        sharper = by_loss and best is not None and score == best[0] and loss < best[1]
        if gains or sharper:
            best, improved = (score, loss, epoch), epoch
        if patience and epoch - improved >= patience:
            assert best is not None
            return Ended(best[2], epoch, STOPPED)
    assert best is not None
    return Ended(best[2], len(curve), RUNNING)


LOST = 99  # stands for a loss that is not finite


@lru_cache
def concluded(metric: str, by_loss: bool) -> Any:
    """Lanes whose weights are the number of their epoch, through all conclusions of a curve."""
    recipe = Recipe("linear", (1,), 1, "mse", metric, keep_best=True, by_loss=by_loss)

    @jax.jit
    def run(hyper: Any, scores: jax.Array, losses: jax.Array) -> Lane:
        start = trainer.start(recipe, hyper, jax.random.key(0))
        start = start._replace(params=jnp.float32(0.0), best=jnp.float32(0.0), moments=())

        def one(now: Lane, seen: tuple[jax.Array, jax.Array]) -> tuple[Lane, None]:
            score, loss = seen
            params = jnp.where(now.status == RUNNING, now.params + 1.0, now.params)
            return trainer.conclude(recipe, hyper, now, params, (), Epoch(jnp.float32(1.0), loss, score))[
                0
            ], None

        return jax.lax.scan(one, start, (scores, losses))[0]

    return run


@given(
    CURVE,
    st.integers(0, 5),
    st.integers(0, 3),
    st.sampled_from(["accuracy", "rmse"]),
    st.booleans(),
    st.none() | st.integers(1, EPOCHS - 1),
)
@example([(3, 5 - i % 5) for i in range(EPOCHS)], 2, 0, "accuracy", True, None)
@example([(3, 5)] * 4 + [(4, 5)] * 4 + [(3, 0)] * 4, 5, 1, "accuracy", True, None)
def test_the_epoch_that_counts(
    curve: list[tuple[int, int]], patience: int, min_delta: int, metric: str, by_loss: bool, lost: int | None
) -> None:
    if lost is not None:
        curve = [*curve[:lost], (curve[lost][0], LOST), *curve[lost + 1 :]]
    expected = by_hand(curve, patience, min_delta, sign=1 if metric == "accuracy" else -1, by_loss=by_loss)
    scores = np.array([score for score, _ in curve], np.float32) / 8
    losses = np.array([np.inf if loss == LOST else loss / 8 for _, loss in curve], np.float32)
    after = concluded(metric, by_loss)(lane(patience=patience, min_delta=min_delta / 8), scores, losses)
    assert Ended(int(after.best_epoch), int(after.epochs), int(after.status)) == expected
    at = expected.best_epoch
    assert int(after.best) == at, "the weights of that epoch are kept"
    assert Fraction(float(after.best_score)) == Fraction(curve[at - 1][0], 8)
    assert Fraction(float(after.best_loss)) == Fraction(curve[at - 1][1], 8)


def test_a_loss_that_falls_for_ever_ends_with_the_epochs() -> None:
    falling = np.geomspace(1.0, 0.1, EPOCHS).astype(np.float32)
    run = concluded("accuracy", by_loss=True)
    after = run(lane(patience=1), np.full(EPOCHS, 0.5, np.float32), falling)
    assert Ended(int(after.best_epoch), int(after.epochs), int(after.status)) == (EPOCHS, EPOCHS, RUNNING)


def test_a_gain_that_is_too_small_is_none_whatever_the_loss_does() -> None:
    scores = np.array([0.5, 0.5625, *[0.5625] * (EPOCHS - 2)], np.float32)
    falling = np.geomspace(1.0, 0.1, EPOCHS).astype(np.float32)
    after = concluded("accuracy", by_loss=True)(lane(patience=4, min_delta=0.125), scores, falling)
    assert Ended(int(after.best_epoch), int(after.epochs), int(after.status)) == (1, 5, STOPPED)


@pytest.mark.parametrize("seed", range(4))
def test_trained_lanes_keep_the_epoch_that_their_curves_name(seed: int) -> None:
    """On thirty validation rows many epochs share their accuracy."""
    data = blobs(rows=90, seed=seed)
    engine = Engine(lambda variant: data, capacity=EPOCHS, seed=0)
    hypers = [lane(seed=k, patience=3, learning_rate=0.02 * (1 + k)) for k in range(4)]
    together = engine.run_many([Job(mlp(), "raw", hyper, 0, EPOCHS) for hyper in hypers])
    ties = 0
    for hyper, trained in zip(hypers, together, strict=True):
        score, loss = trained.curves.validation_score, trained.curves.validation_loss
        best = min(range(len(score)), key=lambda e: (-score[e], loss[e]))
        ties += int(np.sum(score == score[best])) > 1
        assert trained.best_epoch == best + 1
        (alone,) = engine.run_many([Job(mlp(), "raw", hyper, 0, EPOCHS)])
        for one, other in zip(jax.tree.leaves(alone.lane), jax.tree.leaves(trained.lane), strict=True):
            np.testing.assert_array_equal(one, other)
    assert ties, "else this shows nothing"
