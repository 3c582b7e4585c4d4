"""Dask's scheduler and workers in processes of their own, with work that needs no training."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.servers import wait
from workbench.core.errors import InputError, WorkbenchError
from workbench.tuning.distributed import cluster
from workbench.tuning.distributed.cluster import Cluster
from workbench.tuning.space import Variant

pytestmark = pytest.mark.filterwarnings("ignore")  # of dask

VARIANT = Variant("standardize", 1, "none")
ROOT = Path(__file__).parents[2]


def work(terms: bytes, content: bytes, rows: Sequence[bytes]) -> bytes:
    """What workers do here: say what they were given, or what they are told to."""
    what, _, argument = content.partition(b" ")
    if what == b"refuse" and os.environ.get("STRANGE"):
        raise WorkbenchError("it is strange")
    if what == b"fail":
        raise RuntimeError("of no use")
    if what == b"die":  # once, as soon as the result is there and before anybody has it
        marker = Path(argument.decode())
        if not marker.exists():
            marker.touch()
            _die_with_a_result()
    if what == b"sleep":
        time.sleep(float(argument))
    return b"|".join([terms, content, *rows])


def _die_with_a_result() -> None:
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def watch() -> None:
        while key not in worker.data:
            pass
        os._exit(9)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def running(*words: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """`workbench WORDS` beside the test; workers can import this file."""
    started = subprocess.Popen(
        [sys.executable, "-m", "workbench", *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environ, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    file = str(tmp_path / "scheduler.json")
    with running("scheduler", "--port", "0", "--scheduler-file", file):
        wait(lambda: Path(file).exists(), 60)
        yield file


@contextmanager
def meeting(
    address: str, workers: int, rows: Any = lambda variant: b"rows"
) -> Iterator[tuple[Cluster, list[str]]]:
    """A leader's view of so many workers."""
    notes: list[str] = []
    helpers = Cluster(address, work, b"terms", rows, notes.append)
    helpers.open()
    try:
        wait(lambda: helpers.workers == workers, 60)
        yield helpers, notes
    finally:
        helpers.close()


def brought(future: Future[bytes]) -> bytes:
    return future.result(timeout=60)


def test_rows_are_packed_once_and_come_with_every_part(address: str, tmp_path: Path) -> None:
    packed = []

    def rows(variant: Variant) -> bytes:
        packed.append(variant)
        return b"rows"

    with (
        running("worker", address, "--home", str(tmp_path), WORKBENCH_CORES="2"),
        running("worker", address, "--home", str(tmp_path), WORKBENCH_CORES="1"),
        meeting(address, 2, rows) as (helpers, notes),
    ):
        assert helpers.room == 3
        futures = [helpers.send(b"%d" % n, [VARIANT]) for n in range(20)]
        assert [brought(future) for future in futures] == [b"terms|%d|rows" % n for n in range(20)]
        assert brought(helpers.send(b"none", [])) == b"terms|none"
    assert helpers.send(b"too late", []).cancelled()
    assert packed == [VARIANT]
    assert notes == []


def test_a_result_that_dies_with_its_worker_is_made_again(address: str, tmp_path: Path) -> None:
    dies = b"die " + bytes(tmp_path / "dead")
    with (
        running("worker", address, "--home", str(tmp_path)) as first,
        running("worker", address, "--home", str(tmp_path)) as second,
        meeting(address, 2) as (helpers, _),
    ):
        assert brought(helpers.send(dies, [VARIANT])) == b"terms|" + dies + b"|rows"
        wait(lambda: 9 in (first.poll(), second.poll()))
        wait(lambda: helpers.workers == 1)


def test_one_that_refuses_is_asked_no_more(address: str, tmp_path: Path) -> None:
    with (
        running("worker", address, "--home", str(tmp_path), STRANGE="yes"),
        meeting(address, 1) as (helpers, _),
    ):
        with pytest.raises(WorkbenchError, match=r"^tcp://[\d.:]+: it is strange$"):
            brought(helpers.send(b"refuse", []))
        assert helpers.room == 0
        with running("worker", address, "--home", str(tmp_path)):
            wait(lambda: helpers.workers == 1, 60)
            futures = [helpers.send(b"refuse", []) for _ in range(5)]
            assert {brought(future) for future in futures} == {b"terms|refuse"}
            with pytest.raises(RuntimeError, match="of no use"):
                brought(helpers.send(b"fail", []))
            assert helpers.workers == 1


def test_a_scheduler_that_dies_is_told_once_and_found_again(address: str, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    with (
        running("worker", str(other), "--home", str(tmp_path)) as worker,
        running("scheduler", "--port", "0", "--scheduler-file", str(other)) as scheduler,
        meeting(str(other), 1) as (helpers, notes),
    ):
        notes.clear()  # that there was no file yet
        future = helpers.send(b"sleep 30", [VARIANT])
        time.sleep(0.5)
        scheduler.kill()
        wait(future.done)
        assert future.cancelled()
        wait(lambda: helpers.room == 0)
        assert worker.wait(30) == 0, "it can be started again"
        other.unlink(missing_ok=True)
        wait(lambda: bool(notes))
        with (
            running("scheduler", "--port", "0", "--scheduler-file", str(other)),
            running("worker", str(other), "--home", str(tmp_path)),
        ):
            wait(lambda: helpers.workers == 1, 60)
            assert brought(helpers.send(b"again", [VARIANT])) == b"terms|again|rows"
        assert len(notes) == 1
        assert "no scheduler answers" in notes[0]


@pytest.mark.parametrize("said", [{}, {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "7s"}])
def test_settings_stand_where_the_user_has_said_nothing(said: dict[str, str]) -> None:
    program = (
        "from workbench.tuning.distributed.cluster import configure; configure()\n"
        "from dask.config import get\n"
        "print(get('distributed.scheduler.worker-ttl'), get('distributed.scheduler.allowed-failures'),"
        " get('distributed.scheduler.active-memory-manager'), get('distributed.worker.profile.enabled'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": str(ROOT)} | said,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    ttl, failures, *manager, profiled = done.stdout.split()
    assert (ttl, failures, profiled) == ("7s" if said else "60s", "1000", "False")
    assert "'start':False" in "".join(manager)


@pytest.mark.parametrize("word", ["nonsense", "local:0", "local:", "http://host:1", "host", "file.txt", ""])
def test_what_is_no_address_is_refused_in_a_sentence(word: str) -> None:
    with pytest.raises(InputError, match=f"--cluster = {word}: names no scheduler; give tcp://HOST:PORT"):
        cluster.check(word)


@pytest.mark.parametrize(
    "word", ["host:1", "tcp://10.0.0.1:8786", "tls://a-b.c:1", "tcp://[::1]:1", "local:12", "s.json"]
)
def test_addresses_are_understood(word: str) -> None:
    cluster.check(word)


def test_without_dask_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs dask.distributed; pip install 'workbench\[cluster\]'"):
        cluster.check("local:2")
