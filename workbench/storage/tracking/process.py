"""Starting and stopping the process that logs, and the environment MLflow runs in there."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

from workbench.core.addresses import redact

#: MLflow as the tracker wants it: silent, no telemetry, and seconds instead of minutes until an error.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "GIT_PYTHON_REFRESH": "quiet",
    "PYTHONWARNINGS": "ignore",
}


class Clerk(NamedTuple):
    """A process that logs, and the file of what it says on standard error."""

    process: subprocess.Popen[bytes]
    errors: IO[bytes]


#: Those that were started ahead and have no tracker yet.
_waiting: list[Clerk] = []


@contextmanager
def ahead() -> Iterator[None]:
    """Start the process of the tracker that will be opened within, so that it loads MLflow meanwhile.

    Loading MLflow takes seconds, and while the trainer loads jax the other cores are idle.
    """
    _waiting.append(_started("ahead"))
    try:
        yield
    finally:
        while _waiting:  # no tracker was opened: it has nothing to lose
            clerk = _waiting.pop()
            clerk.process.kill()
            clerk.process.communicate()
            clerk.errors.close()


def start() -> Clerk:
    """The process that waits, or a new one.

    It is out of reach of a Ctrl-C in the terminal, in the same session though: Linux shares processors out by
    session first, and by priority within. Its pipe ends when this process does.
    """
    return _waiting.pop() if _waiting else _started()


def _started(*words: str) -> Clerk:
    package = str(Path(__file__).parents[3])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - whoever has the clerk closes it
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "workbench.storage.tracking.worker", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env={**os.environ, **ENVIRONMENT, "PYTHONPATH": path},
        process_group=0,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
    )
    return Clerk(process, errors)


def stop(clerk: Clerk) -> None:
    """Close the pipe, wait a moment, then end it: a transaction that is cut off leaves nothing behind."""
    process = clerk.process
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # what was not sent is still in the tracker
        process.stdin.close()
    try:
        process.wait(timeout=2.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def last_line(clerk: Clerk) -> str:
    """The last words of the process, without passwords."""
    clerk.errors.seek(0)
    lines = clerk.errors.read().decode(errors="replace").strip().splitlines()
    return redact(lines[-1])[:300] if lines else "its process keeps dying"
