"""Servers of the tests' own: a PostgreSQL for the whole session, a fresh database in it for each test."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = [
    "LEFT_OPEN",
    "PASSWORD",
    "Postgres",
    "Server",
    "database",
    "free_port",
    "own_postgres",
    "postgres",
    "wait",
]

#: Of the server's only user; must stand in no error and in no record.
PASSWORD = "s3cret-word"
#: Optuna and MLflow leave connections to the garbage collector, and psycopg warns of that. Ours are closed.
LEFT_OPEN = pytest.mark.filterwarnings("ignore:<psycopg.Connection:ResourceWarning")


class Postgres:
    """A server with a password in a folder of its own, that can be stopped and started again."""

    def __init__(self, folder: Path, programs: Path, user: str | None) -> None:
        self._folder, self._programs, self._user, self._port = folder, programs, user, free_port()
        self._server: subprocess.Popen[bytes] | None = None
        password = folder / "password"
        password.write_text(PASSWORD)
        if user is not None:
            try:
                for path in (folder, password):
                    shutil.chown(path, user)
            except LookupError:
                pytest.skip(f"running as root, and there is no user {user} to run the server as")
        options = ["-U", "me", "-A", "scram-sha-256", f"--pwfile={password}", "--no-sync"]
        made_by = [programs / "initdb", "-D", folder / "data", *options]
        subprocess.run(made_by, user=user, cwd="/", check=True, capture_output=True)

    @property
    def url(self) -> str:
        """The address without a database."""
        return f"postgresql://me:{PASSWORD}@127.0.0.1:{self._port}"

    def start(self) -> None:
        listen = ["-h", "127.0.0.1", "-p", str(self._port), "-k", self._folder, "-F"]
        command = [self._programs / "postgres", "-D", self._folder / "data", *listen]
        self._server = subprocess.Popen(command, user=self._user, cwd="/", stderr=subprocess.DEVNULL)
        ready = [self._programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self._port)]
        wait(lambda: subprocess.run(ready, check=False).returncode == 0)

    def stop(self) -> None:
        """End it at once, whoever is still connected."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait(timeout=30)
            self._server = None


@contextmanager
def own_postgres() -> Iterator[Postgres]:
    """A server that runs, gone after the block. Skips where programs or driver lack."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'workbench[postgres]'")
    found = [shutil.which("initdb"), *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")))]
    initdb = next((path for path in found if path), None)
    if initdb is None:
        pytest.skip("no PostgreSQL server programs (initdb) on this machine")
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    # Not below pytest's folder, which is nobody else's to enter.
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as made:
        server = Postgres(Path(made), Path(initdb).resolve().parent, user)
        server.start()
        try:
            yield server
        finally:
            gc.collect()  # what was left open is warned of here, not in a later test
            server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address, without a database, of a server for the whole session."""
    with own_postgres() as server:
        yield server.url


@pytest.fixture
def database(postgres: str) -> Iterator[str]:
    """The address of an empty database, which is gone after the test."""
    import sqlalchemy as sa

    name = f"test_{time.monotonic_ns()}"
    engine = sa.create_engine(f"{postgres}/postgres", isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield f"{postgres}/{name}"
    gc.collect()  # what was left open is warned of here, not in a later test
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Return when it holds; fail after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


class Server:
    """An MLflow server over a store in `folder`, that can be killed and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={self.port}"]
        command += ["--workers=1", f"--backend-store-uri=sqlite:///{self.folder}/server.db"]
        command += [f"--artifacts-destination={self.folder / 'files'}"]
        environment = os.environ | {
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        self.process = subprocess.Popen(
            command, env=environment, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        wait(self.answers, 90)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                return True
        except OSError:
            return False

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
