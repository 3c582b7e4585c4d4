"""`overhead`: what surrounds the training of the digits study, and 1,000 finished trials into MLflow.

First, sampling, tracking and everything else that is neither compiling nor training, as a share of a cold
`workbench run --search-only`, from the seconds that its JSON reports. Second, finished trials of 400 curve
points each handed to the tracker at once, on SQLite: how long until MLflow has them all, and how long the
caller was held up.

Goals: at most 15 % of the study; under 60 s, and training is never stalled.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.common import (
    Run,
    alternate,
    home,
    machine,
    options,
    python,
    say,
    spread,
    workbench,
    write,
)
from experiments.benchmarks.digits import study_file

__all__ = ["finished_trial", "main", "parent"]

GOAL_SHARE, GOAL_SECONDS = 0.15, 60.0
CURVES = 3
#: Seconds that no call of the tracker may take: a frame of the display.
STALL = 0.05


def main() -> None:
    """Measure, print, write."""
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(_log(int(sys.argv[2]), int(sys.argv[3]))))
        return
    chosen = options(
        __doc__,
        trials=(200, "trials of the study"),
        epochs=(50, "epochs of a trial"),
        records=(1000, "finished trials that are logged"),
        points=(400, "curve points of each"),
    )
    before = machine()
    with home() as folder:
        study = study_file(folder, trials=chosen.trials, epochs=chosen.epochs, pruner="asha")

        def ours() -> Run:
            with home() as empty:
                return workbench(study, empty)

        def log() -> Run:
            return python("overhead", "--child", str(chosen.records), str(-(-chosen.points // CURVES)))

        runs = alternate({"study": ours, "mlflow": log}, chosen.repeats)
    parts = [run.output["seconds"] for run in runs["study"]]
    shares = [(part["sample"] + part["track"] + part["other"]) / part["total"] for part in parts]
    share = statistics.median(shares)
    written = spread([run.output["seconds"] for run in runs["mlflow"]])
    held = max(run.output["longest_call"] for run in runs["mlflow"])
    few, soon = share <= GOAL_SHARE, written["median"] < GOAL_SECONDS and held < STALL
    say(f"sampling, tracking and the rest: {share:.1%} of the study", f"{GOAL_SHARE:.0%}", met=few)
    say(
        f"{chosen.records} trials in MLflow: {written['median']:.1f} s, longest call {1e3 * held:.1f} ms",
        f"{GOAL_SECONDS:.0f} s, no call longer than {1e3 * STALL:.0f} ms", met=soon,
    )  # fmt: skip
    results = {
        "study": {"share": spread(shares), "seconds": parts, "met": few},
        "mlflow": {
            "trials": chosen.records,
            "points": chosen.points,
            "seconds": written,
            "longest_call": held,
            "met": soon,
        },
    }
    write("overhead", results, before, chosen.results)


def _log(records: int, epochs: int) -> dict[str, Any]:
    """Hand over trials as a search would; seconds until all are written, and of the longest call."""
    from workbench.storage.tracking import Tracker

    trials = [finished_trial(number, epochs) for number in range(records)]
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        os.chdir(folder)
        began = time.perf_counter()
        tracker = Tracker.open(
            f"sqlite:///{Path(folder) / 'mlflow.db'}", parent(epochs), artifacts=Path(folder) / "artifacts"
        )
        longest = 0.0
        for first in range(0, records, 32):
            calling = time.perf_counter()
            tracker.trials(trials[first : first + 32])
            longest = max(longest, time.perf_counter() - calling)
        left = tracker.close("FINISHED", timeout=600.0)
        seconds = time.perf_counter() - began
        os.chdir("/")
    if left.any:
        raise RuntimeError(f"MLflow lacks {len(left.trials)} trials: {left.reason}")
    return {"seconds": seconds, "longest_call": longest}


def parent(epochs: int) -> Any:
    """The parent run of trials that nobody trained."""
    from workbench.storage.tracking import Parent

    return Parent(
        study="benchmark", name="benchmark", metric="accuracy", direction="maximize", question="", seed=0,
        params={"epochs": epochs}, tags={},
    )  # fmt: skip


def finished_trial(number: int, epochs: int) -> Any:
    """A finished trial with eight parameters."""
    from dataclasses import fields

    from workbench.core.records import Curves, TrialRecord

    draw = np.random.default_rng(number)
    values: dict[str, Any] = {
        "number": number,
        "params": {
            "depth": int(draw.integers(1, 4)), "width": int(draw.integers(16, 257)), "activation": "relu",
            "optimizer": "adam", "learning_rate": float(draw.uniform(1e-4, 1e-1)),
            "l2": float(draw.uniform(0, 1e-2)), "dropout": float(draw.uniform(0, 0.5)), "batch_size": 32,
        },
        "state": "complete",
        "reason": "finished",
        "value": float(draw.random()),
        "epochs": epochs,
        "best_epoch": epochs,
        "curves": Curves(*draw.random((CURVES, epochs), dtype=np.float32)),
        "seed": number,
        "recipe": "benchmar",
        "seconds": 1.0,
        "rungs": {},
        "finished": time.time(),
    }  # fmt: skip
    known = {field.name for field in fields(TrialRecord)}
    return TrialRecord(**{name: value for name, value in values.items() if name in known})


if __name__ == "__main__":
    main()
