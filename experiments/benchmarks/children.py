"""`children`: a study of 2,000 children in MLflow: how long its pages wait for their data.

Trials of 150 curve points each are written as a search writes them, on SQLite. MLflow's server is started as
`workbench ui` starts it, and asked what its pages ask: the newest hundred runs, the best hundred by a metric,
the children of the parent, one run, the curves of ten runs side by side. Each is asked several times; the
median counts, and the first answer, which nothing had warmed up, is told beside it.

No goal: what a person calls fast is below a second.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from experiments.benchmarks.common import machine, options, say, write
from experiments.benchmarks.overhead import finished_trial, parent

__all__ = ["main"]

EPOCHS, ASKED = 50, 5
SEARCH = "/ajax-api/2.0/mlflow/runs/search"


def main() -> None:
    """Measure, print, write."""
    chosen = options(__doc__, children=(2000, "trials of the study"))
    before, waits = machine(), []
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        home = Path(folder)
        _log(home, chosen.children)
        for _ in range(chosen.repeats):
            with _server(home) as address:
                waits.append(_waits(address))
    results: dict[str, Any] = {"children": chosen.children}
    for page in waits[0]:
        later = statistics.median(second for run in waits for second in run[page][1:])
        first = statistics.median(run[page][0] for run in waits)
        results[page] = {"seconds": later, "first": first}
        say(f"{page}: {1e3 * later:.0f} ms, first {1e3 * first:.0f} ms")
    write("children", results, before, chosen.results)


def _log(home: Path, count: int) -> None:
    from workbench.storage.tracking import Tracker

    tracker = Tracker.open(f"sqlite:///{home / 'mlflow.db'}", parent(EPOCHS), artifacts=home / "artifacts")
    tracker.trials([finished_trial(number, EPOCHS) for number in range(count)])
    left = tracker.close("FINISHED", timeout=600.0)
    if left.any:
        raise RuntimeError(f"MLflow lacks {len(left.trials)} trials: {left.reason}")


@contextmanager
def _server(home: Path) -> Iterator[str]:
    """The address of `workbench ui`."""
    command = [sys.executable, "-m", "workbench", "ui", "--home", str(home), "--port", "5099", "--json"]
    environ = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            url = json.loads(server.stdout.readline())["url"]
            yield url.partition("/#")[0]
        finally:
            server.terminate()


def _waits(address: str) -> dict[str, list[float]]:
    """Seconds of each request, by page."""

    def ask(path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(address + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            return dict(json.load(answer))

    found = ask("/ajax-api/2.0/mlflow/experiments/search", {"max_results": 10, "filter": "name != 'Default'"})
    of = {"experiment_ids": [found["experiments"][0]["experiment_id"]], "max_results": 100}
    tags = [tag for run in ask(SEARCH, of)["runs"] for tag in run["data"]["tags"]]
    top = next(tag["value"] for tag in tags if tag["key"] == "mlflow.parentRunId")
    inside = f"tags.`mlflow.parentRunId` = '{top}'"
    runs = [run["info"]["run_id"] for run in ask(SEARCH, of | {"filter": inside})["runs"][:10]]
    curves = urllib.parse.urlencode(
        [*(("run_ids", run) for run in runs), ("metric_key", "validation_loss"), ("max_results", "320")]
    )
    pages: dict[str, Callable[[], Any]] = {
        "the newest hundred runs": lambda: ask(SEARCH, of | {"order_by": ["attributes.start_time DESC"]}),
        "the best hundred by a metric": lambda: ask(
            SEARCH, of | {"order_by": ["metrics.`validation_accuracy` DESC"]}
        ),
        "the children of the parent": lambda: ask(SEARCH, of | {"filter": inside}),
        "one run": lambda: ask(f"/ajax-api/2.0/mlflow/runs/get?run_id={runs[0]}"),
        "the curves of ten runs": lambda: ask(
            f"/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?{curves}"
        ),
    }
    return {page: [_seconds(call) for _ in range(ASKED)] for page, call in pages.items()}


def _seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
