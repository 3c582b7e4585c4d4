"""Where everything is kept: the home directory, and the databases or servers that stand in for parts of it.

    HOME/mlflow.db          MLflow's store, unless --tracking-uri names another
    HOME/workbench.db       searches and ledger, unless --storage names another
    HOME/studies/ID/        the folder of one study: spool, checkpoints, report
    HOME/data/              what the files of studies hold, so that a large one need not be read to be known

An option wins over the environment (WORKBENCH_HOME, MLFLOW_TRACKING_URI, WORKBENCH_STORAGE), the environment
over the default. Resolving writes nothing; `prepare` does, once everything else about a command is known to
be right.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import AwayError, StoreError
from workbench.files import private_folder
from workbench.reachable import DATABASES, check_reachable
from workbench.urls import kind, redact, sqlite

__all__ = ["Places", "local_store", "prepare", "resolve"]

_TRACKING = ("http", "https", *DATABASES)
_STORAGE = ("sqlite", "postgresql")


@dataclass(frozen=True)
class Places:
    """Resolved locations; nothing is created by making one."""

    home: Path  # absolute
    tracking_uri: str  # MLflow's, with its password if it has one: `redact` before showing
    storage: str  # SQLAlchemy URL of searches and ledger; the same holds

    def study(self, study_id: str) -> Path:
        """The folder of one study."""
        return self.home / "studies" / study_id

    @property
    def logs(self) -> Path:
        """The folder of tracebacks and of servers' output."""
        return self.home / "logs"


def resolve(
    home: str | None = None,
    tracking_uri: str | None = None,
    storage: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Places:
    """Places from options and environment. Raises StoreError for a location that nothing can be kept in."""
    root = Path(home or environ.get("WORKBENCH_HOME") or "runs").expanduser().absolute()
    if "\0" in str(root):
        raise StoreError(f"--home = {str(root)!r}: has a NUL, which no path can hold; rename it")
    tracking_uri = tracking_uri or environ.get("MLFLOW_TRACKING_URI") or local_store(root)
    storage = storage or environ.get("WORKBENCH_STORAGE") or local_store(root, "workbench")
    _check_scheme("--tracking-uri", tracking_uri, _TRACKING)
    _check_scheme("--storage", storage, _STORAGE)
    return Places(root, tracking_uri, storage)


def local_store(home: Path, name: str = "mlflow") -> str:
    """The address of a database that a home directory holds."""
    return sqlite(home / f"{name}.db")


def prepare(places: Places, note: Callable[[str], None] | None = None) -> None:
    """See that servers answer and the home can be written to, creating it. Raises StoreError.

    With `note`, a tracking server that is down is told and stops nothing: records wait here for its return.
    """
    stores = {"tracking URI": places.tracking_uri, "storage": places.storage}
    own = {local_store(places.home, name) for name in ("mlflow", "workbench")}
    for what, url in stores.items():
        if url not in own or places.home.is_dir():
            try:
                check_reachable(url, what)
            except AwayError as away:
                if note is None:
                    raise
                note(f"{away}; the study goes on, and its records are kept here until then")
    try:
        private_folder(places.home)
        with tempfile.TemporaryFile(dir=places.home):
            pass
    except OSError as error:
        raise StoreError(
            f"{places.home}: the home directory cannot be written to ({error.strerror or error}); "
            "name another by --home or WORKBENCH_HOME"
        ) from None


def _check_scheme(option: str, url: str, known: tuple[str, ...]) -> None:
    if kind(url) not in known:
        hint = f"it must begin with {', '.join(known)} and ://"
        if kind(url) == "postgres":
            hint = "write postgresql://"
        raise StoreError(f"{option} = {redact(url)}: cannot be used as a store; {hint}")
