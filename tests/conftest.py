"""Strict settings for every test: nothing is promoted or broadcast by accident."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.helpers import forked
from tests.helpers.end_to_end import Place, Ran, place
from tests.helpers.servers import database, postgres

__all__ = ["data_folder", "database", "finished", "postgres"]

os.environ.setdefault("JAX_NUMPY_DTYPE_PROMOTION", "strict")
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")
# Two devices. What has no level of its own, as the programs that train have, is compiled fast, not well.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")
# Compiling is most of what the tests do: what one test has compiled, no other test, process or run compiles
# again. All of it is kept, as in a home, whose settings these are.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES", "none")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
# Cores are shared: how long an example takes says nothing of it. The examples are the same in every run, so
# that what passed here passes there; `--hypothesis-profile explore` draws others.
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile("same")

# Nobody's own ledger is read or written, and no test sees what another opened; those that want one name it.
os.environ["WORKBENCH_LEDGER"] = "off"


#: Long files of few tests: `make test` gives files out in this order, and none of these may be the last.
LONG = (
    "readme",
    "compose",
    "faults",
    "crashes",
    "workers",
    "workflow",
    "python",
    "real_data",
    "experiments",
    "reproduction",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first."""
    rank = {f"test_{name}.py": k for k, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Slow tests, and those that say so, start the program as users do; for others it is forked."""
    if item.get_closest_marker("slow") or item.get_closest_marker("started"):
        forked.cease()
    else:
        forked.begin()


@pytest.fixture(scope="module", autouse=True)
def own_store() -> Iterator[None]:
    """What one file of tests told MLflow of its store, the next one in this process is not told.

    A client that is given an address of runs alone takes the registry from what was said last.
    """
    yield
    if mlflow := sys.modules.get("mlflow"):
        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)


@pytest.fixture(scope="module", autouse=True)
def own_programs() -> Iterator[None]:
    """The compiled programs of a file of tests are given back after it.

    Each holds regions of memory, and a process may have 65,530 of them: past that XLA ends it.
    """
    yield
    if jax := sys.modules.get("jax"):
        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data sets named by WORKBENCH_DATA; tests that need it are skipped without."""
    folder = os.environ.get("WORKBENCH_DATA")
    if not folder:
        pytest.skip("WORKBENCH_DATA names no folder with housing.csv, adult.csv and mnist.npz")
    return Path(folder)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Ran]:
    """A small study that was run to its end by the program; to be read and not changed."""
    where = place(tmp_path_factory.mktemp("finished"))
    ran = where.run()
    assert ran.status == 0, ran.err
    return where, ran
