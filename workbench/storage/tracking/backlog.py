"""What a store does not have yet: trials that wait, jobs that are under way, and how each of them ended.

Plain bookkeeping without a lock, a thread or a process; `tracking` has those.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from workbench.core.records import TrialRecord, encode_trial

#: Trials in one transaction, and jobs under way at once: what bounds the pipe.
BATCH, WINDOW = 32, 4
#: Trials kept here while a store is down; those beyond are only counted, and the journal brings them later.
CAPACITY = 4_096


class Remainder(NamedTuple):
    """What a tracker could not write. Empty (`not remainder.any`) when all went well."""

    trials: frozenset[int]  # unwritten; the journal has them
    refused: Mapping[int, str]  # those among them that the store will not take, and why
    final: bool  # the end of the study is unwritten
    running: bool  # the parent run could not be terminated
    reason: str | None  # the last trouble, without passwords

    @property
    def any(self) -> bool:
        """Whether anything is left."""
        return bool(self.trials) or self.final or self.running


class Backlog:
    """Trials come first, in batches; every other job waits until all of them are written."""

    def __init__(self) -> None:
        self.written: set[int] = set()
        self._trials: deque[TrialRecord] = deque()
        self._others: deque[dict[str, Any]] = deque()
        self._sent: dict[int, tuple[dict[str, Any], list[TrialRecord]]] = {}  # job -> message, its trials
        self._overflow: set[int] = set()
        self._refused: dict[str, str] = {}
        self._jobs = 0

    def add(self, records: Iterable[TrialRecord]) -> None:
        """More finished trials; those that are written already are dropped."""
        for record in records:
            if record.number in self.written:
                continue
            if len(self._trials) < CAPACITY:
                self._trials.append(record)
            else:
                self._overflow.add(record.number)

    def add_job(self, message: dict[str, Any]) -> None:
        """A job of another kind."""
        self._others.append(message)

    def next(self) -> dict[str, Any] | None:
        """The message to send now, which counts as under way from here; None if there is none."""
        while self._trials and len(self._sent) < WINDOW:
            batch = [self._trials.popleft() for _ in range(min(BATCH, len(self._trials)))]
            if new := [record for record in batch if record.number not in self.written]:
                return self._send({"do": "trials", "trials": [encode_trial(record) for record in new]}, new)
        if self._others and not self._trials and not self._sent:
            return self._send(self._others.popleft(), [])
        return None

    def settle(self, job: int, refused: Mapping[str, str]) -> None:
        """A job is done; `refused` names the trials, or `final` or `end`, that the store will not take."""
        _, records = self._sent.pop(job)
        self._refused.update(refused)
        self.written.update(record.number for record in records)

    def put_back(self) -> None:
        """What was under way goes to the front again, in its order: nobody will answer."""
        for message, records in reversed(self._sent.values()):
            if records:
                self._trials.extendleft(reversed(records))
            else:
                self._others.appendleft(message)
        self._sent.clear()

    @property
    def empty(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return not (self._trials or self._others or self._sent)

    @property
    def unwritten(self) -> set[int]:
        """Numbers of the trials that the store does not have."""
        sent = (record for _, records in self._sent.values() for record in records)
        return ({record.number for record in (*self._trials, *sent)} | self._overflow) - self.written

    def remainder(self, trouble: str | None) -> Remainder:
        """What is left if nothing more is written."""
        left = {message["do"] for message in (*self._others, *(sent for sent, _ in self._sent.values()))}
        refused = {int(name): why for name, why in self._refused.items() if name.isdigit()}
        return Remainder(
            frozenset(self.unwritten) | frozenset(refused),
            refused,
            "finish" in left or "final" in self._refused,
            "end" in left or "end" in self._refused,
            trouble or next(iter(self._refused.values()), None),
        )

    def _send(self, message: dict[str, Any], records: list[TrialRecord]) -> dict[str, Any]:
        self._jobs += 1
        message = {**message, "job": self._jobs}
        self._sent[self._jobs] = (message, records)
        return message
