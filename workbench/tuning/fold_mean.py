"""One report from the lanes of a trial that trains on several divisions of the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from workbench.core import records
from workbench.core.records import Curves
from workbench.core.types import Array
from workbench.training.trainer import Lane
from workbench.tuning.jobs import LaneResult

Status = Literal["running", "stopped", "diverged"]
#: The first of these in which a fold is, its trial is.
STATUSES: tuple[Status, ...] = ("diverged", "running", "stopped")


#: What of a trial the journal keeps with each launch.
KEPT = ("status", "score", "best_epoch", "seconds", "curves")


class Merged(NamedTuple):
    """As `LaneResult`, for all lanes of a trial."""

    status: Status
    score: float | None
    best_epoch: int
    seconds: float
    curves: Curves
    lanes: tuple[Lane, ...] | None  # None: the next launch trains them again
    block: Array | None
    also: Array | None = None


def merged(brought: Sequence[LaneResult]) -> Merged:
    """The mean over folds of scores and curves; a trial goes on while one of its folds does.

    One fold that diverges is as good as all of them. Behind the end of a fold that stopped early, a curve is
    the mean of those that still train; the epoch that counts is the mean of the folds' epochs, rounded.
    Folds train at the same time: the slowest says how long that took.
    Blocks of validation rows follow each other, fold by fold.
    """
    first = brought[0]
    lanes = tuple(one.lane for one in brought if one.lane is not None)
    if len(brought) == 1:
        return Merged(*first[:5], lanes or None, first.block, first.also)
    states, scores = {one.status for one in brought}, [one.score for one in brought if one.score is not None]
    blocks = [one.block for one in brought if one.block is not None]
    also = [one.also for one in brought if one.also is not None]
    return Merged(
        status=next(state for state in STATUSES if state in states),
        score=float(np.mean(scores)) if len(scores) == len(brought) else None,
        best_epoch=round(float(np.mean([one.best_epoch for one in brought]))),
        seconds=max(one.seconds for one in brought),
        curves=mean_curves([one.curves for one in brought]),
        lanes=lanes if len(lanes) == len(brought) else None,
        block=np.concatenate(blocks) if len(blocks) == len(brought) else None,
        also=np.mean(also, axis=0) if also else None,
    )


def encode(trial: Merged) -> dict[str, Any]:
    """What the journal keeps of it, as JSON: neither lanes nor blocks, which have places of their own."""
    return {key: records.encode(getattr(trial, key)) for key in KEPT}


def decode(document: Mapping[str, Any]) -> Merged:
    """What `encode` kept."""
    score, curves = records.decode_number(document["score"]), records.decode(Curves, document["curves"])
    return Merged(document["status"], score, document["best_epoch"], document["seconds"], curves, None, None)


def mean_curves(curves: Sequence[Curves]) -> Curves:
    """Epoch by epoch, of the folds that trained."""
    if len(curves) == 1:
        return curves[0]
    last = max(len(one.train_loss) for one in curves)
    padded = np.full((len(curves), len(Curves._fields), last), np.nan, np.float32)
    trained = np.zeros((len(curves), 1, last), bool)
    for k, one in enumerate(curves):
        padded[k, :, : len(one.train_loss)] = np.stack(one)
        trained[k, :, : len(one.train_loss)] = True
    with np.errstate(invalid="ignore"):  # infinite losses of two signs
        summed = np.where(trained, padded, np.float32(0)).sum(axis=0)
    return Curves(*(summed / trained.sum(axis=0)).astype(np.float32))
