"""Engines of SQLAlchemy as every store here wants them, and a lock that several machines can hold on to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa

from workbench.core.addresses import redact
from workbench.core.errors import StoreError


def engine(
    url: str,
    *,
    busy: float,
    what: str | None = None,
    pragmas: Sequence[str] = (),
    kept: bool = False,
    arguments: dict[str, Any] | None = None,
) -> sa.Engine:
    """An engine; opens nothing yet.

    what       how an error calls it; None: by its address
    busy       seconds that a statement on SQLite waits for another process's transaction
    pragmas    of every connection to SQLite: `journal_mode = WAL`
    kept       one connection is kept for one writing thread; else each is closed after its use
    arguments  of the driver, beside those

    On SQLite a transaction is a writer's from its beginning (BEGIN IMMEDIATE), so it waits for the others
    there and never fails in its middle; `execution_options(immediate=False)` makes it a reader's. Raises
    StoreError for what is no address, and where the driver is not installed.
    """
    where = what or redact(url)
    try:
        parsed = sa.make_url(url)
        sqlite = parsed.get_backend_name() == "sqlite"
        options: dict[str, Any] = {"connect_args": {"timeout": busy} if sqlite else dict(arguments or {})}
        if not kept:
            options["poolclass"] = sa.NullPool
        elif sqlite:
            options["poolclass"] = sa.StaticPool
        else:
            options |= {"pool_size": 1, "pool_pre_ping": True}
        made = sa.create_engine(parsed, **options)
    except ModuleNotFoundError as error:
        raise StoreError(
            f"{where}: its driver is missing ({error.name}); pip install 'workbench[postgres]'"
        ) from error
    except (sa.exc.ArgumentError, ValueError) as error:
        raise StoreError(
            f"{where}: not a database address; expected sqlite:///FILE or postgresql://USER@HOST/DATABASE"
        ) from error
    if sqlite:
        sa.event.listen(made, "connect", partial(_configure, pragmas))
        sa.event.listen(made, "begin", _begin)
    return made


def lock(connection: sa.Connection, name: str) -> None:
    """Until the transaction ends nobody else holds `name`. On SQLite every writer excludes all others."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(lock_key(name))))


def lock_key(name: str) -> sa.ColumnElement[int]:
    """The number that stands for a name among PostgreSQL's advisory locks."""
    return sa.func.hashtextextended(f"workbench {name}", 0)


def _configure(pragmas: Sequence[str], connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver would begin late, and never IMMEDIATE
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: sa.Connection) -> None:
    immediate = connection.get_execution_options().get("immediate", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
