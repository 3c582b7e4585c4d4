"""The tracker against real servers: MLflow's own over HTTP, killed and started again, and PostgreSQL."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.helpers import outcomes, stand_ins
from tests.helpers.servers import LEFT_OPEN, PASSWORD, Server, wait
from tests.helpers.tracking_cases import PARENT, look_at, odd_trials, trial
from workbench.core.errors import StoreError
from workbench.core.locations import check_reachable
from workbench.evaluation import saved_model
from workbench.storage.tracking import Tracker, bulk
from workbench.storage.tracking import client as careful

pytestmark = [
    pytest.mark.slow,
    LEFT_OPEN,
    # MLflow 3.17 uses what SQLAlchemy 2.1 deprecates, and warns of its own types.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType"),
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.kill()


def client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(uri, uri)


def everything(uri: str) -> dict[str, Any]:
    """All that MLflow says of each run, but for ids."""
    c = client(uri)
    told = {}
    for run in c.search_runs([e.experiment_id for e in c.search_experiments()]):
        info, data = run.info, run.data
        times = (info.start_time, info.end_time) if "trial" in data.tags else None
        tags = {k: v for k, v in data.tags.items() if k != "mlflow.parentRunId"}
        histories = {
            key: sorted((m.step, m.timestamp, m.value) for m in c.get_metric_history(info.run_id, key))
            for key in data.metrics
        }
        told[info.run_name] = (info.status, times, data.params, data.metrics, tags, histories)
    return told


def test_a_server_that_comes_and_goes(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Down at the start, killed twice in the middle, and everything there once at the end; then the model."""
    monkeypatch.setitem(sys.modules, "workbench.data.preprocessing", stand_ins.module())
    told: list[str] = []
    tracker = Tracker.open(server.uri, PARENT, artifacts=tmp_path / "unused", notify=told.append)
    tracker.trials(trial(number) for number in range(8))
    wait(lambda: bool(told), 30)
    server.start()
    wait(lambda: tracker.backlog == 0, 60)
    assert "is back" in told[-1]
    for first in (8, 40):
        tracker.trials(trial(number, 10) for number in range(first, first + 32))
        time.sleep(0.8)
        server.kill()
        time.sleep(0.5)
        server.start()
    tracker.trials([trial(72), trial(73, params={"no\tgood": 1.0}), trial(74)])
    folder, rows = stand_ins.linear_model(tmp_path / "model")
    (tmp_path / "figure.png").write_bytes(b"png")
    tracker.finish(outcomes.classification(8), files={"figures/f.png": tmp_path / "figure.png"}, model=folder)
    left = tracker.close(timeout=120, patience=60)
    assert left.trials == {73}
    assert "no\\tgood" in left.refused[73] or "no\tgood" in left.refused[73]
    assert not left.final
    assert not left.running
    c, run = client(server.uri), tracker.where()["run_id"]
    found = {
        r.info.run_name: r
        for r in c.search_runs([tracker.where()["experiment_id"]], f"tags.mlflow.parentRunId = '{run}'")
    }
    whole = {f"trial-{n:04d}" for n in range(75)}
    assert set(found) == whole
    assert all(r.info.status == "FINISHED" for name, r in found.items() if name != "trial-0073")
    assert found["trial-0073"].info.status == "KILLED"
    for number in (8, 39, 40, 71):
        history = c.get_metric_history(found[f"trial-{number:04d}"].info.run_id, "train_loss")
        assert sorted(m.step for m in history) == list(range(1, 11))
    import mlflow

    look_at(server.uri)
    for address in ("models:/digits-mlp@champion", f"runs:/{run}/model"):
        pd.testing.assert_frame_equal(
            mlflow.pyfunc.load_model(address).predict(rows), saved_model.load(folder).predict(rows)
        )
    assert c.search_runs([tracker.where()["experiment_id"]], "attributes.status = 'RUNNING'") == []
    assert not (tmp_path / "unused").exists()


def test_postgres_and_sqlite_say_the_same(database: str, tmp_path: Path) -> None:
    told = []
    for module, uri in (
        (bulk, f"sqlite:///{tmp_path}/a.db"), (bulk, database),
    ):  # fmt: skip
        store = module.connect(uri, str(tmp_path))
        assert store is not None
        experiment, run, _ = store.open_parent(PARENT, session="one")
        for _ in range(2):
            store.write(PARENT, experiment, run, odd_trials())
            store.write(PARENT, experiment, run, [trial(n) for n in range(5, 50)])
        store.end(run, "FINISHED", session="one")
        store.engine.dispose()
        told.append(everything(uri))
    assert len(told[0]) == 51
    assert told[0] == told[1]
    other = careful.connect(database, str(tmp_path))
    assert other.open_parent(PARENT, session="two")[2] == tuple(range(50))


def test_two_trackers_share_a_postgres_study(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both start at once on an empty database and bring all trials; the last one to open owns the study."""
    told: list[str] = []
    trackers = [Tracker.open(database, PARENT, artifacts=tmp_path, notify=told.append) for _ in range(2)]
    start = time.monotonic()
    for tracker in trackers:
        tracker.trials(trial(number, 100) for number in range(128))
    assert [tracker.close(timeout=120).any for tracker in reversed(trackers)] == [False, False]
    with capsys.disabled():
        print(f"\n128 trials of 300 points, two writers, PostgreSQL: {time.monotonic() - start:.1f} s")
    assert told == []
    assert trackers[0].where() == trackers[1].where()
    assert PASSWORD not in str(trackers[0].where())
    assert len(everything(database)) == 129
    run = client(database).get_run(trackers[0].where()["run_id"])
    assert run.info.status == "FINISHED"
    assert PASSWORD not in str(run.to_dictionary())


def test_wrong_password_is_a_sentence(postgres: str) -> None:
    with pytest.raises(StoreError, match="password authentication failed") as error:
        check_reachable(postgres.replace(PASSWORD, "wr0ng"))
    assert "wr0ng" not in str(error.value)


def test_a_thousand_trials_arrive(tmp_path: Path) -> None:
    """1,000 trials of 400 points; how long it takes is measured by the benchmark `overhead`."""
    tracker = Tracker.open(f"sqlite:///{tmp_path}/mlflow.db", PARENT, artifacts=tmp_path)
    for first in range(0, 1000, 50):
        tracker.trials(trial(number, 133) for number in range(first, first + 50))
    assert not tracker.close(timeout=240).any
    c = client(f"sqlite:///{tmp_path}/mlflow.db")
    found = c.search_runs([tracker.where()["experiment_id"]], max_results=2_000)
    assert len(found) == 1_001
    (last,) = [run for run in found if run.info.run_name == "trial-0999"]
    assert len(c.get_metric_history(last.info.run_id, "train_loss")) == 133


def test_writers_meet_their_own_study_only(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    trackers = [Tracker.open(uri, replace(PARENT, study=f"s{i}"), artifacts=tmp_path) for i in range(3)]
    for tracker in trackers:
        tracker.trials(trial(number) for number in range(40))
    assert not any(tracker.close().any for tracker in trackers)
    c = client(uri)
    for tracker in trackers:
        where = tracker.where()
        assert (
            len(c.search_runs([where["experiment_id"]], f"tags.mlflow.parentRunId = '{where['run_id']}'"))
            == 40
        )
