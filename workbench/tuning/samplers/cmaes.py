"""CMA-ES (Hansen 2016, arXiv:1604.00772) as a function of the history.

The evolution is replayed: the trials that have scores, in the order of their numbers, are its generations.
Only ranks count in CMA-ES, so pruned trials take part with the rank that TPE gives them. Ranges are
searched on the unit cube; choices, which have no direction, are drawn at random, as Optuna does.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from workbench.core.types import Axis, Range, Value
from workbench.tuning.samplers import Direction, Seen, at, rank, uniform

#: The first step size, on the unit cube. Optuna's.
SIGMA = 1 / 6


def cmaes(
    axes: Mapping[str, Axis], history: Sequence[Seen], first: int, n: int, *, seed: int, direction: Direction
) -> list[dict[str, Value]]:
    """Parameters of the trials numbered from `first`."""
    CMA = importlib.import_module("cmaes").CMA  # optional

    ranges = {name: axis for name, axis in axes.items() if isinstance(axis, Range)}
    drawn = [uniform(axes, number, seed) for number in range(first, first + n)]
    if not ranges:
        return drawn

    def start(turn: int) -> Any:
        bounds = np.tile([0.0, 1.0], (len(ranges), 1))
        return CMA(np.full(len(ranges), 0.5), SIGMA, bounds=bounds, seed=(seed + first + turn) % 2**32)

    evolution = start(0)
    scored = [trial for trial in history if rank(trial, direction)[0] < 2]
    scored.sort(key=lambda trial: trial.number)
    size = evolution.population_size
    for turn in range(len(scored) // size):
        generation = scored[turn * size : (turn + 1) * size]
        generation.sort(key=lambda trial: rank(trial, direction))
        evolution.tell([(_place(ranges, trial.params), place) for place, trial in enumerate(generation)])
        if evolution.should_stop():
            evolution = start(turn + 1)
    for params in drawn:
        point = np.clip(evolution.ask(), 0.0, np.nextafter(1.0, 0.0)).tolist()
        params |= {name: at(axis, u) for (name, axis), u in zip(ranges.items(), point, strict=True)}
    return drawn


def _place(ranges: Mapping[str, Range], params: Mapping[str, Value]) -> np.ndarray:
    """Where on the unit cube a trial lies: the inverse of `at`."""
    return np.array([_unit(axis, float(params[name])) for name, axis in ranges.items()])


def _unit(axis: Range, value: float) -> float:
    half = 0.5 * (axis.step or (1.0 if axis.integer else 0.0))
    low, high = axis.low - half, axis.high + half
    if axis.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return min(max((value - low) / (high - low), 0.0), 1.0)
