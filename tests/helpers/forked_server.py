"""The server of `forked`: imports, and forks a process for whoever connects. Ends with its standard input.

Nothing that it imports may use jax, or it would have threads when it forks.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import warnings
from contextlib import suppress
from typing import Any

from tests.helpers import forked
from workbench.storage.tracking.client import ENVIRONMENT

IMPORTS = (
    "mlflow.pyfunc",
    "mlflow.store.tracking.sqlalchemy_store",
    "sklearn.ensemble",
    "workbench.cli.commands",
    "workbench.cli.present",
    "workbench.storage.tracking.deliver",
    "workbench.study.baselines",
    "workbench.study.report",
    "workbench.study.session",
)
#: Of one request; the environment is most of it.
LARGEST = 1_000_000


def main(address: str) -> None:
    """Serve, or be the process that was asked for."""
    # jax warns of a fork because it may have threads by then; one that is only imported has none.
    warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called", category=RuntimeWarning)
    os.environ.update(ENVIRONMENT)  # which MLflow reads as it is imported
    for name in IMPORTS:
        importlib.import_module(name)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(address)
    listener.listen()
    print("ready", flush=True)
    if (asked := _serve(listener)) is not None:
        _become(asked, address)


def _serve(listener: socket.socket) -> dict[str, Any] | None:
    """Returns in each process that is forked, with what it shall be; in the server itself, at the end."""
    with selectors.DefaultSelector() as ready:
        ready.register(0, selectors.EVENT_READ)
        ready.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fileobj == 0:
                    return None
                if key.fileobj is not listener:  # a process has ended
                    ready.unregister(key.fileobj)
                    client, pid = key.data
                    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    os.close(key.fd)
                    _tell(client, status)
                    client.close()
                    continue
                client, _ = listener.accept()
                message, streams, *_ = socket.recv_fds(client, LARGEST, 3)
                if (pid := os.fork()) == 0:
                    for number, stream in enumerate(streams):
                        os.dup2(stream, number)
                    break
                for stream in streams:
                    os.close(stream)
                _tell(client, pid)
                ready.register(os.pidfd_open(pid), selectors.EVENT_READ, (client, pid))
            else:
                continue
            break
    os.closerange(3, 1024)
    asked: dict[str, Any] = json.loads(message)
    return asked


def _tell(client: socket.socket, number: int) -> None:
    with suppress(OSError):  # whoever asked has gone
        client.sendall(str(number).encode())


def _become(asked: dict[str, Any], address: str) -> None:
    """`python -m MODULE WORDS`."""
    if asked["group"]:
        os.setpgid(0, 0)
    os.environ.clear()
    os.environ.update(asked["environ"])
    os.chdir(asked["cwd"])
    sys.stdin = os.fdopen(0, "r", encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False, buffering=1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.environ.get("PYTHONWARNINGS") == "ignore":
        warnings.simplefilter("ignore")
    forked.begin(address)  # what it starts is forked as well
    sys.argv = [asked["module"], *asked["words"]]
    runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1])
