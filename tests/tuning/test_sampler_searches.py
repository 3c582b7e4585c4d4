"""Whole searches by every sampler: the loop, with scores from a formula in the place of training."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench as wb
from tests.helpers.suggest_cases import (
    CELLS,
    FAST,
    GRID,
    STUDY,
    WORDS,
)
from tests.tuning.test_loop import SETTINGS, Journal, comparable
from workbench.core import vocabulary
from workbench.core.records import Curves, TrialRecord
from workbench.core.types import Axis, Range, Value
from workbench.tuning import sampler_words
from workbench.tuning.jobs import LaneResult, Part
from workbench.tuning.lane_plan import LanePlan
from workbench.tuning.loop import Search
from workbench.tuning.sampler_words import Sampler
from workbench.tuning.samplers import Suggester
from workbench.tuning.scheduler import Scheduler
from workbench.tuning.space import Problem, default


class Formula:
    """What stands in for the engine: scores rise with the epochs, towards what the parameters deserve.

    pool  of threads in which they come in any order; without one they are there at once
    """

    def __init__(self, pool: Executor | None = None) -> None:
        self._pool = pool

    def foresee(self, *lane: Any) -> None: ...

    def foresee_blocks(self, *lane: Any) -> None: ...

    def template(self, *lane: Any) -> None: ...

    def __call__(self, part: Part) -> list[Future[LaneResult]]:
        if self._pool is not None:
            return [self._pool.submit(self._brought, part)]
        done: Future[LaneResult] = Future()
        done.set_result(self._brought(part))
        return [done]

    def _brought(self, part: Part) -> LaneResult:
        (member,) = part.members
        if self._pool is not None:
            time.sleep(0.002 * random.random())
        epochs = np.arange(part.first + 1, part.last + 1)
        score = 1.0 / (1.0 + goodness(member.params)) * (1.0 - 0.5 ** (epochs / 4))
        status: Any = "diverged" if float(member.params["dropout"]) > 0.45 else "running"
        status = "stopped" if status == "running" and part.final else status
        curves = Curves(*(np.asarray(curve, np.float32) for curve in (1 - score, 1 - score, score)))
        return LaneResult(status, float(score[-1]), part.last, 0.0, curves, None, None)


def goodness(params: Mapping[str, Value]) -> float:
    off = math.log(float(params["width"]) / 6) ** 2 + (float(params["dropout"]) - 0.1) ** 2
    return (
        off
        + (params["activation"] != "tanh")
        + math.log10(float(params.get("learning_rate", 1e-2)) / 1e-2) ** 2
    )


class Nowhere:
    """No checkpoints: there are no lanes."""

    def put(self, lanes: Any) -> None: ...

    def get(self, *lane: Any) -> None: ...

    def drop(self, numbers: Any) -> None:
        list(numbers)


def whole_search(
    sampler: Sampler, journal: Journal, trials: int = 60, pool: Executor | None = None
) -> dict[int, TrialRecord]:
    """A study of four axes to its end, ten trials at a time."""
    word, _ = sampler_words.named(sampler)
    free: dict[str, Axis] = GRID | (
        {} if word in vocabulary.EXHAUSTIVE else {"learning_rate": Range(1e-4, 1.0, log=True)}
    )
    chosen = {**SETTINGS, "l2": 0.0, "optimizer": "adam", "learning_rate": 0.01, "batch_size": 32, **free}
    problem = Problem("classification", (5,), 3, 1, 60)
    engine = Formula(pool)
    running = Search(
        plan=LanePlan(chosen, lambda variant: problem, "accuracy", (8,)),
        divisions=lambda number: (0,),
        trials=trials,
        scheduler=Scheduler(
            epochs=20, pruner="none" if word == "gp" else "asha", parallel=10, lag=2, maximize=True
        ),
        engine=engine,  # type: ignore[arg-type]
        train=engine,
        suggest=Suggester(free, sampler=sampler, seed=3, direction="maximize").suggest,
        enough=None,
        commit=journal.commit,
        store=Nowhere(),  # type: ignore[arg-type]
        recorded=list(journal.events),
    )
    for _ in running.rounds():
        pass
    return running.trials


@pytest.mark.parametrize("word", WORDS)
def test_every_sampler_searches_and_an_interrupted_search_ends_the_same(word: str) -> None:
    if word == "gp":
        pytest.importorskip("torch")
    trials = 32 if word == "gp" else 60  # its model begins when ten of them are complete
    journal = Journal()
    whole = whole_search(word, journal, trials)
    assert sorted(whole) == list(range(trials))
    assert {trial.state for trial in whole.values()} == {"complete", "pruned"}  # some diverge
    assert len({tuple(trial.params.values()) for trial in whole.values()}) > 0.9 * trials
    best = max(float(trial.value or 0) for trial in whole.values())
    assert best > max(float(trial.value or 0) for number, trial in whole.items() if number < 3)
    for events in (1, len(journal.events) // 3, len(journal.events) - 3):
        while journal.events[events - 1]["kind"] == "trial":  # a record, of the launch that comes with it
            events += 1
        resumed = Journal(journal.events[:events])
        assert comparable(whole_search(word, resumed, trials)) == comparable(whole)
        assert resumed.events[0] == journal.events[0]
        asked = [[e for e in one.events if e["kind"] == "ask"] for one in (resumed, journal)]
        assert json.dumps(asked[0]) == json.dumps(asked[1]), "to the bit"


@pytest.mark.parametrize("word", FAST)
@pytest.mark.parametrize("workers", [1, 7])
def test_the_order_in_which_trials_come_back_decides_nothing(word: str, workers: int) -> None:
    with ThreadPoolExecutor(workers) as pool:
        scattered = whole_search(word, Journal(), pool=pool)
    assert comparable(scattered) == comparable(whole_search(word, Journal()))


@pytest.mark.parametrize("word", vocabulary.EXHAUSTIVE)
def test_a_search_ends_when_every_cell_was_tried(word: str) -> None:
    trials = whole_search(word, Journal(), trials=2 * CELLS)
    assert len(trials) == CELLS
    cells = {
        (p["depth"], round(float(p["dropout"]), 6), p["width"], p["activation"])
        for p in (trial.params for trial in trials.values())
    }
    assert len(cells) == CELLS
    assert trials[0].params == default(GRID)


@pytest.mark.slow
@pytest.mark.parametrize("word", vocabulary.SAMPLERS)
def test_a_study_file_of_every_sampler_runs(word: str, tmp_path: Path) -> None:
    if word == "gp":
        pytest.importorskip("torch")
    (tmp_path / "x.toml").write_text(STUDY.format(sampler=f'"{word}"'))
    result = wb.run(
        wb.read_study(tmp_path / "x.toml"), wb.resolve(home=str(tmp_path / "home")), search_only=True
    )
    assert result["status"] == "searched"
    assert result["trials"]["total"] == 14
    assert result["trials"]["failed"] == 0
