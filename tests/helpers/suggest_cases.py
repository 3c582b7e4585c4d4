"""A space of eight axes, a score whose best is known, and histories for the tests of samplers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pytest

from workbench.core import vocabulary
from workbench.core.types import Axis, Choice, Range, Value
from workbench.tuning import samplers
from workbench.tuning.sampler_words import Sampler
from workbench.tuning.samplers import Suggester

AXES: dict[str, Axis] = {
    "depth": Range(1, 3, integer=True),
    "width": Range(16, 256, log=True, integer=True),
    "activation": Choice(("relu", "tanh")),
    "optimizer": Choice(("adam", "momentum", "rmsprop")),
    "learning_rate": Range(1e-4, 1e-1, log=True),
    "l2": Range(1e-8, 1e-2, log=True),
    "dropout": Range(0.0, 0.5),
    "batch_size": Choice((32, 64, 128)),
}


class Seen(NamedTuple):
    number: int
    params: Mapping[str, Value]
    state: str = "complete"
    value: float | None = None
    rungs: Mapping[int, float] = {}


def uniform(axes: Mapping[str, Axis], number: int, seed: int) -> dict[str, Value]:
    """Independent draws, of a logarithmic range uniform in the logarithm."""
    rng = np.random.default_rng((seed, number))
    found: dict[str, Value] = {}
    for name, axis in axes.items():
        if isinstance(axis, Choice):
            found[name] = axis.choices[int(rng.integers(len(axis.choices)))]
        elif axis.log:
            value = math.exp(rng.uniform(math.log(axis.low), math.log(axis.high)))
            value = min(max(value, axis.low), axis.high)
            found[name] = round(value) if axis.integer else value
        elif axis.integer or axis.step:
            step = axis.step or 1
            value = axis.low + step * int(rng.integers(round((axis.high - axis.low) / step) + 1))
            found[name] = round(value) if axis.integer else min(value, axis.high)
        else:
            found[name] = float(rng.uniform(axis.low, axis.high))
    return found


def loss(params: Mapping[str, Value]) -> float:
    """Smooth, with its minimum of zero inside the space."""
    depth, width, rate = float(params["depth"]), float(params["width"]), float(params["learning_rate"])
    return (
        0.05 * (depth - 2) ** 2
        + 0.1 * math.log(width / 64) ** 2
        + 0.1 * math.log10(rate / 3e-3) ** 2
        + (float(params["dropout"]) - 0.1) ** 2
        + 0.1 * (params["activation"] != "relu")
        + 0.05 * (params["optimizer"] != "adam")
    )


def past(count: int, seed: int = 0, axes: Mapping[str, Axis] = AXES) -> list[Seen]:
    """Random trials of every kind."""
    rng = np.random.default_rng(seed)
    trials = []
    for number in range(count):
        params, draw = uniform(axes, number, seed), rng.random()
        rungs = {4: float(rng.random()), 12: float(rng.random())}
        if draw < 0.5:
            trials.append(Seen(number, params, "complete", float(rng.random()), rungs))
        elif draw < 0.7:
            trials.append(Seen(number, params, "pruned", None, {4: float(rng.random())}))
        elif draw < 0.8:
            trials.append(Seen(number, params, "pruned", None, {}))
        elif draw < 0.85:
            trials.append(Seen(number, params, "failed"))
        else:
            trials.append(Seen(number, params, "running", None, rungs if draw < 0.95 else {}))
    return trials


def search(
    sampler: Sampler, seed: int, count: int, batch: int, score: Callable[[Mapping[str, Value]], float] = loss
) -> list[float]:
    suggester = Suggester(AXES, sampler=sampler, seed=seed, direction="minimize")
    history: list[Seen] = []
    while len(history) < count:
        for params in suggester.suggest(history, batch):
            history.append(Seen(len(history), params, "complete", score(params)))
    return [float(trial.value or 0) for trial in history]


#: Axes of few values: 3 x 6 x 4 x 2 cells.
GRID: dict[str, Axis] = {
    "depth": Range(1, 3, integer=True),
    "dropout": Range(0.0, 0.5, step=0.1),
    "width": Range(4, 7, log=True, integer=True),
    "activation": Choice(("relu", "tanh")),
}
CELLS = 3 * 6 * 4 * 2
STUDY = """
name = "words"
[data]
source = "wine"
[model]
family = "softmax"
[optimizer]
name = {{ choices = ["adam", "sgd"] }}
learning_rate = {{ low = 0.01, high = 0.1, step = 0.01 }}
[regularization]
l2 = {{ low = 0.0, high = 0.1, step = 0.05 }}
[training]
epochs = 4
[search]
trials = 14
seeds = 1
sampler = {sampler}
[select]
rule = "single"
"""
#: The Gaussian process takes a second for a draw: its tests are slow.
WORDS = [pytest.param(word, marks=pytest.mark.slow) if word == "gp" else word for word in vocabulary.SAMPLERS]
FAST = [word for word in vocabulary.SAMPLERS if word != "gp"]


def axes_of(word: str) -> dict[str, Axis]:
    return GRID if word in vocabulary.EXHAUSTIVE else AXES


def suggest(
    axes: Mapping[str, Axis],
    history: Sequence[Seen],
    n: int,
    *,
    sampler: Sampler,
    seed: int = 0,
    direction: samplers.Direction = "minimize",
) -> list[dict[str, Value]]:
    return Suggester(axes, sampler=sampler, seed=seed, direction=direction).suggest(history, n)
