"""The fast writer: rows straight into MLflow's tables, many runs in one transaction.

MLflow's own interface costs about 100 ms for a trial of 400 points, nearly all of it in the ORM; the same
rows written with SQLAlchemy Core cost about 5 ms in SQLite. The price is that the tables must be laid out as
`tables` knows them, so it is used only on a database whose alembic revision is in `KNOWN_HEADS`; on
any other the tracker falls back to `client`, and a test holds the two to the same result.

Every transaction is exclusive for its study (`BEGIN IMMEDIATE` in SQLite, an advisory lock in PostgreSQL) and
looks before it writes, so two processes that replay the same trials write each of them once.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from workbench.core.records import TrialRecord
from workbench.core.sql import lock
from workbench.storage.tracking.rows import (
    Parent,
    Status,
    best_so_far,
    child_id,
    child_row,
    parent_row,
    score_key,
)
from workbench.storage.tracking.store import KNOWN_HEADS as KNOWN_HEADS
from workbench.storage.tracking.store import Store
from workbench.storage.tracking.store import close as close
from workbench.storage.tracking.store import connect as connect
from workbench.storage.tracking.tables import (
    EXPERIMENTS,
    LATEST,
    METRICS,
    PARAMS,
    RUNS,
    TAGS,
    insert_metrics,
    insert_runs,
)


def open_parent(store: Store, parent: Parent, *, session: str | None) -> tuple[str, str, tuple[int, ...]]:
    """Find or create the experiment and the parent run, and set it RUNNING under its new owner `session`.

    A process that joins (`session` None) changes nothing that is there. Returns experiment id, run id and the
    numbers of the trials that are there.
    """
    row = parent_row(parent, session=session)
    with store.engine.begin() as connection:
        lock(connection, parent.study)
        run = _find(connection, parent.study)
        if run is None:
            run, experiment = row.run_id, _experiment(connection, store, parent.experiment_name)
            insert_runs(connection, [row], experiment)
        else:
            of_run = RUNS.c.run_uuid == run
            experiment = connection.execute(sa.select(RUNS.c.experiment_id).where(of_run)).scalar_one()
            if session is not None:
                resumed: dict[str, Any] = {"status": "RUNNING", "lifecycle_stage": "active"}
                resumed |= {"end_time": None, "deleted_time": None}
                connection.execute(RUNS.update().where(of_run).values(**resumed))
                _put_tags(connection, run, {"session": session, **parent.tags})
        known = connection.execute(
            sa.select(TAGS.c.value).where(TAGS.c.key == "trial", TAGS.c.run_uuid.in_(_children(run)))
        )
        numbers = tuple(sorted(int(text) for text in known.scalars()))
    return str(experiment), run, numbers


def write(store: Store, parent: Parent, experiment: str, run: str, trials: Sequence[TrialRecord]) -> None:
    """Write the trials that are not there yet, and the best score so far on the parent: all or nothing."""
    trials = sorted(trials, key=lambda trial: trial.number)
    with store.engine.begin() as connection:
        lock(connection, parent.study)
        numbers = [str(trial.number) for trial in trials]
        there = set(
            connection.execute(
                sa.select(TAGS.c.value).where(
                    TAGS.c.key == "trial", TAGS.c.value.in_(numbers), TAGS.c.run_uuid.in_(_children(run))
                )
            ).scalars()
        )
        # A child that was moved away from its parent by hand still holds its id.
        ids = [child_id(parent.study, trial.number) for trial in trials]
        taken = set(connection.execute(sa.select(RUNS.c.run_uuid).where(RUNS.c.run_uuid.in_(ids))).scalars())
        fresh = [
            trial
            for trial, number, key in zip(trials, numbers, ids, strict=True)
            if number not in there and key not in taken
        ]
        if not fresh:
            return
        best = _best(connection, parent, run)
        rows = [child_row(parent, run, trial) for trial in fresh]
        insert_runs(connection, rows, int(experiment))
        insert_metrics(connection, run, best_so_far(parent, best, fresh, rows))


def end(store: Store, run: str, status: Status, *, session: str | None = None) -> None:
    """Terminate a run. With `session`, only if that session still owns it."""
    with store.engine.begin() as connection:
        lock(connection, run)
        if session is not None and _tag(connection, run, "session") != session:
            return
        connection.execute(RUNS.update().where(RUNS.c.run_uuid == run).values(status=status, end_time=_now()))
        _kill_running(connection, _children(run))


def reap(store: Store, study: str | None = None) -> int:
    """Set runs that are still RUNNING to KILLED: those of one study, or all. Returns how many."""
    chosen = sa.select(TAGS.c.run_uuid).where(TAGS.c.key == "study")
    if study is not None:
        chosen = chosen.where(TAGS.c.value == study)
    with store.engine.begin() as connection:
        lock(connection, study or "")
        return _kill_running(connection, chosen)


def set_params(store: Store, run: str, params: dict[str, str]) -> None:
    """Write parameters, replacing those that are there: a raised budget may choose another trial."""
    if not params:
        return
    with store.engine.begin() as connection:
        lock(connection, run)
        connection.execute(PARAMS.delete().where(PARAMS.c.run_uuid == run, PARAMS.c.key.in_(list(params))))
        connection.execute(
            PARAMS.insert(), [{"key": k, "value": v, "run_uuid": run} for k, v in params.items()]
        )


def retract(store: Store, run: str, keys: Sequence[str]) -> None:
    """Take metrics back that are another model's."""
    with store.engine.begin() as connection:
        lock(connection, run)
        for table in (METRICS, LATEST):
            connection.execute(table.delete().where(table.c.run_uuid == run, table.c.key.in_(list(keys))))


# ── what is there ───────────────────────────────────────────────────────────────────────────────


def _children(run: str) -> sa.Select[Any]:
    return sa.select(TAGS.c.run_uuid).where(TAGS.c.key == "mlflow.parentRunId", TAGS.c.value == run)


def _find(connection: sa.Connection, study: str) -> str | None:
    """The parent run of a study, whoever wrote it; the oldest if there are several."""
    kind = sa.select(TAGS.c.run_uuid).where(TAGS.c.key == "kind", TAGS.c.value == "study")
    tagged = sa.select(TAGS.c.run_uuid).where(
        TAGS.c.key == "study", TAGS.c.value == study, TAGS.c.run_uuid.in_(kind)
    )
    found = sa.select(RUNS.c.run_uuid).where(RUNS.c.run_uuid.in_(tagged)).order_by(RUNS.c.start_time).limit(1)
    run: str | None = connection.execute(found).scalar()
    return run


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


def _experiment(connection: sa.Connection, store: Store, name: str) -> int:
    """The experiment of this name, brought back if it was deleted; made if there is none."""
    of_name = sa.and_(EXPERIMENTS.c.name == name, EXPERIMENTS.c.workspace == "default")
    found: int | None = connection.execute(sa.select(EXPERIMENTS.c.experiment_id).where(of_name)).scalar()
    if found is not None:
        connection.execute(EXPERIMENTS.update().where(of_name).values(lifecycle_stage="active"))
        return found
    now = _now()
    made_now = {"creation_time": now, "last_update_time": now}
    named = {"name": name, "workspace": "default", "lifecycle_stage": "active"}
    connection.execute(EXPERIMENTS.insert(), {**named, **made_now})
    made: int = connection.execute(sa.select(EXPERIMENTS.c.experiment_id).where(of_name)).scalar_one()
    location = f"{store.artifacts.rstrip('/')}/{made}"
    connection.execute(EXPERIMENTS.update().where(of_name).values(artifact_location=location))
    return made


def _tag(connection: sa.Connection, run: str, key: str) -> str | None:
    value: str | None = connection.execute(
        sa.select(TAGS.c.value).where(TAGS.c.run_uuid == run, TAGS.c.key == key)
    ).scalar()
    return value


def _put_tags(connection: sa.Connection, run: str, tags: dict[str, str]) -> None:
    connection.execute(TAGS.delete().where(TAGS.c.run_uuid == run, TAGS.c.key.in_(list(tags))))
    connection.execute(TAGS.insert(), [{"key": k, "value": v, "run_uuid": run} for k, v in tags.items()])


def _kill_running(connection: sa.Connection, chosen: sa.Select[Any]) -> int:
    running = sa.and_(RUNS.c.status == "RUNNING", RUNS.c.run_uuid.in_(chosen))
    return connection.execute(RUNS.update().where(running).values(status="KILLED", end_time=_now())).rowcount


def _now() -> int:
    return int(time.time() * 1000)
