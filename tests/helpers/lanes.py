"""Lanes of one program, trained together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from workbench.nn.recipe import Hyperparameters, Recipe
from workbench.training.engine import Engine, Job, Trained
from workbench.training.trainer import Lane


def train(
    engine: Engine,
    recipe: Recipe,
    variant: Hashable,
    hypers: Sequence[Hyperparameters],
    lanes: Sequence[Lane] | None = None,
    *,
    first: int = 0,
    last: int,
    seed: int | None = None,
) -> list[Trained]:
    """From `first` epochs to `last`; new lanes if none are given."""
    given = [None] * len(hypers) if lanes is None else lanes
    return engine.run_many(
        [
            Job(recipe, variant, hyper, first, last, lane, seed)
            for hyper, lane in zip(hypers, given, strict=True)
        ]
    )
