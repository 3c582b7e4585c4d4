"""A search with a helper beside it, both in this process: who trains a lane changes nothing."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from tests.helpers.problems import blobs
from tests.tuning.test_loop import EPOCHS, SETTINGS, TRIALS, Journal, comparable, finish, search
from workbench.training.engine import Engine
from workbench.tuning import jobs
from workbench.tuning.distributed.coordinator import Coordinator
from workbench.tuning.distributed.leases import Leases
from workbench.tuning.lane_plan import LanePlan
from workbench.tuning.space import Problem

PROBLEM = Problem("classification", (5,), 3, 1, 60)


def setting(number: int, params: Any, division: int) -> Any:
    return LanePlan(SETTINGS, lambda variant: PROBLEM, "accuracy", (2, 8)).lane(params, number, division)


def help_with(url: str, session: str, over: threading.Event, done: list[int]) -> None:
    """What a worker does, without a process of its own."""
    leases = Leases(url, "study")
    engine = Engine(lambda variant: blobs(seed=variant.division), capacity=EPOCHS, seed=3)
    while not over.is_set():
        leases.join()
        claim = leases.claim(session)
        if claim is None:
            over.wait(0.01)
            continue
        part = jobs.unpack(
            claim.request, setting, lambda program, hyper: engine.template(program.recipe, hyper)
        )
        content = jobs.pack_results(jobs.train(engine, part))
        done.append(int(leases.deliver(claim, content)))
    leases.leave()
    leases.close()


def test_a_helper_trains_and_the_search_is_the_same(tmp_path: Path) -> None:
    alone = finish(tmp_path / "alone", Journal())
    url, over, done = f"sqlite:///{tmp_path / 'workbench.db'}", threading.Event(), []  # type: ignore[var-annotated]
    running = search(tmp_path / "together", Journal())
    leases = Leases(url, "study")
    running._engine.threads = 0  # one part at a time is enough to have no room for another
    crew = Coordinator(running._engine, leases, tmp_path, {}, lambda text: None)
    running._train = crew.train
    with crew:
        helper = threading.Thread(target=help_with, args=(url, leases.me, over, done))
        helper.start()
        while crew._workers == 0:
            crew._count()
        for _ in running.rounds():
            pass
        crew.finished()
        over.set()
        helper.join()
    assert sum(done) > 0
    assert len(running.trials) == TRIALS
    assert comparable(running.trials) == comparable(alone)
