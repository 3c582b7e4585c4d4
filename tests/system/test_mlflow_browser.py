"""The MLflow UI of a finished study in a real browser (headless Chromium), as `workbench ui` opens it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.helpers.end_to_end import Place, Ran, process
from tests.helpers.servers import free_port
from tests.system.test_report_browser import BROWSER, QUIET
from workbench.core.addresses import page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of the libraries that read
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine"),
]


class Pages(NamedTuple):
    """The UI of a study, and what it says."""

    runs: str  # the page that `workbench ui` names
    trials: str
    parent: str
    child: str
    best: str  # the trial with the best score
    folder: Path

    def text(self, url: str) -> str:
        """What a page says once it has loaded its data."""
        assert BROWSER is not None
        quiet = [word for word in QUIET if not word.startswith(("--virtual", "--window"))]
        patient = ["--virtual-time-budget=30000", "--window-size=1500,1200"]
        command = [BROWSER, *quiet, *patient, f"--user-data-dir={self.folder}", url]
        dom = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True).stdout
        dom = re.sub(r"<(style|script).*?</\1>", "", dom, flags=re.DOTALL)
        return " ".join(re.sub(r"<[^>]+>", " ", dom).split())


@pytest.fixture(scope="module")
def pages(finished: tuple[Place, Ran], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    from mlflow import MlflowClient

    where = finished[0]
    uri = f"sqlite:///{where.home}/mlflow.db"
    client = MlflowClient(uri, uri)
    (experiment,) = [one for one in client.search_experiments() if one.name == "small"]
    found = {run.info.run_name: run.info.run_id for run in client.search_runs([experiment.experiment_id])}
    ranked = client.search_runs(
        [experiment.experiment_id], "tags.kind = 'trial'", order_by=["metrics.validation_accuracy DESC"]
    )
    chosen = finished[1].result["best"]["trial"]
    with process("ui", "--home", str(where.home), "--port", str(free_port()), "--json") as ui:
        assert ui.stdout is not None
        runs = json.loads(ui.stdout.readline())["url"]
        at = f"{runs.partition('?')[0]}/"
        yield Pages(
            runs=runs,
            trials=at.partition("#")[0] + page(experiment.experiment_id, finished[1].result["study"]),
            parent=at + found["small"],
            child=at + found[f"trial-{chosen:04d}"],
            best=ranked[0].info.run_name,
            folder=tmp_path_factory.mktemp("profile"),
        )


def test_the_runs_stand_in_a_table_with_scores(pages: Pages) -> None:
    text = pages.text(pages.runs)
    assert "25 matching runs" in text
    for column in ("small", "test_accuracy", "validation_accuracy"):
        assert column in text


def test_the_trials_stand_best_first(pages: Pages) -> None:
    """As the link of the parent's description has it."""
    text = pages.text(pages.trials)
    assert "24 matching runs" in text
    assert text.index(pages.best) < min(
        text.index(name) for name in re.findall(r"trial-\d{4}", text) if name != pages.best
    )


def test_the_parent_tells_the_result_and_has_everything(pages: Pages) -> None:
    text = pages.text(pages.parent)
    assert "On 35 sealed test rows, opened once, accuracy is" in text
    for name in ("Optimism", "test_accuracy", "Registered models", "wine"):
        assert name in text
    files = pages.text(f"{pages.parent}/artifacts")
    for folder in ("figures", "report", "study"):
        assert folder in files


def test_a_child_has_its_curves_and_settings(pages: Pages) -> None:
    text = pages.text(pages.child)
    for name in ("learning_rate", "validation_accuracy", "Parent run"):
        assert name in text
    assert "Model metrics (" in pages.text(f"{pages.child}/model-metrics")


def test_the_model_is_registered_as_champion(pages: Pages) -> None:
    text = pages.text(f"{pages.runs.partition('#')[0]}#/models/small")
    assert "champion" in text
    assert "Version 1" in text
