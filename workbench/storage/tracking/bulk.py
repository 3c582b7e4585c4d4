"""The fast writer: rows straight into MLflow's tables, many runs in one transaction.

MLflow's own interface costs about 100 ms for a trial of 400 points, nearly all of it in the ORM; the same
rows written with SQLAlchemy Core cost about 5 ms in SQLite. The price is that the tables must be laid out as
this file knows them, so it is used only on a database whose alembic revision is in `KNOWN_HEADS`; on any
other the tracker falls back to `client`, and a test holds the two to the same result.

Every transaction is exclusive for its study (`BEGIN IMMEDIATE` in SQLite, an advisory lock in PostgreSQL) and
looks before it writes, so two processes that replay the same trials write each of them once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from workbench.core import sql
from workbench.core.addresses import kind
from workbench.core.records import TrialRecord
from workbench.core.sql import lock
from workbench.storage.tracking import tables
from workbench.storage.tracking.rows import (
    DATABASES,
    NOTE,
    Metric,
    Opened,
    Parent,
    RunRow,
    Status,
    best_key,
    best_so_far,
    child_id,
    child_row,
    experiment_tags,
    parent_row,
    score_key,
)

#: Revisions of MLflow's schema whose tables look as below.
KNOWN_HEADS = ("dc11669786a5",)  # MLflow 3.17
#: Seconds that a statement waits for another process's transaction on SQLite.
BUSY_SECONDS = 20
#: Rows of one INSERT; bounds the memory of a transaction.
CHUNK = 20_000
_LARGEST = 1.7976931348623157e308  # what MLflow stores for infinity
_TYPES = {"is_nan": sa.Boolean(), "value": sa.Double()}


def _table(name: str, columns: str, types: Mapping[str, Any] | None = None) -> sa.TableClause:
    return sa.table(name, *(sa.column(column, (types or {}).get(column)) for column in columns.split()))


EXPERIMENTS = _table(
    "experiments",
    "experiment_id name workspace artifact_location lifecycle_stage creation_time last_update_time",
)
RUNS = _table(
    "runs",
    "run_uuid name source_type source_name entry_point_name user_id status start_time end_time deleted_time "
    "source_version lifecycle_stage artifact_uri experiment_id",
)
PARAMS, TAGS = _table("params", "key value run_uuid"), _table("tags", "key value run_uuid")
EXPERIMENT_TAGS = _table("experiment_tags", "key value experiment_id")
_POINT = ("key", "value", "timestamp", "step", "is_nan", "run_uuid")
METRICS, LATEST = (_table(name, " ".join(_POINT), _TYPES) for name in ("metrics", "latest_metrics"))


@dataclass(frozen=True)
class Database:
    """An open database with MLflow's tables."""

    engine: sa.Engine
    artifacts: str  # folder or URI under which new experiments keep their artifacts

    def close(self) -> None:
        """Give its connection back."""
        self.engine.dispose()

    def open_parent(self, parent: Parent, *, session: str) -> Opened:
        """Find or create the experiment and the parent run, and set it RUNNING under its new owner."""
        row = parent_row(parent, session=session)
        with self.engine.begin() as connection:
            lock(connection, parent.study)
            run = _find(connection, parent.study)
            if run is None:
                run, experiment = row.run_id, _experiment(connection, self.artifacts, parent.experiment_name)
                insert_runs(connection, [row], experiment)
            else:
                of_run = RUNS.c.run_uuid == run
                experiment = connection.execute(sa.select(RUNS.c.experiment_id).where(of_run)).scalar_one()
                resumed: dict[str, Any] = {"status": "RUNNING", "lifecycle_stage": "active"}
                resumed |= {"end_time": None, "deleted_time": None}
                connection.execute(RUNS.update().where(of_run).values(**resumed))
                _put(connection, TAGS, run, {"session": session, **parent.tags})
            of_experiment = EXPERIMENT_TAGS.c.experiment_id == experiment
            held = set(connection.execute(sa.select(EXPERIMENT_TAGS.c.key).where(of_experiment)).scalars())
            tags = experiment_tags(parent, run)
            if parent.question and NOTE not in held:  # a description is its reader's to change
                tags[NOTE] = parent.question
            connection.execute(
                EXPERIMENT_TAGS.delete().where(of_experiment, EXPERIMENT_TAGS.c.key.in_(list(tags)))
            )
            rows = [{"key": key, "value": tags[key], "experiment_id": experiment} for key in tags]
            connection.execute(EXPERIMENT_TAGS.insert(), rows)
            numbers = tuple(sorted(map(int, connection.execute(_ended(run)).scalars())))
        return Opened(str(experiment), run, numbers)

    def write(self, parent: Parent, experiment: str, run: str, trials: Sequence[TrialRecord]) -> None:
        """Write trials that are not there whole, and the best score so far on the parent: all or nothing.

        One that was in training when it was written is written anew.
        """
        ids = {child_id(parent.study, t.number): t for t in sorted(trials, key=lambda trial: trial.number)}
        with self.engine.begin() as connection:
            lock(connection, parent.study)
            _delete(connection, _in_training(connection, list(ids)))
            numbers = [str(trial.number) for trial in ids.values()]
            there = set(connection.execute(_ended(run).where(TAGS.c.value.in_(numbers))).scalars())
            # A child that was moved away from its parent by hand still holds its id.
            held = sa.select(RUNS.c.run_uuid).where(RUNS.c.run_uuid.in_(list(ids)))
            taken = set(connection.execute(held).scalars())
            fresh = [t for key, t in ids.items() if key not in taken and str(t.number) not in there]
            if not fresh:
                return
            best, before = _so_far(connection, parent, run)
            rows = [child_row(parent, run, trial) for trial in fresh]
            insert_runs(connection, rows, int(experiment))
            ended = [(t, row) for t, row in zip(fresh, rows, strict=True) if t.state != "running"]
            if ended:
                points = best_so_far(parent, best, before, *zip(*ended, strict=True))
                insert_metrics(connection, run, points)

    def end(self, run: str, status: Status, *, session: str) -> None:
        """Terminate a run and children left RUNNING, if `session` still owns it."""
        owner = sa.select(TAGS.c.value).where(TAGS.c.run_uuid == run, TAGS.c.key == "session")
        with self.engine.begin() as connection:
            lock(connection, run)
            if connection.execute(owner).scalar() != session:
                return
            ended = {"status": status, "end_time": _now()}
            connection.execute(RUNS.update().where(RUNS.c.run_uuid == run).values(**ended))
            left = sa.and_(RUNS.c.status == "RUNNING", RUNS.c.run_uuid.in_(_children(run)))
            connection.execute(RUNS.update().where(left).values(**ended | {"status": "KILLED"}))

    def set_params(self, run: str, params: Mapping[str, str]) -> None:
        """Write parameters, replacing those that are there: a raised budget may choose another trial."""
        with self.engine.begin() as connection:
            lock(connection, run)
            _put(connection, PARAMS, run, params)

    def retract(self, run: str, keys: Sequence[str]) -> None:
        """Take metrics back that are another model's."""
        with self.engine.begin() as connection:
            lock(connection, run)
            for table in (METRICS, LATEST):
                connection.execute(table.delete().where(table.c.run_uuid == run, table.c.key.in_(list(keys))))


# ── opening ─────────────────────────────────────────────────────────────────────────────────────


def connect(uri: str, artifacts: str) -> Database | None:
    """Open a SQLite or PostgreSQL database, creating MLflow's tables in an empty one.

    Args:
        uri: address of the database.
        artifacts: folder or URI under which new experiments keep their artifacts.

    Returns:
        None when the database is of another kind or its tables are not the ones this file knows.

    Raises:
        sqlalchemy.exc.OperationalError: the database cannot be reached.
    """
    if kind(uri) not in DATABASES:
        return None
    # In WAL mode readers (the UI) never wait for the writer.
    pragmas = ["journal_mode = WAL", "synchronous = NORMAL", "cache_size = -65536"]
    engine = sql.engine(uri, busy=BUSY_SECONDS, pragmas=pragmas, kept=True)
    if engine.dialect.name == "sqlite" and engine.url.database:
        file = Path(engine.url.database)
        if not file.exists() or not file.stat().st_size:
            tables.create_file(file, artifacts)
    if not sa.inspect(engine).has_table("alembic_version"):
        tables.create(engine, artifacts)
    with engine.connect() as connection:
        heads = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars().all()
    if len(heads) == 1 and heads[0] in KNOWN_HEADS:
        return Database(engine, artifacts)
    engine.dispose()
    return None


# ── what is there ───────────────────────────────────────────────────────────────────────────────


def _children(run: str) -> sa.Select[Any]:
    return sa.select(TAGS.c.run_uuid).where(TAGS.c.key == "mlflow.parentRunId", TAGS.c.value == run)


def _running() -> sa.Select[Any]:
    """The runs of trials that had not ended when they were written."""
    return sa.select(TAGS.c.run_uuid).where(TAGS.c.key == "state", TAGS.c.value == "running")


def _ended(run: str) -> sa.Select[Any]:
    """The numbers, as text, of the children that are there whole."""
    children = TAGS.c.run_uuid.in_(_children(run))
    return sa.select(TAGS.c.value).where(TAGS.c.key == "trial", children, ~TAGS.c.run_uuid.in_(_running()))


def _in_training(connection: sa.Connection, runs: list[str]) -> list[str]:
    """Those among the runs that were written before their trial had ended."""
    return list(connection.execute(_running().where(TAGS.c.run_uuid.in_(runs))).scalars())


def _delete(connection: sa.Connection, runs: list[str]) -> None:
    for table in (METRICS, LATEST, PARAMS, TAGS, RUNS) if runs else ():
        connection.execute(table.delete().where(table.c.run_uuid.in_(runs)))


def _find(connection: sa.Connection, study: str) -> str | None:
    """The parent run of a study, whoever wrote it; the oldest if there are several."""
    studies = sa.select(TAGS.c.run_uuid).where(TAGS.c.key == "kind", TAGS.c.value == "study")
    tagged = sa.select(TAGS.c.run_uuid).where(
        TAGS.c.key == "study", TAGS.c.value == study, TAGS.c.run_uuid.in_(studies)
    )
    found = sa.select(RUNS.c.run_uuid).where(RUNS.c.run_uuid.in_(tagged)).order_by(RUNS.c.start_time).limit(1)
    run: str | None = connection.execute(found).scalar()
    return run


def _so_far(connection: sa.Connection, parent: Parent, run: str) -> tuple[float | None, int]:
    """The best score among the complete children, and how many have ended: as the parent's own metric says.

    That is one row, where counting goes through all children. There is none before one is complete.
    """
    of_best = sa.and_(LATEST.c.run_uuid == run, LATEST.c.key == best_key(parent.metric))
    told = connection.execute(sa.select(LATEST.c.value, LATEST.c.step).where(of_best)).first()
    if told is not None:
        return float(told.value), int(told.step)
    count = sa.select(sa.func.count()).select_from(_ended(run).subquery())
    return _best(connection, parent, run), int(connection.execute(count).scalar_one())


def _best(connection: sa.Connection, parent: Parent, run: str) -> float | None:
    """The best score among the complete children."""
    complete = sa.select(TAGS.c.run_uuid).where(
        TAGS.c.key == "state", TAGS.c.value == "complete", TAGS.c.run_uuid.in_(_children(run))
    )
    function = sa.func.max if parent.direction == "maximize" else sa.func.min
    value: float | None = connection.execute(
        sa.select(function(LATEST.c.value)).where(
            LATEST.c.key == score_key(parent.metric), ~LATEST.c.is_nan, LATEST.c.run_uuid.in_(complete)
        )
    ).scalar()
    return value


def _experiment(connection: sa.Connection, artifacts: str, name: str) -> int:
    """The experiment of this name, brought back if it was deleted; made if there is none."""
    of_name = sa.and_(EXPERIMENTS.c.name == name, EXPERIMENTS.c.workspace == "default")
    id_of_name = sa.select(EXPERIMENTS.c.experiment_id).where(of_name)
    found: int | None = connection.execute(id_of_name).scalar()
    if found is not None:
        connection.execute(EXPERIMENTS.update().where(of_name).values(lifecycle_stage="active"))
        return found
    now = _now()
    made_now = {"creation_time": now, "last_update_time": now}
    named = {"name": name, "workspace": "default", "lifecycle_stage": "active"}
    connection.execute(EXPERIMENTS.insert(), {**named, **made_now})
    made: int = connection.execute(id_of_name).scalar_one()
    location = f"{artifacts.rstrip('/')}/{made}"
    connection.execute(EXPERIMENTS.update().where(of_name).values(artifact_location=location))
    return made


def _put(connection: sa.Connection, table: sa.TableClause, run: str, values: Mapping[str, str]) -> None:
    """Tags or parameters of a run, in place of those of the same keys."""
    if values:
        connection.execute(table.delete().where(table.c.run_uuid == run, table.c.key.in_(list(values))))
        connection.execute(
            table.insert(), [{"key": k, "value": v, "run_uuid": run} for k, v in values.items()]
        )


def _now() -> int:
    return int(time.time() * 1000)


# ── rows, as `SqlAlchemyStore.create_run` and `log_batch` fill them ─────────────────────────────


def insert_runs(connection: sa.Connection, rows: Sequence[RunRow], experiment: int) -> None:
    """Whole runs with their tags, parameters and metrics."""
    location = connection.execute(
        sa.select(EXPERIMENTS.c.artifact_location).where(EXPERIMENTS.c.experiment_id == experiment)
    ).scalar_one()
    fixed = {
        "source_type": "UNKNOWN", "source_name": "", "entry_point_name": "", "source_version": "",
        "deleted_time": None, "lifecycle_stage": "active", "experiment_id": experiment,
    }  # fmt: skip
    runs = [
        fixed
        | {"run_uuid": row.run_id, "name": row.name, "user_id": row.tags["mlflow.user"]}
        | {"status": row.status, "start_time": row.start, "end_time": row.end}
        | {"artifact_uri": f"{location}/{row.run_id}/artifacts"}
        for row in rows
    ]
    connection.execute(RUNS.insert(), runs)
    tags = [{"key": k, "value": v, "run_uuid": row.run_id} for row in rows for k, v in row.tags.items()]
    params = [{"key": k, "value": v, "run_uuid": row.run_id} for row in rows for k, v in row.params.items()]
    connection.execute(TAGS.insert(), tags)
    if params:
        connection.execute(PARAMS.insert(), params)
    points = [_point(metric, row.run_id) for row in rows for metric in row.metrics]
    _insert_points(connection, METRICS, points)
    _insert_points(connection, LATEST, list(_latest(points).values()))


def insert_metrics(connection: sa.Connection, run: str, metrics: Sequence[Metric]) -> None:
    """More points for a run that is there: those not yet stored, and the latest ones moved on."""
    keys = sorted({metric.key for metric in metrics})
    if not keys:
        return
    of_keys = sa.and_(METRICS.c.run_uuid == run, METRICS.c.key.in_(keys))
    of_steps = METRICS.c.step.in_([metric.step for metric in metrics])
    known = connection.execute(sa.select(METRICS.c.key, METRICS.c.step).where(of_keys, of_steps))
    stored = {(key, step) for key, step in known}
    points = [_point(metric, run) for metric in metrics if (metric.key, metric.step) not in stored]
    if not points:
        return
    of_keys = sa.and_(LATEST.c.run_uuid == run, LATEST.c.key.in_(keys))
    held = connection.execute(sa.select(*(LATEST.c[name] for name in _POINT)).where(of_keys))
    latest = _latest([*(tuple(row) for row in held), *points])
    connection.execute(LATEST.delete().where(of_keys))
    _insert_points(connection, METRICS, points)
    _insert_points(connection, LATEST, list(latest.values()))


_Point = tuple[str, float, int, int, bool, str]  # in the order of `_POINT`


def _point(metric: Metric, run: str) -> _Point:
    """NaN is stored as zero with a flag, infinity as the largest number, as SqlAlchemyStore does."""
    value, is_nan = metric.value, math.isnan(metric.value)
    if is_nan:
        value = 0.0
    elif math.isinf(value):
        value = math.copysign(_LARGEST, value)
    return metric.key, value, metric.timestamp, metric.step, is_nan, run


def _latest(points: Iterable[_Point]) -> dict[tuple[str, str], _Point]:
    """The point with the largest (step, timestamp, value) of every key and run."""
    latest: dict[tuple[str, str], _Point] = {}
    for point in points:
        key, value, timestamp, step, _, run = point
        held = latest.get((key, run))
        if held is None or (step, timestamp, value) > (held[3], held[2], held[1]):
            latest[key, run] = point
    return latest


def _insert_points(connection: sa.Connection, table: sa.TableClause, points: list[_Point]) -> None:
    """In the order of the primary key, which keeps the pages of its index in the cache."""
    points.sort()
    for first in range(0, len(points), CHUNK):
        chunk = points[first : first + CHUNK]
        if connection.dialect.name == "sqlite":  # plain tuples skip SQLAlchemy's work on each row
            statement = f"INSERT INTO {table.name} ({', '.join(_POINT)}) VALUES (?, ?, ?, ?, ?, ?)"
            connection.exec_driver_sql(statement, chunk)
        else:
            connection.execute(table.insert(), [dict(zip(_POINT, point, strict=True)) for point in chunk])
