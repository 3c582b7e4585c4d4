"""Which trials train next, and which of them go on: a deterministic state machine without any heavy library.

Training goes in rungs. What is asked, and when, is a function of the study alone: `parallel` slots are filled
and emptied on a clock of its own, on which a launch takes as long as constants say. A trial that has come to
the end of a rung on this clock leaves its slot; when so many as `lag` have left after it, it is judged: it
goes on, or it is finished. A free slot is taken by the trial furthest on that may go on, else by a new one.
How long launches really take, in which order they end and how many devices train them decides nothing; `lag`
is there so that devices have work while the clock waits for a result.

The rule of a rung is asynchronous successive halving (Li et al. 2020, *A system for massively parallel
hyperparameter tuning*): a lane goes on if it is among the best 1/eta that reached this rung. That is the best
third of what a sampler draws as long as it draws from one distribution; one that learns draws better and
better, and half of its later trials are among the best third of all. So the last RECENT count, itself
included.
Accuracy on a few hundred rows is full of ties, and a rung that lets all of them pass keeps twice as many as
it should: among equal scores the lower validation loss goes on.
Hyperband spreads trials over brackets that skip the first rungs (Li et al. 2018). Median pruning lets the
better half go on. Trial 0, the default configuration, is never pruned: the search is compared with it.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterable
from itertools import pairwise
from typing import Literal, NamedTuple

#: The best 1/ETA of a rung go on; also the ratio between rungs.
ETA = 3
#: No rung is judged before this many epochs; there are at most three of them before the end.
FIRST_RUNG = 4
#: How many of those that last reached a rung a lane is compared with.
RECENT = 48
#: Signed score, and the negative loss: greater is better.
Merit = tuple[float, float]
#: Looks that a sampler has at what it has learnt, where a study does not say how many train at once.
LOOKS = 16
#: Samplers that learn from the scores.
LEARNING = ("tpe", "gp", "cmaes", "nsgaii", "nsgaiii")
#: Median pruning starts when a rung has seen this many trials, as in Optuna.
MEDIAN_STARTUP = 5


class Ask(NamedTuple):
    """So many new trials are wanted."""

    trials: int


class Launch(NamedTuple):
    """Train this trial from `first` epochs behind it to `last`."""

    trial: int
    rung: int
    first: int
    last: int


class Await(NamedTuple):
    """What this launch has brought is wanted now, and nothing else can happen before."""

    launch: Launch


class LaneReport(NamedTuple):
    """How a trial left its launch."""

    status: Literal["running", "stopped", "diverged"]
    score: float | None  # validation score so far, None when there is none
    loss: float = 0.0  # validation loss at the end, which decides between equal scores


class Judged(NamedTuple):
    """What became of a trial: it goes on (state None), or it is finished."""

    trial: int
    state: Literal["complete", "pruned"] | None
    reason: Literal["finished", "early stopped", "reached", "pruned", "diverged", "undefined"] | None


def parallel_of(trials: int, sampler: str) -> int:
    """How many trials are in training at once where a study does not say so: a function of its budget.

    A sampler that learns has LOOKS looks at what it has learnt: a LOOKS-th of the budget is in training. One
    that does not learn could be asked for everything at once, and is asked for so much as keeps a large
    machine busy.

    >>> parallel_of(200, "tpe"), parallel_of(24, "tpe"), parallel_of(200, "random")
    (12, 2, 33)
    """
    return max(2, trials // (LOOKS if sampler in LEARNING else 6))


def lag_of(parallel: int) -> int:
    """How many launches may be over before one is judged: see the top of this file.

    Each is a trial more of which a sampler knows nothing yet. Of 2 to 64 devices, as many as train at once,
    98 % are busy with so many, and with twice as many hardly more; without any, 90 % of 8 and 86 % of 64. The
    benchmark `busy` plays it.
    """
    return parallel // 4


def rungs_of(epochs: int, pruner: str) -> tuple[int, ...]:
    """Epochs at the end of each rung; the last one is `epochs`.

    Without pruning the rungs are quarters, after which lanes that stopped early give their place back.
    """
    if pruner == "none":
        return tuple(sorted({max(1, round(epochs * part / 4)) for part in (1, 2, 3, 4)}))
    ends = [epochs]
    while len(ends) < 4 and epochs / ETA ** len(ends) >= FIRST_RUNG:
        ends.append(math.ceil(epochs / ETA ** len(ends)))
    return tuple(sorted(set(ends)))


def expected_epochs(epochs: int, pruner: str) -> float:
    """Epochs that a trial trains on average, roughly.

    Successive halving that does not wait for a rung to fill lets the early ones pass too easily: of 200
    trials two fifths go on, where a third is meant.
    """
    keep = {"none": 1.0, "median": 0.5}.get(pruner, 0.4)
    rungs = rungs_of(epochs, pruner)
    return sum((last - first) * keep**k for k, (first, last) in enumerate(pairwise((0, *rungs))))


class Scheduler:
    """Asks for trials, launches them, judges rungs. Same calls, same answers.

    parallel  trials in training at once
    lag       launches that may be over before one is judged
    maximize  the direction of the score
    recent    how many of those that last reached a rung a trial is compared with
    total     trials of the study; may be changed at any time
    kept      the last of the first trials that are never pruned
    """

    def __init__(
        self,
        *,
        epochs: int,
        pruner: str,
        parallel: int,
        lag: int,
        maximize: bool,
        recent: int = RECENT,
        total: int = 0,
        kept: int = 0,
    ) -> None:
        self.total = total
        self.pruner = pruner
        self.rungs = rungs_of(epochs, pruner)
        self.sign = 1.0 if maximize else -1.0
        self.asked = 0
        self._parallel, self._lag, self._recent, self._kept = parallel, lag, recent, kept
        self._costs: dict[int, float] = {}  # of an epoch, by trial
        self._clock, self._launches = 0.0, 0
        self._waiting: list[tuple[int, int, int]] = []  # a heap: rung from above, order of arrival, trial
        self._training: list[tuple[float, int, Launch]] = []  # a heap: when it will be over, order
        self._over: deque[Launch] = deque()
        self._seen: dict[tuple[int, int], list[Merit]] = {}  # by bracket and rung

    def next(self) -> Ask | Launch | Await | None:
        """What to do now; None when the search is over.

        A launch is told once; an Ask stands until `add` has answered it or `total` is less, an Await until
        `judge` has.
        """
        while len(self._over) <= self._lag:
            free = self._parallel - len(self._training)
            if free and self._waiting:
                return self._launch()
            if free and self.asked < self.total:
                return Ask(min(free, self.total - self.asked))
            if free and self._over:
                break
            if not self._training:
                return None
            self._clock, _, launch = heapq.heappop(self._training)
            self._over.append(launch)
        return Await(self._over[0])

    def add(self, costs: Iterable[float]) -> None:
        """New trials in answer to an `Ask`, numbered in turn: what an epoch of each costs."""
        for cost in costs:
            self._costs[self.asked] = cost
            self._queue(0, self.asked)
            self.asked += 1

    def close(self) -> None:
        """No more trials are to be had."""
        self.total = self.asked

    def judge(self, report: LaneReport) -> Judged:
        """Decide on the trial that was awaited; if it goes on it waits for a slot."""
        launch = self._over.popleft()
        trial, rung = launch.trial, launch.rung
        if report.status == "diverged" or report.score is None:
            return Judged(trial, "pruned", "diverged")
        merit = self.sign * report.score, -report.loss
        self._seen.setdefault((self._bracket(trial), rung), []).append(merit)
        if report.status == "stopped":
            return Judged(trial, "complete", "early stopped")
        if rung == len(self.rungs) - 1:
            return Judged(trial, "complete", "finished")
        if not self._survives(trial, rung, merit):
            return Judged(trial, "pruned", "pruned")
        self._queue(rung + 1, trial)
        return Judged(trial, None, None)

    def _survives(self, trial: int, rung: int, merit: Merit) -> bool:
        bracket = self._bracket(trial)
        if self.pruner == "none" or trial <= self._kept or rung < bracket:
            return True
        seen = self._seen[bracket, rung][-self._recent :]
        better = sum(other > merit for other in seen)
        if self.pruner == "median":
            return len(seen) < MEDIAN_STARTUP or 2 * better < len(seen)
        return better < max(1, len(seen) // ETA)

    def _bracket(self, trial: int) -> int:
        """The rung before which a trial is not judged."""
        return trial % len(self.rungs) if self.pruner == "hyperband" else 0

    def _queue(self, rung: int, trial: int) -> None:
        heapq.heappush(self._waiting, (-rung, self._launches, trial))
        self._launches += 1

    def _launch(self) -> Launch:
        rung, _, trial = heapq.heappop(self._waiting)
        first, last = (0, *self.rungs)[-rung], self.rungs[-rung]
        launch = Launch(trial, -rung, first, last)
        over = self._clock + self._costs[trial] * (last - first)
        heapq.heappush(self._training, (over, self._launches, launch))
        self._launches += 1
        return launch
