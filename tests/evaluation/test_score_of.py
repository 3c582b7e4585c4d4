"""Scores of whole sets of rows: one program for all rows of a shape, and never the one of another metric."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax.numpy as jnp
import numpy as np
import pytest
from jax import monitoring
from sklearn.metrics import accuracy_score, mean_absolute_error

from workbench.core.vocabulary import METRICS as WORDS
from workbench.evaluation.evaluate import score_of, scores_of
from workbench.nn.metrics import METRICS, register

COMPILED = "/jax/core/compile/backend_compile_duration"


@pytest.fixture
def compiled() -> Iterator[list[str]]:
    """A name for each program that is compiled, or found in the cache, during the test."""
    seen: list[str] = []

    def listen(event: str, seconds: float, **more: str | int) -> None:
        del seconds, more
        if event == COMPILED:
            seen.append(event)

    monitoring.register_event_duration_secs_listener(listen)
    yield seen
    monitoring.unregister_event_duration_listener(listen)


def test_many_scores_of_one_shape_are_one_program(compiled: list[str]) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 7, 53)

    def scored() -> tuple[float, float]:
        outputs = rng.normal(size=(53, 7))
        return score_of("accuracy", outputs, y), float(accuracy_score(y, outputs.argmax(axis=1)))

    found = [scored()]
    assert compiled, "or nothing is counted"
    compiled.clear()
    found += [scored() for _ in range(20)]
    assert not compiled
    np.testing.assert_allclose(*zip(*found, strict=True), rtol=1e-6)


class Scaled:
    """A metric with a state, which cannot be hashed."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scaled)

    def __call__(self, outputs: jnp.ndarray, y: jnp.ndarray, weight: jnp.ndarray) -> jnp.ndarray:
        return self.factor * jnp.sum(weight[:, None] * jnp.abs(outputs - y)) / jnp.sum(weight)


@pytest.mark.parametrize("of", [Scaled, lambda factor: Scaled(factor).__call__])
def test_a_metric_that_took_a_name_is_the_one_that_scores(
    of: Callable[[float], Callable[..., jnp.ndarray]],
) -> None:
    rng = np.random.default_rng(1)
    outputs, y = rng.normal(size=(2, 31, 1))
    mean = float(mean_absolute_error(y, outputs))
    try:
        for factor in (1.0, 3.0):
            register("scaled_mae", of(factor), direction="minimize", task="regression", replace=True)
            assert score_of("scaled_mae", outputs, y) == pytest.approx(factor * mean, rel=1e-5)
            assert scores_of("scaled_mae", outputs[None], y) == pytest.approx(factor * mean, rel=1e-5)
    finally:
        del METRICS["scaled_mae"], WORDS["scaled_mae"]
