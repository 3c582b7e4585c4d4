"""Would more rows help? The chosen configuration, trained on growing parts of the training rows.

High variance shows as a gap between training and validation that closes with more rows, high bias as two
lines that meet at a poor score. No test row is looked at. Source: *Regression to neural networks*.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from workbench.core.files import write_text
from workbench.core.records import decode_number, encode_number
from workbench.core.types import Array, Examples, Fold, Value
from workbench.evaluation.evaluate import score_of
from workbench.evaluation.intervals import seed_spread
from workbench.nn.recipe import Hyperparameters
from workbench.training.engine import Engine, Job, Trained
from workbench.training.population import best_params
from workbench.tuning.lane_plan import LanePlan
from workbench.tuning.selection import FIRST_SEED
from workbench.tuning.space import Problem, Program

#: Rows of the smallest part, and initializations whose spread is the interval.
FEWEST, SEEDS = 8, 3

Interval = tuple[float, float, float]


class Size(NamedTuple):
    """Scores after training on so many rows: the mean over initializations, and its 95 % interval."""

    rows: int
    train: Interval  # value, low, high
    validation: Interval


def parts(rows: int, count: int) -> list[int]:
    """At most so many sizes, each half of the next, the last one all rows."""
    return [size for k in reversed(range(count)) if (size := -(-rows // 2**k)) >= min(FEWEST, rows)]


def grow(
    values: Mapping[str, Value],
    fold: Fold,
    problem: Problem,
    metric: str,
    *,
    count: int,
    seed: int,
    own: Array | None = None,
) -> tuple[Size, ...]:
    """Train a configuration on `count` parts of the training rows of `fold`, each twice the one before.

    values  every setting, resolved; seed  of the study, which draws the parts; own  how much training rows
    count, [N], without what their classes add; None: all alike. The rows stay as they were prepared, so that
    validation scores can be compared.
    """
    order = np.random.default_rng(seed).permutation(len(fold.train.x))
    found = []
    for rows in parts(len(order), count):
        chosen = np.sort(order[:rows])
        part = fold._replace(train=Examples(*(np.asarray(leaf)[chosen] for leaf in fold.train)))
        mass = None if own is None else own[chosen]
        found.append(_size(values, part, problem._replace(rows=rows), metric, mass))
    return tuple(found)


def save(sizes: Sequence[Size], folder: Path) -> None:
    """Keep them in a study's folder."""
    numbers = [
        [size.rows, *(list(map(encode_number, scores)) for scores in (size.train, size.validation))]
        for size in sizes
    ]
    write_text(folder / "sizes.json", json.dumps(numbers))


def load(folder: Path) -> tuple[Size, ...]:
    """What was kept; nothing if there is nothing."""
    path = folder / "sizes.json"
    if not path.exists():
        return ()
    return tuple(
        Size(rows, _numbers(train), _numbers(validation))
        for rows, train, validation in json.loads(path.read_text(encoding="utf-8"))
    )


def _size(values: Mapping[str, Value], part: Fold, problem: Problem, metric: str, own: Array | None) -> Size:
    plan = LanePlan(values, lambda _: problem, metric, (int(values["width"]),))
    lanes, epochs = [plan.lane({}, FIRST_SEED + i) for i in range(SEEDS)], plan.epochs
    program, hypers = lanes[0][0], [hyper for _, hyper in lanes]
    engine = Engine(lambda _: part, capacity=epochs, seed=FIRST_SEED)
    trained = engine.run_many([Job(program.recipe, program.variant, hyper, 0, epochs) for hyper in hypers])
    train = [
        _train_score(engine, program, h, lane, part, own) for h, lane in zip(hypers, trained, strict=True)
    ]
    validation = [math.nan if lane.score is None else lane.score for lane in trained]
    return Size(problem.rows, _interval(np.array(train)), _interval(np.array(validation)))


def _train_score(
    engine: Engine, program: Program, hyper: Hyperparameters, lane: Trained, part: Fold, own: Array | None
) -> float:
    rows, recipe = part.train, program.recipe
    outputs = engine.outputs(recipe, program.variant, hyper, best_params(recipe, lane.lane), rows.x)
    return score_of(recipe.metric, outputs, rows.y, float(hyper.threshold), own)


def _interval(scores: Array) -> Interval:
    """Mean and its interval by Student's t; of initializations that did not diverge."""
    known = scores[np.isfinite(scores)]
    if not len(known):
        return math.nan, math.nan, math.nan
    found = seed_spread(known)
    return (found.mean, found.low, found.high) if len(known) > 1 else (found.mean,) * 3


def _numbers(words: Sequence[float | str | None]) -> Interval:
    value, low, high = (math.nan if (n := decode_number(word)) is None else n for word in words)
    return value, low, high
