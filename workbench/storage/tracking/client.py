"""The careful writer: MLflow's own client, for servers and for databases the fast writer does not know.

The same functions as `bulk`, at about 100 ms a trial. The server chooses the run ids here, so a
trial is recognized by its tags; a run that was begun and not ended is written again from its own start time,
which makes every point equal to the one that may be there already, and MLflow keeps one of two equal points.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench.core.addresses import is_server
from workbench.core.records import TrialRecord
from workbench.storage.tracking.rows import (
    Metric,
    Parent,
    RunRow,
    Status,
    best_so_far,
    child_row,
    parent_row,
    score_key,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


#: MLflow's limits for one request.
MAX_METRICS, MAX_PARAMS, MAX_TAGS = 1_000, 100, 100
#: Requests under way at once; more gain nothing with one server worker.
THREADS = 4
_PAGE = 1_000


class Server(NamedTuple):
    """A store behind MLflow's client, and the runs of this study known to be in it."""

    client: MlflowClient
    artifacts: str | None  # where new experiments keep their artifacts; None: the server decides
    children: dict[int, tuple[str, int, str]]  # trial -> run id, start, status
    parallel: bool


def connect(uri: str, artifacts: str) -> Server:
    """A client of the store; nothing is asked of it yet."""
    from mlflow import MlflowClient

    remote = is_server(uri)
    return Server(MlflowClient(tracking_uri=uri, registry_uri=uri), None if remote else artifacts, {}, remote)


def close(store: Server) -> None:
    """Nothing is held open."""
    store.children.clear()


def open_parent(store: Server, parent: Parent, *, session: str | None) -> tuple[str, str, tuple[int, ...]]:
    """Find or create the experiment and the parent run, and set it RUNNING under its new owner `session`.

    A process that joins (`session` None) changes nothing that is there. Returns experiment id, run id and the
    numbers of the trials that are there whole.
    """
    client, row = store.client, parent_row(parent, session=session)
    run = _find(client, parent.study)
    if run is None:
        experiment = find_experiment(store, parent.experiment_name)
        made = client.create_run(experiment, start_time=row.start, tags=dict(row.tags), run_name=row.name)
        run_id = made.info.run_id
        _log(client, run_id, (), row.params)
    else:
        run_id, experiment = run.info.run_id, run.info.experiment_id
        if session is not None:
            if run.info.lifecycle_stage == "deleted":
                client.restore_run(run_id)
            client.update_run(run_id, status="RUNNING")
            _log(client, run_id, (), {}, {"session": session, **parent.tags})
    store.children.clear()
    for child in _search(client, experiment, f"tags.`mlflow.parentRunId` = '{run_id}'"):
        number = child.data.tags.get("trial")
        if number is not None:
            info = child.info
            store.children[int(number)] = (info.run_id, info.start_time, info.status)
    whole = (number for number, (_, _, status) in store.children.items() if status != "RUNNING")
    return experiment, run_id, tuple(sorted(whole))


def write(store: Server, parent: Parent, experiment: str, run: str, trials: Sequence[TrialRecord]) -> None:
    """Write finished trials that are not there whole, then the best score so far on the parent."""
    lock = threading.Lock()
    fresh = sorted(
        (trial for trial in trials if store.children.get(trial.number, ("", 0, "RUNNING"))[2] == "RUNNING"),
        key=lambda trial: trial.number,
    )
    best = _best(store.client, parent, experiment, run) if fresh else None

    def one(trial: TrialRecord) -> RunRow:
        number = trial.number
        begun = store.children.get(number)
        row = child_row(parent, run, trial, start=begun[1] if begun else None)
        if begun:
            child = begun[0]
        else:
            child = store.client.create_run(
                experiment, start_time=row.start, tags=dict(row.tags), run_name=row.name
            ).info.run_id
            with lock:
                store.children[number] = (child, row.start, "RUNNING")
        _log(store.client, child, row.metrics, row.params, row.tags if begun else {})
        store.client.set_terminated(child, status=row.status, end_time=row.end)
        with lock:
            store.children[number] = (child, row.start, row.status)
        return row

    if store.parallel:
        with ThreadPoolExecutor(THREADS) as pool:
            rows = list(pool.map(one, fresh))
    else:
        rows = [one(trial) for trial in fresh]
    _log(store.client, run, best_so_far(parent, best, fresh, rows), {})


def end(store: Server, run: str, status: Status, *, session: str | None = None) -> None:
    """Terminate a run and children left RUNNING. With `session`, only if it still owns the run."""
    found = store.client.get_run(run)
    if session is not None and found.data.tags.get("session") != session:
        return
    experiment = found.info.experiment_id
    filters = f"tags.`mlflow.parentRunId` = '{run}' and attributes.status = 'RUNNING'"
    for child in list(_search(store.client, experiment, filters)):
        store.client.set_terminated(child.info.run_id, status="KILLED")
    store.client.set_terminated(run, status=status)


def reap(store: Server, study: str | None = None) -> int:
    """Set runs that are still RUNNING to KILLED: those of one study, or all. Returns how many."""
    chosen = "tags.study LIKE '%'" if study is None else f"tags.study = '{_quoted(study)}'"
    experiments = [e.experiment_id for e in store.client.search_experiments()]
    n = 0
    for experiment in experiments:
        for run in list(_search(store.client, experiment, f"{chosen} and attributes.status = 'RUNNING'")):
            store.client.set_terminated(run.info.run_id, status="KILLED")
            n += 1
    return n


def set_params(store: Server, run: str, params: Mapping[str, str]) -> None:
    """Write the parameters that are not there; MLflow's interface lets nobody change one."""
    there = store.client.get_run(run).data.params
    _log(store.client, run, (), {key: value for key, value in params.items() if key not in there})


def retract(store: Server, run: str, keys: Sequence[str]) -> None:
    """MLflow's interface takes no metric back: the tag `tested_model` says whether they are this model's."""
    del store, run, keys


def find_experiment(store: Server, name: str) -> str:
    """The experiment of this name, brought back if it was deleted; made if there is none."""
    from mlflow.exceptions import MlflowException

    for last in (False, True):
        found = store.client.get_experiment_by_name(name)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                store.client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)
        location = f"{store.artifacts.rstrip('/')}/{name}" if store.artifacts else None
        try:
            return store.client.create_experiment(name, artifact_location=location)
        except MlflowException as error:  # another process may have made it since
            if last or error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
    raise AssertionError("unreachable")


def _find(client: MlflowClient, study: str) -> Run | None:
    """The parent run of a study, the oldest if there are several, in whichever experiment it is."""
    from mlflow.entities import ViewType

    experiments = [e.experiment_id for e in client.search_experiments(view_type=ViewType.ALL)]
    found = client.search_runs(
        experiments, f"tags.kind = 'study' and tags.study = '{_quoted(study)}'", ViewType.ALL, 1,
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
    requests = max(_parts(points, MAX_METRICS), _parts(settings, MAX_PARAMS), _parts(labels, MAX_TAGS))
    for i in range(requests):
        client.log_batch(
            run,
            points[i * MAX_METRICS : (i + 1) * MAX_METRICS],
            settings[i * MAX_PARAMS : (i + 1) * MAX_PARAMS],
            labels[i * MAX_TAGS : (i + 1) * MAX_TAGS],
        )


def _parts(items: Iterable[Any], limit: int) -> int:
    return math.ceil(len(list(items)) / limit)


def _quoted(text: str) -> str:
    """Inside the quotes of a search filter; study ids hold none, and a filter knows no escape."""
    return text.replace("'", "")
