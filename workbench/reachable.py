"""Whether a database or a server answers, asked before anything depends on it."""

from __future__ import annotations

import tempfile
import urllib.error
import urllib.request
from http.client import HTTPException, InvalidURL
from pathlib import Path
from urllib.parse import urlsplit

from workbench.errors import AwayError, StoreError
from workbench.urls import is_server, kind, reason, redact

__all__ = ["DATABASES", "check_reachable"]

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

    from workbench import sql

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
