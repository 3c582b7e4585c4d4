"""How a search stands, kept up from round to round: what a bar shows costs the same after 100,000 trials."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Any, Generic, Literal, TypeVar

from workbench.core.records import TrialRecord, counted_loss, settings_of

Name = TypeVar("Name", bound=Hashable)


class Standing:
    """What has ended, and who leads."""

    def __init__(self, direction: Literal["maximize", "minimize"]) -> None:
        self.ended: Counter[str] = Counter()  # trials, by state
        self._sign = -1.0 if direction == "maximize" else 1.0
        self._told: _Least[int] = _Least()  # trials that go on, until the first is complete
        self._alike: dict[Hashable, tuple[int, int, float, float]] = {}  # first trial, how many, sums
        self._best: _Least[Hashable] = _Least()  # configurations

    def hear(self, finished: Iterable[TrialRecord], running: tuple[int, float | None] | None = None) -> None:
        """What a round has brought: trials that have ended, or one that goes on and its score so far."""
        for trial in finished:
            self.ended[trial.state] += 1
            self._told.drop(trial.number)
            if trial.state == "complete" and trial.value is not None:
                self._completed(trial, trial.value)
        if running is not None and not self._alike:
            number, score = running
            if score is not None and math.isfinite(score):
                self._told.put(number, (self._sign * score, number))

    @property
    def leader(self) -> tuple[int | None, float | None]:
        """The first trial of the best configuration and its mean score, as `records.configurations_of` ranks.

        Before one is complete: the best that goes on. None before the first rung.
        """
        if (alike := self._best.least) is not None:
            first, count, score, _ = self._alike[alike]
            return first, score / count
        if (number := self._told.least) is not None:
            return number, self._sign * self._told[number][0]
        return None, None

    def _completed(self, trial: TrialRecord, value: float) -> None:
        alike = settings_of(trial)
        first, count, score, loss = self._alike.get(alike, (trial.number, 0, 0.0, 0.0))
        first, count = min(first, trial.number), count + 1
        score, loss = score + value, loss + counted_loss(trial)
        self._alike[alike] = first, count, score, loss
        self._best.put(alike, (self._sign * score / count, loss / count, first))


class _Least(Generic[Name]):
    """Which name has the least key; it is looked for only when the one that had it has lost it."""

    def __init__(self) -> None:
        self._keys: dict[Name, tuple[Any, ...]] = {}
        self._first: Name | None = None

    def __getitem__(self, name: Name) -> tuple[Any, ...]:
        return self._keys[name]

    def put(self, name: Name, key: tuple[Any, ...]) -> None:
        if self._first is not None and key < self._keys[self._first]:
            self._first = name
        elif name == self._first and key > self._keys[name]:
            self._first = None
        self._keys[name] = key

    def drop(self, name: Name) -> None:
        self._keys.pop(name, None)
        if name == self._first:
            self._first = None

    @property
    def least(self) -> Name | None:
        if self._first is None and self._keys:
            self._first = min(self._keys, key=self._keys.__getitem__)
        return self._first
