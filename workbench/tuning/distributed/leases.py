"""Work that several processes share: parts of launches in a table, each leased to who trains it.

Three tables beside the study records. A *fleet* is a study that a `run` leads, under a session that is new
each time; a *worker* is a process that helps; a *part* is work, leased for LEASE_SECONDS and renewed by a
heartbeat as long as its owner lives. A part whose lease has run out is anybody's. Every lease has a number,
and only the holder of the latest may deliver: a process that was thought dead and comes back delivers
nothing, so no part counts twice. A clock may be set back: a lease that ends later than any can has run out.

Everything is one short transaction; nothing here waits for training. With SQLite the tables have a file of
their own, which is deleted with the home and holds no result; times are the server's where there is one.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from workbench.core import sql
from workbench.core.addresses import kind, reason, redact
from workbench.core.errors import StoreError

#: A process that was not heard of for so long is taken for dead.
LEASE_SECONDS = 15.0
#: Seconds that a statement on SQLite waits for another process's transaction.
_BUSY_SECONDS = 20.0


class LedError(StoreError):
    """Another living process leads the study."""


class Claim(NamedTuple):
    """A part on lease."""

    part: int
    lease: int
    request: bytes


class Leases:
    """The tables of one study, seen by one process. All methods raise StoreError when the database fails."""

    def __init__(self, url: str, study: str) -> None:
        sqlite = kind(url) == "sqlite"
        if sqlite:
            url = f"{url.partition('?')[0].removesuffix('.db')}-work.db"
        self._url, self.study = url, study
        self.me = uuid.uuid4().hex
        self._made = False  # the tables are there
        with self._sentences():
            pragmas = ["auto_vacuum = FULL", "journal_mode = WAL", "synchronous = NORMAL"]
            self._engine = sql.engine(url, busy=_BUSY_SECONDS, pragmas=pragmas, kept=not sqlite)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    # ── who leads ──

    def lead(self, home: Path, terms: Mapping[str, Any]) -> None:
        """Begin a session of the study; parts of earlier ones are void.

        Raises LedError if a living process of another home leads it.
        """
        place = f"{platform.node()}:{home}"
        with self._writing() as connection:
            create(connection)
            now = now_of(connection)
            held = connection.execute(sa.select(fleets).where(fleets.c.study == self.study)).first()
            if held is not None and held.home != place and _lately(held.seen, now):
                raise LedError(
                    f"{redact(self._url)}: study {self.study} is being run by another process, at "
                    f"{held.home}; join it with workbench worker, or stop it first"
                )
            connection.execute(parts.delete().where(parts.c.study == self.study))
            connection.execute(workers.delete().where(sa.func.abs(workers.c.seen - now) > 10 * LEASE_SECONDS))
            connection.execute(fleets.delete().where(fleets.c.study == self.study))
            row = {"session": self.me, "home": place, "seen": now, "done": False, "terms": json.dumps(terms)}
            connection.execute(fleets.insert().values(study=self.study, **row))

    def beat(self) -> int:
        """Renew what this process holds; how many other processes work for the study."""
        with self._writing() as connection:
            now = now_of(connection)
            mine = fleets.c.session == self.me
            if not connection.execute(fleets.update().where(mine).values(seen=now)).rowcount:
                raise StoreError(f"{redact(self._url)}: study {self.study} is led by another process by now")
            self._renew(connection, now)
            alive = sa.and_(workers.c.study == self.study, _lately(workers.c.seen, now))
            return int(connection.execute(sa.select(sa.func.count()).where(alive)).scalar_one())

    def resign(self, *, done: bool) -> None:
        """End the session. Workers go home if the search is done, and wait for the next one if it is not."""
        with self._writing() as connection:
            connection.execute(parts.delete().where(parts.c.session == self.me))
            connection.execute(fleets.update().where(fleets.c.session == self.me).values(seen=0.0, done=done))

    def publish(self, requests: Sequence[bytes]) -> list[int]:
        """Offer parts; their ids."""
        row = {"study": self.study, "session": self.me, "lease": 0, "until": 0.0}
        with self._writing() as connection:
            made = [connection.execute(parts.insert().values(request=one, **row)) for one in requests]
            return [int(result.inserted_primary_key[0]) for result in made if result.inserted_primary_key]

    def results(self, ids: Sequence[int]) -> dict[int, bytes]:
        """What was delivered of these parts."""
        with self._reading() as connection:
            wanted = sa.and_(parts.c.id.in_(ids), parts.c.result.is_not(None))
            rows = connection.execute(sa.select(parts.c.id, parts.c.result).where(wanted))
            return {row.id: row.result for row in rows}

    def withdraw(self, ids: Sequence[int]) -> None:
        """Remove parts; nobody can deliver them any more."""
        with self._writing() as connection:
            connection.execute(parts.delete().where(parts.c.id.in_(ids)))

    # ── who works ──

    def fleet(self) -> tuple[dict[str, Any] | None, str, bool]:
        """(terms, session, done) of the study; terms are None while nobody leads it. `join` comes first."""
        with self._reading() as connection:
            row = connection.execute(sa.select(fleets).where(fleets.c.study == self.study)).first()
            if row is None:
                return None, "", False
            led = _lately(row.seen, now_of(connection))
            return json.loads(row.terms) if led else None, row.session, bool(row.done)

    def join(self) -> None:
        """Be counted as a worker, also while nobody leads, and renew what this process holds."""
        with self._writing() as connection:
            if not self._made:
                create(connection)
                self._made = True
            now = now_of(connection)
            seen = connection.execute(workers.update().where(workers.c.id == self.me).values(seen=now))
            if not seen.rowcount:
                place = f"{platform.node()}, process {os.getpid()}"
                row = {"id": self.me, "study": self.study, "place": place, "seen": now}
                connection.execute(workers.insert().values(**row))
            self._renew(connection, now)

    def leave(self) -> None:
        """Stop being counted; what this process holds is anybody's at once."""
        with self._writing() as connection:
            connection.execute(workers.delete().where(workers.c.id == self.me))
            mine = sa.and_(parts.c.owner == self.me, parts.c.result.is_(None))
            connection.execute(parts.update().where(mine).values(until=0.0))

    def claim(self, session: str) -> Claim | None:
        """Lease a part of the session that nobody holds; None if there is none."""
        with self._reading() as connection:
            now = now_of(connection)
            over = sa.or_(parts.c.until < now, parts.c.until > now + 2 * LEASE_SECONDS)
            free = sa.and_(parts.c.session == session, parts.c.result.is_(None), over)
            rows = connection.execute(
                sa.select(parts.c.id, parts.c.lease).where(free).order_by(parts.c.id)
            ).all()
        for row in rows:
            same = sa.and_(parts.c.id == row.id, parts.c.lease == row.lease, parts.c.result.is_(None))
            with self._writing() as connection:
                values = {
                    "owner": self.me,
                    "lease": row.lease + 1,
                    "until": now_of(connection) + LEASE_SECONDS,
                }
                if connection.execute(parts.update().where(same).values(**values)).rowcount:
                    request = connection.execute(sa.select(parts.c.request).where(parts.c.id == row.id))
                    return Claim(row.id, row.lease + 1, request.scalar_one())
        return None

    def deliver(self, claim: Claim, result: bytes) -> bool:
        """Hand in what a part has brought. False if the lease went to somebody else, or the part is void."""
        same = sa.and_(parts.c.id == claim.part, parts.c.lease == claim.lease, parts.c.result.is_(None))
        with self._writing() as connection:
            return bool(connection.execute(parts.update().where(same).values(result=result)).rowcount)

    # ── inside ──

    def _renew(self, connection: sa.Connection, now: float) -> None:
        mine = sa.and_(parts.c.owner == self.me, parts.c.result.is_(None), parts.c.until > 0.0)
        connection.execute(parts.update().where(mine).values(until=now + LEASE_SECONDS))

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with self._sentences(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with (
            self._sentences(),
            self._engine.connect().execution_options(immediate=False) as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            raise StoreError(
                f"{redact(self._url)}: {reason(error, self._url)}; workers and the run that leads them meet "
                "there, check that it can be reached and written"
            ) from error


def _lately(seen: Any, now: float) -> Any:
    """Whether a sign of life is fresh; one of the future was given before the clock was set back.

    A number or a column, and so a truth or a condition.
    """
    return (
        abs(seen - now) < LEASE_SECONDS
        if isinstance(seen, float)
        else sa.func.abs(seen - now) < LEASE_SECONDS
    )


METADATA = sa.MetaData()
fleets = sa.Table(
    "workbench_fleets",
    METADATA,
    sa.Column("study", sa.String(200), primary_key=True),
    sa.Column("session", sa.String(40), nullable=False),
    sa.Column("home", sa.Text, nullable=False),  # host and home of who leads
    sa.Column("seen", sa.Float, nullable=False),  # of who leads; 0 when nobody does
    sa.Column("done", sa.Boolean, nullable=False),  # the search has ended
    sa.Column("terms", sa.Text, nullable=False),  # JSON: what a worker must know
)
workers = sa.Table(
    "workbench_workers",
    METADATA,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("study", sa.String(200), nullable=False),
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("seen", sa.Float, nullable=False),
)
parts = sa.Table(
    "workbench_parts",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("study", sa.String(200), nullable=False),
    sa.Column("session", sa.String(40), nullable=False),
    sa.Column("request", sa.LargeBinary, nullable=False),
    sa.Column("owner", sa.String(40)),
    sa.Column("lease", sa.Integer, nullable=False),  # how often it was leased
    sa.Column("until", sa.Float, nullable=False),  # when the lease runs out; 0 for none
    sa.Column("result", sa.LargeBinary),
)


def create(connection: sa.Connection) -> None:
    """Make the tables where they are not there yet."""
    sql.lock(connection, "leases")  # two that create at once would both find nothing
    METADATA.create_all(connection)


def now_of(connection: sa.Connection) -> float:
    """Seconds since 1970 by the server's clock; with SQLite everybody is on one machine."""
    if connection.dialect.name == "postgresql":
        return float(connection.execute(sa.text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
    return time.time()
