"""Workers in processes of their own: they change how long a search takes and nothing else."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.end_to_end import Place, Ran, place, process, scores, workbench
from tests.helpers.servers import wait
from tests.system.test_crashes import consistent, running
from workbench.cli.main import main

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries that read

WORKERS = 3


def ended(worker: subprocess.Popen[str]) -> dict[str, Any]:
    """What a worker that went home by itself says."""
    out, err = worker.communicate(timeout=120)
    assert worker.returncode == 0, err
    return dict(json.loads(out.splitlines()[-1]))


def test_a_worker_trains_and_the_search_is_the_same(
    finished: tuple[Place, Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A leader shares what its own cores have no room for; two trials at a time leave two cores none.
    monkeypatch.setenv("WORKBENCH_CORES", "1")
    for attempt in range(6):  # on a busy machine a worker may come too late for a search of a second
        where = place(tmp_path / str(attempt))
        words = [str(where.file), "--home", str(where.home), "--json"]
        with process("worker", *words) as worker:
            wait(lambda home=where.home: (home / "workbench-work.db").exists())
            ran = where.run("--search-only")
            assert ran.status == 0, ran.err
            told = ended(worker)
        assert told["status"] == "done"
        if told["parts"]:
            break
    assert told["lanes"] >= told["parts"] > 0
    assert "1 worker beside this process" in ran.err
    confirmed = where.run()
    assert confirmed.status == 0, confirmed.err
    assert scores(where.outcome) == scores(finished[0].outcome)
    late = workbench("worker", *words)  # there is nothing left to do
    assert late.status == 0, late.err
    assert late.result["lanes"] == 0


def test_a_worker_that_waits_can_be_interrupted(tmp_path: Path) -> None:
    where = place(tmp_path)
    with process("worker", str(where.file), "--home", str(where.home), "--json") as worker:
        assert worker.stderr is not None
        assert "waiting for workbench run" in worker.stderr.readline()
        worker.send_signal(signal.SIGINT)
        out, err = worker.communicate(timeout=60)
        assert worker.returncode == 130, err
    assert json.loads(out.splitlines()[-1])["status"] == "interrupted"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"study": "0" * 64}, "is not the study that is being run under this name and seed"),
        ({"data": "0" * 64}, "has other rows than those that the study is run on"),
        ({"versions": {"jax": "0.0.1"}}, "is run with jax 0.0.1, here is "),
    ],
)
def test_a_worker_that_could_not_train_the_same_is_refused(
    changes: dict[str, Any],
    sentence: str,
    finished: tuple[Place, Ran],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from workbench.study.config import read_study
    from workbench.tuning.distributed.leases import Leases

    where, study = place(tmp_path), read_study(finished[0].file)
    (kept,) = finished[0].events("study")
    terms = {"study": study.fingerprint, "data": kept["data"], "seal": kept["seal"], "rooms": kept["rooms"]}
    terms |= {"split_rule": kept["split_rule"]}
    boss = Leases(f"sqlite:///{tmp_path / 'workbench.db'}", study.id)
    boss.lead(tmp_path, {**terms, "versions": {}, **changes})
    storage = f"sqlite:///{tmp_path / 'workbench.db'}"
    status = main(["worker", str(where.file), "--home", str(where.home), "--storage", storage])
    assert status == 2
    assert sentence in capsys.readouterr().err
    boss.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_three_workers_on_postgres_are_killed_at_random(
    seed: int, finished: tuple[Place, Ran], tmp_path: Path, database: str
) -> None:
    """Who is killed: a worker, the process that leads, or a worker that comes late."""
    where, draw = place(tmp_path), random.Random(seed)
    words = [str(where.file), "--storage", database, "--home"]
    folders = [tmp_path / f"machine-{k}" for k in range(WORKERS)]
    with (
        process("worker", *words, str(folders[0]), "--json") as first,
        process("worker", *words, str(folders[1]), "--json") as second,
        process("worker", *words, str(folders[2]), "--json") as third,
    ):
        with process("run", *words, str(where.home)) as leader:
            time.sleep(draw.uniform(1.0, 0.9 * finished[1].seconds))
            first.kill()
            time.sleep(draw.uniform(0.0, 0.4 * finished[1].seconds))
            if seed % 2:
                leader.kill()
            _, err = leader.communicate(timeout=200)
            assert leader.returncode in (0, -signal.SIGKILL), err
        again = workbench("run", *words, str(where.home), "--json")
        assert again.status == 0, again.err
        assert {ended(worker)["status"] for worker in (second, third)} == {"done"}
    assert scores(where.outcome) == scores(finished[0].outcome)
    told = workbench("ledger", "--verify", "--home", str(where.home), "--storage", database, "--json").result
    assert told["verified"] is True
    assert [opening["look"] for opening in told["openings"]] == [1]
    assert running(where, database) == []
    assert consistent(where, database) == (24, 24)


@pytest.mark.slow
def test_a_leader_goes_on_alone_when_the_table_is_gone(finished: tuple[Place, Ran], tmp_path: Path) -> None:
    where = place(tmp_path)
    words = [str(where.file), "--home", str(where.home), "--json"]
    with process("worker", *words) as worker, process("run", *words) as leader:
        table = where.home / "workbench-work.db"
        wait(lambda: table.exists() and bool(list(where.home.glob("studies/*/journal"))), 60)
        worker.send_signal(signal.SIGSTOP)  # whatever it has on lease stays there
        for path in where.home.glob("workbench-work.db*"):
            os.truncate(path, 0)
        out, err = leader.communicate(timeout=200)
        assert leader.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["status"] == "confirmed"
    assert scores(where.outcome) == scores(finished[0].outcome)
