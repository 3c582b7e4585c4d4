"""Opening MLflow's database: are its tables the ones the fast writer knows; and making it when it is new.

A new SQLite store is migrated in a file beside it and then given its name, so that a process killed in the
second this takes leaves no half-migrated store, which MLflow could never open again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from workbench.core import sql
from workbench.core.addresses import kind, sqlite

#: Revisions of MLflow's schema whose runs, params, tags, metrics and latest_metrics look as written below.
KNOWN_HEADS = ("dc11669786a5",)  # MLflow 3.17
#: Seconds that a statement waits for another process's transaction on SQLite.
BUSY_SECONDS = 20


class Store(NamedTuple):
    """A database with MLflow's tables."""

    engine: sa.Engine
    artifacts: str  # folder or URI under which new experiments keep their artifacts


def connect(uri: str, artifacts: str) -> Store | None:
    """Open a SQLite or PostgreSQL database, creating MLflow's tables in an empty one.

    Returns None when the database is of another kind or its tables are not the ones this file knows. Raises
    sqlalchemy.exc.OperationalError while the database cannot be reached.
    """
    if kind(uri) not in {"sqlite", "postgresql"}:
        return None
    # In WAL mode readers (the UI) never wait for the writer.
    pragmas = ["journal_mode = WAL", "synchronous = NORMAL", "cache_size = -65536"]
    engine = sql.engine(uri, busy=BUSY_SECONDS, pragmas=pragmas, kept=True)
    if engine.dialect.name == "sqlite" and engine.url.database:
        file = Path(engine.url.database)
        if not file.exists() or not file.stat().st_size:
            _create_file(file, artifacts)
    if not sa.inspect(engine).has_table("alembic_version"):
        _create_tables(engine, artifacts)
    with engine.connect() as connection:
        heads = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars().all()
    if len(heads) == 1 and heads[0] in KNOWN_HEADS:
        return Store(engine, artifacts)
    engine.dispose()
    return None


def close(store: Store) -> None:
    """Give its connection back."""
    store.engine.dispose()


def _create_file(file: Path, artifacts: str) -> None:
    """A new SQLite store that appears whole or not at all: a half-migrated one can never be opened again."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    try:
        engine = sa.create_engine(sqlite(draft), poolclass=sa.pool.StaticPool)
        _create_tables(engine, artifacts)
        engine.dispose()
        if file.exists() and not file.stat().st_size:
            file.unlink()
        try:
            file.hardlink_to(draft)
        except FileExistsError:
            return  # another process was faster
        except (OSError, NotImplementedError):  # a system or a file system without links
            if not file.exists():
                draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def _create_tables(engine: sa.Engine, artifacts: str) -> None:
    """MLflow's own migrations, run by MLflow. They take about a second, and importing it another."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    if engine.dialect.name != "postgresql":
        # Named with its driver: see `addresses.sqlite`.
        uri = engine.url.set(drivername="sqlite+pysqlite").render_as_string()
        SqlAlchemyStore(uri, artifacts)._dispose_engine()  # type: ignore[no-untyped-call]
        return
    uri = engine.url.render_as_string(hide_password=False)
    with engine.connect() as connection:  # held while another process may be at the same work
        connection.execute(sa.select(sa.func.pg_advisory_lock(sql.lock_key("create"))))
        try:
            SqlAlchemyStore(uri, artifacts)._dispose_engine()  # type: ignore[no-untyped-call]
        finally:
            connection.execute(sa.select(sa.func.pg_advisory_unlock(sql.lock_key("create"))))
