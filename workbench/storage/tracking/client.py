"""The careful writer: MLflow's public client, for servers and for databases that `bulk` does not know.

The same methods as `bulk.Database`, at about 100 ms a trial. The server chooses the run ids here, so a trial
is recognized by its tags. A run that was cut off while its trial was written is written again from its own
start time, which makes every point equal to the one that may be there already, and MLflow keeps one of two
equal points; one whose trial was in training gets the epochs that it lacks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench.core.addresses import is_server, redact
from workbench.core.errors import StoreError
from workbench.core.records import TrialRecord
from workbench.storage.tracking.rows import (
    NOTE,
    Metric,
    Opened,
    Parent,
    RunRow,
    Status,
    best_so_far,
    by_epoch,
    child_row,
    experiment_tags,
    parent_row,
    score_key,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

#: MLflow as the workbench wants it: silent, no telemetry, and seconds instead of minutes until an error.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "GIT_PYTHON_REFRESH": "quiet",
    "PYTHONWARNINGS": "ignore",
}
#: MLflow's limits for one request.
MAX_METRICS, MAX_PARAMS, MAX_TAGS = 1_000, 100, 100
#: Requests under way at once; more gain nothing with one server worker.
THREADS = 4
_PAGE = 1_000


class _Child(NamedTuple):
    """A trial's run, as far as it is there."""

    run: str
    start: int  # in milliseconds since 1970
    whole: bool
    epochs: int  # whose points it has, if it was written while it trained


@dataclass(frozen=True)
class Server:
    """A store behind MLflow's client, and the runs of this study known to be in it."""

    client: MlflowClient
    artifacts: str | None  # where new experiments keep their artifacts; None: the server decides
    parallel: bool
    children: dict[int, _Child] = field(default_factory=dict)  # by the number of its trial

    def close(self) -> None:
        """Nothing is held open."""

    def open_parent(self, parent: Parent, *, session: str) -> Opened:
        """Find or create the experiment and the parent run, and set it RUNNING under its new owner."""
        client, row = self.client, parent_row(parent, session=session)
        run = _find(client, parent.study)
        if run is None:
            experiment = self.experiment(parent.experiment_name)
            made = client.create_run(experiment, start_time=row.start, tags=dict(row.tags), run_name=row.name)
            run_id = made.info.run_id
            _log(client, run_id, (), row.params)
        else:
            run_id, experiment = run.info.run_id, run.info.experiment_id
            if run.info.lifecycle_stage == "deleted":
                client.restore_run(run_id)
            client.update_run(run_id, status="RUNNING")
            _log(client, run_id, (), {}, {"session": session, **parent.tags})
        self._describe(parent, experiment, run_id)
        self.children.clear()
        for child in _search(client, experiment, f"tags.`mlflow.parentRunId` = '{run_id}'"):
            number = child.data.tags.get("trial")
            if number is not None:
                info, epochs = child.info, 0
                if running := child.data.tags.get("state") == "running":
                    last = client.get_metric_history(info.run_id, by_epoch(parent.metric))
                    epochs = max((point.step for point in last), default=0)
                whole = info.status != "RUNNING" and not running
                self.children[int(number)] = _Child(info.run_id, info.start_time, whole, epochs)
        return Opened(experiment, run_id, tuple(sorted(self._whole())))

    def write(self, parent: Parent, experiment: str, run: str, trials: Sequence[TrialRecord]) -> None:
        """Write trials that are not there whole, then the best score so far on the parent."""
        whole = self._whole()
        fresh = sorted((t for t in trials if t.number not in whole), key=lambda trial: trial.number)
        ended = [trial for trial in fresh if trial.state != "running"]
        best = _best(self.client, parent, experiment, run) if ended else None

        def one(trial: TrialRecord) -> RunRow:
            begun = self.children.get(trial.number)
            row = child_row(parent, run, trial, start=begun.start if begun else None)
            if begun is None:
                made = self.client.create_run(
                    experiment, start_time=row.start, tags=dict(row.tags), run_name=row.name
                )
                begun = _Child(made.info.run_id, row.start, whole=False, epochs=0)
                self.children[trial.number] = begun
                tags: Mapping[str, str] = {}
            else:
                tags = row.tags
            new = [m for m in row.metrics if m.step == 0 or m.step > begun.epochs]
            _log(self.client, begun.run, new, row.params, tags)
            if row.status == "RUNNING":
                self.client.update_run(begun.run, status="RUNNING")
            else:
                self.client.set_terminated(begun.run, status=row.status, end_time=row.end)
            self.children[trial.number] = _Child(
                begun.run, row.start, whole=row.status != "RUNNING", epochs=trial.epochs
            )
            return row

        if self.parallel:
            with ThreadPoolExecutor(THREADS) as pool:
                rows = list(pool.map(one, fresh))
        else:
            rows = [one(trial) for trial in fresh]
        of_ended = [row for row in rows if row.status != "RUNNING"]
        _log(self.client, run, best_so_far(parent, best, len(whole), ended, of_ended), {})

    def end(self, run: str, status: Status, *, session: str) -> None:
        """Terminate a run and children left RUNNING, if `session` still owns it."""
        found = self.client.get_run(run)
        if found.data.tags.get("session") != session:
            return
        filters = f"tags.`mlflow.parentRunId` = '{run}' and attributes.status = 'RUNNING'"
        for child in list(_search(self.client, found.info.experiment_id, filters)):
            self.client.set_terminated(child.info.run_id, status="KILLED")
        self.client.set_terminated(run, status=status)

    def set_params(self, run: str, params: Mapping[str, str]) -> None:
        """Write the parameters that are not there; MLflow's interface lets nobody change one."""
        there = self.client.get_run(run).data.params
        _log(self.client, run, (), {key: value for key, value in params.items() if key not in there})

    def retract(self, run: str, keys: Sequence[str]) -> None:
        """MLflow's interface takes no metric back: the tag `tested_model` says whose they are."""

    def _whole(self) -> set[int]:
        return {number for number, child in self.children.items() if child.whole}

    def _describe(self, parent: Parent, experiment: str, run: str) -> None:
        """The experiment's description, which is its reader's to change, and its views."""
        held = self.client.get_experiment(experiment).tags
        tags = experiment_tags(parent, run)
        if parent.question and NOTE not in held:
            tags[NOTE] = parent.question
        for key, value in tags.items():
            if held.get(key) != value:
                self.client.set_experiment_tag(experiment, key, value)

    def experiment(self, name: str) -> str:
        """The experiment of this name, brought back if it was deleted; made if there is none."""
        from mlflow.exceptions import MlflowException

        for last in (False, True):
            found = self.client.get_experiment_by_name(name)
            if found is not None:
                if found.lifecycle_stage == "deleted":
                    self.client.restore_experiment(found.experiment_id)
                return str(found.experiment_id)
            location = f"{self.artifacts.rstrip('/')}/{name}" if self.artifacts else None
            try:
                return self.client.create_experiment(name, artifact_location=location)
            except MlflowException as error:  # another process may have made it since
                if last or error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
        raise AssertionError("unreachable")


def connect(uri: str, artifacts: str) -> Server:
    """A client of the store; nothing is asked of it yet."""
    from mlflow import MlflowClient

    remote = is_server(uri)
    return Server(MlflowClient(tracking_uri=uri, registry_uri=uri), None if remote else artifacts, remote)


def log_experiment(uri: str, record: Mapping[str, Any], figure: Path | None, artifacts: Path) -> str:
    """Write one run of an experiment with its figure and verdict; each experiment is one of MLflow's.

    Args:
        uri: the store.
        record: what the experiment found, as its file has it.
        figure: its picture.
        artifacts: folder for the artifacts of new experiments, unless the store is a server.

    Returns:
        The run's id.

    Raises:
        StoreError: MLflow cannot take it.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()})
    from mlflow.entities import Metric as Point
    from mlflow.exceptions import MlflowException

    store = connect(uri, artifacts.absolute().as_uri())
    interval = f"{record['low']:.4g} to {record['high']:.4g}"
    note = (
        f"**{record['title']}**\n\n{record['claim']}\n\n**{record['conclusion']}**: {record['unit']} is "
        f"{record['effect']:.4g} (95 % interval {interval} over {len(record['effects'])} seeds)."
    )
    tags = {
        "verdict": record["conclusion"], "claim": record["claim"], "source": record["source"],
        "mlflow.runName": record["conclusion"], "mlflow.note.content": note,
    }  # fmt: skip
    try:
        run = store.client.create_run(store.experiment(f"experiment-{record['name']}"), tags=tags).info.run_id
        figures = {name: record[name] for name in ("effect", "low", "high", "seconds")} | record["facts"]
        points = [Point(name, float(value), 0, 0) for name, value in figures.items()]
        points += [Point("effect_by_seed", value, 0, seed) for seed, value in enumerate(record["effects"])]
        store.client.log_batch(run, metrics=points)
        store.client.log_text(run, json.dumps(record, indent=1), "record.json")
        if figure is not None:
            store.client.log_artifact(run, str(figure))
        store.client.set_terminated(run)
    except (MlflowException, OSError) as error:
        reason = redact(str(error).partition("\n")[0])
        raise StoreError(f"{redact(uri)}: MLflow cannot take the experiment ({reason})") from error
    return str(run)


def _find(client: MlflowClient, study: str) -> Run | None:
    """The parent run of a study, the oldest if there are several, in whichever experiment it is."""
    from mlflow.entities import ViewType

    experiments = [e.experiment_id for e in client.search_experiments(view_type=ViewType.ALL)]
    quotable = study.replace("'", "")  # study ids hold none, and a filter knows no escape
    found = client.search_runs(
        experiments, f"tags.kind = 'study' and tags.study = '{quotable}'", ViewType.ALL, 1,
        ["attributes.start_time ASC"],
    )  # fmt: skip
    return found[0] if found else None


def _best(client: MlflowClient, parent: Parent, experiment: str, run: str) -> float | None:
    key, order = score_key(parent.metric), "DESC" if parent.direction == "maximize" else "ASC"
    complete = f"tags.`mlflow.parentRunId` = '{run}' and tags.state = 'complete'"
    found = client.search_runs([experiment], complete, max_results=1, order_by=[f"metrics.`{key}` {order}"])
    return found[0].data.metrics.get(key) if found else None


def _search(client: MlflowClient, experiment: str, filters: str) -> Iterator[Run]:
    """Every run that matches, deleted ones too, page by page."""
    from mlflow.entities import ViewType

    token: str | None = None
    while True:
        page = client.search_runs([experiment], filters, ViewType.ALL, _PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _log(
    client: MlflowClient,
    run: str,
    metrics: Sequence[Metric],
    params: Mapping[str, str],
    tags: Mapping[str, str] | None = None,
) -> None:
    """As few requests as MLflow's limits allow."""
    import mlflow.entities as entities

    points = [entities.Metric(m.key, m.value, m.timestamp, m.step) for m in metrics]
    settings = [entities.Param(key, value) for key, value in params.items()]
    labels = [entities.RunTag(key, value) for key, value in (tags or {}).items()]
    while points or settings or labels:
        client.log_batch(run, points[:MAX_METRICS], settings[:MAX_PARAMS], labels[:MAX_TAGS])
        points, settings, labels = points[MAX_METRICS:], settings[MAX_PARAMS:], labels[MAX_TAGS:]
