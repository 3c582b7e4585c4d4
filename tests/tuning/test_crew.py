"""A search with helpers beside it that come, fail, lose and hang: who trains a lane changes nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.problems import blobs
from tests.tuning.test_jobs import member
from tests.tuning.test_loop import EPOCHS, SETTINGS, TRIALS, Journal, comparable, finish, search
from workbench.core.errors import WorkbenchError
from workbench.training.engine import Engine
from workbench.tuning import jobs
from workbench.tuning.distributed import crew
from workbench.tuning.distributed.crew import Crew
from workbench.tuning.jobs import Part
from workbench.tuning.lane_plan import LanePlan
from workbench.tuning.space import Problem, Variant

PROBLEM = Problem("classification", (5,), 3, 1, 60)


class Threads:
    """Helpers without processes: each `send` is trained by a thread of an engine of its own.

    fault  what becomes of the n-th message: trained, fails, hangs, is cancelled, comes back as nonsense
    """

    def __init__(self, workers: int, fault: Callable[[int], str] = lambda n: "") -> None:
        self.workers, self.room = workers, workers
        self.sizes: list[int] = []
        self.hanging: list[Future[bytes]] = []
        self.opened = self.closed = False
        self._fault = fault
        self._engine = Engine(lambda variant: blobs(seed=variant.division), capacity=EPOCHS, seed=3)
        self._pool = ThreadPoolExecutor(max(1, workers))

    def open(self) -> None:
        self.opened = True

    def send(self, content: bytes, variants: Sequence[Variant]) -> Future[bytes]:
        plan = LanePlan(SETTINGS, lambda variant: PROBLEM, "accuracy", (2, 8))
        parts = jobs.unpack(
            content,
            lambda number, params, division: plan.lane(params, number, division),
            lambda program, hyper: self._engine.template(program.recipe, hyper),
        )
        assert set(variants) == {member.program.variant for part in parts for member in part.members}
        self.sizes.append(len(parts))
        fault = self._fault(len(self.sizes) - 1)
        if fault == "hangs":
            self.hanging.append(Future())
            return self.hanging[-1]
        return self._pool.submit(self._train, parts, fault)

    def close(self) -> None:
        self.closed = True
        self._pool.shutdown(cancel_futures=True)

    def _train(self, parts: list[Part], fault: str) -> bytes:
        if fault == "refuses":
            raise WorkbenchError("it has jax 0.0.1")
        if fault == "breaks":
            raise OSError("no such worker")
        if fault == "nonsense":
            return jobs.pack_results([])
        futures = [future for part in parts for future in jobs.submit(self._engine, part)]
        return jobs.pack_results([future.result() for future in futures])


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return comparable(finish(tmp_path_factory.mktemp("alone"), Journal()))


def together(folder: Path, helpers: Any, *, slow: float = 0.0) -> tuple[Any, list[str], Crew]:
    """A search with these helpers; its trials, what was told, and who did it."""
    notes: list[str] = []
    running = search(folder, Journal())
    both = Crew(running._engine, helpers, notes.append)
    if slow:  # leaves something to helpers
        train = running._engine._train
        running._engine._train = lambda wanted: (time.sleep(slow), train(wanted))[1]  # type: ignore[method-assign]
    running._train = both.train
    with both:
        for _ in running.rounds():
            pass
    assert len(running.trials) == TRIALS
    return comparable(running.trials), notes, both


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_helpers_train_and_the_search_is_the_same(workers: int, alone: Any, tmp_path: Path) -> None:
    helpers = Threads(workers)
    found, notes, both = together(tmp_path, helpers, slow=0.02)
    assert found == alone
    assert both.brought > 0
    assert helpers.opened
    assert helpers.closed
    assert notes[-1] == f"workers have trained {both.brought} of {both.asked} lanes"
    assert not [note for note in notes[:-1] if "beside" not in note]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("refuses", "a worker does not help: it has jax 0.0.1; this process trains what it was sent"),
        ("breaks", "a worker does not help: OSError: no such worker"),
        ("nonsense", "a worker does not help: ValueError"),
    ],
)
def test_what_helpers_do_not_bring_is_trained_here_and_told_once(
    fault: str, told: str, alone: Any, tmp_path: Path
) -> None:
    helpers = Threads(2, lambda n: fault if n % 3 else "")
    found, notes, _ = together(tmp_path, helpers, slow=0.02)
    assert found == alone
    assert len(helpers.sizes) > 2
    assert len([note for note in notes if note.startswith(told)]) == 1


def test_one_that_hangs_holds_nothing_up(alone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(crew, "LOOK_SECONDS", 0.02)
    helpers = Threads(2, lambda n: "hangs" if n % 2 else "")
    found, _, _ = together(tmp_path, helpers, slow=0.02)
    assert found == alone
    assert helpers.hanging
    assert all(future.cancelled() for future in helpers.hanging), "nobody wants it any more"


def test_one_that_comes_late_is_found_and_one_that_goes_is_told(
    alone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "LOOK_SECONDS", 0.01)
    helpers = Threads(2)
    helpers.workers = helpers.room = 0

    def come_and_go() -> None:
        helpers.workers = helpers.room = 2
        while len(helpers.sizes) < 3:
            time.sleep(0.01)
        helpers.workers = helpers.room = 0

    thread = threading.Timer(0.2, come_and_go)
    thread.start()
    found, notes, both = together(tmp_path, helpers, slow=0.05)
    thread.join()
    assert found == alone
    assert both.brought >= 3
    assert notes[:2] == ["2 workers beside this process", "0 workers beside this process"]


def test_lanes_that_are_soon_over_go_together() -> None:
    helpers = Threads(1, lambda n: "hangs")
    engine = Engine(lambda variant: blobs(), capacity=EPOCHS, seed=3)
    engine.threads = 0  # everything is for the helper
    both = Crew(engine, helpers, lambda text: None)
    parts = [Part((member(number),), 0, 4, final=False) for number in (0, 2, 4, 6)]
    for part in parts:
        both.train(part)
    assert helpers.sizes == [1, 1], "nobody knows yet how long one takes; one more waits there for the first"
    both._pace = dict.fromkeys((part.members[0].program for part in parts), crew.WORTH_SECONDS / 100)
    helpers.hanging[0].cancel()
    assert helpers.sizes == [1, 1, 2]
