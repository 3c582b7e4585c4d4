"""Starting and stopping the process that logs, and the environment MLflow runs in there."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

from workbench.urls import redact

__all__ = ["ENVIRONMENT", "last_line", "start", "stop"]

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


def start(errors: IO[bytes]) -> subprocess.Popen[bytes]:
    """A process out of reach of a Ctrl-C in the terminal; its pipe ends when this process does."""
    package = str(Path(__file__).parent.parent)
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "workbench.tracking_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env={**os.environ, **ENVIRONMENT, "PYTHONPATH": path},
        start_new_session=True,
    )


def stop(process: subprocess.Popen[bytes]) -> None:
    """Close the pipe, wait a moment, then end it: a transaction that is cut off leaves nothing behind."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # what was not sent is still in the tracker
        process.stdin.close()
    try:
        process.wait(timeout=2.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def last_line(errors: IO[bytes]) -> str:
    """The last words of the process, without passwords."""
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return redact(lines[-1])[:300] if lines else "its process keeps dying"
