from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.helpers import outcomes, stand_ins
from tests.helpers.servers import free_port, wait
from tests.helpers.tracking_cases import PARENT, look_at, odd_trials, trial
from workbench.core.addresses import page
from workbench.core.errors import InputError
from workbench.core.locations import local_store
from workbench.evaluation import saved_model
from workbench.evaluation.report import sentences
from workbench.storage.tracking import Tracker
from workbench.storage.tracking import tracker as tracking
from workbench.storage.tracking.rows import Job, Opening, final, parent_id

# MLflow 3.17 uses what SQLAlchemy 2.1 deprecates.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType"),  # MLflow importing itself
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for all tests of this file; each has its own study."""
    return tmp_path_factory.mktemp("home")


def client(home: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(local_store(home), local_store(home))


def start(home: Path, study: str, **options: Any) -> Tracker:
    return Tracker.open(
        local_store(home), replace(PARENT, study=study), artifacts=home / "artifacts", **options
    )


def children(home: Path, tracker: Tracker) -> dict[str, Any]:
    where = tracker.where(20)
    found = client(home).search_runs(
        [where["experiment_id"]], f"tags.mlflow.parentRunId = '{where['run_id']}'"
    )
    return {run.info.run_name: run for run in found}


def test_a_study_from_start_to_end(
    home: Path, tmp_path: Path, linear_files: tuple[Path, pd.DataFrame]
) -> None:
    folder, rows = linear_files
    told: list[str] = []
    left: list[int] = []
    tracker = start(home, "whole", notify=told.append)
    trials = [*odd_trials(), *(trial(number) for number in range(7, 40))]
    tracker.trials(trials)
    outcome = replace(outcomes.classification(40), study="whole", trials=tuple(trials))
    (tmp_path / "study.toml").write_text(outcome.study_file)
    (tmp_path / "curves.png").write_bytes(b"png")
    files = {"study.toml": tmp_path / "study.toml", "figures/learning curves.png": tmp_path / "curves.png"}
    for _ in range(2):
        tracker.model(folder)
        tracker.finish(outcome, files=files, model=folder)
    assert not tracker.close(progress=left.append).any
    assert left[-1] == 0
    assert told == []

    c, where = client(home), tracker.where()
    assert where["tracking_uri"] == local_store(home)
    assert where["experiment"] == "digits-mlp"
    run = c.get_run(where["run_id"])
    assert len(children(home, tracker)) == 40
    # A search without a view finds every state: MLflow hides what was deleted, never what was KILLED.
    found = [run.info.status for run in children(home, tracker).values()]
    assert {state: found.count(state) for state in set(found)} == {"FINISHED": 37, "KILLED": 2, "FAILED": 1}
    assert run.info.status == "FINISHED"
    assert run.info.artifact_uri.startswith(str(home / "artifacts"))
    selection, test = outcome.selection, outcome.test
    assert selection is not None
    assert test is not None
    expected = {
        "validation_accuracy": selection.validation, "default_validation_accuracy": selection.default,
        "optimism": selection.optimism, "test_accuracy": test.value, "test_accuracy_low": test.low,
        "test_accuracy_high": test.high, "trials_failed": 1.0, "trials_pruned": 2.0, "programs": 3.0,
    }  # fmt: skip
    assert expected.items() <= run.data.metrics.items()
    assert {key: str(value) for key, value in selection.params.items()}.items() <= run.data.params.items()
    assert run.data.tags["outcome"] == "confirmed"
    assert sentences.answer(outcome) in run.data.tags["mlflow.note.content"]
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("digits", "sha256:5d1c9c6f0b1f7a7d")
    assert {item.path for item in c.list_artifacts(run.info.run_id)} == {"study.toml", "figures"}
    assert [item.path for item in c.list_artifacts(run.info.run_id, "figures")] == [
        "figures/learning curves.png"
    ]

    # Handed over twice, logged and registered once.
    (logged,) = logged_models(c, run.info.run_id)
    assert logged.tags["digest"] == saved_model.fingerprint(folder)
    (version,) = c.search_model_versions("name = 'digits-mlp'")
    assert version.run_id == run.info.run_id
    assert c.get_model_version_by_alias("digits-mlp", "champion").version == version.version
    import mlflow

    look_at(local_store(home))
    want = saved_model.load(folder).predict(rows)
    for address in ("models:/digits-mlp@champion", f"runs:/{run.info.run_id}/model"):
        model = mlflow.pyfunc.load_model(address)
        pd.testing.assert_frame_equal(model.predict(rows), want)
        assert [column.name for column in model.metadata.signature.inputs] == list(rows.columns)
        assert [column.name for column in model.metadata.signature.outputs] == list(want.columns)
    # A column of whole numbers with a blank is float64 to pandas, and JSON knows no kinds of numbers.
    pd.testing.assert_frame_equal(model.predict(rows.astype({"n": "float64"})), want)
    from mlflow.pyfunc.scoring_server import infer_and_parse_data

    for orient in ("records", "split"):
        text = rows.to_json(orient=orient, double_precision=15)  # type: ignore[call-overload]
        body = json.loads(f'{{"dataframe_{orient}": {text}}}')
        parsed = infer_and_parse_data(body, model.metadata.get_input_schema())
        pd.testing.assert_frame_equal(model.predict(parsed), want)
    example = mlflow.models.Model.load(address).load_input_example()
    pd.testing.assert_frame_equal(model.predict(example), want.head(len(example)))
    assert not [p for p in (home / "artifacts").rglob("*") if p.suffix in {".pkl", ".pickle", ".joblib"}]
    assert not Path("mlruns").exists()


def test_trials_in_training_are_shown_until_they_end(home: Path) -> None:
    tracker = start(home, "under way")
    assert tracker.where(60)["run_id"]
    begun = [replace(trial(number), state="running", value=None) for number in range(3)]
    tracker.running(begun[:1])
    tracker.running(begun)  # in place of those before
    wait(lambda: len(children(home, tracker)) == 3)
    assert {run.info.status for run in children(home, tracker).values()} == {"RUNNING"}
    tracker.trials([trial(1)])
    tracker.running(begun[1:])  # known to have ended
    wait(lambda: children(home, tracker)["trial-0001"].info.status == "FINISHED")
    assert not tracker.close("KILLED").any
    states = {name: run.info.status for name, run in children(home, tracker).items()}
    assert states == {"trial-0000": "KILLED", "trial-0001": "FINISHED", "trial-0002": "KILLED"}
    again = start(home, "under way")
    again.trials([trial(number) for number in range(3)])
    assert not again.close().any
    assert {run.info.status for run in children(home, again).values()} == {"FINISHED"}


@pytest.mark.parametrize(
    ("uri", "epochs", "size"),
    [
        ("sqlite:///x.db", 4, tracking.BACKLOG),
        ("sqlite:///x.db", 100, tracking.EPOCHS // 100),
        ("postgresql://host/x", 10_000, tracking.BATCH),
        ("http://host:5000", 4, tracking.BATCH),
    ],
)
def test_a_backlog_goes_in_larger_transactions(uri: str, epochs: int, size: int) -> None:
    """To a database, that is: a server is asked for every trial by itself."""
    waits = Tracker(Opening(uri, "artifacts", PARENT, "one"), None)
    waits.trials(trial(number, epochs) for number in range(600))
    assert [record.number for record in waits._batch()] == list(range(size))
    assert waits.backlog == 600


def test_resuming_a_study_finds_its_run_again(home: Path) -> None:
    first = start(home, "resumed")
    first.trials([trial(0), trial(1)])
    assert not first.close("KILLED").any
    assert client(home).get_run(first.where()["run_id"]).info.status == "KILLED"
    second = start(home, "resumed")
    assert second.where(20) == first.where()
    assert client(home).get_run(first.where()["run_id"]).info.status == "RUNNING"
    second.trials([trial(0), trial(1), trial(2)])
    assert not second.close().any
    assert sorted(children(home, second)) == [f"trial-{n:04d}" for n in range(3)]
    assert client(home).get_run(first.where()["run_id"]).info.status == "FINISHED"


def test_a_process_that_dies_is_replaced_and_nothing_is_lost(home: Path) -> None:
    tracker = start(home, "killed writer")
    tracker.where(20)
    killed = set()
    for first in range(0, 120, 40):
        tracker.trials([trial(number, 40) for number in range(first, first + 40)])
        process = tracker._process
        assert process is not None
        os.kill(process.popen.pid, signal.SIGKILL)
        killed.add(process.popen.pid)
        wait(lambda: tracker._process is not None and tracker._process.popen.pid not in killed)
    assert not tracker.close().any
    assert len(killed) == 3
    found = children(home, tracker)
    assert sorted(found) == [f"trial-{n:04d}" for n in range(120)]
    assert all(
        len(client(home).get_metric_history(found[f"trial-{n:04d}"].info.run_id, "train_loss")) == 40
        for n in (0, 60, 119)
    )


def test_a_trainer_that_is_killed_leaves_nothing_running(home: Path, tmp_path: Path) -> None:
    code = f"""
import time
from pathlib import Path
from tests.helpers.servers import free_port, wait
from tests.helpers.tracking_cases import PARENT, trial
from dataclasses import replace
from workbench.storage.tracking import Tracker
parent = replace(PARENT, study="killed trainer")
tracker = Tracker.open({local_store(home)!r}, parent, artifacts=Path({str(home)!r}))
tracker.where(30)
tracker.trials([trial(n) for n in range(64)])
while tracker.backlog:
    time.sleep(0.01)
tracker.trials([trial(n) for n in range(64, 80)])
print("ready", tracker._process.popen.pid, flush=True)
time.sleep(60)
"""
    trainer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert trainer.stdout is not None
    word, writer = trainer.stdout.readline().split()
    assert word == "ready"
    trainer.kill()
    trainer.wait()
    trainer.stdout.close()
    wait(
        lambda: (
            not Path(f"/proc/{writer}").exists() or "Z" in Path(f"/proc/{writer}/stat").read_text().split()[2]
        )
    )
    run = client(home).get_run(parent_id("killed trainer"))
    assert run.info.status == "KILLED"
    left = f"tags.mlflow.parentRunId = '{run.info.run_id}'"
    assert len(client(home).search_runs([run.info.experiment_id], left)) in {64, 80}
    resumed = start(home, "killed trainer")
    resumed.trials([trial(n) for n in range(80)])
    assert not resumed.close().any
    assert len(children(home, resumed)) == 80
    assert resumed.where()["run_id"] == run.info.run_id
    assert client(home).get_run(run.info.run_id).info.status == "FINISHED"


def test_a_server_that_is_down_stops_nothing(tmp_path: Path) -> None:
    told: list[str] = []
    uri = f"http://me:s3cret@127.0.0.1:{free_port()}"
    tracker = Tracker.open(uri, PARENT, artifacts=tmp_path, notify=told.append)
    tracker.trials(trial(number) for number in range(5000))
    tracker.finish(outcomes.classification(8))
    wait(lambda: bool(told))
    assert tracker.where()["run_id"] == ""
    begun = time.perf_counter()
    left = tracker.close(patience=0.5)
    assert time.perf_counter() - begun < 30.0
    assert left.any
    assert left.trials == frozenset(range(5000))
    assert left.final
    assert left.running
    assert left.refused == {}
    assert len(told) == 1
    assert "s3cret" not in f"{told} {left} {tracker.where()}"


def test_a_store_that_mlflow_cannot_open_is_reported(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("this is no database, but a text of more than a hundred bytes" * 3)
    told: list[str] = []
    with start(tmp_path, "x", notify=told.append) as tracker:
        tracker.trials([trial(0)])
        wait(lambda: bool(told))
        left = tracker.close(patience=0.1)
    assert left.trials == {0}
    assert left.reason is not None
    assert "not a database" in left.reason


def test_an_artifact_that_is_missing_is_refused_by_name(home: Path, tmp_path: Path) -> None:
    """Everything else is written; nothing is tried for ever."""
    (tmp_path / "there.txt").write_text("x")
    told: list[str] = []
    tracker = start(home, "missing", notify=told.append)
    tracker.trials([trial(0)])
    files = {"a.txt": tmp_path / "there.txt", "b.txt": tmp_path / "gone.txt"}
    outcome = outcomes.classification(8)
    tracker.finish(outcome, files=files)
    left = tracker.close(patience=20)
    assert (left.final, left.running, left.trials) == (True, False, frozenset())
    assert str(tmp_path / "gone.txt") in str(left.reason)
    assert "there.txt" not in str(left.reason)
    assert len(told) == 1
    assert "the end of the study" in told[0]
    c, run = client(home), tracker.where()["run_id"]
    assert [item.path for item in c.list_artifacts(run)] == ["a.txt"]
    assert "validation_accuracy" in c.get_run(run).data.metrics
    assert c.get_run(run).info.status == "FINISHED"
    with start(home, "missing", notify=told.append) as again:
        again.finish(outcome, model=tmp_path / "no model")
        assert "model.json" in str(again.close(patience=20).reason)


@pytest.mark.started
def test_a_model_that_was_logged_early_is_registered_by_the_next_process(
    home: Path, linear_files: tuple[Path, pd.DataFrame]
) -> None:
    """The first process dies between the choice and the end of the study."""
    folder, _ = linear_files
    told: list[str] = []
    with start(home, "early", notify=told.append) as tracker:
        tracker.model(folder)
    c, run = client(home), tracker.where()["run_id"]
    (logged,) = logged_models(c, run)
    assert c.search_model_versions(f"run_id = '{run}'") == []
    with start(home, "early", notify=told.append) as tracker:
        tracker.finish(outcomes.classification(8), model=folder)
        wait(lambda: not tracker._others, 120.0)
        loaded = Path(f"/proc/{tracker._process.popen.pid}/maps")  # type: ignore[union-attr]
        assert not loaded.exists() or "jaxlib" not in loaded.read_text()
    assert told == []
    assert [model.model_id for model in logged_models(c, run)] == [logged.model_id]
    (version,) = c.search_model_versions(f"run_id = '{run}'")
    assert version.source == logged.model_uri
    assert c.get_run(run).info.status == "FINISHED"


def logged_models(c: Any, run: str) -> list[Any]:
    found = c.search_logged_models([c.get_run(run).info.experiment_id])
    return [model for model in found if model.source_run_id == run]


def test_a_process_that_was_started_ahead_serves_the_first_tracker(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[tracking.Process] = []
    started = tracking.Process
    monkeypatch.setattr(tracking, "Process", lambda *words: began.append(started(*words)) or began[-1])
    with tracking.ahead():
        assert len(began) == 1
        with start(home, "ahead-00000000") as tracker:
            tracker.trials([trial(0)])
            assert tracker.where(60)["run_id"]
            assert len(began) == 1
            gives_way(began[0].popen.pid)
    assert began[0].popen.poll() == 0
    assert len(children(home, tracker)) == 1


def gives_way(pid: int) -> None:
    """To training, as priorities count within a session; and a Ctrl-C in the terminal does not reach it."""
    assert os.getpriority(os.PRIO_PROCESS, pid) > os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getsid(pid) == os.getsid(0)
    assert os.getpgid(pid) == pid


def test_a_process_that_nobody_needed_is_gone() -> None:
    waiting: list[tracking.Process] = []

    def refused() -> None:
        with tracking.ahead():
            waiting.extend(tracking._waiting)
            raise InputError("the study is refused")

    with pytest.raises(InputError):
        refused()
    (process,) = waiting
    assert process.popen.poll() == -signal.SIGKILL
    assert process.errors.closed
    assert not tracking._waiting


SCRIPT = """
from pathlib import Path
from tests.helpers.tracking_cases import PARENT, trial
from workbench.storage.tracking import Tracker, ahead
print("this script runs")
with ahead():
    tracker = Tracker.open({uri!r}, PARENT, artifacts=Path({artifacts!r}))
    tracker.trials([trial(0)])
    {end}
"""


def run_script(file: Path, **parts: str) -> subprocess.CompletedProcess[str]:
    """A user's script, without `if __name__ == "__main__"`."""
    file.write_text(SCRIPT.format(artifacts=str(file.parent), **parts))
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, str(file)],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, timeout=60, check=True,
    )  # fmt: skip


def test_a_script_without_a_guard_runs_once(home: Path, tmp_path: Path) -> None:
    done = run_script(tmp_path / "script.py", uri=local_store(home), end="print(tracker.close().any)")
    assert (done.stdout, done.stderr) == ("this script runs\nFalse\n", "")
    assert client(home).get_run(parent_id(PARENT.study)).info.status == "FINISHED"


def test_a_script_that_has_ended_waits_for_no_server(tmp_path: Path) -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    done = run_script(tmp_path / "script.py", uri=uri, end="tracker.where(3)")
    assert (done.stdout, done.stderr) == ("this script runs\n", "")


def test_leaving_the_block_says_how(home: Path) -> None:
    with start(home, "good") as tracker:
        tracker.where(20)
    assert client(home).get_run(tracker.where()["run_id"]).info.status == "FINISHED"
    for error, status in ((ZeroDivisionError, "FAILED"), (KeyboardInterrupt, "KILLED")):
        with pytest.raises(error), start(home, error.__name__) as tracker:  # noqa: PT012
            tracker.where(20)
            raise error
        assert client(home).get_run(tracker.where()["run_id"]).info.status == status


def test_messages_keep_every_bit() -> None:
    trials = odd_trials()
    job = pickle.loads(pickle.dumps(Job("trials", trials)))
    for again, one in zip(job.what, trials, strict=True):
        assert repr(replace(again, curves=None)) == repr(replace(one, curves=None))
        for a, b in zip(again.curves, one.curves, strict=True):
            np.testing.assert_array_equal(a, b)
            assert a.dtype == np.float32
    assert pickle.loads(pickle.dumps(PARENT)) == PARENT


def test_what_the_parent_is_told() -> None:
    outcome = outcomes.regression(12)
    told = final(outcome, "housing", {}, None)
    assert told.metrics["test_rmse"] == outcome.test.value  # type: ignore[union-attr]
    assert all(isinstance(value, float) for value in told.metrics.values())
    assert sentences.answer(outcome) in told.note
    assert "95 % interval" in told.note
    assert "| Default configuration |" in told.note
    searched = final(replace(outcome, test=None), "housing", {}, None)
    assert searched.tags["outcome"] == "searched"
    assert "still sealed" in searched.note
    nothing = final(replace(outcome, test=None, selection=None, trials=()), "housing", {}, None)
    assert nothing.params == {}
    assert "no trial has finished" in nothing.note
    look = final(outcomes.with_look(outcome, 3), "housing", {}, None)
    assert "look number 3" in look.note


def test_links_lead_to_the_view_of_a_study_in_the_mode_for_training() -> None:
    assert page("1", "digits-0a") == (
        "#/experiments/1/runs?viewStateShareKey=digits-0a&workflowType=machine_learning"
    )
    assert page("1") == "#/experiments/1/runs?workflowType=machine_learning"
    assert page() == "#/experiments?workflowType=machine_learning"


def test_the_trainer_imports_no_mlflow() -> None:
    heavy = ("mlflow", "jax", "pandas", "sqlalchemy", "matplotlib", "jinja2")
    code = f"import sys, workbench.storage.tracking; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.fixture
def linear_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, pd.DataFrame]:
    """A saved model and raw rows for it."""
    monkeypatch.setitem(sys.modules, "workbench.data.preprocessing", stand_ins.module())
    return stand_ins.linear_model(tmp_path / "model")
