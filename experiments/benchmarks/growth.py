"""`growth`: 5,000 tiny trials; what the last thousand cost, each, against the first thousand.

The study trains for an epoch or two on the digits, so nearly all of its time goes into what surrounds
training and may grow with the history: sampling, the journal, MLflow, the Optuna study. Compiling and
imports are left out: the clock of the first thousand starts with the end of the first launch.

Goal: at most 2 times.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.common import home, machine, options, python, say, spread, write
from experiments.benchmarks.digits import study_file

__all__ = ["main"]

GOAL = 2.0


def main() -> None:
    """Measure, print, write."""
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(_child(Path(sys.argv[2]), Path(sys.argv[3]))))
        return
    chosen = options(
        __doc__,
        trials=(5000, "trials of the study"),
        epochs=(1, "epochs of a trial"),
        sampler=("tpe", "the sampler"),
    )
    before = machine()
    ratios, costs, output = [], [], {}
    part = chosen.trials // 5
    for turn in range(chosen.repeats):
        with home() as folder:
            study = study_file(
                folder,
                trials=chosen.trials,
                epochs=chosen.epochs,
                sampler=chosen.sampler,
                model={"depth": 1, "width": {"low": 4, "high": 16, "log": True}},
                training={"batch_size": 128},
            )
            output = python("growth", "--child", study, folder / "home").output
        milliseconds = _by_part(output["times"], part)
        costs.append(milliseconds)
        ratios.append(milliseconds[-1] / milliseconds[0])
        parts = ", ".join(f"{value:.1f}" for value in milliseconds)
        say(f"  run {turn + 1}: {parts} ms a trial, {ratios[-1]:.2f} times")
    ratio = spread(ratios)
    results = {
        "trials": chosen.trials,
        "milliseconds_by_fifth": costs,
        "ratio": ratio,
        "seconds": output["seconds"],
        "met": ratio["median"] <= GOAL,
    }
    more = f"the last {part} cost {ratio['median']:.2f} times the first {part}"
    say(more, f"{GOAL:.0f} times", met=results["met"])
    write("growth", results, before, chosen.results)


def _child(study: Path, at: Path) -> dict[str, Any]:
    """Run the study here; when how many trials had ended."""
    from workbench.core import locations
    from workbench.study import workflow
    from workbench.study.config import read_study
    from workbench.study.watch import silent

    times: list[tuple[int, float]] = []

    def progress(**figures: Any) -> None:
        times.append((figures["done"], time.perf_counter()))

    watch = silent()._replace(progress=progress)
    resolved = locations.resolve(home=str(at), environ={})
    result = workflow.run(read_study(study), resolved, search_only=True, watch=watch)
    return {"times": times, "seconds": result["seconds"]}


def _by_part(times: list[tuple[int, float]], part: int) -> list[float]:
    """Milliseconds of a trial in each part of so many trials, from (trials ended, time) after each launch."""
    done, at = np.array(times, float).T
    marks = np.array([done[0], *range(part, int(done[-1]) + 1, part)])
    spent: list[float] = np.diff(np.interp(marks, done, at)).tolist()
    return [1e3 * seconds / trials for seconds, trials in zip(spent, np.diff(marks).tolist(), strict=True)]


if __name__ == "__main__":
    main()
