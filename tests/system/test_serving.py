"""The registered model behind MLflow's own server: raw JSON rows in, what `workbench predict` says out."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_wine

from tests.helpers.end_to_end import Place, Ran, workbench


@contextmanager
def served(model: str, store: str, log: Path) -> Iterator[str]:
    """`mlflow models serve` in the environment of this Python; its address, once it answers."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    scripts = Path(sys.executable).parent
    words = [
        str(scripts / "mlflow"),
        "models",
        "serve",
        "-m",
        model,
        "--env-manager",
        "local",
        "--port",
        str(port),
    ]
    environ = os.environ | {
        "MLFLOW_TRACKING_URI": store, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }  # fmt: skip
    with log.open("wb") as output:
        server = subprocess.Popen(words, stdout=output, stderr=output, env=environ, start_new_session=True)
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(240):
                assert server.poll() is None, log.read_text()
                try:
                    with urllib.request.urlopen(f"{address}/ping", timeout=2):
                        break
                except (URLError, OSError):
                    time.sleep(0.5)
            yield address
        finally:
            os.killpg(server.pid, 9)
            server.wait()


@pytest.mark.slow
def test_raw_rows_over_http_are_predicted_as_by_the_command(
    finished: tuple[Place, Ran], tmp_path: Path
) -> None:
    where, _ = finished
    rows = load_wine(as_frame=True).data.iloc[::9]
    rows.to_csv(tmp_path / "rows.csv", index=False)
    output = tmp_path / "out.csv"
    words = ("predict", str(where.file), str(tmp_path / "rows.csv"), "-o", str(output))
    assert workbench(*words, "--home", str(where.home)).status == 0
    expected = pd.read_csv(output)
    store = f"sqlite:///{where.home}/mlflow.db"
    body = json.dumps({"dataframe_records": rows.to_dict(orient="records")}).encode()
    with served("models:/small@champion", store, tmp_path / "serve.log") as address:
        request = urllib.request.Request(
            f"{address}/invocations", data=body, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            said = pd.DataFrame(json.load(answer)["predictions"])
    assert said["prediction"].tolist() == expected["prediction"].tolist()
    np.testing.assert_allclose(said[expected.columns[1:]], expected.iloc[:, 1:], atol=1e-6)
