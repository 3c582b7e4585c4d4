"""Processes of the program that have its libraries already: forked from a server that has imported them.

Importing takes four processor seconds for a study and the process that logs it, more than all else that a
small study does. What is forked is a process like any other: with pipes, a status and signals of its own. How
the program starts from nothing is what the slow tier does, and the tests that ask for an interpreter of their
own.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from workbench.storage.tracking import tracker
from workbench.storage.tracking.client import ENVIRONMENT

#: What libraries read as they are imported: another value of one of these needs an interpreter of its own.
_READ_EARLY = ("JAX_", "XLA_", "PYTHON", "MPL")
#: The values that the server has, and where it listens; None until the first process is wanted.
_early: dict[str, str] | None = None
_address: str | None = None
_started = tracker._start


def begin(address: str | None = None) -> None:
    """From here on what is started in this environment is forked, by the server at `address` or a new one."""
    global _early, _address
    if hasattr(os, "pidfd_open"):
        _address = address or _address
        _early = _read_early(os.environ)
        tracker._start = _start_worker  # type: ignore[assignment]


def cease() -> None:
    """From here on everything is started as users do."""
    global _early
    _early, tracker._start = None, _started


def possible(environ: Mapping[str, str]) -> bool:
    """Whether a process with this environment can be forked."""
    return _early is not None and _read_early(environ) == _early


def _read_early(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith(_READ_EARLY)}


def _start_worker(words: Sequence[str], errors: IO[bytes]) -> Any:
    environ = {**os.environ, **ENVIRONMENT}
    return Forked("workbench.storage.tracking.worker", words, environ, stderr=errors, group=True)


class Forked:
    """As much of `subprocess.Popen` for `python -m MODULE WORDS` as is used; a stream not given is a pipe."""

    def __init__(
        self,
        module: str,
        words: Sequence[str],
        environ: Mapping[str, str],
        *,
        stdin: IO[bytes] | None = None,
        stdout: IO[bytes] | None = None,
        stderr: IO[bytes],
        group: bool = False,
    ) -> None:
        self.stdin, self.stdout = stdin, stdout
        self.returncode: int | None = None
        self._turn = threading.Lock()  # of the threads that wait
        theirs = [0 if stdin is None else stdin.fileno(), 1 if stdout is None else stdout.fileno()]
        made = []
        if stdin is None:
            theirs[0], ours = os.pipe()
            made.append(theirs[0])
            self.stdin = os.fdopen(ours, "wb")
        if stdout is None:
            ours, theirs[1] = os.pipe()
            made.append(theirs[1])
            self.stdout = os.fdopen(ours, "rb")
        what = {"module": module, "words": list(words), "environ": dict(environ), "group": group}
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._server.connect(_listening())
        message = json.dumps({**what, "cwd": str(Path.cwd())}).encode()
        socket.send_fds(self._server, [message], [*theirs, stderr.fileno()])
        for end in made:
            os.close(end)
        self.pid = int(self._server.recv(64))

    def poll(self) -> int | None:
        """The exit status if it has ended; below zero, the signal that ended it."""
        try:
            return self.wait(0.0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, waited for."""
        late = subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        if not self._turn.acquire(timeout=-1 if timeout is None else timeout):
            raise late
        try:
            if self.returncode is None:
                self._server.settimeout(timeout)
                self.returncode = int(self._server.recv(64))
                self._server.close()
            return self.returncode
        except (TimeoutError, BlockingIOError):
            raise late from None
        finally:
            self._turn.release()

    def kill(self) -> None:
        """End it at once, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, 9)


def _listening() -> str:
    """The address of the server, started if there is none yet."""
    global _address
    if _address is None:
        folder = tempfile.mkdtemp(prefix="forks-")
        _address = str(Path(folder) / "socket")
        command = [sys.executable, "-m", "tests.helpers.forked_server", _address]
        root = str(Path(__file__).parents[2])
        server = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"

        def end() -> None:
            with server:  # closes its input, upon which it ends
                shutil.rmtree(folder, ignore_errors=True)

        atexit.register(end)
    return _address
