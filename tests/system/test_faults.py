"""The rest of the fault matrix: full disks, servers that die and come back, journals that end too soon.

What is killed, and when, is `test_crashes` and `test_workers`. After every fault the study is resumed and has
to end as the undisturbed one did: the same trials and scores to the bit, one opening, nothing left running.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.end_to_end import Place, Ran, place, process, scores, workbench
from tests.helpers.servers import LEFT_OPEN, PASSWORD, Server, own_postgres, wait
from tests.system.test_crashes import Moment, after, consistent, ends_as_if_nothing_had_happened, running
from tests.system.test_tracking_servers import client
from workbench.storage import journal

pytestmark = [pytest.mark.slow, LEFT_OPEN, pytest.mark.filterwarnings("ignore")]  # of the libraries that read

#: Kilobytes that a home has, run after run: too few for the journal, for checkpoints, MLflow, figures.
DISKS = (16, 900, 1600, 3000)
SENTENCE = (
    "free the disk",
    "No space left",
    "disk is full",
    "disk full",
    "cannot be written",
)


#: When a server goes away.
MOMENTS = (after("ask"), after("trial", 12), after("launch", 2), after("ask", 3))


def reaches(where: Place, moment: Moment, study: subprocess.Popen[str]) -> None:
    """Return when the journal has come to a moment, and fail if the run ends before."""

    def there() -> bool:
        return any(moment(journal.read(path)) for path in where.home.glob("studies/*/journal"))

    wait(lambda: there() or study.poll() is not None, 120)
    assert there(), study.communicate()


@contextmanager
def disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """A file system of that size."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here: that needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_fills_up(finished: tuple[Place, Ran], tmp_path: Path) -> None:
    where = place(tmp_path)
    failed = 0
    with disk(where.home, DISKS[0]):
        for kilobytes in DISKS:
            grow = ["mount", "-o", f"remount,size={kilobytes}k", str(where.home)]
            subprocess.run(grow, check=True)
            ran = where.run()
            assert ran.status in (0, 1, 2), ran.err
            assert "Traceback" not in ran.err
            if ran.status:
                failed += 1
                sentence = ran.err.splitlines()[-1]
                assert any(words in sentence for words in SENTENCE), sentence
        assert failed >= 3
        subprocess.run(["mount", "-o", "remount,size=200m", str(where.home)], check=True)
        ends_as_if_nothing_had_happened(where, finished[0])


@pytest.mark.parametrize("seed", range(4))
def test_a_tracking_server_that_dies_and_comes_back(
    seed: int, finished: tuple[Place, Ran], tmp_path: Path
) -> None:
    """Down at the start (odd seeds) or killed in the middle (even ones), back before the end or after it."""
    where = place(tmp_path)
    server = Server(tmp_path)
    words = [str(where.file), "--home", str(where.home), "--tracking-uri", server.uri, "--json"]
    try:
        if seed % 2 == 0:
            server.start()
        with process("run", *words) as study:
            reaches(where, MOMENTS[seed], study)
            server.kill()
            if seed < 2:
                server.start()
            _, err = study.communicate(timeout=300)
            assert study.returncode == 0, err
            assert "Traceback" not in err
            if seed != 0:
                assert "does not answer" in err or "the next run brings them" in err
        server.kill()
        server.start()
        again = workbench("run", *words)  # brings what is left
        assert again.status == 0, again.err
        assert scores(where.outcome) == scores(finished[0].outcome)
        assert running(where, tracking=server.uri) == []
        assert consistent(where, tracking=server.uri) == (24, 24)
        parents = [
            run
            for experiment in client(server.uri).search_experiments()
            for run in client(server.uri).search_runs([experiment.experiment_id])
            if "mlflow.parentRunId" not in run.data.tags
        ]
        assert len(parents) == 1
    finally:
        server.kill()


@pytest.mark.parametrize("seed", range(3))
def test_a_database_that_is_restarted(seed: int, finished: tuple[Place, Ran], tmp_path: Path) -> None:
    """PostgreSQL with searches and ledger goes away: for a moment, or until after the run."""
    where = place(tmp_path)
    with own_postgres() as server:
        database = f"{server.url}/postgres"
        words = [str(where.file), "--storage", database, "--home", str(where.home), "--json"]
        with process("run", *words) as study:
            reaches(where, MOMENTS[seed], study)
            server.stop()
            if seed % 2 == 0:
                server.start()
            out, err = study.communicate(timeout=300)
            assert "Traceback" not in err
            assert study.returncode in ((0, 2) if seed % 2 == 0 else (2,)), err
            if study.returncode:
                assert PASSWORD not in out + err
                assert "127.0.0.1" in err.splitlines()[-1]
        if seed % 2:
            server.start()
        again = workbench("run", *words)
        assert again.status == 0, again.err
        assert scores(where.outcome) == scores(finished[0].outcome)
        told = workbench(
            "ledger", "--verify", "--home", str(where.home), "--storage", database, "--json"
        ).result
        assert told["verified"] is True
        assert [opening["look"] for opening in told["openings"]] == [1]
        assert running(where, database) == []
        assert consistent(where, database) == (24, 24)


@pytest.mark.parametrize("kind", ["trial", "launch", "choice", "baselines"])
def test_a_journal_that_ends_within_its_last_record(
    kind: str, finished: tuple[Place, Ran], tmp_path: Path
) -> None:
    """Cut inside the last record of a kind, as a power cut does; `test_spool` cuts at every byte."""
    original = (finished[0].folder / "journal").read_bytes().splitlines(keepends=True)
    kinds = [record["kind"] for record in journal.read(finished[0].folder / "journal")]
    last = len(kinds) - 1 - kinds[::-1].index(kind)
    before, record = b"".join(original[: last + 1])[: -len(original[last])], original[last]
    for cut in (0, len(record) // 2, len(record) - 1):
        where = place(tmp_path / str(cut))
        shutil.copytree(finished[0].home, where.home)
        (where.folder / "journal").write_bytes(before + record[:cut])
        ends_as_if_nothing_had_happened(where, finished[0])
