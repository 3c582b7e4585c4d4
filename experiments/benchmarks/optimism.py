"""`optimism`: the estimate of what choosing by luck adds, against the truth, in simulated pruning searches.

Trials have a true score and, at each of four rungs, an error on the validation rows of their own, beside one
that all share. The errors of a trial at consecutive rungs are correlated, the more the less a model changes
between them. A third passes each rung, the default always; the best at the end is chosen. The truth of a cell
is the mean of its score less its true score.

Goal: where errors at consecutive rungs correlate at 0.8 or more, the estimate is 0.8 to 1.3 of the truth.
Where they correlate less, an estimate that supposes 0.9 is too high, and how much is written down as well; so
is what is found if pruned trials are left out.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from experiments.benchmarks.common import machine, options, say, write
from workbench.core.types import Array
from workbench.evaluation.optimism import optimism, optimism_of_pruned, own_error

__all__ = ["main"]

TRIALS, SPREADS, ALIKE = (30, 100, 300), (0.0, 0.05, 0.3), (0.5, 0.8, 0.95)
#: Validation rows, rungs, the share that passes each, and the share of a row's error that all trials have.
ROWS, RUNGS, PASS, COMMON = 240, 4, 3, 0.5
LOWEST, HIGHEST, MEANT_FROM = 0.8, 1.3, 0.8


class Search(NamedTuple):
    """A search that has ended."""

    rungs: list[dict[int, float]]
    complete: list[bool]
    rows: Array  # [C, N] of the complete trials
    truth: float  # of the choice: its score less its true score


def main() -> None:
    """Simulate, print, write."""
    chosen = options(__doc__, studies=(200, "searches of each cell"))
    before, cells = machine(), []
    for trials in TRIALS:
        for spread in SPREADS:
            for alike in ALIKE:
                cells.append(_cell(trials, spread, alike, chosen.studies))
                cell = cells[-1]
                where = f"{trials} trials, spread {spread}, rungs alike {alike}"
                say(f"  {where}: {cell['ratio']:.2f}, {cell['without']:.2f} without the pruned")
    meant = [cell for cell in cells if cell["alike"] >= MEANT_FROM]
    low, high = (pick(cell["ratio"] for cell in meant) for pick in (min, max))
    met = sum(cell["met"] for cell in meant)
    goal = f"{LOWEST} to {HIGHEST} in all {len(meant)} cells"
    say(f"{low:.2f} to {high:.2f} of the truth, {met} cells as asked", goal, met=met == len(meant))
    say(f"  up to {max(cell['ratio'] for cell in cells):.2f} where rungs are less alike")
    write("optimism", {"cells": cells, "lowest": low, "highest": high, "met": met}, before, chosen.results)


def _cell(trials: int, spread: float, alike: float, studies: int) -> dict[str, Any]:
    found = np.empty((3, studies))
    for study in range(studies):
        search = _search(np.random.default_rng(study), trials, spread, alike)
        error = own_error(list(search.rows), paired=True)
        estimate = optimism_of_pruned(search.rungs, search.complete, error, maximize=True)
        without = optimism(search.rows, maximize=True, splits=90)
        found[:, study] = search.truth, estimate.estimate, without.estimate
    truth, estimate, left_out = found.mean(axis=1)
    # Of a ratio of means, by the delta method.
    error = float(np.std(found[1] - estimate / truth * found[0], ddof=1)) / math.sqrt(studies) / truth
    ratio = float(estimate / truth)
    met = LOWEST <= ratio <= HIGHEST
    return {
        "trials": trials, "spread": spread, "alike": alike, "truth": float(truth), "ratio": ratio,
        "error": error, "without": float(left_out / truth), "met": bool(met),
    }  # fmt: skip


def _search(rng: np.random.Generator, trials: int, spread: float, alike: float) -> Search:
    true = -spread * rng.exponential(size=trials)
    errors = [rng.standard_normal(trials)]  # the last rung's first
    for _ in range(RUNGS - 1):
        errors.append(alike * errors[-1] + math.sqrt(1 - alike**2) * rng.standard_normal(trials))
    errors.reverse()
    behind = np.arange(RUNGS - 1, -1, -1)[:, None] * (
        0.02 + 0.3 * spread * (1 + rng.standard_normal((RUNGS, trials)))
    )
    own, common = math.sqrt((1 - COMMON) / ROWS), math.sqrt(COMMON / ROWS) * rng.standard_normal()
    seen = true - behind + own * np.array(errors) + common
    alive, rungs = np.arange(trials), [dict[int, float]() for _ in range(trials)]
    for rung in range(RUNGS):
        for trial in alive:
            rungs[trial][rung + 1] = float(seen[rung, trial])
        if rung + 1 < RUNGS:
            best = alive[np.argsort(-seen[rung, alive])][: max(1, len(alive) // PASS)]
            alive = np.union1d(best, [0])
    # Rows whose means are the scores of the last rung.
    hard, each = rng.standard_normal(ROWS), rng.standard_normal((len(alive), ROWS))
    rows = math.sqrt(COMMON) * (hard - hard.mean())
    rows = rows + math.sqrt(1 - COMMON) * (each - each.mean(axis=1, keepdims=True))
    rows = rows + seen[-1, alive][:, None]
    winner = alive[int(seen[-1, alive].argmax())]
    luck = float(seen[-1, winner] - common - true[winner])
    return Search(rungs, [trial in alive for trial in range(trials)], rows, luck)


if __name__ == "__main__":
    main()
