"""A trial between its ask and its end: what its launches have brought, and the record that it becomes.

It has a lane for each division of the rows that it trains on: one, or as many as folds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from workbench.core.records import NO_SCORE, Curves, TrialRecord
from workbench.core.types import Value
from workbench.nn.recipe import Hyperparameters
from workbench.tuning.scheduler import Judged, LaneReport
from workbench.tuning.space import Program

#: Part of a score by which a lower loss is better in the eyes of the sampler; less than a row in a million.
TRIFLE = 1e-7


@dataclass
class Trial:
    """A trial that was asked for and has not ended."""

    number: int
    params: Mapping[str, Value]
    programs: tuple[Program, ...]  # of its lanes
    hypers: tuple[Hyperparameters, ...]
    curves: list[Curves] = field(default_factory=list)
    rungs: dict[int, float] = field(default_factory=dict)
    seconds: float = 0.0
    best_epoch: int = 0
    also: Mapping[str, float] = field(default_factory=dict)  # scores by further metrics
    lanes: Any = None  # None before its first launch, or when they must be fetched from a checkpoint


def advance(
    trial: Trial, last: int, curves: Curves, score: float | None, best_epoch: int, seconds: float
) -> None:
    """Add what a launch has brought: curves of its epochs, the score after epoch `last`, share of time."""
    trial.curves.append(curves)
    trial.seconds += seconds
    trial.best_epoch = best_epoch
    if score is not None:
        trial.rungs[last] = score


def reported(trial: Trial, report: LaneReport, sign: float) -> dict[int, float]:
    """What the sampler is told: the score at each rung; of equal scores the lower loss is a trifle better.

    report  of the launch that `advance` added last
    sign    1.0 where greater scores are better, -1.0 where smaller ones are
    """
    rungs = dict(trial.rungs)
    if report.score is not None:
        loss = report.loss / (1.0 + abs(report.loss)) if math.isfinite(report.loss) else 1.0
        rungs[max(rungs)] = report.score - sign * TRIFLE * abs(report.score) * loss
    return rungs


def undefined(curves: Curves) -> bool:
    """Whether a trial that has no score did not diverge: its losses are finite, the metric has no value."""
    losses = np.concatenate([curves.train_loss, curves.validation_loss])
    return bool(np.isfinite(losses).all() and np.isnan(curves.validation_score[-1:]).any())


def finish(trial: Trial, verdict: Judged, score: float | None, at: float) -> TrialRecord:
    """The record of a trial that has ended `at` so many seconds since 1970."""
    assert verdict.state is not None
    assert verdict.reason is not None
    record = so_far(trial, at)
    value, also = (None, {}) if verdict.reason in NO_SCORE else (score, record.also)
    return replace(record, state=verdict.state, reason=verdict.reason, value=value, also=also)


def so_far(trial: Trial, at: float) -> TrialRecord:
    """A trial after at least one launch, as others are shown it `at` so many seconds since 1970."""
    curves = Curves(*(np.concatenate(parts) for parts in zip(*trial.curves, strict=True)))
    return TrialRecord(
        number=trial.number,
        params=trial.params,
        state="running",
        reason="in training",
        value=None,
        epochs=len(curves.train_loss),
        best_epoch=trial.best_epoch,
        curves=curves,
        seed=int(trial.hypers[0].seed),
        recipe=trial.programs[0].id,
        seconds=trial.seconds,
        rungs=dict(trial.rungs),
        finished=at,
        also=trial.also,
    )
