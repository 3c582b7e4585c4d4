"""Which lanes train next, and which of them go on: a deterministic state machine without any heavy library.

Training goes in rungs. Every program has a queue before each rung; a launch takes a full population out of
one queue and trains it to the end of the rung. Losers leave there, so do lanes that stopped early or
diverged; the living move to the next queue, where they wait for others, so populations stay full without
repacking into ever narrower programs. All lanes of a launch are at the same epoch, which is what lets them
share their minibatches.

The rule of a rung is asynchronous successive halving (Li et al. 2020, *A system for massively parallel
hyperparameter tuning*): a lane goes on if it is among the best 1/eta that reached this rung. That is the best
third of what a sampler draws as long as it draws from one distribution; one that learns draws better and
better, and half of its later trials are among the best third of all. So the last RECENT count, itself and the
others of its launch included.
Accuracy on a few hundred rows is full of ties, and a rung that lets all of them pass keeps twice as many as
it should: among equal scores the lower validation loss goes on.
Hyperband spreads trials over brackets that skip the first rungs (Li et al. 2018). Median pruning lets the
better half go on. Trial 0, the default configuration, is never pruned: the search is compared with it.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

__all__ = ["RECENT", "Ask", "Judged", "LaneReport", "Launch", "Scheduler", "expected_epochs", "rungs_of"]

#: The best 1/ETA of a rung go on; also the ratio between rungs.
ETA = 3
#: No rung is judged before this many epochs; there are at most three of them before the end.
FIRST_RUNG = 4
#: How many of those that last reached a rung a lane is compared with.
RECENT = 48
#: Signed score, and the negative loss: greater is better.
Merit = tuple[float, float]
#: Median pruning starts when a rung has seen this many trials, as in Optuna.
MEDIAN_STARTUP = 5


class Ask(NamedTuple):
    """So many new trials are wanted."""

    trials: int


class Launch(NamedTuple):
    """Train these trials together, from `first` epochs behind them to `last`."""

    number: int
    program: Hashable
    rung: int
    first: int
    last: int
    trials: tuple[int, ...]


class LaneReport(NamedTuple):
    """How a lane left its launch."""

    status: Literal["running", "stopped", "diverged"]
    score: float | None  # validation score so far, None when there is none
    loss: float = 0.0  # validation loss at the end, which decides between equal scores


class Judged(NamedTuple):
    """What became of a lane: it goes on (state None), or it is finished."""

    trial: int
    state: Literal["complete", "pruned"] | None
    reason: Literal["finished", "early stopped", "pruned", "diverged"] | None


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
    """Asks for trials, forms launches, judges rungs. Same calls, same answers.

    total   trials of the study
    widths  lanes in a population, from wide to narrow; a launch takes the widest that it can fill
    maximize  the direction of the score
    recent  how many of those that last reached a rung a lane is compared with
    """

    def __init__(
        self,
        *,
        total: int,
        epochs: int,
        pruner: str,
        widths: Sequence[int],
        maximize: bool,
        recent: int = RECENT,
    ) -> None:
        self.total = total
        self.pruner = pruner
        self.widths = tuple(sorted(widths, reverse=True))
        self.rungs = rungs_of(epochs, pruner)
        self.recent = recent
        self.sign = 1.0 if maximize else -1.0
        self._asked = 0
        self._launches = 0
        self._queues: dict[tuple[Hashable, int], list[int]] = {}
        self._seen: dict[tuple[int, int], list[Merit]] = {}  # by bracket and rung

    def next(self) -> Ask | Launch | None:
        """What to do now; None when the search is over."""
        full = [key for key, queue in self._queues.items() if len(queue) >= self._fill(key[1])]
        if full:
            return self._launch(max(full, key=lambda key: key[1]))
        if self._asked < self.total:
            return Ask(min(self.widths[0], self.total - self._asked))
        waiting = [key for key, queue in self._queues.items() if queue]
        if waiting:
            return self._launch(min(waiting, key=lambda key: (key[1], -len(self._queues[key]))))
        return None

    def add(self, trials: Iterable[tuple[int, Hashable]]) -> None:
        """New trials, each with its program, in answer to an `Ask`."""
        for number, program in trials:
            self._queues.setdefault((program, 0), []).append(number)
            self._asked += 1

    def close(self) -> None:
        """No more trials are to be had."""
        self.total = self._asked

    def take(self, program: Hashable, rung: int, trials: Sequence[int]) -> Launch:
        """Form the launch of these queued trials.

        What `next` does by itself, and what a replay says was done.
        """
        chosen = set(trials)
        left = [trial for trial in self._queues.pop((program, rung)) if trial not in chosen]
        if left:
            self._queues[program, rung] = left
        first = self.rungs[rung - 1] if rung else 0
        launch = Launch(self._launches, program, rung, first, self.rungs[rung], tuple(trials))
        self._launches += 1
        return launch

    def judge(self, launch: Launch, reports: Sequence[LaneReport]) -> list[Judged]:
        """Decide on every lane of a finished launch; those that go on are queued for the next rung."""
        last = launch.rung == len(self.rungs) - 1
        for trial, report in zip(launch.trials, reports, strict=True):
            if report.status != "diverged" and report.score is not None:
                self._seen.setdefault((self._bracket(trial), launch.rung), []).append(self._merit(report))
        return [
            self._one(launch, trial, report, last)
            for trial, report in zip(launch.trials, reports, strict=True)
        ]

    def width(self, launch: Launch) -> int:
        """Lanes in the population of this launch: the narrowest that has room."""
        return min(width for width in self.widths if width >= len(launch.trials))

    def _one(self, launch: Launch, trial: int, report: LaneReport, last: bool) -> Judged:
        if report.status == "diverged" or report.score is None:
            return Judged(trial, "pruned", "diverged")
        if report.status == "stopped":
            return Judged(trial, "complete", "early stopped")
        if last:
            return Judged(trial, "complete", "finished")
        if not self._survives(trial, launch, self._merit(report)):
            return Judged(trial, "pruned", "pruned")
        self._queues.setdefault((launch.program, launch.rung + 1), []).append(trial)
        return Judged(trial, None, None)

    def _merit(self, report: LaneReport) -> Merit:
        assert report.score is not None
        return self.sign * report.score, -report.loss

    def _survives(self, trial: int, launch: Launch, merit: Merit) -> bool:
        bracket, rung = self._bracket(trial), launch.rung
        if self.pruner == "none" or trial == 0 or rung < bracket:
            return True
        seen = self._seen[bracket, rung][-max(self.recent, len(launch.trials)) :]
        better = sum(other > merit for other in seen)
        if self.pruner == "median":
            return len(seen) < MEDIAN_STARTUP or 2 * better < len(seen)
        return better < max(1, len(seen) // ETA)

    def _bracket(self, trial: int) -> int:
        """The rung before which a trial is not judged."""
        return trial % len(self.rungs) if self.pruner == "hyperband" else 0

    def _fill(self, rung: int) -> int:
        """How many lanes make a launch worthwhile.

        New trials fill the widest population, survivors the narrowest.
        """
        return self.widths[0] if rung == 0 else self.widths[-1]

    def _launch(self, key: tuple[Hashable, int]) -> Launch:
        queue = self._queues[key]
        fitting = [width for width in self.widths if width <= len(queue)]
        return self.take(*key, queue[: max(fitting, default=len(queue))])
