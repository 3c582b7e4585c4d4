"""MLflow's tables as far as the fast writer fills them, and the rows of runs and metrics.

The columns are filled as `SqlAlchemyStore.create_run` and `log_batch` of MLflow 3.17 fill them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from workbench.storage.tracking.rows import Metric, RunRow

#: Rows of one INSERT; bounds the memory of a transaction.
CHUNK = 20_000
_LARGEST = 1.7976931348623157e308  # what MLflow stores for infinity
EXPERIMENTS = sa.table(
    "experiments",
    sa.column("experiment_id"),
    sa.column("name"),
    sa.column("workspace"),
    sa.column("artifact_location"),
    sa.column("lifecycle_stage"),
    sa.column("creation_time"),
    sa.column("last_update_time"),
)
RUNS = sa.table(
    "runs",
    sa.column("run_uuid"),
    sa.column("name"),
    sa.column("source_type"),
    sa.column("source_name"),
    sa.column("entry_point_name"),
    sa.column("user_id"),
    sa.column("status"),
    sa.column("start_time"),
    sa.column("end_time"),
    sa.column("deleted_time"),
    sa.column("source_version"),
    sa.column("lifecycle_stage"),
    sa.column("artifact_uri"),
    sa.column("experiment_id"),
)
PARAMS = sa.table("params", sa.column("key"), sa.column("value"), sa.column("run_uuid"))
TAGS = sa.table("tags", sa.column("key"), sa.column("value"), sa.column("run_uuid"))
_POINT = ("key", "value", "timestamp", "step", "is_nan", "run_uuid")
_TYPES = {"is_nan": sa.Boolean(), "value": sa.Double()}
METRICS = sa.table("metrics", *(sa.column(name, _TYPES.get(name)) for name in _POINT))
LATEST = sa.table("latest_metrics", *(sa.column(name, _TYPES.get(name)) for name in _POINT))


def insert_runs(connection: sa.Connection, rows: Sequence[RunRow], experiment: int) -> None:
    """Whole runs; the columns are filled as SqlAlchemyStore.create_run fills them."""
    location = connection.execute(
        sa.select(EXPERIMENTS.c.artifact_location).where(EXPERIMENTS.c.experiment_id == experiment)
    ).scalar_one()
    connection.execute(
        RUNS.insert(),
        [
            {
                "run_uuid": row.run_id,
                "name": row.name,
                "source_type": "UNKNOWN",
                "source_name": "",
                "entry_point_name": "",
                "user_id": row.tags["mlflow.user"],
                "status": row.status,
                "start_time": row.start,
                "end_time": row.end,
                "deleted_time": None,
                "source_version": "",
                "lifecycle_stage": "active",
                "artifact_uri": f"{location}/{row.run_id}/artifacts",
                "experiment_id": experiment,
            }
            for row in rows
        ],
    )
    tags = [{"key": k, "value": v, "run_uuid": row.run_id} for row in rows for k, v in row.tags.items()]
    params = [{"key": k, "value": v, "run_uuid": row.run_id} for row in rows for k, v in row.params.items()]
    connection.execute(TAGS.insert(), tags)
    if params:
        connection.execute(PARAMS.insert(), params)
    points = [_point(metric, row.run_id) for row in rows for metric in row.metrics]
    _insert_points(connection, METRICS, points)
    _insert_points(connection, LATEST, list(_latest(points).values()))


_Point = tuple[str, float, int, int, bool, str]


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
    if connection.dialect.name == "sqlite":  # plain tuples skip SQLAlchemy's work on each row
        statement = f"INSERT INTO {table.name} ({', '.join(_POINT)}) VALUES (?, ?, ?, ?, ?, ?)"
        for first in range(0, len(points), CHUNK):
            connection.exec_driver_sql(statement, points[first : first + CHUNK])
        return
    for first in range(0, len(points), CHUNK):
        chunk = [dict(zip(_POINT, point, strict=True)) for point in points[first : first + CHUNK]]
        connection.execute(table.insert(), chunk)


def insert_metrics(connection: sa.Connection, run: str, metrics: Sequence[Metric]) -> None:
    """More points for a run that is there: those not yet stored, and the latest ones moved on."""
    keys = sorted({metric.key for metric in metrics})
    if not keys:
        return
    stored = {
        (key, step)
        for key, step in connection.execute(
            sa.select(METRICS.c.key, METRICS.c.step).where(
                METRICS.c.run_uuid == run,
                METRICS.c.key.in_(keys),
                METRICS.c.step.in_([metric.step for metric in metrics]),
            )
        )
    }
    points = [_point(metric, run) for metric in metrics if (metric.key, metric.step) not in stored]
    if not points:
        return
    columns = [LATEST.c[name] for name in _POINT]
    held = connection.execute(sa.select(*columns).where(LATEST.c.run_uuid == run, LATEST.c.key.in_(keys)))
    latest = _latest([*(tuple(row) for row in held), *points])
    connection.execute(LATEST.delete().where(LATEST.c.run_uuid == run, LATEST.c.key.in_(keys)))
    _insert_points(connection, METRICS, points)
    _insert_points(connection, LATEST, list(latest.values()))
