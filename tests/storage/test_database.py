"""A name that one living process holds: others wait, or are told at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from workbench.core.errors import BusyError
from workbench.storage import database

HOLDER = """
import sys
from workbench.storage import database
with database.hold(database.connect(sys.argv[1]), "study a"):
    print("held", flush=True)
    sys.stdin.readline()
"""


def held_by_one_process_at_a_time(url: str) -> None:
    engine = database.connect(url)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(BusyError, match="it is taken"), database.hold(engine, "study a", "it is taken"):
            pytest.fail("two hold it")
        with database.hold(engine, "study b", "it is taken"):
            pass
        threading.Timer(0.3, other.kill).start()
        with database.hold(engine, "study a"):  # waits, and is released by the death
            assert other.wait(10) is not None
    with database.hold(engine, "study a", "it is taken"):
        pass


def test_a_file(tmp_path: Path) -> None:
    held_by_one_process_at_a_time(f"sqlite:///{tmp_path / 'shared.db'}")


@pytest.mark.slow
def test_a_server(request: pytest.FixtureRequest) -> None:
    held_by_one_process_at_a_time(request.getfixturevalue("database"))
