"""Who trains what a search launches: the cores of this process, and helpers that may be there.

A part is cut into lanes, the smallest that can be trained by itself. Cores and helpers take the next lane
when they have nothing to do; lanes that are over sooner than a message is worth go together, by what such
lanes have taken so far. As many messages are under way as helpers have threads, and one more for each. What
helpers do not bring, whatever the reason, is trained here: a lane comes out the same wherever it was trained,
and the order of decisions stays with the search, so helpers change how long a search takes and nothing else.
Nor does a search ever depend on them. When there is nothing else to do here, a lane that has been away for
longer than any other was is trained here as well, and whoever is first has it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Protocol, Self

from workbench.core.errors import WorkbenchError
from workbench.nn.recipe import Hyperparameters
from workbench.training.engine import Engine
from workbench.training.trainer import Lane
from workbench.tuning import jobs
from workbench.tuning.jobs import LaneResult, Part
from workbench.tuning.space import Program, Variant

#: Lanes that are over sooner go together: a message costs some milliseconds.
WORTH_SECONDS = 0.05
#: A lane that is away is trained here as well after so many times the longest that one of the last was ...
PATIENCE, RECENT = 2.0, 64
#: ... and no sooner than this.
PATIENCE_SECONDS = 1.0
#: Seconds between two looks at who has come and what has been away for too long.
LOOK_SECONDS = 0.25


class Helpers(Protocol):
    """Other processes that train. They come and go; methods may be called from any thread."""

    @property
    def workers(self) -> int:
        """How many there are."""

    @property
    def room(self) -> int:
        """Lanes that they train at a time; 0 while nobody is there."""

    def open(self) -> None:
        """Look for them from now on."""

    def send(self, content: bytes, variants: Sequence[Variant]) -> Future[bytes]:
        """Have packed parts trained on these variants of the data; what they bring, packed.

        The future fails, or is cancelled, if nobody does: with a WorkbenchError if that has a reason that a
        user can understand.
        """

    def close(self) -> None:
        """Nothing is wanted any more."""


class _Piece:
    """A lane to train."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.done: Future[LaneResult] = Future()
        self.away: Future[bytes] | None = None
        self.since = 0.0  # when it was sent
        self.here: Future[LaneResult] | None = None

    @property
    def program(self) -> Program:
        return self.part.members[0].program

    @property
    def epochs(self) -> int:
        return self.part.last - self.part.first


class Crew:
    """Use as a context manager around a search; `train` is what the search calls.

    helpers  beside this process; None: there never are any, and the engine has every part at once
    note     hears, once each, who is there and what went wrong
    """

    def __init__(self, engine: Engine, helpers: Helpers | None, note: Callable[[str], None]) -> None:
        self.asked = self.brought = 0  # lanes; of them those that helpers have trained
        self._engine, self._helpers, self._note = engine, helpers, note
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._waiting: deque[_Piece] = deque()
        self._back: deque[_Piece] = deque()  # to be trained here: helpers have not
        self._here: set[_Piece] = set()
        self._away: dict[Future[bytes], list[_Piece]] = {}
        self._pace: dict[Program, float] = {}  # seconds that an epoch took last
        self._absences: deque[float] = deque(maxlen=RECENT)  # seconds that lanes were away
        self._workers = 0  # as they were told
        self._told: set[str] = set()
        self._looking: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._helpers is not None:
            self._helpers.open()
            self._looking = threading.Thread(target=self._look, name="crew", daemon=True)
            self._looking.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._looking is not None:
            self._looking.join()
        with self._lock:
            left = [piece.here for piece in self._here] + list(self._away)
            self._waiting.clear()
            self._back.clear()
        for future in left:
            if future is not None:
                future.cancel()
        if self._helpers is not None:
            self._helpers.close()
            self._note(f"workers have trained {self.brought:,} of {self.asked:,} lanes")

    def train(self, part: Part) -> list[Future[LaneResult]]:
        """Have a part trained; a future for each of its members."""
        if self._helpers is None:
            return jobs.submit(self._engine, part)
        pieces = [_Piece(part._replace(members=(member,))) for member in part.members]
        with self._lock:
            self.asked += len(pieces)
            self._waiting.extend(pieces)
        self.deal()
        return [piece.done for piece in pieces]

    def deal(self) -> None:
        """Give everybody who has nothing to do what is to be done."""
        while not self._stop.is_set():
            with self._lock:
                here = self._next_here()
                away = [] if here is not None else self._next_away()
            if here is not None:
                self._train_here(here)
            elif away:
                self._send(away)
            else:
                return

    # ── what is next ──

    def _next_here(self) -> _Piece | None:
        """What this process trains next, if it has room. The lock is held."""
        assert self._helpers is not None
        if self._helpers.room and len(self._here) >= self._room_here():
            return None
        for queue in (self._back, self._waiting):
            if queue:
                piece = queue.popleft()
                self._here.add(piece)
                return piece
        if len(self._here) >= self._room_here():
            return None
        late = time.monotonic() - max(PATIENCE_SECONDS, PATIENCE * max(self._absences, default=0.0))
        for piece in (piece for pieces in self._away.values() for piece in pieces):
            if piece.since < late and piece not in self._here and not piece.done.done():
                self._here.add(piece)
                return piece
        return None

    def _room_here(self) -> int:
        """Lanes of this process at a time: one on a core, a share of them side by side."""
        assert self._helpers is not None
        if self._engine.turns:
            return self._engine.threads
        return max(1, self._engine.lanes // (1 + self._helpers.workers))

    def _next_away(self) -> list[_Piece]:
        """What helpers train next, if they have room. The lock is held.

        A message more for each of them, so that none waits for the network.
        """
        assert self._helpers is not None
        room, workers = self._helpers.room, self._helpers.workers
        pieces: list[_Piece] = []
        if not room or len(self._away) >= room + workers:
            return pieces
        most, seconds = -(-len(self._waiting) // room), 0.0
        while self._waiting and len(pieces) < most and seconds < WORTH_SECONDS:
            piece = self._waiting.popleft()
            seconds += self._pace.get(piece.program, WORTH_SECONDS) * piece.epochs
            pieces.append(piece)
        return pieces

    # ── who trains it ──

    def _train_here(self, piece: _Piece) -> None:
        (future,) = jobs.submit(self._engine, piece.part)
        piece.here = future
        future.add_done_callback(lambda done: self._trained_here(piece, done))

    def _trained_here(self, piece: _Piece, done: Future[LaneResult]) -> None:
        with self._lock:
            self._here.discard(piece)
        if not done.cancelled():
            if error := done.exception():
                self._settle(piece, error)
            else:
                self._settle(piece, done.result())
        self.deal()

    def _send(self, pieces: list[_Piece]) -> None:
        assert self._helpers is not None
        content = jobs.pack([piece.part for piece in pieces])
        variants = list(dict.fromkeys(piece.program.variant for piece in pieces))
        future, now = self._helpers.send(content, variants), time.monotonic()
        with self._lock:
            self._away[future] = pieces
            for piece in pieces:
                piece.away, piece.since = future, now
        future.add_done_callback(self._came)

    def _came(self, done: Future[bytes]) -> None:
        """Helpers have brought what was sent, or they have not."""
        with self._lock:
            pieces = self._away.pop(done)
        members = [piece.part.members[0] for piece in pieces]
        try:
            packed = None if done.cancelled() else done.result()
            brought = [] if packed is None else jobs.unpack_results(packed, members, self._template)
        except Exception as error:  # whatever it is, what they were to train is trained here
            self._trouble(error)
            brought = []
        with self._lock:
            if brought:
                self._absences.append(time.monotonic() - pieces[0].since)
                self.brought += len(brought)
            else:
                self._back.extend(one for one in pieces if one not in self._here and not one.done.done())
        for piece, one in zip(pieces, brought, strict=False):
            self._settle(piece, one)
        self.deal()

    def _settle(self, piece: _Piece, result: LaneResult | BaseException) -> None:
        """A lane is trained: the first who says so is heard, and nobody else need go on."""
        with self._lock:
            if piece.done.done():
                return
            if isinstance(result, BaseException):
                piece.done.set_exception(result)
            else:
                self._pace[piece.program] = result.seconds / max(1, piece.epochs)
                piece.done.set_result(result)
            out = self._away.get(piece.away, []) if piece.away is not None else []
            over = piece.away if out and all(one.done.done() for one in out) else None
        for future in (over, piece.here):
            if future is not None:
                future.cancel()

    # ── what is told ──

    def _look(self) -> None:
        """See who has come and what has been away for too long: in a thread, until the end."""
        assert self._helpers is not None
        while not self._stop.wait(LOOK_SECONDS):
            workers = self._helpers.workers
            if workers != self._workers:
                self._note(f"{workers} worker{'s' * (workers != 1)} beside this process")
                self._workers = workers
            self.deal()

    def _trouble(self, error: Exception) -> None:
        what = str(error) if isinstance(error, WorkbenchError) else f"{type(error).__name__}: {error}"
        if what not in self._told:
            self._told.add(what)
            self._note(f"a worker does not help: {what}; this process trains what it was sent")

    def _template(self, program: Program, hyper: Hyperparameters) -> Lane:
        return self._engine.template(program.recipe, hyper)
