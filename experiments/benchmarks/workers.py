"""`workers`: one study by more and more processes, and how many parts a second a leader can give away.

The first half: the same study by a leader and 0, 1, 3 and 7 workers, each kept to one core, in turn by the
cores that there are, with programs compiled beforehand in a cache that all share. The second: a leader whose
parts only sleep, for as long as --part-seconds says, with 1 to 128 workers as threads of one process beside
the scheduler; so there is no want of cores, and what is left is what a leader and a scheduler can do. A lane
of the digits study travels both ways. --repeats 0 leaves the searches out.

No goal: on one machine the cores are busy with one process, so more of them share what there is.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.common import (
    ROOT,
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
from workbench.tuning import jobs

__all__ = ["main"]

PROCESSES = (1, 2, 4, 8)
SLEEPERS = (1, 8, 32, 128)
#: Seconds of giving parts away, and the numbers of a lane: weights, and what an optimizer keeps of them.
GIVING_SECONDS, LANE_NUMBERS = 8.0, 30_000


def main() -> None:
    """Measure, print, write."""
    if sys.argv[1:2] == ["--sleepers"]:
        asyncio.run(_sleepers(Path(sys.argv[2]), int(sys.argv[3])))
        return
    chosen = options(
        __doc__,
        trials=(200, "trials of the study"),
        epochs=(50, "epochs of a trial"),
        part_seconds=(0.2, "what a part that sleeps takes"),
    )
    before = machine()
    results = {
        "search": _searches(chosen) if chosen.repeats else "left out",
        "sleeping": {str(n): _given_away(n, chosen.part_seconds) for n in SLEEPERS},
    }
    write("workers", results, before, chosen.results)


# ── a study ──


def _searches(chosen: Any) -> dict[str, Any]:
    found: dict[str, list[dict[str, float]]] = {str(n): [] for n in PROCESSES}
    with home() as cache:
        study = study_file(cache, trials=chosen.trials, epochs=chosen.epochs)
        workbench(study, cache / "home")  # compiles
        for turn in range(chosen.repeats):
            for n in PROCESSES:
                name = f"workers-{os.getpid()}-{turn}-{n}"
                study = study_file(
                    cache, trials=chosen.trials, epochs=chosen.epochs, name=name,
                    search={"parallel": max(PROCESSES)},
                )  # fmt: skip
                found[str(n)].append(_search(study, n, cache / "home" / "cache", chosen.trials))
                say(f"  {n} processes: {found[str(n)][-1]}")
    return {
        n: {figure: spread([run[figure] for run in runs]) for figure in runs[0]} for n, runs in found.items()
    }


def _search(study: Path, processes: int, cache: Path, trials: int) -> dict[str, float]:
    """One search; what it took, and what workers had of it."""
    with home() as folder:
        shutil.copytree(cache, folder / "cache")
        file = folder / "scheduler.json"
        with _beside("workbench", "scheduler", "--port", "0", "--scheduler-file", str(file)):
            words = ("workbench", "worker", str(file), "--home", str(folder), "--json")
            crew = [_start(*words, core=at) for at in range(1, processes)]
            for one in crew:
                while "worker at" not in one.stderr.readline():  # type: ignore[union-attr]
                    if one.poll() is not None:
                        raise RuntimeError("a worker ended before it began")
            try:
                pinned = ["taskset", "--cpu-list", str(_core(0))] if shutil.which("taskset") else []
                leader = [*pinned, sys.executable, "-m", "workbench", "run", study, "--search-only", "--json"]
                words = (*leader, "--home", folder, *(("--cluster", file) if crew else ()))
                run = subprocess.run(
                    [str(word) for word in words],
                    cwd=ROOT,
                    env=surroundings(),
                    capture_output=True,
                    text=True,
                    check=True,
                )
            finally:
                for one in crew:
                    one.kill()
                    one.wait()
    seconds = json.loads(run.stdout.splitlines()[-1])["seconds"]
    told = re.search(r"workers have trained ([\d,]+) of", run.stderr)
    return {
        "trials_per_second": trials / seconds["total"],
        "seconds": seconds["total"],
        "sample_and_track_seconds": seconds["sample"] + seconds["track"],
        "lanes_of_workers": float(told[1].replace(",", "")) if told else 0.0,
    }


def _core(number: int) -> int:
    """The core of a process, in turn."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[number % len(allowed)]


def _start(*words: str, core: int | None = None, heard: int = subprocess.PIPE) -> subprocess.Popen[str]:
    pinned = (
        [] if core is None or not shutil.which("taskset") else ["taskset", "--cpu-list", str(_core(core))]
    )
    return subprocess.Popen(
        [*pinned, sys.executable, "-m", *words],
        cwd=ROOT, env=surroundings(), text=True, stdout=heard, stderr=heard,
    )  # fmt: skip


@contextmanager
def _beside(*words: str) -> Iterator[subprocess.Popen[str]]:
    """A command that runs meanwhile."""
    one = _start(*words, heard=subprocess.DEVNULL)
    try:
        yield one
    finally:
        one.kill()
        one.communicate()


# ── parts that sleep ──


def sleep(terms: bytes, content: bytes, rows: Sequence[bytes]) -> bytes:
    """What a worker does here: wait, and give the lane back."""
    time.sleep(float(terms))
    return content


def _given_away(workers: int, seconds: float) -> dict[str, float]:
    """Parts that go and come back each second, with always enough under way."""
    from workbench.tuning.distributed.cluster import Cluster

    lane = jobs.pack_arrays(None, [np.zeros(LANE_NUMBERS, np.float32)])
    with home() as folder:
        file = folder / "scheduler.json"
        with _beside("experiments.benchmarks.workers", "--sleepers", str(file), str(workers)):
            while not file.exists():
                time.sleep(0.05)
            helpers = Cluster(str(file), sleep, str(seconds).encode(), lambda variant: b"", say)
            helpers.open()
            while helpers.workers < workers:
                time.sleep(0.05)
            for done in [helpers.send(lane, []) for _ in range(2 * workers)]:
                done.result()  # as long as dask does not know what a part takes, it is slow
            room = threading.Semaphore(2 * workers)
            passed, over = 0, threading.Event()

            def came(done: Any) -> None:
                nonlocal passed
                passed += not over.is_set()
                room.release()

            began, processor = time.perf_counter(), time.process_time()
            while time.perf_counter() - began < GIVING_SECONDS:
                if room.acquire(timeout=0.05):
                    helpers.send(lane, []).add_done_callback(came)
            spent, wall = time.process_time() - processor, time.perf_counter() - began
            over.set()
            helpers.close()
    rate = passed / wall
    found = {
        "parts_per_second": rate,
        "workers_idle": max(0.0, 1.0 - rate * seconds / workers),
        "leader_milliseconds_a_part": 1000 * spent / max(1, passed),
        "megabytes_per_second": 2 * rate * len(lane) / 1e6,
    }
    say(
        f"  {workers} workers that sleep: {', '.join(f'{name} {value:.3g}' for name, value in found.items())}"
    )
    return found


async def _sleepers(file: Path, workers: int) -> None:
    """A scheduler, and so many workers in its process."""
    from workbench.tuning.distributed.cluster import configure

    configure()
    from distributed import Scheduler, Worker

    here: dict[str, Any] = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    async with Scheduler(host="127.0.0.1", port=0, scheduler_file=str(file), **here) as scheduler:
        crew = [Worker(scheduler.address, nthreads=1, memory_limit=0, **here) for _ in range(workers)]
        await asyncio.gather(*crew)
        await scheduler.finished()


if __name__ == "__main__":
    main()
