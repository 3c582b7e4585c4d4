"""`workers`: what a leader's processor pays for a trial, one study by more processes, and parts a second.

`leader`: 1,000 trials that train for one epoch, without workers and with one that the leader started
(local:1, so that the scheduler is in its process): processor milliseconds of a trial in all of the leader's
threads but those that train. `search`: the same study by a leader and 0, 1 and 3 workers, each kept to one
core, in turn by the cores that there are, with programs compiled beforehand in a cache that all share; of
processes no more than twice the cores. `sleeping`: a leader whose parts only sleep, for as long as
--part-seconds says, with 1 to 128 workers as threads of one process beside the scheduler; so there is no want
of cores, and what is left is what a leader and a scheduler can do. A lane of the digits study travels both
ways. `host`: how busy a host of 16 devices is by a dask thread for each device, and by one thread for all,
which trains as many parts together; parts take 0.5 to 1.5 times --part-seconds.

Goal of `leader`: under 10 ms. None of the others: on one machine the cores are busy with one process.
--quick takes less than three minutes on two cores, without it less than fifteen; --repeats 0 leaves the
searches out.
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.common import (
    ROOT,
    home,
    machine,
    options,
    python,
    say,
    spread,
    surroundings,
    workbench,
    write,
)
from experiments.benchmarks.digits import study_file
from workbench.core.cores import cores
from workbench.tuning import jobs

__all__ = ["main"]

PROCESSES, QUICKLY = (1, 2, 4), (1, 2)
SLEEPERS = (1, 8, 32, 128)
#: Seconds of giving parts away, and the numbers of a lane: weights, and what an optimizer keeps of them.
GIVING_SECONDS, LANE_NUMBERS = 8.0, 30_000
#: Trials of `leader`, and its goal in milliseconds; devices of `host`.
TINY, GOAL, DEVICES = 1_000, 10.0, 16
#: Seconds after which something that should have begun is given up.
PATIENCE = 120.0


def main() -> None:
    """Measure, print, write."""
    if sys.argv[1:2] == ["--sleepers"]:
        asyncio.run(_sleepers(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
        return
    if sys.argv[1:2] == ["--leader"]:
        print(json.dumps(_leader(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])))
        return
    chosen = options(
        __doc__,
        trials=(100, "trials of the study"),
        epochs=(50, "epochs of a trial"),
        part_seconds=(0.2, "what a part that sleeps takes"),
        quick=(False, "one run of each, a smaller study, and the ends of every row"),
    )
    before, sleepers, seconds = machine(), SLEEPERS, GIVING_SECONDS
    if chosen.quick:
        chosen.repeats, chosen.trials = min(chosen.repeats, 1), min(chosen.trials, 30)
        sleepers, seconds = SLEEPERS[::2], GIVING_SECONDS / 2
    costs = _costs(chosen.repeats) if chosen.repeats else {}
    results = {
        "leader": costs or "left out",
        "search": _searches(chosen) if chosen.repeats else "left out",
        "sleeping": {str(n): _given_away(n, chosen.part_seconds, seconds) for n in sleepers},
        "host": {
            name: _host(threads, chosen.part_seconds, seconds)
            for name, threads in (("a thread for each device", DEVICES), ("one thread for all", 1))
        },
    }
    if costs:
        results["met"] = max(cost["milliseconds"]["median"] for cost in costs.values()) <= GOAL
    write("workers", results, before, chosen.results)


# ── what a trial costs the leader ──


def _costs(repeats: int) -> dict[str, Any]:
    found: dict[str, list[dict[str, float]]] = {"alone": [], "local:1": []}
    for _ in range(repeats):
        for name, runs in found.items():
            with home() as folder:
                tiny = study_file(
                    folder, trials=TINY, epochs=1, sampler="random",
                    model={"depth": 1, "width": 8}, training={"batch_size": 128},
                )  # fmt: skip
                cluster = "" if name == "alone" else name
                runs.append(python("workers", "--leader", tiny, folder / "home", cluster).output)
            figures = ", ".join(f"{what} {value:.3g}" for what, value in runs[-1].items())
            say(f"  a trial costs the leader, {name}: {figures}")
    return {
        name: {what: spread([run[what] for run in runs]) for what in runs[0]} for name, runs in found.items()
    }


def _leader(study: Path, at: Path, cluster: str) -> dict[str, float]:
    """Run the study here; what each of its trials cost after the first one, but for training."""
    from workbench.core import locations
    from workbench.study import workflow
    from workbench.study.config import read_study
    from workbench.study.watch import silent

    marks: list[tuple[int, float, dict[str, float]]] = []

    def progress(**figures: Any) -> None:
        if figures["done"] == figures["total"] or (figures["done"] and not marks):
            marks.append((figures["done"], time.perf_counter(), _threads()))

    notes: list[str] = []
    watch = silent()._replace(progress=progress, note=notes.append)
    resolved = locations.resolve(home=str(at), environ={})
    workflow.run(read_study(study), resolved, search_only=True, watch=watch, cluster=cluster)
    (first, began, before), (last, ended, after) = marks[0], marks[-1]
    spent = {name: after[name] - before.get(name, 0.0) for name in after if not name.startswith("train")}
    trials = last - first
    return {
        "milliseconds": 1e3 * sum(spent.values()) / trials,
        "milliseconds_of_the_main_thread": 1e3 * spent["MainThread"] / trials,
        "milliseconds_by_the_clock": 1e3 * (ended - began) / trials,
        "share_of_workers": _lanes_of_workers("\n".join(notes)) / last,
    }


def _threads() -> dict[str, float]:
    """Processor seconds of each kind of thread in this process, while it lives."""
    names = {one.native_id: one.name for one in threading.enumerate()}
    spent: dict[str, float] = {}
    for task in Path("/proc/self/task").iterdir():
        _, _, fields = (task / "stat").read_text().rpartition(")")
        user, system = fields.split()[11:13]
        name = names.get(int(task.name), "others").rstrip("_0123456789")
        spent[name] = spent.get(name, 0.0) + (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return spent


def _lanes_of_workers(told: str) -> float:
    found = re.search(r"workers have trained ([\d,]+) of", told)
    return float(found[1].replace(",", "")) if found else 0.0


# ── a study ──


def _searches(chosen: Any) -> dict[str, Any]:
    numbers = [n for n in (QUICKLY if chosen.quick else PROCESSES) if n <= 2 * cores()]
    found: dict[str, list[dict[str, float]]] = {str(n): [] for n in numbers}
    with home() as cache:
        study = study_file(cache, trials=chosen.trials, epochs=chosen.epochs)
        workbench(study, cache / "home")  # compiles
        for turn in range(chosen.repeats):
            for n in numbers:
                name = f"workers-{os.getpid()}-{turn}-{n}"
                study = study_file(
                    cache, trials=chosen.trials, epochs=chosen.epochs, name=name,
                    search={"parallel": 2 * max(PROCESSES)},
                )  # fmt: skip
                found[str(n)].append(_search(study, n, cache / "home" / "cache", chosen.trials))
                say(f"  {n} processes: {found[str(n)][-1]}")
    return {
        n: {figure: spread([run[figure] for run in runs]) for figure in runs[0]} for n, runs in found.items()
    }


def _search(study: Path, processes: int, cache: Path, trials: int) -> dict[str, float]:
    """One search; what it took, and what workers had of it."""
    with home() as folder, ExitStack() as stack:
        shutil.copytree(cache, folder / "cache")
        file = folder / "scheduler.json"
        scheduler = _beside(stack, folder, "workbench", "scheduler", "--port", "0", "--scheduler-file", file)
        _wait(file.exists, scheduler)
        words = ("workbench", "worker", file, "--home", folder, "--json")
        crew = {at: _beside(stack, folder, *words, core=at) for at in range(1, processes)}
        for at, one in crew.items():
            _wait(lambda at=at: "worker at" in _told(folder, at), one)
        pinned = ["taskset", "--cpu-list", _core(0)] if shutil.which("taskset") else []
        leader = [*pinned, sys.executable, "-m", "workbench", "run", study, "--search-only", "--json"]
        leader += ["--home", folder, *(("--cluster", file) if crew else ())]
        run = subprocess.run(
            [str(word) for word in leader],
            cwd=ROOT, env=surroundings(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if run.returncode:
            raise RuntimeError(f"the leader ended with status {run.returncode}:\n{run.stderr[-2000:]}")
    seconds = json.loads(run.stdout.splitlines()[-1])["seconds"]
    return {
        "trials_per_second": trials / seconds["total"],
        "seconds": seconds["total"],
        "sample_and_track_seconds": seconds["sample"] + seconds["track"],
        "lanes_of_workers": _lanes_of_workers(run.stderr),
    }


def _core(number: int) -> int:
    """The core of a process, in turn."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[number % len(allowed)]


def _beside(
    stack: ExitStack, folder: Path, *words: str | Path, core: int | None = None
) -> subprocess.Popen[bytes]:
    """A command that runs until the stack is left; what it says goes to a file, which never fills up."""
    pinned = ["taskset", "--cpu-list", _core(core)] if core is not None and shutil.which("taskset") else []
    command = [str(word) for word in (*pinned, sys.executable, "-m", *words)]
    with (folder / f"said-{core}").open("wb") as said:
        one = subprocess.Popen(command, cwd=ROOT, env=surroundings(), stdout=said, stderr=said)
    stack.callback(one.wait)
    stack.callback(one.kill)
    return one


def _told(folder: Path, core: int) -> str:
    return (folder / f"said-{core}").read_text(errors="replace")


def _wait(there: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Until it is so. Raises RuntimeError if the process that should see to it ends, or takes too long."""
    given_up = time.monotonic() + PATIENCE
    while not there():
        if process.poll() is not None or time.monotonic() > given_up:
            raise RuntimeError(f"{process.args} does not begin")
        time.sleep(0.05)


# ── parts that sleep ──


def sleep(terms: bytes, content: bytes, rows: Sequence[bytes]) -> bytes:
    """What a worker does here: wait, and give the lane back."""
    time.sleep(float(terms))
    return content


def sleep_side_by_side(terms: bytes, content: bytes, rows: Sequence[bytes]) -> bytes:
    """Wait for as long as the longest of some parts takes, each on a device of its own."""
    head, _ = jobs.unpack_arrays(content)
    time.sleep(max(head) * float(terms))
    return content


@contextmanager
def _sleeping(work: Any, seconds: float, workers: int, threads: int) -> Iterator[Any]:
    """Helpers that sleep."""
    from workbench.tuning.distributed.cluster import Cluster

    with home() as folder, ExitStack() as stack:
        file = folder / "scheduler.json"
        one = _beside(
            stack, folder, "experiments.benchmarks.workers", "--sleepers", file, str(workers), str(threads)
        )
        _wait(file.exists, one)
        helpers = Cluster(str(file), work, str(seconds).encode(), lambda variant: b"", say)
        helpers.open()
        stack.callback(helpers.close)
        _wait(lambda: helpers.workers >= workers, one)
        yield helpers


def _passed(helpers: Any, parts: Iterator[tuple[bytes, int]], under_way: int, seconds: float) -> int:
    """Parts that come back in so many seconds, with always so many messages under way."""
    for done in [helpers.send(content, []) for content, _ in islice(parts, under_way)]:
        done.result(PATIENCE)  # as long as dask does not know what a part takes, it is slow
    room, passed, over = threading.Semaphore(under_way), [0], threading.Event()

    def came(count: int) -> None:
        passed[0] += count * (not over.is_set())
        room.release()

    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        if room.acquire(timeout=0.05):
            content, count = next(parts)
            helpers.send(content, []).add_done_callback(lambda _, count=count: came(count))
    over.set()
    return passed[0]


def _given_away(workers: int, seconds: float, giving: float) -> dict[str, float]:
    """Parts that go and come back each second, with always enough under way."""
    lane = jobs.pack_arrays(None, [np.zeros(LANE_NUMBERS, np.float32)])
    with _sleeping(sleep, seconds, workers, 1) as helpers:
        began, processor = time.perf_counter(), time.process_time()
        passed = _passed(helpers, repeat((lane, 1)), 2 * workers, giving)
        spent, wall = time.process_time() - processor, time.perf_counter() - began
    rate = passed / giving
    found = {
        "parts_per_second": rate,
        "workers_idle": max(0.0, 1.0 - rate * seconds / workers),
        "leader_milliseconds_a_part": 1000 * spent / max(1.0, rate * wall),
        "megabytes_per_second": 2 * rate * len(lane) / 1e6,
    }
    say(
        f"  {workers} workers that sleep: {', '.join(f'{name} {value:.3g}' for name, value in found.items())}"
    )
    return found


def _host(threads: int, seconds: float, giving: float) -> dict[str, float]:
    """A host of many devices: a thread of dask's for each, or one that has as many parts in a message."""
    rng, each = np.random.default_rng(0), DEVICES // threads

    def parts() -> Iterator[tuple[bytes, int]]:
        while True:
            took = rng.uniform(0.5, 1.5, each).tolist()
            yield jobs.pack_arrays(took, [np.zeros(LANE_NUMBERS, np.float32)] * each), each

    with _sleeping(sleep_side_by_side, seconds, 1, threads) as helpers:
        rate = _passed(helpers, parts(), 2 * threads, giving) / giving
    busy = min(1.0, rate * seconds / DEVICES)
    say(f"  {DEVICES} devices by {threads} threads: {rate:.3g} parts a second, busy {busy:.0%}")
    return {"parts_per_second": rate, "devices_busy": busy}


async def _sleepers(file: Path, workers: int, threads: int) -> None:
    """A scheduler, and so many workers in its process."""
    from workbench.tuning.distributed.cluster import configure

    configure()
    from distributed import Scheduler, Worker

    here: dict[str, Any] = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    async with Scheduler(host="127.0.0.1", port=0, scheduler_file=str(file), **here) as scheduler:
        crew = [Worker(scheduler.address, nthreads=threads, memory_limit=0, **here) for _ in range(workers)]
        await asyncio.gather(*crew)
        await scheduler.finished()


if __name__ == "__main__":
    main()
