"""Where everything is kept: the home directory, and the databases or servers that stand in for parts of it.

    HOME/mlflow.db          MLflow's store, unless --tracking-uri names another
    HOME/workbench.db       ledger, unless --storage names another
    HOME/optuna.log         the studies for Optuna's readers, unless --storage names a database
    HOME/studies/ID/        the folder of one study: journal, checkpoints, report
    HOME/data/              what the files of studies hold, so that a large one need not be read to be known

An option wins over the environment (WORKBENCH_HOME, MLFLOW_TRACKING_URI, WORKBENCH_STORAGE), the environment
over the default. Resolving writes nothing; `prepare` does, once everything else about a command is known to
be right.

Whether a database or a server answers (`check_reachable`) is asked before anything depends on it.
"""

from __future__ import annotations

import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException, InvalidURL
from pathlib import Path
from urllib.parse import urlsplit

from workbench.core.addresses import is_server, kind, reason, redact, sqlite
from workbench.core.errors import AwayError, StoreError
from workbench.core.files import private_folder

#: Kinds of databases that MLflow can keep runs in.
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


def check_reachable(url: str, what: str = "tracking URI", timeout: float = 3.0) -> None:
    """Return if the store answers within `timeout` seconds; a SQLite file that is not there yet can be made.

    what  the name of the address in the sentence

    Raises StoreError, one sentence without the password; AwayError where a server may only be down.
    """
    where = f"{what} {redact(url)!r}"
    if is_server(url):
        _check_server(url, where, timeout)
    elif kind(url) not in DATABASES:
        raise StoreError(
            f"{where}: no runs can be kept there; use sqlite:///FILE, postgresql://HOST/DATABASE or "
            "http://HOST:PORT"
        )
    elif kind(url) == "sqlite":
        _check_file(url, where)
    else:
        _check_database(url, where, timeout)


def _check_server(url: str, where: str, timeout: float) -> None:
    parts = urlsplit(url)
    if not parts.hostname:
        raise StoreError(f"{where}: names no host; write http://HOST:PORT")
    # Credentials belong in a header; urllib would take them for a part of the host's name.
    netloc = parts.netloc.rpartition("@")[2]
    health = parts._replace(netloc=netloc, path=parts.path.rstrip("/") + "/health").geturl()
    try:
        with urllib.request.urlopen(health, timeout=timeout) as answer:
            answer.read(64)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in {401, 403}:  # it asks who is there, and MLflow's client brings the credentials
            return
        if error.code >= 500:
            raise AwayError(f"{where}: answers {error.code} {error.reason}; see to the server") from None
        raise StoreError(
            f"{where}: answers {error.code} {error.reason} to /health, as no MLflow server does; "
            "correct the address"
        ) from None
    except (ValueError, InvalidURL) as error:
        raise StoreError(f"{where}: is no address ({error}); write http://HOST:PORT") from None
    except (OSError, HTTPException) as error:
        why = getattr(error, "reason", error)
        raise AwayError(
            f"{where}: does not answer ({why}); start the server or correct the address"
        ) from None


def _check_file(url: str, where: str) -> None:
    from sqlalchemy import make_url

    path = make_url(url).database
    if not path or path == ":memory:":
        raise StoreError(f"{where}: names no file; write sqlite:///runs/mlflow.db")
    file = Path(path)
    folder = next(parent for parent in file.absolute().parents if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StoreError(
            f"{where}: {folder} cannot be written to ({error.strerror}); choose another folder"
        ) from None
    if not file.exists() or not file.stat().st_size:
        return
    try:
        with file.open("r+b") as head:
            whole = head.read(16) == b"SQLite format 3\0"
    except OSError as error:
        raise StoreError(f"{where}: {error.strerror}; choose another file") from error
    if not whole:
        raise StoreError(f"{where}: the file is no SQLite database; choose another")


def _check_database(url: str, where: str, timeout: float) -> None:
    import sqlalchemy as sa

    from workbench.core import sql

    seconds = max(1, round(timeout))
    arguments = {"connect_timeout": seconds} if kind(url) == "postgresql" else {}
    engine = sql.engine(url, what=where, busy=timeout, arguments=arguments)
    try:
        engine.connect().close()
    except sa.exc.SQLAlchemyError as error:
        raise StoreError(
            f"{where}: does not answer ({reason(error, url)}); start it or correct the address"
        ) from None
    finally:
        engine.dispose()


_TRACKING = ("http", "https", *DATABASES)
_STORAGE = ("sqlite", "postgresql")


@dataclass(frozen=True, repr=False)
class Locations:
    """Resolved locations; nothing is created by making one."""

    home: Path  # absolute
    tracking_uri: str  # MLflow's, with its password if it has one: `redact` before showing
    storage: str  # SQLAlchemy URL of the ledger and, if it was named, Optuna's studies; the same holds

    def __repr__(self) -> str:
        where = f"tracking_uri={redact(self.tracking_uri)!r}, storage={redact(self.storage)!r}"
        return f"Locations(home={str(self.home)!r}, {where})"

    def study(self, study_id: str) -> Path:
        """The folder of one study."""
        return self.home / "studies" / study_id

    @property
    def optuna(self) -> Path | str:
        """What Optuna reads: a journal file in the home, or the database that --storage names."""
        own = self.storage == local_store(self.home, "workbench")
        return self.home / "optuna.log" if own else self.storage

    @property
    def logs(self) -> Path:
        """The folder of tracebacks and of servers' output."""
        return self.home / "logs"


def resolve(
    home: str | None = None,
    tracking_uri: str | None = None,
    storage: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Locations:
    """Where a study's records are kept, by options and environment. Nothing is made.

    Args:
        home: Folder of everything that no server keeps; else WORKBENCH_HOME, else `runs`.
        tracking_uri: MLflow's store, a database's address or http://HOST:PORT; else MLFLOW_TRACKING_URI, else
            a database in the home.
        storage: Address of the database of searches and ledger; else WORKBENCH_STORAGE, else one in the home.
        environ: Variables by name; None: those of this process.

    Returns:
        The locations, as `run`, `search` and `confirm` take them.

    Raises:
        StoreError: for a location that nothing can be kept in.
    """
    environ = os.environ if environ is None else environ
    root = Path(home or environ.get("WORKBENCH_HOME") or "runs").expanduser().absolute()
    if "\0" in str(root):
        raise StoreError(f"--home = {str(root)!r}: has a NUL, which no path can hold; rename it")
    tracking_uri = tracking_uri or environ.get("MLFLOW_TRACKING_URI") or local_store(root)
    storage = storage or environ.get("WORKBENCH_STORAGE") or local_store(root, "workbench")
    _check_scheme("--tracking-uri", tracking_uri, _TRACKING)
    _check_scheme("--storage", storage, _STORAGE)
    return Locations(root, tracking_uri, storage)


def local_store(home: Path, name: str = "mlflow") -> str:
    """The address of a database that a home directory holds."""
    return sqlite(home / f"{name}.db")


def prepare(locations: Locations, note: Callable[[str], None] | None = None) -> None:
    """See that servers answer and the home can be written to, creating it. Raises StoreError.

    With `note`, a tracking server that is down is told and stops nothing: records wait here for its return.
    """
    stores = {"tracking URI": locations.tracking_uri, "storage": locations.storage}
    own = {local_store(locations.home, name) for name in ("mlflow", "workbench")}
    for what, url in stores.items():
        if url not in own or locations.home.is_dir():
            try:
                check_reachable(url, what)
            except AwayError as away:
                if note is None:
                    raise
                note(f"{away}; the study goes on, and its records are kept here until then")
    try:
        private_folder(locations.home)
        with tempfile.TemporaryFile(dir=locations.home):
            pass
    except OSError as error:
        raise StoreError(
            f"{locations.home}: the home directory cannot be written to ({error.strerror or error}); "
            "name another by --home or WORKBENCH_HOME"
        ) from None


def _check_scheme(option: str, url: str, known: tuple[str, ...]) -> None:
    if kind(url) not in known:
        hint = f"it must begin with {', '.join(known)} and ://"
        if kind(url) == "postgres":
            hint = "write postgresql://"
        raise StoreError(f"{option} = {redact(url)}: cannot be used as a store; {hint}")
