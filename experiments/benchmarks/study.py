"""`study`: the same 200-trial search, ours against the loops that users run today, cold start included.

Ours is the whole command `workbench run STUDY --search-only --json` in a fresh home: imports, compiling,
search, choice, report and MLflow. It is run as it stands (`asha`) and without pruning (`none`: as many
epochs as the peers). Every repeat has a seed of its own, the same for everybody, since a search may run into
deep nets or shallow ones.

The peers run the whole study with --full. Else they run --trials of the 200, and the rest is extrapolated:
what the process takes outside its trials, plus the budget times the median seconds that a trial takes with
its ask and tell. That favors them, since Optuna asks more slowly as its history grows.

Goals: at least 20 times (a) pytorch_loop, 10 times (b) pytorch_batched and (c) sklearn_loop; that the scores
are equal is what `quality` measures.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from experiments.benchmarks.common import (
    Run,
    alternate,
    home,
    installed,
    machine,
    options,
    python,
    say,
    spread,
    workbench,
    write,
)
from experiments.benchmarks.digits import save_rows, study_file

__all__ = ["OURS", "contenders", "main"]

GOALS = {"pytorch_loop": 20.0, "pytorch_batched": 10.0, "sklearn_loop": 10.0}
OURS = ("asha", "none")


def main() -> None:
    """Measure, print, write."""
    chosen = options(
        __doc__,
        trials=(10, "trials of a peer"),
        budget=(200, "trials of the study"),
        epochs=(50, "epochs of a trial"),
        full=(False, "let the peers run the whole study"),
    )
    before = machine()
    peers = [name for name in GOALS if name == "sklearn_loop" or installed("torch")]
    if len(peers) < len(GOALS):
        say("PyTorch is not installed (pip install -e '.[peers]'): its loops are left out")
    with home() as folder:
        results = _times(chosen, peers, folder)
    for name, entry in results["ratios"].items():
        modes = ", ".join(f"{mode} {ratio:.1f} times" for mode, ratio in entry.items())
        say(f"{name}: {modes}", f"{GOALS[name]:.0f} times", met=results["goals"][name]["met"])
    write("study", results, before, chosen.results)


def _times(chosen: Any, peers: list[str], folder: Path) -> dict[str, Any]:
    trials = chosen.budget if chosen.full else min(chosen.trials, chosen.budget)
    runs: dict[str, list[Run]] = {name: [] for name in (*OURS, *peers)}
    for seed in range(chosen.repeats):
        say(f"seed {seed}")
        searches = contenders(peers, folder, seed, trials=trials, budget=chosen.budget, epochs=chosen.epochs)
        for name, ended in alternate(searches, 1).items():
            runs[name] += ended
    seconds = {pruner: [run.wall for run in runs[pruner]] for pruner in OURS}
    seconds |= {name: [_whole(run, chosen.budget) for run in runs[name]] for name in peers}
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratios = {name: {pruner: medians[name] / medians[pruner] for pruner in OURS} for name in peers}
    return {
        "seconds": {name: spread(values) for name, values in seconds.items()},
        "processor_seconds": {pruner: spread([run.processor for run in runs[pruner]]) for pruner in OURS},
        "peer_trials": trials,
        "extrapolated": trials < chosen.budget,
        "ratios": ratios,
        "goals": {name: {"goal": GOALS[name], "met": ratios[name]["asha"] >= GOALS[name]} for name in peers},
        "ours": {
            pruner: [
                {key: run.output[key] for key in ("seconds", "programs", "trials", "best")}
                for run in runs[pruner]
            ]
            for pruner in OURS
        },
    }


def contenders(
    peers: Sequence[str], folder: Path, seed: int, *, trials: int, budget: int, epochs: int
) -> dict[str, Callable[[], Run]]:
    """Everybody's search with this seed, which divides the rows as well.

    folder          for the study files and the rows
    trials, budget  of a peer's search and of ours
    """
    rows = folder / f"rows-{seed}.npz"
    save_rows(study_file(folder, seed=seed), rows)
    studies = {
        pruner: study_file(folder, trials=budget, epochs=epochs, pruner=pruner, seed=seed) for pruner in OURS
    }
    ours = {pruner: partial(_ours, study) for pruner, study in studies.items()}
    return {**ours, **{name: partial(_peer, name, rows, trials, epochs, seed) for name in peers}}


def _ours(study: Path) -> Run:
    with home() as folder:
        return workbench(study, folder)


def _peer(name: str, rows: Path, trials: int, epochs: int, seed: int) -> Run:
    with home() as folder:
        words = ["--data", rows, "--home", folder, "--trials", str(trials), "--epochs", str(epochs)]
        return python(name, *words, "--seed", str(seed), MLFLOW_DISABLE_TELEMETRY="true")


def _whole(run: Run, budget: int) -> float:
    """Seconds of a peer's whole study."""
    took = run.output["trials"]
    if len(took) >= budget:
        return run.wall
    around = (run.output["search"] - sum(took)) / len(took)  # asking and telling
    return run.wall - run.output["search"] + budget * (statistics.median(took) + around)


if __name__ == "__main__":
    main()
