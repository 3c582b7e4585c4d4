"""Which parameters to try next: a pure function of the axes, the history, the sampler and the seed.

Every trial has a number, and what is drawn for it depends on the seed, its number and the trials before it,
never on how often or in which process the function was called; an interrupted search therefore goes on as
it would have.

    random  independent uniform draws (Bergstra and Bengio 2012, JMLR 13)
    qmc     the scrambled Sobol' sequence (Owen 1998), which covers the space more evenly
    grid    every combination once, in an order that spreads over the whole grid from the start
    tpe     Optuna's multivariate tree-structured Parzen estimator (`model`)
    gp      Optuna's Gaussian process (`model`); needs PyTorch
    cmaes   covariance matrix adaptation (`cmaes`); needs the package `cmaes`

The first STARTUP trials of tpe, gp and cmaes are those of `random`.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np

from workbench.core.errors import StudyError
from workbench.core.types import Axis, Choice, Range, Value

#: Trials that must have a score, be it at a rung, before a model of the scores is made. Optuna's default.
STARTUP = 10
#: What a sampler needs beside this package's own dependencies.
NEEDS = {"gp": ("torch", "PyTorch"), "cmaes": ("cmaes", "cmaes")}
GOLDEN = (math.sqrt(5) - 1) / 2

Direction = Literal["maximize", "minimize"]


class Seen(Protocol):
    """What is read of a trial. `types.TrialRecord` and `search.Known` are such."""

    @property
    def number(self) -> int:
        """Trials are numbered from 0 in the order in which they were asked for."""

    @property
    def params(self) -> Mapping[str, Value]:
        """A value for every axis."""

    @property
    def state(self) -> str:
        """One of running, complete, pruned, failed."""

    @property
    def value(self) -> float | None:
        """The score of a complete trial."""

    @property
    def rungs(self) -> Mapping[int, float]:
        """Epochs trained -> score. A pruned trial without any (it diverged) is worse than all others."""


def suggest(
    axes: Mapping[str, Axis],
    history: Sequence[Seen],
    n: int,
    *,
    sampler: str,
    seed: int,
    direction: Direction,
) -> list[dict[str, Value]]:
    """Parameters of the next `n` trials; fewer when a grid is exhausted.

    Raises StudyError if the sampler cannot search these axes, or lacks a package.
    """
    return Suggester(axes, sampler=sampler, seed=seed, direction=direction).suggest(history, n)


class Suggester:
    """`suggest` for the many calls of one search. It keeps what it has converted, which changes no answer."""

    def __init__(self, axes: Mapping[str, Axis], *, sampler: str, seed: int, direction: Direction) -> None:
        """Raises StudyError if the sampler cannot search these axes, or lacks a package."""
        check_sampler(axes, sampler)
        self._axes = dict(axes)
        self._searched = {name: axis for name, axis in axes.items() if _size(axis) != 1}
        self._sampler, self._seed, self._direction = sampler, seed, direction
        self._cache: dict[int, Any] = {}

    def suggest(self, history: Sequence[Seen], n: int) -> list[dict[str, Value]]:
        """Parameters of the next `n` trials; fewer when a grid is exhausted."""
        history = sorted(history, key=lambda trial: trial.number)
        first = 1 + history[-1].number if history else 0
        if n < 1 or not self._searched:
            return [self._whole({}) for _ in range(n)]
        return [self._whole(params) for params in self._draw(history, first, n)]

    def _draw(self, history: Sequence[Seen], first: int, n: int) -> list[dict[str, Value]]:
        axes, seed = self._searched, self._seed
        if self._sampler == "grid":
            return _grid(axes, history, n)
        if self._sampler == "qmc":
            return _qmc(axes, first, n, seed)
        learnt = [trial for trial in history if trial.state in ("complete", "pruned") or trial.rungs]
        if self._sampler == "random" or len(learnt) < STARTUP:
            return [uniform(axes, number, seed) for number in range(first, first + n)]
        model_seed = int(np.random.SeedSequence((seed, first)).generate_state(1)[0])
        if self._sampler == "cmaes":
            from workbench.tuning.samplers.cmaes import cmaes

            return cmaes(axes, history, first, n, seed=seed, direction=self._direction)
        from workbench.tuning.samplers.model import ask

        return ask(self._sampler, axes, history, first, n, model_seed, self._direction, self._cache)

    def _whole(self, params: Mapping[str, Value]) -> dict[str, Value]:
        """All axes, in the order of the study."""
        return {name: params[name] if name in params else at(axis, 0.0) for name, axis in self._axes.items()}


def check_sampler(axes: Mapping[str, Axis], sampler: str) -> None:
    """Raise StudyError if the sampler cannot search these axes, or lacks a package."""
    endless = [name for name, axis in axes.items() if math.isinf(_size(axis))]
    if sampler == "grid" and endless:
        raise StudyError(
            f'[search] sampler = "grid" needs axes with finitely many values, {endless[0]} is continuous; '
            "give it a step or choices, or take another sampler"
        )
    module, package = NEEDS.get(sampler, ("math", ""))
    if importlib.util.find_spec(module) is None:
        raise StudyError(
            f'[search] sampler = "{sampler}" needs {package}, which is not installed; '
            f'pip install {module}, or take sampler = "tpe"'
        )


def at(axis: Axis, u: float) -> Value:
    """The value of an axis at 0 <= u < 1, such that a uniform u gives a uniform value.

    Uniform in the logarithm if `log`. Every value of a discrete axis has the same share of the unit
    interval; of a logarithmic integer axis, the share of the interval of half a unit on both sides of it.
    Optuna's convention.
    """
    if isinstance(axis, Choice):
        return axis.choices[int(u * len(axis.choices))]
    low, high = axis.low, axis.high
    if axis.log:
        half = 0.5 if axis.integer else 0.0
        value = math.exp(math.log(low - half) + u * (math.log(high + half) - math.log(low - half)))
        return int(min(max(round(value), low), high)) if axis.integer else min(max(value, low), high)
    if axis.integer or axis.step:
        return _nth(axis, int(u * _size(axis)))
    return min(low + u * (high - low), high)


def uniform(axes: Mapping[str, Axis], number: int, seed: int) -> dict[str, Value]:
    """The independent uniform draw of a trial."""
    draws = np.random.default_rng((seed, number)).random(len(axes)).tolist()
    return {name: at(axis, u) for (name, axis), u in zip(axes.items(), draws, strict=True)}


def rank(trial: Seen, direction: Direction) -> tuple[int, int, float]:
    """Sorts trials from good to bad, as Optuna's TPE does.

    Complete ones come first, by score; then those with scores at rungs, by how far they came and by their
    score there; then the rest.
    """
    sign = -1.0 if direction == "maximize" else 1.0
    if trial.state == "complete" and trial.value is not None and not math.isnan(trial.value):
        return 0, 0, sign * trial.value
    last = max(trial.rungs, default=0)
    score = trial.rungs.get(last, math.nan)
    return (2, 0, 0.0) if math.isnan(score) else (1, -last, sign * score)


def _nth(axis: Axis, index: int) -> Value:
    """The value of a finite axis with this index."""
    if isinstance(axis, Choice):
        return axis.choices[index]
    value = min(axis.low + index * (axis.step or 1), axis.high)  # rounding must not pass the end
    return int(value) if axis.integer else value


def _size(axis: Axis) -> float:
    """How many values an axis has; infinity if it is continuous."""
    if isinstance(axis, Choice):
        return len(axis.choices)
    if axis.low == axis.high:
        return 1
    step = axis.step or (1 if axis.integer else 0)
    return math.floor((axis.high - axis.low) / step + 1e-8) + 1 if step else math.inf


def _qmc(axes: Mapping[str, Axis], first: int, n: int, seed: int) -> list[dict[str, Value]]:
    from scipy.stats.qmc import Sobol

    sequence = Sobol(len(axes), scramble=True, rng=np.random.default_rng(seed))
    if first:
        sequence.fast_forward(first)
    points = [sequence.random(1)[0].tolist() for _ in range(n)]  # SciPy warns of n that are no power of 2
    return [
        {name: at(axis, u) for (name, axis), u in zip(axes.items(), point, strict=True)} for point in points
    ]


def _grid(axes: Mapping[str, Axis], history: Sequence[Seen], n: int) -> list[dict[str, Value]]:
    """The cells of the grid that are not in the history, spread by the golden section of its size."""
    sizes = [int(_size(axis)) for axis in axes.values()]
    size = math.prod(sizes)
    step = max(1, round(size * GOLDEN))
    while math.gcd(step, size) != 1:
        step += 1
    tried = {_key(axes, trial.params) for trial in history}
    cells: list[dict[str, Value]] = []
    for turn in range(size):
        if len(cells) == n:
            break
        indices = np.unravel_index(turn * step % size, sizes)
        cell = {name: _nth(axis, int(i)) for (name, axis), i in zip(axes.items(), indices, strict=True)}
        if _key(axes, cell) not in tried:
            cells.append(cell)
    return cells


def _key(axes: Mapping[str, Axis], params: Mapping[str, Value]) -> Hashable:
    """Equal for equal cells: numbers up to rounding."""
    return tuple(
        round((float(params[name]) - axis.low) / (axis.step or 1), 6)
        if isinstance(axis, Range)
        else axis.choices.index(params[name])
        for name, axis in axes.items()
    )
