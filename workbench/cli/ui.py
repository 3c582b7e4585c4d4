"""`workbench ui`: MLflow's own server over the workbench's store, for one person on this machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import unquote

from workbench.cli.streams import Output
from workbench.core.addresses import SHARED, VIEW, is_server, kind, page, redact
from workbench.core.errors import InputError, StoreError, WorkbenchError
from workbench.core.files import private_folder, replaced
from workbench.core.locations import Locations

_HOST = "127.0.0.1"
_SECONDS_TO_START = 60.0


def serve(locations: Locations, port: int, out: Output) -> int:
    """Serve until Ctrl-C; with an http tracking URI, say where that server is instead.

    Raises StoreError if there is nothing to show, InputError if the port is taken, WorkbenchError if MLflow
    does not start or does not stay.
    """
    if is_server(locations.tracking_uri):
        return _tell(out, locations.tracking_uri.rstrip("/"), locations.tracking_uri)
    path = unquote(locations.tracking_uri.partition(":///")[2])
    if kind(locations.tracking_uri) == "sqlite" and not Path(path).is_file():
        raise StoreError(
            f"{path}: nothing is recorded here yet; run a study first, or name another home by --home"
        )
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise InputError(f"--port = {port}: is not free ({error.strerror}); choose another") from None
    private_folder(locations.logs)
    log = locations.logs / "ui.txt"
    # one worker answers faster than four, and the job runner of MLflow would cost two gigabytes
    command = [sys.executable, "-m", "mlflow", "server", "--host", _HOST, "--port", str(port), "--workers=1"]
    environ = os.environ | {
        "MLFLOW_BACKEND_STORE_URI": locations.tracking_uri,  # not an argument: it may hold a password
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    environ.pop("MLFLOW_TRACKING_URI", None)
    url = f"http://{_HOST}:{port}"
    with replaced(log, durable=False, private=True):
        pass  # empty, and for nobody else
    with log.open("wb") as lines:
        server = subprocess.Popen(
            command,
            env=environ,
            cwd=locations.home,
            stdin=subprocess.DEVNULL,
            stdout=lines,
            stderr=subprocess.STDOUT,
        )
    try:
        _await(server, url, log)
        _tell(out, url, locations.tracking_uri)
        if server.wait() != 0:
            raise WorkbenchError(f"MLflow ended by itself; its last words are in {log}")
        return 0
    except KeyboardInterrupt:
        return 0  # the way to end it
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()


def link(url: str) -> str:
    """The page of the newest workbench experiment, with its scores as columns."""
    query = {"max_results": 1, "order_by": ["last_update_time DESC"], "filter": "name != 'Default'"}
    body = json.dumps(query)
    request = urllib.request.Request(
        f"{url}/api/2.0/mlflow/experiments/search", body.encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        found = json.load(answer).get("experiments", [])
    if not found:
        return f"{url}/{page()}"
    viewed = any(tag["key"] == f"{SHARED}{VIEW}" for tag in found[0].get("tags", ()))
    return f"{url}/{page(found[0]['experiment_id'], VIEW if viewed else None)}"


def _await(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _SECONDS_TO_START
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise WorkbenchError(f"MLflow did not start on {url}; its last words are in {log}")


def _tell(out: Output, url: str, tracking_uri: str) -> int:
    found = link(url)
    if not out.json:
        print(f"{found}\nover {redact(tracking_uri)}", flush=True)
        if url.startswith(f"http://{_HOST}:"):
            print("Ctrl-C ends it.", flush=True)
    out.result({"url": found, "tracking_uri": redact(tracking_uri)})
    return 0
