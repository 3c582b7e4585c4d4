"""A store that is copied from the user's template is the one that MLflow's migrations make."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from workbench.core.addresses import sqlite
from workbench.storage.tracking import bulk, tables

# MLflow 3.17 uses what SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What MLflow's migrations make of an empty file, for artifacts in /b."""
    file = tmp_path_factory.mktemp("migrated") / "mlflow.db"
    engine = sa.create_engine(sqlite(file), poolclass=sa.StaticPool)
    tables.create(engine, "/b")
    engine.dispose()
    return file


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The template's place among a user's caches, which are empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if not tables.template().is_relative_to(tmp_path):
        pytest.skip("caches are elsewhere on this system")
    return tables.template()


@pytest.fixture
def make(
    migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], tuple[Path, int]]:
    """A new store in a home of this name, and the migrations that it took; their result is at hand."""
    ran: list[str] = []

    def create(engine: sa.Engine, artifacts: str) -> None:
        ran.append(artifacts)
        assert engine.url.database is not None
        shutil.copyfile(migrated, engine.url.database)

    monkeypatch.setattr(tables, "create", create)

    def made(name: str) -> tuple[Path, int]:
        ran.clear()
        file = tmp_path / name / "mlflow.db"
        store = bulk.connect(f"sqlite:///{file}", f"/{name}/")
        assert store is not None
        store.close()
        assert {path.name for path in file.parent.iterdir()} == {"mlflow.db"}
        return file, len(ran)

    return made


def content(file: Path) -> tuple[list[tuple[Any, ...]], dict[str, list[tuple[Any, ...]]]]:
    """The layout of a store, and its rows but for the moments at which they were written."""
    with closing(sqlite3.connect(file)) as connection:
        layout = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
        rows = {}
        for kind, name, *_ in layout:
            if kind == "table":
                kept = [c[1] for c in connection.execute(f"PRAGMA table_info({name})") if "time" not in c[1]]
                rows[name] = connection.execute(f"SELECT {', '.join(kept)} FROM {name}").fetchall()
    return layout, rows


def test_the_second_store_is_a_copy_and_the_same(
    cache: Path, make: Callable[[str], tuple[Path, int]], migrated: Path
) -> None:
    assert make("a")[1] == 1
    assert cache.is_file()
    file, migrations = make("b")
    assert migrations == 0
    whole = content(migrated)
    assert len(whole[1]) > 20
    assert ("/b/0" in str(whole[1]["experiments"]), len(whole[1]["experiments"])) == (True, 1)
    assert content(file) == whole
    other, migrations = make("c")
    assert migrations == 0
    assert content(other) != whole, "each knows its own artifacts"
    assert not list(cache.parent.glob("tmp*"))
    with closing(sqlite3.connect(file)) as connection:
        moments = connection.execute("SELECT creation_time, last_update_time FROM experiments").fetchone()
    assert moments[0] == moments[1] > 1_700_000_000_000


def blanked(content: bytes) -> bytes:
    """One page in the middle, which no statement of ours meets."""
    return content[: 40 * 4_096] + bytes(4_096) + content[41 * 4_096 :]


@pytest.mark.parametrize("damage", [lambda _: b"", lambda content: content[:50_000], blanked])
def test_a_template_that_is_damaged_is_made_again(
    cache: Path, make: Callable[[str], tuple[Path, int]], damage: Callable[[bytes], bytes]
) -> None:
    make("a")
    cache.write_bytes(damage(cache.read_bytes()))
    assert [make("b")[1], make("c")[1]] == [1, 0]


def test_without_a_place_for_it_every_store_is_migrated(
    cache: Path, make: Callable[[str], tuple[Path, int]], migrated: Path
) -> None:
    cache.parent.parent.mkdir(parents=True, exist_ok=True)
    cache.parent.write_text("a file where the folder should be")
    file, migrations = make("b")
    assert (migrations, make("c")[1]) == (1, 1)
    assert content(file) == content(migrated)
