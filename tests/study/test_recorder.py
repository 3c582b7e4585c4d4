"""What MLflow and Optuna show of a study that has ended, read with their own interfaces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.helpers.end_to_end import Place, Ran, optuna_studies
from tests.helpers.tracking_cases import look_at
from workbench import data
from workbench.core.records import ranked

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries that read

STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}


class Shown(NamedTuple):
    """The runs of the one experiment."""

    client: Any
    parent: Any
    children: list[Any]  # by number


@pytest.fixture(scope="module")
def shown(finished: tuple[Place, Ran]) -> Shown:
    import mlflow

    _, ran = finished
    uri = ran.result["mlflow"]["tracking_uri"]
    look_at(uri)
    client = mlflow.MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name(ran.result["mlflow"]["experiment"])
    runs = client.search_runs([experiment.experiment_id], max_results=1_000)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(parents) == 1
    assert parents[0].info.run_id == ran.result["mlflow"]["run_id"]
    return Shown(client, parents[0], sorted(children, key=lambda run: run.info.run_name))


def test_one_parent_with_a_child_for_each_trial(finished: tuple[Place, Ran], shown: Shown) -> None:
    where, _ = finished
    trials = where.outcome.trials
    assert len(shown.children) == len(trials)
    assert shown.parent.info.status == "FINISHED"
    for trial, run in zip(trials, shown.children, strict=True):
        assert run.data.tags["mlflow.parentRunId"] == shown.parent.info.run_id
        assert run.info.status == STATUS[trial.state]
        assert (run.data.tags["state"], run.data.tags["reason"]) == (trial.state, trial.reason)
        assert run.data.params == {name: str(value) for name, value in trial.params.items()}
        assert run.data.metrics.get("validation_accuracy") == trial.value


def test_the_curves_are_those_that_were_trained(finished: tuple[Place, Ran], shown: Shown) -> None:
    where, _ = finished
    gaps = 0
    for trial, run in zip(where.outcome.trials, shown.children, strict=True):
        odd = json.loads(run.data.tags.get("non_finite", "{}"))
        for field, curve in trial.curves._asdict().items():
            name = "validation_accuracy_by_epoch" if field == "validation_score" else field
            told = np.full(trial.epochs, np.nan)
            for point in shown.client.get_metric_history(run.info.run_id, name):
                told[point.step - 1] = point.value
            for epoch, value in odd.get(name, {}).items():
                told[int(epoch) - 1] = float(value)
            np.testing.assert_array_equal(told.astype(np.float32), curve)
            gaps += len(odd.get(name, {}))
        assert len(trial.curves.train_loss) == trial.epochs
    assert gaps > 0  # some trial diverged


def test_the_parent_has_everything_that_was_made(finished: tuple[Place, Ran], shown: Shown) -> None:
    where, ran = finished
    run = shown.parent.info.run_id

    def listed(path: str | None = None) -> set[str]:
        return {item.path for item in shown.client.list_artifacts(run, path)}

    figures = {file.name for file in (where.folder / "figures").glob("*.png")}
    assert {"learning_curves.png", "parallel_coordinates.png", "confusion_matrix.png"} <= figures
    assert listed("figures") == {f"figures/{name}" for name in figures}
    assert listed("report") == {"report/report.html", "report/report.md"}
    assert listed("study") == {"study/study.toml"}
    text = shown.client.download_artifacts(run, "study/study.toml")
    with open(text, encoding="utf-8") as file:  # noqa: PTH123
        assert file.read() == where.file.read_text()
    (used,) = shown.client.get_run(run).inputs.dataset_inputs
    assert used.dataset.name == "wine"
    assert used.dataset.digest == where.outcome.data["fingerprint"][: len(used.dataset.digest)]
    assert shown.parent.data.metrics["test_accuracy"] == ran.result["test"]["value"]
    assert where.outcome.question in shown.parent.data.tags["mlflow.note.content"]


def test_the_registered_model_predicts_raw_rows(finished: tuple[Place, Ran], shown: Shown) -> None:
    import mlflow

    where, _ = finished
    dataset, _ = data.load(wb.read_study(where.file).data)
    rows = dataset.pick(dataset.validation)
    wanted = wb.load_model(where.folder / "model").predict(rows)
    version = shown.client.get_model_version_by_alias("small", "champion")
    assert version.run_id == shown.parent.info.run_id
    for address in ("models:/small@champion", f"runs:/{shown.parent.info.run_id}/model"):
        loaded = mlflow.pyfunc.load_model(address)
        told = loaded.predict(rows)
        assert list(told["prediction"]) == list(wanted["prediction"])
        np.testing.assert_array_equal(told.iloc[:, 1:].to_numpy(), wanted.iloc[:, 1:].to_numpy())
    codes = np.asarray(dataset.target[dataset.validation])
    right = np.mean(
        [dataset.classes[code] == said for code, said in zip(codes, wanted["prediction"], strict=True)]
    )
    chosen = where.outcome.selection
    assert chosen is not None
    together = chosen.average is not None and chosen.average.delivered
    scored = chosen.average.validation if together else chosen.seeds[0].validation
    assert right == pytest.approx(scored, abs=1e-6)


def test_the_registered_model_needs_no_project(
    finished: tuple[Place, Ran], shown: Shown, tmp_path: Path
) -> None:
    """A process that cannot import the package finds all of it beside the model."""
    where, _ = finished
    dataset, _ = data.load(wb.read_study(where.file).data)
    rows = dataset.pick(dataset.validation)
    rows.to_pickle(tmp_path / "rows")
    program = f"""
import importlib.util, pathlib, sys
sys.path[:] = [path for path in sys.path if not (pathlib.Path(path) / "workbench").is_dir()]
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in str(finder).lower()]
assert importlib.util.find_spec("workbench") is None
import mlflow, pandas
mlflow.set_tracking_uri({shown.client.tracking_uri!r})
mlflow.set_registry_uri({shown.client.tracking_uri!r})
model = mlflow.pyfunc.load_model("models:/small@champion")
model.predict(pandas.read_pickle("rows")).to_pickle("told")
import workbench
print(pathlib.Path(workbench.__file__).parent)
"""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environ, check=False)
    assert done.returncode == 0, done.stderr
    told, wanted = pd.read_pickle(tmp_path / "told"), wb.load_model(where.folder / "model").predict(rows)
    pd.testing.assert_frame_equal(told, wanted)
    carried = Path(done.stdout.strip())
    assert carried.is_relative_to(where.home / "artifacts")
    package = Path(wb.__file__).parent
    modules = {file.relative_to(package) for file in package.rglob("*.py")}
    assert {file.relative_to(carried) for file in carried.rglob("*.py")} == modules


def test_optuna_reads_the_same_study(finished: tuple[Place, Ran]) -> None:
    import optuna

    where, ran = finished
    study = optuna.load_study(study_name=ran.result["study"], storage=optuna_studies(where))
    trials = where.outcome.trials
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    assert study.metric_names == ["accuracy"]
    assert study.best_value == ranked(trials, "maximize")[0].value
    chosen = where.outcome.selection
    assert chosen is not None
    assert study.user_attrs["chosen trial"] == chosen.trial
    told = "Optuna's best trial is" in study.user_attrs["chosen"]
    assert told == (study.best_trial.number != chosen.trial)
    assert len(study.trials) == len(trials)
    for ours, theirs in zip(trials, study.trials, strict=True):
        assert theirs.number == ours.number
        assert theirs.state.name.lower() == ours.state
        assert theirs.params == dict(ours.params)
        if ours.state == "complete":
            assert theirs.value == ours.value
        told = {step: value for step, value in theirs.intermediate_values.items() if np.isfinite(value)}
        assert told == pytest.approx(dict(ours.rungs)) or ours.reason == "diverged"
