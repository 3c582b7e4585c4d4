"""MLflow's tables in a new database: its own migrations make them, once for a user; the next file is a copy.

The migrations are some hundred statements, which take longer than all that a small study writes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import platformdirs
import sqlalchemy as sa

from workbench.core import sql
from workbench.core.addresses import sqlite

_OWN_EXPERIMENT = sa.text(
    "UPDATE experiments SET artifact_location = :location, creation_time = :now, last_update_time = :now"
)


def template() -> Path:
    """The empty store that new ones are copied from, among the user's caches; another for each MLflow."""
    folder = Path(platformdirs.user_cache_dir("workbench", appauthor=False))
    return folder / f"mlflow-{metadata.version('mlflow')}.db"


def create_file(file: Path, artifacts: str) -> None:
    """A new SQLite store, made beside its place and then given its name.

    It appears whole or not at all: MLflow can never open a store again that was left half-migrated.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    try:
        if not _copied(template(), draft, artifacts):
            draft.unlink(missing_ok=True)
            engine = sa.create_engine(sqlite(draft), poolclass=sa.StaticPool)
            create(engine, artifacts)
            engine.dispose()
            _keep(draft, template())
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


def create(engine: sa.Engine, artifacts: str) -> None:
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


def _copied(made: Path, draft: Path, artifacts: str) -> bool:
    """Whether `draft` is a sound copy, of which MLflow's experiment 0 is as if it had been made here."""
    try:
        shutil.copyfile(made, draft)
    except OSError:  # there is none yet, or it is not to be read
        return False
    engine = sa.create_engine(sqlite(draft), poolclass=sa.StaticPool)
    own = {"location": f"{artifacts.rstrip('/')}/0", "now": int(time.time() * 1000)}
    try:
        with engine.begin() as connection:
            if connection.exec_driver_sql("PRAGMA quick_check").scalar() != "ok":
                return False
            return connection.execute(_OWN_EXPERIMENT, own).rowcount == 1
    except sa.exc.DatabaseError:  # the file was damaged
        return False
    finally:
        engine.dispose()


def _keep(draft: Path, place: Path) -> None:
    """Leave a copy for the next store; a cache that cannot be written costs time and nothing else."""
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place.parent, delete=False) as copy:
            pass
        try:
            shutil.copyfile(draft, copy.name)
            Path(copy.name).replace(place)
        finally:
            Path(copy.name).unlink(missing_ok=True)
