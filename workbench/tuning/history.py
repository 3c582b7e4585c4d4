"""What a sampler is shown of a search that grows: the trials so far, and of many the ones that count.

A search of 100,000 trials asks 100,000 times, so nothing here goes through all trials at every question: a
`History` says what has changed since it was looked at last, and a `Window` keeps trials in order by that.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from itertools import filterfalse, islice
from typing import Literal, Protocol, overload

from workbench.core.types import Value

Direction = Literal["maximize", "minimize"]
#: Sorts trials from good to bad.
Rank = tuple[int, int, float]


class Seen(Protocol):
    """What is read of a trial. `records.TrialRecord` and `loop.Known` are such."""

    @property
    def number(self) -> int:
        """Trials are numbered from 0 in the order in which they were asked for."""

    @property
    def params(self) -> Mapping[str, Value]:
        """A value for every axis that takes part."""

    @property
    def state(self) -> str:
        """One of running, complete, pruned, failed."""

    @property
    def value(self) -> float | None:
        """The score of a complete trial."""

    @property
    def rungs(self) -> Mapping[int, float]:
        """Epochs trained -> score. A pruned trial without any (it diverged) is worse than all others."""


class History(Sequence[Seen]):
    """The trials of a search by their numbers, each as it is by now: one that has changed is replaced."""

    def __init__(self, trials: Sequence[Seen] = ()) -> None:
        self.changes: list[int] = []  # the places that were written, in their order; it only ever grows
        self._trials: list[Seen] = []
        for trial in sorted(trials, key=lambda trial: trial.number):
            self.append(trial)

    def append(self, trial: Seen) -> None:
        """A trial with a greater number than all before it."""
        self.changes.append(len(self._trials))
        self._trials.append(trial)

    def replace(self, trial: Seen) -> None:
        """What has become of a trial, whose number is its place."""
        self.changes.append(trial.number)
        self._trials[trial.number] = trial

    def __len__(self) -> int:
        return len(self._trials)

    def __iter__(self) -> Iterator[Seen]:
        return iter(self._trials)

    @overload
    def __getitem__(self, at: int) -> Seen: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Seen]: ...
    def __getitem__(self, at: int | slice) -> Seen | Sequence[Seen]:
        return self._trials[at]


class Window:
    """Of a history: trials without scores, the best third of `limit` with scores, and the latest others."""

    def __init__(self, history: Sequence[Seen], direction: Direction, limit: int) -> None:
        self.history = history if isinstance(history, History) else History(history)
        self._direction, self._limit = direction, limit
        self._read = 0  # changes of the history
        self._trials: dict[int, Seen] = {}
        self._ranks: dict[int, Rank] = {}  # of those with scores, by number
        self._order: list[tuple[Rank, int]] = []  # the best first
        self._numbers: list[int] = []  # of those with scores
        self.without: set[int] = set()  # the numbers of those without scores
        self.failed: set[int] = set()
        self.refresh()

    def refresh(self) -> None:
        """Take up what has changed in the history."""
        changes = self.history.changes
        for place in dict.fromkeys(changes[self._read :]):
            self.put(self.history[place])
        self._read = len(changes)

    def put(self, trial: Seen) -> None:
        """A trial, new or in place of what it was."""
        number = trial.number
        self.drop(number)
        self._trials[number] = trial
        if trial.state == "failed":
            self.failed.add(number)
        if trial.state not in ("complete", "pruned") and not trial.rungs:
            self.without.add(number)
            return
        place = self._ranks[number] = rank(trial, self._direction)
        insort(self._order, (place, number))
        insort(self._numbers, number)

    def drop(self, number: int) -> None:
        """Forget a trial."""
        self._trials.pop(number, None)
        self.without.discard(number)
        self.failed.discard(number)
        if (place := self._ranks.pop(number, None)) is not None:
            del self._order[bisect_left(self._order, (place, number))]
            del self._numbers[bisect_left(self._numbers, number)]

    def trial(self, number: int) -> Seen:
        """The trial of this number."""
        return self._trials[number]

    @property
    def numbers(self) -> list[int]:
        """Of the trials in it, in their order."""
        shown = self._numbers
        if len(shown) > self._limit:
            best = set(islice(self.ranked, self._limit // 3))
            others = filterfalse(best.__contains__, reversed(self._numbers))
            shown = [*best, *islice(others, self._limit - len(best))]
        return sorted([*shown, *self.without])

    @property
    def seen(self) -> list[Seen]:
        """The trials in it, by their numbers."""
        return [self._trials[number] for number in self.numbers]

    @property
    def ranked(self) -> Iterator[int]:
        """The numbers of all trials with scores, the best first."""
        return (number for _, number in self._order)


def rank(trial: Seen, direction: Direction) -> Rank:
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
