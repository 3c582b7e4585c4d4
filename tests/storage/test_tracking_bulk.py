from __future__ import annotations

import json
import math
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy as sa

from tests.helpers.tracking_cases import PARENT, finished, odd_trials, trial
from workbench.core.records import Curves, TrialRecord
from workbench.storage.tracking import bulk
from workbench.storage.tracking import client as careful
from workbench.storage.tracking.rows import Metric, child_row, parent_id

# MLflow 3.17 uses what SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh MLflow store, made once."""
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    store = bulk.connect(f"sqlite:///{file}", "/nowhere")
    assert store is not None
    with store.engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.exec_driver_sql("BEGIN")
    store.engine.dispose()
    return file


@pytest.fixture
def uri(empty_store: Path, tmp_path: Path) -> str:
    """A store of the test's own."""
    shutil.copyfile(empty_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture(params=["bulk", "client"])
def writer(request: pytest.FixtureRequest, uri: str, tmp_path: Path) -> Iterator[tuple[ModuleType, Any, str]]:
    """Either way to write, its open store, and the address."""
    module = bulk if request.param == "bulk" else careful
    store = module.connect(uri, str(tmp_path / "artifacts"))
    yield module, store, uri
    if request.param == "bulk":
        store.engine.dispose()


def client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(uri, uri)


def runs(uri: str) -> dict[str, Any]:
    """Every run of the store by its name."""
    c = client(uri)
    ids = [e.experiment_id for e in c.search_experiments()]
    return {run.info.run_name: run for run in c.search_runs(ids)}


def described(uri: str) -> dict[str, Any]:
    """All that MLflow says of each run, but for ids and the time of writing."""
    c, found = client(uri), runs(uri)
    parent = found[PARENT.name].info.run_id
    told: dict[str, Any] = {}
    for name, run in found.items():
        info = run.info
        tags = {k: "PARENT" if v == parent else v for k, v in run.data.tags.items()}
        child = name != PARENT.name
        told[name] = {
            "info": (
                info.status,
                info.lifecycle_stage,
                info.user_id,
                child and (info.start_time, info.end_time),
            ),
            "artifacts": info.artifact_uri.endswith(f"/{info.run_id}/artifacts"),
            "params": run.data.params,
            "tags": tags,
            "latest": run.data.metrics,
            "history": {
                key: sorted((m.step, m.timestamp, m.value) for m in c.get_metric_history(info.run_id, key))
                for key in run.data.metrics
            },
        }
    return told


def test_both_writers_write_the_same(empty_store: Path, tmp_path: Path) -> None:
    told = []
    for module in (bulk, careful):
        file = tmp_path / f"{module.__name__}.db"
        shutil.copyfile(empty_store, file)
        address = f"sqlite:///{file}"
        store = module.connect(address, str(tmp_path / "artifacts"))
        experiment, run, known = store.open_parent(PARENT, session="one")
        assert known == ()
        store.write(PARENT, experiment, run, odd_trials())
        store.write(PARENT, experiment, run, [trial(number) for number in range(7, 12)])
        told.append(described(address))
    assert told[0] == told[1]
    # The very rows, but for ids: the fast writer leaves no column different from what MLflow would write.
    columns = (
        "name, source_type, source_name, entry_point_name, user_id, status, deleted_time, source_version"
    )
    points = "key, value, timestamp, step, is_nan, name"
    for query in (
        f"SELECT {columns} FROM runs ORDER BY name",
        f"SELECT {points} FROM metrics JOIN runs USING (run_uuid) ORDER BY {points}",
        f"SELECT {points} FROM latest_metrics JOIN runs USING (run_uuid) ORDER BY {points}",
    ):
        rows = [
            sqlite3.connect(tmp_path / f"{module.__name__}.db").execute(query).fetchall()
            for module in (bulk, careful)
        ]
        assert rows[0]
        assert rows[0] == rows[1]


def test_a_study_as_mlflow_shows_it(writer: tuple[ModuleType, Any, str]) -> None:
    _, store, uri = writer
    experiment, run, _ = store.open_parent(PARENT, session="one")
    trials = odd_trials()
    store.write(PARENT, experiment, run, trials)
    found = runs(uri)
    assert sorted(found) == ["digits-mlp", *(f"trial-{n:04d}" for n in range(7))]
    assert found["digits-mlp"].info.status == "RUNNING"
    assert found["digits-mlp"].data.params == {"epochs": "50"}
    states = {name: run.info.status for name, run in found.items() if name.startswith("trial")}
    assert list(dict(sorted(states.items())).values()) == [
        "FINISHED",
        "KILLED",
        "KILLED",
        "FAILED",
        *["FINISHED"] * 3,
    ]
    first = found["trial-0000"]
    assert first.data.tags["mlflow.parentRunId"] == run
    assert first.data.tags["reason"] == "finished"
    assert first.info.end_time - first.info.start_time == 1500
    history = client(uri).get_metric_history(first.info.run_id, "train_loss")
    assert [(m.step, m.value) for m in history] == [
        (epoch, pytest.approx(value)) for epoch, value in enumerate(trials[0].curves.train_loss.tolist(), 1)
    ]
    diverged = found["trial-0001"].data
    assert diverged.metrics["train_loss"] == 0.5
    assert diverged.tags["non_finite"] == (
        '{"train_loss": {"2": "inf", "3": "nan"}, "validation_loss": {"2": "-inf", "3": "nan"}, '
        '"validation_accuracy_by_epoch": {"2": "inf", "3": "nan"}}'
    )
    assert "validation_accuracy" not in diverged.metrics
    # The best of the complete trials so far, at step = how many have ended; the pruned 0.9999 does not count.
    history = client(uri).get_metric_history(run, "best_validation_accuracy")
    best, expected = -math.inf, []
    for count, record in enumerate(trials, 1):
        if record.state == "complete" and record.value is not None and math.isfinite(record.value):
            best = max(best, record.value)
        expected.append((count, best))
    assert sorted((m.step, m.value) for m in history) == expected


def test_the_best_score_never_falls_in_whatever_order_trials_end(
    writer: tuple[ModuleType, Any, str],
) -> None:
    _, store, uri = writer
    experiment, run, _ = store.open_parent(PARENT, session="one")
    for numbers in ((5, 9), (2,), (8, 0, 1), (7,)):
        store.write(PARENT, experiment, run, [trial(number) for number in numbers])
    history = client(uri).get_metric_history(run, "best_validation_accuracy")
    scores = [m.value for m in sorted(history, key=lambda m: m.step)]
    assert [m.step for m in sorted(history, key=lambda m: m.step)] == list(range(1, 8))
    assert scores == sorted(scores)
    assert scores[-1] == max(float(trial(number).value or 0) for number in (0, 1, 2, 5, 7, 8, 9))


def test_a_trial_in_training_has_its_curves_and_is_whole_at_its_end(
    writer: tuple[ModuleType, Any, str],
) -> None:
    module, store, uri = writer
    experiment, run, _ = store.open_parent(PARENT, session="one")
    whole = trial(3, 12)
    for epochs in (2, 7):
        store.write(PARENT, experiment, run, [so_far(whole, epochs)])
        child = runs(uri)["trial-0003"]
        assert (child.info.status, child.info.end_time) == ("RUNNING", None)
        assert child.data.params == {key: str(value) for key, value in whole.params.items()}
        assert "validation_accuracy" not in child.data.metrics
        history = client(uri).get_metric_history(child.info.run_id, "validation_accuracy_by_epoch")
        assert sorted(m.step for m in history) == list(range(1, epochs + 1))
    store.end(run, "KILLED", session="one")  # and the search goes on another day, in another process
    assert runs(uri)["trial-0003"].info.status == "KILLED"
    again = module.connect(uri, "elsewhere")
    assert again.open_parent(PARENT, session="two").known == ()
    again.write(PARENT, experiment, run, [so_far(whole, 9)])
    assert runs(uri)["trial-0003"].info.status == "RUNNING"
    again.write(PARENT, experiment, run, [whole])
    again.write(PARENT, experiment, run, [so_far(whole, 9)])  # came late
    (child,) = (run for name, run in runs(uri).items() if name.startswith("trial"))
    assert (child.info.status, child.data.tags["state"]) == ("FINISHED", "complete")
    assert child.data.metrics["validation_accuracy"] == whole.value
    for key, curve in zip(
        ("train_loss", "validation_loss", "validation_accuracy_by_epoch"), whole.curves, strict=True
    ):
        history = client(uri).get_metric_history(child.info.run_id, key)
        points = sorted((m.step, m.value) for m in history)
        assert points == list(enumerate(map(float, curve), 1))


def test_an_experiment_has_its_question_and_views(writer: tuple[ModuleType, Any, str]) -> None:
    module, store, uri = writer
    parent = replace(PARENT, axes=("learning_rate", "width"))
    experiment, run, _ = store.open_parent(parent, session="one")
    tags = client(uri).get_experiment(experiment).tags
    assert tags["mlflow.note.content"] == "How well?"
    trials = json.loads(tags["mlflow.sharedViewState.digits-mlp-0a1b2c3d"])
    assert trials["orderByAsc"] is False
    assert trials["searchFilter"] == f"tags.mlflow.parentRunId = '{run}'"
    studies = json.loads(tags["mlflow.sharedViewState.workbench"])
    for view in (trials, studies):
        assert {"metrics.`validation_accuracy`", "params.`width`"} <= set(view["selectedColumns"])
    client(uri).set_experiment_tag(experiment, "mlflow.note.content", "mine")
    module.connect(uri, "elsewhere").open_parent(parent, session="two")
    assert client(uri).get_experiment(experiment).tags == tags | {"mlflow.note.content": "mine"}


def so_far(record: TrialRecord, epochs: int) -> TrialRecord:
    """A trial as it was after so many epochs."""
    curves = Curves(*(curve[:epochs] for curve in record.curves))
    fields = {"state": "running", "reason": "in training", "value": None, "epochs": epochs, "curves": curves}
    return replace(record, **fields)  # type: ignore[arg-type]


def test_searches_find_and_sort_what_was_written(writer: tuple[ModuleType, Any, str]) -> None:
    _, store, uri = writer
    experiment, run, _ = store.open_parent(PARENT, session="one")
    trials = [trial(number) for number in range(12)]
    store.write(PARENT, experiment, run, trials)
    c = client(uri)

    def names(filters: str, *order: str) -> list[str]:
        return [r.info.run_name for r in c.search_runs([experiment], filters, order_by=list(order))]

    of_study = f"tags.mlflow.parentRunId = '{run}'"
    ranked = sorted(trials, key=lambda t: -float(t.value or 0))
    assert names(of_study, "metrics.validation_accuracy DESC") == [f"trial-{t.number:04d}" for t in ranked]
    good = {f"trial-{t.number:04d}" for t in trials if float(t.value or 0) > 0.75}
    assert set(names("metrics.validation_accuracy > 0.75")) == good
    assert names(f"params.width = '{trials[3].params['width']}' and tags.trial = '3'") == ["trial-0003"]
    assert len(names("attributes.status = 'FINISHED' and tags.state = 'complete'")) == 12
    assert names("tags.kind = 'study'") == ["digits-mlp"]


def test_replay_writes_nothing_twice(writer: tuple[ModuleType, Any, str]) -> None:
    module, store, uri = writer
    experiment, run, _ = store.open_parent(PARENT, session="one")
    store.write(PARENT, experiment, run, [trial(0), trial(1)])
    before = described(uri)
    again = module.connect(uri, "elsewhere")
    experiment_again, run_again, known = again.open_parent(PARENT, session="one")
    assert (experiment_again, run_again, known) == (experiment, run, (0, 1))
    again.write(PARENT, experiment, run, finished([trial(1), trial(0)], at=1_800_000_000.0))
    assert described(uri) == before
    again.write(PARENT, experiment, run, [trial(1), trial(2)])
    assert sorted(runs(uri)) == ["digits-mlp", "trial-0000", "trial-0001", "trial-0002"]


def test_what_one_writer_began_the_other_goes_on_with(uri: str, tmp_path: Path) -> None:
    numbers = iter(range(8))
    seen = set()
    for module in (careful, bulk, careful, bulk):
        store = module.connect(uri, str(tmp_path))
        experiment, run, known = store.open_parent(PARENT, session="x")
        assert known == tuple(range(len(known)))
        store.write(PARENT, experiment, run, [trial(n) for n in range(len(known) + 2)])
        seen.add((experiment, run))
        next(numbers)
    assert len(seen) == 1
    assert len(runs(uri)) == 9
    assert len(client(uri).get_metric_history(seen.pop()[1], "best_validation_accuracy")) == 8


@pytest.mark.parametrize("step", ["create_run", "log_batch", "set_terminated"])
def test_a_child_that_was_begun_is_finished(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    store = careful.connect(uri, str(tmp_path))
    experiment, run, _ = store.open_parent(PARENT, session="one")
    act = getattr(type(store.client), step)

    def die(*args: Any, **kwargs: Any) -> None:
        act(*args, **kwargs)
        raise ConnectionError("the server went away after doing it")

    monkeypatch.setattr(type(store.client), step, die)
    with pytest.raises(ConnectionError):
        store.write(PARENT, experiment, run, [trial(0, 1100)])
    monkeypatch.undo()
    store = careful.connect(uri, str(tmp_path))
    _, _, known = store.open_parent(PARENT, session="two")
    assert known == ((0,) if step == "set_terminated" else ())
    store.write(PARENT, experiment, run, finished([trial(0, 1100)], at=1_800_000_000.0))
    (child,) = (r for r in runs(uri).values() if r.data.tags["kind"] == "trial")
    assert child.info.status == "FINISHED"
    assert len(client(uri).get_metric_history(child.info.run_id, "train_loss")) == 1100


def test_nan_and_infinity_are_stored_as_mlflow_stores_them(uri: str, tmp_path: Path) -> None:
    from mlflow.entities import Metric as Entity

    nan, inf = math.nan, math.inf
    values = [1.0, nan, inf, -inf, 2.0, nan]
    store = bulk.connect(uri, str(tmp_path))
    assert store is not None
    experiment, run, _ = store.open_parent(PARENT, session="one")
    c = client(uri)
    other = c.create_run(experiment).info.run_id
    for last in range(len(values)):
        key, points = f"m{last}", [(value, 5, step) for step, value in enumerate(values[: last + 1])]
        c.log_batch(other, [Entity(key, *point) for point in points])
        with store.engine.begin() as connection:
            bulk.insert_metrics(connection, run, [Metric(key, *point) for point in points])
    columns = "key, value, timestamp, step, is_nan"
    with store.engine.connect() as connection:
        for table in ("metrics", "latest_metrics"):
            rows = [
                connection.execute(
                    sa.text(f"SELECT {columns} FROM {table} WHERE run_uuid = '{r}' ORDER BY key, step")
                ).all()
                for r in (run, other)
            ]
            assert rows[0]
            assert rows[0] == rows[1]


def test_only_the_owner_ends_a_run(writer: tuple[ModuleType, Any, str]) -> None:
    _, store, uri = writer
    experiment, run, _ = store.open_parent(PARENT, session="one")
    stray = client(uri).create_run(
        experiment, tags={"mlflow.parentRunId": run, "study": PARENT.study, "trial": "9"}
    )
    foreign = client(uri).create_run(experiment, run_name="foreign")
    store.end(run, "FINISHED", session="another")
    assert client(uri).get_run(run).info.status == "RUNNING"  # somebody else owns it by now
    store.end(run, "FINISHED", session="one")
    assert client(uri).get_run(run).info.status == "FINISHED"
    assert client(uri).get_run(stray.info.run_id).info.status == "KILLED"
    store.open_parent(PARENT, session="two")
    assert client(uri).get_run(run).info.status == "RUNNING"
    store.end(run, "KILLED", session="two")
    assert client(uri).get_run(run).info.status == "KILLED"
    assert client(uri).get_run(foreign.info.run_id).info.status == "RUNNING"


def test_deleted_runs_and_experiments_come_back(writer: tuple[ModuleType, Any, str]) -> None:
    _, store, uri = writer
    experiment, run, _ = store.open_parent(PARENT, session="one")
    store.write(PARENT, experiment, run, [trial(0)])
    client(uri).delete_run(run)
    assert store.open_parent(PARENT, session="two") == (experiment, run, (0,))
    assert client(uri).get_run(run).info.lifecycle_stage == "active"
    client(uri).delete_experiment(experiment)
    other = PARENT.__class__(**{**PARENT.__dict__, "study": "another"})
    assert store.open_parent(other, session="three")[0] == experiment
    assert client(uri).get_experiment(experiment).lifecycle_stage == "active"


def test_winners_parameters_can_be_replaced(uri: str, tmp_path: Path) -> None:
    store = bulk.connect(uri, str(tmp_path))
    assert store is not None
    _, run, _ = store.open_parent(PARENT, session="one")
    store.set_params(run, {"width": "8", "learning_rate": "0.1"})
    store.set_params(run, {"width": "16"})
    assert client(uri).get_run(run).data.params == {"epochs": "50", "width": "16", "learning_rate": "0.1"}


def test_two_writers_at_once_write_each_trial_once(uri: str, tmp_path: Path) -> None:
    def work(_: int) -> str:
        store = bulk.connect(uri, str(tmp_path))
        assert store is not None
        experiment, run, _ = store.open_parent(PARENT, session="x")
        for first in range(0, 40, 8):
            store.write(PARENT, experiment, run, [trial(n) for n in range(first, first + 8)])
        store.engine.dispose()
        return run

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(work, range(4))) == {parent_id(PARENT.study)}
    assert len(runs(uri)) == 41


def test_an_unknown_schema_is_left_to_the_client(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "KNOWN_HEADS", ("000000000000",))
    assert bulk.connect(uri, "") is None
    assert bulk.connect("mysql://nobody@nowhere/x", "") is None


def test_the_installed_mlflow_has_a_known_schema() -> None:
    from mlflow.store.db.utils import _get_latest_schema_revision

    assert _get_latest_schema_revision() in bulk.KNOWN_HEADS


@pytest.mark.slow
def test_a_store_appears_whole(tmp_path: Path) -> None:
    """Two processes make the same store at once, a third was killed while it did."""
    file = tmp_path / "home" / "mlflow.db"
    code = (
        "import sys; from workbench.storage.tracking import bulk as b; "
        "s = b.connect(sys.argv[1], '/a'); "
        "print(s.engine.connect().exec_driver_sql('PRAGMA journal_mode').scalar())"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, f"sqlite:///{file}"]
    makers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    draft = f".mlflow.db.{makers[0].pid}.new"
    while makers[0].poll() is None and not (file.with_name(draft).exists() or file.exists()):
        time.sleep(0.001)
    makers[0].kill()
    ends = [maker.communicate() for maker in makers]
    assert [maker.returncode for maker in makers[1:]] == [0, 0], ends
    assert [out for out, _ in ends[1:]] == [b"wal\n"] * 2
    names = {path.name for path in file.parent.iterdir()} - {
        draft,
        draft + "-journal",
        draft + "-wal",
        draft + "-shm",
    }
    assert names == {"mlflow.db"}
    store = bulk.connect(f"sqlite:///{file}", "/a")
    assert store is not None
    store.engine.dispose()


def test_long_values_are_cut_and_times_fixed() -> None:
    row = child_row(PARENT, "p", odd_trials()[6])
    assert len(row.params["note"]) == 6000
    again = child_row(PARENT, "p", finished(odd_trials(), at=9e9)[6], start=row.start)
    assert again == row
