"""The tables that `leases` keeps, and the clock that its times are read from."""

from __future__ import annotations

import time

import sqlalchemy as sa

from workbench import sql

__all__ = ["create", "fleets", "now_of", "parts", "workers"]

METADATA = sa.MetaData()
fleets = sa.Table(
    "workbench_fleets",
    METADATA,
    sa.Column("study", sa.String(200), primary_key=True),
    sa.Column("session", sa.String(40), nullable=False),
    sa.Column("home", sa.Text, nullable=False),  # host and home of who leads
    sa.Column("seen", sa.Float, nullable=False),  # of who leads; 0 when nobody does
    sa.Column("done", sa.Boolean, nullable=False),  # the search has ended
    sa.Column("terms", sa.Text, nullable=False),  # JSON: what a worker must know
)
workers = sa.Table(
    "workbench_workers",
    METADATA,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("study", sa.String(200), nullable=False),
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("seen", sa.Float, nullable=False),
)
parts = sa.Table(
    "workbench_parts",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("study", sa.String(200), nullable=False),
    sa.Column("session", sa.String(40), nullable=False),
    sa.Column("request", sa.LargeBinary, nullable=False),
    sa.Column("owner", sa.String(40)),
    sa.Column("lease", sa.Integer, nullable=False),  # how often it was leased
    sa.Column("until", sa.Float, nullable=False),  # when the lease runs out; 0 for none
    sa.Column("result", sa.LargeBinary),
)


def create(connection: sa.Connection) -> None:
    """Make the tables where they are not there yet."""
    sql.lock(connection, "leases")  # two that create at once would both find nothing
    METADATA.create_all(connection)


def now_of(connection: sa.Connection) -> float:
    """Seconds since 1970 by the server's clock; with SQLite everybody is on one machine."""
    if connection.dialect.name == "postgresql":
        return float(connection.execute(sa.text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
    return time.time()
