"""The door to a shared database: one writer at a time, one holder of a name, errors as sentences.

SQLite is the default and PostgreSQL serves several machines. Both give what the ledger and the copy for
Optuna need, and nothing that has to expire: a lock, such as a process holds while it scores a test set, is
released by the operating system (SQLite, a file lock) or by the server (PostgreSQL, a session lock) in the
moment the process dies. On a network file system that does not lock files, use PostgreSQL; a connection
pooler must be in session mode.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import sqlalchemy as sa

from workbench.core import sql
from workbench.core.addresses import kind, reason, redact
from workbench.core.errors import BusyError, StoreError

#: Seconds that a statement waits for another process's transaction.
BUSY_SECONDS = 60
#: Seconds between two attempts to take a lock that is held.
_POLL_SECONDS = 0.05


def connect(url: str) -> sa.Engine:
    """An engine for `sqlite:///FILE` or `postgresql://…`. Opens nothing yet. Raises StoreError."""
    if kind(url) in {"", "sqlite", "postgresql"}:
        # An opening must survive a power cut before a score is computed.
        engine = sql.engine(url, busy=BUSY_SECONDS, pragmas=["synchronous = FULL"])
        if engine.dialect.name == "postgresql" or engine.url.database not in {None, "", ":memory:"}:
            return engine
    raise StoreError(f"{redact(url)}: cannot keep the ledger, expected sqlite:///FILE or postgresql://…")


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that no other writer of the ledger overlaps; committed durably at the end."""
    with _sentences(engine):
        file = sqlite_file(engine)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        with engine.begin() as connection:
            sql.lock(connection, "ledger")
            yield connection


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection | None]:
    """A connection to read from; None where there is no database file yet (none is made)."""
    file = sqlite_file(engine)
    with _sentences(engine):
        if file is not None and not file.exists():
            yield None
            return
        with engine.connect().execution_options(immediate=False) as connection, connection.begin():
            yield connection


@contextmanager
def hold(engine: sa.Engine, name: str, busy: str | None = None) -> Iterator[None]:
    """Be the only living process that holds `name`; wait while another one does.

    busy  do not wait, but raise BusyError with this sentence
    """
    file = sqlite_file(engine)
    with _hold_server(engine, name, busy) if file is None else _hold_file(engine, file, name, busy):
        yield


def sqlite_file(engine: sa.Engine) -> Path | None:
    """Where an SQLite database lies; None for a server."""
    if engine.dialect.name != "sqlite":
        return None
    database = engine.url.database or ""
    if database.startswith("file:"):  # SQLite's own kind of address
        return Path(re.sub(r"^file:|\?.*$", "", database))
    return Path(database)


@contextmanager
def _sentences(engine: sa.Engine) -> Iterator[None]:
    address = engine.url.render_as_string(hide_password=False)
    where = redact(address)
    try:
        yield
    except (sa.exc.DBAPIError, sqlite3.Error) as error:
        text = reason(error, address)
        raise StoreError(f"{where}: {text}; {_remedy(text)}") from error
    except OSError as error:
        raise StoreError(f"{where}: {error.strerror or error}; {_remedy(str(error))}") from error


def _remedy(text: str) -> str:
    if "locked" in text:
        return f"another process has held it for {BUSY_SECONDS} seconds, try again when it is done"
    if "not a database" in text or "malformed" in text:
        return "restore the file from a copy or name another with --storage"
    if "append-only" in text:
        return "entries are never changed"
    return "check that it can be reached and written, or name another with --home or --storage"


# SQLite's own lock on an empty file of its own: exact on every system that Python runs on, and freed by the
# operating system when the process ends in any way.
@contextmanager
def _hold_file(engine: sa.Engine, file: Path, name: str, busy: str | None) -> Iterator[None]:
    folder = file.with_name(f"{file.name}-locks")
    with _sentences(engine):
        folder.mkdir(parents=True, exist_ok=True)
        lock = sqlite3.connect(
            folder / hashlib.sha256(name.encode()).hexdigest()[:16], timeout=0, isolation_level=None
        )
    with closing(lock):
        while True:
            try:
                lock.execute("BEGIN EXCLUSIVE")
                break
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise StoreError(f"{folder}: {error}; check that it can be written") from error
                _wait(busy)
        yield


# A session lock ends with its connection. Keep-alives tell the server in a minute that a machine is gone.
@contextmanager
def _hold_server(engine: sa.Engine, name: str, busy: str | None) -> Iterator[None]:
    with _sentences(engine):
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    with closing(connection):
        with _sentences(engine):
            for setting in (
                "tcp_keepalives_idle = 30",
                "tcp_keepalives_interval = 10",
                "tcp_keepalives_count = 3",
            ):
                connection.exec_driver_sql(f"SET {setting}")
            attempt = sa.select(sa.func.pg_try_advisory_lock(sql.lock_key(name)))
            while not connection.execute(attempt).scalar():
                _wait(busy)
        yield


def _wait(busy: str | None) -> None:
    if busy is not None:
        raise BusyError(busy)
    time.sleep(_POLL_SECONDS)
