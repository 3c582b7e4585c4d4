"""Addresses of tracking stores: whether one answers, and how to show one without its password."""

from __future__ import annotations

import importlib.util
import re
import tempfile
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from workbench.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy.exc import SQLAlchemyError

__all__ = ["check_reachable", "is_server", "local_store", "redact", "with_driver"]

# Greedy, since a password may hold what should have been escaped: rather too much is hidden than too little.
_USERINFO = re.compile(r"(?<=://)([^/@\s:]*):(\S*)@")
_SECRET = re.compile(r"(?i)([\w-]*(?:password|passwd|pwd|token|secret|api_key))=([^&\s;]+)")
_DATABASES = {"sqlite", "postgresql", "mysql", "mssql"}


def local_store(home: Path) -> str:
    """The address of the store that a home directory holds."""
    return f"sqlite:///{home.absolute() / 'mlflow.db'}"


def is_server(uri: str) -> bool:
    """Whether the address is that of an MLflow server, and not of a database."""
    return uri.startswith(("http://", "https://"))


def with_driver(uri: str) -> str:
    """The address with PostgreSQL's driver named: SQLAlchemy 2.1 assumes another than the extra installs."""
    head, separator, rest = uri.partition("://")
    if separator and head in {"postgresql", "postgres"}:
        return f"postgresql+{'psycopg2' if importlib.util.find_spec('psycopg2') else 'psycopg'}://{rest}"
    return uri


def redact(text: str) -> str:
    """An address, or any text that quotes some, with passwords and tokens replaced by ***."""
    return _SECRET.sub(r"\1=***", _USERINFO.sub(r"\1:***@", text))


def check_reachable(uri: str, timeout: float = 3.0) -> None:
    """Return if the store answers within `timeout` seconds; a SQLite file that is not there yet can be made.

    Raises StoreError, one sentence without the password.
    """
    kind = uri.partition("://")[0].partition("+")[0]
    if kind in {"http", "https"}:
        _check_server(uri, timeout)
    elif kind not in _DATABASES:
        raise StoreError(
            f"tracking URI {redact(uri)!r}: no runs can be kept there; use sqlite:///FILE, "
            "postgresql://HOST/DATABASE or http://HOST:PORT"
        )
    elif kind == "sqlite":
        _check_file(uri)
    else:
        _check_database(uri, timeout)


def _check_server(uri: str, timeout: float) -> None:
    where = f"tracking URI {redact(uri)!r}"
    parts = urlsplit(uri)
    if not parts.hostname:
        raise StoreError(f"{where}: names no host; write http://HOST:PORT")
    # Credentials belong in a header; urllib would take them for a part of the host's name.
    netloc = parts.netloc.rpartition("@")[2]
    health = parts._replace(netloc=netloc, path=parts.path.rstrip("/") + "/health").geturl()
    try:
        with urllib.request.urlopen(health, timeout=timeout) as answer:
            answer.read(64)
    except urllib.error.HTTPError as error:
        if error.code in {
            401,
            403,
        }:  # it is there, and asks who is there; MLflow's client brings the credentials
            return
        raise StoreError(
            f"{where}: answers {error.code} {error.reason} to /health, as no MLflow server does; "
            "correct the address"
        ) from None
    except (OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise StoreError(
            f"{where}: does not answer ({reason}); start the server or correct the address"
        ) from None


def _check_file(uri: str) -> None:
    from sqlalchemy import make_url

    path = make_url(uri).database
    if not path or path == ":memory:":
        raise StoreError(f"tracking URI {uri!r}: names no file; write sqlite:///runs/mlflow.db")
    file = Path(path)
    folder = next(parent for parent in file.absolute().parents if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StoreError(
            f"tracking URI {uri!r}: {folder} cannot be written to ({error.strerror}); choose another folder"
        ) from None
    if not file.exists() or not file.stat().st_size:
        return
    try:
        with file.open("r+b") as head:
            whole = head.read(16) == b"SQLite format 3\0"
    except OSError as error:
        raise StoreError(f"tracking URI {uri!r}: {error.strerror}; choose another file") from error
    if not whole:
        raise StoreError(f"tracking URI {uri!r}: the file is no SQLite database; choose another")


def _check_database(uri: str, timeout: float) -> None:
    import sqlalchemy as sa

    where = f"tracking URI {redact(uri)!r}"
    try:
        url = sa.make_url(with_driver(uri))
        arguments = (
            {"connect_timeout": max(1, round(timeout))} if url.get_backend_name() == "postgresql" else {}
        )
        engine = sa.create_engine(url, poolclass=sa.pool.NullPool, connect_args=arguments)
    except ModuleNotFoundError as error:
        remedy = "pip install 'workbench[postgres]'"
        raise StoreError(f"{where}: the driver {error.name} is not installed; {remedy}") from None
    except sa.exc.SQLAlchemyError as error:
        reason = redact(_first_line(error))
        raise StoreError(f"{where}: is not a database address ({reason}); correct it") from None
    try:
        engine.connect().close()
    except sa.exc.SQLAlchemyError as error:
        reason = redact(_first_line(error))
        raise StoreError(f"{where}: does not answer ({reason}); start it or correct the address") from None
    finally:
        engine.dispose()


def _first_line(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]
