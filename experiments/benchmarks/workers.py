"""`workers`: one study by more and more processes, and how many parts a second their table can pass on.

The same study, programs compiled beforehand, by the process that leads and by it with 1, 3 and 7 workers;
then, with nothing to train, as many processes as fetch and hand in parts as fast as they can. The first
tells what these cores give; the second, where the table would hold up more cores than there are here.
--storage names a PostgreSQL database, to which things are added; without it SQLite is used. --repeats 0
leaves the searches out.

No goal: on one machine the cores are busy with one process, so more of them share what there is.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from experiments.benchmarks.common import (
    ROOT,
    fresh,
    home,
    machine,
    options,
    say,
    spread,
    surroundings,
    workbench,
    write,
)
from experiments.benchmarks.digits import study_file
from workbench.core.addresses import kind
from workbench.tuning.distributed.leases import Leases

__all__ = ["main"]

PROCESSES = (1, 2, 4, 8)
#: Seconds of handing parts over, and the bytes of a part: a lane's weights and what they have scored.
PASSING_SECONDS, PART_BYTES = 5.0, 40_000
#: Between two looks at the table, as leader and workers do.
POLL_SECONDS = 0.02


def main() -> None:
    """Measure, print, write."""
    if sys.argv[1:2] == ["--child"]:
        _child(*sys.argv[2:])
        return
    chosen = options(
        __doc__,
        trials=(200, "trials of the study"),
        epochs=(50, "epochs of a trial"),
        storage=("", "database to meet in, instead of SQLite"),
    )
    before = machine()
    results = {
        "storage": kind(chosen.storage or "sqlite://"),
        "search": _searches(chosen) if chosen.repeats else "left out",
        "table": {str(n): _table(n, chosen) for n in PROCESSES},
    }
    write(f"workers-{results['storage']}", results, before, chosen.results)


def _searches(chosen: Any) -> dict[str, Any]:
    found: dict[str, list[dict[str, float]]] = {str(n): [] for n in PROCESSES}
    with home() as cache:
        study = study_file(cache, trials=chosen.trials, epochs=chosen.epochs)
        workbench(study, cache / "home")  # compiles
        for turn in range(chosen.repeats):
            for n in PROCESSES:
                name = f"workers-{os.getpid()}-{turn}-{n}"
                study = study_file(cache, trials=chosen.trials, epochs=chosen.epochs, name=name)
                found[str(n)].append(_search(study, n, cache / "home" / "cache", chosen))
                say(f"  {n} processes: {found[str(n)][-1]}")
    return {
        n: {figure: spread([run[figure] for run in runs]) for figure in runs[0]} for n, runs in found.items()
    }


def _search(study: Path, processes: int, cache: Path, chosen: Any) -> dict[str, float]:
    """One search; what it took, and how busy its leader was with other things than training."""
    with home() as folder:
        shutil.copytree(cache, folder / "cache")
        words = ["--home", str(folder), *(["--storage", chosen.storage] if chosen.storage else [])]
        worker = [sys.executable, "-m", "workbench", "worker", str(study), *words, "--json"]
        quiet = {
            "stdout": subprocess.PIPE,
            "stderr": subprocess.DEVNULL,
            "cwd": ROOT,
            "text": True,
            "env": surroundings(),
        }
        crew = [subprocess.Popen(worker, **quiet) for _ in range(processes - 1)]
        try:
            if crew:
                time.sleep(4.0)  # they wait for their leader, ready
            leader = [sys.executable, "-m", "workbench", "run", study, "--search-only", "--json", *words]
            run = fresh(leader)
            told = [json.loads(one.communicate(timeout=120)[0].splitlines()[-1]) for one in crew]
        finally:
            for one in crew:
                one.kill()
                one.wait()
    seconds = run.output["seconds"]
    return {
        "trials_per_second": chosen.trials / seconds["total"],
        "seconds": seconds["total"],
        "sample_and_track_seconds": seconds["sample"] + seconds["track"],
        "lanes_of_workers": float(sum(one["lanes"] for one in told)),
    }


def _table(processes: int, chosen: Any) -> dict[str, float]:
    """Parts published, fetched, handed in and collected each second, by so many workers at once."""
    with home() as folder:
        url = chosen.storage or f"sqlite:///{folder / 'workbench.db'}"
        study = f"passing-{os.getpid()}-{processes}"
        boss = Leases(url, study)
        boss.lead(folder, {})
        command = [sys.executable, "-m", "experiments.benchmarks.workers", "--child", url, study]
        crew = [subprocess.Popen(command, cwd=ROOT) for _ in range(processes)]
        while boss.beat() < processes:
            time.sleep(0.05)
        began, passed = time.perf_counter(), 0
        while time.perf_counter() - began < PASSING_SECONDS:
            ids = boss.publish([b"x" * PART_BYTES] * (2 * processes))
            while len(boss.results(ids)) < len(ids):
                time.sleep(POLL_SECONDS)
            boss.withdraw(ids)
            passed += len(ids)
        rate = passed / (time.perf_counter() - began)
        boss.resign(done=True)
        for one in crew:
            one.wait()
        boss.close()
    say(f"  {processes} workers pass on {rate:.0f} parts a second")
    return {"parts_per_second": rate, "parts": float(passed)}


def _child(url: str, study: str) -> None:
    """Fetch parts and hand them in, until the search is done."""
    leases = Leases(url, study)
    leases.join()
    done = False
    while not done:
        _, session, done = leases.fleet()
        claim = leases.claim(session)
        if claim is None:
            time.sleep(POLL_SECONDS)
        else:
            leases.deliver(claim, claim.request)
    leases.leave()
    leases.close()


if __name__ == "__main__":
    main()
