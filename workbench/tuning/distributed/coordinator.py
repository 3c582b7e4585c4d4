"""Who trains what a search launches: the threads of this process, and the workers that have joined it.

While nobody has joined, a part goes to this process's engine at once and no database is asked. When somebody
has, what its own cores have no room for goes into a table (`leases`), from which workers take it, and this
process too when it has nothing else to do. The order of decisions stays with the search, and a lane comes out
the same wherever it was trained; so workers change how long a search takes and nothing else. Trouble with the
table is told once, and the search goes on alone.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from workbench.core.errors import StoreError
from workbench.training.engine import Engine
from workbench.tuning import jobs
from workbench.tuning.distributed.leases import Claim, Leases, LedError
from workbench.tuning.jobs import LaneResult, Part

#: Seconds between two signs of life, well below a lease.
BEAT_SECONDS = 1.0
#: Seconds between two looks at what workers have delivered.
_POLL_SECONDS = 0.02


class Heartbeat:
    """Calls `beat` every BEAT_SECONDS in a thread, until closed; trouble is kept in `error`."""

    def __init__(self, beat: Callable[[], object]) -> None:
        self.error: StoreError | None = None
        self._beat, self._stop = beat, threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and wait for a beat under way."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            try:
                self._beat()
                self.error = None
            except StoreError as error:
                self.error = error


class _Offer(NamedTuple):
    """A part that is not, or not only, this process's to train."""

    part: Part
    futures: list[Future[LaneResult]]


class Coordinator:
    """Use as a context manager around a search; `train` is what the search calls.

    Entering raises LedError if another living process leads the study.
    """

    def __init__(
        self,
        engine: Engine,
        leases: Leases,
        home: Path,
        terms: Mapping[str, Any],
        note: Callable[[str], None],
    ) -> None:
        self._engine, self._leases, self._home, self._terms, self._note = engine, leases, home, terms, note
        self._workers = self._told = 0
        self._over = self._in_trouble = False
        self._heart: Heartbeat | None = None
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._mine: set[Future[Any]] = set()  # what this process trains or is about to
        self._offers: deque[_Offer] = deque()  # to be published
        self._published: dict[int, _Offer] = {}  # by id; the liaison's alone
        self._liaison: threading.Thread | None = None

    def __enter__(self) -> Self:
        try:
            self._leases.lead(self._home, self._terms)
            self._count()
        except LedError:
            raise
        except StoreError as trouble:
            self._note(f"{trouble}; nobody can join this run")
        else:
            self._heart = Heartbeat(self._count)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._liaison is not None:
            self._liaison.join()
        with self._lock:
            left = list(self._mine)
        for future in left:
            future.cancel()
        if self._heart is not None:
            self._heart.close()
            try:
                self._leases.resign(done=self._over)
            except StoreError as trouble:
                self._note(str(trouble))
        self._leases.close()

    def finished(self) -> None:
        """The search has ended: workers may go home."""
        self._over = True

    def train(self, part: Part) -> list[Future[LaneResult]]:
        """Have a part trained, with the help of whoever has joined."""
        workers = self._workers
        if workers != self._told:
            self._note(f"{workers} worker{'s' * (workers != 1)} beside this process")
            self._told = workers
        if workers == 0 or not self._is_busy():
            return self._here(part)
        offer = _Offer(part, [Future() for _ in part.members])
        self._offers.append(offer)
        if self._liaison is None:
            self._liaison = threading.Thread(target=self._deal, name="liaison", daemon=True)
            self._liaison.start()
        return offer.futures

    def _is_busy(self) -> bool:
        """Whether every core of this process has something to do, and something more."""
        with self._lock:
            return len(self._mine) > self._engine.threads

    def _here(self, part: Part) -> list[Future[LaneResult]]:
        futures = jobs.submit(self._engine, part)
        with self._lock:
            self._mine |= set(futures)
        for future in futures:
            future.add_done_callback(self._done)
        return futures

    def _done(self, future: Future[LaneResult]) -> None:
        with self._lock:
            self._mine.discard(future)

    # ── with others ──

    def _deal(self) -> None:
        """Publish offers, collect what comes of them, and take some back: in a thread, until the end."""
        while not self._stop.is_set():
            try:
                found = self._exchange()
            except StoreError as error:
                self._alone(error)
                found = True
            if not found:
                self._stop.wait(_POLL_SECONDS)
        with suppress(StoreError):  # the session's end voids them as well
            self._leases.withdraw(list(self._published))

    def _exchange(self) -> bool:
        """One look at the table; whether anything was to be done."""
        offers = [self._offers.popleft() for _ in range(len(self._offers))]
        try:
            ids = self._leases.publish([jobs.pack(offer.part) for offer in offers]) if offers else []
        except StoreError:
            self._offers.extendleft(reversed(offers))
            raise
        self._published |= zip(ids, offers, strict=True)
        found = self._leases.results(list(self._published)) if self._published else {}
        for id_, content in found.items():
            offer = self._published.pop(id_)
            _settle(offer, jobs.unpack_results(content, offer.part, self._template))
        if found:
            self._leases.withdraw(list(found))
        claim = None if self._is_busy() or not self._published else self._leases.claim(self._leases.me)
        if claim is not None and claim.part in self._published:
            self._take(claim)
        return bool(offers or found or claim)

    def _take(self, claim: Claim) -> None:
        """Train a part of the table here. Whoever else held it was taken for dead and delivers nothing."""
        offer = self._published.pop(claim.part)
        _follow(offer, self._here(offer.part))
        self._leases.withdraw([claim.part])

    def _alone(self, error: StoreError) -> None:
        """Train everything that is out on offer here."""
        self._workers = 0  # until the next heartbeat that succeeds
        if not self._in_trouble:
            self._note(f"{error}; this process goes on alone")
        self._in_trouble = True
        while self._offers:
            self._published[-1 - len(self._offers)] = self._offers.popleft()
        for offer in self._published.values():
            _follow(offer, self._here(offer.part))
        self._published.clear()

    def _template(self, program: Any, hyper: Any) -> Any:
        return self._engine.template(program.recipe, hyper)

    def _count(self) -> None:
        self._workers = self._leases.beat()


def _settle(offer: _Offer, brought: Iterable[LaneResult]) -> None:
    for future, one in zip(offer.futures, brought, strict=True):
        future.set_result(one)


def _follow(offer: _Offer, others: Iterable[Future[LaneResult]]) -> None:
    """What these futures bring is what the offer's bring."""
    for future, other in zip(offer.futures, others, strict=True):
        jobs.chain(other, future)
