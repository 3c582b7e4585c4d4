"""Who trains the launches of a search: this process, and the workers that have joined it.

While nobody has joined, a launch is trained here at once and no database is asked. When somebody has, it is
cut into parts that this process and the workers take from a table (`leases`). The order of launches, the
drawing of parameters and every decision stay with the search, and a lane comes out the same wherever it was
trained; so workers change how long a search takes and nothing else. Trouble with the table is told once, and
the search goes on alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from workbench import parts
from workbench.engine import Engine
from workbench.errors import StoreError
from workbench.leases import Claim, Leases, LedError
from workbench.parts import Brought, Part
from workbench.places import Places
from workbench.provenance import versions
from workbench.study import Study
from workbench.workspace import Workspace

__all__ = ["BEAT_SECONDS", "Crew", "Heartbeat", "crew_of"]

#: Seconds between two signs of life, well below a lease.
BEAT_SECONDS = 1.0
#: Seconds between two looks at what workers have delivered.
_POLL_SECONDS = 0.02
#: Parts for each process: more even out who is slower, fewer cost less traffic.
_PARTS_EACH = 2


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


class Crew:
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

    def train(self, part: Part) -> list[Brought]:
        """Train a launch, with the help of whoever has joined."""
        workers = self._workers
        if workers != self._told:
            self._note(f"{workers} worker{'s' * (workers != 1)} beside this process")
            self._told = workers
        pieces = min(_PARTS_EACH * (workers + 1), -(-len(part.members) // self._engine.mesh.size))
        if workers == 0 or pieces < 2:
            return parts.train(self._engine, part)
        shares = parts.cut(part, pieces)
        smaller = [part._replace(members=tuple(part.members[i] for i in share)) for share in shares]
        brought: dict[int, list[Brought]] = {}
        try:
            self._together(smaller, brought)
        except StoreError as error:
            self._workers = 0  # until the next heartbeat that succeeds
            if not self._in_trouble:
                self._note(f"{error}; this process goes on alone")
            self._in_trouble = True
        for k, piece in enumerate(smaller):
            if k not in brought:
                brought[k] = parts.train(self._engine, piece)
        back = {i: one for k, share in enumerate(shares) for i, one in zip(share, brought[k], strict=True)}
        return [back[i] for i in range(len(part.members))]

    def _together(self, pieces: list[Part], brought: dict[int, list[Brought]]) -> None:
        """Publish the pieces, take some, collect the others; what has come stands in `brought`."""
        ids = self._leases.publish([parts.pack(piece) for piece in pieces])
        place = {id_: k for k, id_ in enumerate(ids)}
        try:
            while len(brought) < len(pieces):
                claim = self._leases.claim(self._leases.me)
                if claim is not None and claim.part in place:
                    self._take(claim, pieces[place[claim.part]], brought, place[claim.part])
                    continue
                missing = [id_ for id_ in ids if place[id_] not in brought]
                found = self._leases.results(missing)
                for id_, content in found.items():
                    piece = pieces[place[id_]]
                    brought[place[id_]] = parts.unpack_brought(content, piece, self._template)
                if not found:
                    time.sleep(_POLL_SECONDS)
        finally:
            self._leases.withdraw(ids)

    def _take(self, claim: Claim, piece: Part, brought: dict[int, list[Brought]], k: int) -> None:
        mine = parts.train(self._engine, piece)
        if self._leases.deliver(claim, b""):
            brought[k] = mine

    def _template(self, program: Any, hyper: Any) -> Any:
        return self._engine.template(program.recipe, hyper)

    def _count(self) -> None:
        self._workers = self._leases.beat()


def crew_of(study: Study, places: Places, here: Workspace, note: Callable[[str], None]) -> Crew:
    """The crew of a study, and the terms on which others may join it."""
    terms = {
        "study": study.fingerprint,
        "data": here.dataset.fingerprint,
        "seal": asdict(here.sealed),
        "split_rule": here.dataset.spec.split_rule,
        "rooms": list(here.rooms),
        "versions": versions(),
    }
    return Crew(here.engine, Leases(places.storage, study.id), places.home, terms, note)
