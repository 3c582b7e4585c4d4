"""Finished trials as rows of Optuna's own tables, many in one transaction.

Optuna's interface writes a finished trial in about twenty statements; here a batch takes seven. The tables
are those of `optuna.storages._rdb.models`, which is private: `known` compares the revision of its schema
with the one that this file was written for, and where it differs (or the database is neither SQLite nor
PostgreSQL) nothing here is used.

A trial keeps its number whatever the order in which trials arrive, and a number that is there already is
skipped, so writing the same trials again changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from workbench.core import sql
from workbench.core.addresses import kind
from workbench.core.records import TrialRecord
from workbench.storage.optuna_mirror.trials import (
    Direction,
    Writer,
    attributes,
    check_direction,
    moments,
    score,
    state,
)

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


#: The revision of Optuna's schema whose tables are written here: Optuna 3.2 to 5.0 have it.
HEAD = "v3.2.0.a"
#: Trials in one transaction: enough to make its fixed cost small, and a lock of a few hundredths of a second.
BATCH = 256
#: Seconds that a statement waits for another process's transaction on SQLite.
BUSY_SECONDS = 5

_REVISION = sa.Table(
    "alembic_version",
    sa.MetaData(),
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def known() -> bool:
    """Whether the installed Optuna has the tables that this file writes. Does not import alembic."""
    import optuna

    revisions = Path(optuna.__file__).parent / "storages" / "_rdb" / "alembic" / "versions"
    return max((file.stem.rstrip("_") for file in revisions.glob("v*.py")), default="") == HEAD


def open_study(
    url: str,
    name: str,
    direction: Direction,
    distributions: Mapping[str, BaseDistribution],
    user_attrs: Mapping[str, Any],
) -> Writer | None:
    """The study in a SQLite or PostgreSQL database; made in one transaction if need be.

    Returns None when the database is of another kind or its tables are of another version. Raises
    StoreError if the study is there with another direction, sqlalchemy.exc.DBAPIError while the database
    cannot be used.
    """
    if kind(url) not in {"", "sqlite", "postgresql"}:
        return None
    # Readers and the writer never wait for each other; the journal of the study is the truth.
    pragmas = ["journal_mode = WAL", "synchronous = NORMAL"]
    engine = sql.engine(url, busy=BUSY_SECONDS, pragmas=pragmas, kept=True)
    try:
        with engine.begin() as connection:
            sql.lock(connection, "optuna")
            study = _study(connection, name, direction, user_attrs) if _tables(connection) else None
    except BaseException:
        engine.dispose()
        raise
    if study is None:
        engine.dispose()
        return None
    return Writer(partial(_write, engine, study, distributions), engine.dispose)


def _tables(connection: sa.Connection) -> bool:
    """Make Optuna's tables in a database that has none; whether they are of the known revision."""
    from optuna import __version__
    from optuna.storages._rdb import models

    inspector = sa.inspect(connection)
    if inspector.has_table("alembic_version"):
        return list(connection.scalars(sa.select(_REVISION.c.version_num))) == [HEAD]
    if inspector.has_table("studies"):
        return False  # an older Optuna's, or being made by one in this moment
    models.BaseModel.metadata.create_all(connection, checkfirst=False)
    _REVISION.create(connection)
    version = {"schema_version": models.SCHEMA_VERSION, "library_version": __version__}
    connection.execute(sa.insert(models.VersionInfoModel.__table__), version)
    connection.execute(sa.insert(_REVISION), {"version_num": HEAD})
    return True


def _study(connection: sa.Connection, name: str, direction: Direction, user_attrs: Mapping[str, Any]) -> int:
    """The id of the study, which is made if it is not there."""
    from optuna.storages._rdb import models
    from optuna.study import StudyDirection

    studies, directions = models.StudyModel.__table__, models.StudyDirectionModel.__table__
    attrs = models.StudyUserAttributeModel.__table__
    study = connection.scalar(sa.select(studies.c.study_id).where(studies.c.study_name == name))
    if study is None:
        row = sa.insert(studies).values(study_name=name).returning(studies.c.study_id)
        study = connection.execute(row).scalar_one()
        wanted = {"study_id": study, "objective": 0, "direction": StudyDirection[direction.upper()]}
        connection.execute(sa.insert(directions), wanted)
    found = connection.scalars(sa.select(directions.c.direction).where(directions.c.study_id == study))
    check_direction(name, [one.name for one in found], direction)
    if user_attrs:
        connection.execute(
            sa.delete(attrs).where(attrs.c.study_id == study, attrs.c.key.in_(list(user_attrs)))
        )
        rows = [{"study_id": study, "key": k, "value_json": json.dumps(v)} for k, v in user_attrs.items()]
        connection.execute(sa.insert(attrs), rows)
    return int(study)


def _write(
    engine: sa.Engine,
    study: int,
    distributions: Mapping[str, BaseDistribution],
    trials: Sequence[TrialRecord],
) -> set[int]:
    """Write the first BATCH of these trials in one transaction."""
    from optuna.storages._rdb import models

    studies, table = models.StudyModel.__table__, models.TrialModel.__table__
    first = sorted(trials, key=lambda trial: trial.number)[:BATCH]
    batch = {trial.number: trial for trial in first}
    with engine.begin() as connection:
        # Optuna's own lock before it numbers a trial: nobody adds one meanwhile. On SQLite BEGIN is one.
        connection.execute(sa.select(studies.c.study_id).where(studies.c.study_id == study).with_for_update())
        near = (table.c.study_id == study) & table.c.number.between(min(batch), max(batch))
        there = set(connection.scalars(sa.select(table.c.number).where(near)))
        new = [trial for number, trial in batch.items() if number not in there]
        if new:
            rows = [_trial_row(study, trial) for trial in new]
            added = connection.execute(sa.insert(table).returning(table.c.number, table.c.trial_id), rows)
            _write_parts(connection, dict(iter(added)), new, distributions)
    return set(batch)


def _trial_row(study: int, record: TrialRecord) -> dict[str, Any]:
    began, ended = (moment.replace(tzinfo=None) for moment in moments(record))  # Optuna stores naive UTC
    return {
        "study_id": study,
        "number": record.number,
        "state": state(record),
        "datetime_start": began,
        "datetime_complete": ended,
    }


def _write_parts(
    connection: sa.Connection,
    ids: Mapping[int, int],
    trials: Sequence[TrialRecord],
    distributions: Mapping[str, BaseDistribution],
) -> None:
    """Parameters, attributes, score and scores at rungs of trials whose rows are there."""
    from optuna.distributions import distribution_to_json
    from optuna.storages._rdb import models

    Value, Rung = models.TrialValueModel, models.TrialIntermediateValueModel
    words = {name: distribution_to_json(distribution) for name, distribution in distributions.items()}
    params: list[dict[str, Any]] = []
    attrs: list[dict[str, Any]] = []
    values: list[dict[str, Any]] = []
    rungs: list[dict[str, Any]] = []
    for record in trials:
        mine = {"trial_id": ids[record.number]}
        for name, chosen in record.params.items():
            inner = distributions[name].to_internal_repr(chosen)
            params.append(mine | {"param_name": name, "param_value": inner, "distribution_json": words[name]})
        for key, attribute in attributes(record).items():
            attrs.append(mine | {"key": key, "value_json": json.dumps(attribute)})
        if (value := score(record)) is not None:
            stored, kind = Value.value_to_stored_repr(value)
            values.append(mine | {"objective": 0, "value": stored, "value_type": kind})
        for step, seen in record.rungs.items():
            rung, sort = Rung.intermediate_value_to_stored_repr(float(seen))
            rungs.append(mine | {"step": step, "intermediate_value": rung, "intermediate_value_type": sort})
    parts = (
        (models.TrialParamModel, params),
        (models.TrialUserAttributeModel, attrs),
        (Value, values),
        (Rung, rungs),
    )
    for model, rows in parts:
        if rows:
            connection.execute(sa.insert(model.__table__), rows)
