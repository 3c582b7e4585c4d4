"""The door to a shared database: one writer at a time, one holder of a name, errors as sentences.

SQLite is the default and PostgreSQL serves several machines. Both give what the ledger needs without a lease
that has to expire: the lock that a process holds while it scores a test set is released by the operating
system (SQLite, a file lock) or by the server (PostgreSQL, a session lock) in the moment the process dies. On
a network file system that does not lock files, use PostgreSQL; a connection pooler must be in session mode.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from workbench.errors import StoreError

__all__ = ["BUSY_SECONDS", "connect", "hold", "reading", "redacted", "sqlite_file", "writing"]

#: Seconds that a statement waits for another process's transaction.
BUSY_SECONDS = 60
#: Seconds between two attempts to take a lock that is held.
_POLL_SECONDS = 0.05


def connect(url: str) -> sa.Engine:
    """An engine for `sqlite:///FILE` or `postgresql://…`. Opens nothing yet. Raises StoreError."""
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise StoreError(
            f"{redacted(url)}: not a database address, expected sqlite:///FILE or postgresql://…"
        ) from error
    backend = parsed.get_backend_name()
    if backend not in {"sqlite", "postgresql"} or (
        backend == "sqlite" and parsed.database in {None, "", ":memory:"}
    ):
        raise StoreError(
            f"{redacted(url)}: cannot keep the ledger, expected sqlite:///FILE or postgresql://…"
        )
    arguments: dict[str, Any] = {"timeout": BUSY_SECONDS} if backend == "sqlite" else {}
    try:
        engine = sa.create_engine(parsed, poolclass=NullPool, connect_args=arguments)
    except (ImportError, sa.exc.NoSuchModuleError) as error:
        raise StoreError(
            f"{redacted(url)}: its driver is missing, pip install 'workbench[postgres]'"
        ) from error
    if backend == "sqlite":
        sa.event.listen(engine, "connect", _manual_transactions)
        sa.event.listen(engine, "begin", _begin)
    return engine


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that no other writer of the ledger overlaps; committed durably at the end."""
    with _sentences(engine):
        file = sqlite_file(engine)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        with engine.connect().execution_options(immediate=True) as connection, connection.begin():
            if file is None:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_number("ledger"))))
            yield connection


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection | None]:
    """A connection to read from; None where there is no database file yet (none is made)."""
    file = sqlite_file(engine)
    with _sentences(engine):
        if file is not None and not file.exists():
            yield None
            return
        with engine.connect() as connection, connection.begin():
            yield connection


@contextmanager
def hold(engine: sa.Engine, name: str) -> Iterator[None]:
    """Be the only living process that holds `name`; wait while another one does."""
    file = sqlite_file(engine)
    with _hold_server(engine, name) if file is None else _hold_file(engine, file, name):
        yield


def sqlite_file(engine: sa.Engine) -> Path | None:
    """Where an SQLite database lies; None for a server."""
    if engine.dialect.name != "sqlite":
        return None
    database = engine.url.database or ""
    return Path(re.sub(r"^file:|\?.*$", "", database))


def redacted(url: str) -> str:
    """The address without passwords, good for an error text."""
    return re.sub(r"(?i)(password=)[^&\s]*", r"\1***", re.sub(r"(://[^/@\s]*?:).*@", r"\1***@", url))


@contextmanager
def _sentences(engine: sa.Engine) -> Iterator[None]:
    where = redacted(engine.url.render_as_string(hide_password=True))
    try:
        yield
    except (sa.exc.DBAPIError, sqlite3.Error) as error:
        original = getattr(error, "orig", None) or error
        text = redacted(" ".join(str(original).split()))
        if engine.url.password:
            text = text.replace(str(engine.url.password), "***")
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


def _manual_transactions(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver would begin late, and never IMMEDIATE
    connection.execute(
        "PRAGMA synchronous = FULL"
    )  # an opening must survive a power cut before a score is computed


def _begin(connection: sa.Connection) -> None:
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


# SQLite's own lock on an empty file of its own: exact on every system that Python runs on, and freed by the
# operating system when the process ends in any way.
@contextmanager
def _hold_file(engine: sa.Engine, file: Path, name: str) -> Iterator[None]:
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
                time.sleep(_POLL_SECONDS)
        yield


# A session lock ends with its connection. Keep-alives tell the server in a minute that a machine is gone.
@contextmanager
def _hold_server(engine: sa.Engine, name: str) -> Iterator[None]:
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
            while not connection.execute(sa.select(sa.func.pg_try_advisory_lock(_number(name)))).scalar():
                time.sleep(_POLL_SECONDS)
        yield


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"workbench:{name}".encode()).digest()[:8], "big", signed=True)
